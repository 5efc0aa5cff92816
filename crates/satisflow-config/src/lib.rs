//! The configuration of the service: YAML, checked as a whole, resolved.
//!
//! Every limit has a name and a default. Problems are reported all at once,
//! each with its line, and nothing falls back silently.

mod access;
mod flight;
mod http;
mod raw;
mod resolve;
mod resolver;
mod sources;
mod webhooks;

pub use access::UserSettings;
pub use flight::FlightSettings;
pub use http::HttpSettings;
pub use raw::RawConfig;
pub use resolve::{AuditSettings, Config, FlushLimits, StoreSettings, TimeMode};
pub use webhooks::WebhookSettings;

/// JSON Schema (2020-12) of the configuration.
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(RawConfig).to_value()
}

/// Every setting, its type, default and meaning, as Markdown: docs/configuration.md.
pub fn reference() -> String {
    let head = "# Configuration\n\nGenerated from the code. \
        [satisflow.example.yaml](../satisflow.example.yaml) shows every part with its defaults; \
        `satisflow check` names every mistake with its line. `${NAME}` and `${NAME:-default}` stand for \
        environment variables.\n";
    satisflow_document::reference(head, &json_schema())
}
