//! Polled records, copied once into one piece of memory.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rdkafka::message::{BorrowedMessage, Headers, Message};
use satisflow_model::Record;

#[derive(Debug)]
struct Entry {
    topic: Arc<str>,
    partition: i32,
    offset: i64,
    timestamp_ms: Option<i64>,
    payload: Option<Range<usize>>,
    headers: Vec<(String, Vec<u8>)>,
}

/// Records in the order of the poll. Its bytes count against the buffer's limit
/// until it is dropped.
#[derive(Debug)]
pub struct PolledBatch {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    held: usize,
    gauge: Arc<AtomicUsize>,
}

const ENTRY_OVERHEAD_BYTES: usize = 96;

impl PolledBatch {
    pub(crate) fn new(gauge: Arc<AtomicUsize>) -> PolledBatch {
        PolledBatch { bytes: Vec::new(), entries: Vec::new(), held: 0, gauge }
    }

    pub(crate) fn push(&mut self, message: &BorrowedMessage<'_>) {
        let topic = match self.entries.last() {
            Some(last) if *last.topic == *message.topic() => Arc::clone(&last.topic),
            _ => Arc::from(message.topic()),
        };
        let payload = message.payload().map(|payload| {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(payload);
            start..self.bytes.len()
        });
        let held = payload.as_ref().map_or(0, Range::len) + ENTRY_OVERHEAD_BYTES;
        self.held += held;
        self.gauge.fetch_add(held, Ordering::Relaxed);
        self.entries.push(Entry {
            topic,
            partition: message.partition(),
            offset: message.offset(),
            timestamp_ms: message.timestamp().to_millis(),
            payload,
            headers: headers(message),
        });
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What counts against the buffer's limit.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held
    }

    /// The records, in order.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        self.entries.iter().map(|entry| Record {
            topic: &entry.topic,
            partition: entry.partition,
            offset: entry.offset,
            timestamp_ms: entry.timestamp_ms,
            payload: entry.payload.clone().map(|range| &self.bytes[range]),
            headers: &entry.headers,
        })
    }
}

impl Drop for PolledBatch {
    fn drop(&mut self) {
        self.gauge.fetch_sub(self.held, Ordering::Relaxed);
    }
}

fn headers(message: &BorrowedMessage<'_>) -> Vec<(String, Vec<u8>)> {
    let Some(headers) = message.headers() else { return Vec::new() };
    headers.iter().map(|h| (h.key.to_owned(), h.value.unwrap_or_default().to_vec())).collect()
}
