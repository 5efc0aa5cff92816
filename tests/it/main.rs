//! The program as users run it, against real components.
#![allow(clippy::unwrap_used, missing_docs)]

mod chaos;
mod commands;
mod drugs;
mod flow;
mod place;
mod snapshots;
mod sql;
mod trouble;
mod twins;
