//! Rebalances: positions from the lake on assignment, a flush before revocation.
//! Callbacks run on the poll thread, inside of a poll.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::mpsc::Sender;

use crate::batch::PolledBatch;
use crate::config::OnLostOffsets;
use crate::source::{PositionSource, SourceEvent};

const WATERMARKS_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a partition stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionProgress {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Next offset to hand over.
    pub position: i64,
    /// End of the partition at the broker; -1 while unknown.
    pub end: i64,
    /// Whether the position is the end.
    pub at_end: bool,
}

pub(crate) struct SourceContext {
    pub(crate) positions: Arc<dyn PositionSource>,
    pub(crate) sender: Sender<SourceEvent>,
    pub(crate) gathering: Mutex<PolledBatch>,
    pub(crate) gauge: Arc<AtomicUsize>,
    pub(crate) on_lost: OnLostOffsets,
    pub(crate) revoke_timeout: Duration,
}

impl SourceContext {
    /// Hands the gathered records over; `false` when nobody takes them any more.
    pub(crate) fn hand_over(&self) -> bool {
        let mut gathering = self.gathering.lock().unwrap_or_else(PoisonError::into_inner);
        if gathering.is_empty() {
            return true;
        }
        let batch = std::mem::replace(&mut *gathering, PolledBatch::new(Arc::clone(&self.gauge)));
        self.sender.blocking_send(SourceEvent::Batch(batch)).is_ok()
    }

    fn send(&self, event: SourceEvent) {
        // A closed channel means shutdown; the poll loop sees it as well.
        let _ = self.sender.blocking_send(event);
    }

    fn assign(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let mut start = TopicPartitionList::new();
        let (mut assigned, mut gaps) = (Vec::new(), Vec::new());
        for element in list.elements() {
            let (topic, partition) = (element.topic().to_owned(), element.partition());
            match self.start(consumer, &topic, partition) {
                Ok((offset, gap)) => {
                    gaps.extend(gap);
                    let added = start.add_partition_offset(&topic, partition, offset);
                    debug_assert!(added.is_ok(), "an offset from the lake is a valid offset");
                    assigned.push((topic, partition));
                }
                Err(message) => self.send(SourceEvent::Failed(message)),
            }
        }
        if let Err(error) = consumer.incremental_assign(&start) {
            return self.send(SourceEvent::Failed(format!("partitions can't be assigned: {error}")));
        }
        self.send(SourceEvent::Assigned(assigned));
        gaps.into_iter().for_each(|gap| self.send(gap));
    }

    /// The lake's position, checked against what the broker still has.
    fn start(
        &self,
        consumer: &BaseConsumer<Self>,
        topic: &str,
        partition: i32,
    ) -> Result<(Offset, Option<SourceEvent>), String> {
        let Some(position) = self.positions.position(topic, partition)? else {
            return Ok((Offset::Beginning, None));
        };
        let (low, high) = consumer
            .fetch_watermarks(topic, partition, WATERMARKS_TIMEOUT)
            .map_err(|error| format!("the ends of partition {partition} of topic {topic} can't be read: {error}"))?;
        if position > high {
            return Err(format!(
                "the lake stands at offset {position} of partition {partition} of topic {topic}, and the topic ends at \
                 {high}: it was deleted and created again, or another cluster is configured. Give the new topic \
                 another name, or use a new lake"
            ));
        }
        if position >= low {
            return Ok((Offset::Offset(position), None));
        }
        match self.on_lost {
            OnLostOffsets::Stop => Err(format!(
                "offsets {position} to {} of partition {partition} of topic {topic} were removed by retention before \
                 they were read. Set `kafka.on_lost_offsets: resume` to go on at {low} with the gap on record",
                low - 1
            )),
            OnLostOffsets::Resume => {
                let gap = SourceEvent::Gap { topic: topic.to_owned(), partition, from: position, to: low };
                Ok((Offset::Offset(low), Some(gap)))
            }
        }
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let partitions = list.elements().iter().map(|e| (e.topic().to_owned(), e.partition())).collect();
        if self.hand_over() {
            let (done, flushed) = std::sync::mpsc::channel();
            self.send(SourceEvent::Revoked { partitions, done });
            if flushed.recv_timeout(self.revoke_timeout).is_err() {
                tracing::warn!("revoked partitions were not flushed in time; the lake refuses what comes late");
            }
        }
        if let Err(error) = consumer.incremental_unassign(list) {
            tracing::warn!(%error, "partitions can't be given back");
        }
    }
}

impl ClientContext for SourceContext {
    fn stats(&self, statistics: Statistics) {
        let mut progress = Vec::new();
        for (topic, of) in statistics.topics {
            for p in of.partitions.values().filter(|p| p.partition >= 0 && p.fetch_state == "active") {
                let position = p.app_offset.max(p.eof_offset);
                let end = p.ls_offset;
                let at_end = end >= 0 && p.eof_offset >= end && p.fetchq_cnt == 0;
                progress.push(PartitionProgress {
                    topic: topic.clone(),
                    partition: p.partition,
                    position,
                    end,
                    at_end,
                });
            }
        }
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
        tracing::warn!(%error, reason, "Kafka");
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
