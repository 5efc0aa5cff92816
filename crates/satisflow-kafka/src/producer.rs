//! Producing, for the generator and the demo.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};

use crate::KafkaError;
use crate::config;

/// Where a record has come to stand: the caller's number, partition, offset.
pub type Delivered = (u64, i32, i64);

#[derive(Default)]
struct Deliveries {
    delivered: Mutex<Vec<Delivered>>,
    failed: Mutex<(usize, String)>,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<u64>;

    fn delivery(&self, result: &DeliveryResult<'_>, number: Box<u64>) {
        match result {
            Ok(message) => {
                let mut delivered = self.delivered.lock().unwrap_or_else(PoisonError::into_inner);
                delivered.push((*number, message.partition(), message.offset()));
            }
            Err((error, _)) => {
                let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
                *failed = (failed.0 + 1, error.to_string());
            }
        }
    }
}

/// A producer to one topic; its queue is bounded by librdkafka's defaults.
pub struct Producer {
    topic: String,
    inner: BaseProducer<Deliveries>,
}

const FLUSH_TIMEOUT: Duration = Duration::from_secs(30);

impl Producer {
    /// Connects.
    ///
    /// # Errors
    /// When the client refuses its configuration.
    pub fn new(brokers: &str, topic: &str, properties: &BTreeMap<String, String>) -> Result<Producer, KafkaError> {
        let mut client = config::client(brokers, properties)?;
        client.set("linger.ms", "5").set("enable.idempotence", "true");
        Ok(Producer { topic: topic.to_owned(), inner: client.create_with_context(Deliveries::default())? })
    }

    /// Queues a record, waiting while the queue is full.
    ///
    /// # Errors
    /// When the client refuses the record.
    pub fn send(&self, number: u64, partition: Option<i32>, payload: Option<&[u8]>) -> Result<(), KafkaError> {
        let mut record: BaseRecord<'_, [u8], [u8], Box<u64>> =
            BaseRecord::with_opaque_to(&self.topic, Box::new(number));
        record.payload = payload;
        record.partition = partition;
        loop {
            match self.inner.send(record) {
                Ok(()) => break,
                Err((ClientError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    self.inner.poll(Duration::from_millis(10));
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
        self.inner.poll(Duration::ZERO);
        Ok(())
    }

    /// Waits for every record and gives where they stand.
    ///
    /// # Errors
    /// When records were not delivered.
    pub fn flush(&self) -> Result<Vec<Delivered>, KafkaError> {
        self.inner.flush(FLUSH_TIMEOUT)?;
        let context = self.inner.context();
        let (count, reason) = context.failed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if count > 0 {
            return Err(KafkaError::Undelivered { topic: self.topic.clone(), count, reason });
        }
        Ok(std::mem::take(&mut *context.delivered.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// Creates a topic unless it is there; gives the number of its partitions if it was. `properties` are settings of the
/// client.
///
/// # Errors
/// When the broker refuses.
pub async fn ensure_topic(
    brokers: &str,
    topic: &str,
    partitions: i32,
    properties: &BTreeMap<String, String>,
) -> Result<Option<usize>, KafkaError> {
    let admin: AdminClient<DefaultClientContext> = config::client(brokers, properties)?.create()?;
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    let options = AdminOptions::new().operation_timeout(Some(FLUSH_TIMEOUT)).request_timeout(Some(FLUSH_TIMEOUT));
    for result in admin.create_topics([&new], &options).await? {
        match result {
            Ok(_) => {}
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {
                let metadata = admin.inner().fetch_metadata(Some(topic), FLUSH_TIMEOUT)?;
                return Ok(metadata.topics().first().map(|topic| topic.partitions().len()));
            }
            Err((topic, code)) => return Err(KafkaError::Topic { topic, reason: code.to_string() }),
        }
    }
    Ok(None)
}
