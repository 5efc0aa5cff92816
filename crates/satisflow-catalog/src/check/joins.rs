//! Names and times of joins; their expressions are planned with the others.

use std::collections::BTreeSet;
use std::sync::Arc;

use satisflow_kpi::Aggregate;

use super::{Checker, condition, duration, unknown_kinds};
use crate::joins::{FieldKind, Join, JoinField};
use crate::macros::Named;
use crate::raw::{RawJoin, RawJoinField, RawMeasure};

/// Joins of one measure: each is a look for every event.
const JOINS_MAX: usize = 8;

/// The joins of a measure at a pointer.
pub(super) fn joins(pointer: &str, measure: &RawMeasure, named: Named<'_>, checker: &mut Checker<'_>) -> Vec<Join> {
    what_excludes(pointer, measure, checker);
    let of = |(name, raw): (&String, &RawJoin)| join(&format!("{pointer}/joins/{name}"), name, raw, named, checker);
    let mut joins: Vec<Join> = measure.joins.iter().map(of).collect();
    clashes(pointer, &mut joins, checker);
    joins
}

/// Refuses what a measure with joins can't be.
fn what_excludes(pointer: &str, measure: &RawMeasure, checker: &mut Checker<'_>) {
    if measure.joins.is_empty() {
        return;
    }
    for (field, is_there) in [("per_answer", measure.per_answer), ("index", measure.index.is_some())] {
        if is_there {
            let message = format!("a measure has `joins` or `{field}`, not both");
            checker.problem(
                &format!("{pointer}/{field}"),
                message,
                "read the answers in `value`, or make two measures",
            );
        }
    }
    if measure.joins.len() > JOINS_MAX {
        let message = format!("{} joins of one measure", measure.joins.len());
        checker.problem(&format!("{pointer}/joins"), message, &format!("at most {JOINS_MAX}"));
    }
}

fn join(pointer: &str, name: &str, raw: &RawJoin, named: Named<'_>, checker: &mut Checker<'_>) -> Join {
    unknown_kinds(pointer, &raw.kinds, checker);
    let mut text = |field: &str, sql: &str| checker.expanded(&format!("{pointer}/{field}"), sql, named);
    let on = text("on", &raw.on);
    let to = raw.to.as_deref().map_or_else(|| on.clone(), |sql| text("to", sql));
    let filter = raw.filter.as_deref().map(|sql| text("filter", sql));
    let filter = condition(&[("kind", &raw.kinds), ("topic", &raw.topics)], filter);
    if raw.fields.is_empty() {
        let message = format!("the join `{name}` reads nothing");
        checker.problem(&format!("{pointer}/fields"), message, "such as `verdict: { last: verdict }`");
    }
    let fields = raw.fields.iter().filter_map(|(field, raw)| {
        let (aggregate, sql) = aggregate(&format!("{pointer}/fields/{field}"), raw, named, checker)?;
        Some(JoinField { column: format!("{name}_{field}").into(), aggregate, sql, kind: FieldKind::Text })
    });
    let fields = fields.collect();
    let within = within(pointer, raw, checker);
    let topics = raw.topics.iter().map(|topic| topic.as_str().into()).collect();
    Join { name: name.into(), filter, on, to, within, fields, topics }
}

/// The one aggregate of a field.
fn aggregate(
    pointer: &str,
    raw: &RawJoinField,
    named: Named<'_>,
    checker: &mut Checker<'_>,
) -> Option<(Aggregate, String)> {
    let said: Vec<(Aggregate, &str, &str)> = named_aggregates(raw)
        .into_iter()
        .filter_map(|(aggregate, name, sql)| Some((aggregate, name, sql.as_deref()?)))
        .collect();
    match said.as_slice() {
        [(aggregate, name, sql)] => Some((*aggregate, checker.expanded(&format!("{pointer}/{name}"), sql, named))),
        _ => {
            let message = format!("a joined field has exactly one aggregate, here are {}", said.len());
            checker.problem(pointer, message, "one of `first`, `last`, `min`, `max`, `sum`, `count`, `distinct`");
            None
        }
    }
}

/// Every aggregate with its name and what is said of it.
pub(crate) fn named_aggregates(raw: &RawJoinField) -> [(Aggregate, &'static str, &Option<String>); 7] {
    [
        (Aggregate::First, "first", &raw.first),
        (Aggregate::Last, "last", &raw.last),
        (Aggregate::Min, "min", &raw.min),
        (Aggregate::Max, "max", &raw.max),
        (Aggregate::Sum, "sum", &raw.sum),
        (Aggregate::Count, "count", &raw.count),
        (Aggregate::Distinct, "distinct", &raw.distinct),
    ]
}

fn within(pointer: &str, raw: &RawJoin, checker: &mut Checker<'_>) -> Option<(i64, i64)> {
    let mut reach = |field: &str, said: &Option<String>| {
        let text = said.as_deref()?;
        Some(duration(&format!("{pointer}/{field}"), text, checker))
    };
    let (before, after) = (reach("before", &raw.before), reach("after", &raw.after));
    let apart = reach("apart", &raw.apart);
    if let Some(apart) = apart {
        return beyond(&format!("{pointer}/apart"), (before, after), apart, checker);
    }
    match (before, after) {
        (None, None) => None,
        (before, after) => Some((before.unwrap_or(0), after.unwrap_or(0))),
    }
}

/// What lies at least `apart` before, or after: one side of the event, whose other end lies on the same side.
fn beyond(
    pointer: &str,
    sides: (Option<i64>, Option<i64>),
    apart: i64,
    checker: &mut Checker<'_>,
) -> Option<(i64, i64)> {
    let found = match sides {
        (Some(before), None) if apart <= before => Some((before, -apart)),
        (None, Some(after)) if apart <= after => Some((-apart, after)),
        _ => None,
    };
    if found.is_none() {
        let message = "`apart` is of a join with `before` or `after` alone, and at most as long".to_owned();
        checker.problem(pointer, message, "such as `before: 7d` and `apart: 1s`");
    }
    found
}

/// Columns of joins that are called like one of an event, or like each other.
fn clashes(pointer: &str, joins: &mut [Join], checker: &mut Checker<'_>) {
    let records = satisflow_model::records_schema();
    let mut seen: BTreeSet<Arc<str>> = BTreeSet::new();
    for join in joins {
        let Join { name, fields, .. } = join;
        fields.retain(|JoinField { column, .. }| {
            let what = match (records.column_with_name(column), seen.insert(Arc::clone(column))) {
                (Some(_), _) => "an event's column",
                (None, false) => "the column of another join",
                (None, true) => return true,
            };
            let message = format!("the joined column `{column}` has the name of {what}");
            checker.problem(&format!("{pointer}/joins/{name}"), message, "choose another name for the join");
            false
        });
    }
}
