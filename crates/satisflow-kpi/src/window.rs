//! Windows: which pane an event falls into, and which window ends it touches.
//!
//! A window's content is a run of panes. A pane is the finest piece in which a
//! window can gain or lose events: one step of a rolling window, one whole
//! period of a calendar window. A window of several periods is a window for each
//! of its ends: an event is in one pane of each. All times are µs since the Unix epoch.

use std::sync::Arc;

use jiff::{Timestamp, ToSpan, civil, tz::TimeZone};
use serde::{Deserialize, Serialize};

const DAY_MICROS: i64 = 86_400_000_000;

/// A named period of the civil calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CalendarUnit {
    /// A day.
    Day,
    /// An ISO week, from Monday.
    Week,
    /// A month.
    Month,
    /// Three months from January, April, July or October.
    Quarter,
    /// Six months from January or July.
    HalfYear,
    /// A year.
    Year,
}

impl CalendarUnit {
    /// The unit as catalogs write it.
    pub fn as_str(self) -> &'static str {
        match self {
            CalendarUnit::Day => "day",
            CalendarUnit::Week => "week",
            CalendarUnit::Month => "month",
            CalendarUnit::Quarter => "quarter",
            CalendarUnit::HalfYear => "half_year",
            CalendarUnit::Year => "year",
        }
    }
}

/// How far a window reaches.
#[derive(Debug, Clone)]
pub enum WindowSpan {
    /// `[end - length, end)` for every end that is a multiple of `step` from
    /// the epoch; `step` divides `length`. Both in µs.
    Rolling {
        /// How far back the window reaches.
        length: i64,
        /// The distance of two ends.
        step: i64,
    },
    /// Periods of the calendar in a zone, up to the end of each.
    Calendar {
        /// The period.
        unit: CalendarUnit,
        /// The zone whose midnights bound it.
        zone: TimeZone,
        /// How many of them, that of the end included: at least 1.
        last: u32,
    },
    /// Everything before each UTC midnight: a rolling window without a length.
    All,
}

/// A window with the name that its rows carry.
#[derive(Debug, Clone)]
pub struct Window {
    /// The name in `kpis.window_name`.
    pub name: Arc<str>,
    /// What it covers.
    pub span: WindowSpan,
}

/// A pane: `[start, end)`, µs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Pane {
    pub(crate) start: i64,
    pub(crate) end: i64,
}

impl Pane {
    fn step_around(time: i64, step: i64) -> Pane {
        let start = time.div_euclid(step) * step;
        Pane { start, end: start + step }
    }
}

impl Window {
    /// The pane that holds `time`.
    pub(crate) fn pane(&self, time: i64) -> Pane {
        match &self.span {
            WindowSpan::Rolling { step, .. } => Pane::step_around(time, *step),
            WindowSpan::All => Pane::step_around(time, DAY_MICROS),
            WindowSpan::Calendar { unit, zone, .. } => period(*unit, zone, time),
        }
    }

    /// How long after its pane's end an event stays: the length less a step.
    /// `None` means for ever.
    pub(crate) fn stay(&self) -> Option<i64> {
        match &self.span {
            WindowSpan::Rolling { length, step } => Some(length - step),
            WindowSpan::Calendar { .. } => Some(0),
            WindowSpan::All => None,
        }
    }

    /// The end at which the content of a pane is gone, if a row tells of it:
    /// rolling windows only.
    pub(crate) fn leave_end(&self, pane: Pane) -> Option<i64> {
        self.length().map(|length| pane.end + length)
    }

    /// The end of the pane that a row at `end` tells the leaving of: rolling windows only.
    pub(crate) fn left_at(&self, end: i64) -> Option<i64> {
        self.length().map(|length| end - length)
    }

    /// The last end that a pane's content touches; `None`: every later one.
    pub(crate) fn last_end(&self, pane: Pane) -> Option<i64> {
        self.leave_end(pane).or(self.stay().map(|_| pane.end))
    }

    /// How much time `panes` panes cover at most, µs.
    pub(crate) fn panes_micros(&self, panes: u32) -> i64 {
        let days: i64 = match &self.span {
            WindowSpan::Rolling { step, .. } => return step.saturating_mul(i64::from(panes)),
            WindowSpan::All | WindowSpan::Calendar { unit: CalendarUnit::Day, .. } => 1,
            WindowSpan::Calendar { unit: CalendarUnit::Week, .. } => 7,
            WindowSpan::Calendar { unit: CalendarUnit::Month, .. } => 31,
            WindowSpan::Calendar { unit: CalendarUnit::Quarter, .. } => 92,
            WindowSpan::Calendar { unit: CalendarUnit::HalfYear, .. } => 184,
            WindowSpan::Calendar { unit: CalendarUnit::Year, .. } => 366,
        };
        (days * DAY_MICROS).saturating_mul(i64::from(panes))
    }

    /// Length of a rolling window, µs.
    pub(crate) fn length(&self) -> Option<i64> {
        match &self.span {
            WindowSpan::Rolling { length, .. } => Some(*length),
            WindowSpan::Calendar { .. } | WindowSpan::All => None,
        }
    }

    /// Most panes that one window holds.
    pub(crate) fn panes_max(&self) -> usize {
        match &self.span {
            WindowSpan::Rolling { length, step } => usize::try_from(length / step).unwrap_or(usize::MAX),
            WindowSpan::Calendar { .. } => 1,
            WindowSpan::All => usize::MAX,
        }
    }

    /// Start of the window that ends at `end`; `None` for [`WindowSpan::All`].
    pub(crate) fn start_of(&self, end: i64) -> Option<i64> {
        match &self.span {
            WindowSpan::Rolling { length, .. } => Some(end - length),
            WindowSpan::Calendar { unit, zone, last } => {
                let start = |end: i64| period(*unit, zone, end.saturating_sub(1)).start;
                Some((1..*last).fold(start(end), |from, _| start(from)))
            }
            WindowSpan::All => None,
        }
    }
}

/// The civil period around `time`. Times outside the calendar's years (some
/// ±9999) fall into one period that reaches to the edge.
fn period(unit: CalendarUnit, zone: &TimeZone, time: i64) -> Pane {
    checked_period(unit, zone, time).unwrap_or(Pane { start: i64::MIN, end: i64::MAX })
}

fn checked_period(unit: CalendarUnit, zone: &TimeZone, time: i64) -> Option<Pane> {
    let date = Timestamp::from_microsecond(time).ok()?.to_zoned_datetime(zone.clone()).date();
    let (first, next) = civil_bounds(unit, date)?;
    Some(Pane { start: midnight(first, zone)?, end: midnight(next, zone)? })
}

fn midnight(date: civil::Date, zone: &TimeZone) -> Option<i64> {
    Some(date.to_zoned_datetime(zone.clone()).ok()?.timestamp().as_microsecond())
}

fn civil_bounds(unit: CalendarUnit, date: civil::Date) -> Option<(civil::Date, civil::Date)> {
    let (first, span) = match unit {
        CalendarUnit::Day => (date, 1.days()),
        CalendarUnit::Week => {
            let days_in = i64::from(date.weekday().to_monday_zero_offset());
            (date.checked_sub(days_in.days()).ok()?, 7.days())
        }
        CalendarUnit::Month => (date.first_of_month(), 1.months()),
        CalendarUnit::Quarter => (first_of_months(date, 3)?, 3.months()),
        CalendarUnit::HalfYear => (first_of_months(date, 6)?, 6.months()),
        CalendarUnit::Year => (date.first_of_year(), 12.months()),
    };
    Some((first, first.checked_add(span).ok()?))
}

fn first_of_months(date: civil::Date, months: i8) -> Option<civil::Date> {
    civil::Date::new(date.year(), (date.month() - 1) / months * months + 1, 1).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_microsecond()
    }

    fn show(pane: Pane) -> String {
        let at = |t| Timestamp::from_microsecond(t).unwrap().to_string();
        format!("{} {}", at(pane.start), at(pane.end))
    }

    fn calendar(unit: CalendarUnit, zone: &str, time: &str) -> String {
        show(period(unit, &TimeZone::get(zone).unwrap(), micros(time)))
    }

    #[test]
    fn the_month_edge_depends_on_the_zone() {
        let last_evening = "2026-10-31T17:00:00Z";
        assert_eq!(calendar(CalendarUnit::Month, "UTC", last_evening), "2026-10-01T00:00:00Z 2026-11-01T00:00:00Z");
        assert_eq!(
            calendar(CalendarUnit::Month, "Asia/Shanghai", last_evening),
            "2026-10-31T16:00:00Z 2026-11-30T16:00:00Z"
        );
    }

    #[test]
    fn a_day_of_a_clock_change_has_23_or_25_hours() {
        assert_eq!(
            calendar(CalendarUnit::Day, "Europe/Berlin", "2026-03-29T12:00:00Z"),
            "2026-03-28T23:00:00Z 2026-03-29T22:00:00Z"
        );
        assert_eq!(
            calendar(CalendarUnit::Day, "Europe/Berlin", "2026-10-25T12:00:00Z"),
            "2026-10-24T22:00:00Z 2026-10-25T23:00:00Z"
        );
    }

    #[test]
    fn several_periods_begin_where_the_first_of_them_does() {
        let window = |unit, last| {
            let zone = TimeZone::get("Asia/Shanghai").unwrap();
            Window { name: "w".into(), span: WindowSpan::Calendar { unit, zone, last } }
        };
        let start = |unit, last, end| {
            Timestamp::from_microsecond(window(unit, last).start_of(micros(end)).unwrap()).unwrap().to_string()
        };
        let end = "2026-08-31T16:00:00Z";
        assert_eq!(start(CalendarUnit::Month, 1, end), "2026-07-31T16:00:00Z");
        assert_eq!(start(CalendarUnit::Month, 6, end), "2026-02-28T16:00:00Z");
        assert_eq!(start(CalendarUnit::Quarter, 4, "2026-03-31T16:00:00Z"), "2025-03-31T16:00:00Z");
    }

    #[test]
    fn every_unit_has_its_bounds() {
        let at = "2026-11-26T12:00:00Z";
        let bounds = |unit| calendar(unit, "UTC", at);
        assert_eq!(bounds(CalendarUnit::Week), "2026-11-23T00:00:00Z 2026-11-30T00:00:00Z");
        assert_eq!(bounds(CalendarUnit::Quarter), "2026-10-01T00:00:00Z 2027-01-01T00:00:00Z");
        assert_eq!(bounds(CalendarUnit::HalfYear), "2026-07-01T00:00:00Z 2027-01-01T00:00:00Z");
        assert_eq!(bounds(CalendarUnit::Year), "2026-01-01T00:00:00Z 2027-01-01T00:00:00Z");
    }

    #[test]
    fn rolling_panes_are_steps_from_the_epoch_also_before_it() {
        let window = Window { name: "5m".into(), span: WindowSpan::Rolling { length: 300, step: 60 } };
        assert_eq!(window.pane(59), Pane { start: 0, end: 60 });
        assert_eq!(window.pane(60), Pane { start: 60, end: 120 });
        assert_eq!(window.pane(-1), Pane { start: -60, end: 0 });
        assert_eq!(window.leave_end(window.pane(59)), Some(360));
        assert_eq!(window.start_of(360), Some(60));
    }
}
