//! SCRAM-SHA-256 (RFC 5802, RFC 7677) as PostgreSQL speaks it, the server's side.
//!
//! The verifier is the text that PostgreSQL stores in `pg_authid.rolpassword`.
//! It proves a password without holding it, and can't be used to log in.
//! Channel binding (SCRAM-SHA-256-PLUS) is not offered.

mod exchange;
mod token;
mod verifier;

pub use exchange::{Exchange, ScramError, server_nonce};
pub use token::{TokenHash, TokenHashError};
pub use verifier::{ITERATIONS, Verifier, VerifierError};
