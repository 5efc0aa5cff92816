//! Catalogs as they are read, and what their expressions make of events.

mod indexes;
mod support;
