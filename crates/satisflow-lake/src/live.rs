//! What SQL reads: committed rows, and those on their way.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{MemTable, Session, TableProvider};
use datafusion::common::Result as DataFusionResult;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::union::UnionExec;
use deltalake_core::DeltaTable;
use deltalake_core::delta_datafusion::{DeltaScanConfig, DeltaScanNext};
use tokio::sync::watch;

use crate::error::LakeError;

/// A snapshot of a table as a provider of plain Arrow types.
pub(crate) fn provider(name: &'static str, table: &DeltaTable) -> Result<Arc<dyn TableProvider>, LakeError> {
    let config =
        DeltaScanConfig { wrap_partition_values: false, schema_force_view_types: false, ..DeltaScanConfig::new() };
    let snapshot = table.snapshot().map_err(LakeError::delta(name))?.snapshot().clone();
    Ok(Arc::new(DeltaScanNext::new(snapshot, config).map_err(LakeError::read(name))?))
}

#[derive(Debug, Clone)]
struct State {
    table: DeltaTable,
    committed: Arc<dyn TableProvider>,
    pending: BTreeMap<String, Vec<RecordBatch>>,
    /// Commits that are in the log from this version on, and not yet in `table`.
    landed: BTreeMap<String, u64>,
}

impl State {
    fn of(name: &'static str, table: &DeltaTable) -> Result<State, LakeError> {
        let committed = provider(name, table)?;
        Ok(State { table: table.clone(), committed, pending: BTreeMap::new(), landed: BTreeMap::new() })
    }

    /// This state at a newer version; what has landed by then is no longer pending.
    fn at(&self, name: &'static str, table: &DeltaTable) -> Result<State, LakeError> {
        let version = table.version().unwrap_or(0);
        let is_in = |id: &String| self.landed.get(id).is_some_and(|landed| *landed <= version);
        let pending = self.pending.iter().filter(|(id, _)| !is_in(id)).map(|(id, rows)| (id.clone(), rows.clone()));
        let landed = self.landed.iter().filter(|(id, _)| !is_in(id)).map(|(id, at)| (id.clone(), *at));
        Ok(State { pending: pending.collect(), landed: landed.collect(), ..State::of(name, table)? })
    }
}

/// `records` with the rows that are accepted and not yet committed. A scan sees
/// one state: a row is pending or committed in it, never both, never neither.
#[derive(Debug)]
pub struct LiveRecords {
    state: RwLock<Arc<State>>,
    changes: watch::Sender<u64>,
}

impl LiveRecords {
    pub(crate) fn new(table: &DeltaTable) -> Result<LiveRecords, LakeError> {
        let state = RwLock::new(Arc::new(State::of("records", table)?));
        Ok(LiveRecords { state, changes: watch::Sender::new(0) })
    }

    /// Counts the times at which rows came or went.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change(&self, change: impl FnOnce(&State) -> Result<State, LakeError>) -> Result<(), LakeError> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        *state = Arc::new(change(&state)?);
        drop(state);
        self.changes.send_modify(|count| *count += 1);
        Ok(())
    }

    /// Shows rows under the id of the commit that will carry them.
    pub fn push_pending(&self, commit_id: &str, batch: RecordBatch) {
        let pushed = self.change(|state| {
            let mut state = state.clone();
            state.pending.entry(commit_id.to_owned()).or_default().push(batch);
            Ok(state)
        });
        debug_assert!(pushed.is_ok(), "adding rows reads nothing");
    }

    /// Takes back rows that will not be committed.
    pub fn drop_pending(&self, commit_id: &str) {
        let dropped = self.change(|state| {
            let mut state = state.clone();
            state.pending.remove(commit_id);
            Ok(state)
        });
        debug_assert!(dropped.is_ok(), "removing rows reads nothing");
    }

    /// A commit is in the log. When its version can't be shown now, its rows
    /// stay pending until a refresh shows it.
    pub(crate) fn committed(&self, commit_id: &str, table: &DeltaTable) {
        let shown = self.change(|state| {
            let mut state = state.clone();
            state.landed.insert(commit_id.to_owned(), table.version().unwrap_or(0));
            Ok(state)
        });
        if let Err(error) = shown.and_then(|()| self.refresh(table)) {
            tracing::warn!(%error, "the view of `records` stays at an older version for now");
        }
    }

    /// Never back to an older state, or a row of one's own would be in neither part.
    pub(crate) fn refresh(&self, table: &DeltaTable) -> Result<(), LakeError> {
        if table.version() <= self.state().table.version() {
            return Ok(());
        }
        self.change(|state| {
            if table.version() <= state.table.version() {
                return Ok(state.clone());
            }
            state.at("records", table)
        })
    }
}

#[async_trait]
impl TableProvider for LiveRecords {
    fn schema(&self) -> SchemaRef {
        self.state().committed.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DataFusionResult<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let state = self.state();
        state.table.update_datafusion_session(session)?;
        let committed = state.committed.scan(session, projection, filters, limit).await?;
        let batches: Vec<RecordBatch> = state.pending.values().flatten().cloned().collect();
        if batches.is_empty() {
            return Ok(committed);
        }
        let schema = state.committed.schema();
        let aligned = batches.iter().map(|batch| batch.clone().with_schema(Arc::clone(&schema)));
        let pending = MemTable::try_new(schema.clone(), vec![aligned.collect::<Result<_, _>>()?])?;
        let pending = pending.scan(session, projection, &[], None).await?;
        UnionExec::try_new(vec![committed, pending])
    }
}

/// A table at the newest version this process knows.
#[derive(Debug)]
pub struct LatestTable {
    name: &'static str,
    state: RwLock<Arc<State>>,
    changes: watch::Sender<u64>,
}

impl LatestTable {
    pub(crate) fn new(name: &'static str, table: &DeltaTable) -> Result<LatestTable, LakeError> {
        let state = RwLock::new(Arc::new(State::of(name, table)?));
        Ok(LatestTable { name, state, changes: watch::Sender::new(0) })
    }

    /// Counts the times at which rows came.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn refresh(&self, table: &DeltaTable) -> Result<(), LakeError> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if table.version() > state.table.version() {
            *state = Arc::new(State::of(self.name, table)?);
            self.changes.send_modify(|count| *count += 1);
        }
        Ok(())
    }
}

#[async_trait]
impl TableProvider for LatestTable {
    fn schema(&self) -> SchemaRef {
        self.state().committed.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DataFusionResult<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let state = self.state();
        state.table.update_datafusion_session(session)?;
        state.committed.scan(session, projection, filters, limit).await
    }
}
