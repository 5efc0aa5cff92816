//! Targets run over their corpora and over what a seed makes of them.
#![allow(clippy::unwrap_used, missing_docs)]

mod fuzzed;
mod hostile;
mod states;
mod targets;
