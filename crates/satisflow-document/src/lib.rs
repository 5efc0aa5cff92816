//! YAML with positions: every problem of a document at once, each with its line.
//!
//! Structure is checked against the JSON Schema of the type that is read, so
//! that the published schema and the messages can't disagree.

mod document;
mod nesting;
mod problems;
mod reference;
mod schema;
mod values;

pub use document::{Document, escape};
pub use problems::{Problem, Problems};
pub use reference::reference;
pub use schema::nearest;
pub use values::{Decimal, Secret};
