//! A broker inside of the process, for the demo: librdkafka's mock cluster on
//! real TCP. It keeps little and nothing on disk.

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

use crate::KafkaError;

/// A running broker; it ends with this value.
pub struct EmbeddedBroker {
    cluster: MockCluster<'static, DefaultProducerContext>,
}

impl EmbeddedBroker {
    /// Starts a broker with one topic.
    ///
    /// # Errors
    /// When it can't listen.
    pub fn start(topic: &str, partitions: i32) -> Result<EmbeddedBroker, KafkaError> {
        let cluster = MockCluster::new(1)?;
        cluster.create_topic(topic, partitions, 1)?;
        Ok(EmbeddedBroker { cluster })
    }

    /// Its address.
    pub fn brokers(&self) -> String {
        self.cluster.bootstrap_servers()
    }
}
