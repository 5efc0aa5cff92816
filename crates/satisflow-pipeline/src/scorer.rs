//! Committed events to KPI rows.
//!
//! One scorer publishes per lake. Every commit of rows moves a sequence that it
//! expects where it left it; another scorer's commit moves it too, and the loser
//! drops its engine and stands by. The one that started last publishes; one
//! that stands by takes over when scoring falls behind for too long.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use futures::TryStreamExt;
use satisflow_catalog::{Catalog, Evaluator};
use satisflow_kpi::{Arrival, Engine, Frontier, Identities, KpiRow, Position, RowKey, RowsBuilder, Sign};
use satisflow_lake::{CLOSED, CommitError, DEFINITION, KpisCommit, Lake, SCORE, WATERMARK};

use crate::error::PipelineError;
use crate::live::{Scored, SharedScored};
use crate::metrics::PipelineMetrics;
use crate::watermark::Watermark;

/// Transaction of `kpis` that every scorer's commit moves by one.
const SEQUENCE: &str = "satisflow/score/sequence";
/// Rows of one commit, about; a longer publication is cut by event time.
const ROWS_COMMIT_MAX: usize = 50_000;
/// Publications advance by at most this much event time at once.
const STEP_MICROS: i64 = 86_400_000_000;
/// A scored version without rows is put on record this often.
const RECORD_INTERVAL: Duration = Duration::from_secs(5);
/// A standby takes over when nothing was scored for this long and there was work.
const TAKEOVER_AFTER: Duration = Duration::from_secs(15);
/// Positions asked of the lake at once.
const RECALL_CHUNK: usize = 500;

/// Whether this process publishes.
#[derive(Debug)]
enum Role {
    Active,
    Standby { sequence: Option<i64>, since: Instant },
}

pub(crate) struct Scorer {
    lake: Arc<Lake>,
    catalog: Arc<Catalog>,
    evaluator: Evaluator,
    metrics: PipelineMetrics,
    pub(crate) watermark: Watermark,
    shared: SharedScored,
    identities: Identities,
    /// This process's own commits, so that they are not read back.
    own: BTreeMap<u64, Vec<RecordBatch>>,
    scored: u64,
    sequence: Option<i64>,
    closed: Option<i64>,
    /// Up to where each definition is published, by its fingerprint.
    published: BTreeMap<Arc<str>, i64>,
    recorded: (u64, Instant),
    last_computed: i64,
    role: Role,
}

impl Scorer {
    pub(crate) fn new(
        lake: Arc<Lake>,
        catalog: Arc<Catalog>,
        metrics: PipelineMetrics,
        watermark: Watermark,
        shared: SharedScored,
    ) -> Result<Scorer, PipelineError> {
        Ok(Scorer {
            evaluator: Evaluator::new(&catalog)?,
            lake,
            catalog,
            metrics,
            watermark,
            shared,
            identities: Identities::default(),
            own: BTreeMap::new(),
            scored: 0,
            sequence: None,
            closed: None,
            published: BTreeMap::new(),
            recorded: (0, Instant::now()),
            last_computed: 0,
            role: Role::Active,
        })
    }

    /// Builds the engine from the lake as it was last scored, so that it goes
    /// on exactly where the published rows stop.
    pub(crate) async fn rebuild(&mut self) -> Result<(), PipelineError> {
        let started = Instant::now();
        self.shared.set(None);
        self.identities = Identities::default();
        self.sequence = self.lake.kpi_transaction(SEQUENCE).await?;
        self.closed = self.lake.kpi_transaction(CLOSED).await?;
        let scored = self.lake.kpi_transaction(SCORE).await?;
        let watermark = self.lake.kpi_transaction(WATERMARK).await?;
        self.scored = scored.and_then(|v| u64::try_from(v).ok()).unwrap_or(0);
        self.shared.set(Some(Scored::new(Engine::new(self.catalog.plan.clone()))));
        let events = self.replay_scored().await?;
        self.resume_definitions(watermark).await?;
        if let Some(watermark) = watermark {
            self.watermark.resume(watermark);
            self.restore_revisions().await?;
        }
        self.recorded = (self.scored, Instant::now());
        self.role = Role::Active;
        tracing::info!(events, version = self.scored, elapsed = ?started.elapsed(), "the engine is built from the lake");
        Ok(())
    }

    async fn replay_scored(&mut self) -> Result<usize, PipelineError> {
        let mut stream = self.lake.read_accepted(self.scored).await?;
        let (mut events, mut recall) = (0, Vec::new());
        while let Some(batch) = stream.try_next().await? {
            events += batch.num_rows();
            recall.extend(self.apply(&batch)?);
        }
        self.recall(self.scored, recall).await?;
        Ok(events)
    }

    /// A definition goes on where its own rows stop; one that has none, or whose
    /// back-fill was interrupted, is computed from there.
    async fn resume_definitions(&mut self, watermark: Option<i64>) -> Result<(), PipelineError> {
        self.published.clear();
        for definition in &self.catalog.plan.definitions {
            let fingerprint = &definition.fingerprint;
            let published = self.lake.kpi_transaction(&format!("{DEFINITION}{fingerprint}")).await?;
            if let Some(until) = published {
                self.published.insert(Arc::clone(fingerprint), until);
                let closed = self.closed.filter(|_| published == watermark);
                self.shared.with(|scored| scored.engine.resume(fingerprint, Frontier { watermark: until, closed }))?;
            }
            if watermark.is_some() && published != watermark {
                tracing::info!(kpi = %definition.name, "a new definition: its history is computed from the lake");
                self.shared.with(|scored| scored.engine.mark_backfill(fingerprint));
            }
        }
        Ok(())
    }

    async fn restore_revisions(&mut self) -> Result<(), PipelineError> {
        let mut stream = self.lake.read_kpis().await?;
        while let Some(batch) = stream.try_next().await? {
            self.shared.with(|scored| restore(&mut scored.engine, &batch));
        }
        Ok(())
    }

    /// Takes over publishing: whoever published before finds the sequence moved.
    pub(crate) async fn claim(&mut self, clock: i64) -> Result<(), PipelineError> {
        self.commit(&[], None, clock).await.map(drop)
    }

    /// Stands by when another process has taken over.
    pub(crate) async fn check_claim(&mut self) -> Result<(), PipelineError> {
        let found = self.lake.kpi_transaction(SEQUENCE).await?;
        if found != self.sequence {
            tracing::warn!("another process publishes the KPIs now; this one stands by");
            self.stand_by();
        }
        Ok(())
    }

    pub(crate) fn is_active(&self) -> bool {
        matches!(self.role, Role::Active)
    }

    /// Remembers an own commit until its version is scored.
    pub(crate) fn remember(&mut self, version: u64, accepted: Vec<RecordBatch>) {
        if self.is_active() {
            self.own.insert(version, accepted);
        }
    }

    /// Scores every version up to the newest.
    pub(crate) async fn catch_up(&mut self) -> Result<(), PipelineError> {
        let newest = self.lake.records_version().await?;
        while self.scored < newest {
            let version = self.scored + 1;
            let batches = match self.own.remove(&version) {
                Some(batches) => batches,
                None => self.lake.accepted_in(version).await?,
            };
            let mut recall = Vec::new();
            for batch in &batches {
                recall.extend(self.apply(batch)?);
            }
            self.recall(version, recall).await?;
            self.scored = version;
            self.metrics.scored_version.set(i64::try_from(version).unwrap_or(i64::MAX));
        }
        Ok(())
    }

    fn apply(&mut self, events: &RecordBatch) -> Result<Vec<Position>, PipelineError> {
        if events.num_rows() == 0 {
            return Ok(Vec::new());
        }
        let now = Instant::now();
        for (topic, partition, latest) in latest_by_partition(events) {
            self.watermark.observe(&topic, partition, latest, now);
        }
        let resolution = self.identities.resolve(&arrivals(events));
        let measured = self.evaluator.evaluate(events)?;
        self.shared.with(|scored| scored.engine.apply(&measured, &resolution.signs))?;
        Ok(resolution.recall)
    }

    /// Takes back events of earlier versions.
    async fn recall(&mut self, version: u64, positions: Vec<Position>) -> Result<(), PipelineError> {
        for chunk in positions.chunks(RECALL_CHUNK) {
            let wanted: Vec<(String, i32, i64)> =
                chunk.iter().map(|p| (p.topic.to_string(), p.partition, p.offset)).collect();
            for events in self.lake.records_at(version, &wanted).await? {
                let measured = self.evaluator.evaluate(&events)?;
                let signs = vec![Sign::Recall; events.num_rows()];
                self.shared.with(|scored| scored.engine.apply(&measured, &signs))?;
            }
        }
        Ok(())
    }

    /// Publishes what is final at this moment. `clock` in µs.
    pub(crate) async fn publish(&mut self, clock: i64) -> Result<(), PipelineError> {
        let watermark = self.watermark.at(Instant::now(), clock);
        self.metrics.watermark_seconds.set(watermark.max(0) / 1_000_000);
        self.publish_to(Frontier { watermark, closed: self.closed }, clock, false).await
    }

    /// Publishes every window that holds data: the input has ended.
    pub(crate) async fn close(&mut self, clock: i64) -> Result<(), PipelineError> {
        let last = self.shared.with(|scored| scored.engine.last_event());
        let watermark = self.watermark.at(Instant::now(), clock).max(last.unwrap_or(i64::MIN));
        self.watermark.resume(watermark);
        self.closed = self.closed.max(last);
        self.publish_to(Frontier { watermark, closed: self.closed }, clock, true).await
    }

    /// Puts on record what is scored, rows or not.
    pub(crate) async fn record(&mut self, clock: i64) -> Result<(), PipelineError> {
        let watermark = self.watermark.at(Instant::now(), clock);
        self.publish_to(Frontier { watermark, closed: self.closed }, clock, true).await
    }

    async fn publish_to(&mut self, target: Frontier, clock: i64, force: bool) -> Result<(), PipelineError> {
        let mut rows: Vec<KpiRow> = Vec::new();
        loop {
            let (step, last) = self.next_step(target);
            rows.extend(self.shared.with(|scored| scored.engine.advance(step))?);
            let idle = rows.is_empty() && !force && !self.record_is_due();
            if (last && !idle) || rows.len() >= ROWS_COMMIT_MAX {
                if !self.commit(&rows, Some(step), clock).await? {
                    return Ok(());
                }
                rows.clear();
            }
            if last {
                self.shared.with(|scored| scored.engine.end_backfill());
                return Ok(());
            }
        }
    }

    fn record_is_due(&self) -> bool {
        self.scored > self.recorded.0 && self.recorded.1.elapsed() >= RECORD_INTERVAL
    }

    /// The next part of a publication, and whether it is the last.
    fn next_step(&self, target: Frontier) -> (Frontier, bool) {
        let due = self.shared.with(|scored| scored.engine.next_due()).unwrap_or(i64::MAX);
        let step = due.saturating_add(STEP_MICROS);
        if step >= target.watermark {
            return (target, true);
        }
        (Frontier { watermark: step, closed: None }, false)
    }

    /// Commits rows; `false` when another scorer has taken over.
    async fn commit(&mut self, rows: &[KpiRow], frontier: Option<Frontier>, clock: i64) -> Result<bool, PipelineError> {
        let timer = self.metrics.score_seconds.start_timer();
        // Later than every earlier row, also when the clock jumps back.
        let computed = clock.max(self.last_computed + 1);
        self.last_computed = computed;
        let batch = self.shared.with(|scored| to_batch(&scored.engine, rows, computed))?;
        let next = self.sequence.unwrap_or(0) + 1;
        let transactions = self.transactions(frontier, next);
        let commit = KpisCommit {
            commit_id: uuid::Uuid::new_v4().to_string(),
            batches: batch.into_iter().collect(),
            transactions: transactions.clone(),
            expect: BTreeMap::from([(SEQUENCE.to_owned(), self.sequence)]),
        };
        match self.lake.commit_kpis(commit).await {
            Ok(_) => {
                timer.observe_duration();
                self.committed(rows, &transactions);
                Ok(true)
            }
            Err(error @ CommitError::Fenced { .. }) => {
                tracing::warn!(%error, "another process publishes the KPIs now; this one stands by");
                self.stand_by();
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What a commit puts on record. Frontiers never go back: while a new
    /// definition catches up, the others stay where they are.
    fn transactions(&self, frontier: Option<Frontier>, sequence: i64) -> BTreeMap<String, i64> {
        let mut all = BTreeMap::from([(SEQUENCE.to_owned(), sequence)]);
        let Some(frontier) = frontier else { return all };
        all.insert(SCORE.to_owned(), i64::try_from(self.scored).unwrap_or(i64::MAX));
        all.extend(frontier.closed.map(|closed| (CLOSED.to_owned(), closed)));
        let mut highest = frontier.watermark;
        for definition in &self.catalog.plan.definitions {
            let before = self.published.get(&definition.fingerprint).copied();
            let until = before.map_or(frontier.watermark, |before| before.max(frontier.watermark));
            highest = highest.max(until);
            all.insert(format!("{DEFINITION}{}", definition.fingerprint), until);
        }
        all.insert(WATERMARK.to_owned(), highest);
        all
    }

    fn committed(&mut self, rows: &[KpiRow], transactions: &BTreeMap<String, i64>) {
        self.sequence = transactions.get(SEQUENCE).copied();
        for definition in &self.catalog.plan.definitions {
            if let Some(until) = transactions.get(&format!("{DEFINITION}{}", definition.fingerprint)) {
                self.published.insert(Arc::clone(&definition.fingerprint), *until);
            }
        }
        self.recorded = (self.scored, Instant::now());
        self.metrics.kpi_rows.inc_by(rows.len() as u64);
        self.metrics.restatements.inc_by(rows.iter().filter(|row| row.revision > 1).count() as u64);
        self.shared.with(|scored| scored.published(rows));
    }

    fn stand_by(&mut self) {
        self.shared.set(None);
        self.own.clear();
        self.identities = Identities::default();
        self.metrics.complete.set(0);
        self.role = Role::Standby { sequence: None, since: Instant::now() };
    }

    /// A standby looks whether the active scorer still works, and takes over if not.
    pub(crate) async fn watch(&mut self) -> Result<(), PipelineError> {
        let found = self.lake.kpi_transaction(SEQUENCE).await?;
        let Role::Standby { sequence, since } = &mut self.role else { return Ok(()) };
        if *sequence != found {
            (*sequence, *since) = (found, Instant::now());
            return Ok(());
        }
        if since.elapsed() < TAKEOVER_AFTER {
            return Ok(());
        }
        let scored = self.lake.kpi_transaction(SCORE).await?.unwrap_or(0);
        let newest = i64::try_from(self.lake.records_version().await?).unwrap_or(i64::MAX);
        if newest > scored {
            tracing::warn!(scored, newest, "nobody scores: this process takes over");
            self.rebuild().await?;
            self.claim(self.last_computed).await?;
        }
        Ok(())
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

fn arrivals(events: &RecordBatch) -> Vec<Arrival> {
    let text = |name: &str| events[name].as_string::<i32>().clone();
    let (topic, source, event_id) = (text("topic"), text("source"), text("event_id"));
    let voids = [text("retracts"), text("supersedes")];
    let partition = events["partition"].as_primitive::<Int32Type>();
    let offset = events["offset"].as_primitive::<Int64Type>();
    let mut last: Option<Arc<str>> = None;
    (0..events.num_rows())
        .map(|row| {
            let name = match &last {
                Some(name) if **name == *topic.value(row) => Arc::clone(name),
                _ => Arc::from(topic.value(row)),
            };
            last = Some(Arc::clone(&name));
            let target = |column: &arrow::array::StringArray| {
                use arrow::array::Array;
                column.is_valid(row).then(|| satisflow_model::identity(source.value(row), column.value(row)))
            };
            Arrival {
                identity: satisflow_model::identity(source.value(row), event_id.value(row)),
                position: Position { topic: name, partition: partition.value(row), offset: offset.value(row) },
                voids: [target(&voids[0]), target(&voids[1])],
            }
        })
        .collect()
}

/// Sets revisions above 1; each row raises its key's revision to its own.
fn restore(engine: &mut Engine, rows: &RecordBatch) {
    use arrow::array::Array;
    let text = |name: &str| rows[name].as_string::<i32>().clone();
    let (fingerprint, window, set) = (text("fingerprint"), text("window_name"), text("grouping_set"));
    let revision = rows["revision"].as_primitive::<Int64Type>();
    let end = rows["window_end"].as_primitive::<TimestampMicrosecondType>();
    for row in (0..rows.num_rows()).filter(|row| revision.value(*row) > 1) {
        let names = set.value(row).split(',').filter(|name| !name.is_empty());
        let columns: Vec<_> =
            names.filter_map(|name| rows.column_by_name(name)).map(|c| c.as_string::<i32>().clone()).collect();
        let key = RowKey {
            fingerprint: fingerprint.value(row),
            window: window.value(row),
            grouping_set: set.value(row),
            values: columns.iter().map(|c| if c.is_valid(row) { c.value(row) } else { "" }).collect(),
            end: end.value(row),
        };
        engine.restore_revision(&key, u32::try_from(revision.value(row)).unwrap_or(u32::MAX));
    }
}
