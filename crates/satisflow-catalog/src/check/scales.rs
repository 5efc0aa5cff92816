//! Scales of the catalog, brought to folded labels and numbers of 4 decimals.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use satisflow_document::{Decimal, escape};
use satisflow_model::fold_label;

use super::Checker;
use crate::literals::decimal;
use crate::raw::{RawClass, RawLabels, RawScale, RawScaleVersion};
use crate::scales::{BOUND_MAX, Label, Range, Scale, Scales, Values, Version};

const DECIMALS: usize = 4;
const UNIT: i64 = 10_000;

/// All scales; one with problems stands for NULL.
pub(super) fn scales(raw: &BTreeMap<String, RawScale>, zone: &TimeZone, checker: &mut Checker<'_>) -> Scales {
    raw.iter().map(|(name, raw)| (name.clone(), scale(name, raw, zone, checker).unwrap_or_default())).collect()
}

fn scale(name: &str, raw: &RawScale, zone: &TimeZone, checker: &mut Checker<'_>) -> Option<Scale> {
    let pointer = format!("/scales/{}", escape(name));
    let before = checker.problems.len();
    let versions: Vec<Option<Version>> = match raw {
        RawScale::Always(one) => vec![version(&pointer, one, zone, checker)],
        RawScale::Versions(many) => {
            let one = |(index, raw)| version(&format!("{pointer}/{index}"), raw, zone, checker);
            many.iter().enumerate().map(one).collect()
        }
    };
    if versions.is_empty() {
        checker.problem(&pointer, format!("the scale `{name}` has no version"), "say `min` and `max`, or `labels`");
    }
    let versions: Vec<Version> = versions.into_iter().collect::<Option<_>>()?;
    in_order(&pointer, &versions, checker);
    (checker.problems.len() == before).then_some(Scale { versions })
}

/// Each version begins after the one before, which it ends.
fn in_order(pointer: &str, versions: &[Version], checker: &mut Checker<'_>) {
    for (index, pair) in versions.windows(2).enumerate() {
        // Without a time the first begins before all others.
        if pair[0].from >= pair[1].from {
            let message = "this version overlaps the one before it".to_owned();
            let hint = "list versions from old to new; each but the first says `from` when it begins";
            checker.problem(&format!("{pointer}/{}/from", index + 1), message, hint);
        }
    }
}

fn version(pointer: &str, raw: &RawScaleVersion, zone: &TimeZone, checker: &mut Checker<'_>) -> Option<Version> {
    let from = raw.from.as_deref().map(|text| begin(&format!("{pointer}/from"), text, zone, checker));
    let values = match (&raw.min, &raw.max, &raw.labels) {
        (Some(min), Some(max), None) => Values::Range(range(pointer, raw, min, max, checker)?),
        (None, None, Some(labels)) => Values::Labels(labelled(pointer, raw, labels, checker)?),
        _ => {
            let message = "a scale is either a range or a set of labels".to_owned();
            checker.problem(pointer, message, "say `min` and `max`, or `labels`");
            return None;
        }
    };
    let from = match from {
        Some(begin) => Some(begin?),
        None => None,
    };
    Some(Version { from, values })
}

/// µs of a date's beginning in the zone, or of a time.
fn begin(pointer: &str, text: &str, zone: &TimeZone, checker: &mut Checker<'_>) -> Option<i64> {
    let midnight = |date: Date| date.to_zoned_datetime(zone.clone()).map(|zoned| zoned.timestamp());
    let date = (text.len() == "2026-07-01".len()).then(|| text.parse::<Date>().and_then(midnight));
    let begin = date.unwrap_or_else(|| text.parse::<Timestamp>()).map(Timestamp::as_microsecond);
    if begin.is_err() {
        checker.problem(pointer, format!("`{text}` is not a date or a time"), "such as 2026-07-01");
    }
    begin.ok()
}

fn range(
    pointer: &str,
    raw: &RawScaleVersion,
    min: &Decimal,
    max: &Decimal,
    checker: &mut Checker<'_>,
) -> Option<Range> {
    let within = |bound: &Decimal| bound.scaled(DECIMALS).filter(|bound| (-BOUND_MAX..=BOUND_MAX).contains(bound));
    let (min, max) = match (within(min), within(max)) {
        (Some(min), Some(max)) if min < max => (min, max),
        _ => {
            let message = "`min` and `max` are no range of at most 4 decimals".to_owned();
            checker.problem(pointer, message, "such as `min: 1, max: 10`, the worst and the best");
            return None;
        }
    };
    let whole = raw.whole.unwrap_or(true);
    if whole && (min % UNIT != 0 || max % UNIT != 0) {
        let message = "whole numbers lie between bounds that are none".to_owned();
        checker.problem(pointer, message, "say `whole: false`, or whole bounds");
    }
    let mut range = Range { min, max, whole, classes: Vec::new() };
    for (name, class) in &raw.classes {
        let at = format!("{pointer}/classes/{}", escape(name));
        for (least, greatest) in parts(&at, class, &range, checker) {
            add_part(&at, &mut range, (least, greatest, name), checker);
        }
    }
    Some(range)
}

/// Least and greatest of each part of a class.
fn parts(pointer: &str, class: &RawClass, range: &Range, checker: &mut Checker<'_>) -> Vec<(i64, i64)> {
    let parts: Vec<(Option<i64>, Option<i64>)> = match class {
        RawClass::Members(members) => members.iter().map(|one| (one.scaled(DECIMALS), one.scaled(DECIMALS))).collect(),
        RawClass::Range(of) => {
            let end = |end: &Option<Decimal>, default| end.as_ref().map_or(Some(default), |end| end.scaled(DECIMALS));
            vec![(end(&of.from, range.min), end(&of.to, range.max))]
        }
    };
    if parts.is_empty() {
        checker.problem(pointer, "nothing is in this class".to_owned(), "leave it out");
    }
    let on_scale = |part: &(Option<i64>, Option<i64>)| match *part {
        (Some(least), Some(greatest)) => {
            let holds = range.min <= least && least <= greatest && greatest <= range.max;
            let fits = !range.whole || (least % UNIT == 0 && greatest % UNIT == 0);
            (holds && fits).then_some((least, greatest))
        }
        _ => None,
    };
    let known: Vec<(i64, i64)> = parts.iter().filter_map(on_scale).collect();
    if known.len() < parts.len() {
        let message = "what is in this class is not on the scale".to_owned();
        let hint = format!("the scale goes from {} to {}", decimal(range.min), decimal(range.max));
        checker.problem(pointer, message, &hint);
    }
    known
}

fn add_part(pointer: &str, range: &mut Range, (least, greatest, name): (i64, i64, &str), checker: &mut Checker<'_>) {
    if let Some((.., other)) = range.classes.iter().find(|(from, to, _)| least <= *to && *from <= greatest) {
        let message = format!("a part of this class is in the class `{other}` already");
        checker.problem(pointer, message, "a number is in one class at most");
    }
    range.classes.push((least, greatest, name.to_owned()));
}

fn labelled(
    pointer: &str,
    raw: &RawScaleVersion,
    labels: &RawLabels,
    checker: &mut Checker<'_>,
) -> Option<BTreeMap<String, Label>> {
    let before = checker.problems.len();
    if raw.whole.is_some() {
        let message = "`whole` is said of a range, and here are labels".to_owned();
        checker.problem(&format!("{pointer}/whole"), message, "leave it out");
    }
    let at = format!("{pointer}/labels");
    let mut known = BTreeMap::new();
    for (place, label, value) in numbered(&at, labels) {
        add_label(&place, &mut known, label, value, checker);
    }
    if known.is_empty() {
        checker.problem(&at, "here is no label".to_owned(), "such as `[satisfied, dissatisfied]`");
    }
    for (name, class) in &raw.classes {
        add_class(&format!("{pointer}/classes/{}", escape(name)), &mut known, name, class, checker);
    }
    (checker.problems.len() == before).then_some(known)
}

/// Place, label and number (if it has at most 4 decimals) of each.
fn numbered<'a>(pointer: &str, labels: &'a RawLabels) -> Vec<(String, &'a str, Option<i64>)> {
    match labels {
        RawLabels::Ordered(labels) => {
            let number = |index: usize| i64::try_from(labels.len() - index).ok().and_then(|n| n.checked_mul(UNIT));
            let one =
                |(index, label): (usize, &'a String)| (format!("{pointer}/{index}"), label.as_str(), number(index));
            labels.iter().enumerate().map(one).collect()
        }
        RawLabels::Numbered(labels) => {
            let one = |(label, number): (&'a String, &Decimal)| {
                let number = number.scaled(DECIMALS).filter(|number| (-BOUND_MAX..=BOUND_MAX).contains(number));
                (format!("{pointer}/{}", escape(label)), label.as_str(), number)
            };
            labels.iter().map(one).collect()
        }
    }
}

fn add_label(
    pointer: &str,
    known: &mut BTreeMap<String, Label>,
    label: &str,
    value: Option<i64>,
    checker: &mut Checker<'_>,
) {
    let folded = fold_label(label);
    if folded.is_empty() {
        checker.problem(pointer, "this label is empty".to_owned(), "leave it out: an empty answer is on no scale");
    }
    if value.is_none() {
        let message = format!("`{label}` does not count a number of at most 4 decimals");
        checker.problem(pointer, message, "such as 0.8");
    }
    if known.insert(folded, Label { value: value.unwrap_or_default(), class: None }).is_some() {
        let message = format!("`{label}` is compared like another label of this scale");
        checker.problem(pointer, message, "leave it out: full-width forms and Traditional characters are known");
    }
}

fn add_class(
    pointer: &str,
    known: &mut BTreeMap<String, Label>,
    name: &str,
    class: &RawClass,
    checker: &mut Checker<'_>,
) {
    let members = match class {
        RawClass::Members(members) if !members.is_empty() => members,
        _ => {
            checker.problem(pointer, "a class of labels lists them".to_owned(), "such as `satisfied: [good, fair]`");
            return;
        }
    };
    for member in members {
        match known.get_mut(&fold_label(member.written())) {
            Some(label) if label.class.is_none() => label.class = Some(name.to_owned()),
            Some(_) => {
                let message = format!("`{}` is in a class already", member.written());
                checker.problem(pointer, message, "a label is in one class at most");
            }
            None => {
                let message = format!("`{}` is no label of this scale", member.written());
                checker.problem(pointer, message, "a class is made of the scale's labels");
            }
        }
    }
}
