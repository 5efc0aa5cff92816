//! One Delta table: opening, and the commit that builds on exactly one snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, StringArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use deltalake_core::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties, TableReference};
use deltalake_core::kernel::{Action, StructType, Transaction};
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::parquet::basic::{Compression, ZstdLevel};
use deltalake_core::parquet::file::properties::WriterProperties;
use deltalake_core::parquet::schema::types::ColumnPath;
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::writer::{DeltaWriter, RecordBatchWriter};
use deltalake_core::{DeltaTable, DeltaTableBuilder};
use object_store::ObjectStore;
use tokio::sync::Mutex;
use url::Url;

use crate::error::{CommitError, LakeError};
use crate::failpoints::reach;
use crate::position::{Positions, position_id};

/// Commits are tried again this often when others come first.
const ATTEMPTS_MAX: usize = 50;
/// Months of events whose files are written at once.
const MONTHS_OPEN_MAX: usize = 64;
/// Version of the lake's layout.
pub(crate) const FORMAT_VERSION: u32 = 1;
const FORMAT_PROPERTY: &str = "satisflow.lakeFormatVersion";
const COMMIT_ID: &str = "satisflow.commitId";

/// How a table is created.
pub(crate) struct TableSpec {
    pub(crate) name: &'static str,
    pub(crate) schema: SchemaRef,
    pub(crate) partition_by: &'static [&'static str],
    /// Columns of which files keep minimum and maximum; empty: the first 32.
    pub(crate) stats_columns: &'static str,
    /// Columns whose values hardly repeat.
    pub(crate) plain_columns: &'static [&'static str],
}

#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    plain_columns: &'static [&'static str],
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    table: DeltaTable,
    /// The commit tried last, and the version it was first tried after: if its
    /// reply was lost, it is found behind that.
    tried: Option<(String, u64)>,
}

/// How a table is reached.
pub(crate) struct Access {
    pub(crate) read_only: bool,
    pub(crate) store: Option<Arc<dyn ObjectStore>>,
}

/// What a commit is made of.
pub(crate) struct Commit {
    pub(crate) id: String,
    pub(crate) batches: Vec<RecordBatch>,
    pub(crate) transactions: BTreeMap<String, i64>,
    pub(crate) guard: Guard,
}

/// What must hold in the snapshot that a commit builds on.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    /// A partition stands where its rows start, or was never committed.
    pub(crate) positions: Positions,
    /// A transaction has this value.
    pub(crate) transactions: BTreeMap<String, Option<i64>>,
}

/// What became of a commit that builds on exactly one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaced {
    /// It is this version.
    Committed(u64),
    /// Others have committed since; what they added has to be looked at first.
    Overtaken,
    /// A file is no longer there: compaction or another replay has rewritten it.
    Gone,
}

impl Table {
    pub(crate) async fn open(url: &Url, spec: &TableSpec, access: &Access) -> Result<Table, LakeError> {
        let place = |message: String| LakeError::Place { url: url.to_string(), message };
        let mut opened = DeltaTableBuilder::from_url(url.clone()).map_err(|e| place(e.to_string()))?;
        if let Some(store) = &access.store {
            opened = opened.with_storage_backend(Arc::clone(store), url.clone());
        }
        let mut table = opened.build().map_err(|e| place(e.to_string()))?;
        let exists = table.verify_deltatable_existence().await.map_err(|e| place(e.to_string()))?;
        if !exists && access.read_only {
            return Err(LakeError::Missing { url: url.to_string() });
        }
        if !exists {
            create(&table, spec).await.map_err(|e| place(e.to_string()))?;
        }
        table.update_state().await.map_err(LakeError::delta(spec.name))?;
        check_format(&table, url, spec.name)?;
        Ok(Table {
            name: spec.name,
            plain_columns: spec.plain_columns,
            state: Mutex::new(State { table, tried: None }),
        })
    }

    /// The newest state, as a value of its own.
    pub(crate) async fn refreshed(&self) -> Result<DeltaTable, LakeError> {
        let mut state = self.state.lock().await;
        state.table.update_state().await.map_err(LakeError::delta(self.name))?;
        Ok(state.table.clone())
    }

    /// The state of the last refresh or commit.
    pub(crate) async fn current(&self) -> DeltaTable {
        self.state.lock().await.table.clone()
    }

    /// The objects of the table's folder.
    pub(crate) async fn store(&self) -> Arc<dyn ObjectStore> {
        self.state.lock().await.table.object_store()
    }

    pub(crate) async fn transaction(&self, table: &DeltaTable, id: &str) -> Result<Option<i64>, LakeError> {
        transaction(self.name, table, id).await
    }

    /// Adds nullable columns that the schema has and the table lacks.
    pub(crate) async fn add_columns(&self, schema: &SchemaRef) -> Result<(), LakeError> {
        let table = &mut self.state.lock().await.table;
        let existing = table.snapshot().map_err(LakeError::delta(self.name))?.snapshot().arrow_schema();
        let mut missing = Vec::new();
        for field in schema.fields() {
            match existing.field_with_name(field.name()) {
                Ok(found) if found.data_type() == field.data_type() => {}
                Ok(found) => {
                    return Err(LakeError::ColumnType {
                        table: self.name,
                        column: field.name().clone(),
                        found: found.data_type().to_string(),
                        wanted: field.data_type().to_string(),
                    });
                }
                Err(_) => missing.push(field.as_ref().clone().with_nullable(true)),
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let fields: StructType = (&arrow::datatypes::Schema::new(missing))
            .try_into_kernel()
            .map_err(|e: arrow::error::ArrowError| LakeError::Read { table: self.name, message: e.to_string() })?;
        let added = table.clone().add_columns().with_fields(fields.fields().cloned().collect::<Vec<_>>());
        *table = added.await.map_err(LakeError::delta(self.name))?;
        Ok(())
    }

    /// Commits as the successor of a snapshot in which the guard holds; gives
    /// the new version. The same commit again finds itself, if it went through.
    pub(crate) async fn commit(&self, commit: Commit) -> Result<(u64, DeltaTable), CommitError> {
        let State { table, tried } = &mut *self.state.lock().await;
        let again = tried.as_ref().filter(|(id, _)| *id == commit.id).map(|(_, version)| *version);
        let started = again.unwrap_or(table.version().unwrap_or(0));
        *tried = Some((commit.id.clone(), started));
        table.update_state().await.map_err(LakeError::delta(self.name))?;
        if again.is_some()
            && let Some(version) = self.find(table, started, &commit.id).await?
        {
            return Ok((version, table.clone()));
        }
        self.check(table, &commit.guard).await?;
        reach(self.name, "before-parquet");
        let actions = self.write_files(table, &commit.batches).await.map_err(LakeError::delta(self.name))?;
        reach(self.name, "after-parquet");
        for _ in 0..ATTEMPTS_MAX {
            let base = table.version().unwrap_or(0);
            let transactions = commit.transactions.clone();
            let id = &commit.id;
            let written = try_commit(self.name, table, id, transactions, append(), actions.clone()).await;
            table.update_state().await.map_err(LakeError::delta(self.name))?;
            match written {
                Ok(()) => return Ok((base + 1, table.clone())),
                Err(error) => {
                    if let Some(version) = self.find(table, started, &commit.id).await? {
                        return Ok((version, table.clone()));
                    }
                    if table.version().unwrap_or(0) == base {
                        return Err(LakeError::delta(self.name)(error).into());
                    }
                    self.check(table, &commit.guard).await?;
                }
            }
        }
        Err(CommitError::Busy { attempts: ATTEMPTS_MAX })
    }

    /// Commits actions that remove files, as the successor of exactly the version `base`.
    pub(crate) async fn replace(
        &self,
        id: &str,
        actions: &[Action],
        removed: &BTreeSet<String>,
        base: u64,
        operation: DeltaOperation,
    ) -> Result<Replaced, CommitError> {
        let State { table, .. } = &mut *self.state.lock().await;
        table.update_state().await.map_err(LakeError::delta(self.name))?;
        if table.version() != Some(base) {
            return Ok(Replaced::Overtaken);
        }
        let snapshot = table.snapshot().map_err(LakeError::delta(self.name))?;
        let present = snapshot.log_data().iter().filter(|file| removed.contains(&*file.path())).count();
        if present != removed.len() {
            return Ok(Replaced::Gone);
        }
        let written = try_commit(self.name, table, id, BTreeMap::new(), operation, actions.to_vec()).await;
        table.update_state().await.map_err(LakeError::delta(self.name))?;
        let Err(error) = written else { return Ok(Replaced::Committed(base + 1)) };
        match self.find(table, base, id).await? {
            Some(version) => Ok(Replaced::Committed(version)),
            None if table.version() != Some(base) => Ok(Replaced::Overtaken),
            None => Err(LakeError::delta(self.name)(error).into()),
        }
    }

    /// Writes rows to files that no version refers to yet.
    pub(crate) async fn write(&self, batches: &[RecordBatch]) -> Result<Vec<Action>, LakeError> {
        let table = self.current().await;
        self.write_files(&table, batches).await.map_err(LakeError::delta(self.name))
    }

    async fn check(&self, state: &DeltaTable, guard: &Guard) -> Result<(), CommitError> {
        for ((topic, partition), expected) in &guard.positions {
            let found = self.transaction(state, &position_id(topic, *partition)).await?;
            if found.is_some_and(|found| found != *expected) {
                let (topic, partition, expected) = (topic.clone(), *partition, *expected);
                return Err(CommitError::PositionMoved { topic, partition, expected, found });
            }
        }
        for (id, expected) in &guard.transactions {
            let found = self.transaction(state, id).await?;
            if found != *expected {
                return Err(CommitError::Fenced { id: id.clone(), expected: *expected, found });
            }
        }
        Ok(())
    }

    /// The version that carries a commit id, among those after `from`.
    async fn find(&self, table: &DeltaTable, from: u64, id: &str) -> Result<Option<u64>, LakeError> {
        let newest = table.version().unwrap_or(0);
        for version in from + 1..=newest {
            let entry = table.log_store().read_commit_entry(version).await.map_err(LakeError::delta(self.name))?;
            if entry.is_some_and(|bytes| commit_id(&bytes).as_deref() == Some(id)) {
                return Ok(Some(version));
            }
        }
        Ok(None)
    }

    async fn write_files(
        &self,
        table: &DeltaTable,
        batches: &[RecordBatch],
    ) -> Result<Vec<Action>, deltalake_core::DeltaTableError> {
        let mut writer = RecordBatchWriter::for_table(table)?.with_writer_properties(self.properties());
        let schema = table.snapshot()?.snapshot().arrow_schema();
        let mut actions = Vec::new();
        for round in rounds(batches)? {
            for batch in round.iter().filter(|batch| batch.num_rows() > 0) {
                writer.write(widened(batch, &schema)?).await?;
            }
            actions.extend(writer.flush().await?.into_iter().map(Action::Add));
        }
        Ok(actions)
    }

    pub(crate) fn properties(&self) -> WriterProperties {
        let level = ZstdLevel::try_new(1).unwrap_or_default();
        let builder = WriterProperties::builder().set_compression(Compression::ZSTD(level));
        let plain = |builder: deltalake_core::parquet::file::properties::WriterPropertiesBuilder, name: &&str| {
            builder.set_column_dictionary_enabled(ColumnPath::from(*name), false)
        };
        self.plain_columns.iter().fold(builder, plain).build()
    }
}

/// An application transaction in one state of a table.
pub(crate) async fn transaction(name: &'static str, table: &DeltaTable, id: &str) -> Result<Option<i64>, LakeError> {
    let snapshot = table.snapshot().map_err(LakeError::delta(name))?;
    let found = snapshot.snapshot().transaction_version(table.log_store().as_ref(), id).await;
    found.map_err(LakeError::delta(name))
}

/// The batches in rounds of few months each, so that few files are open at once.
fn rounds(batches: &[RecordBatch]) -> Result<Vec<Vec<RecordBatch>>, ArrowError> {
    let months: BTreeSet<&str> = batches.iter().filter_map(months).flat_map(|column| column.iter().flatten()).collect();
    if months.len() <= MONTHS_OPEN_MAX {
        return Ok(vec![batches.to_vec()]);
    }
    let months: Vec<&str> = months.into_iter().collect();
    let round = |some: &[&str]| batches.iter().map(|batch| of_months(batch, some)).collect();
    months.chunks(MONTHS_OPEN_MAX).map(round).collect()
}

fn months(batch: &RecordBatch) -> Option<&StringArray> {
    batch.column_by_name("event_month").and_then(|column| column.as_string_opt::<i32>())
}

fn of_months(batch: &RecordBatch, some: &[&str]) -> Result<RecordBatch, ArrowError> {
    let is_in = |row: usize| months(batch).is_some_and(|month| some.contains(&month.value(row)));
    filter_record_batch(batch, &(0..batch.num_rows()).map(|row| Some(is_in(row))).collect())
}

/// The id that a log entry carries.
fn commit_id(entry: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(entry).ok()?;
    let id = |line: &str| {
        let action: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(action.get("commitInfo")?.get(COMMIT_ID)?.as_str()?.to_owned())
    };
    text.lines().find_map(id)
}

/// The batch with NULL in columns that only the table has (dimensions of other catalogs).
fn widened(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, arrow::error::ArrowError> {
    let columns = schema
        .fields()
        .iter()
        .map(|field| match batch.column_by_name(field.name()) {
            Some(column) => column.clone(),
            None => arrow::array::new_null_array(field.data_type(), batch.num_rows()),
        })
        .collect();
    RecordBatch::try_new(SchemaRef::clone(schema), columns)
}

async fn create(table: &DeltaTable, spec: &TableSpec) -> Result<(), deltalake_core::DeltaTableError> {
    let schema: StructType = spec.schema.as_ref().try_into_kernel()?;
    let version = FORMAT_VERSION.to_string();
    let mut configuration = vec![
        (FORMAT_PROPERTY.to_owned(), Some(version)),
        ("delta.logRetentionDuration".to_owned(), Some("interval 30 days".to_owned())),
    ];
    if !spec.stats_columns.is_empty() {
        configuration.push(("delta.dataSkippingStatsColumns".to_owned(), Some(spec.stats_columns.to_owned())));
    }
    let created = CreateBuilder::new()
        .with_log_store(table.log_store())
        .with_columns(schema.fields().cloned())
        .with_partition_columns(spec.partition_by.iter().copied())
        .with_configuration(configuration)
        .with_raise_if_key_not_exists(false)
        .with_save_mode(SaveMode::Ignore)
        .await;
    match created {
        Ok(_) => Ok(()),
        // Another process may have created it at the same moment.
        Err(error) => match table.verify_deltatable_existence().await {
            Ok(true) => Ok(()),
            _ => Err(error),
        },
    }
}

fn check_format(table: &DeltaTable, url: &Url, name: &'static str) -> Result<(), LakeError> {
    let snapshot = table.snapshot().map_err(LakeError::delta(name))?;
    let Some(found) = snapshot.metadata().configuration().get(FORMAT_PROPERTY).cloned() else {
        return Err(LakeError::Foreign { url: url.to_string() });
    };
    match found.parse::<u32>() {
        Ok(version) if version <= FORMAT_VERSION => Ok(()),
        _ => Err(LakeError::NewerFormat { url: url.to_string(), found, known: FORMAT_VERSION }),
    }
}

fn append() -> DeltaOperation {
    DeltaOperation::Write { mode: SaveMode::Append, partition_by: None, predicate: None }
}

async fn try_commit(
    name: &str,
    table: &DeltaTable,
    id: &str,
    transactions: BTreeMap<String, i64>,
    operation: DeltaOperation,
    actions: Vec<Action>,
) -> Result<(), deltalake_core::DeltaTableError> {
    let transactions = transactions.into_iter().map(|(id, value)| Transaction::new(id, value)).collect();
    let metadata = [(COMMIT_ID.to_owned(), serde_json::Value::String(id.to_owned()))];
    // No retries inside: the commit is the successor of this very snapshot, or fails.
    let properties = CommitProperties::default()
        .with_metadata(metadata)
        .with_application_transactions(transactions)
        .with_max_retries(0)
        .with_create_checkpoint(false)
        .with_cleanup_expired_logs(Some(false));
    let snapshot = table.snapshot()?;
    let prepared = CommitBuilder::from(properties).with_actions(actions).build(
        Some(snapshot as &dyn TableReference),
        table.log_store(),
        operation,
    );
    let prepared = prepared.into_prepared_commit_future().await?;
    reach(name, "before-log-entry");
    prepared.await?;
    reach(name, "after-log-entry");
    Ok(())
}
