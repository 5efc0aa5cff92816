//! Index trees: worked examples, the two forms of the rule against each other, refusals.

use std::collections::BTreeMap;

use crate::support::{answered, audit, catalog, engine, problems};

fn with_index(index: &str) -> String {
    format!("version: 1\nmeasures:\n  m:\n    index: {index}\nmetrics:\n  k: {{ mean: m }}\n")
}

fn event<'a>(answers: &[(&'a str, &'a str)]) -> BTreeMap<&'a str, &'a str> {
    answers.iter().copied().collect()
}

fn one(index: &str, answers: &[(&str, &str)]) -> Option<i128> {
    let (catalog, events) = (catalog(&with_index(index)), answered(&[event(answers)]));
    let found = engine(&catalog, &events);
    assert_eq!(found, audit(&catalog, &events), "the SQL of {index} says otherwise");
    found[0]
}

const FOUR: &str = "levels: { A: 1.0, B: 0.8, C: 0.4, D: 0 }";

#[test]
fn f1_four_levels_by_points() {
    let items = [("a", 40), ("b", 20), ("c", 15), ("d", 15), ("e", 10)];
    let items = items.map(|(item, weight)| format!("{item}: {{ weight: {weight}, {FOUR} }}")).join(", ");
    let answers = [("a", "A"), ("b", "B"), ("c", "A"), ("d", "C"), ("e", "D")];
    assert_eq!(one(&format!("{{ items: {{ {items} }} }}"), &answers), Some(77_0000));
}

#[test]
fn f3_a_latent_index_of_three_questions() {
    let index = |weights: [&str; 3], more: &str| {
        let items = ["overall", "expected", "ideal"].iter().zip(weights);
        let items = items.map(|(item, weight)| format!("{item}: {{ weight: {weight}, min: 1, max: 10 }}"));
        format!("{{ {more} items: {{ {} }} }}", items.collect::<Vec<_>>().join(", "))
    };
    let answers = [("overall", "8.2"), ("expected", "7.6"), ("ideal", "7.1"), ("other", "1")];
    assert_eq!(one(&index(["0.3885", "0.3190", "0.2925"], ""), &answers), Some(74_2983));
    assert_eq!(one(&index(["1", "1", "1"], "total: 3,"), &answers), Some(73_7037));
}

#[test]
fn s22_points_of_projects_and_ratios_of_their_parts() {
    let index = format!(
        "{{ items: {{ \
         P1: {{ weight: 40, items: {{ a: {{ weight: 0.6, {FOUR} }}, b: {{ weight: 0.4, {FOUR} }} }} }}, \
         P2: {{ weight: 30, items: {{ c: {{ weight: 0.5, {FOUR} }}, d: {{ weight: 0.5, {FOUR} }} }} }}, \
         P3: {{ weight: 10, {FOUR} }}, P4: {{ weight: 20, {FOUR} }} }} }}"
    );
    let answers = [("a", "A"), ("b", "B"), ("c", "B"), ("d", "C"), ("P3", "D"), ("P4", "A")];
    assert_eq!(one(&index, &answers), Some(74_8000));
}

const TWO: &str = "{ items: { q: { weight: 70, min: 1, max: 4 }, r: { weight: 30, levels: { yes: 1, no: 0 } } } }";

#[test]
fn the_answered_weights_count_as_the_whole_from_70_percent_on() {
    assert_eq!(one(TWO, &[("q", "3")]), Some(66_6667), "70 % answered");
    assert_eq!(one(TWO, &[("r", "yes")]), None, "30 % answered");
    let half = TWO.replace("{ items: { q", "{ answered_min: 0.3, items: { q");
    assert_eq!(one(&half, &[("r", "yes")]), Some(100_0000));
    assert_eq!(one(TWO, &[]), None);
}

#[test]
fn an_answer_that_is_none_of_the_items_is_not_there() {
    for answer in ["0", "4.0001", "five", "", "NaN", "1e30", "-1"] {
        assert_eq!(one(TWO, &[("q", answer), ("r", "no")]), None, "{answer:?}");
    }
    assert_eq!(one(TWO, &[("q", "4.0"), ("r", "maybe")]), Some(100_0000));
    assert_eq!(one(TWO, &[("q", "1"), ("r", "Yes")]), Some(0), "labels are compared as they are");
}

#[test]
fn both_forms_of_the_rule_agree_on_any_answers() {
    let index = format!(
        "{{ answered_min: 0.55, items: {{ \
         g: {{ weight: 0.6, items: {{ q1: {{ weight: 0.37, min: -2.5, max: 7 }}, \
           h: {{ weight: 0.63, items: {{ q2: {{ weight: 0.125, min: 0, max: 100 }}, \
             \"it's\": {{ weight: 0.875, {FOUR} }} }} }} }} }}, \
         q4: {{ weight: 0.4, min: 1, max: 7 }} }} }}"
    );
    let catalog = catalog(&with_index(&index));
    let texts =
        ["A", "B", "C", "D", "E", "1", "2", "3.3333", "6.99995", "7", "99.99", "-2.5", "-0", " 5", "1e1", "x", ""];
    let mut state = 20_261_124u64;
    let mut roll = |sides: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % sides
    };
    let mut one = || {
        let items = ["q1", "q2", "it's", "q4", "g"].into_iter().filter(|_| roll(5) > 0).collect::<Vec<_>>();
        items.into_iter().map(|item| (item, texts[roll(texts.len())])).collect::<BTreeMap<_, _>>()
    };
    let events: Vec<_> = (0..3000).map(|_| one()).collect();
    let batch = answered(&events);
    let found = engine(&catalog, &batch);
    for ((event, engine), audit) in events.iter().zip(&found).zip(audit(&catalog, &batch)) {
        assert_eq!(*engine, audit, "{event:?}");
    }
    let counted = found.iter().flatten().count();
    assert!((300..2700).contains(&counted), "{counted} of 3000 have an index: the rest of the test says little");
    assert!(found.iter().flatten().all(|index| (0..=100_0000).contains(index)));
    let part = batch.slice(1000, 500);
    assert_eq!(engine(&catalog, &part), found[1000..1500], "a part of a batch");
}

#[test]
fn what_does_not_hold_is_refused_with_its_line() {
    let index = |lines: &str| format!("version: 1\nmeasures:\n  m:\n    index:\n{lines}metrics:\n  k: {{ mean: m }}\n");
    let expect = |lines: &str, expected: &[&str]| assert_eq!(problems(&index(lines)), expected, "{lines}");
    let items = |items: &str| format!("      items:\n{items}");
    expect(
        &items("        a: { weight: 40, min: 1, max: 5 }\n        b: { weight: 59, min: 1, max: 5 }\n"),
        &["5: the weights of the index sum to 99"],
    );
    expect(
        &items(
            "        g:\n          weight: 1\n          items:\n            a: { weight: 0.5, min: 1, max: 5 }\n            b: { weight: 0.4, min: 1, max: 5 }\n",
        ),
        &["8: the weights of these items sum to 0.9"],
    );
    expect(
        &items("        a: { weight: 1 }\n"),
        &["6: how answers to `a` are graded is said in no or in several ways"],
    );
    expect(
        &items("        a: { weight: 1, min: 5, max: 1 }\n"),
        &["6: `min` and `max` are no range of at most 4 decimals"],
    );
    expect(
        &items("        a: { weight: 1, levels: { A: 1.5 } }\n"),
        &["6: `A` does not give 0 to 1, of at most 4 decimals"],
    );
    expect(
        &items("        a: { weight: -1, min: 1, max: 5 }\n        b: { weight: 2, min: 1, max: 5 }\n"),
        &["6: the weight of `a` is not a number above 0 of at most 6 decimals"],
    );
    expect(
        &items(
            "        a: { weight: 0.5, min: 1, max: 5 }\n        g: { weight: 0.5, items: { a: { weight: 1, min: 1, max: 5 } } }\n",
        ),
        &["7: the item `a` stands twice in the index"],
    );
    expect(
        &format!("      answered_min: 2\n{}", items("        a: { weight: 1, min: 1, max: 5 }\n")),
        &["5: this is not a share above 0 and at most 1"],
    );
    expect(
        &items(
            "        a: { weight: 0.123457, min: 0, max: 9.9973 }\n        b: { weight: 0.876543, min: 0, max: 9.9989 }\n",
        ),
        &["4: the weights and ranges of the index have too many digits to be added up exactly"],
    );
}

#[test]
fn an_index_is_no_value_beside_another() {
    let text = "version: 1\nmeasures:\n  m:\n    value: score\n    index: { items: { a: { weight: 1, min: 1, max: 5 } } }\nmetrics:\n  k: { mean: m }\n";
    assert_eq!(problems(text), ["5: a measure has a `value` or an `index`, not both"]);
}
