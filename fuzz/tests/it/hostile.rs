//! Hostile records through decoder and Arrow builders: each is accounted for.

use std::collections::BTreeSet;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use satisflow_fuzz::{Hostile, Settings};
use satisflow_model::{Outcome, Reason, RecordsBuilder};

use crate::targets::{NOW, decoder, record};

/// Rows of a batch, as the collector takes them.
const BATCH_ROWS: usize = 8192;
const RECORDS: u64 = 1_000_000;

#[derive(Default)]
struct Account {
    accepted: u64,
    rejected: u64,
    rows: u64,
    reasons: BTreeSet<String>,
}

impl Account {
    /// Counts a batch's rows; raw bytes are the payload's, bounded, with its true length.
    fn add(&mut self, batch: &RecordBatch, payloads: &[Vec<u8>], raw_bytes_max: usize) {
        assert_eq!(batch.num_rows(), payloads.len());
        self.rows += batch.num_rows() as u64;
        let (raw, length) = (batch["raw"].as_binary::<i32>(), batch["raw_bytes"].as_primitive::<Int64Type>());
        let (outcome, reason) = (batch["outcome"].as_string::<i32>(), batch["reject_reason"].as_string::<i32>());
        for (row, payload) in payloads.iter().enumerate() {
            match outcome.value(row) {
                "accepted" => assert!(raw.is_null(row) && length.is_null(row) && reason.is_null(row)),
                _ => {
                    assert_eq!(raw.value(row), &payload[..payload.len().min(raw_bytes_max)]);
                    assert_eq!(length.value(row), payload.len() as i64);
                    self.reasons.insert(reason.value(row).to_owned());
                }
            }
        }
    }
}

#[test]
fn every_hostile_record_is_accounted_for() {
    let settings = Settings::from_environment();
    let (decoder, mut hostile) = (decoder(None), Hostile::new(settings.seed));
    let mut builder = RecordsBuilder::new(decoder.limits().clone());
    let (mut account, mut payloads) = (Account::default(), Vec::new());
    let records = RECORDS * settings.factor;
    for number in 1..=records {
        let payload = hostile.record();
        let record = record(&payload);
        match decoder.decode(&record, Some(NOW)) {
            Ok(event) => {
                account.accepted += 1;
                builder.append_event(&record, NOW, Outcome::Accepted, &event);
            }
            Err(reject) => {
                account.rejected += 1;
                builder.append_reject(&record, NOW, &reject);
            }
        }
        payloads.push(payload);
        if payloads.len() == BATCH_ROWS || number == records {
            account.add(&builder.finish().unwrap(), &payloads, decoder.limits().raw_bytes_max);
            payloads.clear();
        }
    }
    assert_eq!((account.accepted + account.rejected, account.rows), (records, records));
    assert!(account.accepted > records / 5 && account.rejected > records / 5, "{}", account.accepted);
    // What a decoder can't tell from one record's bytes.
    let elsewhere = [Reason::IdConflict, Reason::NullPayload, Reason::OffsetsLost].map(Reason::as_str);
    let expected: BTreeSet<String> =
        Reason::ALL.iter().map(|r| r.as_str()).filter(|r| !elsewhere.contains(r)).map(str::to_owned).collect();
    assert_eq!(account.reasons, expected);
}
