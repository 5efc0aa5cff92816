//! Periods of the civil calendar by their names.

use jiff::Timestamp;
use jiff::civil::{Date, ISOWeekDate, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, ToSpan};
use satisflow_kpi::CalendarUnit;

/// A period, whatever the zone.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Period {
    /// As it was written.
    pub(crate) name: String,
    pub(crate) unit: CalendarUnit,
    first: Date,
    /// The day after the last.
    after: Date,
}

const FORMS: &str = "write a year (2026), half-year (2026-H1), quarter (2026-Q3), month (2026-11), ISO week (2026-W47) \
                     or day (2026-11-24)";

/// Reads a name.
///
/// # Errors
/// Which names there are.
pub(crate) fn parse(text: &str) -> Result<Period, String> {
    let wrong = || format!("`{text}` is not a period: {FORMS}");
    let (unit, first) = first_day(text).ok_or_else(wrong)?;
    let after = first.checked_add(length(unit)).map_err(|_| wrong())?;
    Ok(Period { name: text.to_owned(), unit, first, after })
}

fn first_day(text: &str) -> Option<(CalendarUnit, Date)> {
    let (year, part) = text.split_once('-').map_or((text, None), |(year, part)| (year, Some(part)));
    let year: i16 = digits(year, 4)?.try_into().ok()?;
    let month = |month: i64| Date::new(year, month.try_into().ok()?, 1).ok();
    let Some(part) = part else { return Some((CalendarUnit::Year, month(1)?)) };
    if let Some(half) = part.strip_prefix('H') {
        return Some((CalendarUnit::HalfYear, month(digits(half, 1).filter(|half| *half > 0)? * 6 - 5)?));
    }
    if let Some(quarter) = part.strip_prefix('Q') {
        return Some((CalendarUnit::Quarter, month(digits(quarter, 1).filter(|quarter| *quarter > 0)? * 3 - 2)?));
    }
    if let Some(week) = part.strip_prefix('W') {
        let monday = ISOWeekDate::new(year, digits(week, 2)?.try_into().ok()?, Weekday::Monday).ok()?;
        return Some((CalendarUnit::Week, monday.date()));
    }
    match part.split_once('-') {
        None => Some((CalendarUnit::Month, month(digits(part, 2)?)?)),
        Some((of_year, day)) => {
            let (of_year, day) = (digits(of_year, 2)?.try_into().ok()?, digits(day, 2)?.try_into().ok()?);
            Some((CalendarUnit::Day, Date::new(year, of_year, day).ok()?))
        }
    }
}

/// A number of exactly so many digits.
fn digits(text: &str, length: usize) -> Option<i64> {
    let plain = text.len() == length && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok())?
}

fn length(unit: CalendarUnit) -> Span {
    match unit {
        CalendarUnit::Day => 1.day(),
        CalendarUnit::Week => 1.week(),
        CalendarUnit::Month => 1.month(),
        CalendarUnit::Quarter => 3.months(),
        CalendarUnit::HalfYear => 6.months(),
        CalendarUnit::Year => 1.year(),
    }
}

impl Period {
    /// From its first midnight to the one after its last day.
    ///
    /// # Errors
    /// When the calendar ends within it.
    pub(crate) fn bounds(&self, zone: &TimeZone) -> Result<[Timestamp; 2], jiff::Error> {
        let midnight = |date: Date| date.to_zoned_datetime(zone.clone()).map(|zoned| zoned.timestamp());
        Ok([midnight(self.first)?, midnight(self.after)?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(text: &str) -> String {
        parse(text).map_or_else(|error| error, |period| format!("{} {}", period.first, period.after))
    }

    #[test]
    fn each_name_is_its_days() {
        assert_eq!(days("2026"), "2026-01-01 2027-01-01");
        assert_eq!(days("2026-H2"), "2026-07-01 2027-01-01");
        assert_eq!(days("2026-Q3"), "2026-07-01 2026-10-01");
        assert_eq!(days("2026-11"), "2026-11-01 2026-12-01");
        assert_eq!(days("2026-W47"), "2026-11-16 2026-11-23");
        assert_eq!(days("2026-W01"), "2025-12-29 2026-01-05", "its year is that of its Thursday");
        assert_eq!(days("2026-W53"), "2026-12-28 2027-01-04");
        assert_eq!(days("2028-02-29"), "2028-02-29 2028-03-01");
    }

    #[test]
    fn what_is_no_period_is_told_the_forms() {
        for text in [
            "",
            "26",
            "2026-H0",
            "2026-H3",
            "2026-Q5",
            "2026-13",
            "2026-1",
            "2025-W53",
            "2026-W00",
            "2026-02-29",
            "h1",
            "2026-h1",
            "２０２６",
            "2026-",
        ] {
            assert_eq!(days(text), format!("`{text}` is not a period: {FORMS}"));
        }
    }

    #[test]
    fn its_bounds_are_midnights_of_the_zone() {
        let zone = TimeZone::get("America/New_York").unwrap();
        let bounds = parse("2026-11-01").unwrap().bounds(&zone).unwrap();
        assert_eq!(bounds.map(|bound| bound.to_string()), ["2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"]);
    }
}
