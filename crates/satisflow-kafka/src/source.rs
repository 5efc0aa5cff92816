//! The poll thread.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio_util::sync::CancellationToken;

use crate::KafkaError;
use crate::batch::PolledBatch;
use crate::config::{self, KafkaConfig, REPEAT_WARNING};
use crate::context::{Parts, SourceContext, Trouble};
use crate::event::SourceEvent;
use crate::lost::Lost;
use crate::partition::{Partition, PositionSource};

/// Batches on their way, at most; bytes are limited beside.
const EVENTS_MAX: usize = 256;
/// Full batches that make up the buffer.
const BATCHES_IN_BUFFER: usize = 8;
const POLL: Duration = Duration::from_millis(50);
/// How long the group may take to let this member go.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Before a partition is read again: the group may take it away in the meantime.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// A lake that does not say where a partition stands is asked again this often, a second apart.
const LAKE_TRIES_MAX: u32 = 5;

/// What the poll thread is asked for.
enum Wish {
    /// Positions that are committed in the lake, for lag tools.
    Hint(Vec<(String, i32, i64)>),
    /// To read a partition from the lake's position again.
    Again(Partition),
}

/// What is on its way from the poll thread to its taker; to be looked at from anywhere.
#[derive(Debug, Clone, Default)]
pub struct SourceLoad {
    held: Arc<AtomicUsize>,
    pauses: Arc<AtomicUsize>,
    paused: Arc<AtomicBool>,
}

impl SourceLoad {
    /// Bytes polled and not yet dropped by their taker, with a little for each record.
    pub fn held_bytes(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// How often partitions were paused because too much was on its way.
    pub fn pauses(&self) -> usize {
        self.pauses.load(Ordering::Relaxed)
    }

    /// Whether they are paused now.
    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }
}

/// A running source.
pub struct KafkaSource {
    thread: JoinHandle<()>,
    events: Receiver<SourceEvent>,
    wishes: std::sync::mpsc::Sender<Wish>,
    load: SourceLoad,
}

impl KafkaSource {
    /// Starts to poll.
    ///
    /// # Errors
    /// When the client refuses its configuration. A broker that is down is no
    /// error: the client keeps trying and says so.
    pub fn start(
        config: KafkaConfig,
        positions: Arc<dyn PositionSource>,
        stop: CancellationToken,
    ) -> Result<KafkaSource, KafkaError> {
        let (sender, events) = channel(EVENTS_MAX);
        let load = SourceLoad::default();
        let context = SourceContext::new(Parts {
            positions,
            probe: config::probe(&config)?,
            sender: sender.clone(),
            gauge: Arc::clone(&load.held),
            on_lost: config.on_lost_offsets,
            revoke_timeout: config.revoke_timeout,
        });
        let consumer: BaseConsumer<SourceContext> = config::consumer(&config)?.create_with_context(context)?;
        let topics: Vec<&str> = config.topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics)?;
        let (wishes, wished) = std::sync::mpsc::channel();
        let poller = Poller {
            config,
            consumer,
            sender,
            load: load.clone(),
            stop,
            wished,
            again: BTreeMap::new(),
            asked: BTreeMap::new(),
            warned: None,
            paused: None,
            lost: Lost::default(),
        };
        let thread = std::thread::Builder::new().name("kafka-poll".to_owned());
        let thread = thread.spawn(move || poller.run()).map_err(KafkaError::Thread)?;
        Ok(KafkaSource { thread, events, wishes, load })
    }

    /// The next event; `None` when the source has stopped.
    pub async fn next(&mut self) -> Option<SourceEvent> {
        self.events.recv().await
    }

    /// Tells Kafka what is committed in the lake: a hint for lag tools.
    pub fn commit_hint(&self, positions: Vec<(String, i32, i64)>) {
        // The thread may have ended; a hint is then of no use.
        let _ = self.wishes.send(Wish::Hint(positions));
    }

    /// Asks for a partition, whose records could not be committed, to be read
    /// again from the lake's position, if it is still assigned a second later.
    /// [`SourceEvent::Assigned`] says from when on.
    pub fn read_again(&self, topic: &str, partition: i32) {
        // The thread may have ended; nothing is read again then.
        let _ = self.wishes.send(Wish::Again((topic.to_owned(), partition)));
    }

    /// What is on its way.
    pub fn load(&self) -> SourceLoad {
        self.load.clone()
    }

    /// Waits until the thread has left the group; call it when `next` gave `None`.
    pub fn join(self) {
        drop(self.events);
        if self.thread.join().is_err() {
            tracing::error!("the poll thread has panicked");
        }
    }
}

struct Poller {
    config: KafkaConfig,
    consumer: BaseConsumer<SourceContext>,
    sender: Sender<SourceEvent>,
    load: SourceLoad,
    stop: CancellationToken,
    wished: std::sync::mpsc::Receiver<Wish>,
    /// Partitions to be read again, and when.
    again: BTreeMap<Partition, Instant>,
    /// How often the lake was asked for the start of a partition without an answer.
    asked: BTreeMap<Partition, u32>,
    warned: Option<Instant>,
    /// While paused: the number of assignments that the pause covers.
    paused: Option<usize>,
    lost: Lost,
}

/// What the current batch holds.
#[derive(Clone, Copy)]
struct Gathered {
    rows: usize,
    bytes: usize,
}

impl Gathered {
    fn of(batch: &PolledBatch) -> Gathered {
        Gathered { rows: batch.len(), bytes: batch.held_bytes() }
    }
}

impl Poller {
    fn run(mut self) {
        let mut started = Instant::now();
        while !self.stop.is_cancelled() && !self.sender.is_closed() {
            self.press_back();
            self.take_wishes();
            self.read_again();
            self.recover();
            let gathered = self.poll_once();
            if gathered.rows == 0 {
                started = Instant::now();
            }
            let due = self.is_full(gathered) || started.elapsed() >= self.config.batch_wait;
            // Without room, polling goes on, or the group would take this member for dead.
            if due && self.has_room() {
                if !self.consumer.context().hand_over() {
                    break;
                }
                started = Instant::now();
            }
        }
        self.consumer.context().hand_over();
        self.leave();
    }

    /// Leaving revokes everything, which is flushed on the way out.
    fn leave(mut self) {
        self.take_wishes();
        self.consumer.context().outside.store(false, Ordering::Relaxed);
        self.consumer.unsubscribe();
        self.poll_until(self.config.revoke_timeout, |consumer| {
            consumer.assignment().is_ok_and(|list| list.count() == 0)
        });
        self.take_wishes();
        // A client that is closed before it has told the group so keeps its place:
        // the next one would wait for the end of its session, 45 seconds.
        self.poll_until(LEAVE_TIMEOUT, |consumer| consumer.context().outside.load(Ordering::Relaxed));
    }

    fn poll_until(&self, limit: Duration, done: impl Fn(&BaseConsumer<SourceContext>) -> bool) {
        let until = Instant::now() + limit;
        while Instant::now() < until && !done(&self.consumer) {
            // Nothing is read any more; polling runs the callbacks.
            let _ = self.consumer.poll(POLL);
        }
    }

    /// Polls one record; gives what is gathered.
    fn poll_once(&mut self) -> Gathered {
        let wait = if self.gathered().rows == 0 { POLL } else { Duration::from_millis(2) };
        let failed = match self.consumer.poll(wait) {
            None => None,
            Some(Ok(message)) => {
                let context = self.consumer.context();
                let mut gathering = context.gathering.lock().unwrap_or_else(PoisonError::into_inner);
                gathering.push(&message);
                return Gathered::of(&gathering);
            }
            Some(Err(error)) => Some(error),
        };
        if let Some(error) = failed {
            self.report(&error);
        }
        self.gathered()
    }

    fn gathered(&self) -> Gathered {
        Gathered::of(&self.consumer.context().gathering.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A batch is a part of the buffer only: others are on their way beside it,
    /// and a pause, which costs librdkafka up to a second, is for slow takers.
    fn is_full(&self, gathered: Gathered) -> bool {
        gathered.rows >= self.config.batch_rows_max
            || gathered.bytes >= self.config.buffer_bytes_max / BATCHES_IN_BUFFER
    }

    fn report(&mut self, error: &ClientError) {
        let code = error.rdkafka_error_code();
        match code {
            _ if matches!(error, ClientError::PartitionEOF(_)) => {}
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                self.lost.refused(self.consumer.context());
            }
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                self.warn(&format!(
                    "there is no topic {}: create it, or correct `sources`; trying again",
                    self.config.topics.join(", ")
                ));
            }
            _ => self.warn(&format!("Kafka at {}: {error}; trying again", self.config.brokers)),
        }
    }

    /// The same trouble is told every ten seconds, not at every poll.
    fn warn(&mut self, message: &str) {
        if self.warned.is_none_or(|at| at.elapsed() >= REPEAT_WARNING) {
            self.warned = Some(Instant::now());
            tracing::warn!("{message}");
        }
    }

    fn recover(&mut self) {
        if let Err(error) = self.lost.recover(&self.consumer) {
            self.warn(&format!("records are gone, and Kafka does not say which: {error}; trying again"));
        }
    }

    fn has_room(&self) -> bool {
        self.sender.capacity() > 0
    }

    /// Pauses every partition while too much is on its way. Partitions that
    /// come in meanwhile are paused too.
    fn press_back(&mut self) {
        let held = self.load.held_bytes();
        let high = held > self.config.buffer_bytes_max || !self.has_room();
        let low = held <= self.config.buffer_bytes_max / 2 && self.has_room();
        let assignments = self.consumer.context().assignments.load(Ordering::Relaxed);
        let uncovered = self.paused.is_some_and(|covered| covered != assignments);
        let changed = if (high && self.paused.is_none()) || uncovered {
            self.pause(assignments)
        } else if low && self.paused.is_some() {
            self.resume()
        } else {
            Ok(())
        };
        if let Err(error) = changed {
            tracing::warn!(%error, "partitions can't be paused or resumed");
        }
        if self.paused.is_some() && self.gathered().rows > 0 && self.has_room() {
            self.consumer.context().hand_over();
        }
    }

    fn pause(&mut self, assignments: usize) -> Result<(), ClientError> {
        self.consumer.pause(&self.consumer.assignment()?)?;
        if self.paused.replace(assignments).is_none() {
            self.load.pauses.fetch_add(1, Ordering::Relaxed);
            self.load.paused.store(true, Ordering::Relaxed);
            tracing::debug!(held = self.load.held_bytes(), "paused: too much is on its way");
        }
        Ok(())
    }

    fn resume(&mut self) -> Result<(), ClientError> {
        self.consumer.resume(&self.consumer.assignment()?)?;
        self.paused = None;
        self.load.paused.store(false, Ordering::Relaxed);
        tracing::debug!("resumed");
        Ok(())
    }

    fn take_wishes(&mut self) {
        let mut latest: BTreeMap<Partition, i64> = BTreeMap::new();
        for wish in self.wished.try_iter() {
            match wish {
                Wish::Hint(hint) => {
                    latest.extend(hint.into_iter().map(|(topic, partition, offset)| ((topic, partition), offset)));
                }
                Wish::Again(key) => _ = self.again.insert(key, Instant::now() + READ_AGAIN_AFTER),
            }
        }
        if !latest.is_empty() {
            self.forward_hints(&latest);
        }
    }

    /// Partitions that are still this member's are read from the lake's position again.
    fn read_again(&mut self) {
        let now = Instant::now();
        let unread = self.consumer.context().take_unread();
        self.again.extend(unread.into_iter().map(|key| (key, now + READ_AGAIN_AFTER)));
        let due: Vec<Partition> = self.again.iter().filter(|(_, at)| **at <= now).map(|(key, _)| key.clone()).collect();
        for key in due {
            self.again.remove(&key);
            if !self.consumer.context().starts().contains_key(&key) {
                continue;
            }
            match self.consumer.context().assign_again(&self.consumer, &key) {
                Ok(()) => _ = self.asked.remove(&key),
                Err(Trouble::Lasting(message)) => self.consumer.context().send(SourceEvent::Failed(message)),
                Err(Trouble::Lake(message)) if self.is_asked_enough(&key) => {
                    self.consumer.context().send(SourceEvent::Failed(message));
                }
                Err(Trouble::Passing(error) | Trouble::Lake(error)) => {
                    self.warn(&format!("{error}; trying again"));
                    self.again.insert(key, now + READ_AGAIN_AFTER);
                }
            }
        }
    }

    /// Counts how often the lake did not say where a partition stands.
    fn is_asked_enough(&mut self, key: &Partition) -> bool {
        let asked = self.asked.entry(key.clone()).or_default();
        *asked += 1;
        *asked >= LAKE_TRIES_MAX
    }

    fn forward_hints(&self, latest: &BTreeMap<Partition, i64>) {
        let mut list = TopicPartitionList::new();
        for ((topic, partition), offset) in latest {
            let added = list.add_partition_offset(topic, *partition, rdkafka::Offset::Offset(*offset));
            debug_assert!(added.is_ok(), "an offset of the lake is a valid offset");
        }
        if let Err(error) = self.consumer.commit(&list, CommitMode::Async) {
            tracing::debug!(%error, "Kafka did not take the offsets; they are a hint only");
        }
    }
}
