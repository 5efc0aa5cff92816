//! What SQL clients see: views, functions, limits, PostgreSQL protocol, HTTP, Flight SQL.
//!
//! - Read-only by construction: the session holds read-only views and nothing
//!   else, and every statement passes an allow-list before it is planned.
//! - `records` itself can't be named by clients; the views over it can.
//! - With users, nobody asks without a password; a network is served with users and TLS only.
//! - Statements, connections and memory are limited, streams included.

mod access;
mod catalog;
mod error;
mod flight;
mod functions;
mod guard;
mod http;
mod interrupt;
mod metrics;
mod pg;
mod service;
mod sqlstate;
mod tables;
mod token;
mod views;

pub use access::{Access, Caller, User};
pub use error::SqlError;
pub use flight::{FlightError, FlightLimits, serve_flight};
pub use http::{HttpDoor, HttpLogins, http_router, openapi_document};
pub use metrics::SqlMetrics;
pub use pg::{PgError, serve_pg};
pub use service::{STACK_BYTES, SqlLimits, SqlService};
pub use tables::Tables;
