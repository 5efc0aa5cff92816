//! The configuration as it stands in YAML.

use std::collections::BTreeMap;

use satisflow_document::{Decimal, Secret};
use schemars::JsonSchema;
use serde::Deserialize;

/// Configuration of `satisflow run` and `satisflow replay`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawConfig {
    /// Version of this format: 1.
    pub version: u32,
    /// Where rows are kept.
    pub lake: RawLake,
    /// How Kafka is reached; not needed for `replay`.
    #[serde(default)]
    pub kafka: Option<RawKafka>,
    /// What is read.
    #[serde(default)]
    pub sources: Vec<RawSource>,
    /// More scales, by name, beside `1-5`, `1-7`, `1-10`, `0-10` and `0-100`.
    #[serde(default)]
    pub scales: BTreeMap<String, RawScale>,
    /// KPI catalog, a path relative to this file; default the core catalog.
    #[serde(default)]
    pub catalog: Option<String>,
    /// `live`: windows also close by the clock. `data`: by the data's time only.
    #[serde(default)]
    #[schemars(extend("default" = "live"))]
    pub time: RawTime,
    /// How late an event may come before its window is final, ms.
    #[serde(default)]
    #[schemars(extend("default" = 60000))]
    pub allowed_lateness_ms: Option<u32>,
    /// How long a partition must be read to its end before it is idle, ms.
    #[serde(default)]
    #[schemars(extend("default" = 10000))]
    pub idle_after_ms: Option<u32>,
    /// Panes that a window keeps in memory behind what is published; later events are restated from the lake.
    #[serde(default)]
    #[schemars(extend("default" = 1500))]
    pub late_panes: Option<u32>,
    /// A process that stands by publishes the KPIs when the one that does shows no sign of life for this long, ms.
    #[serde(default)]
    #[schemars(extend("default" = 15000))]
    pub takeover_after_ms: Option<u32>,
    /// The service's audit of itself.
    #[serde(default)]
    pub audit: RawAudit,
    /// Limits of one record.
    #[serde(default)]
    pub limits: RawLimits,
    /// What of persons is kept.
    #[serde(default)]
    pub privacy: RawPrivacy,
    /// Users of SQL, by name. Without any, everyone on this machine may ask.
    #[serde(default)]
    pub users: BTreeMap<String, RawUser>,
    /// Who is told of changes of alerts, by name.
    #[serde(default)]
    pub webhooks: BTreeMap<String, RawWebhook>,
    /// Certificate of the listeners. With it, PostgreSQL's clients elsewhere, every client of Flight SQL, and those
    /// of HTTP where it is not on loopback have to use TLS.
    #[serde(default)]
    pub tls: Option<RawTls>,
    /// PostgreSQL listener.
    #[serde(default)]
    pub sql: RawSql,
    /// HTTP listener: the page, /metrics, /healthz, /readyz, POST /sql.
    #[serde(default)]
    pub http: RawHttp,
    /// Arrow Flight SQL listener. Statements have the time, the idle limit and the memory of `sql`.
    #[serde(default)]
    pub flight: RawFlight,
}

/// Where rows are kept.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawLake {
    /// Local folder, relative to this file, file:// URL, or s3://bucket/prefix.
    pub url: String,
    /// How an S3 server is reached: aws_access_key_id, aws_secret_access_key, aws_session_token, aws_region,
    /// aws_endpoint_url, aws_allow_http, aws_virtual_hosted_style_request. What is left out comes from the
    /// environment variables of the same names in capitals, or from the machine's role.
    #[serde(default)]
    #[schemars(extend("x-secret" = true))]
    pub options: BTreeMap<String, RawProperty>,
    /// Longest wait for the answer to one request to an S3 server, ms.
    #[serde(default)]
    #[schemars(extend("default" = 30000))]
    pub request_timeout_ms: Option<u32>,
    /// How long a request that an S3 server fails or throttles is tried again, with growing pauses, ms.
    #[serde(default)]
    #[schemars(extend("default" = 60000))]
    pub retry_timeout_ms: Option<u32>,
    /// Rows are committed at least this often, ms.
    #[serde(default)]
    #[schemars(extend("default" = 500))]
    pub flush_interval_ms: Option<u32>,
    /// Most rows of one commit.
    #[serde(default)]
    #[schemars(extend("default" = 200000))]
    pub flush_rows_max: Option<u32>,
    /// Most bytes of one commit, about.
    #[serde(default)]
    #[schemars(extend("default" = 67108864))]
    pub flush_bytes_max: Option<u32>,
    /// Small files are merged this often, s; 0 never.
    #[serde(default)]
    #[schemars(extend("default" = 300))]
    pub compact_interval_secs: Option<u32>,
    /// The state of the KPIs is written this often, so that a start need not read every event, s; 0 never.
    #[serde(default)]
    #[schemars(extend("default" = 300))]
    pub snapshot_interval_secs: Option<u32>,
    /// Size that files are merged to, bytes.
    #[serde(default)]
    #[schemars(extend("default" = 134217728))]
    pub file_bytes_max: Option<u32>,
}

/// How Kafka is reached.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawKafka {
    /// `host:port`, comma-separated.
    pub brokers: String,
    /// Consumer group.
    #[serde(default)]
    #[schemars(extend("default" = "satisflow"))]
    pub group_id: Option<String>,
    /// librdkafka properties, such as security.protocol, ssl.ca.location, sasl.mechanism.
    #[serde(default)]
    #[schemars(extend("x-secret" = true))]
    pub properties: BTreeMap<String, RawProperty>,
    /// When retention has removed unread records: `stop` and explain, or `resume` with the gap on record.
    #[serde(default)]
    #[schemars(extend("default" = "stop"))]
    pub on_lost_offsets: RawOnLost,
    /// Most bytes polled and not yet decoded.
    #[serde(default)]
    #[schemars(extend("default" = 67108864))]
    pub buffer_bytes_max: Option<u32>,
}

/// A property's value; never shown.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(extend("x-secret" = true))]
pub enum RawProperty {
    /// Text.
    Text(Secret),
    /// A number.
    Number(serde_json::Number),
    /// true or false.
    Flag(bool),
    /// Read from a file.
    File(RawSecretFile),
}

/// A value that a file holds, as orchestrators mount secrets.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-secret" = true))]
pub struct RawSecretFile {
    /// The file, relative to this one; a newline at its end is no part of the value.
    pub file: String,
}

/// What to do about removed records.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawOnLost {
    /// Stop and explain.
    #[default]
    Stop,
    /// Go on, with the gap on record.
    Resume,
}

/// A topic.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawSource {
    /// The topic.
    pub topic: String,
    /// Default of the field `source`; default the topic.
    #[serde(default)]
    pub name: Option<String>,
    /// Envelope field to where it is found, for payloads of another shape.
    #[serde(default)]
    pub mapping: Option<BTreeMap<String, RawBinding>>,
    /// `release`: a partition that is read to its end lets windows close.
    /// `hold`: windows wait for this source (a nightly load), and rows held
    /// for longer than `hold_ms_max` are published as incomplete.
    #[serde(default)]
    #[schemars(extend("default" = "release"))]
    pub on_idle: RawOnIdle,
    /// How long windows wait with `on_idle: hold`, ms.
    #[serde(default)]
    #[schemars(extend("default" = 86400000))]
    pub hold_ms_max: Option<u32>,
}

/// What a source that has been read to its end does to windows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawOnIdle {
    /// They close without it.
    #[default]
    Release,
    /// They wait for it.
    Hold,
}

/// A JSON pointer, or how a field is read in detail.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum RawBinding {
    /// JSON pointer (RFC 6901), such as `/order/id`.
    Pointer(String),
    /// In detail.
    Detail(RawBindingDetail),
}

/// How a field is read.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawBindingDetail {
    /// JSON pointer.
    #[serde(default)]
    pub pointer: Option<String>,
    /// The same value for every record.
    #[serde(default, rename = "const")]
    pub constant: Option<String>,
    /// strptime format of a time.
    #[serde(default)]
    pub format: Option<String>,
    /// IANA zone of times without one.
    #[serde(default)]
    #[schemars(extend("default" = "UTC"))]
    pub zone: Option<String>,
    /// Label to score; full-width forms and Traditional characters say the same label.
    #[serde(default)]
    pub labels: Option<BTreeMap<String, Decimal>>,
}

/// A numeric scale.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawScale {
    /// Worst score.
    pub min: Decimal,
    /// Best score.
    pub max: Decimal,
    /// Whether only whole scores are given.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    pub integral: bool,
}

/// Which time closes windows.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawTime {
    /// The data's and the clock's.
    #[default]
    Live,
    /// The data's only.
    Data,
}

/// Limits of one record, what exceeds one is rejected; and of the ids in memory.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawLimits {
    /// Largest payload.
    #[serde(default)]
    #[schemars(extend("default" = 1048576))]
    pub record_bytes_max: Option<u32>,
    /// Raw bytes kept of a reject.
    #[serde(default)]
    #[schemars(extend("default" = 65536))]
    pub raw_bytes_max: Option<u32>,
    /// Deepest nesting.
    #[serde(default)]
    #[schemars(extend("default" = 32))]
    pub depth_max: Option<u32>,
    /// Longest text, bytes.
    #[serde(default)]
    #[schemars(extend("default" = 32768))]
    pub text_bytes_max: Option<u32>,
    /// Most entries of a map.
    #[serde(default)]
    #[schemars(extend("default" = 1000))]
    pub map_entries_max: Option<u32>,
    /// Event ids that recognise duplicates without asking the lake, of all partitions;
    /// the scorer holds an eighth as many.
    #[serde(default)]
    #[schemars(extend("default" = 10000000))]
    pub identities_max: Option<u32>,
    /// Changes of late or void events to published windows that wait in memory; more are
    /// restated before anything else is scored.
    #[serde(default)]
    #[schemars(extend("default" = 250000))]
    pub restatement_backlog_changes_max: Option<u32>,
    /// Most headers kept.
    #[serde(default)]
    #[schemars(extend("default" = 64))]
    pub headers_max: Option<u32>,
    /// How far an event may lie in the future, ms.
    #[serde(default)]
    #[schemars(extend("default" = 300000))]
    pub future_ms_max: Option<u32>,
}

/// The service compares the last closed windows with the lake's events, in the
/// process that publishes; `satisflow audit` does so for the whole history.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawAudit {
    /// How often, ms; 0 never.
    #[serde(default)]
    #[schemars(extend("default" = 3600000))]
    pub interval_ms: Option<u32>,
    /// Ends of each window that are compared, from the last one back.
    #[serde(default)]
    #[schemars(extend("default" = 24))]
    pub windows_max: Option<u32>,
    /// Longest run of one audit, ms; the next one goes on where it stopped.
    #[serde(default)]
    #[schemars(extend("default" = 300000))]
    pub timeout_ms: Option<u32>,
    /// Memory of one audit; what does not fit is left out with a warning.
    #[serde(default)]
    #[schemars(extend("default" = 268435456))]
    pub memory_bytes_max: Option<u32>,
}

/// What of persons is kept.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawPrivacy {
    /// Key of at least 16 bytes, such as `openssl rand -hex 32` prints, or `{ file: ... }` that holds it: the
    /// field `customer` is stored as its HMAC-SHA-256. Without one it is stored as it comes. Another key
    /// makes every customer a new one.
    #[serde(default)]
    pub customer_key: Option<RawProperty>,
}

/// A user of SQL, over PostgreSQL's protocol, HTTP and Flight SQL.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawUser {
    /// What `satisflow user hash` prints of the password, or `{ file: ... }` that holds it.
    pub password: RawProperty,
    /// Whether raw records, headers, attributes and free text are shown; they are NULL otherwise.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    pub raw_data: bool,
    /// Hashes of bearer tokens for HTTP and Flight SQL, as `satisflow user token` prints them, or `{ file: ... }`.
    #[serde(default)]
    pub tokens: Vec<RawProperty>,
}

/// Whom changes of alerts are posted to, as JSON that is signed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawWebhook {
    /// Where; https, or http on this machine.
    pub url: String,
    /// Key of at least 16 bytes, such as `openssl rand -hex 32` prints, or `{ file: ... }` that holds it: bodies
    /// are signed with it by HMAC-SHA-256.
    pub secret: RawProperty,
    /// More headers, such as `Authorization`; never shown.
    #[serde(default)]
    #[schemars(extend("x-secret" = true))]
    pub headers: BTreeMap<String, RawProperty>,
    /// Longest wait for an answer, ms.
    #[serde(default)]
    #[schemars(extend("default" = 10000))]
    pub timeout_ms: Option<u32>,
    /// How long one change is tried again, with growing pauses, before it is left out with an error, ms.
    #[serde(default)]
    #[schemars(extend("default" = 86400000))]
    pub retry_timeout_ms: Option<u32>,
    /// Whether http may leave this machine: everyone on the way reads it then.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    pub allow_http: bool,
}

/// A certificate and its key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawTls {
    /// PEM file of the certificate and those that it rests on, relative to this one.
    pub certificate: String,
    /// PEM file of its private key.
    pub key: String,
}

/// PostgreSQL listener.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawSql {
    /// Address and port; one that is not loopback needs `users` and `tls`.
    #[serde(default)]
    #[schemars(extend("default" = "127.0.0.1:5433"))]
    pub listen: Option<String>,
    /// Most connections.
    #[serde(default)]
    #[schemars(extend("default" = 64))]
    pub connections_max: Option<u32>,
    /// Longest run of a statement, ms.
    #[serde(default)]
    #[schemars(extend("default" = 60000))]
    pub statement_timeout_ms: Option<u32>,
    /// A connection that asks nothing for this long is ended, s; 0 never.
    #[serde(default)]
    #[schemars(extend("default" = 3600))]
    pub idle_timeout_secs: Option<u32>,
    /// Memory of all queries together; at least 1 MiB.
    #[serde(default)]
    #[schemars(extend("default" = 536870912))]
    pub memory_bytes_max: Option<u64>,
}

/// HTTP listener.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawHttp {
    /// Address and port; one that is not loopback needs `users`, and TLS that ends here or at a proxy.
    #[serde(default)]
    #[schemars(extend("default" = "127.0.0.1:8080"))]
    pub listen: Option<String>,
    /// Certificate of HTTP alone, which speaks TLS only then, also on loopback. Without it, HTTP takes the `tls` of all
    /// listeners where it is not on loopback.
    #[serde(default)]
    pub tls: Option<RawTls>,
    /// A proxy in front ends TLS, over a network of your own: HTTP is served in the clear on any address, to `users`
    /// only, and cookies are for TLS only.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    pub tls_by_proxy: bool,
    /// Names that people and programs reach it by, such as satisflow.example, beside localhost, the host of
    /// `external_url`, and any address where it is not on loopback: requests to others get 403.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Where people reach the page, such as https://satisflow.example: links of alerts lead there.
    #[serde(default)]
    pub external_url: Option<String>,
    /// Most connections: a page has up to six.
    #[serde(default)]
    #[schemars(extend("default" = 256))]
    pub connections_max: Option<u32>,
    /// A connection that sends no whole request, or does not read its answer, is ended after this long, s.
    #[serde(default)]
    #[schemars(extend("default" = 60))]
    pub idle_timeout_secs: Option<u32>,
    /// How long the login of a page is good for, s.
    #[serde(default)]
    #[schemars(extend("default" = 43200))]
    pub session_lifetime_secs: Option<u32>,
    /// Whether /metrics asks for nothing also where HTTP is not on loopback, or a proxy is in front. Else it asks for
    /// a token of `metrics_tokens` or the login of a user there.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    pub metrics_open: bool,
    /// Hashes of bearer tokens that show /metrics and nothing else, as `satisflow user token` prints them, or
    /// `{ file: ... }`.
    #[serde(default)]
    pub metrics_tokens: Vec<RawProperty>,
    /// Most groups of a KPI and window shown as gauges.
    #[serde(default)]
    #[schemars(extend("default" = 200))]
    pub metrics_groups_max: Option<u32>,
    /// Most rows of one answer of `POST /sql`.
    #[serde(default)]
    #[schemars(extend("default" = 10000000))]
    pub rows_max: Option<u32>,
}

/// Arrow Flight SQL listener.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawFlight {
    /// Address and port, such as 127.0.0.1:32010; one that is not loopback needs `users` and `tls`. Without it
    /// nothing listens.
    #[serde(default)]
    pub listen: Option<String>,
    /// Most connections.
    #[serde(default)]
    #[schemars(extend("default" = 64))]
    pub connections_max: Option<u32>,
    /// Most statements that are planned or run at the same time, of all connections.
    #[serde(default)]
    #[schemars(extend("default" = 64))]
    pub streams_max: Option<u32>,
    /// Most rows of one answer.
    #[serde(default)]
    #[schemars(extend("default" = 10000000))]
    pub rows_max: Option<u32>,
    /// How long the token of a login is good for, s.
    #[serde(default)]
    #[schemars(extend("default" = 86400))]
    pub token_lifetime_secs: Option<u32>,
}
