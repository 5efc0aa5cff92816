//! Records that retention has removed before they were read: found on
//! assignment, or by the broker's refusal while reading.
//!
//! The client tells of a refusal without its partition. Statistics name the
//! partitions that stand still; they are set on their way again when as many
//! refusals have been polled, for then everything read before them has been too.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::config::ANSWER_TIMEOUT;
use crate::context::{SourceContext, Trouble, assign_again};
use crate::event::SourceEvent;
use crate::gap::go_on;
use crate::partition::Partition;

/// Tries to go on with one partition without reading a record in between.
const TRIES_MAX: u32 = 10;

/// Refusals of the broker that wait to be dealt with.
#[derive(Debug, Default)]
pub(crate) struct Lost {
    refusals: usize,
    tries: BTreeMap<Partition, u32>,
    doubt: Option<Doubt>,
}

/// A refusal may also mean that a topic was deleted and created again, and the
/// new one may be longer than the old one before anybody looks: for a while
/// what was read last is compared with what is there.
#[derive(Debug, Clone, Copy)]
struct Doubt {
    until: Instant,
    next: Instant,
}

const DOUBT: Duration = Duration::from_secs(30);
const DOUBT_INTERVAL: Duration = Duration::from_secs(1);

impl Lost {
    /// Notes a refusal.
    pub(crate) fn refused(&mut self, context: &SourceContext) {
        self.refusals += 1;
        let now = Instant::now();
        self.doubt = Some(Doubt { until: now + DOUBT, next: now });
        // Statistics from before say nothing about it.
        context.take_stalled();
    }

    /// Sets partitions that stand still on their way again.
    ///
    /// # Errors
    /// When the broker does not answer; the next call tries again.
    pub(crate) fn recover(&mut self, consumer: &BaseConsumer<SourceContext>) -> Result<(), String> {
        self.look_again(consumer)?;
        if self.refusals == 0 {
            return Ok(());
        }
        let stalled = consumer.context().take_stalled();
        if stalled.is_empty() || stalled.len() > self.refusals {
            return Ok(());
        }
        // A gap follows what was read before it.
        consumer.context().hand_over();
        for key in stalled {
            self.recover_one(consumer, &key)?;
            self.refusals = self.refusals.saturating_sub(1);
        }
        Ok(())
    }

    /// While in doubt: whether every partition is still the one that was read.
    fn look_again(&mut self, consumer: &BaseConsumer<SourceContext>) -> Result<(), String> {
        let now = Instant::now();
        let Some(doubt) = self.doubt.filter(|doubt| doubt.next <= now) else { return Ok(()) };
        self.doubt = (now < doubt.until).then_some(Doubt { next: now + DOUBT_INTERVAL, ..doubt });
        let context = consumer.context();
        let starts = context.starts().clone();
        for (key, start) in starts {
            let Some(position) = read_to(consumer, &key)?.max(start) else { continue };
            let (low, _) =
                consumer.fetch_watermarks(&key.0, key.1, ANSWER_TIMEOUT).map_err(|error| error.to_string())?;
            match context.is_still_the_same(&key, position, low) {
                Ok(()) => {}
                Err(Trouble::Passing(message) | Trouble::Lake(message)) => return Err(message),
                Err(Trouble::Lasting(message)) => {
                    context.send(SourceEvent::Failed(message));
                    self.doubt = None;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn recover_one(&mut self, consumer: &BaseConsumer<SourceContext>, key: &Partition) -> Result<(), String> {
        let context = consumer.context();
        let Some(start) = context.starts().get(key).copied() else { return Ok(()) };
        let read = read_to(consumer, key)?;
        if self.is_hopeless(key, read > start) {
            let (topic, partition) = key;
            context.send(SourceEvent::Failed(format!(
                "partition {partition} of topic {topic} can't be read: its first record was gone {TRIES_MAX} times \
                 before it came. Keep records of the topic for longer (`retention.ms`, `retention.bytes`)"
            )));
            return Ok(());
        }
        let (from, gap) = match read.max(start) {
            None => (None, None),
            Some(position) => {
                let ends =
                    consumer.fetch_watermarks(&key.0, key.1, ANSWER_TIMEOUT).map_err(|error| error.to_string())?;
                // What was read last may not be committed yet; the lake's own last record tells as much.
                let known = context.is_still_the_same(key, position, ends.0);
                match known.and_then(|()| go_on(context.on_lost, key, position, ends).map_err(Trouble::Lasting)) {
                    Ok((from, gap)) => (Some(from), gap),
                    Err(Trouble::Passing(message) | Trouble::Lake(message)) => return Err(message),
                    Err(Trouble::Lasting(message)) => {
                        context.send(SourceEvent::Failed(message));
                        return Ok(());
                    }
                }
            }
        };
        gap.into_iter().for_each(|gap| context.send(gap));
        assign_again(consumer, key, from).map_err(|error| error.to_string())
    }

    fn is_hopeless(&mut self, key: &Partition, read_since: bool) -> bool {
        let tries = self.tries.entry(key.clone()).or_default();
        *tries = if read_since { 1 } else { *tries + 1 };
        *tries > TRIES_MAX
    }
}

/// Next offset after what was polled since the assignment, if anything was.
fn read_to(consumer: &BaseConsumer<SourceContext>, key: &Partition) -> Result<Option<i64>, String> {
    let positions = consumer.position().map_err(|error| error.to_string())?;
    let found = positions.find_partition(&key.0, key.1);
    Ok(found.and_then(|element| element.offset().to_raw()).filter(|offset| *offset >= 0))
}
