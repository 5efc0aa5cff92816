//! Windows over rows of which a condition has fixed a column.
//!
//! The optimiser leaves a column with one value out of a sort, and then lets the scan take
//! the condition over: nothing says any more that the column has one value, and the window
//! above, which believes its rows sorted by each column of its PARTITION BY, fails with
//! "Expects PARTITION BY expression to be ordered". The rows are sorted as they should be.
//! Such a window is told to look for its partitions by value instead.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, get_ordered_partition_by_indices};
use datafusion::physical_plan::{ExecutionPlan, InputOrderMode};

/// Follows the rules of the optimiser.
#[derive(Debug)]
pub(crate) struct PartitionsByValue;

impl PhysicalOptimizerRule for PartitionsByValue {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(plan.transform_up(by_value)?.data)
    }

    fn name(&self) -> &str {
        "partitions_by_value"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn by_value(node: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let Some(window) = node.downcast_ref::<BoundedWindowAggExec>() else { return Ok(Transformed::no(node)) };
    let [first, ..] = window.window_expr() else { return Ok(Transformed::no(node)) };
    let sorted = get_ordered_partition_by_indices(first.partition_by(), window.input())?;
    if window.input_order_mode != InputOrderMode::Sorted || sorted.len() == first.partition_by().len() {
        return Ok(Transformed::no(node));
    }
    let (expressions, input) = (window.window_expr().to_vec(), Arc::clone(window.input()));
    let repartition = !window.partition_keys().is_empty();
    let rebuilt = BoundedWindowAggExec::try_new(expressions, input, InputOrderMode::Linear, repartition)?;
    Ok(Transformed::yes(Arc::new(rebuilt)))
}
