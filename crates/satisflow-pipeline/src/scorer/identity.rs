//! Which events count: what memory does not hold of them is read from the lake.

use std::collections::BTreeSet;
use std::sync::Arc;

use ahash::AHashSet;
use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{Int32Type, Int64Type};
use futures::TryStreamExt;
use satisflow_kpi::{Arrival, Census, Position};

use super::Scorer;
use crate::error::PipelineError;

/// Event ids asked of the lake in one query.
const QUESTION_IDS_MAX: usize = 5_000;

impl Scorer {
    /// Reads what is known of the identities of an unscored version's events, where memory does not hold it.
    pub(super) async fn recollect(
        &mut self,
        batches: &[RecordBatch],
        arrivals: &[Arrival],
    ) -> Result<(), PipelineError> {
        let unsure = self.identities.unsure(arrivals);
        if unsure.is_empty() {
            return Ok(());
        }
        self.metrics.identities_asked.inc_by(unsure.len() as u64);
        let event_ids: BTreeSet<String> = batches.iter().flat_map(|events| texts_of(events, &unsure)).collect();
        let event_ids: Vec<String> = event_ids.into_iter().collect();
        let mut earlier = Vec::new();
        for chunk in event_ids.chunks(QUESTION_IDS_MAX) {
            let mut stream = self.lake.arrivals_of(self.scored, chunk).await?;
            while let Some(found) = stream.try_next().await? {
                earlier.extend(self::arrivals(&found));
            }
            self.renew().await?;
        }
        self.identities.recollect(&unsure, &earlier);
        Ok(())
    }

    /// Who counts of all events at a version.
    pub(super) async fn census(&mut self, version: u64) -> Result<Census, PipelineError> {
        let mut census = Census::default();
        let mut stream = self.lake.arrivals(version).await?;
        while let Some(batch) = stream.try_next().await? {
            census.note(&arrivals(&batch));
            self.renew().await?;
        }
        if census.has_repeated() {
            let mut stream = self.lake.arrivals(version).await?;
            while let Some(batch) = stream.try_next().await? {
                census.place(&arrivals(&batch));
                self.renew().await?;
            }
        }
        Ok(census)
    }
}

/// The event ids of some identities that events bear or name.
fn texts_of(events: &RecordBatch, wanted: &AHashSet<u128>) -> Vec<String> {
    let source = events["source"].as_string::<i32>();
    let mut found = Vec::new();
    for column in ["event_id", "retracts", "supersedes"].map(|name| events[name].as_string::<i32>()) {
        let named = (0..events.num_rows()).filter(|row| column.is_valid(*row));
        let named =
            named.map(|row| (satisflow_model::identity(source.value(row), column.value(row)), column.value(row)));
        found.extend(named.filter(|(id, _)| wanted.contains(id)).map(|(_, text)| text.to_owned()));
    }
    found
}

/// Events as far as identity is concerned.
pub(super) fn arrivals(events: &RecordBatch) -> Vec<Arrival> {
    let text = |name: &str| events[name].as_string::<i32>().clone();
    let (topic, source, event_id) = (text("topic"), text("source"), text("event_id"));
    let voids = [text("retracts"), text("supersedes")];
    let partition = events["partition"].as_primitive::<Int32Type>();
    let offset = events["offset"].as_primitive::<Int64Type>();
    let mut last: Option<Arc<str>> = None;
    (0..events.num_rows())
        .map(|row| {
            let name = match &last {
                Some(name) if **name == *topic.value(row) => Arc::clone(name),
                _ => Arc::from(topic.value(row)),
            };
            last = Some(Arc::clone(&name));
            let target = |column: &StringArray| {
                column.is_valid(row).then(|| satisflow_model::identity(source.value(row), column.value(row)))
            };
            Arrival {
                identity: satisflow_model::identity(source.value(row), event_id.value(row)),
                position: Position { topic: name, partition: partition.value(row), offset: offset.value(row) },
                voids: [target(&voids[0]), target(&voids[1])],
            }
        })
        .collect()
}
