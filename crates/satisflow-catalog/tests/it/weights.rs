//! Weights below 0: refused where they are one for all events, and of no account where an event has one.

use std::collections::BTreeMap;

use satisflow_catalog::Evaluator;
use satisflow_kpi::Sign;

use crate::support::{answered, catalog, problems};

/// A measure whose weight stands in line 5.
fn with(weight: &str) -> String {
    format!("version: 1\nmeasures:\n  m:\n    value: '1'\n    weight: \"{weight}\"\nmetrics:\n  k: {{ mean: m }}\n")
}

#[test]
fn a_weight_below_0_for_all_events_is_refused_with_its_line() {
    let expected = "5: the weight is below 0, where 0 or more is wanted: what counts against a score is a value";
    for weight in ["-1", "2 - 3", "cast(-0.000001 as decimal(18, 6))", "case when true then -1 else 1 end"] {
        assert_eq!(problems(&with(weight)), [expected], "{weight}");
    }
    for weight in ["0", "1", "3 - 2", "weight", "case item when 'a' then -1 else 1 end", "null"] {
        catalog(&with(weight));
    }
}

#[test]
fn an_event_whose_weight_is_below_0_is_not_selected() {
    let catalog = catalog(&with("try_cast(answers['w'] as decimal(18, 6))"));
    let weighing = |weight: &'static str| BTreeMap::from([("w", weight)]);
    let events = answered(&["2.5", "-0.000001", "0", "-3", "none"].map(weighing));
    let signs = vec![Sign::Count; events.num_rows()];
    let measured = Evaluator::new(&catalog).unwrap().measure(&events, &signs).unwrap().next().unwrap();
    let weights: Vec<Option<i128>> = measured.batch.measures[0].weight.iter().collect();
    assert_eq!(weights, [Some(2_500_000), None, Some(0), None, None]);
}
