//! The program as users run it, against real components.
#![allow(clippy::unwrap_used, missing_docs)]

mod access;
mod alerts;
mod attacks;
mod audit;
mod chaos;
mod clients;
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
mod place;
mod privacy;
mod rejects;
mod snapshots;
mod sql;
mod store;
mod trouble;
mod twins;
