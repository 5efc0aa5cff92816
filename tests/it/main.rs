//! The program as users run it, against real components.
#![allow(clippy::unwrap_used, missing_docs)]

mod access;
mod alerts;
mod audit;
mod chaos;
mod commands;
mod deploy;
mod domain;
mod drugs;
mod flow;
mod grafana;
mod history;
mod hostile;
mod identities;
mod packs;
mod page;
mod place;
mod readme;
mod rejects;
mod report;
mod snapshots;
mod sql;
mod store;
mod trouble;
mod twins;
mod waiting;
