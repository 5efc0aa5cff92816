//! Late changes whose panes are gone: restated from the rows in the lake.

use arrow::array::RecordBatch;
use datafusion::logical_expr::Expr;
use datafusion::prelude::{col, lit};
use datafusion::scalar::ScalarValue;
use futures::TryStreamExt;
use satisflow_kpi::{KpiRow, PublishedRange};

use super::Scorer;
use crate::error::PipelineError;

impl Scorer {
    /// Rows of published ends that have changed since their panes went.
    pub(super) async fn restate_late(&mut self) -> Result<Vec<KpiRow>, PipelineError> {
        let ranges = self.shared.with(|engine| engine.expired_ranges());
        let Some(condition) = ranges.iter().map(is_in).reduce(Expr::or) else { return Ok(Vec::new()) };
        let published: Vec<RecordBatch> = self.lake.read_kpis(condition).await?.try_collect().await?;
        let rows = self.shared.with(|engine| engine.restate_expired(&published))?;
        tracing::debug!(ranges = ranges.len(), rows = rows.len(), "late events restate rows of the lake");
        self.metrics.late_ranges.inc_by(ranges.len() as u64);
        Ok(rows)
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
