//! Compares with the reference values that `reference/make.py` got from SciPy.

use crate::distributions::{binomial_cdf, gamma_quantile, normal_cdf, probit};
use crate::intervals::wilson;

fn value(function: &str, a: f64, b: f64, c: f64) -> f64 {
    match function {
        "probit" => probit(a),
        "normal_cdf" => normal_cdf(a),
        "gamma_quantile" => gamma_quantile(a, b),
        "binomial_cdf" => binomial_cdf(a as u64, b as u64, c),
        "wilson_low" => wilson(a / b, b).low,
        "wilson_high" => wilson(a / b, b).high,
        other => panic!("no function {other}"),
    }
}

#[test]
fn distributions_agree_with_scipy() {
    let mut compared = 0;
    for line in include_str!("../reference/values.csv").lines().filter(|line| !line.starts_with('#')) {
        let (function, numbers) = line.split_once(',').unwrap();
        let numbers: Vec<f64> = numbers.split(',').map(|number| number.parse().unwrap()).collect();
        let [a, b, c, expected] = numbers[..] else { panic!("{line}") };
        let actual = value(function, a, b, c);
        let tolerance = 1e-10 * expected.abs().max(1.0);
        assert!((actual - expected).abs() <= tolerance, "{line}: {actual}");
        compared += 1;
    }
    assert!(compared > 200, "{compared} values compared");
}
