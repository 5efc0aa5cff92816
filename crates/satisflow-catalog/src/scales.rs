//! Scales that the catalog names, as SQL over an event's columns.
//!
//! - What an answer counts is a decimal of 4 places or NULL, never a float.
//! - The event's time decides which version of a scale holds.
//! - The text that comes out is all that the engine, the audit and the
//!   fingerprint know of a scale.

use std::collections::BTreeMap;

use crate::functions::FOLD_LABEL;
use crate::literals::{decimal, text};

/// 100 points, 4 decimals.
const WHOLE: i64 = 1_000_000;
/// Bounds of a range lie within this, 4 decimals: what is divided to give points is a BIGINT.
pub(crate) const BOUND_MAX: i64 = i64::MAX / (4 * WHOLE) - 1;

/// Scales by name.
pub(crate) type Scales = BTreeMap<String, Scale>;

/// A scale; without a version it had problems, and stands for NULL.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Scale {
    /// From old to new.
    pub(crate) versions: Vec<Version>,
}

/// What a scale is from some time on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    /// µs; `None`: from the beginning.
    pub(crate) from: Option<i64>,
    pub(crate) values: Values,
}

/// What is on a scale. Numbers have 4 decimals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Values {
    Range(Range),
    /// By the folded label.
    Labels(BTreeMap<String, Label>),
}

/// Numbers from `min` to `max`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) min: i64,
    pub(crate) max: i64,
    pub(crate) whole: bool,
    /// Least, greatest and class.
    pub(crate) classes: Vec<(i64, i64, String)>,
}

/// What a label counts, and its class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) value: i64,
    pub(crate) class: Option<String>,
}

/// What is asked of a scale.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Asked<'a> {
    /// The number that an answer counts.
    Value,
    /// The same from 0 for the worst to 100 for the best.
    Points,
    /// The name of its class.
    Class,
    /// Whether it is in a class.
    InClass(&'a str),
}

impl Scale {
    /// Names of classes of any version.
    pub(crate) fn classes(&self) -> Vec<&str> {
        let mut classes: Vec<&str> = self.versions.iter().flat_map(Version::classes).collect();
        classes.sort_unstable();
        classes.dedup();
        classes
    }

    /// SQL of what is asked of an answer, which is SQL too.
    pub(crate) fn sql(&self, answer: &str, asked: Asked<'_>) -> String {
        let (first, rest) = match self.versions.as_slice() {
            [] => return "NULL".to_owned(),
            [first, rest @ ..] => (first, rest),
        };
        let mut before: Vec<String> = Vec::new();
        before.extend(first.from.map(|from| format!("WHEN event_time < {} THEN NULL", time(from))));
        let mut newest = first;
        for version in rest {
            let until = version.from.unwrap_or(i64::MIN);
            before.push(format!("WHEN event_time < {} THEN {}", time(until), newest.sql(answer, asked)));
            newest = version;
        }
        let newest = newest.sql(answer, asked);
        if before.is_empty() { newest } else { format!("(CASE {} ELSE {newest} END)", before.join(" ")) }
    }
}

impl Version {
    fn classes(&self) -> Vec<&str> {
        match &self.values {
            Values::Range(range) => range.classes.iter().map(|(.., class)| class.as_str()).collect(),
            Values::Labels(labels) => labels.values().filter_map(|label| label.class.as_deref()).collect(),
        }
    }

    fn sql(&self, answer: &str, asked: Asked<'_>) -> String {
        let folded = format!("{FOLD_LABEL}({answer})");
        match &self.values {
            Values::Range(range) => range.sql(&folded, asked),
            Values::Labels(labels) => of_labels(labels, &folded, asked),
        }
    }
}

impl Range {
    fn sql(&self, folded: &str, asked: Asked<'_>) -> String {
        let value = self.value(folded);
        let cases = |then: &dyn Fn(&str) -> String| {
            let case = |(least, greatest, class): &(i64, i64, String)| {
                format!("WHEN {value} BETWEEN {} AND {} THEN {}", number(*least), number(*greatest), then(class))
            };
            self.classes.iter().map(case).collect::<Vec<_>>().join(" ")
        };
        match asked {
            Asked::Value => value,
            Asked::Points => self.points(&value),
            Asked::Class if self.classes.is_empty() => "NULL".to_owned(),
            Asked::Class => format!("(CASE {} END)", cases(&text)),
            Asked::InClass(wanted) => {
                let within = cases(&|class| (class == wanted).to_string());
                format!("(CASE {within} WHEN {value} IS NOT NULL THEN false END)")
            }
        }
    }

    /// Integers, whose quotient is rounded half up at 4 decimals.
    fn points(&self, value: &str) -> String {
        let range = self.max - self.min;
        let above = format!("(CAST({value} * 10000 AS BIGINT) - {})", self.min);
        let points = format!("({} * {above} + {range}) / {}", 2 * WHOLE, 2 * range);
        format!("CAST(CAST({points} AS DECIMAL(18,0)) / 10000 AS DECIMAL(18,4))")
    }

    /// Digits alone, so that no text is rounded on its way to 4 decimals.
    fn value(&self, folded: &str) -> String {
        let decimals = if self.whole { "([.]0+)?" } else { "([.][0-9]{1,4}0*)?" };
        let read = format!("TRY_CAST({folded} AS DECIMAL(18,4))");
        format!(
            "(CASE WHEN {folded} ~ '^-?[0-9]{{1,14}}{decimals}$' AND {read} BETWEEN {} AND {} THEN {read} END)",
            number(self.min),
            number(self.max)
        )
    }
}

fn of_labels(labels: &BTreeMap<String, Label>, folded: &str, asked: Asked<'_>) -> String {
    let of_points = Points::of(labels);
    let then = |label: &Label| match asked {
        Asked::Value => Some(number(label.value)),
        Asked::Points => Some(number(of_points.points(label.value))),
        Asked::Class => label.class.as_deref().map(text),
        Asked::InClass(wanted) => Some((label.class.as_deref() == Some(wanted)).to_string()),
    };
    let case = |(name, label): (&String, &Label)| Some(format!("WHEN {} THEN {}", text(name), then(label)?));
    let cases: Vec<String> = labels.iter().filter_map(case).collect();
    if cases.is_empty() { "NULL".to_owned() } else { format!("(CASE {folded} {} END)", cases.join(" ")) }
}

/// From the least label's number to the greatest's.
struct Points {
    min: i64,
    max: i64,
}

impl Points {
    fn of(labels: &BTreeMap<String, Label>) -> Points {
        let values = || labels.values().map(|label| label.value);
        Points { min: values().min().unwrap_or(0), max: values().max().unwrap_or(0) }
    }

    /// 4 decimals, rounded half up.
    fn points(&self, value: i64) -> i64 {
        let (above, range) = (i128::from(value - self.min), i128::from((self.max - self.min).max(1)));
        let points = (2 * above * i128::from(WHOLE) + range) / (2 * range);
        i64::try_from(points).unwrap_or(WHOLE)
    }
}

fn number(value: i64) -> String {
    format!("CAST('{}' AS DECIMAL(18,4))", decimal(value))
}

fn time(micros: i64) -> String {
    format!("arrow_cast({micros}, 'Timestamp(Microsecond, Some(\"UTC\"))')")
}
