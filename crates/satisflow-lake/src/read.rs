//! Reading back: whole tables at a version, the rows of one commit, single rows.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{Int64Type, SchemaRef, TimestampMicrosecondType};
use datafusion::catalog::TableProvider;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::prelude::{SessionConfig, SessionContext, col, lit};
use deltalake_core::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use deltalake_core::{DeltaTable, Path};
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use serde_json::Value;

use crate::error::LakeError;
use crate::lake::Lake;
use crate::live::provider;
use crate::table::{Table, transaction};

/// How far before a position its last record is looked for: markers of
/// transactions lie between.
const LOOK_BACK_OFFSETS: i64 = 1000;
/// What decides which of all events count.
const ARRIVALS: [&str; 7] = ["source", "event_id", "retracts", "supersedes", "topic", "partition", "offset"];
/// What decides about a duplicate.
const IDS: [&str; 4] = ["source", "event_id", "content_hash", "offset"];

/// A session that reads plain Arrow types.
pub(crate) fn session() -> SessionContext {
    let config = SessionConfig::new().set_bool("datafusion.execution.parquet.schema_force_view_types", false);
    SessionContext::new_with_config(config)
}

impl Lake {
    /// Accepted events at a version of `records`, in no order.
    ///
    /// # Errors
    /// When the version is not to be had or its files can't be read.
    pub async fn read_accepted(&self, version: u64) -> Result<SendableRecordBatchStream, LakeError> {
        let table = at_version(&self.records, version).await?;
        read(&table, "records", Some(accepted()), &[]).await
    }

    /// `source`, `event_id`, `content_hash` and `offset` of a partition's accepted
    /// events, in no order.
    ///
    /// # Errors
    /// When files can't be read.
    pub async fn accepted_ids(&self, topic: &str, partition: i32) -> Result<SendableRecordBatchStream, LakeError> {
        let table = self.records.refreshed().await?;
        read(&table, "records", Some(accepted_of(topic, partition)), &IDS).await
    }

    /// Those of [`Lake::accepted_ids`] that have one of some event ids, of whatever
    /// source.
    ///
    /// # Errors
    /// When files can't be read.
    pub async fn accepted_with_ids(
        &self,
        topic: &str,
        partition: i32,
        event_ids: &[String],
    ) -> Result<SendableRecordBatchStream, LakeError> {
        let table = self.records.refreshed().await?;
        let asked = event_ids.iter().map(|id| lit(id.as_str())).collect();
        let filter = accepted_of(topic, partition).and(col("event_id").in_list(asked, false));
        read(&table, "records", Some(filter), &IDS).await
    }

    /// `source` and `event_id` of every accepted event at a version.
    ///
    /// # Errors
    /// As for [`Lake::read_accepted`].
    pub async fn all_accepted_ids(&self, version: u64) -> Result<SendableRecordBatchStream, LakeError> {
        let table = at_version(&self.records, version).await?;
        read(&table, "records", Some(accepted()), &["source", "event_id"]).await
    }

    /// `source`, `event_id`, `retracts`, `supersedes` and the position of every
    /// accepted event at a version, in no order.
    ///
    /// # Errors
    /// As for [`Lake::read_accepted`].
    pub async fn arrivals(&self, version: u64) -> Result<SendableRecordBatchStream, LakeError> {
        let table = at_version(&self.records, version).await?;
        read(&table, "records", Some(accepted()), &ARRIVALS).await
    }

    /// Those of [`Lake::arrivals`] that bear or name one of some event ids, of
    /// whatever source.
    ///
    /// # Errors
    /// As for [`Lake::read_accepted`].
    pub async fn arrivals_of(
        &self,
        version: u64,
        event_ids: &[String],
    ) -> Result<SendableRecordBatchStream, LakeError> {
        let table = at_version(&self.records, version).await?;
        let asked = |column| col(column).in_list(event_ids.iter().map(|id| lit(id.as_str())).collect(), false);
        let filter = accepted().and(asked("event_id").or(asked("retracts")).or(asked("supersedes")));
        read(&table, "records", Some(filter), &ARRIVALS).await
    }

    /// Accepted events at exact positions (topic, partition, offset) at a version.
    ///
    /// # Errors
    /// As for [`Lake::read_accepted`].
    pub async fn records_at(
        &self,
        version: u64,
        positions: &[(String, i32, i64)],
    ) -> Result<Vec<RecordBatch>, LakeError> {
        let mut by_partition: std::collections::BTreeMap<(&str, i32), Vec<Expr>> = Default::default();
        for (topic, partition, offset) in positions {
            by_partition.entry((topic, *partition)).or_default().push(lit(*offset));
        }
        let table = at_version(&self.records, version).await?;
        let mut found = Vec::new();
        for ((topic, partition), offsets) in by_partition {
            let here = col("topic").eq(lit(topic)).and(col("partition").eq(lit(partition)));
            let filter = accepted().and(here).and(col("offset").in_list(offsets, false));
            let rows: Vec<RecordBatch> = read(&table, "records", Some(filter), &[])
                .await?
                .try_collect()
                .await
                .map_err(LakeError::read("records"))?;
            found.extend(rows.into_iter().filter(|batch| batch.num_rows() > 0));
        }
        Ok(found)
    }

    /// Offset and Kafka's time (µs) of the last record of a partition before a
    /// position, if it is not far before it and has a time.
    ///
    /// # Errors
    /// As for [`Lake::read_accepted`].
    pub async fn last_record(
        &self,
        topic: &str,
        partition: i32,
        position: i64,
    ) -> Result<Option<(i64, i64)>, LakeError> {
        let table = self.records.refreshed().await?;
        let of = col("topic").eq(lit(topic)).and(col("partition").eq(lit(partition)));
        let near = col("offset").gt_eq(lit(position - LOOK_BACK_OFFSETS)).and(col("offset").lt(lit(position)));
        let filter = of.and(near).and(col("kafka_time").is_not_null());
        let rows = read(&table, "records", Some(filter), &["offset", "kafka_time"]).await?;
        let rows: Vec<RecordBatch> = rows.try_collect().await.map_err(LakeError::read("records"))?;
        let all = rows.iter().flat_map(|batch| {
            let offsets = batch.column(0).as_primitive::<Int64Type>().values();
            let times = batch.column(1).as_primitive::<TimestampMicrosecondType>().values();
            offsets.iter().copied().zip(times.iter().copied())
        });
        Ok(all.max())
    }

    /// `event_id` and `raw` of the record at a position, of whatever outcome; empty when there is none.
    ///
    /// # Errors
    /// When files can't be read.
    pub async fn record_at(&self, topic: &str, partition: i32, offset: i64) -> Result<Vec<RecordBatch>, LakeError> {
        let table = self.records.refreshed().await?;
        let here = col("topic").eq(lit(topic)).and(col("partition").eq(lit(partition)));
        let rows = read(&table, "records", Some(here.and(col("offset").eq(lit(offset)))), &["event_id", "raw"]).await?;
        let rows: Vec<RecordBatch> = rows.try_collect().await.map_err(LakeError::read("records"))?;
        Ok(rows.into_iter().filter(|batch| batch.num_rows() > 0).collect())
    }

    /// Rows of `kpis` in the newest state that meet a condition.
    ///
    /// # Errors
    /// As for [`Lake::read_accepted`].
    pub async fn read_kpis(&self, condition: Expr) -> Result<SendableRecordBatchStream, LakeError> {
        read(&self.kpis.refreshed().await?, "kpis", Some(condition), &[]).await
    }

    /// Some columns of [`Lake::read_kpis`].
    ///
    /// # Errors
    /// As for [`Lake::read_accepted`].
    pub async fn read_kpi_columns(
        &self,
        condition: Expr,
        columns: &[&str],
    ) -> Result<SendableRecordBatchStream, LakeError> {
        read(&self.kpis.refreshed().await?, "kpis", Some(condition), columns).await
    }

    /// `kpis` at its newest version, to read rows and transactions that belong together.
    ///
    /// # Errors
    /// When the log can't be read.
    pub async fn view(&self) -> Result<LakeView, LakeError> {
        Ok(LakeView { kpis: self.kpis.refreshed().await? })
    }

    /// Accepted events that the commit of `version` has added; none if it only
    /// rewrote files.
    ///
    /// # Errors
    /// When the log or a file can't be read, [`LakeError::EntryGone`] and [`LakeError::FileGone`] included.
    pub async fn accepted_in(&self, version: u64) -> Result<Vec<RecordBatch>, LakeError> {
        let table = self.records.current().await;
        let schema = table.snapshot().map_err(LakeError::delta("records"))?.snapshot().arrow_schema();
        let entry = table.log_store().read_commit_entry(version).await.map_err(LakeError::delta("records"))?;
        let entry = entry.ok_or(LakeError::EntryGone { table: "records", version })?;
        let mut batches = Vec::new();
        for add in added_files(&entry) {
            if add.outcome == "accepted" {
                batches.extend(add.read(&table, &schema).await?);
            }
        }
        Ok(batches)
    }
}

/// One version of `kpis`: its rows, and what its transactions say of them.
#[derive(Debug)]
pub struct LakeView {
    kpis: DeltaTable,
}

impl LakeView {
    /// A transaction of `kpis`.
    ///
    /// # Errors
    /// When the log can't be read.
    pub async fn kpi_transaction(&self, id: &str) -> Result<Option<i64>, LakeError> {
        transaction("kpis", &self.kpis, id).await
    }

    /// Tables of a session: `records` at a version, and `kpis`.
    ///
    /// # Errors
    /// As for [`Lake::read_accepted`].
    pub async fn tables_at(
        &self,
        lake: &Lake,
        version: u64,
    ) -> Result<(Arc<dyn TableProvider>, Arc<dyn TableProvider>), LakeError> {
        let records = at_version(&lake.records, version).await?;
        Ok((Arc::new(Pinned::new("records", records)?), Arc::new(Pinned::new("kpis", self.kpis.clone())?)))
    }
}

fn accepted() -> Expr {
    col("outcome").eq(lit("accepted"))
}

fn accepted_of(topic: &str, partition: i32) -> Expr {
    accepted().and(col("topic").eq(lit(topic))).and(col("partition").eq(lit(partition)))
}

async fn at_version(table: &Table, version: u64) -> Result<DeltaTable, LakeError> {
    let mut state = table.refreshed().await?;
    if state.version() != Some(version) {
        state.load_version(version).await.map_err(LakeError::delta(table.name))?;
    }
    Ok(state)
}

pub(crate) async fn read(
    table: &DeltaTable,
    name: &'static str,
    filter: Option<Expr>,
    columns: &[&str],
) -> Result<SendableRecordBatchStream, LakeError> {
    let context = session();
    table.update_datafusion_session(&context.state()).map_err(LakeError::delta(name))?;
    let mut frame = context.read_table(provider(name, table)?).map_err(LakeError::read(name))?;
    if let Some(filter) = filter {
        frame = frame.filter(filter).map_err(LakeError::read(name))?;
    }
    if !columns.is_empty() {
        frame = frame.select_columns(columns).map_err(LakeError::read(name))?;
    }
    frame.execute_stream().await.map_err(LakeError::read(name))
}

/// A provider of one version that registers what it reads from by itself.
#[derive(Debug)]
struct Pinned {
    table: DeltaTable,
    inner: Arc<dyn TableProvider>,
}

impl Pinned {
    fn new(name: &'static str, table: DeltaTable) -> Result<Pinned, LakeError> {
        Ok(Pinned { inner: provider(name, &table)?, table })
    }
}

#[async_trait::async_trait]
impl TableProvider for Pinned {
    fn schema(&self) -> SchemaRef {
        self.inner.schema()
    }

    fn table_type(&self) -> datafusion::logical_expr::TableType {
        self.inner.table_type()
    }

    async fn scan(
        &self,
        session: &dyn datafusion::catalog::Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> datafusion::common::Result<Arc<dyn datafusion::physical_plan::ExecutionPlan>> {
        self.table.update_datafusion_session(session)?;
        self.inner.scan(session, projection, filters, limit).await
    }
}

/// A file of `records`.
#[derive(Debug, Clone)]
pub(crate) struct DataFile {
    pub(crate) path: String,
    pub(crate) outcome: String,
    pub(crate) event_month: String,
}

/// Files that a commit has added as new data.
fn added_files(entry: &[u8]) -> Vec<DataFile> {
    let text = String::from_utf8_lossy(entry);
    let file = |line: &str| {
        let action: Value = serde_json::from_str(line).ok()?;
        let add = action.get("add")?;
        let partition = |name: &str| Some(add.get("partitionValues")?.get(name)?.as_str()?.to_owned());
        add.get("dataChange")?.as_bool()?.then_some(())?;
        Some(DataFile {
            path: add.get("path")?.as_str()?.to_owned(),
            outcome: partition("outcome")?,
            event_month: partition("event_month")?,
        })
    };
    text.lines().filter_map(file).collect()
}

impl DataFile {
    pub(crate) async fn read(&self, table: &DeltaTable, schema: &SchemaRef) -> Result<Vec<RecordBatch>, LakeError> {
        let path = Path::from_url_path(&self.path).map_err(LakeError::read("records"))?;
        let got = table.object_store().get(&path).await.map_err(|error| match error {
            object_store::Error::NotFound { .. } => LakeError::FileGone { table: "records", file: self.path.clone() },
            error => LakeError::read("records")(error),
        })?;
        let bytes = got.bytes().await.map_err(LakeError::read("records"))?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(LakeError::read("records"))?;
        let reader = reader.build().map_err(LakeError::read("records"))?;
        reader.map(|batch| self.with_partitions(&batch.map_err(LakeError::read("records"))?, schema)).collect()
    }

    fn with_partitions(&self, batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, LakeError> {
        let constant = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; batch.num_rows()])) };
        let columns = schema.fields().iter().map(|field| match field.name().as_str() {
            "outcome" => Ok(constant(&self.outcome)),
            "event_month" => Ok(constant(&self.event_month)),
            name => match batch.column_by_name(name) {
                Some(column) => arrow::compute::cast(column, field.data_type()),
                None => Ok(arrow::array::new_null_array(field.data_type(), batch.num_rows())),
            },
        });
        let columns = columns.collect::<Result<Vec<_>, _>>().map_err(LakeError::read("records"))?;
        RecordBatch::try_new(Arc::clone(schema), columns).map_err(LakeError::read("records"))
    }
}
