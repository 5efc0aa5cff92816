//! Exact division and decimal text of wide integers.

use arrow::datatypes::i256;
use num_bigint::BigInt;

/// `numerator / denominator` rounded half to even; `None` when the denominator
/// is zero or the quotient is wider than 38 digits.
pub fn divide_half_even(numerator: i256, denominator: i256) -> Option<i128> {
    match (numerator.to_i128(), denominator.to_i128()) {
        (Some(numerator), Some(denominator)) => divide_narrow(numerator, denominator),
        _ => divide_wide(numerator, denominator),
    }
}

/// The same in 128 bits: nearly every value of a KPI.
fn divide_narrow(numerator: i128, denominator: i128) -> Option<i128> {
    let quotient = numerator.checked_div(denominator)?;
    let remainder = (numerator % denominator).unsigned_abs();
    let rest = denominator.unsigned_abs() - remainder;
    let away = remainder > rest || (remainder == rest && quotient % 2 != 0);
    let step = if (numerator < 0) == (denominator < 0) { 1 } else { -1 };
    fits_38_digits(if away { quotient + step } else { quotient })
}

fn divide_wide(numerator: i256, denominator: i256) -> Option<i128> {
    let quotient = numerator.checked_div(denominator)?;
    let remainder = numerator.checked_rem(denominator)?;
    let twice = remainder.checked_abs()?.checked_mul(i256::from_i128(2))?;
    let away = match twice.cmp(&denominator.checked_abs()?) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Greater => true,
        std::cmp::Ordering::Equal => quotient.checked_rem(i256::from_i128(2))? != i256::ZERO,
    };
    let step = if (numerator < i256::ZERO) == (denominator < i256::ZERO) { 1 } else { -1 };
    let rounded = if away { quotient.checked_add(i256::from_i128(step))? } else { quotient };
    fits_38_digits(rounded.to_i128()?)
}

/// The same of any size, of a denominator that is not below zero.
pub(crate) fn rounded_half_even(numerator: &BigInt, denominator: &BigInt) -> Option<i128> {
    if *denominator == BigInt::ZERO {
        return None;
    }
    let (quotient, remainder) = (numerator / denominator, numerator % denominator);
    let away = match (remainder.magnitude() * 2u32).cmp(denominator.magnitude()) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Greater => true,
        std::cmp::Ordering::Equal => quotient.bit(0),
    };
    let step = if *numerator < BigInt::ZERO { -1 } else { 1 };
    let rounded = if away { quotient + step } else { quotient };
    fits_38_digits(i128::try_from(rounded).ok()?)
}

fn fits_38_digits(value: i128) -> Option<i128> {
    (value.unsigned_abs() < 10u128.pow(38)).then_some(value)
}

/// The integer `value` as decimal text with `scale` digits after the point.
///
/// Shapes like `-0.0500`: always `scale` decimals, so equal values are equal text.
pub fn decimal_text(value: i256, scale: usize) -> String {
    let mut text = String::new();
    push_decimal(&mut text, value, scale);
    text
}

/// Appends [`decimal_text`].
pub(crate) fn push_decimal(text: &mut String, value: i256, scale: usize) {
    const DIGITS_MAX: usize = 80;
    let mut digits = [b'0'; DIGITS_MAX];
    let (mut low, mut start) = (value, DIGITS_MAX);
    // From the last digit on, as soon as it fits in machine integers.
    while low.to_i128().is_none() {
        let Some(digit) = low.checked_rem(i256::from_i128(10)).and_then(i256::to_i128) else { break };
        start -= 1;
        digits[start] = b'0' + u8::try_from(digit.unsigned_abs()).unwrap_or(0);
        low = low.wrapping_div(i256::from_i128(10));
    }
    let mut rest = low.to_i128().map_or(0, i128::unsigned_abs);
    while rest > 0 || start > DIGITS_MAX - scale - 1 {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let (whole, fraction) = digits[start..].split_at(DIGITS_MAX - start - scale);
    if value < i256::ZERO {
        text.push('-');
    }
    text.extend(whole.iter().map(|digit| char::from(*digit)));
    if scale > 0 {
        text.push('.');
    }
    text.extend(fraction.iter().map(|digit| char::from(*digit)));
}

/// The float next to a wide integer; exact up to 53 bits.
pub(crate) fn to_f64(value: i256) -> f64 {
    const TWO_TO_128: f64 = 340_282_366_920_938_463_463_374_607_431_768_211_456.0;
    match value.to_i128() {
        Some(small) => small as f64,
        None => {
            let (low, high) = value.to_parts();
            (high as f64).mul_add(TWO_TO_128, low as f64)
        }
    }
}

/// Wide integers as bytes, least significant first.
pub(crate) mod wide {
    use arrow::datatypes::i256;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &i256, serializer: S) -> Result<S::Ok, S::Error> {
        value.to_parts().serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i256, D::Error> {
        <(u128, i128)>::deserialize(deserializer).map(|(low, high)| i256::from_parts(low, high))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn divide(a: i128, b: i128) -> Option<i128> {
        divide_half_even(i256::from_i128(a), i256::from_i128(b))
    }

    #[test]
    fn ties_go_to_the_even_neighbour() {
        assert_eq!(divide(5, 2), Some(2));
        assert_eq!(divide(7, 2), Some(4));
        assert_eq!(divide(-5, 2), Some(-2));
        assert_eq!(divide(-7, 2), Some(-4));
        assert_eq!(divide(8, 3), Some(3));
        assert_eq!(divide(-8, 3), Some(-3));
        assert_eq!(divide(1, 3), Some(0));
        assert_eq!(divide(1, 0), None);
    }

    #[test]
    fn division_without_bounds_agrees_where_the_others_reach() {
        for (a, b) in [(5, 2), (7, 2), (-5, 2), (-7, 2), (8, 3), (-8, 3), (1, 3), (i128::MAX, 3), (1, 0)] {
            assert_eq!(rounded_half_even(&BigInt::from(a), &BigInt::from(b)), divide_narrow(a, b), "{a} / {b}");
        }
        let (far, half) = (BigInt::from(10).pow(60), BigInt::from(10).pow(60) * 2);
        assert_eq!(rounded_half_even(&far, &half), Some(0));
        assert_eq!(rounded_half_even(&(far * 3), &half), Some(2));
    }

    #[test]
    fn narrow_and_wide_division_agree() {
        for (a, b) in [(5, 2), (7, -2), (-5, 2), (-7, -2), (1, 3), (2, 3), (i128::MAX, 3), (i128::MIN + 1, 7)] {
            let wide = divide_wide(i256::from_i128(a), i256::from_i128(b));
            assert_eq!(divide_narrow(a, b), wide, "{a} / {b}");
        }
        assert_eq!(divide_narrow(1, 0), None);
    }

    #[test]
    fn wide_text_and_floats_keep_what_they_can() {
        let wide = i256::from_i128(i128::MAX).wrapping_mul(i256::from_i128(1_000));
        let digits = wide.to_string();
        assert_eq!(decimal_text(wide, 0), digits);
        assert_eq!(decimal_text(wide.wrapping_neg(), 20), {
            let (whole, fraction) = digits.split_at(digits.len() - 20);
            format!("-{whole}.{fraction}")
        });
        let exact: f64 = digits.parse().unwrap();
        assert!((to_f64(wide) / exact - 1.0).abs() < 1e-15);
        assert!((to_f64(wide.wrapping_neg()) / exact + 1.0).abs() < 1e-15);
    }

    #[test]
    fn text_keeps_every_decimal() {
        assert_eq!(decimal_text(i256::from_i128(-500), 4), "-0.0500");
        assert_eq!(decimal_text(i256::from_i128(12), 0), "12");
        assert_eq!(decimal_text(i256::ZERO, 3), "0.000");
        assert_eq!(decimal_text(i256::ZERO, 0), "0");
        assert_eq!(decimal_text(i256::from_i128(1234567), 4), "123.4567");
    }
}
