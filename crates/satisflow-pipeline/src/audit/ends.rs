//! When a window ends, in SQL, and how far back it reaches.

use satisflow_kpi::{CalendarUnit, WindowSpan};

use super::columns::{COLUMNS, nothing};

pub(super) const DAY_MICROS: i64 = 86_400_000_000;

/// µs between two ends of a window, the longest there are.
pub(super) fn step(span: &WindowSpan) -> i64 {
    match span {
        WindowSpan::Rolling { step, .. } => *step,
        WindowSpan::All => DAY_MICROS,
        WindowSpan::Calendar { unit, .. } => days_max(*unit) * DAY_MICROS,
    }
}

/// More of `changes`: nothing changes, but for age, while a window with steps holds anything.
pub(super) fn aged(span: &WindowSpan, listed: &str) -> String {
    let WindowSpan::Rolling { length, step } = span else { return String::new() };
    let steps = length / step;
    if steps < 2 {
        return String::new();
    }
    let nothing = nothing();
    let enter = enter_end(span, "event_time");
    format!(
        "
  UNION ALL
  SELECT {listed}pane_end + k * {step} AS window_end, {nothing}
  FROM (SELECT {listed}pane_end, unnest(range(1, {steps})) AS k
        FROM (SELECT DISTINCT {listed}{enter} AS pane_end FROM measured))"
    )
}

/// µs before an end within which an event lies that has entered or left since
/// the end before; `None`: any time.
pub(super) fn reach(span: &WindowSpan, ago: u32) -> Option<i64> {
    match span {
        WindowSpan::Rolling { length, step } => Some(length + step),
        WindowSpan::All => None,
        // Local days may have 25 hours.
        WindowSpan::Calendar { unit, last, .. } => Some((days_max(*unit) * i64::from(*last + ago) + 1) * DAY_MICROS),
    }
}

fn days_max(unit: CalendarUnit) -> i64 {
    match unit {
        CalendarUnit::Day => 1,
        CalendarUnit::Week => 7,
        CalendarUnit::Month => 31,
        CalendarUnit::Quarter => 92,
        CalendarUnit::HalfYear => 184,
        CalendarUnit::Year => 366,
    }
}

/// What enters and, for a rolling window, leaves at each end; of a calendar window so many periods later.
pub(super) fn changes(span: &WindowSpan, listed: &str, counted: bool, ago: u32) -> String {
    let (item, item_gone) = if counted { (", item, held", ", item, -held AS held") } else { ("", "") };
    let columns = COLUMNS.map(|(name, ..)| name).join(", ") + item;
    let at = |end: &str| format!("  SELECT {listed}{end} AS window_end, {columns} FROM measured");
    let enter = at(&enter_end(span, "event_time"));
    match span {
        WindowSpan::Rolling { length, .. } => {
            let negated = COLUMNS.map(|(c, ..)| format!("-{c} AS {c}")).join(", ") + item_gone;
            let leave = format!("{} + {length}", enter_end(span, "event_time"));
            format!("{enter}\n  UNION ALL\n  SELECT {listed}{leave} AS window_end, {negated} FROM measured")
        }
        // An event stands in each of the windows that hold it.
        WindowSpan::Calendar { .. } => {
            let each: Vec<String> = later_ends(span, "event_time", ago).iter().map(|end| at(end)).collect();
            each.join("\n  UNION ALL\n")
        }
        WindowSpan::All => enter,
    }
}

/// µs of the ends of all windows that hold a time; of others than calendar windows the first.
pub(super) fn held_ends(span: &WindowSpan, time: &str) -> Vec<String> {
    later_ends(span, time, 0)
}

/// The same, of calendar windows so many periods later.
fn later_ends(span: &WindowSpan, time: &str, ago: u32) -> Vec<String> {
    match span {
        WindowSpan::Calendar { unit, zone, last } => {
            (ago..ago + *last).map(|later| calendar_end(*unit, zone.iana_name(), time, later)).collect()
        }
        _ => vec![enter_end(span, time)],
    }
}

/// µs of the first end after a time.
pub(super) fn enter_end(span: &WindowSpan, time: &str) -> String {
    match span {
        WindowSpan::Rolling { step, .. } => stepped(time, *step),
        WindowSpan::All => stepped(time, DAY_MICROS),
        WindowSpan::Calendar { unit, zone, .. } => calendar_end(*unit, zone.iana_name(), time, 0),
    }
}

/// The end of the period of a time, or of one some periods later.
fn calendar_end(unit: CalendarUnit, zone: Option<&str>, time: &str, later: u32) -> String {
    let zone = zone.unwrap_or("UTC");
    let local = format!("to_local_time(({time}) AT TIME ZONE '{zone}')");
    let later = if later > 0 { format!(" + INTERVAL '{}'", periods(unit, later)) } else { String::new() };
    format!(
        "CAST(arrow_cast(arrow_cast({}{later}, 'Timestamp(Microsecond, None)'), 'Timestamp(Microsecond, Some(\"{zone}\"))') AS BIGINT)",
        period_end(unit, &local)
    )
}

fn periods(unit: CalendarUnit, number: u32) -> String {
    match unit {
        CalendarUnit::Day => format!("{number} days"),
        CalendarUnit::Week => format!("{} days", 7 * number),
        CalendarUnit::Month => format!("{number} months"),
        CalendarUnit::Quarter => format!("{} months", 3 * number),
        CalendarUnit::HalfYear => format!("{} months", 6 * number),
        CalendarUnit::Year => format!("{number} years"),
    }
}

fn stepped(time: &str, step: i64) -> String {
    format!("(CAST(arrow_cast({time}, 'Timestamp(Microsecond, Some(\"UTC\"))') AS BIGINT) / {step} + 1) * {step}")
}

fn period_end(unit: CalendarUnit, local: &str) -> String {
    let plain = |name: &str, length: &str| format!("(date_trunc('{name}', {local}) + INTERVAL '{length}')");
    match unit {
        CalendarUnit::Day => plain("day", "1 day"),
        CalendarUnit::Week => plain("week", "7 days"),
        CalendarUnit::Month => plain("month", "1 month"),
        CalendarUnit::Quarter => plain("quarter", "3 months"),
        CalendarUnit::Year => plain("year", "1 year"),
        CalendarUnit::HalfYear => format!(
            "(CASE WHEN date_part('month', {local}) <= 6 THEN date_trunc('year', {local}) + INTERVAL '6 months' \
             ELSE date_trunc('year', {local}) + INTERVAL '12 months' END)"
        ),
    }
}
