//! A decoded event.

use std::borrow::Cow;
use std::cell::OnceCell;

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::fields::{at, fields};

/// A field's value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Value<'a> {
    /// Absent or null.
    #[default]
    Null,
    /// Text.
    Text(Cow<'a, str>),
    /// µs since the epoch.
    Time(i64),
    /// A number at its column's scale.
    Number(i64),
    /// A whole number.
    Integer(i64),
    /// true or false.
    Flag(bool),
}

/// Entries of a map, sorted by key, keys distinct.
pub type Entries<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// A valid event; every field is of its column's type and on its scale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event<'a> {
    pub(crate) values: Vec<Value<'a>>,
    pub(crate) answers: Entries<'a>,
    pub(crate) attributes: Entries<'a>,
    content_hash: OnceCell<u64>,
}

/// Identity of (source, event id): a hash that is the same in every run.
pub fn identity(source: &str, event_id: &str) -> u128 {
    let mut key = Vec::with_capacity(source.len() + event_id.len() + 1);
    key.extend_from_slice(source.as_bytes());
    key.push(0x1f);
    key.extend_from_slice(event_id.as_bytes());
    xxh3_128(&key)
}

impl<'a> Event<'a> {
    pub(crate) fn new(values: Vec<Value<'a>>, answers: Entries<'a>, attributes: Entries<'a>) -> Event<'a> {
        Event { values, answers, attributes, content_hash: OnceCell::new() }
    }

    fn text(&self, index: usize) -> Option<&str> {
        match &self.values[index] {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Identity within the source.
    pub fn event_id(&self) -> &str {
        self.text(at::EVENT_ID).unwrap_or_default()
    }

    /// Where the event comes from.
    pub fn source(&self) -> &str {
        self.text(at::SOURCE).unwrap_or_default()
    }

    /// The kind.
    pub fn kind(&self) -> &str {
        self.text(at::KIND).unwrap_or_default()
    }

    /// When it happened, µs.
    pub fn event_time_micros(&self) -> i64 {
        match self.values[at::EVENT_TIME] {
            Value::Time(micros) => micros,
            _ => 0,
        }
    }

    /// Hash of (source, event id).
    pub fn identity(&self) -> u128 {
        identity(self.source(), self.event_id())
    }

    /// Hash of all decoded fields: equal for events that say the same, however
    /// they are spelt.
    pub fn content_hash(&self) -> u64 {
        *self.content_hash.get_or_init(|| xxh3_64(&self.content()))
    }

    /// Everything that the event says, as bytes that no other event has.
    fn content(&self) -> Vec<u8> {
        const CONTENT_BYTES: usize = 512;
        let mut content = Vec::with_capacity(CONTENT_BYTES);
        for (index, value) in self.values.iter().enumerate() {
            push_value(&mut content, index, value);
        }
        for (tag, entries) in [(254u8, &self.answers), (255, &self.attributes)] {
            for (key, value) in entries {
                content.push(tag);
                push_text(&mut content, key);
                push_text(&mut content, value);
            }
        }
        content
    }
}

/// Fields are told apart by name, so that a new one never changes the hash of
/// events without it.
fn push_value(content: &mut Vec<u8>, index: usize, value: &Value<'_>) {
    let number = match value {
        Value::Null => return,
        Value::Text(text) => {
            push_text(content, fields()[index].name);
            return push_text(content, text);
        }
        Value::Time(n) | Value::Number(n) | Value::Integer(n) => *n,
        Value::Flag(flag) => i64::from(*flag),
    };
    push_text(content, fields()[index].name);
    content.extend_from_slice(&number.to_le_bytes());
}

/// With its length, so that two texts never read as one.
fn push_text(content: &mut Vec<u8>, text: &str) {
    content.extend_from_slice(&(text.len() as u64).to_le_bytes());
    content.extend_from_slice(text.as_bytes());
}
