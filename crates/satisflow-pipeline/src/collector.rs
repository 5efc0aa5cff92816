//! Records to rows, rows to commits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int32Type;
use satisflow_config::FlushLimits;
use satisflow_lake::{CommitError, Lake, Positions, RecordsCommit};
use satisflow_model::{Decoder, Event, Outcome, Reason, Record, RecordsBuilder, Reject};

use crate::backoff::Backoff;
use crate::dedup::{Dedup, Questions, Seen};
use crate::error::PipelineError;
use crate::metrics::PipelineMetrics;

type Key = (String, i32);
/// What a record says, or why it says nothing.
type Decoded<'a> = Option<Result<Event<'a>, Reject>>;

/// What a flush has put into the lake.
#[derive(Debug)]
pub(crate) struct Committed {
    pub(crate) version: u64,
    /// Accepted rows only.
    pub(crate) accepted: Vec<RecordBatch>,
    pub(crate) positions: Positions,
}

#[derive(Debug, Default)]
struct Cursor {
    /// The lake's position, or the first offset of a partition new to it.
    from: Option<i64>,
    to: i64,
    counted: u64,
    /// Another process has it; rows are dropped until it is assigned again.
    lost: bool,
}

/// Decides what each record is and holds rows until their commit.
pub(crate) struct Collector {
    lake: Arc<Lake>,
    decoders: BTreeMap<String, Decoder>,
    flush: FlushLimits,
    metrics: PipelineMetrics,
    dedup: Dedup,
    cursors: BTreeMap<Key, Cursor>,
    /// Lost since somebody asked.
    newly_lost: Vec<Key>,
    builder: RecordsBuilder,
    batches: Vec<RecordBatch>,
    commit_id: String,
    rows: usize,
    bytes: usize,
    since: Option<Instant>,
}

fn new_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

impl Collector {
    pub(crate) fn new(
        lake: Arc<Lake>,
        decoders: BTreeMap<String, Decoder>,
        flush: FlushLimits,
        metrics: PipelineMetrics,
        dedup: Dedup,
    ) -> Collector {
        let limits = decoders.values().next().map(|d| d.limits().clone()).unwrap_or_default();
        Collector {
            lake,
            decoders,
            flush,
            metrics,
            dedup,
            cursors: BTreeMap::new(),
            newly_lost: Vec::new(),
            builder: RecordsBuilder::new(limits),
            batches: Vec::new(),
            commit_id: new_id(),
            rows: 0,
            bytes: 0,
            since: None,
        }
    }

    /// Starts a partition where the lake stands; gives that position.
    pub(crate) async fn assign(&mut self, topic: &str, partition: i32) -> Result<Option<i64>, PipelineError> {
        let from = self.lake.position(topic, partition).await?;
        self.dedup.load(&self.lake, topic, partition, from.unwrap_or(0)).await?;
        self.cursors.insert((topic.to_owned(), partition), Cursor { from, ..Cursor::default() });
        Ok(from)
    }

    /// Ends a partition; its rows have been flushed.
    pub(crate) fn revoke(&mut self, topic: &str, partition: i32) {
        self.cursors.remove(&(topic.to_owned(), partition));
        self.dedup.forget(topic, partition);
    }

    /// Takes polled records. `now` judges the future; `None` in data time.
    pub(crate) async fn take<'a>(
        &mut self,
        records: impl Iterator<Item = Record<'a>>,
        now: Option<i64>,
        ingest: i64,
    ) -> Result<(), PipelineError> {
        let decoded: Vec<_> = records.map(|record| (record, self.decode(&record, now))).collect();
        let questions = self.questions(&decoded);
        self.dedup.ask(&self.lake, questions).await?;
        for (record, event) in decoded {
            self.take_one(&record, event, ingest);
        }
        self.show()
    }

    /// `None`: no source is configured, and nothing can be said of the record.
    fn decode<'a>(&self, record: &Record<'a>, now: Option<i64>) -> Decoded<'a> {
        let decoder = self.decoders.get(record.topic)?;
        Some(decoder.decode(record, now))
    }

    /// What memory does not tell of a batch of records.
    fn questions(&self, decoded: &[(Record<'_>, Decoded<'_>)]) -> Questions {
        let mut questions = Questions::new();
        if self.dedup.holds_every_id() {
            return questions;
        }
        for (record, event) in decoded {
            let Some(Ok(event)) = event else { continue };
            let key = (record.topic.to_owned(), record.partition);
            if self.dedup.must_ask(&key, event.identity()) {
                questions.entry(key).or_default().insert(event.event_id().to_owned());
            }
        }
        questions
    }

    fn take_one(&mut self, record: &Record<'_>, event: Decoded<'_>, ingest: i64) {
        let key = (record.topic.to_owned(), record.partition);
        let cursor = self.cursors.entry(key.clone()).or_default();
        if cursor.lost {
            return;
        }
        cursor.from.get_or_insert(record.offset);
        cursor.to = record.offset + 1;
        cursor.counted += 1;
        let partition = record.partition.to_string();
        self.metrics.polled.with_label_values(&[record.topic, &partition]).inc();
        self.since.get_or_insert_with(Instant::now);
        let outcome = self.decide(record, &key, event, ingest);
        self.metrics.records.with_label_values(&[record.topic, &partition, outcome.as_str()]).inc();
    }

    fn decide(&mut self, record: &Record<'_>, key: &Key, event: Decoded<'_>, ingest: i64) -> Outcome {
        let event = match event {
            None => return Outcome::Rejected,
            Some(Ok(event)) => event,
            Some(Err(reject)) => return self.reject(record, ingest, &reject),
        };
        let outcome = match self.dedup.see(key, event.identity(), event.content_hash()) {
            Seen::First => Outcome::Accepted,
            Seen::Same => Outcome::Duplicate,
            Seen::Conflict => {
                let message = format!("event id `{}` was accepted before with other content", event.event_id());
                return self.reject(record, ingest, &Reject::field(Reason::IdConflict, "event_id", message));
            }
        };
        self.builder.append_event(record, ingest, outcome, &event);
        outcome
    }

    fn reject(&mut self, record: &Record<'_>, ingest: i64, reject: &Reject) -> Outcome {
        self.metrics.rejects.with_label_values(&[reject.reason.as_str()]).inc();
        self.builder.append_reject(record, ingest, reject);
        Outcome::Rejected
    }

    /// Notes records that retention has removed: one row at the first of them.
    pub(crate) fn gap(&mut self, topic: &str, partition: i32, from: i64, to: i64, ingest: i64) {
        let record = Record { topic, partition, offset: from, timestamp_ms: None, payload: None, headers: &[] };
        let cursor = self.cursors.entry((topic.to_owned(), partition)).or_default();
        cursor.from.get_or_insert(from);
        cursor.to = to;
        cursor.counted += 1;
        self.since.get_or_insert_with(Instant::now);
        let message = format!("offsets {from} to {} were removed by retention before they were read", to - 1);
        self.reject(&record, ingest, &Reject::record(Reason::OffsetsLost, message));
    }

    /// Makes the rows built so far visible to SQL.
    fn show(&mut self) -> Result<(), PipelineError> {
        if self.builder.rows() == 0 {
            return Ok(());
        }
        self.rows += self.builder.rows();
        self.bytes += self.builder.bytes();
        let batch = self.builder.finish()?;
        self.lake.live_records().push_pending(&self.commit_id, batch.clone());
        self.batches.push(batch);
        self.metrics.pending_rows.set(i64::try_from(self.rows).unwrap_or(i64::MAX));
        Ok(())
    }

    /// Whether everything taken of a partition is committed.
    pub(crate) fn is_settled(&self, topic: &str, partition: i32) -> bool {
        self.cursors.get(&(topic.to_owned(), partition)).is_some_and(|cursor| cursor.counted == 0 && !cursor.lost)
    }

    /// When the next flush is due, if rows wait.
    pub(crate) fn due(&self) -> Option<Instant> {
        let full = self.rows >= self.flush.rows_max || self.bytes >= self.flush.bytes_max;
        self.since.map(|since| if full { since } else { since + self.flush.interval })
    }

    /// Commits what waits; `None` when nothing does, or nothing is left after
    /// another process took the partitions.
    pub(crate) async fn flush(&mut self) -> Result<Option<Committed>, PipelineError> {
        self.show()?;
        let mut backoff = Backoff::default();
        while !self.batches.is_empty() {
            let commit = self.commit();
            let positions = commit.to.clone();
            let timer = self.metrics.commit_seconds.start_timer();
            match self.lake.commit_records(commit).await {
                Ok(version) => {
                    timer.observe_duration();
                    return Ok(Some(self.committed(version, positions)?));
                }
                Err(CommitError::PositionMoved { topic, partition, expected, found }) => {
                    tracing::warn!(
                        topic,
                        partition,
                        expected,
                        ?found,
                        "another process has taken over this partition: its rows are dropped here"
                    );
                    self.lose(&(topic, partition))?;
                }
                Err(error) => backoff.wait(error).await?,
            }
        }
        Ok(None)
    }

    fn commit(&self) -> RecordsCommit {
        let moved = || self.cursors.iter().filter(|(_, c)| c.counted > 0);
        RecordsCommit {
            commit_id: self.commit_id.clone(),
            batches: self.batches.clone(),
            from: moved().filter_map(|(key, c)| Some((key.clone(), c.from?))).collect(),
            to: moved().map(|(key, c)| (key.clone(), c.to)).collect(),
            counted: moved().map(|(key, c)| (key.clone(), c.counted)).collect(),
        }
    }

    fn committed(&mut self, version: u64, positions: Positions) -> Result<Committed, PipelineError> {
        for cursor in self.cursors.values_mut().filter(|c| c.counted > 0) {
            cursor.from = Some(cursor.to);
            cursor.counted = 0;
        }
        self.dedup.settle();
        let batches = std::mem::take(&mut self.batches);
        self.reset();
        let accepted = batches.iter().map(accepted_rows).collect::<Result<Vec<_>, _>>()?;
        Ok(Committed { version, accepted: accepted.into_iter().filter(|b| b.num_rows() > 0).collect(), positions })
    }

    fn reset(&mut self) {
        self.commit_id = new_id();
        (self.rows, self.bytes, self.since) = (0, 0, None);
        self.metrics.pending_rows.set(0);
    }

    /// Partitions whose records can't be taken before they are assigned again,
    /// since the last call.
    pub(crate) fn take_newly_lost(&mut self) -> Vec<Key> {
        std::mem::take(&mut self.newly_lost)
    }

    /// Whether any partition is lost.
    pub(crate) fn has_lost(&self) -> bool {
        self.cursors.values().any(|cursor| cursor.lost)
    }

    /// Drops a partition's rows and goes on with the others under a new id.
    fn lose(&mut self, key: &Key) -> Result<(), PipelineError> {
        self.cursors.insert(key.clone(), Cursor { lost: true, ..Cursor::default() });
        self.newly_lost.push(key.clone());
        self.dedup.forget(&key.0, key.1);
        self.lake.live_records().drop_pending(&self.commit_id);
        let kept = self.batches.iter().map(|batch| without(batch, key)).collect::<Result<Vec<_>, _>>()?;
        self.batches = kept.into_iter().filter(|batch| batch.num_rows() > 0).collect();
        self.commit_id = new_id();
        for batch in &self.batches {
            self.lake.live_records().push_pending(&self.commit_id, batch.clone());
        }
        if self.batches.is_empty() {
            self.reset();
        }
        Ok(())
    }
}

fn accepted_rows(batch: &RecordBatch) -> Result<RecordBatch, arrow::error::ArrowError> {
    let outcome = batch["outcome"].as_string::<i32>();
    let mask: BooleanArray = outcome.iter().map(|text| Some(text == Some(Outcome::Accepted.as_str()))).collect();
    filter_record_batch(batch, &mask)
}

fn without(batch: &RecordBatch, key: &Key) -> Result<RecordBatch, arrow::error::ArrowError> {
    let topic = batch["topic"].as_string::<i32>();
    let partition = batch["partition"].as_primitive::<Int32Type>();
    let other = |row| topic.value(row) != key.0 || partition.value(row) != key.1;
    let mask: BooleanArray = (0..topic.len()).map(|row| Some(other(row))).collect();
    filter_record_batch(batch, &mask)
}
