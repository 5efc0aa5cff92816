//! Counters of the pipeline, on a registry that is passed in.

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, exponential_buckets,
};

/// All metrics of the pipeline but the KPIs themselves.
#[derive(Debug, Clone)]
pub struct PipelineMetrics {
    /// Records as counted at the poll.
    pub polled: IntCounterVec,
    /// Records by what became of them; per partition they add up to `polled`.
    pub records: IntCounterVec,
    /// Rejects by reason.
    pub rejects: IntCounterVec,
    /// Records that Kafka has and that were not polled yet.
    pub lag: IntGaugeVec,
    /// Bytes polled and not yet taken into rows.
    pub held_bytes: IntGauge,
    /// 1 while partitions are paused because too much is on its way.
    pub paused: IntGauge,
    /// How often they were.
    pub pauses: IntCounter,
    /// Duration of a flush of records, with all that was tried again.
    pub flush_seconds: Histogram,
    /// Duration of a commit of records.
    pub commit_seconds: Histogram,
    /// Duration of a commit of KPI rows.
    pub score_seconds: Histogram,
    /// Rows that wait for their commit.
    pub pending_rows: IntGauge,
    /// Ids that duplicates are known by without asking the lake.
    pub dedup_ids: IntGauge,
    /// Memory of the filters over older ids.
    pub dedup_filter_bytes: IntGauge,
    /// Ids that the lake was asked for.
    pub dedup_asked: IntCounter,
    /// Ids that the scorer asked the lake for.
    pub identities_asked: IntCounter,
    /// Accepted events whose id was accepted before, of another partition.
    pub copies: IntCounter,
    /// Keys that joins of measures hold.
    pub joined_keys: IntGauge,
    /// Commits that wait for the scorer.
    pub scorer_queue: IntGauge,
    /// KPI rows written.
    pub kpi_rows: IntCounter,
    /// KPI rows written again with another content.
    pub restatements: IntCounter,
    /// Changes to published windows that wait to be restated.
    pub waiting_changes: IntGauge,
    /// Ranges of published rows read back for late events.
    pub late_ranges: IntCounter,
    /// Duration of writing a snapshot.
    pub snapshot_seconds: Histogram,
    /// Size of the last snapshot.
    pub snapshot_bytes: IntGauge,
    /// Version of `records` that is scored.
    pub scored_version: IntGauge,
    /// Windows that end before this are final, seconds since the epoch.
    pub watermark_seconds: IntGauge,
    /// Changes of alerts, by what happens: open, update, clear.
    pub alert_changes: IntCounterVec,
    /// 1 while this process publishes KPIs and has caught up.
    pub complete: IntGauge,
}

impl PipelineMetrics {
    /// Registers all metrics.
    ///
    /// # Errors
    /// When a name is taken on the registry.
    pub fn new(registry: &Registry) -> Result<PipelineMetrics, prometheus::Error> {
        let partition = ["topic", "partition"];
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let vec = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(vec.clone())).map(|()| vec)
        };
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone())).map(|()| counter)
        };
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone())).map(|()| gauge)
        };
        let seconds = |name: &str, help: &str| {
            let buckets = exponential_buckets(0.005, 2.0, 12)?;
            let histogram = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))?;
            registry.register(Box::new(histogram.clone())).map(|()| histogram)
        };
        let lag = IntGaugeVec::new(Opts::new("satisflow_kafka_lag_records", "Records not yet polled."), &partition)?;
        registry.register(Box::new(lag.clone()))?;
        let alert_changes =
            counters("satisflow_alert_changes_total", "Changes of alerts by what happens.", &["state"])?;
        for state in ["open", "update", "clear"] {
            alert_changes.with_label_values(&[state]);
        }
        Ok(PipelineMetrics {
            polled: counters("satisflow_polled_records_total", "Records counted at the poll.", &partition)?,
            records: counters(
                "satisflow_records_total",
                "Records by outcome: accepted, duplicate, rejected.",
                &["topic", "partition", "outcome"],
            )?,
            rejects: counters("satisflow_rejects_total", "Rejects by reason.", &["reason"])?,
            lag,
            alert_changes,
            held_bytes: gauge("satisflow_kafka_held_bytes", "Bytes polled and not yet taken into rows.")?,
            paused: gauge("satisflow_kafka_paused", "1 while partitions are paused: rows can't be committed as fast.")?,
            pauses: counter("satisflow_kafka_pauses_total", "How often partitions were paused.")?,
            flush_seconds: seconds(
                "satisflow_flush_seconds",
                "Duration of a flush of records, from its first attempt to its commit.",
            )?,
            commit_seconds: seconds("satisflow_commit_seconds", "Duration of a commit of records.")?,
            score_seconds: seconds("satisflow_score_commit_seconds", "Duration of a commit of KPI rows.")?,
            pending_rows: gauge("satisflow_pending_rows", "Rows waiting for their commit.")?,
            dedup_ids: gauge("satisflow_dedup_ids", "Event ids that recognise duplicates without asking the lake.")?,
            dedup_filter_bytes: gauge("satisflow_dedup_filter_bytes", "Memory of the filters over older ids.")?,
            dedup_asked: counter("satisflow_dedup_asked_ids_total", "Event ids that the lake was asked for.")?,
            identities_asked: counter(
                "satisflow_scorer_asked_ids_total",
                "Event ids that the scorer asked the lake for, to see which copy counts and what is void.",
            )?,
            copies: counter(
                "satisflow_copies_total",
                "Accepted events that another partition has too: they count once.",
            )?,
            joined_keys: gauge("satisflow_joined_keys", "Keys whose events the joins of measures hold.")?,
            scorer_queue: gauge("satisflow_scorer_queue_commits", "Commits waiting for the scorer.")?,
            kpi_rows: counter("satisflow_kpi_rows_total", "KPI rows written.")?,
            restatements: counter("satisflow_restatements_total", "KPI rows written again with other content.")?,
            waiting_changes: gauge(
                "satisflow_restatement_backlog_changes",
                "Changes of late or void events to published windows that wait to be restated.",
            )?,
            late_ranges: counter(
                "satisflow_late_ranges_total",
                "Ranges of published rows read back to restate events later than late_panes.",
            )?,
            snapshot_seconds: seconds("satisflow_snapshot_seconds", "Duration of writing a snapshot.")?,
            snapshot_bytes: gauge("satisflow_snapshot_bytes", "Size of the last snapshot.")?,
            scored_version: gauge("satisflow_scored_version", "Version of records that is scored.")?,
            watermark_seconds: gauge(
                "satisflow_watermark_timestamp_seconds",
                "Windows that end before this are final.",
            )?,
            complete: gauge("satisflow_kpi_complete", "1 while this process publishes KPIs and has caught up.")?,
        })
    }
}
