//! Feedback events: bytes in, a row or a reject out.
//!
//! Pure: no IO, no clock. One table of fields ([`fields`]) drives decoding, the
//! Arrow schema, the JSON Schema and the documentation.

mod build;
mod decode;
mod event;
mod fields;
mod json;
mod label;
mod limits;
mod mapping;
mod privacy;
mod reject;
mod scales;
mod schema;
mod values;

pub use build::{Outcome, RecordsBuilder};
pub use decode::{Decoder, Record, SourceSpec};
pub use event::{Event, Value, identity};
pub use fields::{Column, Field, KINDS, Kind, fields, is_kind};
pub use label::{FOLDING_VERSION, fold_label};
pub use limits::Limits;
pub use mapping::{Binding, BindingSource, Mapping, TimeFormat};
pub use privacy::CustomerKey;
pub use reject::{Reason, Reject};
pub use scales::{Scale, Scales};
pub use schema::{event_json_schema, records_json, records_schema};
