//! Distinct counts and quantiles: what is said of them, and what is refused.

use satisflow_kpi::Metric;

use crate::support::{catalog, problems};

fn with(measure: &str, metric: &str) -> String {
    format!("version: 1\nmeasures:\n  m: {{ {measure} }}\nmetrics:\n  k: {{ {metric} }}\n")
}

#[test]
fn a_quantiles_share_is_kept_to_the_millionth_and_is_part_of_the_identity() {
    let of = |said: &str| {
        let catalog = catalog(&with("value: score", &format!("quantile: {{ measure: m, at: {said} }}")));
        let definition = &catalog.plan.definitions[0];
        (definition.metric, definition.fingerprint.to_string())
    };
    let (metric, median) = of("0.5");
    assert_eq!(metric, Metric::Quantile { measure: 0, millionths: 500_000, digits: None });
    let (rounded, of_three) = of("0.5, digits: 3");
    assert_eq!(rounded, Metric::Quantile { measure: 0, millionths: 500_000, digits: Some(3) });
    assert!(of_three != median && of_three != of("0.5, digits: 4").1);
    assert_eq!(of("\"0.500\"").1, median, "one meaning, one identity");
    assert_ne!(of("0.500001").1, median);
}

#[test]
fn what_is_counted_is_part_of_the_identity() {
    let of = |key: &str| catalog(&with(&format!("distinct: {key}"), "distinct: m")).plan.definitions[0].clone();
    assert_eq!(of("customer").metric, Metric::Distinct(0));
    assert_ne!(of("customer").fingerprint, of("order_id").fingerprint);
}

#[test]
fn what_does_not_hold_is_refused_with_its_line() {
    let expect = |measure: &str, metric: &str, expected: &str| {
        assert_eq!(problems(&with(measure, metric)), [expected], "{measure} {metric}");
    };
    for at in ["0", "1", "1.5", "-0.5", "0.1234567"] {
        let metric = format!("quantile: {{ measure: m, at: {at} }}");
        expect("value: score", &metric, "5: a quantile's share is above 0 and below 1, of at most 6 decimals");
    }
    for digits in ["0", "10"] {
        let metric = format!("quantile: {{ measure: m, at: 0.5, digits: {digits} }}");
        let expected = format!("5: `{digits}` significant digits; from 1 to 9 can be asked for");
        expect("value: score", &metric, &expected);
    }
    expect("value: score", "distinct: m", "5: measure `m` does not say what is counted");
    expect("value: score", "quantile: { measure: n, at: 0.5 }", "5: there is no measure `n`");
    let both = "distinct: customer, last_per: customer";
    expect(both, "distinct: m", "3: a measure has `distinct`, or `first_per` or `last_per`, not both");
    let unknown = problems(&with("distinct: custommer", "distinct: m"));
    assert!(unknown.len() == 1 && unknown[0].starts_with("3: ") && unknown[0].contains("custommer"), "{unknown:?}");
}
