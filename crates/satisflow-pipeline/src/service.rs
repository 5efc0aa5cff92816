//! The running service: Kafka in, lake and KPIs out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use satisflow_catalog::Catalog;
use satisflow_config::{Config, TimeMode};
use satisflow_kafka::{
    KafkaConfig, KafkaError, KafkaSource, LastRecord, PartitionEnd, PartitionEnds, PartitionProgress, PositionSource,
    SourceEvent, SourceLoad,
};
use satisflow_kpi::Engine;
use satisflow_lake::Lake;
use satisflow_model::Decoder;
use tokio::sync::mpsc::{Receiver, Sender, WeakSender, channel};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::at_end::AtEnd;
use crate::backoff::asked;
use crate::collector::{Collector, Committed};
use crate::dedup::Dedup;
use crate::error::PipelineError;
use crate::live::{KpiGauges, LiveKpis, Now, SharedEngine};
use crate::metrics::PipelineMetrics;
use crate::scorer::{Memory, Scorer};
use crate::watermark::{WatermarkRules, Watermarks};

/// The current time, µs since the epoch.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Commits that may wait for the scorer; beyond, collecting waits, and Kafka with it.
const SCORER_QUEUE_MAX: usize = 64;
/// The scorer asks of few identities, and holds this part of what duplicates are known by.
const SCORER_SHARE: usize = 8;
/// How often windows are looked at without new rows.
const TICK: Duration = Duration::from_millis(200);
/// How often other processes' commits are looked for.
const REFRESH: Duration = Duration::from_secs(1);
/// How often the broker is asked for the ends of all partitions.
const ENDS_INTERVAL: Duration = Duration::from_secs(1);

/// What the service is made of.
#[derive(Clone)]
pub struct ServiceParts {
    /// Settings.
    pub config: Arc<Config>,
    /// What is computed.
    pub catalog: Arc<Catalog>,
    /// Where rows are kept.
    pub lake: Arc<Lake>,
    /// Counters.
    pub metrics: PipelineMetrics,
    /// The engine, for those who look.
    pub shared: SharedEngine,
    /// The time.
    pub clock: Clock,
}

/// What the collecting side tells the scorer.
enum ScorerInput {
    Committed(Committed),
    Progress(Vec<PartitionProgress>),
    /// Every partition, whoever reads it.
    Ends(Vec<PartitionEnd>),
    /// Partitions that were assigned, or else revoked.
    Moved(Vec<(String, i32)>, bool),
    /// Reading can't go on.
    Failed(KafkaError),
    Finish {
        close: bool,
    },
}

impl ServiceParts {
    /// The time that open windows are judged by.
    fn now(&self) -> Now {
        let clock = Arc::clone(&self.clock);
        let mode = self.config.time;
        Arc::new(move |engine: &Engine| match mode {
            TimeMode::Live => clock(),
            TimeMode::Data => engine.last_event().unwrap_or_else(|| clock()),
        })
    }

    /// The table `kpi_live`.
    pub fn live_kpis(&self) -> LiveKpis {
        LiveKpis::new(&self.catalog, self.shared.clone(), self.now())
    }

    /// The KPI gauges, on a registry.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn gauges(&self, registry: &prometheus::Registry) -> Result<KpiGauges, prometheus::Error> {
        KpiGauges::new(registry, &self.catalog, self.shared.clone(), self.now(), self.config.metrics_groups_max)
    }

    pub(crate) fn decoders(&self) -> BTreeMap<String, Decoder> {
        let decoder = |spec: &satisflow_model::SourceSpec| {
            let key = self.config.customer_key.clone();
            Decoder::new(spec.clone(), self.config.limits.clone()).with_customer_key(key)
        };
        self.config.sources.iter().map(|(topic, spec)| (topic.clone(), decoder(spec))).collect()
    }

    pub(crate) fn scorer(&self) -> Result<Scorer, PipelineError> {
        let config = &self.config;
        let rules = WatermarkRules {
            mode: config.time,
            lateness: config.allowed_lateness_micros,
            idle_after: config.idle_after,
            holds: config.holds.clone(),
        };
        let longest_hold = config.holds.values().max().map_or(0, Duration::as_micros);
        let late_micros = i64::try_from(longest_hold).unwrap_or(i64::MAX);
        let topics = self.catalog.plan.definitions.iter().map(|definition| definition.topics.clone()).collect();
        Scorer::new(
            Arc::clone(&self.lake),
            Arc::clone(&self.catalog),
            self.metrics.clone(),
            Watermarks::new(rules, topics),
            self.shared.clone(),
            Memory {
                late_panes: config.late_panes,
                late_micros,
                identities: config.identities_max / SCORER_SHARE,
                waiting_changes: config.restatement_backlog_changes_max,
                snapshot_interval: config.snapshot_interval,
            },
            config.takeover_after,
        )
    }

    pub(crate) fn collector(&self) -> Collector {
        self.collector_of(self.decoders())
    }

    /// A collector of one topic that is read as a source is; `None` when there is no such source.
    pub(crate) fn collector_like(&self, topic: &str, source: &str) -> Option<Collector> {
        let decoder = self.decoders().remove(source)?;
        Some(self.collector_of(BTreeMap::from([(topic.to_owned(), decoder)])))
    }

    fn collector_of(&self, decoders: BTreeMap<String, Decoder>) -> Collector {
        let dedup = Dedup::new(self.config.identities_max, self.metrics.clone());
        Collector::new(Arc::clone(&self.lake), decoders, self.config.flush, self.metrics.clone(), dedup)
    }
}

/// The lake's positions, asked for by the poll thread.
struct LakePositions {
    lake: Arc<Lake>,
    runtime: tokio::runtime::Handle,
}

impl PositionSource for LakePositions {
    fn position(&self, topic: &str, partition: i32) -> Result<Option<i64>, String> {
        self.runtime.block_on(self.lake.position(topic, partition)).map_err(|error| error.to_string())
    }

    fn last_record(&self, topic: &str, partition: i32, position: i64) -> Result<Option<LastRecord>, String> {
        let found = self.runtime.block_on(self.lake.last_record(topic, partition, position));
        let last = |(offset, micros): (i64, i64)| LastRecord { offset, timestamp_ms: micros.div_euclid(1000) };
        found.map(|found| found.map(last)).map_err(|error| error.to_string())
    }
}

/// The service.
pub struct Service {
    parts: ServiceParts,
    collector: Collector,
    scorer: Sender<ScorerInput>,
    stop: CancellationToken,
    /// No more is polled; what is polled is still scored. Ends with `stop`.
    ended: CancellationToken,
    exit_at_end: bool,
    at_end: AtEnd,
    /// What the broker said last of all partitions.
    ends: watch::Receiver<Option<Vec<PartitionEnd>>>,
}

impl Service {
    /// Runs until `stop`, or with `exit_at_end` until everything there is has
    /// been read and every window closed. What is accepted is committed before
    /// it returns.
    ///
    /// # Errors
    /// What keeps the service from going on.
    pub async fn run(
        parts: ServiceParts,
        kafka: KafkaConfig,
        stop: CancellationToken,
        exit_at_end: bool,
    ) -> Result<(), PipelineError> {
        let runtime = tokio::runtime::Handle::current();
        let positions: Arc<dyn PositionSource> = Arc::new(LakePositions { lake: Arc::clone(&parts.lake), runtime });
        let (scorer, inputs) = channel(SCORER_QUEUE_MAX);
        let ends = PartitionEnds::new(&kafka, Arc::clone(&positions))?;
        let (told, told_ends) = watch::channel(None);
        let ended = stop.child_token();
        tokio::spawn(watch_ends(ends, scorer.downgrade(), told, ended.clone()));
        let scoring = tokio::spawn(score(parts.clone(), inputs, stop.clone()));
        let source = KafkaSource::start(kafka, positions, ended.clone())?;
        tokio::spawn(show_load(source.load(), parts.metrics.clone(), ended.clone()));
        let collector = parts.collector();
        let at_end = AtEnd::default();
        let service = Service { parts, collector, scorer, stop, ended, exit_at_end, at_end, ends: told_ends };
        service.collect(source, scoring).await
    }

    async fn collect(
        mut self,
        mut source: KafkaSource,
        scoring: JoinHandle<Result<(), PipelineError>>,
    ) -> Result<(), PipelineError> {
        let collected = self.collect_all(&mut source).await;
        self.ended.cancel();
        if collected.is_err() {
            self.stop.cancel();
            // What comes now can't be taken; revocations still want their answer.
            while let Some(event) = source.next().await {
                drop(event);
            }
        }
        let left = tokio::task::spawn_blocking(move || source.join()).await;
        let close = self.exit_at_end && collected.is_ok();
        // A closed channel means that the scorer has failed; its result says so.
        let _ = self.scorer.send(ScorerInput::Finish { close }).await;
        drop(self.scorer);
        let scored = scoring.await.map_err(|_| PipelineError::Task("scorer"))?;
        left.map_err(|_| PipelineError::Task("kafka"))?;
        match (collected, scored) {
            // The collector only found the scorer gone; the scorer knows why.
            (Err(PipelineError::Task(_)), Err(cause)) => Err(cause),
            (collected, scored) => collected.and(scored),
        }
    }

    async fn collect_all(&mut self, source: &mut KafkaSource) -> Result<(), PipelineError> {
        loop {
            let due = self.collector.due();
            let wake = due.unwrap_or_else(|| Instant::now() + REFRESH);
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(wake.into()), if due.is_some() => self.flush(source).await?,
                event = source.next() => match event {
                    Some(event) => self.handle(event, source).await?,
                    None => return self.flush(source).await,
                },
            }
        }
    }

    async fn handle(&mut self, event: SourceEvent, source: &KafkaSource) -> Result<(), PipelineError> {
        let clock = (self.parts.clock)();
        match event {
            SourceEvent::Batch(batch) => {
                let now = (self.parts.config.time == TimeMode::Live).then_some(clock);
                self.collector.take(batch.records(), now, clock).await?;
            }
            SourceEvent::Assigned(partitions) => {
                for (topic, partition) in &partitions {
                    let from = self.collector.assign(topic, *partition).await?;
                    tracing::info!(topic, partition, ?from, "partition assigned");
                }
                self.at_end.assign(&partitions);
                self.tell(ScorerInput::Moved(partitions, true)).await?;
            }
            SourceEvent::Revoked { partitions, done } => {
                self.flush(source).await?;
                for (topic, partition) in &partitions {
                    self.collector.revoke(topic, *partition);
                }
                self.at_end.revoke(&partitions);
                // The poll thread may have stopped waiting; the lake guards what follows.
                let _ = done.send(());
                self.tell(ScorerInput::Moved(partitions, false)).await?;
            }
            SourceEvent::Progress(progress) => self.progress(progress, source).await?,
            SourceEvent::Gap { topic, partition, from, to } => {
                tracing::error!(topic, partition, from, to, "records were removed by retention before they were read");
                self.collector.gap(&topic, partition, from, to, clock);
            }
            SourceEvent::Failed(message) => {
                self.flush(source).await?;
                return Err(PipelineError::Source(message));
            }
        }
        Ok(())
    }

    async fn progress(&mut self, progress: Vec<PartitionProgress>, source: &KafkaSource) -> Result<(), PipelineError> {
        for p in progress.iter().filter(|p| p.end >= 0) {
            let partition = p.partition.to_string();
            let lag = self.parts.metrics.lag.with_label_values(&[&p.topic, &partition]);
            lag.set((p.end - p.position.max(0)).max(0));
        }
        // Markers of transactions lie behind the last record: the group's offset
        // says that they were passed, to lag tools and to another process's scorer.
        let passed = progress.iter().filter(|p| p.at_end && self.collector.is_settled(&p.topic, p.partition));
        source.commit_hint(passed.map(|p| (p.topic.clone(), p.partition, p.end)).collect());
        let at_end = self.at_end.reached(&progress, self.ends.borrow().as_deref());
        if at_end && self.exit_at_end && !self.collector.has_lost() {
            self.ended.cancel();
        }
        self.tell(ScorerInput::Progress(progress)).await
    }

    async fn flush(&mut self, source: &KafkaSource) -> Result<(), PipelineError> {
        let timer = self.collector.due().map(|_| self.parts.metrics.flush_seconds.start_timer());
        let committed = self.collector.flush().await?;
        drop(timer);
        for (topic, partition) in self.collector.take_newly_lost() {
            source.read_again(&topic, partition);
        }
        let Some(committed) = committed else { return Ok(()) };
        source.commit_hint(committed.positions.iter().map(|((t, p), offset)| (t.clone(), *p, *offset)).collect());
        self.tell(ScorerInput::Committed(committed)).await
    }

    async fn tell(&self, input: ScorerInput) -> Result<(), PipelineError> {
        let queued = SCORER_QUEUE_MAX - self.scorer.capacity();
        self.parts.metrics.scorer_queue.set(i64::try_from(queued).unwrap_or(0));
        self.scorer.send(input).await.map_err(|_| PipelineError::Task("scorer"))
    }
}

/// Tells the collector and the scorer of partitions that other processes read.
async fn watch_ends(
    mut ends: PartitionEnds,
    scorer: WeakSender<ScorerInput>,
    told: watch::Sender<Option<Vec<PartitionEnd>>>,
    stop: CancellationToken,
) {
    loop {
        let asked = tokio::task::spawn_blocking(move || {
            let found = ends.fetch();
            (ends, found)
        });
        let Ok((back, found)) = asked.await else { return };
        ends = back;
        let news = match found {
            Ok(found) => {
                told.send_replace(Some(found.clone()));
                Some(ScorerInput::Ends(found))
            }
            Err(error @ KafkaError::AnotherTopic(_)) => Some(ScorerInput::Failed(error)),
            Err(error) => {
                // The source says what is wrong with the broker.
                tracing::debug!(%error, "the ends of the partitions are not known");
                None
            }
        };
        if let Some(news) = news {
            let Some(scorer) = scorer.upgrade() else { return };
            if scorer.send(news).await.is_err() {
                return;
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(ENDS_INTERVAL) => {}
        }
    }
}

/// Shows what is on its way, also while a commit keeps the collector waiting.
async fn show_load(load: SourceLoad, metrics: PipelineMetrics, stop: CancellationToken) {
    let mut counted = 0;
    loop {
        metrics.held_bytes.set(i64::try_from(load.held_bytes()).unwrap_or(i64::MAX));
        metrics.paused.set(i64::from(load.is_paused()));
        let pauses = load.pauses();
        metrics.pauses.inc_by((pauses - counted) as u64);
        counted = pauses;
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(TICK) => {}
        }
    }
}

/// The scorer's task. When it fails the whole service stops.
async fn score(
    parts: ServiceParts,
    inputs: Receiver<ScorerInput>,
    stop: CancellationToken,
) -> Result<(), PipelineError> {
    let scored = score_all(parts, inputs, &stop).await;
    stop.cancel();
    scored
}

async fn score_all(
    parts: ServiceParts,
    mut inputs: Receiver<ScorerInput>,
    stop: &CancellationToken,
) -> Result<(), PipelineError> {
    let mut scorer = parts.scorer()?;
    // Building the engine from a large lake takes long, and nothing of it is lost. At the end of the input it goes on.
    match stop.run_until_cancelled(scorer.take_over()).await {
        Some(done) => done?,
        None => return until_finish(inputs).await,
    }
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut refreshed = Instant::now();
    loop {
        let input = tokio::select! {
            input = inputs.recv() => Some(input),
            _ = tick.tick() => None,
        };
        let mut next = input.flatten();
        let news = next.is_some();
        while let Some(input) = next {
            if let Some(close) = take(&mut scorer, input)? {
                return scorer.finish(close, (parts.clock)()).await;
            }
            next = inputs.try_recv().ok();
        }
        let refresh = refreshed.elapsed() >= REFRESH;
        if refresh {
            asked(|| parts.lake.refresh()).await?;
            refreshed = Instant::now();
        }
        scorer.work(news || refresh, (parts.clock)()).await?;
    }
}

/// Lets the collecting side come to its end without scoring.
async fn until_finish(mut inputs: Receiver<ScorerInput>) -> Result<(), PipelineError> {
    while let Some(input) = inputs.recv().await {
        if matches!(input, ScorerInput::Finish { .. }) {
            break;
        }
    }
    Ok(())
}

/// Takes an input in; `Some` when it was the last.
fn take(scorer: &mut Scorer, input: ScorerInput) -> Result<Option<bool>, PipelineError> {
    let now = Instant::now();
    match input {
        ScorerInput::Committed(committed) => scorer.remember(committed.version, committed.accepted),
        ScorerInput::Progress(progress) => {
            for p in progress {
                scorer.watermarks.progress(&p.topic, p.partition, p.at_end, now);
            }
        }
        ScorerInput::Ends(ends) => {
            for end in ends {
                scorer.watermarks.foreign(&end.topic, end.partition, end.at_end, now);
            }
        }
        ScorerInput::Moved(partitions, own) => {
            partitions.iter().for_each(|(topic, partition)| scorer.watermarks.moved(topic, *partition, own, now));
        }
        ScorerInput::Failed(error) => return Err(error.into()),
        ScorerInput::Finish { close } => return Ok(Some(close)),
    }
    Ok(None)
}
