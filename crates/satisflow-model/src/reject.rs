//! Why a record is not an event.

/// Reason of a reject; its text is `rejects.reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The payload is not JSON, or names a field twice.
    MalformedJson,
    /// The payload is not UTF-8.
    InvalidUtf8,
    /// The payload is JSON, but no object.
    NotAnObject,
    /// A required field is absent.
    MissingField,
    /// A field has another JSON type than its column takes.
    WrongType,
    /// The kind is not known.
    UnknownKind,
    /// A score lies outside of its scale or is no label of it, or a weight is negative.
    OffScale,
    /// The scale is not known.
    UnknownScale,
    /// The event's time is before 1990 or too far in the future, or a time is not within 1700 to 2199.
    TimeOutOfRange,
    /// A time can't be read.
    InvalidTime,
    /// The payload is larger than the limit.
    RecordTooLarge,
    /// Lists and objects are nested deeper than the limit.
    NestingTooDeep,
    /// A number has more digits than its column.
    NumberTooLarge,
    /// A number has more decimals than its column.
    NumberTooPrecise,
    /// A text is longer than the limit.
    TextTooLong,
    /// A map has more entries than the limit.
    TooManyEntries,
    /// The same id was accepted in this partition with other content.
    IdConflict,
    /// A record without a payload (a tombstone).
    NullPayload,
    /// Kafka's retention removed records before they were read; the row stands
    /// for all of them.
    OffsetsLost,
}

impl Reason {
    /// Every reason, in the order of the documentation.
    pub const ALL: &[Reason] = &[
        Reason::MalformedJson,
        Reason::InvalidUtf8,
        Reason::NotAnObject,
        Reason::MissingField,
        Reason::WrongType,
        Reason::UnknownKind,
        Reason::OffScale,
        Reason::UnknownScale,
        Reason::TimeOutOfRange,
        Reason::InvalidTime,
        Reason::RecordTooLarge,
        Reason::NestingTooDeep,
        Reason::NumberTooLarge,
        Reason::NumberTooPrecise,
        Reason::TextTooLong,
        Reason::TooManyEntries,
        Reason::IdConflict,
        Reason::NullPayload,
        Reason::OffsetsLost,
    ];

    /// The text in `rejects.reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::MalformedJson => "malformed_json",
            Reason::InvalidUtf8 => "invalid_utf8",
            Reason::NotAnObject => "not_an_object",
            Reason::MissingField => "missing_field",
            Reason::WrongType => "wrong_type",
            Reason::UnknownKind => "unknown_kind",
            Reason::OffScale => "off_scale",
            Reason::UnknownScale => "unknown_scale",
            Reason::TimeOutOfRange => "time_out_of_range",
            Reason::InvalidTime => "invalid_time",
            Reason::RecordTooLarge => "record_too_large",
            Reason::NestingTooDeep => "nesting_too_deep",
            Reason::NumberTooLarge => "number_too_large",
            Reason::NumberTooPrecise => "number_too_precise",
            Reason::TextTooLong => "text_too_long",
            Reason::TooManyEntries => "too_many_entries",
            Reason::IdConflict => "id_conflict",
            Reason::NullPayload => "null_payload",
            Reason::OffsetsLost => "offsets_lost",
        }
    }
}

/// A record that is not an event, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", reason.as_str())]
pub struct Reject {
    /// The reason.
    pub reason: Reason,
    /// The field at fault.
    pub field: Option<String>,
    /// What is wrong, for people.
    pub message: String,
}

impl Reject {
    /// A reject of the record as a whole.
    pub fn record(reason: Reason, message: impl Into<String>) -> Reject {
        Reject { reason, field: None, message: message.into() }
    }

    /// A reject because of one field.
    pub fn field(reason: Reason, field: &str, message: impl Into<String>) -> Reject {
        Reject { reason, field: Some(field.to_owned()), message: message.into() }
    }
}
