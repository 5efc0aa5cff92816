//! SQL expressions, planned once, evaluated on batches of accepted events.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, RecordBatch, StringArray};
use arrow::compute::{CastOptions, cast_with_options, concat};
use arrow::datatypes::{DataType, Decimal128Type, Schema, TimestampMicrosecondType};
use arrow::error::ArrowError;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError, ScalarValue};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{ColumnarValue, Expr};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::prelude::SessionContext;
use satisflow_document::{Document, Problems};
use satisflow_kpi::{Batch, JoinInput, Joined, MeasureInput, Sign};
use sha2::{Digest, Sha256};

use crate::answers::{self, Answers};
use crate::index::Index;
use crate::joins::{self, FieldKind};
use crate::raw::RawCatalog;
use crate::resolved::{Catalog, Measure};

mod joined;

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
    /// A value of a joined event, cast already.
    Field(FieldKind),
}

impl Yields {
    const VALUE: Yields = Yields::Number(4);
    const WEIGHT: Yields = Yields::Number(6);
    const CELL: Yields = Yields::Number(0);

    fn target(self) -> DataType {
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

#[derive(Debug)]
struct Planned {
    sql: String,
    run: Run,
    yields: Yields,
    /// What rows it runs on, as far as that makes a difference.
    of: Option<usize>,
    /// What it yields before that is made what is wanted.
    kind: DataType,
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
    key: Option<usize>,
    distinct: Option<usize>,
    cell: Option<usize>,
    reads: Reads,
}

/// What the rows of a measure are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reads {
    Events,
    Answers,
    /// Events with what is joined to them, for the measure of this index.
    Joined(usize),
}

impl Reads {
    fn of(index: usize, measure: &Measure) -> Reads {
        match (measure.per_answer, measure.joins.is_empty()) {
            (true, _) => Reads::Answers,
            (false, true) => Reads::Events,
            (false, false) => Reads::Joined(index),
        }
    }

    /// What an expression reads that no joined field is in.
    fn own(self) -> Reads {
        if matches!(self, Reads::Joined(_)) { Reads::Events } else { self }
    }
}

/// Measured rows of some events, and what each does.
#[derive(Debug)]
pub struct Measured<'a> {
    /// One row an event, or one an answer of one.
    pub batch: Batch,
    /// What each row does.
    pub signs: Cow<'a, [Sign]>,
}

/// The catalog's expressions, ready to run. One that several measures share is
/// planned, and run on each batch, once.
#[derive(Debug)]
pub struct Evaluator {
    planned: Vec<Planned>,
    dimensions: Vec<usize>,
    measures: Vec<PlannedMeasure>,
    joined: Vec<joined::PlannedJoins>,
    /// Columns that the expressions over answers read; `None`: no measure reads answers.
    of_answers: Option<BTreeSet<usize>>,
}

struct Planner {
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
    fn new() -> Result<Planner, DataFusionError> {
        let records = satisflow_model::records_schema();
        let answers = answers::schema_of(&records);
        let context = SessionContext::new();
        context.register_udf(crate::functions::fold_label_function());
        let events = Scope::of(&records, answers.clone())?;
        Ok(Planner { context, events, answers: Scope::of(&answers, answers.clone())?, joined: BTreeMap::new() })
    }

    /// A planner of a catalog whose joined fields are known by kind.
    fn knowing(catalog: &Catalog) -> Result<Planner, DataFusionError> {
        let mut planner = Planner::new()?;
        for (index, measure) in catalog.measures.iter().enumerate().filter(|(_, m)| !m.joins.is_empty()) {
            planner.know(index, measure)?;
        }
        Ok(planner)
    }

    /// Takes up the joined fields of a measure as columns.
    fn know(&mut self, index: usize, measure: &Measure) -> Result<(), DataFusionError> {
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

    fn plan(&self, sql: &str, yields: Yields, reads: Reads) -> Result<Planned, String> {
        let Scope { schema, nothing } = self.scope(reads);
        let physical = self.physical(sql, schema)?;
        let kind = physical.data_type(schema.as_arrow()).map_err(first_line)?;
        if let Some(reason) = yields.refuses(&kind) {
            return Err(reason);
        }
        let planned = Planned { sql: sql.to_owned(), run: Run::Sql(physical), yields, of: scope_of(reads), kind };
        planned.evaluate(nothing).map(|_| planned).map_err(first_line)
    }

    /// What an expression over an event's own columns yields.
    fn kind(&self, sql: &str) -> Result<DataType, String> {
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
fn scope_of(reads: Reads) -> Option<usize> {
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
fn dimensions_read(catalog: &Catalog) -> Reads {
    if catalog.reads_answers() { Reads::Answers } else { Reads::Events }
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

/// Plans every expression and adds a problem for each that does not plan. A
/// condition that is a value or a weight is made a number.
pub(crate) fn check(document: &Document, raw: &RawCatalog, catalog: &mut Catalog, problems: &mut Problems) {
    let mut planner = match Planner::new() {
        Ok(planner) => planner,
        Err(error) => return problems.at(document, "", error.to_string(), None),
    };
    let mut problem = |pointer: String, message: String| {
        let hint = "docs/events.md lists the columns; `answer` is one of measures with `per_answer: true`";
        problems.at(document, &pointer, message, Some(hint.to_owned()));
    };
    for (index, measure) in catalog.measures.iter_mut().enumerate().filter(|(_, m)| !m.joins.is_empty()) {
        let checked = joined::check(&planner, measure, &raw.measures[&*measure.name], &mut problem);
        if let Err(error) = checked.and_then(|()| planner.know(index, measure)) {
            problem(format!("/measures/{}/joins", measure.name), first_line(error));
        }
    }
    let mut plan = |pointer: String, sql: &str, yields, reads| match planner.plan(sql, yields, reads) {
        Ok(planned) => planned.kind == DataType::Boolean,
        Err(message) => {
            problem(pointer, message);
            false
        }
    };
    let reads = dimensions_read(catalog);
    for dimension in &catalog.dimensions {
        plan(format!("/dimensions/{}", dimension.name), &dimension.sql, Yields::Text, reads);
    }
    for (index, (measure, raw)) in catalog.measures.iter_mut().zip(raw.measures.values()).enumerate() {
        let name = Arc::clone(&measure.name);
        let at = |field: &str| format!("/measures/{name}/{field}");
        let reads = Reads::of(index, measure);
        if raw.filter.is_some() {
            plan(at("filter"), &measure.filter, Yields::Condition, reads.own());
        }
        let value = if measure.lasts { "until" } else { "value" };
        for (field, sql, yields) in
            [(value, &mut measure.value, Yields::VALUE), ("weight", &mut measure.weight, Yields::WEIGHT)]
        {
            if plan(at(field), sql, yields, reads) {
                *sql = format!("CAST(({sql}) AS INT)");
            }
        }
        if let Some(keyed) = &measure.keyed {
            let field = if raw.first_per.is_some() { "first_per/key" } else { "last_per/key" };
            plan(at(field), &keyed.key, Yields::Text, reads.own());
        }
        if let Some(distinct) = &measure.distinct {
            plan(at("distinct"), distinct, Yields::Text, reads.own());
        }
        for margin in measure.represented.iter().flat_map(|represented| &represented.margins) {
            plan(at(&margin.place), &margin.by, Yields::Text, reads.own());
        }
        if !measure.joins.is_empty() {
            joined::always_selected(measure);
        }
    }
}

impl Evaluator {
    /// Plans the expressions of a checked catalog.
    ///
    /// # Errors
    /// When one does not plan, which checking has ruled out.
    pub fn new(catalog: &Catalog) -> Result<Evaluator, EvaluateError> {
        let planner = Planner::knowing(catalog).map_err(|source| failed("", source))?;
        let mut planned: Vec<Planned> = Vec::new();
        let mut plan = |sql: &str, yields, reads, index: Option<&Index>| -> Result<usize, EvaluateError> {
            let is_known = |p: &Planned| p.sql == sql && p.yields == yields && p.of == scope_of(reads);
            if let Some(known) = planned.iter().position(is_known) {
                return Ok(known);
            }
            planned.push(match index {
                Some(index) => {
                    let run = Run::Index(index.clone());
                    Planned { sql: sql.to_owned(), run, yields, of: None, kind: DataType::Null }
                }
                None => {
                    let new = planner.plan(sql, yields, reads);
                    new.map_err(|message| failed(sql, DataFusionError::Plan(message)))?
                }
            });
            Ok(planned.len() - 1)
        };
        let mut measures = Vec::new();
        for (index, measure) in catalog.measures.iter().enumerate() {
            let reads = Reads::of(index, measure);
            let mut text = |sql: &str| plan(sql, Yields::Text, reads.own(), None);
            let key = measure.keyed.as_ref().map(|keyed| text(&keyed.key)).transpose()?;
            let distinct = measure.distinct.as_deref().map(text).transpose()?;
            let cell = measure.represented.as_ref().map(|represented| &represented.cell);
            let cell = cell.map(|sql| plan(sql, Yields::CELL, reads.own(), None)).transpose()?;
            measures.push(PlannedMeasure {
                filter: plan(&measure.filter, Yields::Condition, reads.own(), None)?,
                value: plan(&measure.value, Yields::VALUE, reads, measure.index.as_ref())?,
                weight: plan(&measure.weight, Yields::WEIGHT, reads, None)?,
                key,
                distinct,
                cell,
                reads,
            });
        }
        let reads = dimensions_read(catalog);
        let dimensions = catalog.dimensions.iter().map(|d| plan(&d.sql, Yields::Text, reads, None));
        let dimensions = dimensions.collect::<Result<_, EvaluateError>>()?;
        let joined = joined::planned(catalog, &mut |sql, yields| plan(sql, yields, Reads::Events, None))?;
        let mut evaluator = Evaluator { planned, dimensions, measures, joined, of_answers: None };
        evaluator.of_answers = catalog.reads_answers().then(|| evaluator.columns_of(Reads::Answers));
        evaluator.keep_columns();
        Ok(evaluator)
    }

    /// Expressions that rows of a sort need, by index.
    fn needed(&self, reads: Reads) -> BTreeSet<usize> {
        let measures = self.measures.iter().filter(|measure| measure.reads == reads);
        let selected = |m: &PlannedMeasure| (m.reads.own() == m.reads).then_some(m.filter);
        let of_rows = |m: &PlannedMeasure| selected(m).into_iter().chain(m.key).chain(m.distinct).chain(m.cell);
        let of_measures = measures.flat_map(|m| [m.value, m.weight].into_iter().chain(of_rows(m)));
        of_measures.chain(self.dimensions.iter().copied()).collect()
    }

    /// Columns of `records` that rows of a sort need, by index.
    fn columns_of(&self, reads: Reads) -> BTreeSet<usize> {
        let records = satisflow_model::records_schema();
        let named = ["event_time", "event_id", "source"].iter().filter_map(|name| records.index_of(name).ok());
        let of = |index: usize| match &self.planned[index].run {
            Run::Sql(physical) => collect_columns(physical).iter().map(Column::index).collect(),
            Run::Index(_) => records.index_of("answers").map(|column| vec![column]).unwrap_or_default(),
        };
        self.needed(reads).into_iter().flat_map(of).chain(named).collect()
    }

    /// Measures accepted events (rows of `records`), each of which does what its sign says.
    ///
    /// A row on which an expression fails (a division by zero, a value too
    /// large) yields NULL there and is not selected, as in SQL's TRY.
    ///
    /// # Errors
    /// When a column is missing.
    pub fn measure<'a>(
        &self,
        events: &RecordBatch,
        signs: &'a [Sign],
    ) -> Result<impl Iterator<Item = Measured<'a>> + use<'a>, EvaluateError> {
        let events_signs = Cow::Borrowed(signs);
        let Some(used) = &self.of_answers else {
            let measured = Measured { batch: self.batch(events, Reads::Events)?, signs: events_signs };
            return Ok(std::iter::once(measured).chain(None));
        };
        let of_events = answers::without_answer(events).map_err(|error| failed("answer", error.into()))?;
        let of_events = Measured { batch: self.batch(&of_events, Reads::Events)?, signs: events_signs };
        let answers = Answers::of(events, used).map_err(|error| failed("answers", error.into()))?;
        let mut batch = self.batch(&answers.rows, Reads::Answers)?;
        if self.measures.iter().any(|m| m.reads == Reads::Answers && m.key.is_some()) {
            batch.event_id = answers.ids(&batch.event_id);
        }
        let signs = answers.events.iter().map(|event| signs[*event]).collect();
        Ok(std::iter::once(of_events).chain(Some(Measured { batch, signs })))
    }

    /// Measures rows of one sort; the measures of the other select none of them.
    fn batch(&self, rows: &RecordBatch, reads: Reads) -> Result<Batch, EvaluateError> {
        let column = |name: &'static str| rows.column_by_name(name).ok_or(EvaluateError::Column(name));
        let time = column("event_time")?.as_primitive_opt::<TimestampMicrosecondType>();
        let id = column("event_id")?.as_string_opt::<i32>();
        let source = column("source")?.as_string_opt::<i32>();
        let run = self.needed(reads).into_iter().map(|index| Ok((index, self.planned[index].run(rows)?)));
        let run = run.collect::<Result<BTreeMap<usize, ArrayRef>, EvaluateError>>()?;
        let text = |index: usize| run[&index].as_string::<i32>().clone();
        let number = |index: usize| run[&index].as_primitive::<Decimal128Type>().clone();
        let measure = |m: &PlannedMeasure| MeasureInput {
            selected: match run.get(&m.filter).filter(|_| reads.own() == reads) {
                Some(met) => met.as_boolean().clone(),
                // What is joined was selected when it came.
                None => BooleanArray::from(vec![true; rows.num_rows()]),
            },
            value: number(m.value),
            weight: number(m.weight),
            key: m.key.map(text),
            distinct: m.distinct.map(|index| hashes(run[&index].as_string())),
            cell: m.cell.map(|index| cells(run[&index].as_primitive())),
        };
        let inputs = self.measures.iter().map(|m| if m.reads == reads { measure(m) } else { none(m, rows.num_rows()) });
        Ok(Batch {
            event_time: time.ok_or(EvaluateError::Column("event_time"))?.values().to_vec(),
            event_id: id.ok_or(EvaluateError::Column("event_id"))?.clone(),
            source: source.ok_or(EvaluateError::Column("source"))?.clone(),
            dimensions: self.dimensions.iter().map(|index| text(*index)).collect(),
            measures: inputs.collect(),
        })
    }
}

/// What selects no row.
fn none(measure: &PlannedMeasure, rows: usize) -> MeasureInput {
    MeasureInput {
        selected: BooleanArray::new_null(rows),
        value: Decimal128Array::new_null(rows),
        weight: Decimal128Array::new_null(rows),
        key: measure.key.map(|_| StringArray::new_null(rows)),
        distinct: measure.distinct.map(|_| vec![None; rows]),
        cell: measure.cell.map(|_| vec![None; rows]),
    }
}

/// Numbers of cells; none where there is none.
fn cells(numbers: &Decimal128Array) -> Vec<Option<u32>> {
    numbers.iter().map(|number| u32::try_from(number?).ok()).collect()
}

/// What stands for each key while it is counted: 128 bits of SHA-256, which no two keys share.
fn hashes(keys: &StringArray) -> Vec<Option<u128>> {
    let hash = |key: &str| Sha256::digest(key).first_chunk().map(|bytes| u128::from_be_bytes(*bytes));
    keys.iter().map(|key| key.and_then(hash)).collect()
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
