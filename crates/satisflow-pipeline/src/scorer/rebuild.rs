//! The engine, built anew from the lake as it was last scored.

use std::time::Instant;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use datafusion::prelude::{col, lit};
use futures::TryStreamExt;
use satisflow_kpi::{Engine, Frontier, Identities, RowKey, Status};
use satisflow_lake::{BACKFILL, CLOSED, PUBLISHED, SCORE};

use super::{COMPUTED, DefinitionRecord, Memory, Role, Scorer};
use crate::error::PipelineError;

impl Scorer {
    /// Builds the engine so that it goes on exactly where the published rows stop.
    pub(super) async fn rebuild(&mut self) -> Result<(), PipelineError> {
        let started = Instant::now();
        self.shared.set(None);
        self.identities = Identities::default();
        let scored = self.lake.kpi_transaction(SCORE).await?;
        self.scored = scored.and_then(|v| u64::try_from(v).ok()).unwrap_or(0);
        self.last_computed = self.lake.kpi_transaction(COMPUTED).await?.unwrap_or(0).max(self.last_computed);
        self.shared.set(Some(Engine::new(self.catalog.plan.clone())));
        self.read_records(scored.is_some()).await?;
        self.begin()?;
        let events = self.replay_scored().await?;
        self.resume_definitions()?;
        self.restore_revisions().await?;
        self.forget()?;
        self.recorded = (self.scored, Instant::now());
        self.role = Role::Active;
        tracing::info!(events, version = self.scored, elapsed = ?started.elapsed(), "the engine is built from the lake");
        Ok(())
    }

    async fn replay_scored(&mut self) -> Result<usize, PipelineError> {
        let mut stream = self.lake.read_accepted(self.scored).await?;
        let (mut events, mut recall) = (0, Vec::new());
        while let Some(batch) = stream.try_next().await? {
            events += batch.num_rows();
            recall.extend(self.apply(&batch)?);
        }
        self.recall(self.scored, recall).await?;
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
        let published: Vec<i64> = self.records.iter().map(|record| record.published.unwrap_or(i64::MIN)).collect();
        let Memory { late_panes, late_micros } = self.memory;
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
        })
    }

    async fn restore_revisions(&mut self) -> Result<(), PipelineError> {
        let tells = col("revision").gt(lit(1i64)).or(col("status").eq(lit(Status::Incomplete.as_str())));
        let mut stream = self.lake.read_kpis(tells).await?;
        while let Some(batch) = stream.try_next().await? {
            self.shared.with(|engine| restore(engine, &batch));
        }
        Ok(())
    }
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
