//! Joins: what is said of them, what is refused, and what is made of events.

use std::sync::Arc;

use arrow::array::RecordBatch;
use satisflow_catalog::{Catalog, Evaluator};
use satisflow_kpi::{Engine, JoinInput, Sign};
use satisflow_model::{Decoder, Limits, Outcome, Record, RecordsBuilder, SourceSpec};

use crate::support::{catalog, problems};

/// A measure of responses with a join to their verdicts, some lines of it replaced.
fn with(join: &str, value: &str) -> String {
    format!(
        "version: 1
measures:
  m:
    kinds: [survey_response]
    joins:
      check: {{ {join} }}
    value: {value}
metrics:
  k: {{ mean: m }}
"
    )
}

const CHECK: &str = "kinds: [response_verified], on: response_id, to: event_id, fields: { verdict: { last: verdict } }";

fn fingerprint(catalog: &Catalog) -> String {
    catalog.plan.definitions[0].fingerprint.to_string()
}

#[test]
fn a_definition_without_joins_keeps_its_identity() {
    let plain = "version: 1\nmeasures:\n  m: { kinds: [rating], value: score, first_per: customer }\nmetrics:\n  k: { count: m }\n";
    // SHA-256 of its parts, computed apart from this program when there were no joins.
    assert_eq!(fingerprint(&catalog(plain)), "c7764a1bc432cd10");
}

#[test]
fn all_that_is_joined_is_part_of_the_identity() {
    let of = |join: &str| fingerprint(&catalog(&with(join, "overall")));
    let all = [
        CHECK.to_owned(),
        CHECK.replace("last:", "first:"),
        CHECK.replace("to: event_id", "to: invitation_id"),
        CHECK.replace("kinds: [response_verified], ", ""),
        format!("{CHECK}, before: 1d"),
        format!("{CHECK}, after: 1d"),
        format!("{CHECK}, before: 1d, apart: 1s"),
        format!("{CHECK}, after: 1d, apart: 1s"),
        format!("{CHECK}, filter: identity_verified"),
    ]
    .map(|join| of(&join));
    let different: std::collections::BTreeSet<&String> = all.iter().collect();
    assert_eq!(different.len(), all.len());
}

#[test]
fn what_does_not_hold_is_refused_with_its_place() {
    let expect = |join: &str, expected: &str| assert_eq!(problems(&with(join, "overall")), [expected], "{join}");
    expect(&CHECK.replace("response_verified", "response_checked"), "6: `response_checked` is not a kind of event");
    expect(&CHECK.replace("{ last: verdict }", "{ }"), "6: a joined field has exactly one aggregate, here are 0");
    expect(
        &CHECK.replace("last: verdict", "last: verdict, first: verdict"),
        "6: a joined field has exactly one aggregate, here are 2",
    );
    expect(&CHECK.replace("fields: { verdict: { last: verdict } }", "fields: {}"), "6: the join `check` reads nothing");
    expect(&format!("{CHECK}, before: soon"), "6: `soon` is not a duration of a second or more");
    for sides in ["apart: 1s", "before: 1d, after: 1d, apart: 1s", "before: 1h, apart: 2h"] {
        let expected = "6: `apart` is of a join with `before` or `after` alone, and at most as long";
        expect(&format!("{CHECK}, {sides}"), expected);
    }
    expect(
        &CHECK.replace("last: verdict", "sum: verdict"),
        "6: only numbers have a sum (`count` counts what is not NULL)",
    );
    let starts = |join: &str, value: &str, expected: &str| {
        let found = problems(&with(join, value));
        assert!(found.len() == 1 && found[0].starts_with(expected), "{join}: {found:?}");
    };
    starts(
        &CHECK.replace("on: response_id", "on: responded_id"),
        "overall",
        "6: Schema error: No field named responded_id",
    );
    starts(&CHECK.replace("last: verdict", "last: verdikt"), "overall", "6: Schema error: No field named verdikt");
    starts(&CHECK.replace("on: response_id", "on: answers"), "overall", "6: the expression yields Map");
    starts(&CHECK.replace("on: response_id", "on: due_at"), "overall", "6: `on` yields Timestamp");
    starts(&CHECK.replace("last: verdict", "last: answers"), "overall", "6: the expression yields Map");
    starts(CHECK, "check_verdikt", "7: Schema error: No field named check_verdikt");
    starts(CHECK, "check_verdict", "7: the expression yields Utf8");
}

#[test]
fn an_unknown_aggregate_is_named_with_those_that_there_are() {
    let found = problems(&with(&CHECK.replace("last:", "median:"), "overall"));
    let expected = ["6: a joined field has exactly one aggregate, here are 0", "6: unknown field `median`"];
    assert_eq!(found, expected);
}

#[test]
fn a_joined_column_has_a_name_of_its_own() {
    let taken = with(CHECK, "overall").replace("check:", "response:").replace("verdict: {", "id: {");
    assert_eq!(problems(&taken), ["6: the joined column `response_id` has the name of an event's column"]);
    let second = "\n      check_a: { on: response_id, to: event_id, fields: { b: { last: verdict } } }\n    value: ";
    let twice = with(&CHECK.replace("verdict: {", "a_b: {"), "overall").replace("\n    value: ", second);
    assert_eq!(problems(&twice), ["7: the joined column `check_a_b` has the name of the column of another join"]);
}

#[test]
fn joined_fields_are_for_value_and_weight_alone() {
    let filtered = with(CHECK, "overall").replace("    value:", "    filter: check_verdict = 'valid'\n    value:");
    let found = problems(&filtered);
    assert!(found.len() == 1 && found[0].starts_with("7: Schema error: No field named check_verdict"), "{found:?}");
    let each = with(CHECK, "overall").replace("    value:", "    per_answer: true\n    value:");
    assert_eq!(problems(&each), ["7: a measure has `joins` or `per_answer`, not both"]);
}

/// Accepted events.
fn events(lines: &[&str]) -> RecordBatch {
    let spec = SourceSpec { name: "s".into(), mapping: None, scales: Arc::default() };
    let decoder = Decoder::new(spec, Limits::default());
    let mut builder = RecordsBuilder::new(Limits::default());
    for (offset, line) in (0..).zip(lines) {
        let payload = Some(line.as_bytes());
        let record = Record { topic: "t", partition: 0, offset, timestamp_ms: None, payload, headers: &[] };
        builder.append_event(&record, 0, Outcome::Accepted, &decoder.decode(&record, None).unwrap());
    }
    builder.finish().unwrap()
}

/// Takes events in as the pipeline does, and gives value and weight of all that comes of it.
fn take(catalog: &Catalog, engine: &mut Engine, lines: &[&str], sign: Sign) -> Vec<(i128, i128, Sign)> {
    let evaluator = Evaluator::new(catalog).unwrap();
    let events = events(lines);
    let signs = vec![sign; lines.len()];
    let own = evaluator.measure(&events, &signs).unwrap().next().unwrap();
    assert_eq!(own.batch.measures[0].selected.true_count(), 0, "a measure with joins reads nothing by itself");
    let [input] = <[JoinInput; 1]>::try_from(evaluator.joins(&events, &signs).unwrap()).unwrap();
    let measured = evaluator.measure_joined(0, &engine.join(input)).unwrap();
    let measure = &measured.batch.measures[0];
    let row = |row: usize| (measure.value.value(row), measure.weight.value(row), measured.signs[row]);
    (0..measured.batch.rows()).map(row).collect()
}

const RESPONSE: &str = r#"{"event_id":"r","kind":"survey_response","event_time":"2026-01-02T00:00:00Z",
    "answers":{"q":"4"},"weight":2}"#;
const VALID: &str = r#"{"event_id":"v","kind":"response_verified","event_time":"2026-01-03T00:00:00Z",
    "response_id":"r","verdict":"valid"}"#;
const FAKE: &str = r#"{"event_id":"f","kind":"response_verified","event_time":"2026-01-04T00:00:00Z",
    "response_id":"r","verdict":"fake"}"#;

#[test]
fn an_event_is_measured_anew_with_all_that_its_expressions_read() {
    let value = "case when check_verdict = 'fake' then null else cast(answers['q'] as int) * 10 + check_calls end\n    \
                 weight: weight";
    let calls = CHECK.replace("verdict: {", "calls: { count: event_id }, verdict: {");
    let catalog = catalog(&with(&calls, value));
    let mut engine = Engine::new(catalog.plan.clone());
    let mut take = |lines: &[&str], sign| take(&catalog, &mut engine, lines, sign);
    let (points, whole) = (10_000, 2_000_000);
    assert_eq!(take(&[RESPONSE], Sign::Count), [(40 * points, whole, Sign::Count)]);
    let valid = take(&[VALID], Sign::Count);
    assert_eq!(valid, [(40 * points, whole, Sign::Replace), (41 * points, whole, Sign::Count)]);
    // What is NULL leaves its trace, and weighs nothing.
    assert_eq!(take(&[FAKE], Sign::Count)[1], (0, 0, Sign::Count));
    assert_eq!(take(&[FAKE], Sign::Recall), [(0, 0, Sign::Recall), (41 * points, whole, Sign::Count)]);
    assert_eq!(take(&[RESPONSE], Sign::Recall), [(41 * points, whole, Sign::Recall)]);
    assert_eq!(take(&[RESPONSE], Sign::Touch), [(40 * points, whole, Sign::Touch)], "void: joined to nothing");
}

#[test]
fn every_kind_of_field_comes_through() {
    let fields = "first_at: { first: event_time }, who: { min: customer }, ok: { last: identity_verified }, \
                  most: { max: score }, all: { sum: layer }, kinds: { distinct: kind }";
    let join = format!("on: campaign, to: campaign, fields: {{ {fields} }}");
    // The anchor is of the campaign too, and so joined to itself: the first of three kinds.
    let value = "case when check_first_at = timestamp '2026-01-02T00:00:00Z' and check_who = 'a' and check_ok \
                 and check_most = 7.5 and check_all = 5 and check_kinds = 3 then 1 else 0 end";
    let catalog = catalog(&with(&join, value));
    let mut engine = Engine::new(catalog.plan.clone());
    let partners = [
        r#"{"event_id":"a","kind":"response_verified","event_time":"2026-01-03T00:00:00Z","response_id":"r",
            "verdict":"valid","campaign":"c","identity_verified":true,"customer":"b","layer":2}"#,
        r#"{"event_id":"b","kind":"rating","event_time":"2026-01-05T00:00:00Z","score":7.5,"scale":"0-100",
            "campaign":"c","customer":"a","layer":3}"#,
    ];
    assert!(take(&catalog, &mut engine, &partners, Sign::Count).is_empty());
    let anchor = r#"{"event_id":"r","kind":"survey_response","event_time":"2026-01-02T00:00:00Z","campaign":"c"}"#;
    assert_eq!(take(&catalog, &mut engine, &[anchor], Sign::Count), [(10_000, 1_000_000, Sign::Count)]);
}
