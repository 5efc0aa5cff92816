//! The program as users run it, against real components.
#![allow(clippy::unwrap_used, missing_docs)]

mod commands;
mod drugs;
mod flow;
mod hostile;
mod place;
mod sql;
mod trouble;
