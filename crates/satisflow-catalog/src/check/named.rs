//! What metrics name: measures, windows and sets of dimensions.

use std::collections::BTreeMap;

use satisflow_kpi::Metric;

use super::{Checker, counted, lasting};
use crate::raw::{RawCatalog, RawMetric};
use crate::resolved::Catalog;

const GROUPING_DIMENSIONS_MAX: usize = 8;

pub(super) fn measure_named(
    catalog: &Catalog,
    pointer: &str,
    field: &str,
    name: &str,
    checker: &mut Checker<'_>,
) -> Option<usize> {
    let found = catalog.measures.iter().position(|m| *m.name == *name);
    if found.is_none() {
        let known: Vec<&str> = catalog.measures.iter().map(|m| &*m.name).collect();
        let hint = format!("the measures are {}", known.join(", "));
        checker.problem(&format!("{pointer}/{field}"), format!("there is no measure `{name}`"), &hint);
    }
    found
}

pub(super) fn metric_kind(
    catalog: &Catalog,
    pointer: &str,
    raw: &RawMetric,
    checker: &mut Checker<'_>,
) -> Option<Metric> {
    let mut measure = |field: &str, name: &str| measure_named(catalog, pointer, field, name, checker);
    let mut kinds = Vec::new();
    kinds.extend(raw.mean.as_deref().map(|name| measure("mean", name).map(Metric::Mean)));
    kinds.extend(raw.share.as_deref().map(|name| measure("share", name).map(Metric::Share)));
    kinds.extend(raw.balance.as_deref().map(|name| measure("balance", name).map(Metric::Balance)));
    kinds.extend(raw.shortfall.as_deref().map(|name| measure("shortfall", name).map(Metric::Shortfall)));
    kinds.extend(raw.count.as_deref().map(|name| measure("count", name).map(Metric::Count)));
    kinds.extend(raw.sum.as_deref().map(|name| measure("sum", name).map(Metric::Sum)));
    kinds.extend(raw.ratio.as_ref().map(|ratio| {
        let numerator = measure("ratio/numerator", &ratio.numerator);
        let denominator = measure("ratio/denominator", &ratio.denominator);
        let per = ratio.per.unwrap_or(1);
        Some(Metric::Ratio { numerator: numerator?, denominator: denominator?, per })
    }));
    let distinct = raw.distinct.as_deref().map(|name| measure("distinct", name));
    let ranked = raw.quantile.as_ref().map(|raw| (raw, measure("quantile/measure", &raw.measure)));
    let lasting = [("open_count", raw.open_count.as_deref()), ("open_age", raw.open_age.as_deref())];
    let lasting = lasting.map(|(field, name)| name.map(|name| measure(field, name)));
    let survived = raw.survival.as_ref().map(|raw| (raw, measure("survival/measure", &raw.measure)));
    kinds.extend(survived.map(|(raw, found)| lasting::survival(raw, found?, pointer, checker)));
    kinds.extend(lasting[0].map(|found| found.map(Metric::OpenCount)));
    kinds.extend(lasting[1].map(|found| found.map(Metric::OpenAge)));
    kinds.extend(distinct.map(|found| Some(counted::distinct(&catalog.measures, found?, pointer, checker))));
    kinds.extend(ranked.map(|(raw, found)| counted::quantile(raw, found?, pointer, checker)));
    if raw.ratio.as_ref().is_some_and(|ratio| ratio.per == Some(0)) {
        checker.problem(
            &format!("{pointer}/ratio/per"),
            "`per` is 0".to_owned(),
            "such as 1000, for a value per 1,000",
        );
    }
    match kinds.as_slice() {
        [one] => *one,
        _ => {
            let message = format!("a metric has exactly one aggregate, here are {}", kinds.len());
            let hint = "one of `mean`, `share`, `balance`, `shortfall`, `ratio`, `count`, `sum`, `distinct`, `quantile`, `rank`, ...";
            checker.problem(pointer, message, hint);
            None
        }
    }
}

pub(super) fn metric_windows(
    catalog: &Catalog,
    raw: &RawCatalog,
    pointer: &str,
    metric: &RawMetric,
    checker: &mut Checker<'_>,
) -> Vec<usize> {
    match (&metric.windows, &raw.defaults.windows) {
        (Some(own), _) => named_windows(catalog, &format!("{pointer}/windows"), own, checker),
        (None, Some(default)) => named_windows(catalog, "/defaults/windows", default, checker),
        (None, None) => (0..catalog.plan.windows.len()).collect(),
    }
}

pub(super) fn named_windows(catalog: &Catalog, at: &str, names: &[String], checker: &mut Checker<'_>) -> Vec<usize> {
    let known: BTreeMap<&str, usize> =
        catalog.plan.windows.iter().enumerate().map(|(index, w)| (&*w.name, index)).collect();
    let hint = || format!("the windows are {}", known.keys().copied().collect::<Vec<_>>().join(", "));
    names
        .iter()
        .enumerate()
        .filter_map(|(index, name)| {
            let found = known.get(name.as_str()).copied();
            if found.is_none() {
                checker.problem(&format!("{at}/{index}"), format!("there is no window `{name}`"), &hint());
            }
            found
        })
        .collect()
}

pub(super) fn metric_sets(
    catalog: &Catalog,
    raw: &RawCatalog,
    pointer: &str,
    metric: &RawMetric,
    checker: &mut Checker<'_>,
) -> Vec<Vec<usize>> {
    match (&metric.grouping_sets, &raw.defaults.grouping_sets) {
        (Some(own), _) => named_sets(catalog, &format!("{pointer}/grouping_sets"), own, checker),
        (None, Some(default)) => named_sets(catalog, "/defaults/grouping_sets", default, checker),
        (None, None) => vec![Vec::new()],
    }
}

pub(super) fn named_sets(
    catalog: &Catalog,
    at: &str,
    sets: &[Vec<String>],
    checker: &mut Checker<'_>,
) -> Vec<Vec<usize>> {
    sets.iter()
        .enumerate()
        .map(|(index, names)| grouping_set(catalog, &format!("{at}/{index}"), names, checker))
        .collect()
}

/// Dimensions in the catalog's order, whatever the order they are named in.
pub(super) fn grouping_set(
    catalog: &Catalog,
    pointer: &str,
    names: &[String],
    checker: &mut Checker<'_>,
) -> Vec<usize> {
    let mut set = Vec::new();
    for (index, name) in names.iter().enumerate() {
        match catalog.dimensions.iter().position(|d| *d.name == **name) {
            Some(dimension) => set.push(dimension),
            None => {
                let known: Vec<&str> = catalog.dimensions.iter().map(|d| &*d.name).collect();
                let hint = format!("the dimensions are {}", known.join(", "));
                checker.problem(&format!("{pointer}/{index}"), format!("there is no dimension `{name}`"), &hint);
            }
        }
    }
    if names.len() > GROUPING_DIMENSIONS_MAX {
        let message = format!("{} dimensions in one grouping set", names.len());
        checker.problem(pointer, message, &format!("at most {GROUPING_DIMENSIONS_MAX}"));
    }
    set.sort_unstable();
    set.dedup();
    set
}
