//! Catalogs as they are read, and what their expressions make of events.
#![allow(clippy::unwrap_used, missing_docs)]

mod answers;
mod counted;
mod indexes;
mod keyed;
mod scales;
mod support;
