//! The engine against a naive oracle, and its rules one by one.
#![allow(clippy::unwrap_used, missing_docs)]

mod compared;
mod course;
mod joins;
mod lasting;
mod oracle;
mod properties;
mod rows;
mod simulation;
mod stream;
mod time;
mod weighting;
