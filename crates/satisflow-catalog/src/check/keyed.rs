//! Of which events of a key the first, or the last, count.

use std::num::NonZeroU32;

use satisflow_kpi::{CalendarUnit, Kept};

use super::{Checker, ZONE_DEFAULT, calendar_unit, zone};
use crate::raw::{RawKeyed, RawMeasure};
use crate::resolved::KeyedBy;

const FIRST: &str = "first_per";
const LAST: &str = "last_per";

impl RawKeyed {
    pub(super) fn key(&self) -> &str {
        match self {
            RawKeyed::Key(key) => key,
            RawKeyed::Few(few) => &few.key,
        }
    }
}

/// What a measure says of its keys, in which field, and what that keeps.
pub(super) struct Said<'a> {
    pub(super) field: &'static str,
    of: fn(NonZeroU32) -> Kept,
    pub(super) raw: &'a RawKeyed,
}

pub(super) fn said(measure: &RawMeasure) -> Option<Said<'_>> {
    let first = measure.first_per.as_ref().map(|raw| Said { field: FIRST, of: Kept::First, raw });
    first.or_else(|| measure.last_per.as_ref().map(|raw| Said { field: LAST, of: Kept::Last, raw }))
}

pub(super) fn both(pointer: &str, measure: &RawMeasure, checker: &mut Checker<'_>) {
    if measure.first_per.is_some() && measure.last_per.is_some() {
        let message = "either the first events of a key count, or the last".to_owned();
        checker.problem(&format!("{pointer}/{LAST}"), message, "leave one of `first_per` and `last_per` out");
    }
}

/// The key with its macros expanded, and what else is said of it by a measure at a pointer.
pub(super) fn keyed(
    measure: &str,
    said: &Said<'_>,
    key: String,
    catalog_zone: Option<&str>,
    checker: &mut Checker<'_>,
) -> KeyedBy {
    let Said { field, of, raw } = said;
    let pointer = format!("{measure}/{field}");
    let RawKeyed::Few(few) = raw else { return KeyedBy { key, kept: of(NonZeroU32::MIN) } };
    let n = NonZeroU32::new(few.n.unwrap_or(1)).unwrap_or_else(|| {
        checker.problem(&format!("{pointer}/n"), "none of a key's events would count".to_owned(), "such as 3");
        NonZeroU32::MIN
    });
    let name = few.zone.as_deref().or(catalog_zone).unwrap_or(ZONE_DEFAULT);
    if few.zone.is_some() {
        zone(name, &format!("{pointer}/zone"), checker);
    }
    let key = match few.period {
        Some(unit) => format!("CAST(({key}) AS VARCHAR) || ' ' || {}", period(calendar_unit(unit), name)),
        None => key,
    };
    KeyedBy { key, kept: of(n) }
}

/// The period of an event as text.
fn period(unit: CalendarUnit, zone: &str) -> String {
    let local = format!("to_local_time(event_time AT TIME ZONE '{}')", zone.replace('\'', "''"));
    let begin = |unit: &str| format!("CAST(date_trunc('{unit}', {local}) AS VARCHAR)");
    match unit {
        CalendarUnit::Day => begin("day"),
        CalendarUnit::Week => begin("week"),
        CalendarUnit::Month => begin("month"),
        CalendarUnit::Quarter => begin("quarter"),
        CalendarUnit::Year => begin("year"),
        CalendarUnit::HalfYear => {
            format!("({} || CASE WHEN date_part('month', {local}) <= 6 THEN ' 1' ELSE ' 2' END)", begin("year"))
        }
    }
}
