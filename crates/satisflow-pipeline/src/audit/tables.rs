//! What the statements of an audit read: resolved events, published rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Int64Type, SchemaRef};
use arrow::error::ArrowError;
use datafusion::catalog::MemTable;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::TryStreamExt;
use satisflow_catalog::fold_label_function;
use satisflow_lake::Lake;

use super::{Audit, Ends, Series, tested};
use crate::error::PipelineError;

/// KPI, fingerprint, window, grouping set.
type SeriesKey = [String; 4];

/// Tables of one session.
pub(super) struct Tables {
    context: SessionContext,
    kpis: SchemaRef,
    /// The published rows of each series, so that each comparison reads its own alone.
    published: BTreeMap<SeriesKey, Vec<RecordBatch>>,
    /// Number of groups of a grouping set in the resolved events.
    groups: BTreeMap<Vec<usize>, u64>,
    /// What the rows held here take of the session's memory.
    held: MemoryReservation,
}

impl Tables {
    /// Reads the events from a time on (µs; `None`: all) and the rows of the
    /// windows that end within `ends`, with at most so many bytes of memory.
    pub(super) async fn load(
        audit: &Audit,
        lake: &Lake,
        from: Option<i64>,
        ends: &Ends,
        memory_bytes_max: Option<usize>,
    ) -> Result<Tables, PipelineError> {
        let context = session(memory_bytes_max)?;
        let held = MemoryConsumer::new("audit").register(&context.runtime_env().memory_pool);
        let (records, kpis) = audit.view.tables_at(lake, audit.version).await?;
        context.register_table("records", records)?;
        let mut tables =
            Tables { kpis: kpis.schema(), context, published: BTreeMap::new(), groups: BTreeMap::new(), held };
        tables.context.register_table("kpis", kpis)?;
        let resolved = tables.collect(&resolved(from)).await?;
        tables.register("resolved", resolved)?;
        let (_, rows) = tables.collect(&format!("SELECT * FROM kpis WHERE true{}", within(ends))).await?;
        tables.published = by_series(rows)?;
        Ok(tables)
    }

    /// Runs a comparison of one series.
    pub(super) async fn compared(
        &self,
        audit: &Audit,
        series: Series<'_>,
        sql: &str,
    ) -> Result<Vec<RecordBatch>, PipelineError> {
        let set = audit.set_name(series.set);
        let key = [&*series.definition.name, &*series.definition.fingerprint, &*series.window.name, &set];
        let rows = self.published.get(&key.map(str::to_owned)).cloned().unwrap_or_default();
        self.context.deregister_table("published")?;
        self.register("published", (Arc::clone(&self.kpis), rows))?;
        Ok(self.context.sql(sql).await?.collect().await?)
    }

    /// Number of groups of a grouping set in the resolved events.
    pub(super) async fn groups(&mut self, audit: &Audit, set: &[usize]) -> Result<u64, PipelineError> {
        if let Some(known) = self.groups.get(set) {
            return Ok(*known);
        }
        let dimensions: Vec<String> = set.iter().map(|d| audit.dimension(*d)).collect();
        let listed = if dimensions.is_empty() { "1 AS one".to_owned() } else { dimensions.join(", ") };
        let mut rows = format!("SELECT {listed} FROM {}", audit.rows(false));
        if audit.catalog.reads_answers() {
            rows += &format!(" UNION SELECT {listed} FROM {}", audit.rows(true));
        }
        let sql = format!("SELECT count(*) AS groups FROM (SELECT DISTINCT * FROM ({rows}))");
        let counted = self.context.sql(&sql).await?.collect().await?;
        let count = counted.first().map(|batch| batch["groups"].as_primitive::<Int64Type>().value(0));
        let count = count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0);
        self.groups.insert(set.to_vec(), count);
        Ok(count)
    }

    fn register(&self, name: &str, (schema, rows): (SchemaRef, Vec<RecordBatch>)) -> Result<(), PipelineError> {
        self.context.register_table(name, Arc::new(MemTable::try_new(schema, vec![rows])?))?;
        Ok(())
    }

    async fn collect(&mut self, sql: &str) -> Result<(SchemaRef, Vec<RecordBatch>), PipelineError> {
        let mut stream = self.context.sql(sql).await?.execute_stream().await?;
        let mut rows = Vec::new();
        while let Some(batch) = stream.try_next().await? {
            self.held.try_grow(batch.get_array_memory_size())?;
            rows.push(batch);
        }
        Ok((stream.schema(), rows))
    }
}

/// Accepted events with what decides whether they count, from a time on (µs).
///
/// Of a part of the events, copies and retractions outside of it are not seen.
pub(super) fn resolved(from: Option<i64>) -> String {
    let since = |time: &str| from.map(|from| format!(" AND {time} >= {}", timestamp(from))).unwrap_or_default();
    format!(
        "\
SELECT e.*,
       row_number() OVER (PARTITION BY e.source, e.event_id ORDER BY e.topic, e.\"partition\", e.\"offset\") = 1
         AND v.event_id IS NULL AS counting
FROM records e
LEFT JOIN (SELECT source, retracts AS event_id FROM records
           WHERE outcome = 'accepted' AND retracts IS NOT NULL{void}
           UNION
           SELECT source, supersedes FROM records
           WHERE outcome = 'accepted' AND supersedes IS NOT NULL{void}) v
       ON v.source = e.source AND v.event_id = e.event_id
WHERE e.outcome = 'accepted'{event}",
        void = since("event_time"),
        event = since("e.event_time"),
    )
}

/// A literal that the statistics of files are compared with.
fn timestamp(micros: i64) -> String {
    format!("arrow_cast({micros}, 'Timestamp(Microsecond, Some(\"UTC\"))')")
}

/// More of a condition on the column `window_end`.
fn within(ends: &Ends) -> String {
    let since = ends.since.map(|since| format!(" AND window_end >= {}", timestamp(since)));
    let until = ends.until.map(|until| format!(" AND window_end < {}", timestamp(until)));
    since.unwrap_or_default() + &until.unwrap_or_default()
}

fn session(memory_bytes_max: Option<usize>) -> Result<SessionContext, PipelineError> {
    // Many statements over few rows: planning is what they cost, and one pass of it will do.
    let config = SessionConfig::new()
        .set_bool("datafusion.execution.parquet.schema_force_view_types", false)
        .set_usize("datafusion.optimizer.max_passes", 1)
        .with_target_partitions(1);
    let runtime = match memory_bytes_max {
        Some(bytes) => RuntimeEnvBuilder::new().with_memory_limit(bytes, 1.0),
        None => RuntimeEnvBuilder::new(),
    };
    let context = SessionContext::new_with_config_rt(config, Arc::new(runtime.build()?));
    tested::functions().into_iter().chain([fold_label_function()]).for_each(|function| context.register_udf(function));
    Ok(context)
}

fn by_series(batches: Vec<RecordBatch>) -> Result<BTreeMap<SeriesKey, Vec<RecordBatch>>, ArrowError> {
    let mut series: BTreeMap<SeriesKey, Vec<RecordBatch>> = BTreeMap::new();
    for batch in batches {
        let columns = ["kpi", "fingerprint", "window_name", "grouping_set"].map(|name| batch[name].as_string::<i32>());
        let mut rows: BTreeMap<[&str; 4], Vec<u32>> = BTreeMap::new();
        for (row, number) in (0..batch.num_rows()).zip(0u32..) {
            rows.entry(columns.map(|column| column.value(row))).or_default().push(number);
        }
        for (key, rows) in rows {
            let taken = take_record_batch(&batch, &UInt32Array::from(rows))?;
            series.entry(key.map(str::to_owned)).or_default().push(taken);
        }
    }
    Ok(series)
}
