//! Alerts, decided anew from the rows of `kpis`.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use satisflow_alerts::{AlertRow, Cause, Decider, KpiPoint, Rule, alert_rows, kpi_points, rows_of};
use satisflow_catalog::Catalog;
use satisflow_lake::{DECIDED, Lake};

use crate::error::PipelineError;
use crate::scorer::read_columns;

/// What deciding anew has found.
#[derive(Debug, Clone, Default)]
pub struct AlertsReport {
    /// Rows of `alerts`.
    pub rows: u64,
    /// What differs, one line each.
    pub differences: Vec<String>,
}

/// Decides every alert of the catalog anew from the published rows, and compares with the table `alerts`.
///
/// An alert that the catalog got when the lake had rows already was not decided for
/// them, and may differ. Rows of alerts that it no longer has are left out.
///
/// # Errors
/// When the lake can't be read.
pub async fn audit_alerts(lake: &Lake, catalog: &Catalog) -> Result<AlertsReport, PipelineError> {
    let rules = catalog.alert_rules();
    let view = lake.alerts().await?;
    let decided = view.transaction(DECIDED).await?.unwrap_or(0);
    let mut published = Vec::new();
    let mut stream = view.rows().await?;
    while let Some(batch) = stream.try_next().await? {
        published.extend(rows_of(&batch));
    }
    let is_known = |row: &AlertRow| row.cause != Cause::Removed && rules.iter().any(|rule| row.is_of(rule));
    published.retain(is_known);
    let expected = decided_anew(lake, catalog, &rules, decided).await?;
    Ok(compare(&published, &expected))
}

async fn decided_anew(
    lake: &Lake,
    catalog: &Catalog,
    rules: &[Rule],
    decided: i64,
) -> Result<Vec<AlertRow>, PipelineError> {
    let mut commits: BTreeMap<i64, Vec<KpiPoint>> = BTreeMap::new();
    if let Some((condition, columns)) = read_columns(rules, catalog) {
        let columns: Vec<&str> = columns.iter().map(|name| &**name).collect();
        let mut stream = lake.read_kpi_columns(condition, &columns).await?;
        while let Some(batch) = stream.try_next().await? {
            for (computed, point) in kpi_points(&batch, rules) {
                commits.entry(computed).or_default().push(point);
            }
        }
    }
    let mut decider = Decider::new(rules);
    let commits = commits.into_iter().filter(|(computed, _)| *computed <= decided);
    Ok(commits.flat_map(|(computed, points)| alert_rows(rules, &decider.decide(&points), 1, computed)).collect())
}

/// Rows by their identity; where they stand in the table does not matter.
fn compare(published: &[AlertRow], expected: &[AlertRow]) -> AlertsReport {
    let by_id = |rows: &[AlertRow]| -> BTreeMap<String, AlertRow> {
        rows.iter().map(|row| (row.id(), AlertRow { sequence: 0, ..row.clone() })).collect()
    };
    let (found, wanted) = (by_id(published), by_id(expected));
    let mut differences = Vec::new();
    let name = |row: &AlertRow| format!("{} {} {:?} {}", row.alert, row.window, row.group, row.transition.as_str());
    for (id, row) in &found {
        match wanted.get(id) {
            None => differences.push(format!("{id}: {} does not follow from `kpis`", name(row))),
            Some(wanted) if wanted != row => differences.push(format!("{id}: {} says something else", name(row))),
            Some(_) => {}
        }
    }
    let missing = wanted.iter().filter(|(id, _)| !found.contains_key(*id));
    differences.extend(missing.map(|(id, row)| format!("{id}: {} is missing", name(row))));
    let doubled = published.len() - found.len();
    differences.extend((doubled > 0).then(|| format!("{doubled} changes are there more than once")));
    AlertsReport { rows: published.len() as u64, differences }
}
