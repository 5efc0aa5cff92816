//! The audit: every KPI row again, from the lake, by plain SQL.
//!
//! Nothing here comes from the engine. A window's sums are running totals over
//! what enters and leaves, in decimals of 76 digits, and have to equal the
//! published rows to the last digit.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::util::display::array_value_to_string;
use satisflow_catalog::Catalog;
use satisflow_kpi::{Definition, Window};
use satisflow_lake::{CLOSED, Lake, LakeView, PUBLISHED, SCORE};

use crate::error::PipelineError;

mod alerts;
mod columns;
mod compared;
mod counted;
mod ends;
mod joined;
mod lasting;
mod own;
mod statement;
mod tables;
mod tested;
mod weighted;

pub use alerts::{AlertsReport, audit_alerts};
pub use own::SelfAudit;
use tables::Tables;

/// Differences listed of one KPI, window and grouping set, at most.
const LISTED_MAX: usize = 20;

/// A row that is not what the lake's events make it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// KPI, window, grouping set.
    pub series: [String; 3],
    /// Values of the grouped dimensions.
    pub group: String,
    /// End of the window, UTC.
    pub window_end: String,
    /// `missing`, `not expected`, or what differs.
    pub what: String,
    /// From the events: n, sum_w, numerator, denominator.
    pub expected: String,
    /// As published.
    pub published: String,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Difference { series: [kpi, window, set], group, window_end, what, expected, published } = self;
        write!(f, "{kpi} {window} [{set}] {group} {window_end}: {what}; expected {expected}; published {published}")
    }
}

/// What an audit has found.
#[derive(Debug, Clone, Default)]
pub struct AuditReport {
    /// KPI rows compared.
    pub rows: u64,
    /// Differences in all.
    pub differences: u64,
    /// The first of each series.
    pub listed: Vec<Difference>,
}

/// What is audited.
#[derive(Debug, Clone, Default)]
pub struct AuditScope {
    /// One KPI only.
    pub kpi: Option<String>,
    /// Windows that end within these bounds.
    pub ends: Ends,
}

/// Ends of windows, µs: `[since, until)`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ends {
    /// From here on; `None`: from the beginning.
    pub since: Option<i64>,
    /// Before this; `None`: up to what is published.
    pub until: Option<i64>,
}

impl Ends {
    /// More of a condition on `window_end`, µs.
    fn condition(&self) -> String {
        let since = self.since.map(|since| format!(" AND window_end >= {since}"));
        let until = self.until.map(|until| format!(" AND window_end < {until}"));
        since.unwrap_or_default() + &until.unwrap_or_default()
    }
}

/// One KPI over one window, grouped one way.
#[derive(Debug, Clone, Copy)]
struct Series<'a> {
    definition: &'a Definition,
    window: &'a Window,
    /// Indexes of dimensions.
    set: &'a [usize],
}

/// An audit of a lake under a catalog, of one moment.
pub struct Audit {
    view: LakeView,
    catalog: Arc<Catalog>,
    /// Fingerprint to what is published.
    frontiers: BTreeMap<Arc<str>, Published>,
    version: u64,
}

/// Up to where a definition is published, µs.
struct Published {
    watermark: i64,
    /// The input has ended with an event of this time: the windows around it are closed.
    closed: Option<i64>,
}

impl Audit {
    /// Reads up to where the lake is scored.
    ///
    /// # Errors
    /// When the lake can't be read.
    pub async fn new(lake: &Lake, catalog: Arc<Catalog>) -> Result<Audit, PipelineError> {
        // Rows and what they reflect are of one version: a service may go on publishing.
        let view = lake.view().await?;
        let scored = view.kpi_transaction(SCORE).await?;
        let mut frontiers = BTreeMap::new();
        for definition in &catalog.plan.definitions {
            let fingerprint = &definition.fingerprint;
            let watermark = view.kpi_transaction(&format!("{PUBLISHED}{fingerprint}")).await?.unwrap_or(i64::MIN);
            let closed = view.kpi_transaction(&format!("{CLOSED}{fingerprint}")).await?;
            frontiers.insert(Arc::clone(fingerprint), Published { watermark, closed });
        }
        Ok(Audit { view, catalog, frontiers, version: scored.and_then(|v| u64::try_from(v).ok()).unwrap_or(0) })
    }

    /// The SQL of an audit.
    pub fn sql(&self, scope: &AuditScope) -> Vec<String> {
        let mut all = vec![format!("CREATE TABLE resolved AS\n{}", tables::resolved(None))];
        all.extend(self.within(scope).map(|series| self.compare(series, &scope.ends, true)));
        all
    }

    /// Compares every row in scope.
    ///
    /// # Errors
    /// When the lake can't be read.
    pub async fn run(&self, lake: &Lake, scope: &AuditScope) -> Result<AuditReport, PipelineError> {
        let mut tables = Tables::load(self, lake, None, &scope.ends, None).await?;
        let mut report = AuditReport::default();
        for series in self.within(scope) {
            self.examine(&mut tables, series, &scope.ends, &mut report).await?;
        }
        Ok(report)
    }

    fn within(&self, scope: &AuditScope) -> impl Iterator<Item = Series<'_>> {
        let in_scope = |series: &Series<'_>| scope.kpi.as_ref().is_none_or(|name| *series.definition.name == **name);
        self.series().into_iter().filter(in_scope)
    }

    fn series(&self) -> Vec<Series<'_>> {
        let plan = &self.catalog.plan;
        let mut all = Vec::new();
        for definition in &plan.definitions {
            for set in &definition.grouping_sets {
                for window in &definition.windows {
                    all.push(Series { definition, window: &plan.windows[*window], set: &plan.grouping_sets[*set] });
                }
            }
        }
        all
    }

    async fn examine(
        &self,
        tables: &mut Tables,
        series: Series<'_>,
        ends: &Ends,
        report: &mut AuditReport,
    ) -> Result<(), PipelineError> {
        let may_exceed = tables.groups(self, series.set).await? > series.definition.groups_max as u64;
        let sql = self.compare(series, ends, may_exceed);
        let found = tables.compared(self, series, &sql).await?;
        self.add(report, series, &found)
    }

    fn add(&self, report: &mut AuditReport, series: Series<'_>, found: &[RecordBatch]) -> Result<(), PipelineError> {
        let mut listed = 0;
        let Series { definition, window, set } = series;
        for batch in found {
            for row in 0..batch.num_rows() {
                let text = |name: &str| array_value_to_string(&batch[name], row);
                report.rows += 1;
                let what = text("what")?;
                if what.is_empty() {
                    continue;
                }
                report.differences += 1;
                listed += 1;
                if listed <= LISTED_MAX {
                    report.listed.push(Difference {
                        series: [definition.name.to_string(), window.name.to_string(), self.set_name(set)],
                        group: text("group_text")?,
                        window_end: text("end_time")?,
                        what,
                        expected: text("expected")?,
                        published: text("published")?,
                    });
                }
            }
        }
        Ok(())
    }

    fn set_name(&self, set: &[usize]) -> String {
        let names: Vec<&str> = set.iter().map(|d| &*self.catalog.dimensions[*d].name).collect();
        names.join(",")
    }
}
