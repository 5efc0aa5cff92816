//! What tests do to Kafka and the program never does: a client of its own.

use std::time::Duration;

use anyhow::{Result, bail};
use futures::executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

const ANSWER_LIMIT: Duration = Duration::from_secs(180);

/// An administrator's client.
pub struct Admin {
    inner: AdminClient<DefaultClientContext>,
}

impl Admin {
    /// Connects.
    ///
    /// # Errors
    /// When the client can't be made.
    pub fn new(brokers: &str) -> Result<Admin> {
        Ok(Admin { inner: ClientConfig::new().set("bootstrap.servers", brokers).create()? })
    }

    /// Creates a topic with settings of its own.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn create_topic(&self, topic: &str, partitions: i32, settings: &[(&str, &str)]) -> Result<()> {
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        let new = settings.iter().fold(new, |new, (name, value)| new.set(name, value));
        for created in block_on(self.inner.create_topics([&new], &options()))? {
            if let Err((topic, code)) = created {
                bail!("topic {topic}: {code}");
            }
        }
        Ok(())
    }

    /// Deletes a topic.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn delete_topic(&self, topic: &str) -> Result<()> {
        for deleted in block_on(self.inner.delete_topics(&[topic], &options()))? {
            if let Err((topic, code)) = deleted {
                bail!("topic {topic}: {code}");
            }
        }
        Ok(())
    }

    /// Gives a topic more partitions; `partitions` is how many it then has.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn add_partitions(&self, topic: &str, partitions: usize) -> Result<()> {
        for added in block_on(self.inner.create_partitions(&[NewPartitions::new(topic, partitions)], &options()))? {
            if let Err((topic, code)) = added {
                bail!("topic {topic}: {code}");
            }
        }
        Ok(())
    }

    /// How many members a consumer group has.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub fn group_members(&self, group: &str) -> Result<usize> {
        let groups = self.inner.inner().fetch_group_list(Some(group), ANSWER_LIMIT)?;
        Ok(groups.groups().iter().map(|found| found.members().len()).sum())
    }

    /// Removes the records before an offset, as retention does.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn delete_records(&self, topic: &str, partition: i32, before: i64) -> Result<()> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(before))?;
        for element in block_on(self.inner.delete_records(&list, &options()))?.elements() {
            element.error()?;
        }
        Ok(())
    }
}

/// A member of a consumer group that takes partitions and commits nothing.
pub struct Guest {
    inner: BaseConsumer,
}

impl Guest {
    /// Joins a group and waits until it is given partitions.
    ///
    /// # Errors
    /// When it is given none in time.
    pub fn join(brokers: &str, group: &str, topic: &str) -> Result<Guest> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", brokers).set("group.id", group).set("enable.auto.commit", "false");
        config.set("partition.assignment.strategy", "cooperative-sticky").set("heartbeat.interval.ms", "200");
        let inner: BaseConsumer = config.create()?;
        inner.subscribe(&[topic])?;
        crate::wait_for("the guest has partitions", ANSWER_LIMIT, || {
            drop(inner.poll(Duration::from_millis(50)));
            inner.assignment().ok().filter(|given| given.count() > 0)
        })?;
        Ok(Guest { inner })
    }

    /// Gives its partitions back.
    ///
    /// # Errors
    /// When that takes too long.
    pub fn leave(self) -> Result<()> {
        self.inner.unsubscribe();
        crate::wait_for("the guest has left", ANSWER_LIMIT, || {
            drop(self.inner.poll(Duration::from_millis(50)));
            self.inner.assignment().ok().filter(|given| given.count() == 0)
        })?;
        Ok(())
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(ANSWER_LIMIT)).request_timeout(Some(ANSWER_LIMIT))
}

/// Writes records, in transactions if it has an id for them.
pub struct Writer {
    topic: String,
    inner: BaseProducer,
}

impl Writer {
    /// Without transactions.
    ///
    /// # Errors
    /// When the client can't be made.
    pub fn new(brokers: &str, topic: &str) -> Result<Writer> {
        Writer::with(ClientConfig::new().set("bootstrap.servers", brokers), topic)
    }

    /// With transactions.
    ///
    /// # Errors
    /// When the client can't be made, or the broker knows no transactions.
    pub fn transactional(brokers: &str, topic: &str, id: &str) -> Result<Writer> {
        let mut config = ClientConfig::new();
        // A transaction is left open while others look.
        config.set("bootstrap.servers", brokers).set("transactional.id", id).set("transaction.timeout.ms", "600000");
        let writer = Writer::with(&mut config, topic)?;
        writer.inner.init_transactions(ANSWER_LIMIT)?;
        Ok(writer)
    }

    fn with(config: &mut ClientConfig, topic: &str) -> Result<Writer> {
        // Large records are wanted; the topic's own limit decides.
        config.set("message.max.bytes", "100000000");
        Ok(Writer { topic: topic.to_owned(), inner: config.create()? })
    }

    /// Writes records to one partition and waits until the broker has them.
    ///
    /// # Errors
    /// When it does not take them.
    pub fn write(&self, partition: i32, payloads: &[String]) -> Result<()> {
        for payload in payloads {
            let record = BaseRecord::<(), str>::to(&self.topic).partition(partition).payload(payload);
            self.inner.send(record).map_err(|(error, _)| error)?;
        }
        Ok(self.inner.flush(ANSWER_LIMIT)?)
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// When one is open.
    pub fn begin(&self) -> Result<()> {
        Ok(self.inner.begin_transaction()?)
    }

    /// Commits the transaction.
    ///
    /// # Errors
    /// When the broker does not answer, or has given it up.
    pub fn commit(&self) -> Result<()> {
        Ok(self.inner.commit_transaction(ANSWER_LIMIT)?)
    }

    /// Takes back what the transaction has written; the records stay in the log.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub fn abort(&self) -> Result<()> {
        Ok(self.inner.abort_transaction(ANSWER_LIMIT)?)
    }
}
