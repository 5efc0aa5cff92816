//! The source under pressure, against the embedded broker.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use satisflow_kafka::{
    EmbeddedBroker, KafkaConfig, KafkaSource, OnLostOffsets, PolledBatch, PositionSource, Producer, SourceEvent,
};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const LIMIT: Duration = Duration::from_secs(60);
const RECORD_BYTES: usize = 1000;
/// Payload, and what the buffer counts for keeping it.
const HELD_BYTES: usize = RECORD_BYTES + 96;

struct NothingRead;

impl PositionSource for NothingRead {
    fn position(&self, _: &str, _: i32) -> Result<Option<i64>, String> {
        Ok(None)
    }
}

fn produce(broker: &EmbeddedBroker, topic: &str, partitions: i32, records: u64) {
    let producer = Producer::new(&broker.brokers(), topic, &BTreeMap::new()).unwrap();
    for number in 0..records {
        let partition = i32::try_from(number % u64::try_from(partitions).unwrap()).unwrap();
        producer.send(number, Some(partition), Some(&[b'x'; RECORD_BYTES])).unwrap();
    }
    assert_eq!(producer.flush().unwrap().len(), usize::try_from(records).unwrap());
}

/// A source, and what has been taken from it.
struct Taker {
    source: KafkaSource,
    stop: CancellationToken,
    offsets: BTreeMap<i32, Vec<i64>>,
    gaps: Vec<(i64, i64)>,
    failed: Vec<String>,
    held_max: usize,
}

impl Taker {
    fn start(config: KafkaConfig) -> Taker {
        Taker::start_at(config, Arc::new(NothingRead))
    }

    fn start_at(config: KafkaConfig, positions: Arc<dyn PositionSource>) -> Taker {
        let stop = CancellationToken::new();
        let source = KafkaSource::start(config, positions, stop.clone()).unwrap();
        Taker { source, stop, offsets: BTreeMap::new(), gaps: Vec::new(), failed: Vec::new(), held_max: 0 }
    }

    /// Takes one event; gives its records, which count as held while they are kept.
    async fn take(&mut self) -> Option<PolledBatch> {
        let event = timeout(LIMIT, self.source.next()).await.unwrap()?;
        self.held_max = self.held_max.max(self.source.load().held_bytes());
        match event {
            SourceEvent::Batch(batch) => {
                for record in batch.records() {
                    self.offsets.entry(record.partition).or_default().push(record.offset);
                }
                return Some(batch);
            }
            SourceEvent::Gap { from, to, .. } => self.gaps.push((from, to)),
            SourceEvent::Failed(message) => self.failed.push(message),
            SourceEvent::Revoked { done, .. } => drop(done.send(())),
            SourceEvent::Assigned(_) | SourceEvent::Progress(_) => {}
        }
        None
    }

    fn taken(&self) -> usize {
        self.offsets.values().map(Vec::len).sum()
    }

    /// Drops what is on its way until the source resumes, then keeps what comes,
    /// as a stuck taker does, until the source pauses or everything is taken.
    async fn keep_until_paused(&mut self, resumed_at_bytes: usize, all: usize) {
        let waiting = Instant::now();
        while self.source.load().held_bytes() > resumed_at_bytes {
            let _ = timeout(Duration::from_millis(50), self.take()).await;
            assert!(waiting.elapsed() < LIMIT, "nothing more to drop: {}", self.state());
        }
        let (mut kept, pauses) = (Vec::new(), self.source.load().pauses());
        while self.source.load().pauses() == pauses && self.taken() < all {
            // A pause may come without an event.
            if let Ok(batch) = timeout(Duration::from_millis(50), self.take()).await {
                kept.extend(batch);
            }
            assert!(waiting.elapsed() < LIMIT, "reading stands still: {}", self.state());
        }
    }

    fn state(&self) -> String {
        let next: Vec<_> = self.offsets.iter().map(|(p, offsets)| (p, offsets.len(), offsets.last())).collect();
        format!("{next:?}, {} bytes held, {} pauses", self.source.load().held_bytes(), self.source.load().pauses())
    }

    async fn finish(mut self) -> Taken {
        self.stop.cancel();
        while let Some(event) = timeout(LIMIT, self.source.next()).await.unwrap() {
            if let SourceEvent::Revoked { done, .. } = event {
                let _ = done.send(());
            }
        }
        let Taker { source, offsets, gaps, failed, held_max, .. } = self;
        timeout(LIMIT, tokio::task::spawn_blocking(move || source.join())).await.expect("the group is left").unwrap();
        Taken { offsets, gaps, failed, held_max }
    }
}

struct Taken {
    offsets: BTreeMap<i32, Vec<i64>>,
    gaps: Vec<(i64, i64)>,
    failed: Vec<String>,
    held_max: usize,
}

fn config(broker: &EmbeddedBroker, topic: &str, buffer_bytes_max: usize) -> KafkaConfig {
    KafkaConfig { buffer_bytes_max, ..KafkaConfig::new(&broker.brokers(), topic, vec![topic.to_owned()]) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_taker_pauses_partitions_and_loses_nothing() {
    const PARTITIONS: i32 = 4;
    const RECORDS: u64 = 4000;
    const BUFFER_BYTES: usize = 512 << 10;
    let broker = EmbeddedBroker::start("slow", PARTITIONS).unwrap();
    produce(&broker, "slow", PARTITIONS, RECORDS);
    let all = usize::try_from(RECORDS).unwrap();
    let mut taker = Taker::start(config(&broker, "slow", BUFFER_BYTES));
    while taker.taken() < all {
        taker.keep_until_paused(BUFFER_BYTES / 2, all).await;
    }
    // 4 MB pass through a buffer of half a MB.
    assert!(taker.source.load().pauses() >= 4, "{} pauses", taker.source.load().pauses());
    let taken = taker.finish().await;
    assert!(taken.held_max > BUFFER_BYTES / 2 && taken.held_max <= BUFFER_BYTES + HELD_BYTES);
    for offsets in taken.offsets.values() {
        assert_eq!(*offsets, (0..i64::try_from(RECORDS).unwrap() / i64::from(PARTITIONS)).collect::<Vec<_>>());
    }
    assert!(taken.gaps.is_empty() && taken.failed.is_empty());
}

/// The embedded broker keeps 5 MiB of a partition: a taker that stands still is overtaken.
async fn overtaken(topic: &str, on_lost_offsets: OnLostOffsets) -> Taken {
    const RECORDS: u64 = 2000;
    let broker = EmbeddedBroker::start(topic, 1).unwrap();
    produce(&broker, topic, 1, RECORDS);
    let config = KafkaConfig { on_lost_offsets, ..config(&broker, topic, 100 << 10) };
    let mut taker = Taker::start(config);
    let mut kept = Vec::new();
    while taker.source.load().pauses() == 0 {
        kept.extend(taker.take().await);
    }
    produce(&broker, topic, 1, 4 * RECORDS);
    drop(kept);
    let last = i64::try_from(5 * RECORDS).unwrap() - 1;
    while taker.failed.is_empty() && taker.offsets[&0].last() != Some(&last) {
        taker.take().await;
    }
    taker.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn records_removed_while_running_are_one_gap_and_reading_goes_on() {
    let taken = overtaken("resumed", OnLostOffsets::Resume).await;
    assert_eq!(taken.failed, Vec::<String>::new());
    let [(from, to)] = taken.gaps[..] else { panic!("one gap expected: {:?}", taken.gaps) };
    assert!(0 < from && from < to, "{from} to {to}");
    assert_eq!(taken.offsets[&0], (0..from).chain(to..10_000).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn records_removed_while_running_stop_the_service_with_their_offsets() {
    let taken = overtaken("stopped", OnLostOffsets::Stop).await;
    let from = taken.offsets[&0].len();
    assert!(taken.gaps.is_empty());
    let [message] = &taken.failed[..] else { panic!("one failure expected: {:?}", taken.failed) };
    assert!(message.starts_with(&format!("offsets {from} to ")), "{message}");
    assert!(message.contains("of partition 0 of topic stopped were removed by retention"), "{message}");
    assert!(message.contains("kafka.on_lost_offsets: resume"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_channel_pauses_partitions_instead_of_stopping_the_polls() {
    const RECORDS: u64 = 3000;
    let broker = EmbeddedBroker::start("stuck", 1).unwrap();
    produce(&broker, "stuck", 1, RECORDS);
    // Batches of one fill the channel long before the buffer is full.
    let config = KafkaConfig { batch_rows_max: 1, ..config(&broker, "stuck", 64 << 20) };
    let mut taker = Taker::start(config);
    let deadline = tokio::time::Instant::now() + LIMIT;
    while taker.source.load().pauses() == 0 {
        assert!(tokio::time::Instant::now() < deadline, "a full channel pauses nothing");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    while taker.taken() < usize::try_from(RECORDS).unwrap() {
        taker.take().await;
    }
    let taken = taker.finish().await;
    assert_eq!(taken.offsets[&0], (0..i64::try_from(RECORDS).unwrap()).collect::<Vec<_>>());
}

/// A lake that does not say where partitions below `refused` stand, so many times.
#[derive(Debug)]
struct Silent {
    refused: i32,
    times: usize,
    asked: AtomicUsize,
}

impl Silent {
    fn new(refused: i32, times: usize) -> Arc<Silent> {
        Arc::new(Silent { refused, times, asked: AtomicUsize::new(0) })
    }
}

impl PositionSource for Silent {
    fn position(&self, _: &str, partition: i32) -> Result<Option<i64>, String> {
        let silent = partition < self.refused && self.asked.fetch_add(1, Ordering::Relaxed) < self.times;
        if silent { Err("the store is away".to_owned()) } else { Ok(None) }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_that_is_away_at_an_assignment_is_asked_again_until_it_answers() {
    let broker = EmbeddedBroker::start("silent", 2).unwrap();
    produce(&broker, "silent", 2, 20);
    let silent = Silent::new(1, 3);
    let mut taker = Taker::start_at(config(&broker, "silent", 1 << 20), Arc::clone(&silent) as Arc<dyn PositionSource>);
    while taker.taken() < 20 {
        taker.take().await;
    }
    let taken = taker.finish().await;
    assert!(silent.asked.load(Ordering::Relaxed) > 3, "it was asked again");
    assert_eq!(taken.failed, Vec::<String>::new());
    assert_eq!(taken.offsets, BTreeMap::from([0, 1].map(|partition| (partition, (0..10).collect::<Vec<_>>()))));
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_can_not_be_read_do_not_keep_the_source_from_stopping() {
    const PARTITIONS: i32 = 2;
    for refused in 1..=PARTITIONS {
        let broker = EmbeddedBroker::start("refused", PARTITIONS).unwrap();
        let silent = Silent::new(refused, usize::MAX);
        let positions = Arc::clone(&silent) as Arc<dyn PositionSource>;
        let mut taker = Taker::start_at(config(&broker, "refused", 1 << 20), positions);
        let deadline = tokio::time::Instant::now() + LIMIT;
        // Each of them was asked for twice: once assigned, once again.
        while silent.asked.load(Ordering::Relaxed) < 2 * usize::try_from(refused).unwrap() {
            assert!(tokio::time::Instant::now() < deadline, "asked {silent:?} times");
            let _ = timeout(Duration::from_millis(50), taker.take()).await;
        }
        assert_eq!(taker.finish().await.failed, Vec::<String>::new());
    }
}

/// The lake stands here, whatever was read.
struct At(i64);

impl PositionSource for At {
    fn position(&self, _: &str, _: i32) -> Result<Option<i64>, String> {
        Ok(Some(self.0))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_could_not_be_committed_is_read_from_the_lakes_position_again() {
    let broker = EmbeddedBroker::start("again", 1).unwrap();
    produce(&broker, "again", 1, 10);
    let mut taker = Taker::start_at(config(&broker, "again", 1 << 20), Arc::new(At(5)));
    while taker.taken() < 5 {
        taker.take().await;
    }
    taker.source.read_again("again", 0);
    taker.source.read_again("again", 7);
    while taker.taken() < 10 {
        taker.take().await;
    }
    let taken = taker.finish().await;
    assert_eq!(taken.offsets[&0], (5..10).chain(5..10).collect::<Vec<_>>());
}
