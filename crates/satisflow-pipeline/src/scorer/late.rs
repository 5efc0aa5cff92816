//! Late changes whose panes are gone: restated from the rows in the lake.

use std::time::Instant;

use datafusion::logical_expr::Expr;
use datafusion::prelude::{col, lit};
use datafusion::scalar::ScalarValue;
use futures::TryStreamExt;
use satisflow_kpi::{Frontier, KpiRow, PublishedRange};

use super::{DefinitionRecord, Scorer};
use crate::error::PipelineError;

impl Scorer {
    /// Rows of published ends that have changed since their panes went.
    pub(super) async fn restate_late(&mut self) -> Result<Vec<KpiRow>, PipelineError> {
        let ranges = self.shared.with(|engine| engine.expired_ranges());
        let Some(condition) = ranges.iter().map(is_in).reduce(Expr::or) else { return Ok(Vec::new()) };
        let columns = self.shared.with(|engine| engine.columns_of_published());
        let columns: Vec<&str> = columns.iter().map(|name| &**name).collect();
        let mut stream = self.lake.read_kpi_columns(condition, &columns).await?;
        // Of each batch what late events touch, so that a long history is never held.
        let mut published = self.shared.with(|engine| engine.touched_rows());
        while let Some(batch) = stream.try_next().await? {
            self.shared.with(|engine| engine.note_published(&batch, &mut published));
            self.renew().await?;
        }
        let rows = self.shared.with(|engine| engine.restate_noted(published))?;
        tracing::debug!(ranges = ranges.len(), rows = rows.len(), "late events restate rows of the lake");
        self.metrics.late_ranges.inc_by(ranges.len() as u64);
        Ok(rows)
    }

    /// Restates what waits, if it is more than may wait: scoring goes on with
    /// little in memory, however many late events there are at once.
    pub(super) async fn bound_late(&mut self, clock: i64) -> Result<(), PipelineError> {
        let waiting = self.show_waiting();
        if waiting <= self.memory.waiting_changes {
            return Ok(());
        }
        tracing::info!(waiting, "many late changes: they are restated before more is scored");
        let mut rows = self.restate_late().await?;
        let standing = self.standing(clock);
        rows.extend(self.shared.with(|engine| engine.advance(&standing))?);
        if !rows.is_empty() {
            self.write(&rows, self.records.clone(), clock).await?;
        }
        self.show_waiting();
        Ok(())
    }

    /// Where each definition's published rows stop.
    fn standing(&mut self, clock: i64) -> Vec<Frontier> {
        let frontiers = self.watermarks.frontiers(Instant::now(), clock);
        let stands = |(frontier, record): (Frontier, &DefinitionRecord)| Frontier {
            watermark: record.published.unwrap_or(i64::MIN),
            closed: record.closed,
            ..frontier
        };
        frontiers.into_iter().zip(&self.records).map(stands).collect()
    }

    pub(super) fn show_waiting(&self) -> usize {
        let waiting = self.shared.with(|engine| engine.waiting_changes());
        self.metrics.waiting_changes.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        waiting
    }

    /// Drops the panes that nothing but late events would touch.
    pub(super) fn forget(&self) -> Result<(), PipelineError> {
        let memory = self.memory;
        Ok(self.shared.with(|engine| engine.expire(memory.late_panes, memory.late_micros))?)
    }
}

/// A time of the table `kpis`, µs.
pub(super) fn time(micros: i64) -> Expr {
    lit(ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into())))
}

fn is_in(range: &PublishedRange) -> Expr {
    let series = col("fingerprint").eq(lit(&*range.fingerprint)).and(col("window_name").eq(lit(&*range.window)));
    let here = series.and(col("grouping_set").eq(lit(range.grouping_set.as_str())));
    let until = here.and(col("window_end").lt_eq(time(range.to)));
    match range.after {
        Some(after) => until.and(col("window_end").gt(time(after))),
        None => until,
    }
}
