//! Committed events to KPI rows.
//!
//! One scorer publishes per lake: the one that started last. One that stands by
//! takes over when that one shows no sign of life (see `claim`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, TimestampMicrosecondType};
use satisflow_catalog::{Catalog, Evaluator};
use satisflow_kpi::{
    Arrival, Engine, Frontier, Identities, JoinInput, KpiRow, Position, Resolution, RowsBuilder, Sign,
};
use satisflow_lake::{BACKFILL, CLOSED, Lake, PUBLISHED, SCORE};

use crate::backoff::asked;
use crate::error::PipelineError;
use crate::live::SharedEngine;
use crate::metrics::PipelineMetrics;
use crate::watermark::Watermarks;
use alerts::Alerts;
pub(crate) use alerts::read_columns;
use claim::{Patience, Role};
use snapshot::Schedule;

mod alerts;
mod claim;
mod identity;
mod late;
mod rebuild;
mod snapshot;

/// Transaction of `kpis`: when the last rows were computed, µs.
const COMPUTED: &str = "satisflow/score/computed";
/// Prefix of a transaction of `kpis`, before a definition's fingerprint: it was
/// near its limit of groups.
const NEAR_LIMIT: &str = "satisflow/near-limit/";
/// Rows of one commit, about; a longer publication is cut by event time.
const ROWS_COMMIT_MAX: usize = 50_000;
/// Publications advance by at most this much event time at once.
const STEP_MICROS: i64 = 86_400_000_000;
/// A scored version without rows is put on record this often.
const RECORD_INTERVAL: Duration = Duration::from_secs(5);
/// Joined events measured at once, at most.
const JOINED_ROWS_MAX: usize = 8192;
/// Positions asked of the lake at once.
const RECALL_CHUNK: usize = 500;

/// What the lake's transactions say of a definition.
#[derive(Debug, Clone, Copy, Default)]
struct DefinitionRecord {
    /// Ends up to here are published, µs.
    published: Option<i64>,
    /// Time of the last event when its windows were closed, µs.
    closed: Option<i64>,
    /// Its history up to here is back-filled, µs.
    backfill: Option<i64>,
    /// It was near its limit of groups, and keeps its panes.
    near_limit: bool,
}

pub(crate) struct Scorer {
    lake: Arc<Lake>,
    catalog: Arc<Catalog>,
    evaluator: Evaluator,
    metrics: PipelineMetrics,
    pub(crate) watermarks: Watermarks,
    shared: SharedEngine,
    identities: Identities,
    /// This process's own commits, so that they are not read back.
    own: BTreeMap<u64, Vec<RecordBatch>>,
    scored: u64,
    sequence: Option<i64>,
    /// When this process last moved the sequence.
    renewed: Instant,
    patience: Patience,
    /// What is on record of each definition.
    records: Vec<DefinitionRecord>,
    recorded: (u64, Instant),
    last_computed: i64,
    memory: Memory,
    schedule: Schedule,
    role: Role,
    alerts: Alerts,
}

/// What is kept of the state: panes behind what is published, for the longer of
/// the two, and snapshots.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// Panes of each window.
    pub(crate) late_panes: u32,
    /// Event time, µs.
    pub(crate) late_micros: i64,
    /// Identities held.
    pub(crate) identities: usize,
    /// Changes to published windows that may wait while more is scored; those
    /// of one commit more may.
    pub(crate) waiting_changes: usize,
    /// How often the state is written to the lake; `None`: never.
    pub(crate) snapshot_interval: Option<Duration>,
}

impl Scorer {
    pub(crate) fn new(
        lake: Arc<Lake>,
        catalog: Arc<Catalog>,
        metrics: PipelineMetrics,
        watermarks: Watermarks,
        shared: SharedEngine,
        memory: Memory,
        takeover_after: Duration,
    ) -> Result<Scorer, PipelineError> {
        let catalog_rules = catalog.alert_rules();
        Ok(Scorer {
            evaluator: Evaluator::new(&catalog)?,
            lake,
            catalog,
            metrics,
            watermarks,
            shared,
            identities: Identities::new(memory.identities),
            own: BTreeMap::new(),
            scored: 0,
            sequence: None,
            renewed: Instant::now(),
            patience: Patience::new(takeover_after),
            records: Vec::new(),
            recorded: (0, Instant::now()),
            last_computed: 0,
            memory,
            schedule: Schedule::new(memory.snapshot_interval),
            role: Role::Active,
            alerts: Alerts::new(catalog_rules),
        })
    }

    /// Does what there is to do; after news and from time to time it looks at
    /// the lake. `clock` in µs.
    pub(crate) async fn work(&mut self, look: bool, clock: i64) -> Result<(), PipelineError> {
        if !self.is_active() {
            return if look { self.watch().await } else { Ok(()) };
        }
        let done = self.publish_news(look, clock).await;
        self.unless_superseded(done)?;
        self.save(false).await;
        if self.is_active() {
            self.shared.complete();
            self.metrics.complete.set(1);
        }
        Ok(())
    }

    async fn publish_news(&mut self, look: bool, clock: i64) -> Result<(), PipelineError> {
        if look {
            self.check_claim().await?;
            self.catch_up(clock).await?;
        }
        self.publish(clock).await?;
        self.renew().await
    }

    /// Takes in what is committed. `clock` in µs.
    pub(crate) async fn take_in(&mut self, clock: i64) -> Result<(), PipelineError> {
        if !self.is_active() {
            return Ok(());
        }
        let done = self.catch_up(clock).await;
        self.unless_superseded(done)
    }

    /// Ends the work; if the input has ended with it, every window is closed.
    pub(crate) async fn finish(&mut self, close: bool, clock: i64) -> Result<(), PipelineError> {
        if !self.is_active() {
            return Ok(());
        }
        let done = self.publish_last(close, clock).await;
        self.unless_superseded(done)?;
        self.save(true).await;
        Ok(())
    }

    async fn publish_last(&mut self, close: bool, clock: i64) -> Result<(), PipelineError> {
        self.catch_up(clock).await?;
        if close {
            self.close(clock).await?
        } else {
            self.record(clock).await?
        }
        self.record_alerts().await
    }

    /// Remembers an own commit until its version is scored.
    pub(crate) fn remember(&mut self, version: u64, accepted: Vec<RecordBatch>) {
        if self.is_active() {
            self.own.insert(version, accepted);
        }
    }

    /// Scores every version up to the newest.
    async fn catch_up(&mut self, clock: i64) -> Result<(), PipelineError> {
        let newest = asked(|| self.lake.records_version()).await?;
        while self.scored < newest {
            self.score_next().await?;
            self.bound_late(clock).await?;
        }
        Ok(())
    }

    async fn score_next(&mut self) -> Result<(), PipelineError> {
        let version = self.scored + 1;
        let batches = match self.own.remove(&version) {
            Some(batches) => batches,
            None => asked(|| self.lake.accepted_in(version)).await?,
        };
        // All at once: between its question and its answer nothing may be forgotten.
        let arrivals: Vec<Arrival> = batches.iter().flat_map(identity::arrivals).collect();
        self.recollect(&batches, &arrivals).await?;
        let Resolution { signs, recall, copies } = self.identities.resolve(&arrivals);
        self.metrics.copies.inc_by(copies);
        let mut signs = signs.as_slice();
        for events in &batches {
            let (these, rest) = signs.split_at(events.num_rows());
            self.apply(events, these)?;
            signs = rest;
        }
        self.recall(version, recall).await?;
        self.scored = version;
        self.metrics.scored_version.set(i64::try_from(version).unwrap_or(i64::MAX));
        self.renew().await
    }

    /// Whoever looks at the engine sees an event and its answers at once.
    fn apply(&mut self, events: &RecordBatch, signs: &[Sign]) -> Result<(), PipelineError> {
        let now = Instant::now();
        for (topic, partition, latest) in latest_by_partition(events) {
            self.watermarks.observe(&topic, partition, latest, now);
        }
        self.count(events, signs)
    }

    fn count(&self, events: &RecordBatch, signs: &[Sign]) -> Result<(), PipelineError> {
        if events.num_rows() == 0 {
            return Ok(());
        }
        let mut measured = self.evaluator.measure(events, signs)?;
        let joins = self.evaluator.joins(events, signs)?;
        self.shared.with(|engine| {
            measured.try_for_each(|m| engine.apply(&m.batch, &m.signs))?;
            joins.into_iter().try_for_each(|input| self.join(engine, input))
        })
    }

    /// Counts anew what something else is joined to now.
    fn join(&self, engine: &mut Engine, input: JoinInput) -> Result<(), PipelineError> {
        let measure = input.measure;
        let joined = engine.join(input);
        for rows in joined.chunks(JOINED_ROWS_MAX) {
            let measured = self.evaluator.measure_joined(measure, rows)?;
            engine.apply(&measured.batch, &measured.signs)?;
        }
        self.metrics.joined_keys.set(i64::try_from(engine.joined_keys()).unwrap_or(i64::MAX));
        Ok(())
    }

    /// Takes back events of earlier versions.
    async fn recall(&mut self, version: u64, positions: Vec<Position>) -> Result<(), PipelineError> {
        for chunk in positions.chunks(RECALL_CHUNK) {
            let wanted: Vec<(String, i32, i64)> =
                chunk.iter().map(|p| (p.topic.to_string(), p.partition, p.offset)).collect();
            for events in self.lake.records_at(version, &wanted).await? {
                self.count(&events, &vec![Sign::Recall; events.num_rows()])?;
            }
        }
        Ok(())
    }

    /// Publishes what is final at this moment. `clock` in µs.
    async fn publish(&mut self, clock: i64) -> Result<(), PipelineError> {
        let target = self.frontiers(clock);
        let least = target.iter().map(|frontier| frontier.watermark).min().unwrap_or(0);
        self.metrics.watermark_seconds.set(least.max(0) / 1_000_000);
        self.publish_to(&target, clock, false).await
    }

    fn frontiers(&mut self, clock: i64) -> Vec<Frontier> {
        let mut frontiers = self.watermarks.frontiers(Instant::now(), clock);
        frontiers.iter_mut().zip(&self.records).for_each(|(frontier, record)| frontier.closed = record.closed);
        frontiers
    }

    /// Publishes every window that holds data: the input has ended.
    async fn close(&mut self, clock: i64) -> Result<(), PipelineError> {
        let last = self.shared.with(|engine| engine.last_event());
        for definition in 0..self.records.len() {
            self.watermarks.resume(definition, last.unwrap_or(i64::MIN));
            let closed = &mut self.records[definition].closed;
            *closed = (*closed).max(last);
        }
        // Nothing more comes: what is there is complete.
        let target = self.frontiers(clock).into_iter().map(|f| Frontier { complete: i64::MAX, ..f });
        self.publish_to(&target.collect::<Vec<_>>(), clock, true).await
    }

    /// Puts on record what is scored, rows or not.
    async fn record(&mut self, clock: i64) -> Result<(), PipelineError> {
        let target = self.frontiers(clock);
        self.publish_to(&target, clock, true).await
    }

    async fn publish_to(&mut self, target: &[Frontier], clock: i64, force: bool) -> Result<(), PipelineError> {
        let mut rows: Vec<KpiRow> = self.restate_late().await?;
        loop {
            self.renew().await?;
            let (step, last) = self.next_step(target);
            rows.extend(self.shared.with(|engine| engine.advance(&step))?);
            let idle = rows.is_empty() && !force && !self.record_is_due();
            if (last && !idle) || rows.len() >= ROWS_COMMIT_MAX {
                self.commit(&rows, &step, clock).await?;
                rows.clear();
            }
            if last {
                self.show_waiting();
                self.shared.with(|engine| engine.end_backfill());
                return self.forget();
            }
        }
    }

    fn record_is_due(&self) -> bool {
        self.scored > self.recorded.0 && self.recorded.1.elapsed() >= RECORD_INTERVAL
    }

    /// The next part of a publication, and whether it is the last.
    fn next_step(&self, target: &[Frontier]) -> (Vec<Frontier>, bool) {
        let due = self.shared.with(|engine| {
            let due = |(index, to): (usize, &Frontier)| engine.next_due(index).filter(|end| *end <= to.watermark);
            target.iter().enumerate().filter_map(due).min()
        });
        let step = due.map_or(i64::MAX, |end| end.saturating_add(STEP_MICROS));
        if target.iter().all(|to| to.watermark <= step) {
            return (target.to_vec(), true);
        }
        let part = |to: &Frontier| Frontier { watermark: to.watermark.min(step), closed: None, ..*to };
        (target.iter().map(part).collect(), false)
    }

    async fn commit(&mut self, rows: &[KpiRow], frontiers: &[Frontier], clock: i64) -> Result<(), PipelineError> {
        self.write(rows, self.moved(frontiers), clock).await
    }

    /// Commits rows, and where the definitions stand with them.
    async fn write(
        &mut self,
        rows: &[KpiRow],
        records: Vec<DefinitionRecord>,
        clock: i64,
    ) -> Result<(), PipelineError> {
        let timer = self.metrics.score_seconds.start_timer();
        // Later than every earlier row, also when the clock jumps back.
        let computed = clock.max(self.last_computed + 1);
        self.last_computed = computed;
        let batch = self.shared.with(|engine| to_batch(engine, rows, computed))?;
        self.commit_next(batch.iter().cloned().collect(), self.transactions(&records)).await?;
        timer.observe_duration();
        self.records = records;
        self.committed(rows);
        self.decide(batch.as_ref(), computed).await
    }

    /// Where the definitions stand after a publication. They never go back:
    /// while a new definition catches up, the others stay where they are.
    fn moved(&self, frontiers: &[Frontier]) -> Vec<DefinitionRecord> {
        let moved = |(index, (record, to)): (usize, (&DefinitionRecord, &Frontier))| DefinitionRecord {
            published: record.published.max(Some(to.watermark)),
            closed: to.closed.or(record.closed),
            near_limit: record.near_limit || self.shared.with(|engine| engine.is_near_limit(index)),
            ..*record
        };
        self.records.iter().zip(frontiers).enumerate().map(moved).collect()
    }

    /// What a commit puts on record.
    fn transactions(&self, records: &[DefinitionRecord]) -> BTreeMap<String, i64> {
        let mut all = BTreeMap::from([(COMPUTED.to_owned(), self.last_computed)]);
        all.insert(SCORE.to_owned(), i64::try_from(self.scored).unwrap_or(i64::MAX));
        for (definition, record) in self.catalog.plan.definitions.iter().zip(records) {
            let near_limit = record.near_limit.then_some(1);
            let values = [
                (PUBLISHED, record.published),
                (CLOSED, record.closed),
                (BACKFILL, record.backfill),
                (NEAR_LIMIT, near_limit),
            ];
            let named = |(prefix, value): (&str, Option<i64>)| {
                value.map(|value| (format!("{prefix}{}", definition.fingerprint), value))
            };
            all.extend(values.into_iter().filter_map(named));
        }
        all
    }

    fn committed(&mut self, rows: &[KpiRow]) {
        self.recorded = (self.scored, Instant::now());
        self.metrics.kpi_rows.inc_by(rows.len() as u64);
        self.metrics.restatements.inc_by(rows.iter().filter(|row| row.revision > 1).count() as u64);
    }
}

fn to_batch(engine: &Engine, rows: &[KpiRow], computed: i64) -> Result<Option<RecordBatch>, PipelineError> {
    let mut builder = RowsBuilder::new(&engine.plan().dimensions);
    rows.iter().for_each(|row| builder.append(engine, row, computed));
    Ok((!rows.is_empty()).then(|| builder.finish()).transpose()?)
}

fn latest_by_partition(events: &RecordBatch) -> Vec<(String, i32, i64)> {
    let topic = events["topic"].as_string::<i32>();
    let partition = events["partition"].as_primitive::<Int32Type>();
    let time = events["event_time"].as_primitive::<TimestampMicrosecondType>();
    let mut latest: BTreeMap<(&str, i32), i64> = BTreeMap::new();
    for row in 0..events.num_rows() {
        let held = latest.entry((topic.value(row), partition.value(row))).or_insert(i64::MIN);
        *held = (*held).max(time.value(row));
    }
    latest.into_iter().map(|((topic, partition), time)| (topic.to_owned(), partition, time)).collect()
}
