//! Rebalances: positions from the lake on assignment, a flush before revocation.
//! Callbacks run on the poll thread, inside of a poll.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::mpsc::Sender;

use crate::batch::PolledBatch;
use crate::config::{ANSWER_TIMEOUT, OnLostOffsets, REPEAT_WARNING};
use crate::event::SourceEvent;
use crate::gap::go_on;
use crate::partition::{Partition, PartitionProgress, PositionSource};
use crate::same::{self, Found};

/// Why a partition can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The broker did not answer; later it may.
    Passing(String),
    /// The lake did not, beyond the store's own retries: a few times more it is asked.
    Lake(String),
    /// What an operator has to decide.
    Lasting(String),
}

/// Errors of the client that were told, and when.
#[derive(Debug, Default)]
struct Told(BTreeMap<String, Instant>);

impl Told {
    /// Whether an error is to be told now: the client repeats itself many times a second.
    fn is_news(&mut self, error: &str, now: Instant) -> bool {
        let due = self.0.get(error).is_none_or(|at| now.duration_since(*at) >= REPEAT_WARNING);
        if due {
            self.0.insert(error.to_owned(), now);
        }
        due
    }
}

pub(crate) struct SourceContext {
    pub(crate) positions: Arc<dyn PositionSource>,
    /// Looks records up.
    pub(crate) probe: BaseConsumer,
    pub(crate) sender: Sender<SourceEvent>,
    pub(crate) gathering: Mutex<PolledBatch>,
    pub(crate) gauge: Arc<AtomicUsize>,
    pub(crate) on_lost: OnLostOffsets,
    pub(crate) revoke_timeout: Duration,
    /// Assigned partitions, and where reading was last set to begin; `None` is
    /// the earliest record.
    pub(crate) starts: Mutex<BTreeMap<Partition, Option<i64>>>,
    /// Assigned partitions that the client does not read, as of its latest statistics.
    pub(crate) stalled: Mutex<Vec<Partition>>,
    /// Counts assignments, so that the poller pauses what comes in while it is paused.
    pub(crate) assignments: AtomicUsize,
    /// Whether this is no member of the group, as of the client's latest statistics.
    pub(crate) outside: AtomicBool,
    /// Assigned partitions whose start could not be told yet.
    unread: Mutex<Vec<Partition>>,
    told: Mutex<Told>,
}

/// What the callbacks need of the service.
pub(crate) struct Parts {
    pub(crate) positions: Arc<dyn PositionSource>,
    pub(crate) probe: BaseConsumer,
    pub(crate) sender: Sender<SourceEvent>,
    pub(crate) gauge: Arc<AtomicUsize>,
    pub(crate) on_lost: OnLostOffsets,
    pub(crate) revoke_timeout: Duration,
}

impl SourceContext {
    pub(crate) fn new(parts: Parts) -> SourceContext {
        let Parts { positions, probe, sender, gauge, on_lost, revoke_timeout } = parts;
        SourceContext {
            positions,
            probe,
            sender,
            gathering: Mutex::new(PolledBatch::new(Arc::clone(&gauge))),
            gauge,
            on_lost,
            revoke_timeout,
            starts: Mutex::default(),
            stalled: Mutex::default(),
            assignments: AtomicUsize::new(0),
            outside: AtomicBool::new(false),
            unread: Mutex::default(),
            told: Mutex::default(),
        }
    }

    /// Partitions that are to be tried again; forgets them.
    pub(crate) fn take_unread(&self) -> Vec<Partition> {
        std::mem::take(&mut *self.unread.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Leaves a partition unread for now. It counts as assigned, so that it is not taken for idle.
    fn leave_unread(&self, key: Partition, message: &str) {
        tracing::warn!("{message}; trying again");
        self.starts().insert(key.clone(), None);
        self.unread.lock().unwrap_or_else(PoisonError::into_inner).push(key);
    }

    pub(crate) fn starts(&self) -> MutexGuard<'_, BTreeMap<Partition, Option<i64>>> {
        self.starts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The partitions that stand still; forgets them, so that the next answer is newer.
    pub(crate) fn take_stalled(&self) -> Vec<Partition> {
        std::mem::take(&mut *self.stalled.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Hands the gathered records over; `false` when nobody takes them any more.
    pub(crate) fn hand_over(&self) -> bool {
        let mut gathering = self.gathering.lock().unwrap_or_else(PoisonError::into_inner);
        if gathering.is_empty() {
            return true;
        }
        let batch = std::mem::replace(&mut *gathering, PolledBatch::new(Arc::clone(&self.gauge)));
        self.sender.blocking_send(SourceEvent::Batch(batch)).is_ok()
    }

    pub(crate) fn send(&self, event: SourceEvent) {
        // A closed channel means shutdown; the poll loop sees it as well.
        let _ = self.sender.blocking_send(event);
    }

    fn assign(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let mut start = TopicPartitionList::new();
        let (mut assigned, mut gaps) = (Vec::new(), Vec::new());
        for element in list.elements() {
            let key = (element.topic().to_owned(), element.partition());
            match self.start(consumer, &key) {
                Ok((from, gap)) => {
                    gaps.extend(gap);
                    self.begin(&mut start, &key, from);
                    assigned.push(key);
                }
                Err(Trouble::Passing(message) | Trouble::Lake(message)) => self.leave_unread(key, &message),
                Err(Trouble::Lasting(message)) => self.send(SourceEvent::Failed(message)),
            }
        }
        if let Err(error) = consumer.incremental_assign(&start) {
            return self.send(SourceEvent::Failed(format!("partitions can't be assigned: {error}")));
        }
        self.send(SourceEvent::Assigned(assigned));
        gaps.into_iter().for_each(|gap| self.send(gap));
    }

    /// Reads a partition that is assigned from the lake's position again.
    pub(crate) fn assign_again(&self, consumer: &BaseConsumer<Self>, key: &Partition) -> Result<(), Trouble> {
        let (from, gap) = self.start(consumer, key)?;
        // What was read before it comes before it.
        self.hand_over();
        assign_again(consumer, key, from).map_err(|error| Trouble::Passing(error.to_string()))?;
        self.send(SourceEvent::Assigned(vec![key.clone()]));
        gap.into_iter().for_each(|gap| self.send(gap));
        Ok(())
    }

    /// Adds a partition to a list that is about to be assigned.
    pub(crate) fn begin(&self, list: &mut TopicPartitionList, key: &Partition, from: Option<i64>) {
        let added = list.add_partition_offset(&key.0, key.1, from.map_or(Offset::Beginning, Offset::Offset));
        debug_assert!(added.is_ok(), "an offset from the lake is a valid offset");
        self.starts().insert(key.clone(), from);
        self.assignments.fetch_add(1, Ordering::Relaxed);
    }

    /// The lake's position, checked against what the broker still has.
    fn start(
        &self,
        consumer: &BaseConsumer<Self>,
        key: &Partition,
    ) -> Result<(Option<i64>, Option<SourceEvent>), Trouble> {
        let (topic, partition) = (key.0.as_str(), key.1);
        let position = self.positions.position(topic, partition).map_err(|e| lakes_position(key, &e))?;
        let Some(position) = position else { return Ok((None, None)) };
        let ends = consumer.fetch_watermarks(topic, partition, ANSWER_TIMEOUT).map_err(|error| {
            Trouble::Passing(format!("the ends of partition {partition} of topic {topic} can't be read: {error}"))
        })?;
        let (from, gap) = go_on(self.on_lost, key, position, ends).map_err(Trouble::Lasting)?;
        self.is_still_the_same(key, position, ends.0)?;
        Ok((Some(from), gap))
    }

    /// Compares what was committed last with what the broker, whose first record
    /// is at `low`, has in its place.
    ///
    /// # Errors
    /// [`Trouble::Lasting`] when it is another record.
    pub(crate) fn is_still_the_same(&self, key: &Partition, position: i64, low: i64) -> Result<(), Trouble> {
        let last = self.positions.last_record(&key.0, key.1, position).map_err(|e| lakes_position(key, &e))?;
        let Some(last) = last.filter(|last| last.offset >= low) else { return Ok(()) };
        let found = same::compare(&self.probe, key, last);
        let unreadable = |e| Trouble::Passing(format!("partition {} of topic {} can't be read: {e}", key.1, key.0));
        match found.map_err(unreadable)? {
            Found::Same => Ok(()),
            Found::Other(now_ms) => Err(Trouble::Lasting(same::is_another(key, last, now_ms))),
            Found::Nothing => {
                tracing::warn!(
                    topic = key.0,
                    partition = key.1,
                    offset = last.offset,
                    "the record that was read last is gone: whether this is still the same topic can't be told"
                );
                Ok(())
            }
        }
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let partitions: Vec<Partition> =
            list.elements().iter().map(|e| (e.topic().to_owned(), e.partition())).collect();
        self.starts().retain(|key, _| !partitions.contains(key));
        if self.hand_over() {
            let (done, flushed) = std::sync::mpsc::channel();
            self.send(SourceEvent::Revoked { partitions, done });
            if flushed.recv_timeout(self.revoke_timeout).is_err() {
                tracing::warn!("revoked partitions were not flushed in time; the lake refuses what comes late");
            }
        }
        if let Err(error) = give_back(consumer, list) {
            tracing::warn!(%error, "partitions can't be given back one by one; all are");
            let _ = consumer.unassign();
        }
    }
}

fn lakes_position((topic, partition): &Partition, error: &str) -> Trouble {
    Trouble::Lake(format!("the lake does not say where partition {partition} of topic {topic} stands: {error}"))
}

/// Gives back what is held of a list. librdkafka refuses the whole list for one
/// partition that could not be assigned, and then waits for the answer for ever.
fn give_back(consumer: &BaseConsumer<SourceContext>, list: &TopicPartitionList) -> Result<(), ClientError> {
    let held = consumer.assignment()?;
    let mut back = TopicPartitionList::new();
    for element in list.elements() {
        if held.find_partition(element.topic(), element.partition()).is_some() {
            back.add_partition(element.topic(), element.partition());
        }
    }
    consumer.incremental_unassign(&back)
}

/// The client seeks only in partitions that it reads: this one starts anew.
pub(crate) fn assign_again(
    consumer: &BaseConsumer<SourceContext>,
    key: &Partition,
    from: Option<i64>,
) -> Result<(), ClientError> {
    let mut list = TopicPartitionList::new();
    list.add_partition(&key.0, key.1);
    // One whose start could not be told was not begun.
    if consumer.assignment()?.find_partition(&key.0, key.1).is_some() {
        consumer.incremental_unassign(&list)?;
    }
    let mut list = TopicPartitionList::new();
    consumer.context().begin(&mut list, key, from);
    consumer.incremental_assign(&list)
}

/// librdkafka's word for a partition that it has given up after an error.
const STANDS_STILL: &str = "none";

/// librdkafka's word for a client that has not joined its group, or has left it.
const OUTSIDE: &str = "init";

fn progress_of((topic, partition): Partition, p: &rdkafka::statistics::Partition) -> PartitionProgress {
    let end = p.ls_offset;
    let at_end = end >= 0 && p.eof_offset >= end && p.fetchq_cnt == 0;
    PartitionProgress { topic, partition, position: p.app_offset.max(p.eof_offset), end, at_end }
}

fn stands_still((topic, partition): Partition) -> PartitionProgress {
    PartitionProgress { topic, partition, position: -1, end: -1, at_end: false }
}

/// What an operator can do about an error of the client.
fn advice(error: &ClientError) -> &'static str {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::Authentication) => {
            "Kafka refuses the login: check `sasl.*` and `security.protocol` in `kafka.properties`; trying again"
        }
        Some(RDKafkaErrorCode::SSL) => {
            "no TLS connection to Kafka: check `ssl.*` and `security.protocol` in `kafka.properties`; trying again"
        }
        _ => "Kafka is in trouble; trying again",
    }
}

impl ClientContext for SourceContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // Offsets committed to Kafka are hints for lag tools, and refused at every rebalance.
        // A broker that is away is told by `error`, and the client tries again by itself.
        let level = match facility {
            "COMMITFAIL" | "FAIL" => RDKafkaLogLevel::Debug,
            _ => level,
        };
        DefaultClientContext.log(level, facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        let outside = statistics.cgrp.is_some_and(|group| group.join_state == OUTSIDE);
        self.outside.store(outside, Ordering::Relaxed);
        let (mut progress, mut stalled) = (Vec::new(), Vec::new());
        for (topic, of) in statistics.topics {
            for p in of.partitions.into_values().filter(|p| p.partition >= 0) {
                let key = (topic.clone(), p.partition);
                let assigned = self.starts().contains_key(&key);
                if p.fetch_state == "active" {
                    progress.push(progress_of(key, &p));
                } else if assigned && p.fetch_state == STANDS_STILL {
                    stalled.push(key);
                }
            }
        }
        // What stands still is not at its end, whatever was told before.
        progress.extend(stalled.iter().map(|key| stands_still(key.clone())));
        *self.stalled.lock().unwrap_or_else(PoisonError::into_inner) = stalled;
        if !progress.is_empty() {
            // A full channel has newer facts coming.
            let _ = self.sender.try_send(SourceEvent::Progress(progress));
        }
    }

    fn error(&self, error: ClientError, reason: &str) {
        // The end of a partition is told as an error, and is none.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF) {
            return;
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_news(&error.to_string(), Instant::now()) {
            tracing::warn!(%error, reason, "{}", advice(&error));
        }
    }
}

impl ConsumerContext for SourceContext {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, code: RDKafkaRespErr, list: &mut TopicPartitionList) {
        match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(consumer, list),
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => self.revoke(consumer, list),
            _ => tracing::warn!(?code, "the group could not be balanced; Kafka tries again"),
        }
    }
}
