//! SQL expressions of a catalog made into what runs on an event, or refused.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::prelude::SessionContext;

use super::*;

/// What an expression has to yield.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Yields {
    Condition,
    /// At most this many decimals.
    Number(i8),
    Text,
    /// A value of a joined event, cast already.
    Field(FieldKind),
}

impl Yields {
    pub(super) const VALUE: Yields = Yields::Number(4);
    pub(super) const WEIGHT: Yields = Yields::Number(6);
    pub(super) const CELL: Yields = Yields::Number(0);

    pub(super) fn target(self) -> DataType {
        match self {
            Yields::Condition => DataType::Boolean,
            Yields::Number(scale) => DataType::Decimal128(18, scale),
            Yields::Text => DataType::Utf8,
            Yields::Field(kind) => kind.data_type(),
        }
    }

    /// Why a type won't do.
    fn refuses(self, kind: &DataType) -> Option<String> {
        let wrong = |wanted: &str| Some(format!("the expression yields {kind}, where {wanted} is wanted"));
        match (self, kind) {
            (_, DataType::Null) => None,
            (Yields::Condition, DataType::Boolean) => None,
            (Yields::Condition, _) => wrong("a condition"),
            (Yields::Number(_), DataType::Boolean) => None,
            (Yields::Number(_), kind) if kind.is_integer() => None,
            (Yields::Number(most), DataType::Decimal128(_, scale)) if *scale <= most => None,
            (Yields::Number(most), kind) if kind.is_numeric() => {
                wrong(&format!("a number of at most {most} decimals (write CAST(... AS DECIMAL(18,{most})))"))
            }
            (Yields::Number(_), _) => wrong("a number"),
            (Yields::Field(_), _) => None,
            (Yields::Text, kind) if kind.is_nested() || *kind == DataType::Binary => wrong("text"),
            (Yields::Text, _) => None,
        }
    }
}

pub(super) struct Planner {
    context: SessionContext,
    events: Scope,
    answers: Scope,
    /// By measure.
    joined: BTreeMap<usize, Scope>,
}

/// Columns that an expression may read.
struct Scope {
    schema: DFSchema,
    /// One row without any field: every expression has to run on it.
    nothing: RecordBatch,
}

impl Scope {
    /// `columns` may be more than those that may be read.
    fn of(readable: &Schema, columns: Schema) -> Result<Scope, DataFusionError> {
        let nothing = columns.fields().iter().map(|f| arrow::array::new_null_array(f.data_type(), 1)).collect();
        let nothing = RecordBatch::try_new(Arc::new(columns), nothing)?;
        Ok(Scope { schema: DFSchema::try_from(readable.clone())?, nothing })
    }
}

impl Planner {
    pub(super) fn new() -> Result<Planner, DataFusionError> {
        let records = satisflow_model::records_schema();
        let answers = answers::schema_of(&records);
        let context = SessionContext::new();
        context.register_udf(crate::functions::fold_label_function());
        let events = Scope::of(&records, answers.clone())?;
        Ok(Planner { context, events, answers: Scope::of(&answers, answers.clone())?, joined: BTreeMap::new() })
    }

    /// A planner of a catalog whose joined fields are known by kind.
    pub(super) fn knowing(catalog: &Catalog) -> Result<Planner, DataFusionError> {
        let mut planner = Planner::new()?;
        for (index, measure) in catalog.measures.iter().enumerate().filter(|(_, m)| !m.joins.is_empty()) {
            planner.know(index, measure)?;
        }
        Ok(planner)
    }

    /// Takes up the joined fields of a measure as columns.
    pub(super) fn know(&mut self, index: usize, measure: &Measure) -> Result<(), DataFusionError> {
        let schema = joins::schema_of(&satisflow_model::records_schema(), &measure.joins);
        self.joined.insert(index, Scope::of(&schema, schema.clone())?);
        Ok(())
    }

    fn scope(&self, reads: Reads) -> &Scope {
        match reads {
            Reads::Events => &self.events,
            Reads::Answers => &self.answers,
            Reads::Joined(measure) => self.joined.get(&measure).unwrap_or(&self.events),
        }
    }

    pub(super) fn plan(&self, sql: &str, yields: Yields, reads: Reads) -> Result<Planned, String> {
        let Scope { schema, nothing } = self.scope(reads);
        let physical = self.physical(sql, schema)?;
        let kind = physical.data_type(schema.as_arrow()).map_err(first_line)?;
        if let Some(reason) = yields.refuses(&kind) {
            return Err(reason);
        }
        let planned = Planned { sql: sql.to_owned(), run: Run::Sql(physical), yields, of: scope_of(reads), kind };
        let of_nothing = planned.evaluate(nothing).map_err(first_line)?;
        match planned.constant(&of_nothing) {
            Some(weight) if yields == Yields::WEIGHT && weight < 0 => {
                Err("the weight is below 0, where 0 or more is wanted: what counts against a score is a value"
                    .to_owned())
            }
            _ => Ok(planned),
        }
    }

    /// What an expression over an event's own columns yields.
    pub(super) fn kind(&self, sql: &str) -> Result<DataType, String> {
        let schema = &self.events.schema;
        self.physical(sql, schema)?.data_type(schema.as_arrow()).map_err(first_line)
    }

    fn physical(&self, sql: &str, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>, String> {
        let expr = self.context.parse_sql_expr(sql, schema).map_err(first_line)?;
        only_rowwise(&expr)?;
        let expr = simplified(expr, schema).map_err(first_line)?;
        self.context.create_physical_expr(expr, schema).map_err(first_line)
    }
}

/// Only where joined columns may be read does one text mean different things.
pub(super) fn scope_of(reads: Reads) -> Option<usize> {
    match reads {
        Reads::Joined(measure) => Some(measure),
        Reads::Events | Reads::Answers => None,
    }
}

/// Some functions run only in the form that simplification gives them.
fn simplified(expr: Expr, schema: &DFSchema) -> Result<Expr, DataFusionError> {
    let simplifier = ExprSimplifier::new(SimplifyContext::builder().with_schema(Arc::new(schema.clone())).build());
    simplifier.simplify(simplifier.coerce(expr, schema)?)
}

/// Dimensions may read an answer where any measure does.
pub(super) fn dimensions_read(catalog: &Catalog) -> Reads {
    if catalog.reads_answers() { Reads::Answers } else { Reads::Events }
}

pub(super) fn first_line(error: DataFusionError) -> String {
    error.strip_backtrace().lines().next().unwrap_or_default().to_owned()
}

/// Refuses what looks at more than one event.
fn only_rowwise(expr: &Expr) -> Result<(), String> {
    let mut found = None;
    let walked = expr.apply(|node| {
        found = match node {
            Expr::AggregateFunction(_) => Some("an aggregate function"),
            Expr::WindowFunction(_) => Some("a window function"),
            Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) => Some("a subquery"),
            Expr::ScalarFunction(f)
                if f.func.signature().volatility != datafusion::logical_expr::Volatility::Immutable =>
            {
                Some("a function whose result changes with time or chance")
            }
            _ => found,
        };
        Ok(if found.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    match (walked, found) {
        (Err(error), _) => Err(first_line(error)),
        (_, Some(what)) => Err(format!("an expression reads one event at a time, and this one has {what}")),
        _ => Ok(()),
    }
}
