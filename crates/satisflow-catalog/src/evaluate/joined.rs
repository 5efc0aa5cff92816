//! Expressions of joins: what of a batch is joined, and events with what is joined to them.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use satisflow_kpi::{Aggregate, Anchor, Partner};

use super::*;
use crate::check::joins::named_aggregates;
use crate::joins::{Join, JoinField};
use crate::raw::{RawJoin, RawMeasure};

/// The joins of a measure, planned. Numbers are indexes into the planned expressions.
#[derive(Debug)]
pub(super) struct PlannedJoins {
    measure: usize,
    filter: usize,
    joins: Vec<PlannedJoin>,
    described: Vec<Join>,
    /// Columns of an event that are kept to measure it anew.
    kept: BTreeSet<usize>,
}

#[derive(Debug)]
struct PlannedJoin {
    filter: usize,
    on: usize,
    to: usize,
    fields: Vec<(FieldKind, usize)>,
}

/// Plans the expressions of a measure's joins, and settles of what kind each field is.
pub(super) fn check(
    planner: &Planner,
    measure: &mut Measure,
    raw: &RawMeasure,
    problem: &mut impl FnMut(String, String),
) -> Result<(), DataFusionError> {
    for join in &mut measure.joins {
        let at = format!("/measures/{}/joins/{}", measure.name, join.name);
        let Some(raw) = raw.joins.get(&*join.name) else { continue };
        if raw.filter.is_some()
            && let Err(message) = planner.plan(&join.filter, Yields::Condition, Reads::Events)
        {
            problem(format!("{at}/filter"), message);
        }
        keys(planner, join, raw, &at, problem);
        for field in &mut join.fields {
            settle(planner, field, &at, &join.name, raw, problem);
        }
    }
    Ok(())
}

/// Keys have to be text, or of one type, or they would never meet.
fn keys(planner: &Planner, join: &Join, raw: &RawJoin, at: &str, problem: &mut impl FnMut(String, String)) {
    let to_at = if raw.to.is_some() { "to" } else { "on" };
    for (field, sql) in [("on", &join.on), (to_at, &join.to)] {
        if let Err(message) = planner.plan(sql, Yields::Text, Reads::Events) {
            return problem(format!("{at}/{field}"), message);
        }
    }
    if let (Ok(on), Ok(to)) = (planner.kind(&join.on), planner.kind(&join.to))
        && on != to
        && !(is_text(&on) && is_text(&to))
    {
        let message = format!("`on` yields {on} and `to` yields {to}, which never meet (write CAST(... AS VARCHAR))");
        problem(format!("{at}/{to_at}"), message);
    }
}

fn is_text(kind: &DataType) -> bool {
    matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn settle(
    planner: &Planner,
    field: &mut JoinField,
    at: &str,
    join: &str,
    raw: &RawJoin,
    problem: &mut impl FnMut(String, String),
) {
    let name = field.column.strip_prefix(&format!("{join}_")).unwrap_or_default();
    let said = raw.fields.get(name).and_then(|raw| named_aggregates(raw).into_iter().find(|(.., sql)| sql.is_some()));
    let pointer = format!("{at}/fields/{name}/{}", said.map_or("", |(_, aggregate, _)| aggregate));
    let kind = match planner.kind(&field.sql) {
        Ok(_) if field.aggregate == Aggregate::Count => {
            field.sql = format!("CASE WHEN ({}) IS NOT NULL THEN true END", field.sql);
            Ok(FieldKind::Flag)
        }
        Ok(kind) => FieldKind::of(&kind).and_then(|kind| summed(field.aggregate, kind)),
        Err(message) => Err(message),
    };
    let settled = kind.and_then(|kind| {
        (field.kind, field.sql) = (kind, kind.cast(&field.sql));
        planner.plan(&field.sql, Yields::Field(kind), Reads::Events)
    });
    if let Err(message) = settled {
        problem(pointer, message);
    }
}

/// Whole numbers are summed up as decimals, which have room for it.
fn summed(aggregate: Aggregate, kind: FieldKind) -> Result<FieldKind, String> {
    match (aggregate, kind) {
        (Aggregate::Sum, FieldKind::Integer) => Ok(FieldKind::Decimal(0)),
        (Aggregate::Sum, FieldKind::Text | FieldKind::Flag | FieldKind::Time) => {
            Err("only numbers have a sum (`count` counts what is not NULL)".to_owned())
        }
        (_, kind) => Ok(kind),
    }
}

/// An event that the filter selects leaves its trace whatever is joined to it: where its value
/// or weight is NULL it weighs nothing, nor where its weight is below 0.
pub(super) fn always_selected(measure: &mut Measure) {
    let (value, weight) = (&measure.value, &measure.weight);
    let weighs = format!("CASE WHEN ({value}) IS NULL OR ({weight}) IS NULL THEN 0 ELSE ({weight}) END");
    measure.value = format!("coalesce(({value}), 0)");
    measure.weight = weighs;
}

/// Plans every join of a catalog.
pub(super) fn planned(
    catalog: &Catalog,
    plan: &mut impl FnMut(&str, Yields) -> Result<usize, EvaluateError>,
) -> Result<Vec<PlannedJoins>, EvaluateError> {
    let mut all = Vec::new();
    for (index, measure) in catalog.measures.iter().enumerate().filter(|(_, m)| !m.joins.is_empty()) {
        let mut joins = Vec::new();
        for join in &measure.joins {
            let fields = join.fields.iter().map(|f| Ok((f.kind, plan(&f.sql, Yields::Field(f.kind))?)));
            let fields = fields.collect::<Result<_, EvaluateError>>()?;
            let (on, to) = (plan(&join.on, Yields::Text)?, plan(&join.to, Yields::Text)?);
            joins.push(PlannedJoin { filter: plan(&join.filter, Yields::Condition)?, on, to, fields });
        }
        let filter = plan(&measure.filter, Yields::Condition)?;
        let described = measure.joins.clone();
        all.push(PlannedJoins { measure: index, filter, joins, described, kept: BTreeSet::new() });
    }
    Ok(all)
}

impl Evaluator {
    /// Says which columns are kept of the events of each measure with joins.
    pub(super) fn keep_columns(&mut self) {
        let own = satisflow_model::records_schema().fields().len();
        let of = |joins: &PlannedJoins| self.columns_of(Reads::Joined(joins.measure)).into_iter().filter(|c| *c < own);
        let kept: Vec<BTreeSet<usize>> = self.joined.iter().map(|joins| of(joins).collect()).collect();
        self.joined.iter_mut().zip(kept).for_each(|(joins, kept)| joins.kept = kept);
    }

    /// What accepted events bring to the joins of each measure that has any; for
    /// [`satisflow_kpi::Engine::join`], whose result is for [`Evaluator::measure_joined`].
    ///
    /// # Errors
    /// When a column is missing.
    pub fn joins(&self, events: &RecordBatch, signs: &[Sign]) -> Result<Vec<JoinInput>, EvaluateError> {
        self.joined.iter().map(|joins| self.join_input(joins, events, signs)).collect()
    }

    fn join_input(
        &self,
        joins: &PlannedJoins,
        events: &RecordBatch,
        signs: &[Sign],
    ) -> Result<JoinInput, EvaluateError> {
        let time = events.column_by_name("event_time").and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
        let time = time.ok_or(EvaluateError::Column("event_time"))?;
        let keys = |index: usize| Ok(hashes(self.planned[index].run(events)?.as_string()));
        let to = joins.joins.iter().map(|join| keys(join.to)).collect::<Result<Vec<_>, EvaluateError>>()?;
        let mut anchors = Vec::new();
        for row in rows_of(&self.planned[joins.filter].run(events)?) {
            let kept = joins::encoded(events, row, &joins.kept).map_err(|error| failed("joins", error.into()))?;
            let keys = to.iter().map(|keys| keys[row]).collect();
            anchors.push((Anchor { time: time.value(row), keys, row: kept }, signs[row]));
        }
        let partners = joins.joins.iter().map(|join| self.partners(join, events, signs));
        let partners = partners.collect::<Result<_, EvaluateError>>()?;
        Ok(JoinInput { measure: joins.measure, anchors, partners })
    }

    fn partners(
        &self,
        join: &PlannedJoin,
        events: &RecordBatch,
        signs: &[Sign],
    ) -> Result<Vec<(u128, Partner, Sign)>, EvaluateError> {
        let met = self.planned[join.filter].run(events)?;
        if met.as_boolean().true_count() == 0 {
            return Ok(Vec::new());
        }
        let keys = hashes(self.planned[join.on].run(events)?.as_string());
        let field = |(kind, index): &(FieldKind, usize)| Ok(kind.values(&self.planned[*index].run(events)?));
        let fields = join.fields.iter().map(field).collect::<Result<Vec<_>, EvaluateError>>()?;
        let text = |name: &'static str| {
            let column = events.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
            column.ok_or(EvaluateError::Column(name))
        };
        let (event_id, source) = (text("event_id")?, text("source")?);
        let time = events["event_time"].as_primitive::<TimestampMicrosecondType>();
        let of = |row: usize| {
            let partner = Partner {
                time: time.value(row),
                event_id: event_id.value(row).into(),
                source: source.value(row).into(),
                values: fields.iter().map(|values| values[row].clone()).collect(),
            };
            Some((keys[row]?, partner, signs[row]))
        };
        // A void event is joined to nothing.
        Ok(rows_of(&met).filter(|row| signs[*row] != Sign::Touch).filter_map(of).collect())
    }

    /// Measures events of a measure with what is joined to them.
    ///
    /// # Errors
    /// When what was kept of an event can't be read, or an expression does not run.
    pub fn measure_joined(&self, measure: usize, rows: &[Joined]) -> Result<Measured<'static>, EvaluateError> {
        let joins = self.joined.iter().find(|joins| joins.measure == measure);
        let described = joins.map_or(&[][..], |joins| &joins.described);
        let events = joins::joined_rows(&satisflow_model::records_schema(), described, rows);
        let events = events.map_err(|error| failed("joins", error.into()))?;
        let batch = self.batch(&events, Reads::Joined(measure))?;
        Ok(Measured { batch, signs: rows.iter().map(|row| row.sign).collect() })
    }
}

fn rows_of(met: &ArrayRef) -> impl Iterator<Item = usize> {
    let met: BooleanArray = met.as_boolean().clone();
    (0..met.len()).filter(move |row| met.is_valid(*row) && met.value(*row))
}
