//! Exact division and decimal text of wide integers.

use arrow::datatypes::i256;

/// `numerator / denominator` rounded half to even; `None` when the denominator
/// is zero or the quotient is wider than 38 digits.
pub fn divide_half_even(numerator: i256, denominator: i256) -> Option<i128> {
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

fn fits_38_digits(value: i128) -> Option<i128> {
    (value.unsigned_abs() < 10u128.pow(38)).then_some(value)
}

/// The integer `value` as decimal text with `scale` digits after the point.
///
/// Shapes like `-0.0500`: always `scale` decimals, so equal values are equal text.
pub fn decimal_text(value: i256, scale: usize) -> String {
    let digits = value.to_string();
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", digits.as_str()),
    };
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// The nearest float to a wide integer; exact up to 53 bits.
pub(crate) fn to_f64(value: i256) -> f64 {
    match value.to_i128() {
        Some(small) => small as f64,
        None => value.to_string().parse().unwrap_or(f64::NAN),
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
    fn text_keeps_every_decimal() {
        assert_eq!(decimal_text(i256::from_i128(-500), 4), "-0.0500");
        assert_eq!(decimal_text(i256::from_i128(12), 0), "12");
        assert_eq!(decimal_text(i256::ZERO, 3), "0.000");
    }
}
