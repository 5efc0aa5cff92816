//! One record to an event or a reject.

use std::borrow::Cow;
use std::sync::Arc;

use ahash::AHashSet;
use serde_json::value::RawValue;

use crate::event::{Entries, Event, Value};
use crate::fields::{Column, at, fields, index_of, kind_named};
use crate::json::{Members, Shape, depth, shape, unquote};
use crate::label::fold_label;
use crate::limits::Limits;
use crate::mapping::{Binding, BindingSource, Input, Mapping, resolve};
use crate::privacy::CustomerKey;
use crate::reject::{Reason, Reject};
use crate::scales::Scales;
use crate::values::{self, precision};

/// One record as polled, before anything is decided about it.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// Kafka's timestamp, ms.
    pub timestamp_ms: Option<i64>,
    /// The payload; `None` is a tombstone.
    pub payload: Option<&'a [u8]>,
    /// Headers, in order.
    pub headers: &'a [(String, Vec<u8>)],
}

/// How the records of one source are read.
#[derive(Debug, Clone)]
pub struct SourceSpec {
    /// Default of the field `source`.
    pub name: String,
    /// Set for payloads of another shape than the envelope.
    pub mapping: Option<Mapping>,
    /// Scales of scores.
    pub scales: Arc<Scales>,
}

/// Decodes the records of one source.
#[derive(Debug, Clone)]
pub struct Decoder {
    source: SourceSpec,
    limits: Limits,
    customer_key: Option<CustomerKey>,
}

/// Fields as they are converted one by one.
struct Draft<'a> {
    values: Vec<Value<'a>>,
    answers: Entries<'a>,
    attributes: Entries<'a>,
}

impl<'a> Draft<'a> {
    fn new() -> Draft<'a> {
        Draft { values: vec![Value::Null; fields().len()], answers: Vec::new(), attributes: Vec::new() }
    }

    fn is_null(&self, index: usize) -> bool {
        self.values[index] == Value::Null
    }

    fn is_empty(&self, index: usize) -> bool {
        self.is_null(index) || matches!(&self.values[index], Value::Text(text) if text.is_empty())
    }
}

impl Decoder {
    /// A decoder of a source's records.
    pub fn new(source: SourceSpec, limits: Limits) -> Decoder {
        Decoder { source, limits, customer_key: None }
    }

    /// The same, which hashes customers' ids; with a mapping, what the id is read from is not
    /// kept as an attribute.
    pub fn with_customer_key(mut self, key: Option<CustomerKey>) -> Decoder {
        self.customer_key = key;
        self
    }

    /// Limits that it keeps.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Decodes a record. `now_micros` is the clock against which the future is
    /// judged; `None` in data time.
    ///
    /// # Errors
    /// Why the record is not an event.
    pub fn decode<'a>(&self, record: &Record<'a>, now_micros: Option<i64>) -> Result<Event<'a>, Reject> {
        let text = self.text(record)?;
        let members = self.members(text)?;
        let mut draft = match &self.source.mapping {
            Some(mapping) => self.mapped(mapping, &members)?,
            None => self.plain(members)?,
        };
        self.complete(&mut draft, now_micros)?;
        if let Some(key) = &self.customer_key {
            key.hide(&mut draft.values[at::CUSTOMER]);
        }
        let Draft { values, mut answers, mut attributes } = draft;
        tidy(&mut answers);
        tidy(&mut attributes);
        Ok(Event::new(values, answers, attributes))
    }

    /// Whether what a field is read from must not be kept as it is.
    fn hides(&self, field: &str) -> bool {
        self.customer_key.is_some() && index_of(field) == Some(at::CUSTOMER)
    }

    fn text<'a>(&self, record: &Record<'a>) -> Result<&'a str, Reject> {
        let Some(payload) = record.payload else {
            return Err(Reject::record(Reason::NullPayload, "the record has no payload"));
        };
        if payload.len() > self.limits.record_bytes_max {
            let message = format!("{} bytes; the limit is {}", payload.len(), self.limits.record_bytes_max);
            return Err(Reject::record(Reason::RecordTooLarge, message));
        }
        std::str::from_utf8(payload).map_err(|error| {
            let message = format!("not UTF-8 from byte {}", error.valid_up_to());
            Reject::record(Reason::InvalidUtf8, message)
        })
    }

    fn members<'a>(&self, text: &'a str) -> Result<Members<'a>, Reject> {
        serde_json::from_str(text).map_err(|error| {
            let object = text.trim_start().starts_with('{');
            if object || serde_json::from_str::<&RawValue>(text).is_err() {
                Reject::record(Reason::MalformedJson, error.to_string())
            } else {
                Reject::record(Reason::NotAnObject, "the payload is JSON, but no object")
            }
        })
    }

    fn plain<'a>(&self, members: Members<'a>) -> Result<Draft<'a>, Reject> {
        let mut draft = Draft::new();
        let mut seen = 0u128;
        let mut extra = Vec::new();
        for (key, raw) in members.0 {
            let Some(index) = index_of(&key) else {
                extra.push((key, raw));
                continue;
            };
            if seen & (1 << index) != 0 {
                return Err(Reject::field(Reason::MalformedJson, &key, "the field is there twice"));
            }
            seen |= 1 << index;
            draft.values[index] = self.value(index, Input::Raw(raw.get()), None)?;
        }
        let mut extra = Members(extra);
        distinct("attributes", &extra)?;
        // The event's own attributes come last, so that they win over unknown fields.
        extra.0.sort_by_key(|(key, _)| key == "attributes");
        for (key, raw) in extra.0 {
            let raw = raw.get();
            match &*key {
                "answers" => self.map("answers", raw, &mut draft.answers)?,
                "attributes" => self.map("attributes", raw, &mut draft.attributes)?,
                _ => self.entry("attributes", key, raw, &mut draft.attributes)?,
            }
        }
        Ok(draft)
    }

    fn mapped<'a>(&self, mapping: &Mapping, members: &Members<'a>) -> Result<Draft<'a>, Reject> {
        distinct("payload", members)?;
        let mut draft = Draft::new();
        let mut consumed = vec![false; members.0.len()];
        for (name, binding) in &mapping.fields {
            let input = match &binding.source {
                BindingSource::Constant(text) => Some(Input::Given(Cow::Owned(text.clone()))),
                BindingSource::Pointer(pointer) => resolve(pointer, members).map(|(member, raw)| {
                    // A member of which only a part is read stays whole as an attribute.
                    consumed[member] |= pointer.matches('/').count() == 1 || self.hides(name);
                    Input::Raw(raw.get())
                }),
            };
            let Some(input) = input else { continue };
            match (index_of(name), &input) {
                (Some(index), _) => {
                    self.keep_label(name, binding, &input, &mut draft)?;
                    draft.values[index] = self.value(index, input, Some(binding))?;
                }
                (None, Input::Raw(raw)) if name == "answers" => self.map(name, raw, &mut draft.answers)?,
                (None, Input::Raw(raw)) if name == "attributes" => self.map(name, raw, &mut draft.attributes)?,
                (None, Input::Raw(raw)) => {
                    self.entry("attributes", Cow::Owned(name.clone()), raw, &mut draft.attributes)?;
                }
                (None, Input::Given(text)) => {
                    draft.attributes.push((Cow::Owned(name.clone()), text.clone()));
                }
            }
        }
        for ((key, raw), _) in members.0.iter().zip(&consumed).filter(|(_, consumed)| !**consumed) {
            self.entry("attributes", key.clone(), raw.get(), &mut draft.attributes)?;
        }
        Ok(draft)
    }

    fn keep_label<'a>(
        &self,
        name: &str,
        binding: &Binding,
        input: &Input<'a>,
        draft: &mut Draft<'a>,
    ) -> Result<(), Reject> {
        match (binding.labels.is_some() && !self.hides(name), input) {
            (true, Input::Raw(raw)) => {
                self.entry("attributes", Cow::Owned(format!("{name}_label")), raw, &mut draft.attributes)
            }
            _ => Ok(()),
        }
    }

    fn value<'a>(&self, index: usize, input: Input<'a>, binding: Option<&Binding>) -> Result<Value<'a>, Reject> {
        let field = &fields()[index];
        let fault = |(reason, message): (Reason, String)| Reject::field(reason, field.name, message);
        let wrong = |wanted: &str, raw: &str| {
            let message = format!("{wanted} is wanted, and here is {}", shape_name(shape(raw)));
            Err(Reject::field(Reason::WrongType, field.name, message))
        };
        let (kind, raw) = match &input {
            Input::Raw(raw) => (shape(raw), *raw),
            Input::Given(_) => (Shape::Text, ""),
        };
        if kind == Shape::Null {
            return Ok(Value::Null);
        }
        let text = |input: Input<'a>| match input {
            Input::Given(text) => Ok(text),
            Input::Raw(raw) if kind == Shape::Text => self.unquoted(field.name, raw),
            Input::Raw(raw) => Ok(Cow::Borrowed(raw)),
        };
        match (field.column, kind) {
            (Column::Text, Shape::Text) => Ok(Value::Text(text(input)?)),
            (Column::Text, Shape::Number) if is_whole(raw) => Ok(Value::Text(Cow::Borrowed(raw))),
            (Column::Text, _) => wrong("text", raw),
            (Column::Flag, Shape::Flag) => Ok(Value::Flag(raw == "true")),
            (Column::Flag, Shape::Text) if matches!(input, Input::Given(_)) => match text(input)?.as_ref() {
                "true" => Ok(Value::Flag(true)),
                "false" => Ok(Value::Flag(false)),
                other => Err(Reject::field(Reason::WrongType, field.name, format!("`{other}` is not true or false"))),
            },
            (Column::Flag, _) => wrong("true or false", raw),
            (Column::Time, Shape::Number | Shape::Text) => {
                let text = text(input)?;
                self.time(&text, kind, binding).map(Value::Time).map_err(fault)
            }
            (Column::Time, _) => wrong("a time", raw),
            (Column::Number | Column::Weight | Column::Integer, Shape::Number | Shape::Text) => {
                let text = text(input)?;
                self.number(field.column, &text, binding).map_err(fault)
            }
            (Column::Number | Column::Weight | Column::Integer, _) => wrong("a number", raw),
        }
    }

    fn unquoted<'a>(&self, field: &str, raw: &'a str) -> Result<Cow<'a, str>, Reject> {
        let text = unquote(raw).map_err(|error| Reject::field(Reason::MalformedJson, field, error.to_string()))?;
        if text.len() > self.limits.text_bytes_max {
            let message = format!("{} bytes; the limit is {}", text.len(), self.limits.text_bytes_max);
            return Err(Reject::field(Reason::TextTooLong, field, message));
        }
        Ok(text)
    }

    fn time(&self, text: &str, kind: Shape, binding: Option<&Binding>) -> Result<i64, values::Fault> {
        let time = match (binding.and_then(|b| b.time.as_ref()), kind) {
            (Some(form), _) => values::formatted(text, &form.format, &form.zone),
            (None, Shape::Number) => values::epoch_millis(text),
            (None, _) => values::rfc3339(text),
        }?;
        if !(Limits::TIME_MIN..Limits::TIME_MAX).contains(&time) {
            return Err((Reason::TimeOutOfRange, "not within the years 1700 to 2199".to_owned()));
        }
        Ok(time)
    }

    fn number(&self, column: Column, text: &str, binding: Option<&Binding>) -> Result<Value<'static>, values::Fault> {
        if let Some(labels) = binding.and_then(|b| b.labels.as_ref()) {
            let label = text.trim();
            let Some(score) = labels.get(&fold_label(label)).copied() else {
                let shown: String = label.chars().take(60).collect();
                return Err((Reason::OffScale, format!("`{shown}` is not a label")));
            };
            // Labels have 4 decimals.
            return match column {
                Column::Weight => Ok(Value::Number(score * 100)),
                Column::Integer => Ok(Value::Integer(score / 10_000)),
                _ => Ok(Value::Number(score)),
            };
        }
        let text = values::fold_digits(text);
        if column == Column::Integer {
            return values::number(&text, 18, 0).map(Value::Integer);
        }
        let (digits, decimals) = precision(column);
        values::number(&text, digits, decimals).map(Value::Number)
    }

    fn map<'a>(&self, name: &str, raw: &'a str, entries: &mut Entries<'a>) -> Result<(), Reject> {
        match shape(raw) {
            Shape::Null => return Ok(()),
            Shape::Object => self.check_depth(name, raw)?,
            other => {
                let message = format!("an object is wanted, and here is {}", shape_name(other));
                return Err(Reject::field(Reason::WrongType, name, message));
            }
        }
        let members: Members<'a> =
            serde_json::from_str(raw).map_err(|error| Reject::field(Reason::MalformedJson, name, error.to_string()))?;
        distinct(name, &members)?;
        members.0.into_iter().try_for_each(|(key, raw)| self.entry(name, key, raw.get(), entries))
    }

    /// A map entry; text unquoted, everything else as its JSON text, null left out.
    fn entry<'a>(&self, map: &str, key: Cow<'a, str>, raw: &'a str, entries: &mut Entries<'a>) -> Result<(), Reject> {
        let value = match shape(raw) {
            Shape::Null => return Ok(()),
            Shape::Text => self.unquoted(&key, raw)?,
            Shape::Number | Shape::Flag => Cow::Borrowed(raw),
            Shape::List | Shape::Object => {
                self.check_depth(&key, raw)?;
                Cow::Borrowed(raw)
            }
        };
        let bytes = key.len().max(value.len());
        if bytes > self.limits.text_bytes_max {
            let message = format!("{bytes} bytes in one entry; the limit is {}", self.limits.text_bytes_max);
            return Err(Reject::field(Reason::TextTooLong, map, message));
        }
        if entries.len() >= self.limits.map_entries_max {
            let message = format!("more than {} entries", self.limits.map_entries_max);
            return Err(Reject::field(Reason::TooManyEntries, map, message));
        }
        entries.push((key, value));
        Ok(())
    }

    fn check_depth(&self, name: &str, raw: &str) -> Result<(), Reject> {
        // The record itself is the first level.
        let depth = depth(raw) + 1;
        if depth > self.limits.depth_max {
            let message = format!("nested {depth} deep; the limit is {}", self.limits.depth_max);
            return Err(Reject::field(Reason::NestingTooDeep, name, message));
        }
        Ok(())
    }

    /// Defaults, requirements, ranges and scales.
    fn complete(&self, draft: &mut Draft<'_>, now_micros: Option<i64>) -> Result<(), Reject> {
        if draft.is_null(at::SOURCE) {
            draft.values[at::SOURCE] = Value::Text(Cow::Owned(self.source.name.clone()));
        }
        if draft.is_null(at::WEIGHT) {
            draft.values[at::WEIGHT] = Value::Number(1_000_000);
        }
        require(draft, &["event_id", "kind", "event_time"])?;
        let Value::Text(kind) = &draft.values[at::KIND] else { return Ok(()) };
        let Some(kind) = kind_named(kind) else {
            let message = format!("`{kind}` is not a kind of event; docs/events.md lists them");
            return Err(Reject::field(Reason::UnknownKind, "kind", message));
        };
        require(draft, kind.required)?;
        if matches!(draft.values[at::WEIGHT], Value::Number(weight) if weight < 0) {
            return Err(Reject::field(Reason::OffScale, "weight", "a weight is at least 0"));
        }
        self.check_time(draft, now_micros)?;
        self.check_scale(draft)
    }

    fn check_time(&self, draft: &Draft<'_>, now_micros: Option<i64>) -> Result<(), Reject> {
        let Value::Time(time) = draft.values[at::EVENT_TIME] else { return Ok(()) };
        let out = |message: String| Err(Reject::field(Reason::TimeOutOfRange, "event_time", message));
        if time < Limits::EVENT_TIME_MIN {
            return out("before 1990-01-01T00:00:00Z".to_owned());
        }
        match now_micros {
            Some(now) if time > now.saturating_add(self.limits.future_ms_max.saturating_mul(1000)) => {
                out(format!("more than {} ms in the future", self.limits.future_ms_max))
            }
            _ => Ok(()),
        }
    }

    fn check_scale(&self, draft: &Draft<'_>) -> Result<(), Reject> {
        let scores = [at::SCORE, at::OVERALL].map(|index| (fields()[index].name, &draft.values[index]));
        let scale = match &draft.values[at::SCALE] {
            Value::Text(name) => match self.source.scales.get(name) {
                Some(scale) => Some((name, scale)),
                None => {
                    let message = format!("`{name}` is not a scale; the configuration can name it");
                    return Err(Reject::field(Reason::UnknownScale, "scale", message));
                }
            },
            _ => None,
        };
        for (field, value) in scores {
            let Value::Number(score) = value else { continue };
            let Some((name, scale)) = scale else {
                return Err(Reject::field(Reason::MissingField, "scale", format!("`{field}` needs a scale")));
            };
            if !scale.holds(*score) {
                return Err(Reject::field(Reason::OffScale, field, format!("not a score of the scale `{name}`")));
            }
        }
        Ok(())
    }
}

/// A name that is there twice could mean either value.
fn distinct(place: &str, members: &Members<'_>) -> Result<(), Reject> {
    // Few names are compared faster than hashed; of many each pair would be.
    const COMPARED_MAX: usize = 16;
    let names = members.0.iter().map(|(key, _)| key);
    let twice = if members.0.len() <= COMPARED_MAX {
        names.enumerate().any(|(at, key)| members.0[..at].iter().any(|(earlier, _)| earlier == key))
    } else {
        let mut known = AHashSet::with_capacity(members.0.len());
        !names.into_iter().all(|key| known.insert(key))
    };
    if twice { Err(Reject::field(Reason::MalformedJson, place, "a name is there twice")) } else { Ok(()) }
}

/// Sorts a map; of equal keys the last entry stays.
fn tidy(entries: &mut Entries<'_>) {
    entries.reverse();
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    entries.dedup_by(|later, kept| later.0 == kept.0);
}

fn require(draft: &Draft<'_>, names: &[&str]) -> Result<(), Reject> {
    for name in names {
        if index_of(name).is_none_or(|index| draft.is_empty(index)) {
            return Err(Reject::field(Reason::MissingField, name, format!("the field `{name}` is missing")));
        }
    }
    Ok(())
}

fn is_whole(raw: &str) -> bool {
    raw.bytes().all(|b| b.is_ascii_digit() || b == b'-')
}

fn shape_name(shape: Shape) -> &'static str {
    match shape {
        Shape::Null => "null",
        Shape::Flag => "true or false",
        Shape::Number => "a number",
        Shape::Text => "text",
        Shape::List => "a list",
        Shape::Object => "an object",
    }
}
