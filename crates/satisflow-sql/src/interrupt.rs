//! Statements that end when they are told to.
//!
//! A timeout drops a statement's stream, but an operator that finds nothing to
//! hand out never looks up: a join that rejects every pair spins until it is
//! done. So each condition of a plan asks, batch by batch, whether its
//! statement is still wanted, and operators that produce without reading give
//! way to others.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, Operator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, lit};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, NestedLoopJoinExecBuilder};

use crate::error::SqlError;

tokio::task_local! {
    /// The statement that is being planned.
    static STATEMENT: Arc<Statement>;
}

/// What a statement is told that nobody wants any more.
pub(crate) const CANCELLED: &str = "the statement was cancelled";

/// A running statement.
#[derive(Debug)]
struct Statement {
    deadline: Instant,
    timeout: Duration,
    ended: AtomicBool,
}

/// Ends the statement when it is dropped: its result is no longer read.
#[derive(Debug)]
pub(crate) struct Wanted(Arc<Statement>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::Relaxed);
    }
}

impl Wanted {
    pub(crate) fn new(timeout: Duration) -> Wanted {
        Wanted(Arc::new(Statement { deadline: Instant::now() + timeout, timeout, ended: AtomicBool::new(false) }))
    }

    /// Runs planning and whatever else belongs to the statement.
    pub(crate) async fn scope<T>(&self, work: impl Future<Output = T>) -> T {
        STATEMENT.scope(Arc::clone(&self.0), work).await
    }
}

impl Statement {
    fn check(&self) -> Result<()> {
        if self.ended.load(Ordering::Relaxed) {
            return Err(DataFusionError::Execution(CANCELLED.to_owned()));
        }
        if Instant::now() >= self.deadline {
            return Err(DataFusionError::Execution(SqlError::Timeout(self.timeout).to_string()));
        }
        Ok(())
    }
}

/// A condition that fails once its statement has ended.
#[derive(Debug)]
struct WhileWanted {
    inner: Arc<dyn PhysicalExpr>,
    statement: Arc<Statement>,
}

impl PartialEq for WhileWanted {
    fn eq(&self, other: &WhileWanted) -> bool {
        self.inner.eq(&other.inner) && Arc::ptr_eq(&self.statement, &other.statement)
    }
}

impl Eq for WhileWanted {}

impl Hash for WhileWanted {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl fmt::Display for WhileWanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl PhysicalExpr for WhileWanted {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.inner.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.inner.nullable(schema)
    }

    fn return_field(&self, schema: &Schema) -> Result<FieldRef> {
        self.inner.return_field(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        self.statement.check()?;
        self.inner.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let [inner] = <[_; 1]>::try_from(children)
            .map_err(|_| DataFusionError::Internal("a condition has one child".to_owned()))?;
        Ok(Arc::new(WhileWanted { inner, statement: Arc::clone(&self.statement) }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}

/// The last rule of planning.
#[derive(Debug)]
pub(crate) struct Interruptible;

impl PhysicalOptimizerRule for Interruptible {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        match STATEMENT.try_with(Arc::clone) {
            Ok(statement) => Ok(plan.transform_up(|node| interruptible(node, &statement))?.data),
            // Planned by the service itself.
            Err(_) => Ok(plan),
        }
    }

    fn name(&self) -> &str {
        "interruptible"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn interruptible(
    node: Arc<dyn ExecutionPlan>,
    statement: &Arc<Statement>,
) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let guarded = |inner: &Arc<dyn PhysicalExpr>| -> Arc<dyn PhysicalExpr> {
        Arc::new(WhileWanted { inner: Arc::clone(inner), statement: Arc::clone(statement) })
    };
    let of_join = |filter: &JoinFilter| {
        let columns = filter.column_indices().to_vec();
        JoinFilter::new(guarded(filter.expression()), columns, Arc::clone(filter.schema()))
    };
    let cooperative = |node: Arc<dyn ExecutionPlan>| -> Arc<dyn ExecutionPlan> { Arc::new(CooperativeExec::new(node)) };
    if let Some(filter) = node.downcast_ref::<FilterExec>() {
        // Beside the condition and not around it: from `column = value` a plan knows that the
        // column has one value, and leaves it out of the sort of a window above. First, since
        // what follows something false is not asked.
        let always: Arc<dyn PhysicalExpr> = lit(true);
        let condition = BinaryExpr::new(guarded(&always), Operator::And, Arc::clone(filter.predicate()));
        let builder = FilterExecBuilder::from(filter).with_predicate(Arc::new(condition));
        return Ok(Transformed::yes(Arc::new(builder.build()?)));
    }
    if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>() {
        let builder = NestedLoopJoinExecBuilder::from(join).with_filter(join.filter().map(of_join));
        return Ok(Transformed::yes(cooperative(Arc::new(builder.build()?))));
    }
    if let Some(join) = node.downcast_ref::<HashJoinExec>() {
        let filter = join.filter().map(of_join);
        return Ok(Transformed::yes(cooperative(join.builder().with_filter(filter).build_exec()?)));
    }
    if node.is::<CrossJoinExec>() {
        return Ok(Transformed::yes(cooperative(node)));
    }
    Ok(Transformed::no(node))
}
