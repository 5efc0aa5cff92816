//! Rejects decoded again, after a mapping, a scale or a limit was corrected.
//!
//! - A reject that is valid now becomes an accepted row at its own position, in
//!   one commit with its removal: docs/adr/0008-replaying-rejects.md.
//! - No id is accepted that is accepted already, anywhere: each commit builds on
//!   exactly the version whose accepted ids were looked through.
//! - Nothing is kept between runs. One that was killed is run again.

use std::collections::BTreeMap;
use std::sync::Arc;

use ahash::{AHashMap, AHashSet};
use arrow::array::{Array, AsArray, BooleanArray, MapArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use futures::TryStreamExt;
use jiff::Timestamp;
use satisflow_config::TimeMode;
use satisflow_lake::{CommitError, Lake, RejectFile, RejectsCommit, Replaced};
use satisflow_model::{Decoder, Event, Limits, Outcome, Record, RecordsBuilder};

use crate::error::PipelineError;
use crate::replay::FILE_TOPIC;
use crate::service::ServiceParts;

/// Files rewritten by one commit: so much is done again after a kill.
const FILES_COMMIT_MAX: usize = 16;
/// Commits of one group of files are tried this often when others come first.
const ATTEMPTS_MAX: u32 = 200;
/// The lake is looked through anew this often when files are rewritten meanwhile.
const ROUNDS_MAX: u32 = 10;

/// Which rejects are decoded again.
#[derive(Debug, Clone, Default)]
pub struct RejectsFilter {
    /// Of this reason.
    pub reason: Option<String>,
    /// Of this topic.
    pub topic: Option<String>,
    /// Taken in at this time or later, µs.
    pub since: Option<i64>,
    /// Taken in before this time, µs.
    pub until: Option<i64>,
    /// The source that replayed files are read as; `None`: they stay rejects.
    pub files_as: Option<String>,
}

/// What became of rejects, or would.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RejectsCount {
    /// Accepted.
    pub accepted: u64,
    /// Still no events; or no source of the configuration reads their topic.
    pub rejected: u64,
    /// Events now, but their id was accepted before: they stay what they are.
    pub known: u64,
    /// Their payload was not kept whole.
    pub cut: u64,
}

/// A replay of rejects.
pub struct RejectsReplay {
    lake: Arc<Lake>,
    decoders: BTreeMap<String, Decoder>,
    limits: Limits,
    mode: TimeMode,
    filter: RejectsFilter,
    dry_run: bool,
    /// Where an id that would be an event stands; of several the first.
    wanted: AHashMap<u128, (String, i32, i64)>,
    /// Those of them that are accepted.
    known: AHashSet<u128>,
    /// Version whose accepted ids are known.
    base: u64,
    /// Accepted by this run, by reason.
    accepted: BTreeMap<String, u64>,
}

/// What a group of files comes to.
#[derive(Default)]
struct Decided {
    rows: usize,
    accepted: Vec<RecordBatch>,
    kept: Vec<RecordBatch>,
    ids: AHashSet<u128>,
    counts: BTreeMap<String, RejectsCount>,
}

/// What one reject is now.
enum Verdict<'a> {
    Event(Box<Event<'a>>),
    Rejected,
    Cut,
}

impl RejectsReplay {
    /// A replay under the configuration of `parts`; with `dry_run` it only counts.
    pub fn new(parts: &ServiceParts, filter: RejectsFilter, dry_run: bool) -> RejectsReplay {
        RejectsReplay {
            lake: Arc::clone(&parts.lake),
            decoders: parts.decoders(),
            limits: parts.config.limits.clone(),
            mode: parts.config.time,
            filter,
            dry_run,
            wanted: AHashMap::new(),
            known: AHashSet::new(),
            base: 0,
            accepted: BTreeMap::new(),
        }
    }

    /// Decodes again what the filter selects; gives counts by reason.
    ///
    /// # Errors
    /// When the lake can't be read or written. What was committed by then stays,
    /// and another run goes on with the rest.
    pub async fn run(mut self) -> Result<BTreeMap<String, RejectsCount>, PipelineError> {
        for _ in 0..ROUNDS_MAX {
            let (version, files) = self.lake.reject_files().await?;
            let files: Vec<RejectFile> = files.into_iter().filter(|file| self.filter.may_hold(file)).collect();
            self.base = version;
            self.find_wanted(&files).await?;
            self.find_known().await?;
            if let Some(counts) = self.replay(&files).await? {
                return Ok(self.with_accepted(counts));
            }
            tracing::info!("files were rewritten meanwhile: the rejects are looked through anew");
        }
        Err(CommitError::Busy { attempts: ROUNDS_MAX as usize }.into())
    }

    fn with_accepted(&self, mut counts: BTreeMap<String, RejectsCount>) -> BTreeMap<String, RejectsCount> {
        for (reason, accepted) in &self.accepted {
            counts.entry(reason.clone()).or_default().accepted = *accepted;
        }
        counts
    }

    /// The ids that would be accepted if none of them were.
    async fn find_wanted(&mut self, files: &[RejectFile]) -> Result<(), PipelineError> {
        self.wanted.clear();
        for file in files {
            for batch in self.lake.read_rejects(file).await? {
                let rows = Rejects::of(&batch);
                for row in rows.selected(&self.filter) {
                    let headers = rows.headers(row);
                    let Verdict::Event(event) = self.verdict(&rows, row, &headers) else { continue };
                    let (topic, partition, offset) = rows.position(row);
                    let place = (topic.to_owned(), partition, offset);
                    let held = self.wanted.entry(event.identity()).or_insert_with(|| place.clone());
                    if place < *held {
                        *held = place;
                    }
                }
            }
        }
        Ok(())
    }

    async fn find_known(&mut self) -> Result<(), PipelineError> {
        self.known.clear();
        if self.wanted.is_empty() {
            return Ok(());
        }
        let mut stream = self.lake.all_accepted_ids(self.base).await?;
        while let Some(batch) = stream.try_next().await? {
            self.learn(&batch);
        }
        Ok(())
    }

    fn learn(&mut self, accepted: &RecordBatch) {
        let source = accepted["source"].as_string::<i32>();
        let event_id = accepted["event_id"].as_string::<i32>();
        let ids = (0..accepted.num_rows()).map(|row| satisflow_model::identity(source.value(row), event_id.value(row)));
        let wanted = &self.wanted;
        self.known.extend(ids.filter(|id| wanted.contains_key(id)));
    }

    /// Goes through all files; `None` when some are no longer there.
    async fn replay(&mut self, files: &[RejectFile]) -> Result<Option<BTreeMap<String, RejectsCount>>, PipelineError> {
        let mut all: BTreeMap<String, RejectsCount> = BTreeMap::new();
        for group in files.chunks(FILES_COMMIT_MAX) {
            let Some(counts) = self.replay_group(group).await? else { return Ok(None) };
            for (reason, count) in counts {
                let sum = all.entry(reason.clone()).or_default();
                sum.rejected += count.rejected;
                sum.known += count.known;
                sum.cut += count.cut;
                *self.accepted.entry(reason).or_default() += count.accepted;
            }
        }
        Ok(Some(all))
    }

    async fn replay_group(
        &mut self,
        files: &[RejectFile],
    ) -> Result<Option<BTreeMap<String, RejectsCount>>, PipelineError> {
        let mut attempts = 0;
        loop {
            let decided = self.decide(files).await?;
            if self.dry_run || decided.accepted.is_empty() {
                return Ok(Some(decided.counts));
            }
            let Decided { rows, accepted, kept, ids, counts } = decided;
            let commit_id = uuid::Uuid::new_v4().to_string();
            let commit = RejectsCommit { commit_id, files: files.to_vec(), rows, accepted, kept };
            let written = self.lake.write_rejects(commit).await?;
            while self.catch_up(&ids).await? {
                match self.lake.commit_rejects(&written, self.base).await? {
                    Replaced::Committed(version) => {
                        self.base = version;
                        tracing::info!(version, events = ids.len(), "rejects were accepted");
                        return Ok(Some(counts));
                    }
                    Replaced::Gone => return Ok(None),
                    Replaced::Overtaken if attempts < ATTEMPTS_MAX => attempts += 1,
                    Replaced::Overtaken => {
                        return Err(CommitError::Busy { attempts: ATTEMPTS_MAX as usize }.into());
                    }
                }
            }
        }
    }

    /// Looks through what others have accepted since; whether none of `ids` is among it.
    async fn catch_up(&mut self, ids: &AHashSet<u128>) -> Result<bool, PipelineError> {
        let newest = self.lake.records_version().await?;
        for version in self.base + 1..=newest {
            for batch in self.lake.accepted_in(version).await? {
                self.learn(&batch);
            }
        }
        self.base = newest;
        Ok(self.known.is_disjoint(ids))
    }

    async fn decide(&self, files: &[RejectFile]) -> Result<Decided, PipelineError> {
        let mut decided = Decided::default();
        for file in files {
            for batch in self.lake.read_rejects(file).await? {
                self.decide_batch(&batch, &mut decided)?;
            }
        }
        Ok(decided)
    }

    fn decide_batch(&self, batch: &RecordBatch, decided: &mut Decided) -> Result<(), PipelineError> {
        let rows = Rejects::of(batch);
        let mut builder = RecordsBuilder::new(self.limits.clone());
        let mut stays = vec![true; batch.num_rows()];
        for row in rows.selected(&self.filter) {
            let headers = rows.headers(row);
            let count = decided.counts.entry(rows.reason.value(row).to_owned()).or_default();
            match self.verdict(&rows, row, &headers) {
                Verdict::Cut => count.cut += 1,
                Verdict::Rejected => count.rejected += 1,
                Verdict::Event(event) if self.is_free(&event, rows.position(row)) => {
                    count.accepted += 1;
                    stays[row] = false;
                    decided.ids.insert(event.identity());
                    let ingest = rows.ingest_time.value(row);
                    builder.append_event(&rows.record(row, &headers), ingest, Outcome::Accepted, &event);
                }
                Verdict::Event(_) => count.known += 1,
            }
        }
        decided.rows += batch.num_rows();
        if builder.rows() > 0 {
            decided.accepted.push(builder.finish()?);
        }
        decided.kept.push(filter_record_batch(batch, &BooleanArray::from(stays))?);
        Ok(())
    }

    /// Whether an event's id is not accepted, and this is the first record that bears it.
    fn is_free(&self, event: &Event<'_>, (topic, partition, offset): (&str, i32, i64)) -> bool {
        let id = event.identity();
        let first = |(t, p, o): &(String, i32, i64)| (t.as_str(), *p, *o) == (topic, partition, offset);
        !self.known.contains(&id) && self.wanted.get(&id).is_some_and(first)
    }

    fn verdict<'a>(&self, rows: &Rejects<'a>, row: usize, headers: &'a [(String, Vec<u8>)]) -> Verdict<'a> {
        let record = rows.record(row, headers);
        if !rows.is_whole(row) {
            return Verdict::Cut;
        }
        let of_file = self.filter.files_as.as_deref().filter(|_| record.topic.starts_with(FILE_TOPIC));
        let source = of_file.unwrap_or(record.topic);
        let Some(decoder) = self.decoders.get(source) else { return Verdict::Rejected };
        // The future is judged from when the record came, or waiting would make any time valid.
        let now = (self.mode == TimeMode::Live).then(|| rows.ingest_time.value(row));
        decoder.decode(&record, now).map_or(Verdict::Rejected, |event| Verdict::Event(Box::new(event)))
    }
}

impl RejectsFilter {
    /// Whether a file may hold rows that are selected.
    fn may_hold(&self, file: &RejectFile) -> bool {
        let month = |micros: i64| {
            Timestamp::from_microsecond(micros).map(|at| at.strftime("%Y-%m").to_string()).unwrap_or_default()
        };
        self.since.is_none_or(|since| file.month() >= month(since).as_str())
            && self.until.is_none_or(|until| file.month() <= month(until).as_str())
    }
}

/// Columns of a batch of rejects.
struct Rejects<'a> {
    topic: &'a arrow::array::StringArray,
    partition: &'a arrow::array::Int32Array,
    offset: &'a arrow::array::Int64Array,
    kafka_time: &'a arrow::array::TimestampMicrosecondArray,
    ingest_time: &'a arrow::array::TimestampMicrosecondArray,
    headers: &'a MapArray,
    reason: &'a arrow::array::StringArray,
    raw: &'a arrow::array::BinaryArray,
    raw_bytes: &'a arrow::array::Int64Array,
}

impl<'a> Rejects<'a> {
    fn of(batch: &'a RecordBatch) -> Rejects<'a> {
        Rejects {
            topic: batch["topic"].as_string(),
            partition: batch["partition"].as_primitive::<Int32Type>(),
            offset: batch["offset"].as_primitive::<Int64Type>(),
            kafka_time: batch["kafka_time"].as_primitive::<TimestampMicrosecondType>(),
            ingest_time: batch["ingest_time"].as_primitive::<TimestampMicrosecondType>(),
            headers: batch["headers"].as_map(),
            reason: batch["reject_reason"].as_string(),
            raw: batch["raw"].as_binary(),
            raw_bytes: batch["raw_bytes"].as_primitive::<Int64Type>(),
        }
    }

    fn selected(&self, filter: &RejectsFilter) -> impl Iterator<Item = usize> {
        let is_selected = |row: &usize| {
            let taken = self.ingest_time.value(*row);
            filter.reason.as_ref().is_none_or(|reason| reason == self.reason.value(*row))
                && filter.topic.as_ref().is_none_or(|topic| topic == self.topic.value(*row))
                && filter.since.is_none_or(|since| taken >= since)
                && filter.until.is_none_or(|until| taken < until)
        };
        (0..self.topic.len()).filter(is_selected).collect::<Vec<_>>().into_iter()
    }

    fn position(&self, row: usize) -> (&'a str, i32, i64) {
        (self.topic.value(row), self.partition.value(row), self.offset.value(row))
    }

    fn is_whole(&self, row: usize) -> bool {
        let bytes = usize::try_from(self.raw_bytes.value(row)).ok();
        self.raw.is_valid(row) && self.raw_bytes.is_valid(row) && bytes == Some(self.raw.value(row).len())
    }

    fn record<'r>(&self, row: usize, headers: &'r [(String, Vec<u8>)]) -> Record<'r>
    where
        'a: 'r,
    {
        let (topic, partition, offset) = self.position(row);
        let timestamp_ms = self.kafka_time.is_valid(row).then(|| self.kafka_time.value(row) / 1000);
        let payload = self.raw.is_valid(row).then(|| self.raw.value(row));
        Record { topic, partition, offset, timestamp_ms, payload, headers }
    }

    fn headers(&self, row: usize) -> Vec<(String, Vec<u8>)> {
        if self.headers.is_null(row) {
            return Vec::new();
        }
        let entries = self.headers.value(row);
        let (keys, values) = (entries.column(0).as_string::<i32>(), entries.column(1).as_string::<i32>());
        (0..entries.len()).map(|at| (keys.value(at).to_owned(), values.value(at).as_bytes().to_vec())).collect()
    }
}
