//! Whether a topic is still the one that was read: what was read last is compared
//! with what the broker has at that offset. A topic that was deleted and created
//! again goes by the same name, and may have as many records or more.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError as ClientError;
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::config::ANSWER_TIMEOUT;
use crate::partition::{LastRecord, Partition};

const POLL: Duration = Duration::from_millis(100);

/// What the broker has in a record's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// The same record.
    Same,
    /// Another one, of this time.
    Other(Option<i64>),
    /// None: it was removed, or the partition ends before it.
    Nothing,
}

/// Compares a record with what a broker has in its place. The client is one that
/// reads nothing else.
///
/// # Errors
/// When the broker does not answer.
pub(crate) fn compare(consumer: &BaseConsumer, key: &Partition, last: LastRecord) -> Result<Found, ClientError> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&key.0, key.1, Offset::Offset(last.offset))?;
    consumer.assign(&list)?;
    let found = first(consumer, last.offset);
    consumer.unassign()?;
    Ok(match found? {
        Some((offset, timestamp)) if offset == last.offset && timestamp == Some(last.timestamp_ms) => Found::Same,
        Some((offset, timestamp)) if offset == last.offset => Found::Other(timestamp),
        _ => Found::Nothing,
    })
}

/// Offset and time of the first record from an offset on, if there is any.
fn first(consumer: &BaseConsumer, from: i64) -> Result<Option<(i64, Option<i64>)>, ClientError> {
    let until = Instant::now() + ANSWER_TIMEOUT;
    let mut trouble = None;
    while Instant::now() < until {
        match consumer.poll(POLL) {
            Some(Ok(message)) if message.offset() >= from => {
                return Ok(Some((message.offset(), message.timestamp().to_millis())));
            }
            Some(Err(ClientError::PartitionEOF(_))) => return Ok(None),
            Some(Err(error)) if is_out_of_range(&error) => return Ok(None),
            Some(Err(error)) => trouble = Some(error),
            Some(Ok(_)) | None => {}
        }
    }
    let silent = ClientError::MessageConsumption(rdkafka::types::RDKafkaErrorCode::OperationTimedOut);
    Err(trouble.unwrap_or(silent))
}

fn is_out_of_range(error: &ClientError) -> bool {
    use rdkafka::types::RDKafkaErrorCode::{AutoOffsetReset, OffsetOutOfRange};
    matches!(error.rdkafka_error_code(), Some(AutoOffsetReset | OffsetOutOfRange))
}

/// What an operator is told of a topic that is another one now.
pub(crate) fn is_another((topic, partition): &Partition, last: LastRecord, now_ms: Option<i64>) -> String {
    let now = now_ms.map_or("of no time".to_owned(), |at| format!("of {at}"));
    format!(
        "the record at offset {} of partition {partition} of topic {topic} was of {} (ms since 1970) when it was read, \
         and is one {now} now: the topic was deleted and created again, or another cluster is configured. Give the \
         new topic another name, or use a new lake",
        last.offset, last.timestamp_ms
    )
}
