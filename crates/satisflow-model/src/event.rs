//! A decoded event.

use std::borrow::Cow;

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

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
}

/// Identity of (source, event id): a hash that is the same in every run.
pub fn identity(source: &str, event_id: &str) -> u128 {
    let mut key = Vec::with_capacity(source.len() + event_id.len() + 1);
    key.extend_from_slice(source.as_bytes());
    key.push(0x1f);
    key.extend_from_slice(event_id.as_bytes());
    xxh3_128(&key)
}

impl Event<'_> {
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
        let mut hash = Xxh3::new();
        for (index, value) in self.values.iter().enumerate() {
            hash_value(&mut hash, index, value);
        }
        for (tag, entries) in [(254u8, &self.answers), (255, &self.attributes)] {
            for (key, value) in entries {
                hash.update(&[tag]);
                hash_text(&mut hash, key);
                hash_text(&mut hash, value);
            }
        }
        hash.digest()
    }
}

/// Fields are told apart by name, so that a new one never changes the hash of
/// events without it.
fn hash_value(hash: &mut Xxh3, index: usize, value: &Value<'_>) {
    let number = match value {
        Value::Null => return,
        Value::Text(text) => {
            hash_text(hash, fields()[index].name);
            return hash_text(hash, text);
        }
        Value::Time(n) | Value::Number(n) | Value::Integer(n) => *n,
        Value::Flag(flag) => i64::from(*flag),
    };
    hash_text(hash, fields()[index].name);
    hash.update(&number.to_le_bytes());
}

/// With its length, so that two texts never read as one.
fn hash_text(hash: &mut Xxh3, text: &str) {
    hash.update(&(text.len() as u64).to_le_bytes());
    hash.update(text.as_bytes());
}
