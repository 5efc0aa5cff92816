//! The exact sums that a KPI value and its statistics are made of.

use arrow::datatypes::i256;
use serde::{Deserialize, Serialize};

/// Decimals of a measured value (score, units, amount).
pub const VALUE_SCALE: usize = 4;
/// Decimals of a weight.
pub const WEIGHT_SCALE: usize = 6;

/// A sum that left its integer type. Never a wrong value: the engine stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sum has left the range of its integer type")]
pub struct Overflow;

/// Sums over a set of events; adding and removing an event are inverse.
///
/// With `w` a weight of 6 decimals and `x` a value of 4: `w` has 6 decimals,
/// `wx` 10, `ww` 12, `wwx` 16, `wwxx` 20. `base` is the sum of `w x` of a
/// ratio's denominator, 10 decimals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// Events with a weight above 0.
    pub n: i64,
    /// Events of the denominator with a weight above 0.
    pub base_n: i64,
    /// Sum of weights, 6 decimals.
    pub w: i128,
    /// Sum of weight times value, 10 decimals.
    pub wx: i128,
    /// Sum of squared weights, 12 decimals.
    pub ww: i128,
    /// Sum of squared weight times value, 16 decimals.
    #[serde(with = "crate::exact::wide")]
    pub wwx: i256,
    /// Sum of squared weight times squared value, 20 decimals.
    #[serde(with = "crate::exact::wide")]
    pub wwxx: i256,
    /// Denominator's sum of weight times value, 10 decimals.
    pub base: i128,
}

impl Sums {
    /// The sums of one event as the metric's (numerator) measure.
    pub fn of_event(weight: i64, value: i64) -> Sums {
        let (w, x) = (i128::from(weight), i128::from(value));
        let (ww, xx) = (w * w, x * x);
        Sums {
            n: i64::from(weight > 0),
            w,
            wx: w * x,
            ww,
            wwx: i256::from_i128(ww).wrapping_mul(i256::from_i128(x)),
            wwxx: i256::from_i128(ww).wrapping_mul(i256::from_i128(xx)),
            ..Sums::default()
        }
    }

    /// The sums of one event as a ratio's denominator measure.
    pub fn of_base_event(weight: i64, value: i64) -> Sums {
        Sums { base_n: i64::from(weight > 0), base: i128::from(weight) * i128::from(value), ..Sums::default() }
    }

    /// Adds `other`.
    ///
    /// # Errors
    /// [`Overflow`] when a sum leaves its type; `self` is then unusable.
    pub fn add(&mut self, other: &Sums) -> Result<(), Overflow> {
        self.n = self.n.checked_add(other.n).ok_or(Overflow)?;
        self.base_n = self.base_n.checked_add(other.base_n).ok_or(Overflow)?;
        self.w = self.w.checked_add(other.w).ok_or(Overflow)?;
        self.wx = self.wx.checked_add(other.wx).ok_or(Overflow)?;
        self.ww = self.ww.checked_add(other.ww).ok_or(Overflow)?;
        self.wwx = self.wwx.checked_add(other.wwx).ok_or(Overflow)?;
        self.wwxx = self.wwxx.checked_add(other.wwxx).ok_or(Overflow)?;
        self.base = self.base.checked_add(other.base).ok_or(Overflow)?;
        Ok(())
    }

    /// Takes `other` away.
    ///
    /// # Errors
    /// [`Overflow`] as for [`Sums::add`].
    pub fn subtract(&mut self, other: &Sums) -> Result<(), Overflow> {
        self.add(&other.negated())
    }

    /// The inverse of these sums.
    pub fn negated(&self) -> Sums {
        Sums {
            n: -self.n,
            base_n: -self.base_n,
            w: -self.w,
            wx: -self.wx,
            ww: -self.ww,
            wwx: self.wwx.wrapping_neg(),
            wwxx: self.wwxx.wrapping_neg(),
            base: -self.base,
        }
    }

    /// Whether nothing is counted.
    pub fn is_zero(&self) -> bool {
        *self == Sums::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adding_and_removing_cancel_out() {
        let event = Sums::of_event(2_500_000, 875_000);
        let mut sums = Sums::of_event(1_000_000, -40_000);
        let before = sums;
        sums.add(&event).unwrap();
        assert_ne!(sums, before);
        sums.subtract(&event).unwrap();
        assert_eq!(sums, before);
    }

    #[test]
    fn overflow_is_an_error() {
        let mut sums = Sums { w: i128::MAX, ..Sums::default() };
        assert_eq!(sums.add(&Sums::of_event(1, 1)), Err(Overflow));
    }

    #[test]
    fn weight_zero_counts_in_no_n() {
        assert_eq!(Sums::of_event(0, 50_000), Sums::default());
    }
}
