//! Times on the command line.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// µs since the epoch of an RFC 3339 time, or of a date's midnight in UTC.
///
/// # Errors
/// What a time looks like.
pub(crate) fn micros(text: &str) -> Result<i64, String> {
    let midnight = |date: Date| date.to_zoned_datetime(TimeZone::UTC).map(|zoned| zoned.timestamp());
    // A date with a time and no zone is no date: which moment is meant is not known.
    let date = (text.len() == "2026-11-01".len()).then(|| text.parse::<Date>().and_then(midnight));
    match date.unwrap_or_else(|| text.parse::<Timestamp>()) {
        Ok(time) => Ok(time.as_microsecond()),
        Err(_) => Err("write a date such as 2026-11-01, or a time with its zone, 2026-11-01T06:30:00Z".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::micros;

    #[test]
    fn dates_and_times_with_a_zone_are_times() {
        assert_eq!(micros("2026-11-01"), Ok(1_793_491_200_000_000));
        assert_eq!(micros("2026-11-01T02:00:00.000001+02:00"), Ok(1_793_491_200_000_001));
        assert!(["2026-11-01T00:00:00", "yesterday", "2026-13-01"].map(micros).iter().all(Result::is_err));
    }
}
