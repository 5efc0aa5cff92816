//! From YAML to settings that hold.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use satisflow_document::{Document, Problems, escape};
use satisflow_kafka::{KafkaConfig, OnLostOffsets};
use satisflow_model::{CustomerKey, Limits, Scales, SourceSpec};

use crate::access::UserSettings;
use crate::flight::FlightSettings;
use crate::http::HttpSettings;
use crate::raw::{RawAudit, RawConfig, RawKafka, RawLake, RawLimits, RawOnLost, RawProperty, RawTime};
use crate::resolver::{Resolver, millis, size};
use crate::sources::holds;
use crate::webhooks::WebhookSettings;

/// Which time closes windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeMode {
    /// The data's, and the clock's when nothing comes.
    Live,
    /// The data's only.
    Data,
}

/// When rows are committed: whichever is reached first.
#[derive(Debug, Clone, Copy)]
pub struct FlushLimits {
    /// Time since the first row.
    pub interval: Duration,
    /// Rows.
    pub rows_max: usize,
    /// Bytes, about.
    pub bytes_max: usize,
}

/// How an object store is reached.
#[derive(Clone)]
pub struct StoreSettings {
    /// Options as the store names them.
    pub values: BTreeMap<String, String>,
    /// Longest wait for the answer to one request.
    pub request_timeout: Duration,
    /// How long a request is tried again.
    pub retry_timeout: Duration,
}

/// Options may be secrets: their names are shown, their values never.
impl std::fmt::Debug for StoreSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreSettings").field("values", &self.values.keys().collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

/// The service's audit of itself.
#[derive(Debug, Clone, Copy)]
pub struct AuditSettings {
    /// How often.
    pub interval: Duration,
    /// Ends of each window that are compared.
    pub windows_max: u32,
    /// Longest run of one audit.
    pub timeout: Duration,
    /// Memory of one audit, bytes.
    pub memory_bytes_max: usize,
}

/// Settings of the service.
#[derive(Debug, Clone)]
pub struct Config {
    /// Local folder or URL of the lake.
    pub lake_url: String,
    /// How its object store is reached.
    pub lake_store: StoreSettings,
    /// When rows are committed.
    pub flush: FlushLimits,
    /// How often small files are merged; `None` never.
    pub compact_interval: Option<Duration>,
    /// How often the state of the KPIs is written; `None`: never.
    pub snapshot_interval: Option<Duration>,
    /// Size that files are merged to.
    pub file_bytes_max: u64,
    /// How Kafka is reached.
    pub kafka: Option<KafkaConfig>,
    /// Topic to how its records are read.
    pub sources: BTreeMap<String, SourceSpec>,
    /// Topics that windows wait for although they are idle, and for how long.
    pub holds: BTreeMap<String, Duration>,
    /// Scales of scores.
    pub scales: Arc<Scales>,
    /// Catalog file; `None` for the core catalog.
    pub catalog: Option<PathBuf>,
    /// Which time closes windows.
    pub time: TimeMode,
    /// How late an event may come before its window is final, µs.
    pub allowed_lateness_micros: i64,
    /// How long a partition must stand at its end to be idle.
    pub idle_after: Duration,
    /// Panes that a window keeps in memory behind what is published.
    pub late_panes: u32,
    /// A standby publishes when the active scorer is silent for this long.
    pub takeover_after: Duration,
    /// The service's audit of itself; `None` never.
    pub audit: Option<AuditSettings>,
    /// Limits of one record.
    pub limits: Limits,
    /// Event ids that the duplicates of all partitions are known by without the lake.
    pub identities_max: usize,
    /// Changes to published windows that may wait to be restated.
    pub restatement_backlog_changes_max: usize,
    /// Key that customers' ids are hashed with; `None`: they are stored as they come.
    pub customer_key: Option<CustomerKey>,
    /// Users of SQL, by name.
    pub users: BTreeMap<String, UserSettings>,
    /// Who is told of changes of alerts, by name.
    pub webhooks: BTreeMap<String, WebhookSettings>,
    /// Where people reach the page; links of alerts lead there.
    pub external_url: Option<String>,
    /// TLS of the PostgreSQL and Flight SQL listeners; that of HTTP is in `http`.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// PostgreSQL listener.
    pub sql_listen: SocketAddr,
    /// Most PostgreSQL connections.
    pub connections_max: usize,
    /// Longest run of a statement.
    pub statement_timeout: Duration,
    /// A connection that asks nothing for this long is ended; `None`: never.
    pub idle_timeout: Option<Duration>,
    /// Memory of all queries together, bytes.
    pub query_memory_bytes_max: usize,
    /// HTTP listener.
    pub http: HttpSettings,
    /// Most groups of a KPI and window shown as gauges.
    pub metrics_groups_max: usize,
    /// Arrow Flight SQL listener.
    pub flight: FlightSettings,
}

impl Config {
    /// Reads and checks a configuration; `None` when problems were added.
    pub fn load(document: &Document, problems: &mut Problems) -> Option<Config> {
        let before = problems.len();
        let raw: RawConfig = document.read_what_fits(problems)?;
        let folder = Path::new(document.file()).parent().unwrap_or(Path::new("")).to_owned();
        let config = Resolver { document, problems, folder }.config(&raw);
        (problems.len() == before).then_some(config)
    }
}

impl Resolver<'_> {
    fn config(mut self, raw: &RawConfig) -> Config {
        if raw.version != 1 {
            self.problem("/version", format!("version {} is not known", raw.version), "write `version: 1`");
        }
        self.limits_are_above_zero(raw);
        let kafka = raw.kafka.as_ref().map(|kafka| self.kafka(kafka, raw));
        let scales = Arc::new(self.scales(raw));
        let sources = self.sources(raw, &scales);
        let tls = self.tls("/tls", raw.tls.as_ref());
        let seconds = |value: Option<u32>| {
            let seconds = u64::from(value.unwrap_or(300));
            (seconds > 0).then(|| Duration::from_secs(seconds))
        };
        Config {
            lake_url: self.place(&raw.lake.url),
            lake_store: self.store(&raw.lake),
            flush: FlushLimits {
                interval: millis(raw.lake.flush_interval_ms, 500),
                rows_max: size(raw.lake.flush_rows_max, 200_000),
                bytes_max: size(raw.lake.flush_bytes_max, 64 << 20),
            },
            compact_interval: seconds(raw.lake.compact_interval_secs),
            snapshot_interval: seconds(raw.lake.snapshot_interval_secs),
            file_bytes_max: u64::from(raw.lake.file_bytes_max.unwrap_or(128 << 20)).max(1),
            kafka,
            sources,
            holds: holds(&raw.sources),
            scales,
            catalog: raw.catalog.as_ref().map(|path| self.folder.join(path)),
            time: match raw.time {
                RawTime::Live => TimeMode::Live,
                RawTime::Data => TimeMode::Data,
            },
            allowed_lateness_micros: i64::from(raw.allowed_lateness_ms.unwrap_or(60_000)) * 1000,
            idle_after: millis(raw.idle_after_ms, 10_000),
            late_panes: raw.late_panes.unwrap_or(1500),
            takeover_after: millis(raw.takeover_after_ms, 15_000),
            audit: audit(&raw.audit),
            limits: limits(&raw.limits),
            identities_max: size(raw.limits.identities_max, 10_000_000),
            restatement_backlog_changes_max: size(raw.limits.restatement_backlog_changes_max, 250_000),
            customer_key: raw.privacy.customer_key.as_ref().and_then(|key| self.customer_key(key)),
            users: self.users(&raw.users),
            webhooks: self.webhooks(&raw.webhooks),
            external_url: self.external_url(&raw.http),
            http: self.http(raw, tls.as_ref()),
            tls,
            sql_listen: self.sql_listen(raw),
            connections_max: size(raw.sql.connections_max, 64),
            statement_timeout: millis(raw.sql.statement_timeout_ms, 60_000),
            idle_timeout: idle_timeout(raw.sql.idle_timeout_secs),
            query_memory_bytes_max: self.query_memory(raw.sql.memory_bytes_max),
            metrics_groups_max: size(raw.http.metrics_groups_max, 200),
            flight: self.flight(raw),
        }
    }

    /// A limit of nothing would let nothing through.
    fn limits_are_above_zero(&mut self, raw: &RawConfig) {
        let kafka = raw.kafka.as_ref().and_then(|kafka| kafka.buffer_bytes_max);
        let of = [
            ("/lake/flush_interval_ms", raw.lake.flush_interval_ms),
            ("/lake/flush_rows_max", raw.lake.flush_rows_max),
            ("/lake/flush_bytes_max", raw.lake.flush_bytes_max),
            ("/lake/file_bytes_max", raw.lake.file_bytes_max),
            ("/lake/request_timeout_ms", raw.lake.request_timeout_ms),
            ("/lake/retry_timeout_ms", raw.lake.retry_timeout_ms),
            ("/kafka/buffer_bytes_max", kafka),
            ("/idle_after_ms", raw.idle_after_ms),
            ("/takeover_after_ms", raw.takeover_after_ms),
            ("/audit/windows_max", raw.audit.windows_max),
            ("/audit/timeout_ms", raw.audit.timeout_ms),
            ("/audit/memory_bytes_max", raw.audit.memory_bytes_max),
            ("/limits/record_bytes_max", raw.limits.record_bytes_max),
            ("/limits/depth_max", raw.limits.depth_max),
            ("/limits/text_bytes_max", raw.limits.text_bytes_max),
            ("/limits/map_entries_max", raw.limits.map_entries_max),
            ("/limits/identities_max", raw.limits.identities_max),
            ("/limits/restatement_backlog_changes_max", raw.limits.restatement_backlog_changes_max),
            ("/sql/connections_max", raw.sql.connections_max),
            ("/sql/statement_timeout_ms", raw.sql.statement_timeout_ms),
            ("/http/connections_max", raw.http.connections_max),
            ("/http/idle_timeout_secs", raw.http.idle_timeout_secs),
            ("/http/session_lifetime_secs", raw.http.session_lifetime_secs),
            ("/http/rows_max", raw.http.rows_max),
            ("/flight/connections_max", raw.flight.connections_max),
            ("/flight/streams_max", raw.flight.streams_max),
            ("/flight/rows_max", raw.flight.rows_max),
            ("/flight/token_lifetime_secs", raw.flight.token_lifetime_secs),
        ];
        for (pointer, _) in of.into_iter().filter(|(_, value)| *value == Some(0)) {
            let name = pointer.rsplit('/').next().unwrap_or_default();
            self.is_zero(pointer, name);
        }
        for (index, _) in raw.sources.iter().enumerate().filter(|(_, source)| source.hold_ms_max == Some(0)) {
            self.is_zero(&format!("/sources/{index}/hold_ms_max"), "hold_ms_max");
        }
    }

    /// The memory of all queries: less than one of them begins with would let nothing through.
    fn query_memory(&mut self, bytes: Option<u64>) -> usize {
        const BYTES_DEFAULT: u64 = 512 << 20;
        const BYTES_LEAST: u64 = 1 << 20;
        let bytes = bytes.unwrap_or(BYTES_DEFAULT);
        let usable = usize::try_from(bytes).ok().filter(|_| bytes >= BYTES_LEAST);
        usable.unwrap_or_else(|| {
            let message = format!("`memory_bytes_max` is {bytes}: no query can run with that");
            self.problem("/sql/memory_bytes_max", message, "at least 1048576; leave it out for 512 MiB");
            0
        })
    }

    fn is_zero(&mut self, pointer: &str, name: &str) {
        self.problem(pointer, format!("`{name}` is 0"), "at least 1; leave it out for the default");
    }

    fn kafka(&mut self, raw: &RawKafka, config: &RawConfig) -> KafkaConfig {
        let group = raw.group_id.as_deref().unwrap_or("satisflow");
        let topics: BTreeSet<String> = config.sources.iter().map(|source| source.topic.clone()).collect();
        let defaults = KafkaConfig::new(&raw.brokers, group, topics.into_iter().collect());
        KafkaConfig {
            properties: self.properties("/kafka/properties", &raw.properties),
            on_lost_offsets: match raw.on_lost_offsets {
                RawOnLost::Stop => OnLostOffsets::Stop,
                RawOnLost::Resume => OnLostOffsets::Resume,
            },
            buffer_bytes_max: raw.buffer_bytes_max.map_or(defaults.buffer_bytes_max, |bytes| bytes as usize),
            ..defaults
        }
    }

    fn store(&mut self, raw: &RawLake) -> StoreSettings {
        StoreSettings {
            values: self.properties("/lake/options", &raw.options),
            request_timeout: millis(raw.request_timeout_ms, 30_000),
            retry_timeout: millis(raw.retry_timeout_ms, 60_000),
        }
    }

    fn properties(&mut self, pointer: &str, raw: &BTreeMap<String, RawProperty>) -> BTreeMap<String, String> {
        let resolved = |(name, value): (&String, &RawProperty)| {
            (name.clone(), self.property(&format!("{pointer}/{}", escape(name)), value))
        };
        raw.iter().map(resolved).collect()
    }

    fn sql_listen(&mut self, raw: &RawConfig) -> SocketAddr {
        let address = self.listen("/sql/listen", raw.sql.listen.as_deref(), "127.0.0.1:5433");
        self.may_face_its_network("/sql/listen", raw, address);
        address
    }
}

fn idle_timeout(seconds: Option<u32>) -> Option<Duration> {
    const IDLE_TIMEOUT_SECS_DEFAULT: u32 = 3600;
    let seconds = seconds.unwrap_or(IDLE_TIMEOUT_SECS_DEFAULT);
    (seconds > 0).then(|| Duration::from_secs(u64::from(seconds)))
}

fn audit(raw: &RawAudit) -> Option<AuditSettings> {
    let interval = millis(raw.interval_ms, 3_600_000);
    (!interval.is_zero()).then(|| AuditSettings {
        interval,
        windows_max: raw.windows_max.unwrap_or(24),
        timeout: millis(raw.timeout_ms, 300_000),
        memory_bytes_max: size(raw.memory_bytes_max, 256 << 20),
    })
}

fn limits(raw: &RawLimits) -> Limits {
    let default = Limits::default();
    let or = |value: Option<u32>, default: usize| value.map_or(default, |v| v as usize);
    Limits {
        record_bytes_max: or(raw.record_bytes_max, default.record_bytes_max),
        raw_bytes_max: or(raw.raw_bytes_max, default.raw_bytes_max),
        depth_max: or(raw.depth_max, default.depth_max),
        text_bytes_max: or(raw.text_bytes_max, default.text_bytes_max),
        map_entries_max: or(raw.map_entries_max, default.map_entries_max),
        headers_max: or(raw.headers_max, default.headers_max),
        future_ms_max: raw.future_ms_max.map_or(default.future_ms_max, i64::from),
    }
}
