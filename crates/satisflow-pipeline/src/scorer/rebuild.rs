//! The engine, built anew from the lake as it was last scored.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use datafusion::prelude::{col, lit};
use futures::TryStreamExt;
use satisflow_kpi::{Engine, Frontier, RowKey, Status};
use satisflow_lake::{BACKFILL, CLOSED, PUBLISHED, SCORE};

use super::identity::arrivals;
use super::{COMPUTED, DefinitionRecord, Memory, NEAR_LIMIT, Role, Scorer, late};
use crate::error::PipelineError;

impl Scorer {
    /// Builds the engine so that it goes on exactly where the published rows stop.
    pub(super) async fn rebuild(&mut self) -> Result<(), PipelineError> {
        let started = Instant::now();
        self.shared.set(None);
        let scored = self.lake.kpi_transaction(SCORE).await?;
        let version = scored.and_then(|v| u64::try_from(v).ok()).unwrap_or(0);
        self.last_computed = self.lake.kpi_transaction(COMPUTED).await?.unwrap_or(0).max(self.last_computed);
        self.read_records(scored.is_some()).await?;
        let known = self.recover(version).await?;
        self.resume_definitions()?;
        self.restore_revisions(known).await?;
        self.forget()?;
        self.restore_alerts().await?;
        self.recorded = (self.scored, Instant::now());
        self.role = Role::Active;
        tracing::info!(version = self.scored, elapsed = ?started.elapsed(), "the engine goes on from here");
        Ok(())
    }

    /// Brings the state to a scored version: from a snapshot, or from the
    /// events. Gives which of the computed rows are known to it.
    async fn recover(&mut self, version: u64) -> Result<Known, PipelineError> {
        match self.recover_snapshot(version).await {
            Ok(Some(known)) => return Ok(known),
            Ok(None) => {}
            Err(PipelineError::Superseded) => return Err(PipelineError::Superseded),
            Err(error) => tracing::warn!(%error, "no snapshot can be used; the engine is built from the events"),
        }
        self.scored = version;
        self.shared.set(Some(Engine::new(self.catalog.plan.clone())));
        self.begin()?;
        let events = self.replay_scored().await?;
        tracing::info!(events, version, "the engine is built from the events of the lake");
        Ok(Known::default())
    }

    async fn recover_snapshot(&mut self, version: u64) -> Result<Option<Known>, PipelineError> {
        let Some(head) = self.load().await? else { return Ok(None) };
        while self.scored < version {
            self.score_next().await?;
            // What those events have restated behind the horizon is published already.
            self.shared.with(|engine| engine.forget_expired_changes());
        }
        tracing::info!(snapshot = head.scored, version = self.scored, "the engine goes on from a snapshot");
        Ok(Some(Known { until: Some(head.computed), not_of: self.read_history().await? }))
    }

    /// Takes the events of the lake in for definitions that a snapshot does not
    /// know, while the others stay as they are; gives their fingerprints.
    async fn read_history(&mut self) -> Result<Vec<Arc<str>>, PipelineError> {
        let new = self.shared.with(|engine| engine.new_definitions());
        if !new.is_empty() {
            self.begin()?;
            self.shared.with(Engine::begin_history);
            let events = self.replay_scored().await?;
            self.shared.with(Engine::end_history);
            tracing::info!(definitions = new.len(), events, "new definitions have read the events of the lake");
        }
        Ok(new)
    }

    async fn replay_scored(&mut self) -> Result<usize, PipelineError> {
        let census = self.census(self.scored).await?;
        let mut stream = self.lake.read_accepted(self.scored).await?;
        let mut events = 0;
        while let Some(batch) = stream.try_next().await? {
            events += batch.num_rows();
            self.apply(&batch, &census.signs(&arrivals(&batch)))?;
            self.renew().await?;
        }
        self.identities = census.into_identities(self.memory.identities);
        Ok(events)
    }

    /// Where each definition stands, as the lake has it on record. One that has
    /// no rows is back-filled to where the furthest one stands.
    async fn read_records(&mut self, scored_before: bool) -> Result<(), PipelineError> {
        self.records.clear();
        let definitions = self.catalog.plan.definitions.clone();
        for definition in &definitions {
            let record = self.record_of(&definition.fingerprint).await?;
            self.records.push(record);
        }
        let furthest = self.records.iter().filter_map(|record| record.published).max();
        for (index, definition) in definitions.iter().enumerate() {
            let record = &mut self.records[index];
            if record.published.is_none() && scored_before {
                record.backfill = furthest;
                tracing::info!(kpi = %definition.name, "a new definition: its history is computed from the lake");
            }
        }
        Ok(())
    }

    /// Of what is replayed only the panes are kept that would be now.
    fn begin(&self) -> Result<(), PipelineError> {
        let begins = |record: &DefinitionRecord| record.published.filter(|_| !record.near_limit).unwrap_or(i64::MIN);
        let published: Vec<i64> = self.records.iter().map(begins).collect();
        let Memory { late_panes, late_micros, .. } = self.memory;
        Ok(self.shared.with(|engine| engine.begin_at(&published, late_panes, late_micros))?)
    }

    /// A definition goes on where its own rows stop; one that has none, or whose
    /// back-fill was interrupted, is computed from there.
    fn resume_definitions(&mut self) -> Result<(), PipelineError> {
        for (index, definition) in self.catalog.plan.definitions.iter().enumerate() {
            let record = self.records[index];
            self.shared.with(|engine| {
                if record.backfill > record.published {
                    engine.mark_backfill(&definition.fingerprint);
                }
                let Some(published) = record.published else { return Ok(()) };
                let to = Frontier { closed: record.closed, ..Frontier::at(published) };
                engine.resume(&definition.fingerprint, to)
            })?;
            self.watermarks.resume(index, record.published.unwrap_or(i64::MIN));
        }
        Ok(())
    }

    async fn record_of(&self, fingerprint: &str) -> Result<DefinitionRecord, PipelineError> {
        Ok(DefinitionRecord {
            published: self.lake.kpi_transaction(&format!("{PUBLISHED}{fingerprint}")).await?,
            closed: self.lake.kpi_transaction(&format!("{CLOSED}{fingerprint}")).await?,
            backfill: self.lake.kpi_transaction(&format!("{BACKFILL}{fingerprint}")).await?,
            near_limit: self.lake.kpi_transaction(&format!("{NEAR_LIMIT}{fingerprint}")).await?.is_some(),
        })
    }

    /// Takes the revisions of rows from the lake that the engine does not know.
    async fn restore_revisions(&mut self, known: Known) -> Result<(), PipelineError> {
        let tells = col("revision").gt(lit(1i64)).or(col("status").eq(lit(Status::Incomplete.as_str())));
        let wanted = match known.until {
            None => tells,
            Some(until) => {
                let new = known.not_of.iter().map(|fingerprint| lit(&**fingerprint)).collect();
                let of_new = col("fingerprint").in_list(new, false).and(tells);
                col("computed_at").gt(late::time(until)).or(of_new)
            }
        };
        let mut stream = self.lake.read_kpis(wanted).await?;
        while let Some(batch) = stream.try_next().await? {
            self.shared.with(|engine| restore(engine, &batch));
        }
        Ok(())
    }
}

/// Which rows of the lake an engine knows.
#[derive(Default)]
struct Known {
    /// Those computed up to here, µs; `None`: none.
    until: Option<i64>,
    /// Fingerprints of definitions whose rows it does not know.
    not_of: Vec<Arc<str>>,
}

/// Restores what a first, complete row does not say by itself.
fn restore(engine: &mut Engine, rows: &RecordBatch) {
    let text = |name: &str| rows[name].as_string::<i32>().clone();
    let (fingerprint, window, set) = (text("fingerprint"), text("window_name"), text("grouping_set"));
    let status = text("status");
    let revision = rows["revision"].as_primitive::<Int64Type>();
    let end = rows["window_end"].as_primitive::<TimestampMicrosecondType>();
    let is_incomplete = |row: usize| status.value(row) == Status::Incomplete.as_str();
    for row in 0..rows.num_rows() {
        let names = set.value(row).split(',').filter(|name| !name.is_empty());
        let columns: Vec<_> =
            names.filter_map(|name| rows.column_by_name(name)).map(|c| c.as_string::<i32>().clone()).collect();
        engine.restore_revision(&RowKey {
            fingerprint: fingerprint.value(row),
            window: window.value(row),
            grouping_set: set.value(row),
            values: columns.iter().map(|c| if c.is_valid(row) { c.value(row) } else { "" }).collect(),
            end: end.value(row),
            revision: u32::try_from(revision.value(row)).unwrap_or(u32::MAX),
            incomplete: is_incomplete(row),
        });
    }
}
