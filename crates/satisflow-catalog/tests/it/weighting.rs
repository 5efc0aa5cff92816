//! Populations and half-lives: what is said of them, and what is refused.

use std::collections::BTreeMap;

use arrow::array::{Array, RecordBatch};
use satisflow_catalog::Evaluator;
use satisflow_kpi::{Metric, Population, Rate, Sign, StratumTarget, Weighting};

use crate::support::{answered, catalog, problems};

const DAY: i64 = 86_400_000_000;

/// A catalog of one measure and one metric; the measure stands in line 7, the metric in line 9.
fn with(measure: &str, metric: &str) -> String {
    format!(
        "version: 1\nwindows:\n  7d: {{ length: 7d, step: 1d }}\n  1h: {{ length: 1h, step: 5m }}\n  \
         all: {{ all: true }}\nmeasures:\n  m: {{ {measure} }}\nmetrics:\n  k: {{ {metric} }}\n"
    )
}

const REGIONS: &str = "population: { region: { by: region, counts: { north: 40, south: 60 } } }";

#[test]
fn a_population_and_a_half_life_are_kept_and_are_part_of_the_identity() {
    let of = |measure: &str| catalog(&with(measure, "mean: m, windows: [7d]"));
    let found = of(&format!("value: score, {REGIONS}, half_life: 2d"));
    let population = Some(Population { margins: vec![vec![40_000_000, 60_000_000]] });
    assert_eq!(
        found.plan.weightings,
        BTreeMap::from([(0, Weighting { population, half_life: Some(2 * DAY), targets: Vec::new() })])
    );
    let identity = |measure: &str| of(measure).plan.definitions[0].fingerprint.to_string();
    let all = [
        "value: score".to_owned(),
        "value: score, half_life: 2d".to_owned(),
        "value: score, half_life: 3d".to_owned(),
        format!("value: score, {REGIONS}"),
        format!("value: score, {}", REGIONS.replace("60", "61")),
        format!("value: score, {}", REGIONS.replace("north", "west")),
        format!("value: score, {}", REGIONS.replace("by: region", "by: channel")),
    ];
    let different: std::collections::BTreeSet<String> = all.iter().map(|measure| identity(measure)).collect();
    assert_eq!(different.len(), all.len());
}

#[test]
fn the_cell_of_an_event_is_that_of_its_categories_and_none_outside() {
    let margins = "population: { a: { by: \"answers['a']\", counts: { x: 1, y: 2 } }, \
                   b: { by: \"answers['b']\", counts: { \"o'clock\": 1, p: 1, q: 1 } } }";
    let catalog = catalog(&with(&format!("value: '1', {margins}"), "mean: m"));
    let event = |a: &'static str, b: &'static str| BTreeMap::from([("a", a), ("b", b)]);
    let events = answered(&[
        event("x", "o'clock"),
        event("x", "q"),
        event("y", "o'clock"),
        event("y", "p"),
        event("z", "p"),
        BTreeMap::from([("a", "x")]),
    ]);
    assert_eq!(cells(&catalog, &events), [Some(0), Some(2), Some(3), Some(4), None, None]);
}

fn cells(catalog: &satisflow_catalog::Catalog, events: &RecordBatch) -> Vec<Option<u32>> {
    let signs = vec![Sign::Count; events.num_rows()];
    let measured = Evaluator::new(catalog).unwrap().measure(events, &signs).unwrap().next().unwrap();
    assert_eq!(measured.batch.measures[0].value.null_count(), 0);
    measured.batch.measures[0].cell.clone().unwrap()
}

#[test]
fn what_does_not_hold_is_refused_with_its_line() {
    let expect = |measure: &str, metric: &str, expected: &[&str]| {
        assert_eq!(problems(&with(measure, metric)), expected, "{measure} {metric}");
    };
    let margin =
        |counts: &str| format!("value: score, population: {{ region: {{ by: region, counts: {{ {counts} }} }} }}");
    let mean = "mean: m, windows: [7d]";
    expect(&margin("north: 0"), mean, &["7: `0` of a population are in `north`"]);
    expect(&margin("north: -4, south: 5"), mean, &["7: `-4` of a population are in `north`"]);
    expect(&margin(""), mean, &["7: a margin without a category"]);
    expect(&margin("north: 0.4, south: 0.5"), mean, &["7: the shares sum to 0.9"]);
    let two = "value: score, population: { a: { by: region, counts: { x: 60, y: 40 } }, \
               b: { by: channel, counts: { z: 99 } } }";
    expect(two, mean, &["7: the margins sum to different totals: `a` to 100, `b` to 99"]);
    let fading = "value: score, half_life: 36h";
    expect(fading, mean, &["9: the half-life is not a multiple of the step of window `7d`"]);
    expect(fading, "mean: m, windows: [all]", &["9: age counts in the steps of rolling windows, not in window `all`"]);
    expect("value: score, half_life: soon", mean, &["7: `soon` is not a duration of a second or more"]);
    for metric in ["sum: m", "quantile: { measure: m, at: 0.5 }", "ratio: { numerator: m, denominator: m }"] {
        let found = problems(&with(&format!("value: score, {REGIONS}"), metric));
        let expected = "9: measure `m` has a `population`, a `half_life` or `targets`, which only weigh means";
        assert!(found.len() == 1 && found[0].starts_with(expected), "{metric}: {found:?}");
    }
    let tested = "9: tests compare plain means, and `k` is weighted by a population or by age";
    expect(
        &format!("value: score, {REGIONS}"),
        "mean: m, windows: [7d], alerts: [{ window: 7d, drop: {} }]",
        &[tested],
    );
    let several = problems(&with(
        "value: score, population: { region: { by: regionn, counts: { north: 0, south: 1 } } }, half_life: 36h",
        mean,
    ));
    assert_eq!(several.len(), 3, "{several:?}");
    assert!(several.iter().any(|problem| problem.starts_with("7: ") && problem.contains("regionn")), "{several:?}");
}

const TARGETS: &str =
    "targets: { by: region, of: { north: { target: 85, weight: 0.2, share: 0.1 }, south: { target: 90.5 } } }";

#[test]
fn targets_are_kept_and_are_part_of_the_identity() {
    let of = |measure: &str| catalog(&with(measure, "shortfall: m, windows: [7d]"));
    let found = of(&format!("value: score, {TARGETS}, half_life: 2d"));
    let target = |target, weight| StratumTarget { target, weight };
    let targets = vec![target(850_000, 20_000_000_000), target(905_000, 1_000_000_000_000)];
    let weighting = Weighting { population: None, half_life: Some(2 * DAY), targets };
    assert_eq!(found.plan.weightings, BTreeMap::from([(0, weighting)]));
    assert_eq!(found.plan.definitions[0].metric, Metric::Shortfall(0));
    let identity = |targets: &str| of(&format!("value: score, {targets}")).plan.definitions[0].fingerprint.to_string();
    let others = [("85", "86"), ("share: 0.1", "share: 0.2"), ("south", "west"), ("by: region", "by: channel")];
    let all = others.map(|(from, to)| identity(&TARGETS.replace(from, to)));
    let different: std::collections::BTreeSet<String> = all.into_iter().chain([identity(TARGETS)]).collect();
    assert_eq!(different.len(), others.len() + 1);
    // The share multiplies the weight.
    assert_eq!(identity(&TARGETS.replace("0.2, share: 0.1", "0.02")), identity(TARGETS));
}

#[test]
fn targets_that_do_not_hold_are_refused_with_their_line() {
    let expect = |measure: &str, metric: &str, expected: &str| {
        assert_eq!(problems(&with(measure, metric)), [expected], "{measure} {metric}");
    };
    let of = |said: &str| format!("value: score, targets: {{ by: region, of: {{ {said} }} }}");
    let metric = "shortfall: m";
    let none = problems(&with(&of(""), metric));
    assert_eq!(none, ["7: targets of 0 strata", "9: measure `m` has no `targets` to stay below"]);
    expect(&of("north: { target: 0.00001 }"), metric, "7: `0.00001` is no target");
    expect(&of("north: { target: 5, weight: 0 }"), metric, "7: `0` is not above 0 and at most 1000000");
    expect(&of("north: { target: 5, share: 1.5 }"), metric, "7: `1.5` is not above 0 and at most 1");
    let both = format!("{}, {REGIONS}", of("north: { target: 5 }"));
    expect(&both, metric, "7: a measure has a `population` or `targets`, not both");
    expect("value: score", metric, "9: measure `m` has no `targets` to stay below");
    expect(&format!("value: score, {REGIONS}"), metric, "9: measure `m` has no `targets` to stay below");
    let targets = &format!("value: score, {TARGETS}");
    expect(targets, "mean: m", "9: measure `m` has `targets`, which only `shortfall` reads");
    let only = "9: measure `m` has a `population`, a `half_life` or `targets`, which only weigh means";
    expect(targets, "sum: m", only);
    expect(
        targets,
        "shortfall: m, validity: { n_planned: 5 }",
        "9: only a mean, a share or a balance of a survey is valid or not",
    );
    catalog(&with(targets, "count: m"));
    let unknown = problems(&with(&targets.replace("by: region", "by: regionn"), metric));
    assert!(unknown.len() == 1 && unknown[0].starts_with("7: ") && unknown[0].contains("regionn"), "{unknown:?}");
}

#[test]
fn counts_of_events_and_shares_of_the_population_are_fine() {
    let shares = "population: { region: { by: region, counts: { north: 0.4, south: 0.6 } } }";
    for metric in ["count: m", "mean: m", "share: m", "balance: m"] {
        catalog(&with(&format!("value: '1', {shares}"), metric));
    }
}

#[test]
fn a_wave_is_planned_by_its_size_or_by_its_error() {
    let planned = |said: &str| {
        let metric = format!("mean: m, windows: [7d], validity: {{ {said} }}");
        catalog(&with("value: score", &metric)).plan.definitions[0].clone()
    };
    assert_eq!(planned("n_planned: 12").validity.n_planned, 12);
    // F22
    assert_eq!(planned("error_max: 0.05").validity.n_planned, 385);
    assert_eq!(planned("error_max: 0.05, out_of: 2000").validity.n_planned, 323);
    let rated = planned("rates: { seen: { numerator: m, denominator: m, min: 0.25 } }, design_effect_max: 1.5");
    assert_eq!(rated.validity.design_effect_max, Some(1_500_000));
    assert_eq!(rated.validity.rates, [Rate { numerator: 0, denominator: 0, min: 250_000 }]);
    assert_ne!(planned("n_planned: 12").fingerprint, planned("n_planned: 13").fingerprint);
}

#[test]
fn a_scorecard_that_does_not_hold_is_refused_with_its_line() {
    let expect = |measure: &str, metric: &str, said: &str, expected: &str| {
        let metric = format!("{metric}, validity: {{ {said} }}");
        assert_eq!(problems(&with(measure, &metric)), [expected], "{measure} {metric}");
    };
    let score = "value: score";
    expect(score, "sum: m", "n_planned: 5", "9: only a mean, a share or a balance of a survey is valid or not");
    expect(score, "mean: m", "stratum_n_min: 5", "9: the measure has no strata");
    expect(score, "mean: m", "error_max: 1.5", "9: `1.5` is no error of a share");
    expect(
        score,
        "mean: m",
        "error_max: 0.1, n_planned: 5",
        "9: a sample is planned by `n_planned` or by `error_max`, not both",
    );
    expect(score, "mean: m", "out_of: 50", "9: `out_of` says nothing without `error_max`");
    expect(score, "mean: m", "design_effect_max: 0.9", "9: a design effect is never below 1, and here at most `0.9`");
    let rate = |numerator: &str, min: &str| {
        format!("rates: {{ r: {{ numerator: {numerator}, denominator: m, min: {min} }} }}")
    };
    expect(score, "mean: m", &rate("x", "0.5"), "9: there is no measure `x`");
    expect(score, "mean: m", &rate("m", "0"), "9: `0` is no rate to reach");
}
