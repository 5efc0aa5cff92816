//! Foreign JSON shapes: each envelope field is bound to a JSON pointer or a constant.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde_json::value::RawValue;

use crate::json::{Members, Shape, shape};

/// Where a field's value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BindingSource {
    /// RFC 6901 pointer into the payload.
    Pointer(String),
    /// The same for every record.
    Constant(String),
}

/// A strptime format and the zone of times that name none.
#[derive(Debug, Clone, PartialEq)]
pub struct TimeFormat {
    /// Such as `%B %d, %Y`.
    pub format: String,
    /// Zone; a date alone is its midnight.
    pub zone: TimeZone,
}

impl TimeFormat {
    /// Whether the format can yield an instant at all: a time that is written
    /// in it is tried.
    pub fn is_usable(&self) -> bool {
        const SAMPLE: jiff::civil::DateTime = jiff::civil::date(2026, 11, 23).at(12, 34, 56, 0);
        let sample = SAMPLE.to_zoned_datetime(self.zone.clone()).ok();
        let written = sample.and_then(|sample| jiff::fmt::strtime::format(&self.format, &sample).ok());
        written.is_some_and(|text| crate::values::formatted(&text, &self.format, &self.zone).is_ok())
    }
}

/// How one field is read.
#[derive(Debug, Clone, PartialEq)]
pub struct Binding {
    /// Where from.
    pub source: BindingSource,
    /// Form of a time field, if it is neither RFC 3339 nor epoch milliseconds.
    pub time: Option<TimeFormat>,
    /// Labels, folded ([`crate::fold_label`]), to scores of 4 decimals; the label as it came is kept as attribute `<field>_label`.
    pub labels: Option<BTreeMap<String, i64>>,
}

/// Envelope fields by name. Top-level members that no binding reads become attributes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Mapping {
    /// Bindings by field name.
    pub fields: BTreeMap<String, Binding>,
}

/// A value before it is converted: as written, or given by the mapping.
#[derive(Debug, Clone)]
pub(crate) enum Input<'a> {
    Raw(&'a str),
    Given(Cow<'a, str>),
}

/// The value at a pointer, and the top-level member it lies in.
pub(crate) fn resolve<'a>(pointer: &str, members: &Members<'a>) -> Option<(usize, &'a RawValue)> {
    let mut steps = pointer.strip_prefix('/')?.split('/').map(|step| step.replace("~1", "/").replace("~0", "~"));
    let first = steps.next()?;
    let at = members.0.iter().position(|(key, _)| *key == *first)?;
    let mut value = members.0[at].1;
    for step in steps {
        value = child(value, &step)?;
    }
    Some((at, value))
}

fn child<'a>(value: &'a RawValue, step: &str) -> Option<&'a RawValue> {
    match shape(value.get()) {
        Shape::Object => {
            let members: Members<'a> = serde_json::from_str(value.get()).ok()?;
            members.0.into_iter().find(|(key, _)| *key == *step).map(|(_, value)| value)
        }
        Shape::List => {
            let items: Vec<&'a RawValue> = serde_json::from_str(value.get()).ok()?;
            items.get(step.parse::<usize>().ok()?).copied()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_that_yields_no_instant_is_not_usable() {
        let usable = |format: &str| TimeFormat { format: format.to_owned(), zone: TimeZone::UTC }.is_usable();
        for good in ["%B %d, %Y", "%Y-%m-%d %H:%M:%S", "%s", "%d.%m.%Y", "%Y-%m-%dT%H:%M:%S%:z"] {
            assert!(usable(good), "{good}");
        }
        for bad in ["%Q", "%H:%M", "yesterday", "%Y", ""] {
            assert!(!usable(bad), "{bad}");
        }
    }
}
