//! The program as users run it, against real components.
#![allow(clippy::unwrap_used, missing_docs)]

mod access;
mod alerts;
mod audit;
mod backfill;
mod chaos;
mod clock;
mod commands;
mod deploy;
mod domain;
mod drugs;
mod flow;
mod grafana;
mod history;
mod hostile;
mod identities;
mod late;
mod packs;
mod place;
mod rejects;
mod snapshots;
mod sql;
mod store;
mod trouble;
mod twins;
