//! Every expression of a catalog planned once, and a problem for each that does not plan.

use std::sync::Arc;

use arrow::datatypes::DataType;
use satisflow_document::{Document, Problems};

use super::planner::{Planner, Yields, dimensions_read, first_line};
use super::{Reads, joined};
use crate::raw::RawCatalog;
use crate::resolved::Catalog;

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
