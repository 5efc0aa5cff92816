//! How far the means of strata stay below their targets (S13).

use num_bigint::BigInt;
use serde::{Deserialize, Serialize};

use super::{Share, VALUE_TO_RESULT, Weighted};
use crate::exact::rounded_half_even;

/// Decimals of a target's weight.
const WEIGHT_UNIT: i64 = 1_000_000_000_000;

/// What the mean of a stratum is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StratumTarget {
    /// The mean to reach, 4 decimals.
    pub target: i64,
    /// What each point below it weighs, 12 decimals, above 0.
    pub weight: i64,
}

/// `sum weight * max(0, target - mean)`, one exact rational. Only strata below their targets have a part in its error:
/// the others may vary a little and change nothing.
pub(super) fn shortfall(targets: &[StratumTarget], shares: &[Share<'_>]) -> Weighted {
    let (mut numerator, mut denominator) = (BigInt::ZERO, BigInt::from(1));
    let mut variance = Some(0.0);
    for (StratumTarget { target, .. }, (weight, stratum)) in targets.iter().zip(shares) {
        let short = &stratum.w * *target - &stratum.wx;
        if short > BigInt::ZERO {
            numerator = numerator * &stratum.w + short * *weight * &denominator;
            denominator *= &stratum.w;
            let own = stratum.variance(*weight as f64 / WEIGHT_UNIT as f64);
            variance = variance.zip(own).map(|(sum, own)| sum + own);
        }
    }
    Weighted {
        value: rounded_half_even(&(numerator * VALUE_TO_RESULT), &(denominator * WEIGHT_UNIT)),
        n_eff: None,
        se: variance.map(|variance: f64| variance.max(0.0).sqrt()),
        is_representative: true,
    }
}
