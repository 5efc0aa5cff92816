//! Field values from the text they are written as; numbers never through a float.

use std::borrow::Cow;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::fields::Column;
use crate::reject::Reason;

/// What is wrong with a value: reason and message.
pub(crate) type Fault = (Reason, String);

/// Digits and decimals of a number column.
pub(crate) fn precision(column: Column) -> (u32, u32) {
    match column {
        Column::Weight => (12, 6),
        _ => (18, 4),
    }
}

/// The exact integer at `decimals` of a number written as JSON or plain decimal text.
pub(crate) fn number(text: &str, digits: u32, decimals: u32) -> Result<i64, Fault> {
    let parts = Parts::of(text).ok_or_else(|| (Reason::WrongType, format!("`{}` is not a number", shown(text))))?;
    let too_large = || (Reason::NumberTooLarge, format!("`{}` has more than {digits} digits", shown(text)));
    let trimmed = parts.digits.trim_start_matches('0').trim_end_matches('0');
    if trimmed.is_empty() {
        return Ok(0);
    }
    let dropped = parts.digits.trim_end_matches('0').len();
    let zeros = i64::try_from(parts.digits.len() - dropped).map_err(|_| too_large())?;
    let shift = i64::from(decimals) + parts.exponent + zeros;
    if shift < 0 {
        return Err((Reason::NumberTooPrecise, format!("`{}` has more than {decimals} decimals", shown(text))));
    }
    let size = i64::try_from(trimmed.len()).map_err(|_| too_large())? + shift;
    if size > i64::from(digits) {
        return Err(too_large());
    }
    let value = trimmed.parse::<i64>().map_err(|_| too_large())? * 10i64.pow(u32::try_from(shift).unwrap_or(0));
    Ok(if parts.negative { -value } else { value })
}

struct Parts {
    negative: bool,
    /// All digits, the point left out.
    digits: String,
    /// Power of ten of the last digit.
    exponent: i64,
}

impl Parts {
    fn of(text: &str) -> Option<Parts> {
        let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = match rest.find(['e', 'E']) {
            Some(at) => (&rest[..at], exponent(&rest[at + 1..])?),
            None => (rest, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let plain = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !plain(whole) || !plain(fraction) || mantissa.ends_with('.') {
            return None;
        }
        let exponent = i64::from(exponent) - i64::try_from(fraction.len()).ok()?;
        Some(Parts { negative, digits: format!("{whole}{fraction}"), exponent })
    }
}

/// Beyond any column's digits one exponent is as good as another.
fn exponent(text: &str) -> Option<i32> {
    const BEYOND: i32 = 1_000_000;
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let size = digits.parse::<i32>().map_or(BEYOND, |size| size.min(BEYOND));
    Some(if text.starts_with('-') { -size } else { size })
}

fn shown(text: &str) -> Cow<'_, str> {
    const SHOWN_MAX: usize = 60;
    match text.char_indices().nth(SHOWN_MAX) {
        Some((at, _)) => Cow::Owned(format!("{}...", &text[..at])),
        None => Cow::Borrowed(text),
    }
}

/// Full-width digits, point and minus as their ASCII forms, trimmed.
pub(crate) fn fold_digits(text: &str) -> Cow<'_, str> {
    let text = text.trim();
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let fold = |c: char| match c {
        '\u{ff10}'..='\u{ff19}' => char::from_u32(u32::from(c) - 0xff10 + 0x30).unwrap_or(c),
        '\u{ff0e}' => '.',
        '\u{ff0d}' | '\u{2212}' => '-',
        _ => c,
    };
    Cow::Owned(text.chars().map(fold).collect())
}

fn invalid_time(text: &str, wanted: &str) -> Fault {
    (Reason::InvalidTime, format!("`{}` is not {wanted}", shown(text)))
}

/// µs of RFC 3339 text with any offset; finer digits are cut off.
pub(crate) fn rfc3339(text: &str) -> Result<i64, Fault> {
    let parsed = text.parse::<Timestamp>().map_err(|_| invalid_time(text, "an RFC 3339 time with an offset"))?;
    Ok(parsed.as_microsecond())
}

/// µs of epoch milliseconds.
pub(crate) fn epoch_millis(text: &str) -> Result<i64, Fault> {
    let millis: i64 = text.parse().map_err(|_| invalid_time(text, "a whole number of milliseconds"))?;
    let parsed = Timestamp::from_millisecond(millis).map_err(|_| invalid_time(text, "a time before the year 10000"))?;
    Ok(parsed.as_microsecond())
}

/// µs of text in a strptime format; a date alone is midnight in the zone.
pub(crate) fn formatted(text: &str, format: &str, zone: &TimeZone) -> Result<i64, Fault> {
    let wrong = || invalid_time(text, &format!("a time of the form `{format}`"));
    let parts = jiff::fmt::strtime::parse(format, text.trim()).map_err(|_| wrong())?;
    if let Ok(instant) = parts.to_timestamp() {
        return Ok(instant.as_microsecond());
    }
    let civil = match parts.to_datetime() {
        Ok(civil) => civil,
        Err(_) => parts.to_date().map_err(|_| wrong())?.to_datetime(jiff::civil::Time::midnight()),
    };
    Ok(civil.to_zoned_datetime(zone.clone()).map_err(|_| wrong())?.timestamp().as_microsecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(text: &str) -> Result<i64, Reason> {
        number(text, 18, 4).map_err(|(reason, _)| reason)
    }

    #[test]
    fn numbers_are_exact_or_refused() {
        assert_eq!(score("9"), Ok(90_000));
        assert_eq!(score("-0.5"), Ok(-5_000));
        assert_eq!(score("1.50000000"), Ok(15_000));
        assert_eq!(score("1e2"), Ok(1_000_000));
        assert_eq!(score("25e-1"), Ok(25_000));
        assert_eq!(score("0.12345"), Err(Reason::NumberTooPrecise));
        assert_eq!(score("1e-9"), Err(Reason::NumberTooPrecise));
        assert_eq!(score("0e-9"), Ok(0));
        assert_eq!(score("99999999999999.9999"), Ok(999_999_999_999_999_999));
        assert_eq!(score("100000000000000"), Err(Reason::NumberTooLarge));
        assert_eq!(score("1e2147483647"), Err(Reason::NumberTooLarge));
        assert_eq!(score("1e99999999999"), Err(Reason::NumberTooLarge));
        assert_eq!(score("1e-99999999999"), Err(Reason::NumberTooPrecise));
        for text in ["", "-", ".5", "5.", "1 2", "NaN", "0x10", "1_000", "+1"] {
            assert_eq!(score(text), Err(Reason::WrongType), "{text}");
        }
    }

    #[test]
    fn times_of_every_form() {
        assert_eq!(rfc3339("2026-11-23T20:00:00+08:00").unwrap(), rfc3339("2026-11-23T12:00:00Z").unwrap());
        assert_eq!(epoch_millis("1795435200000").unwrap(), rfc3339("2026-11-23T12:00:00Z").unwrap());
        let zone = TimeZone::get("Asia/Shanghai").unwrap();
        assert_eq!(
            formatted("December 24, 2012", "%B %d, %Y", &zone).unwrap(),
            rfc3339("2012-12-23T16:00:00Z").unwrap()
        );
        assert_eq!(formatted("24.12.2012", "%B %d, %Y", &zone).unwrap_err().0, Reason::InvalidTime);
        assert_eq!(rfc3339("2026-11-23T12:00:00").unwrap_err().0, Reason::InvalidTime);
    }
}
