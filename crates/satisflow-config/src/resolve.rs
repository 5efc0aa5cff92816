//! From YAML to settings that hold.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::{TimeZone, TimeZoneDatabase};
use satisflow_document::{Document, Problems, escape};
use satisflow_kafka::{KafkaConfig, OnLostOffsets};
use satisflow_model::{Binding, BindingSource, Limits, Mapping, Scale, Scales, SourceSpec, TimeFormat};

use crate::access::UserSettings;
use crate::raw::{
    RawAudit, RawBinding, RawBindingDetail, RawConfig, RawKafka, RawLake, RawLimits, RawOnIdle, RawOnLost, RawProperty,
    RawSecretFile, RawSource, RawTime,
};

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
    /// Users of SQL, by name.
    pub users: BTreeMap<String, UserSettings>,
    /// TLS of the PostgreSQL listener.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// PostgreSQL listener.
    pub sql_listen: SocketAddr,
    /// Most PostgreSQL connections.
    pub connections_max: usize,
    /// Longest run of a statement.
    pub statement_timeout: Duration,
    /// Memory of all queries together, bytes.
    pub query_memory_bytes_max: usize,
    /// HTTP listener.
    pub http_listen: SocketAddr,
    /// Most groups of a KPI and window shown as gauges.
    pub metrics_groups_max: usize,
    /// Most rows of one answer of SQL over HTTP.
    pub http_rows_max: usize,
}

pub(crate) struct Resolver<'a> {
    document: &'a Document,
    problems: &'a mut Problems,
    pub(crate) folder: PathBuf,
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

fn millis(value: Option<u32>, default: u32) -> Duration {
    Duration::from_millis(u64::from(value.unwrap_or(default)))
}

fn size(value: Option<u32>, default: u32) -> usize {
    value.unwrap_or(default) as usize
}

impl Resolver<'_> {
    pub(crate) fn problem(&mut self, pointer: &str, message: String, hint: &str) {
        let hint = (!hint.is_empty()).then(|| hint.to_owned());
        self.problems.at(self.document, pointer, message, hint);
    }

    pub(crate) fn problem_count(&self) -> usize {
        self.problems.len()
    }

    fn config(mut self, raw: &RawConfig) -> Config {
        if raw.version != 1 {
            self.problem("/version", format!("version {} is not known", raw.version), "write `version: 1`");
        }
        self.limits_are_above_zero(raw);
        let kafka = raw.kafka.as_ref().map(|kafka| self.kafka(kafka, raw));
        let scales = Arc::new(self.scales(raw));
        let sources = self.sources(raw, &scales);
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
            users: self.users(&raw.users),
            tls: self.tls(raw.tls.as_ref()),
            sql_listen: self.sql_listen(raw),
            connections_max: size(raw.sql.connections_max, 64),
            statement_timeout: millis(raw.sql.statement_timeout_ms, 60_000),
            query_memory_bytes_max: size(raw.sql.memory_bytes_max, 512 << 20),
            http_listen: self.http_listen(raw),
            metrics_groups_max: size(raw.http.metrics_groups_max, 200),
            http_rows_max: size(raw.http.rows_max, 10_000_000),
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
            ("/sql/memory_bytes_max", raw.sql.memory_bytes_max),
            ("/http/rows_max", raw.http.rows_max),
        ];
        for (pointer, _) in of.into_iter().filter(|(_, value)| *value == Some(0)) {
            let name = pointer.rsplit('/').next().unwrap_or_default();
            self.is_zero(pointer, name);
        }
        for (index, _) in raw.sources.iter().enumerate().filter(|(_, source)| source.hold_ms_max == Some(0)) {
            self.is_zero(&format!("/sources/{index}/hold_ms_max"), "hold_ms_max");
        }
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

    pub(crate) fn property(&mut self, at: &str, value: &RawProperty) -> String {
        // A password such as 007 is what is written, not the number that YAML makes of it.
        let as_written = |read: String| self.document.written(at).map_or(read, str::to_owned);
        match value {
            RawProperty::Text(text) => text.reveal().to_owned(),
            RawProperty::Number(number) => as_written(number.to_string()),
            RawProperty::Flag(flag) => as_written(flag.to_string()),
            RawProperty::File(RawSecretFile { file }) => {
                let path = self.folder.join(file);
                let read = std::fs::read_to_string(&path).unwrap_or_else(|error| {
                    let message = format!("{}: {error}", path.display());
                    self.problem(at, message, "the file holds the property's value");
                    String::new()
                });
                read.strip_suffix("\r\n").or(read.strip_suffix('\n')).unwrap_or(&read).to_owned()
            }
        }
    }

    /// A path is relative to the configuration file.
    fn place(&self, url: &str) -> String {
        if url.contains("://") { url.to_owned() } else { self.folder.join(url).to_string_lossy().into_owned() }
    }

    fn sql_listen(&mut self, raw: &RawConfig) -> SocketAddr {
        let address = self.listen("/sql/listen", raw.sql.listen.as_deref(), "127.0.0.1:5433");
        self.sql_may_face_its_network(raw, address);
        address
    }

    fn http_listen(&mut self, raw: &RawConfig) -> SocketAddr {
        let address = self.listen("/http/listen", raw.http.listen.as_deref(), "127.0.0.1:8080");
        if !address.ip().is_loopback() {
            let message = format!("{address} is not a loopback address, and HTTP is served in the clear");
            self.problem("/http/listen", message, "listen on 127.0.0.1 and put a proxy with TLS in front");
        }
        address
    }

    fn listen(&mut self, pointer: &str, text: Option<&str>, default: &str) -> SocketAddr {
        text.unwrap_or(default).parse().unwrap_or_else(|_| {
            let message = format!("`{}` is not an address and port", text.unwrap_or_default());
            self.problem(pointer, message, "such as 127.0.0.1:5433");
            SocketAddr::from(([127, 0, 0, 1], 0))
        })
    }

    fn scales(&mut self, raw: &RawConfig) -> Scales {
        let mut scales = Scales::default();
        for (name, scale) in &raw.scales {
            match (scale.min.scaled(4), scale.max.scaled(4)) {
                (Some(min), Some(max)) if min < max => {
                    scales.insert(name.clone(), Scale { min, max, integral: scale.integral });
                }
                _ => self.problem(
                    &format!("/scales/{}", escape(name)),
                    format!("scale `{name}` has no range of at most 4 decimals"),
                    "min is less than max",
                ),
            }
        }
        scales
    }

    fn sources(&mut self, raw: &RawConfig, scales: &Arc<Scales>) -> BTreeMap<String, SourceSpec> {
        let mut sources = BTreeMap::new();
        for (index, source) in raw.sources.iter().enumerate() {
            let spec = SourceSpec {
                name: source.name.clone().unwrap_or_else(|| source.topic.clone()),
                mapping: source.mapping.as_ref().map(|_| self.mapping(index, source)),
                scales: Arc::clone(scales),
            };
            if sources.insert(source.topic.clone(), spec).is_some() {
                let message = format!("topic `{}` is there twice", source.topic);
                self.problem(&format!("/sources/{index}/topic"), message, "one source reads a topic");
            }
        }
        // A list of the wrong form is left out of what is read, and was told of.
        let given = self.document.value("/sources").is_some_and(|value| value.as_array().is_none_or(|l| !l.is_empty()));
        if sources.is_empty() && !given {
            self.problem("/sources", "no source is named".to_owned(), "such as `sources: [{ topic: feedback }]`");
        }
        sources
    }

    fn mapping(&mut self, index: usize, source: &RawSource) -> Mapping {
        let mut fields = BTreeMap::new();
        for (name, binding) in source.mapping.iter().flatten() {
            let at = format!("/sources/{index}/mapping/{}", escape(name));
            self.is_a_field(&at, name);
            let detail = match binding {
                RawBinding::Pointer(pointer) => &RawBindingDetail {
                    pointer: Some(pointer.clone()),
                    constant: None,
                    format: None,
                    zone: None,
                    labels: None,
                },
                RawBinding::Detail(detail) => detail,
            };
            if let Some(binding) = self.binding(&at, detail) {
                fields.insert(name.clone(), binding);
            }
        }
        Mapping { fields }
    }

    fn is_a_field(&mut self, at: &str, name: &str) {
        let known: Vec<&str> =
            satisflow_model::fields().iter().map(|f| f.name).chain(["answers", "attributes"]).collect();
        if !known.contains(&name) {
            let near = satisflow_document::nearest(name, &known);
            let hint =
                near.map_or("docs/events.md lists the fields".to_owned(), |near| format!("did you mean `{near}`?"));
            self.problem(at, format!("an event has no field `{name}`"), &hint);
        }
    }

    fn binding(&mut self, at: &str, raw: &RawBindingDetail) -> Option<Binding> {
        let source = match (&raw.pointer, &raw.constant) {
            (Some(pointer), None) if pointer.starts_with('/') => BindingSource::Pointer(pointer.clone()),
            (None, Some(text)) => BindingSource::Constant(text.clone()),
            // Something is there that is not text, which was told of.
            (None, None) if ["pointer", "const"].iter().any(|n| self.is_given(&format!("{at}/{n}"))) => return None,
            _ => {
                self.problem(at, "a field has either a JSON pointer or a `const`".to_owned(), "such as `/order/id`");
                return None;
            }
        };
        let time = raw.format.as_ref().map(|format| TimeFormat {
            format: format.clone(),
            zone: raw.zone.as_ref().map_or(TimeZone::UTC, |zone| self.zone(&format!("{at}/zone"), zone)),
        });
        if let Some(time) = time.as_ref().filter(|time| !time.is_usable()) {
            let message = format!("no time can be read in the form `{}`", time.format);
            self.problem(&format!("{at}/format"), message, "such as `%Y-%m-%d %H:%M:%S` or `%B %d, %Y`");
        }
        let labels = raw.labels.as_ref().map(|labels| {
            let score = |(label, score): (&String, &satisflow_document::Decimal)| {
                let scaled = score.scaled(4);
                if scaled.is_none() {
                    let message = format!("the score of `{label}` is not a number of at most 4 decimals");
                    self.problem(&format!("{at}/labels/{}", escape(label)), message, "");
                }
                (label.trim().to_owned(), scaled.unwrap_or(0))
            };
            labels.iter().map(score).collect()
        });
        Some(Binding { source, time, labels })
    }

    fn is_given(&self, pointer: &str) -> bool {
        self.document.value(pointer).is_some_and(|value| !value.is_null())
    }

    fn zone(&mut self, pointer: &str, name: &str) -> TimeZone {
        TimeZoneDatabase::bundled().get(name).unwrap_or_else(|_| {
            self.problem(pointer, format!("zone `{name}` is not in the IANA database"), "such as `Europe/Berlin`");
            TimeZone::UTC
        })
    }
}

fn holds(sources: &[RawSource]) -> BTreeMap<String, Duration> {
    const HOLD_MS_MAX_DEFAULT: u32 = 86_400_000;
    let held = sources.iter().filter(|source| source.on_idle == RawOnIdle::Hold);
    held.map(|source| (source.topic.clone(), millis(source.hold_ms_max, HOLD_MS_MAX_DEFAULT))).collect()
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
