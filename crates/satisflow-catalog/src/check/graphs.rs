//! Driver graphs of the catalog: shares that sum to 1, no cycles, layers.

use std::collections::{BTreeMap, BTreeSet};

use satisflow_document::{Decimal, escape};

use super::Checker;
use crate::graphs::{Graph, Graphs, Shares};
use crate::raw::RawGraph;

/// Decimals of a share, those of a weight.
const DECIMALS: usize = 6;
const WHOLE: i64 = 1_000_000;
/// Names in a graph: its functions look at each of them for every event.
const NAMES_MAX: usize = 500;

/// What is driven, with its drivers and their shares.
type Edges = BTreeMap<String, Shares>;

/// All graphs; one with problems has nothing in it.
pub(super) fn graphs(raw: &BTreeMap<String, RawGraph>, checker: &mut Checker<'_>) -> Graphs {
    raw.iter().map(|(name, raw)| (name.clone(), graph(name, raw, checker).unwrap_or_default())).collect()
}

fn graph(name: &str, raw: &RawGraph, checker: &mut Checker<'_>) -> Option<Graph> {
    let pointer = format!("/graphs/{}", escape(name));
    let before = checker.problems.len();
    let of =
        |(driven, raw): (&String, &BTreeMap<String, Decimal>)| (driven.clone(), shares(&pointer, driven, raw, checker));
    let edges: Edges = raw.iter().map(of).collect();
    let names: BTreeSet<&String> = edges.iter().flat_map(|(driven, by)| by.keys().chain([driven])).collect();
    if names.is_empty() || names.len() > NAMES_MAX {
        let hint = format!("from 2 to {NAMES_MAX}, such as `late: {{ missed_scan: 0.6, wrong_label: 0.4 }}`");
        checker.problem(&pointer, format!("the graph has {} names", names.len()), &hint);
    }
    if checker.problems.len() > before {
        return None;
    }
    let order = match drivers_first(&edges) {
        Ok(order) => order,
        Err(cycle) => {
            let message = format!("`{}` drives itself: {}", cycle[0], cycle.join(" by "));
            checker.problem(&pointer, message, "take one of these edges out");
            return None;
        }
    };
    let shares = through_others(&pointer, &order, &edges, checker)?;
    Some(Graph { layers: layers(&order, &edges), shares })
}

/// What the drivers of one name make of it.
fn shares(pointer: &str, driven: &str, raw: &BTreeMap<String, Decimal>, checker: &mut Checker<'_>) -> Shares {
    let pointer = format!("{pointer}/{}", escape(driven));
    let mut found = Shares::new();
    for (driver, share) in raw {
        match share.scaled(DECIMALS).filter(|share| (1..=WHOLE).contains(share)) {
            Some(share) => _ = found.insert(driver.clone(), share),
            None => {
                let message = format!(
                    "`{}` is not a share above 0 and at most 1, of at most {DECIMALS} decimals",
                    share.written()
                );
                checker.problem(&format!("{pointer}/{}", escape(driver)), message, "such as 0.4");
            }
        }
    }
    let sum: i64 = found.values().sum();
    if found.len() == raw.len() && sum != WHOLE {
        let message = format!("the shares of `{driven}` sum to {}, not to 1", super::decimal(sum));
        checker.problem(&pointer, message, "what is not known has a name of its own, such as `other`");
    }
    found
}

/// Every name once, what drives before what is driven; else the names of a cycle, the first one at the end again.
fn drivers_first(edges: &Edges) -> Result<Vec<&str>, Vec<&str>> {
    let (mut order, mut path) = (Vec::new(), Vec::new());
    edges.keys().try_for_each(|name| visit(name, edges, &mut order, &mut path))?;
    Ok(order)
}

fn visit<'a>(
    name: &'a str,
    edges: &'a Edges,
    order: &mut Vec<&'a str>,
    path: &mut Vec<&'a str>,
) -> Result<(), Vec<&'a str>> {
    if order.contains(&name) {
        return Ok(());
    }
    if let Some(from) = path.iter().position(|before| *before == name) {
        return Err(path[from..].iter().copied().chain([name]).collect());
    }
    path.push(name);
    for driver in edges.get(name).into_iter().flat_map(Shares::keys) {
        visit(driver, edges, order, path)?;
    }
    path.pop();
    order.push(name);
    Ok(())
}

/// Of each name that is driven, what every driver makes of it on all ways together: exact, or it is refused.
fn through_others(
    pointer: &str,
    order: &[&str],
    edges: &Edges,
    checker: &mut Checker<'_>,
) -> Option<BTreeMap<String, Shares>> {
    let mut all: BTreeMap<String, Shares> = BTreeMap::new();
    for driven in order.iter().filter(|name| edges.contains_key(**name)) {
        let mut sums: BTreeMap<&str, i128> = BTreeMap::new();
        for (driver, share) in &edges[*driven] {
            *sums.entry(driver).or_default() += i128::from(*share) * i128::from(WHOLE);
            for (beyond, part) in all.get(driver).into_iter().flatten() {
                *sums.entry(beyond).or_default() += i128::from(*share) * i128::from(*part);
            }
        }
        let mut shares = Shares::new();
        for (driver, sum) in sums {
            let exact = i64::try_from(sum / i128::from(WHOLE)).ok().filter(|_| sum % i128::from(WHOLE) == 0);
            let Some(share) = exact else {
                let message = format!(
                    "the share of `{driven}` that `{driver}` has through others has more than {DECIMALS} decimals"
                );
                checker.problem(&format!("{pointer}/{}", escape(driven)), message, "write shares of fewer decimals");
                return None;
            };
            shares.insert(driver.to_owned(), share);
        }
        all.insert((*driven).to_owned(), shares);
    }
    Some(all)
}

fn layers(order: &[&str], edges: &Edges) -> BTreeMap<String, u32> {
    let mut layers: BTreeMap<String, u32> = order.iter().map(|name| ((*name).to_owned(), 0)).collect();
    for driven in order.iter().rev() {
        let next = layers[*driven] + 1;
        for driver in edges.get(*driven).into_iter().flat_map(Shares::keys) {
            if let Some(layer) = layers.get_mut(driver) {
                *layer = next.max(*layer);
            }
        }
    }
    layers
}
