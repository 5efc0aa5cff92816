//! The service's audit of itself: the last closed windows, again and again.
//!
//! It reads only events that the windows at hand reach back to, pruned by the
//! statistics of files, within a limit of memory and of time. Copies,
//! retractions and first openings from before that range are not seen by it,
//! and a publication may be under way: so what differs is looked at again, in a
//! later version of the lake and with all of its events, before it is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::error::DataFusionError;
use prometheus::{IntCounter, IntGauge, Registry};
use satisflow_config::AuditSettings;
use satisflow_kpi::Definition;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::ends::{DAY_MICROS, reach, step};
use super::tables::Tables;
use super::{Audit, AuditReport, Ends, Series};
use crate::error::PipelineError;
use crate::service::ServiceParts;

/// Event time read at most, µs. Windows that reach further back are left to `satisflow audit`.
const RANGE_MICROS_MAX: i64 = 40 * DAY_MICROS;

/// The periodic audit of a running service.
pub struct SelfAudit {
    parts: ServiceParts,
    settings: AuditSettings,
    metrics: AuditMetrics,
    /// Differences of the series that have any: KPI, window, grouping set.
    differing: BTreeMap<[String; 3], u64>,
    /// Where the next round starts, if the last one ran out of time.
    next: usize,
}

struct AuditMetrics {
    differences: IntGauge,
    rows: IntCounter,
    last_run: IntGauge,
}

/// A series, which of its ends are examined, and the events (µs) that they reach back to.
struct Turn<'a> {
    series: Series<'a>,
    ends: Ends,
    from: i64,
}

impl AuditMetrics {
    fn new(registry: &Registry) -> Result<AuditMetrics, prometheus::Error> {
        let differences = IntGauge::new(
            "satisflow_audit_differences",
            "KPI rows of the last closed windows that are not what the lake's events make them.",
        )?;
        let rows = IntCounter::new("satisflow_audit_rows_total", "KPI rows compared by the service's own audit.")?;
        let last_run = IntGauge::new(
            "satisflow_audit_last_run_timestamp_seconds",
            "When the service's own audit last went through every series, seconds since the epoch; 0: not yet.",
        )?;
        registry.register(Box::new(differences.clone()))?;
        registry.register(Box::new(rows.clone()))?;
        registry.register(Box::new(last_run.clone()))?;
        Ok(AuditMetrics { differences, rows, last_run })
    }
}

impl SelfAudit {
    /// The audit that the configuration asks for; `None` when it is off.
    ///
    /// # Errors
    /// When a metric's name is taken.
    pub fn new(parts: ServiceParts, registry: &Registry) -> Result<Option<SelfAudit>, prometheus::Error> {
        let Some(settings) = parts.config.audit else { return Ok(None) };
        let metrics = AuditMetrics::new(registry)?;
        Ok(Some(SelfAudit { parts, settings, metrics, differing: BTreeMap::new(), next: 0 }))
    }

    /// Audits at each interval while this process publishes, until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(self.settings.interval) => {}
            }
            if self.parts.shared.look(|_| ()).is_none() {
                continue;
            }
            let round = tokio::select! {
                () = stop.cancelled() => return,
                round = self.round() => round,
            };
            if let Err(error) = round {
                tracing::warn!(%error, "the service could not audit itself; it tries again at the next interval");
            }
        }
    }

    async fn round(&mut self) -> Result<(), PipelineError> {
        let deadline = Instant::now() + self.settings.timeout;
        let audit = Audit::new(&self.parts.lake, Arc::clone(&self.parts.catalog)).await?;
        let turns = turns(&audit, self.settings.windows_max);
        let mut tables: Option<(i64, Tables)> = None;
        for number in std::mem::take(&mut self.next)..turns.len() {
            match timeout_at(deadline, self.turn(&audit, &turns[number], &mut tables)).await {
                Ok(Ok(report)) => self.note(&audit, &turns[number], &report),
                Ok(Err(error)) if is_too_large(&error) => {
                    let (kpi, window) = (&turns[number].series.definition.name, &turns[number].series.window.name);
                    tracing::warn!(%kpi, %window, %error, "too large for audit.memory_bytes_max: left out here");
                }
                Ok(Err(error)) => return Err(error),
                Err(_) => {
                    self.next = number;
                    tracing::info!(number, of = turns.len(), "audit.timeout_ms is over: the next audit goes on here");
                    return Ok(());
                }
            }
        }
        self.metrics.last_run.set((self.parts.clock)() / 1_000_000);
        Ok(())
    }

    async fn turn(
        &self,
        audit: &Audit,
        turn: &Turn<'_>,
        tables: &mut Option<(i64, Tables)>,
    ) -> Result<AuditReport, PipelineError> {
        let memory = Some(self.settings.memory_bytes_max);
        if tables.as_ref().is_none_or(|(from, _)| *from != turn.from) {
            // The memory of the former is free before the next is read.
            *tables = None;
            let published = Ends { since: Some(turn.from), until: None };
            let loaded = Tables::load(audit, &self.parts.lake, Some(turn.from), &published, memory).await?;
            *tables = Some((turn.from, loaded));
        }
        let mut report = AuditReport::default();
        if let Some((_, tables)) = tables {
            audit.examine(tables, turn.series, &turn.ends, &mut report).await?;
        }
        if report.differences == 0 {
            return Ok(report);
        }
        *tables = None;
        let again = Audit::new(&self.parts.lake, Arc::clone(&self.parts.catalog)).await?;
        let mut all = Tables::load(&again, &self.parts.lake, None, &turn.ends, memory).await?;
        let mut confirmed = AuditReport::default();
        again.examine(&mut all, turn.series, &turn.ends, &mut confirmed).await?;
        Ok(confirmed)
    }

    fn note(&mut self, audit: &Audit, turn: &Turn<'_>, report: &AuditReport) {
        let Series { definition, window, set } = turn.series;
        let key = [definition.name.to_string(), window.name.to_string(), audit.set_name(set)];
        self.metrics.rows.inc_by(report.rows);
        let before = match report.differences {
            0 => self.differing.remove(&key),
            found => self.differing.insert(key, found),
        };
        let all = self.differing.values().sum::<u64>();
        self.metrics.differences.set(i64::try_from(all).unwrap_or(i64::MAX));
        if let Some(first) = report.listed.first().filter(|_| before != Some(report.differences)) {
            let differences = report.differences;
            tracing::error!(
                differences,
                "KPI rows are not what the lake's events make them; the first: {first}; \
                 `satisflow audit --kpi {}` lists them",
                definition.name
            );
        }
    }
}

impl Audit {
    /// A reach with that of joins before an event; `None`: they reach back to any time.
    fn joined_before(&self, definition: &Definition, reach: i64) -> Option<i64> {
        let mut joins = definition.measures().flat_map(|measure| &self.catalog.measures[measure].joins);
        joins.try_fold(0, |most, join| Some(most.max(join.within?.0))).map(|before| reach.saturating_add(before))
    }
}

/// What a round goes through: the last `windows_max` ends of each series,
/// windows of one name together, so that their events are read once.
fn turns(audit: &Audit, windows_max: u32) -> Vec<Turn<'_>> {
    let mut turns: Vec<Turn<'_>> = Vec::new();
    for series in audit.series() {
        let published = audit.frontiers.get(&series.definition.fingerprint);
        let last = published.map_or(i64::MIN, |p| p.watermark.max(p.closed.unwrap_or(i64::MIN)));
        let ago = series.definition.read().map(|read| read.ago).max().unwrap_or_default();
        let reach = reach(&series.window.span, ago).and_then(|reach| audit.joined_before(series.definition, reach));
        let Some(reach) = reach.filter(|reach| *reach < RANGE_MICROS_MAX) else { continue };
        if last == i64::MIN {
            continue;
        }
        let back = step(&series.window.span).saturating_mul(i64::from(windows_max)).min(RANGE_MICROS_MAX - reach);
        let ends = Ends { since: Some(last.saturating_sub(back)), until: None };
        turns.push(Turn { series, ends, from: last.saturating_sub(back).saturating_sub(reach) });
    }
    let mut from: BTreeMap<Arc<str>, i64> = BTreeMap::new();
    for turn in &turns {
        let least = from.entry(Arc::clone(&turn.series.window.name)).or_insert(turn.from);
        *least = (*least).min(turn.from);
    }
    turns.iter_mut().for_each(|turn| turn.from = from[&turn.series.window.name]);
    turns.sort_by(|a, b| a.series.window.name.cmp(&b.series.window.name));
    turns
}

fn is_too_large(error: &PipelineError) -> bool {
    matches!(error, PipelineError::Read(error) if matches!(error.find_root(), DataFusionError::ResourcesExhausted(_)))
}
