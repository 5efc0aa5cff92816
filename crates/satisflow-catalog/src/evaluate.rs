//! SQL expressions, planned once, evaluated on batches of accepted events.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options, concat};
use arrow::datatypes::{DataType, Decimal128Type, Schema, TimestampMicrosecondType};
use arrow::error::ArrowError;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError, ScalarValue};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{ColumnarValue, Expr};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::prelude::SessionContext;
use satisflow_document::{Document, Problems};
use satisflow_kpi::{Batch, MeasureInput};

use crate::index::Index;
use crate::raw::RawCatalog;
use crate::resolved::Catalog;

/// A batch that is not what the catalog was planned for.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// An expression that was planned can't be planned or evaluated now.
    #[error("the catalog's expression `{sql}` can't be evaluated: {source}")]
    Expression {
        /// The expression.
        sql: String,
        /// The cause.
        source: Box<DataFusionError>,
    },
    /// A column is missing or of another type.
    #[error("accepted events have no usable column `{0}`")]
    Column(&'static str),
}

/// What an expression has to yield.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Yields {
    Condition,
    /// At most this many decimals.
    Number(i8),
    Text,
}

impl Yields {
    const VALUE: Yields = Yields::Number(4);
    const WEIGHT: Yields = Yields::Number(6);

    fn target(self) -> DataType {
        match self {
            Yields::Condition => DataType::Boolean,
            Yields::Number(scale) => DataType::Decimal128(18, scale),
            Yields::Text => DataType::Utf8,
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
            (Yields::Text, kind) if kind.is_nested() || *kind == DataType::Binary => wrong("text"),
            (Yields::Text, _) => None,
        }
    }
}

#[derive(Debug)]
struct Planned {
    sql: String,
    run: Run,
    yields: Yields,
}

#[derive(Debug)]
enum Run {
    Sql(Arc<dyn PhysicalExpr>),
    /// Much faster than its SQL, which looks for each item several times.
    Index(Index),
}

/// Indexes into the planned expressions.
#[derive(Debug)]
struct PlannedMeasure {
    filter: usize,
    value: usize,
    weight: usize,
    first_per: Option<usize>,
}

/// The catalog's expressions, ready to run. One that several measures share is
/// planned, and run on each batch, once.
#[derive(Debug)]
pub struct Evaluator {
    planned: Vec<Planned>,
    dimensions: Vec<usize>,
    measures: Vec<PlannedMeasure>,
}

struct Planner {
    context: SessionContext,
    schema: DFSchema,
    /// One event without any field: every expression has to run on it.
    nothing: RecordBatch,
}

impl Planner {
    fn new() -> Result<Planner, DataFusionError> {
        let records = satisflow_model::records_schema();
        let columns = records.fields().iter().map(|f| arrow::array::new_null_array(f.data_type(), 1)).collect();
        let nullable = records.fields().iter().map(|f| f.as_ref().clone().with_nullable(true));
        let nothing = RecordBatch::try_new(Arc::new(Schema::new(nullable.collect::<Vec<_>>())), columns)?;
        let schema = DFSchema::try_from(records.as_ref().clone())?;
        Ok(Planner { context: SessionContext::new(), schema, nothing })
    }

    fn plan(&self, sql: &str, yields: Yields) -> Result<Planned, String> {
        let expr = self.context.parse_sql_expr(sql, &self.schema).map_err(first_line)?;
        only_rowwise(&expr)?;
        let expr = self.simplified(expr).map_err(first_line)?;
        let physical = self.context.create_physical_expr(expr, &self.schema).map_err(first_line)?;
        let kind = physical.data_type(self.schema.as_arrow()).map_err(first_line)?;
        let planned = Planned { sql: sql.to_owned(), run: Run::Sql(physical), yields };
        match yields.refuses(&kind) {
            Some(reason) => Err(reason),
            None => planned.evaluate(&self.nothing).map(|_| planned).map_err(first_line),
        }
    }

    /// Some functions run only in the form that simplification gives them.
    fn simplified(&self, expr: Expr) -> Result<Expr, DataFusionError> {
        let schema = Arc::new(self.schema.clone());
        let simplifier = ExprSimplifier::new(SimplifyContext::builder().with_schema(schema).build());
        simplifier.simplify(simplifier.coerce(expr, &self.schema)?)
    }
}

fn first_line(error: DataFusionError) -> String {
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

/// Plans every expression and adds a problem for each that does not plan.
pub(crate) fn check(document: &Document, raw: &RawCatalog, catalog: &Catalog, problems: &mut Problems) {
    let planner = match Planner::new() {
        Ok(planner) => planner,
        Err(error) => return problems.at(document, "", error.to_string(), None),
    };
    let mut plan = |pointer: String, sql: &str, yields| {
        if let Err(message) = planner.plan(sql, yields) {
            problems.at(document, &pointer, message, Some("docs/events.md lists the columns".to_owned()));
        }
    };
    for dimension in &catalog.dimensions {
        plan(format!("/dimensions/{}", dimension.name), &dimension.sql, Yields::Text);
    }
    for (measure, raw) in catalog.measures.iter().zip(raw.measures.values()) {
        let at = |field: &str| format!("/measures/{}/{field}", measure.name);
        if raw.filter.is_some() {
            plan(at("filter"), &measure.filter, Yields::Condition);
        }
        plan(at("value"), &measure.value, Yields::VALUE);
        plan(at("weight"), &measure.weight, Yields::WEIGHT);
        if let Some(key) = &measure.first_per {
            plan(at("first_per"), key, Yields::Text);
        }
    }
}

impl Evaluator {
    /// Plans the expressions of a checked catalog.
    ///
    /// # Errors
    /// When one does not plan, which checking has ruled out.
    pub fn new(catalog: &Catalog) -> Result<Evaluator, EvaluateError> {
        let planner = Planner::new().map_err(|source| failed("", source))?;
        let mut planned: Vec<Planned> = Vec::new();
        let mut plan_with = |sql: &str, yields, index: Option<&Index>| -> Result<usize, EvaluateError> {
            if let Some(known) = planned.iter().position(|p| p.sql == sql && p.yields == yields) {
                return Ok(known);
            }
            planned.push(match index {
                Some(index) => Planned { sql: sql.to_owned(), run: Run::Index(index.clone()), yields },
                None => planner.plan(sql, yields).map_err(|message| failed(sql, DataFusionError::Plan(message)))?,
            });
            Ok(planned.len() - 1)
        };
        let mut measures = Vec::new();
        for measure in &catalog.measures {
            measures.push(PlannedMeasure {
                filter: plan_with(&measure.filter, Yields::Condition, None)?,
                value: plan_with(&measure.value, Yields::VALUE, measure.index.as_ref())?,
                weight: plan_with(&measure.weight, Yields::WEIGHT, None)?,
                first_per: measure.first_per.as_ref().map(|key| plan_with(key, Yields::Text, None)).transpose()?,
            });
        }
        let dimensions = catalog
            .dimensions
            .iter()
            .map(|d| plan_with(&d.sql, Yields::Text, None))
            .collect::<Result<_, EvaluateError>>()?;
        Ok(Evaluator { planned, dimensions, measures })
    }

    /// Measures accepted events (rows of `records`).
    ///
    /// A row on which an expression fails (a division by zero, a value too
    /// large) yields NULL there and is not selected, as in SQL's TRY.
    ///
    /// # Errors
    /// When a column is missing.
    pub fn evaluate(&self, events: &RecordBatch) -> Result<Batch, EvaluateError> {
        let column = |name: &'static str| events.column_by_name(name).ok_or(EvaluateError::Column(name));
        let time = column("event_time")?.as_primitive_opt::<TimestampMicrosecondType>();
        let id = column("event_id")?.as_string_opt::<i32>();
        let source = column("source")?.as_string_opt::<i32>();
        let run = self.planned.iter().map(|planned| planned.run(events)).collect::<Result<Vec<_>, _>>()?;
        let text = |index: usize| run[index].as_string::<i32>().clone();
        let number = |index: usize| run[index].as_primitive::<Decimal128Type>().clone();
        let measure = |m: &PlannedMeasure| MeasureInput {
            selected: run[m.filter].as_boolean().clone(),
            value: number(m.value),
            weight: number(m.weight),
            key: m.first_per.map(text),
        };
        Ok(Batch {
            event_time: time.ok_or(EvaluateError::Column("event_time"))?.values().to_vec(),
            event_id: id.ok_or(EvaluateError::Column("event_id"))?.clone(),
            source: source.ok_or(EvaluateError::Column("source"))?.clone(),
            dimensions: self.dimensions.iter().map(|index| text(*index)).collect(),
            measures: self.measures.iter().map(measure).collect(),
        })
    }
}

impl Planned {
    fn run(&self, events: &RecordBatch) -> Result<ArrayRef, EvaluateError> {
        match self.evaluate(events) {
            Ok(array) => Ok(array),
            Err(_) if events.num_rows() == 0 => Ok(self.nulls(0)),
            Err(error) => {
                tracing::warn!(%error, expression = self.sql, "an expression fails on some events: they are not selected");
                self.row_by_row(events)
            }
        }
    }

    fn evaluate(&self, events: &RecordBatch) -> Result<ArrayRef, DataFusionError> {
        let array = match &self.run {
            Run::Index(index) => index.evaluate(events)?,
            Run::Sql(physical) => match physical.evaluate(events)? {
                ColumnarValue::Array(array) => array,
                ColumnarValue::Scalar(scalar) => scalar.to_array_of_size(events.num_rows())?,
            },
        };
        Ok(convert(&array, &self.yields.target())?)
    }

    fn row_by_row(&self, events: &RecordBatch) -> Result<ArrayRef, EvaluateError> {
        let one = |row| self.evaluate(&events.slice(row, 1)).unwrap_or_else(|_| self.nulls(1));
        let rows: Vec<ArrayRef> = (0..events.num_rows()).map(one).collect();
        let parts: Vec<&dyn Array> = rows.iter().map(AsRef::as_ref).collect();
        concat(&parts).map_err(|error| failed(&self.sql, error.into()))
    }

    fn nulls(&self, rows: usize) -> ArrayRef {
        arrow::array::new_null_array(&self.yields.target(), rows)
    }
}

fn failed(sql: &str, source: DataFusionError) -> EvaluateError {
    EvaluateError::Expression { sql: sql.to_owned(), source: Box::new(source) }
}

/// Casts without losing a digit: what does not fit is an error.
fn convert(array: &ArrayRef, target: &DataType) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == target {
        return Ok(Arc::clone(array));
    }
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    match (array.data_type(), target) {
        (DataType::Boolean, DataType::Decimal128(..)) => {
            let integers = cast_with_options(array, &DataType::Int64, &strict)?;
            cast_with_options(&integers, target, &strict)
        }
        (DataType::Null, target) => ScalarValue::try_new_null(target)
            .and_then(|null| null.to_array_of_size(array.len()))
            .map_err(|error| ArrowError::ComputeError(error.to_string())),
        _ => cast_with_options(array, target, &strict),
    }
}
