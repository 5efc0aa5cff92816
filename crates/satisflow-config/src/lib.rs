//! The configuration of the service: YAML, checked as a whole, resolved.
//!
//! Every limit has a name and a default. Problems are reported all at once,
//! each with its line, and nothing falls back silently.

mod access;
mod raw;
mod reference;
mod resolve;

pub use access::UserSettings;
pub use raw::RawConfig;
pub use reference::reference;
pub use resolve::{AuditSettings, Config, FlushLimits, StoreSettings, TimeMode};

/// JSON Schema (2020-12) of the configuration.
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(RawConfig).to_value()
}
