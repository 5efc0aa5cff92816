//! SQL expressions, planned once, evaluated on batches of accepted events.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, RecordBatch, StringArray};
use arrow::compute::{CastOptions, cast_with_options, concat};
use arrow::datatypes::{DataType, Decimal128Type, Schema, TimestampMicrosecondType};
use arrow::error::ArrowError;
use datafusion::common::{DFSchema, DataFusionError, ScalarValue};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use satisflow_kpi::{Batch, JoinInput, Joined, MeasureInput, Sign};
use sha2::{Digest, Sha256};

use crate::answers::{self, Answers};
use crate::index::Index;
use crate::joins::{self, FieldKind};
use crate::resolved::{Catalog, Measure};

mod check;
mod joined;
mod planner;

pub(crate) use check::check;
use planner::{Planner, Yields, dimensions_read, scope_of};

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
    /// large) yields NULL there and is not selected, as in SQL's TRY. Nor is
    /// one whose weight is below 0.
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
        let array = match self.evaluate(events) {
            Ok(array) => array,
            Err(_) if events.num_rows() == 0 => self.nulls(0),
            Err(error) => {
                tracing::warn!(%error, expression = self.sql, "an expression fails on some events: they are not selected");
                self.row_by_row(events)?
            }
        };
        Ok(if self.yields == Yields::WEIGHT { self.without_negative(array) } else { array })
    }

    /// Weights without those below 0. An event that others are joined to leaves its trace all the same.
    fn without_negative(&self, array: ArrayRef) -> ArrayRef {
        let weights = array.as_primitive::<Decimal128Type>();
        if weights.iter().flatten().all(|weight| weight >= 0) {
            return array;
        }
        tracing::warn!(expression = self.sql, "a weight is below 0 on some events: they count for nothing");
        let instead = self.of.map(|_| 0);
        let weights = weights.unary_opt::<_, Decimal128Type>(|weight| if weight < 0 { instead } else { Some(weight) });
        Arc::new(weights.with_data_type(Yields::WEIGHT.target()))
    }

    /// What it yields whatever the event, from what it yields `of_nothing`; `None`: that depends on the event.
    fn constant(&self, of_nothing: &ArrayRef) -> Option<i128> {
        let Run::Sql(physical) = &self.run else { return None };
        let number = of_nothing.as_primitive_opt::<Decimal128Type>()?;
        (collect_columns(physical).is_empty() && number.is_valid(0)).then(|| number.value(0))
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
