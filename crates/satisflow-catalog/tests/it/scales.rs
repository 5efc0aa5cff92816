//! Scales of the catalog: what answers count, in the engine and in the audit's SQL; refusals.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampMicrosecondArray};
use satisflow_catalog::Catalog;

use crate::support::{answered, audit, catalog, engine, problems};

const SCALES: &str = "
  five_level:
    labels: [非常满意, 满意, 一般, 不满意, 非常不满意]
    classes: { satisfied: [非常满意, 满意], dissatisfied: [不满意, 非常不满意] }
  ten_point:
    min: 1
    max: 10
    classes: { very_satisfied: [10], quite_satisfied: [9], satisfied: [8], dissatisfied: { to: 7 } }
  four_level: { labels: { A: 1.0, B: 0.8, C: 0.4, D: 0 } }
  percent: { min: 0, max: 100, whole: false, classes: { partner: { from: 80 }, analysed: { to: 79.9999 } } }
  seven: { min: 1, max: 7 }
  coefficient:
    - labels: { good: 1, fair: 0.5 }
    - { from: 2026-07-01, labels: { good: 1, fair: 0.4, poor: 0 } }
    - { from: '2026-08-01T00:00:00Z', labels: { good: 1 } }
";

/// A catalog with a measure of a value.
fn of(value: &str) -> Catalog {
    catalog(&format!(
        "version: 1\nscales:{SCALES}measures:\n  m:\n    value: \"{value}\"\nmetrics:\n  k: {{ mean: m }}\n"
    ))
}

/// Events that answer `q`, each at its time.
fn events(answers: &[(&str, &str)]) -> RecordBatch {
    let given: Vec<BTreeMap<&str, &str>> = answers.iter().map(|(_, answer)| BTreeMap::from([("q", *answer)])).collect();
    let batch = answered(&given);
    let micros = |(time, _): &(&str, &str)| time.parse::<jiff::Timestamp>().unwrap().as_microsecond();
    let times = TimestampMicrosecondArray::from_iter_values(answers.iter().map(micros)).with_timezone("UTC");
    let index = batch.schema().index_of("event_time").unwrap();
    let mut columns = batch.columns().to_vec();
    columns[index] = Arc::new(times) as ArrayRef;
    RecordBatch::try_new(batch.schema(), columns).unwrap()
}

/// What answers of one moment count, in both ways.
fn values(value: &str, answers: &[&str]) -> Vec<Option<i128>> {
    let answers: Vec<(&str, &str)> = answers.iter().map(|answer| ("2026-06-30T00:00:00Z", *answer)).collect();
    at_times(value, &answers)
}

fn at_times(value: &str, answers: &[(&str, &str)]) -> Vec<Option<i128>> {
    let (catalog, events) = (of(value), events(answers));
    let found = engine(&catalog, &events);
    assert_eq!(found, audit(&catalog, &events), "the SQL of {value} says otherwise");
    found
}

#[test]
fn labels_count_by_their_place_however_they_are_written() {
    let answers = ["非常满意", "非常滿意", " 滿意　", "一般", "不满意", "非常不滿意", "很满意", "5", ""];
    let counted =
        [Some(50_000), Some(50_000), Some(40_000), Some(30_000), Some(20_000), Some(10_000), None, None, None];
    assert_eq!(values("scale_value('five_level', answers['q'])", &answers), counted);
    let points =
        [Some(100_0000), Some(100_0000), Some(75_0000), Some(50_0000), Some(25_0000), Some(0), None, None, None];
    assert_eq!(values("scale_0_100('five_level', answers['q'])", &answers), points);
}

#[test]
fn what_a_label_counts_is_exact() {
    let value = "scale_value('four_level', answers['q'])";
    assert_eq!(values(value, &["A", "Ｂ", "C", "D", "E"]), [Some(10_000), Some(8_000), Some(4_000), Some(0), None]);
}

#[test]
fn numbers_off_the_scale_count_nothing_and_no_text_is_rounded_onto_it() {
    let answers =
        ["10", "１０", " 7 ", "1", "0", "11", "9.5", "10.0", "9.99999", "10.00001", "1e1", "ten", "-1", "+8", ""];
    let counted =
        [Some(10), Some(10), Some(7), Some(1), None, None, None, Some(10), None, None, None, None, None, None, None];
    let counted: Vec<Option<i128>> = counted.iter().map(|value| value.map(|value: i128| value * 10_000)).collect();
    assert_eq!(values("scale_value('ten_point', answers['q'])", &answers), counted);
    let percents = ["80", "79.9999", "79.99995", "100.0001", "0", "-0", "００．５", "5.", ".5"];
    let counted = [Some(80_0000), Some(79_9999), None, None, Some(0), Some(0), Some(5000), None, None];
    assert_eq!(values("scale_value('percent', answers['q'])", &percents), counted);
}

#[test]
fn points_of_a_range_are_rounded_once_half_up() {
    let points = [Some(0), Some(16_6667), Some(33_3333), Some(50_0000), Some(100_0000)];
    assert_eq!(values("scale_0_100('seven', answers['q'])", &["1", "2", "3", "4", "7"]), points);
    assert_eq!(values("scale_0_100('percent', answers['q'])", &["33.3333"]), [Some(33_3333)]);
}

#[test]
fn a_class_is_true_or_false_on_the_scale_and_null_off_it() {
    let yes_or_no =
        |class: &str| values(&format!("in_class('ten_point', answers['q'], '{class}')"), &["10", "7", "0", "x"]);
    assert_eq!(yes_or_no("very_satisfied"), [Some(10_000), Some(0), None, None]);
    assert_eq!(yes_or_no("dissatisfied"), [Some(0), Some(10_000), None, None]);
    let labels = ["非常滿意", "一般", "不满意", "别的"];
    let satisfied = values("in_class('five_level', answers['q'], 'satisfied')", &labels);
    assert_eq!(satisfied, [Some(10_000), Some(0), Some(0), None]);
    let named = values(
        "case scale_class('five_level', answers['q']) when 'satisfied' then 1 when 'dissatisfied' then 2 end",
        &labels,
    );
    assert_eq!(named, [Some(10_000), None, Some(20_000), None], "what is in no class has none");
    let partners = values("in_class('percent', answers['q'], 'partner')", &["80.0", "79.9999", "101"]);
    assert_eq!(partners, [Some(10_000), Some(0), None]);
}

#[test]
fn numbers_of_columns_are_read_as_those_of_texts() {
    let value = "scale_value('ten_point', CAST(answers['q'] AS DECIMAL(18,4)))";
    assert_eq!(values(value, &["9", "9.5", "12"]), [Some(90_000), None, None]);
}

/// Midnight of the catalog's zone, which is Shanghai.
#[test]
fn the_time_of_the_event_decides_which_version_holds() {
    let at = |time| at_times("scale_value('coefficient', answers['q'])", &[(time, "fair"), (time, "poor")]);
    assert_eq!(at("2026-06-30T15:59:59.999999Z"), [Some(5_000), None]);
    assert_eq!(at("2026-06-30T16:00:00Z"), [Some(4_000), Some(0)]);
    assert_eq!(at("2026-07-31T23:59:59.999999Z"), [Some(4_000), Some(0)]);
    assert_eq!(at("2026-08-01T00:00:00Z"), [None, None]);
}

fn fingerprint(catalog: &Catalog) -> String {
    catalog.plan.definitions[0].fingerprint.to_string()
}

fn fingerprint_of(scales: &str, value: &str) -> String {
    let text = format!("version: 1\n{scales}measures:\n  m:\n    value: \"{value}\"\nmetrics:\n  k: {{ mean: m }}\n");
    fingerprint(&catalog(&text))
}

#[test]
fn the_scales_that_a_definition_uses_are_part_of_its_identity_and_no_others() {
    let used = "scale_value('s', answers['q'])";
    let of = |scale: &str| fingerprint_of(&format!("scales:\n  s: {scale}\n"), used);
    let first = of("{ labels: [好, 坏] }");
    assert_eq!(first, of("{ labels: { 坏: 1, '好 ': 2.0 } }"), "one meaning, one identity");
    for other in [
        "{ labels: [好, 中, 坏] }",
        "[{ labels: [好, 坏] }, { from: 2026-07-01, labels: [好, 坏] }]",
        "{ min: 1, max: 2 }",
    ] {
        assert_ne!(first, of(other), "{other}");
    }
    let plain = "CAST(score AS DECIMAL(18,4))";
    assert_eq!(fingerprint_of("", plain), fingerprint_of("scales: { s: { labels: [好] } }\n", plain));
}

#[test]
fn what_does_not_hold_is_refused_with_its_line() {
    let rest = "measures:\n  m: { value: '1' }\nmetrics:\n  k: { mean: m }\n";
    let expect = |scale: &str, expected: &[&str]| {
        assert_eq!(problems(&format!("version: 1\nscales:\n  s:\n{scale}{rest}")), expected, "{scale}");
    };
    expect("    min: 1\n", &["3: a scale is either a range or a set of labels"]);
    expect("    { min: 5, max: 5 }\n", &["3: `min` and `max` are no range of at most 4 decimals"]);
    expect("    { min: 0.00001, max: 5 }\n", &["3: `min` and `max` are no range of at most 4 decimals"]);
    expect("    { min: 0.5, max: 5 }\n", &["3: whole numbers lie between bounds that are none"]);
    expect("    labels:\n      A: 1\n      B: 0.12345\n", &["6: `B` does not count a number of at most 4 decimals"]);
    expect(
        "    labels:\n      - 滿意\n      - 一般\n      - 满意 \n",
        &["7: `满意` is compared like another label of this scale"],
    );
    expect("    labels: []\n", &["4: here is no label"]);
    expect("    labels:\n      - ''\n      - good\n", &["5: this label is empty"]);
    expect("    labels: [a, b]\n    whole: true\n", &["5: `whole` is said of a range, and here are labels"]);
    expect("    labels: [a, b]\n    classes:\n      x: [c]\n", &["6: `c` is no label of this scale"]);
    expect("    labels: [a, b]\n    classes:\n      x: [a]\n      y: [a]\n", &["7: `a` is in a class already"]);
    expect("    labels: [a, b]\n    classes:\n      x: { to: 3 }\n", &["6: a class of labels lists them"]);
    expect("    min: 1\n    max: 10\n    classes:\n      x: [11]\n", &["7: what is in this class is not on the scale"]);
    expect(
        "    min: 1\n    max: 10\n    classes:\n      x: [2.5]\n",
        &["7: what is in this class is not on the scale"],
    );
    expect(
        "    min: 1\n    max: 10\n    classes:\n      x: { to: 7 }\n      y: [7, 8]\n",
        &["8: a part of this class is in the class `x` already"],
    );
    expect("    - { labels: [a] }\n    - { from: soon, labels: [b] }\n", &["5: `soon` is not a date or a time"]);
    expect("    - { labels: [a] }\n    - { labels: [b] }\n", &["5: this version overlaps the one before it"]);
    expect(
        "    - { from: 2026-07-01, labels: [a] }\n    - { from: '2026-06-30T16:00:00Z', labels: [b] }\n",
        &["5: this version overlaps the one before it"],
    );
    expect("    []\n", &["3: the scale `s` has no version"]);
}

#[test]
fn what_an_expression_names_has_to_be_there() {
    let expect = |value: &str, expected: &str| {
        let text = format!(
            "version: 1\nscales:{SCALES}measures:\n  m:\n    value: \"{value}\"\nmetrics:\n  k: {{ mean: m }}\n"
        );
        let line = text.lines().position(|line| line.contains("value:")).unwrap() + 1;
        assert_eq!(problems(&text), [format!("{line}: {expected}")], "{value}");
    };
    expect("scale_value('five_levels', answers['q'])", "there is no scale `five_levels`");
    expect(
        "scale_value(five_level, answers['q'])",
        "a name of the catalog stands here as a text in quotes, and not five_level",
    );
    expect("scale_value('five_level')", "`scale_value` takes a scale and an answer, here it has 1 arguments");
    expect("in_class('ten_point', text, 'happy')", "the scale has no class `happy`");
    expect("case when scale_class('seven', text) = 'x' then 1 end", "the scale has no classes");
}

fn with_index(scale: &str, items: &str) -> String {
    format!(
        "version: 1\nscales:\n  s: {scale}\nmeasures:\n  m:\n    index: {{ items: {{ {items} }} }}\nmetrics:\n  k: {{ mean: m }}\n"
    )
}

#[test]
fn an_index_takes_the_labels_of_a_scale() {
    let index = |scale: &str, answers: &[&str]| {
        let catalog = catalog(&with_index(scale, "q: { weight: 1, scale: s }"));
        let events = events(&answers.iter().map(|answer| ("2026-06-30T00:00:00Z", *answer)).collect::<Vec<_>>());
        let found = engine(&catalog, &events);
        assert_eq!(found, audit(&catalog, &events), "{scale}");
        found
    };
    let coefficients = index("{ labels: { A: 1.0, B: 0.8, C: 0.4, D: 0 } }", &["A", "Ｂ ", "C", "D", "E"]);
    assert_eq!(coefficients, [Some(100_0000), Some(80_0000), Some(40_0000), Some(0), None]);
    let levels = index("{ labels: [好, 還可以, 壞] }", &["好", "还可以", "還可以", "坏", "3"]);
    assert_eq!(levels, [Some(100_0000), Some(50_0000), Some(50_0000), Some(0), None]);
}

#[test]
fn an_index_takes_no_other_scale() {
    let expect = |scale: &str, item: &str, expected: &str| {
        assert_eq!(problems(&with_index(scale, &format!("q: {{ weight: 1, {item} }}"))), [expected], "{scale}");
    };
    expect("{ labels: [a, b] }", "scale: t", "6: there is no scale `t`");
    expect(
        "{ labels: [a, b] }",
        "scale: s, min: 1, max: 2",
        "6: how answers to `q` are graded is said in no or in several ways",
    );
    let other = "6: an index can't use the scale `s`: it is no set of labels that always holds";
    expect("{ min: 1, max: 5 }", "scale: s", other);
    expect("[{ labels: [a] }, { from: 2026-07-01, labels: [a, b] }]", "scale: s", other);
    expect("{ labels: { a: 2, b: 2 } }", "scale: s", "6: the labels of the scale `s` all count the same");
}
