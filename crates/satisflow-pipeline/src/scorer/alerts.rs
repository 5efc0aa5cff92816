//! Alerts that follow from the rows of `kpis`.
//!
//! - They are a function of the rows, commit by commit: whoever decides finds
//!   the same changes. A commit of `alerts` says up to which commit of `kpis`
//!   it has decided, and expects where the last one stopped: each change is
//!   there once, whatever was killed in between.
//! - What is decided and changes nothing is put on record from time to time
//!   only; deciding it again changes nothing either.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use datafusion::logical_expr::Expr;
use datafusion::prelude::{col, lit};
use futures::TryStreamExt;
use satisflow_alerts::{
    AlertRow, Decider, Instance, KPI_COLUMNS, Kind, KpiPoint, Rule, Standing, alert_rows, alerts_batch, kpi_points,
    rows_of,
};
use satisflow_catalog::Catalog;
use satisflow_lake::{AlertsView, CommitError, DECIDED, KpisCommit};

use super::Scorer;
use crate::backoff::Backoff;
use crate::error::PipelineError;

/// What is decided without a change is put on record this often.
const RECORD_INTERVAL: Duration = Duration::from_secs(60);

/// What alerts are decided by, and how far.
#[derive(Debug)]
pub(super) struct Alerts {
    rules: Vec<Rule>,
    /// Rows of `kpis` computed up to here, µs, are decided.
    decided: i64,
    /// The same as the lake has it on record.
    recorded: Option<i64>,
    recorded_at: Instant,
    /// Of the table's last row.
    sequence: i64,
}

impl Alerts {
    pub(super) fn new(rules: Vec<Rule>) -> Alerts {
        Alerts { rules, decided: 0, recorded: None, recorded_at: Instant::now(), sequence: 0 }
    }
}

impl Scorer {
    /// Decides the rows of a commit of `kpis`.
    pub(super) async fn decide(&mut self, rows: Option<&RecordBatch>, computed: i64) -> Result<(), PipelineError> {
        if self.alerts.rules.is_empty() {
            return Ok(());
        }
        let points: Vec<KpiPoint> = match rows {
            Some(rows) => kpi_points(rows, &self.alerts.rules).into_iter().map(|(_, point)| point).collect(),
            None => Vec::new(),
        };
        let changes = self.decided(&points, computed);
        if changes.is_empty() && self.alerts.recorded_at.elapsed() < RECORD_INTERVAL {
            return Ok(());
        }
        self.commit_alerts(changes).await
    }

    /// Puts on record how far alerts are decided.
    pub(super) async fn record_alerts(&mut self) -> Result<(), PipelineError> {
        let is_known = self.alerts.recorded == Some(self.alerts.decided);
        if self.alerts.rules.is_empty() || is_known { Ok(()) } else { self.commit_alerts(Vec::new()).await }
    }

    /// The rows that follow from those of one commit.
    fn decided(&mut self, points: &[KpiPoint], computed: i64) -> Vec<AlertRow> {
        let changes = self.shared.with_alerts(|decider| decider.decide(points));
        let rows = alert_rows(&self.alerts.rules, &changes, self.alerts.sequence + 1, computed);
        self.alerts.sequence += i64::try_from(rows.len()).unwrap_or(i64::MAX);
        self.alerts.decided = computed;
        rows
    }

    async fn commit_alerts(&mut self, rows: Vec<AlertRow>) -> Result<(), PipelineError> {
        let batch = alerts_batch(&rows, &self.catalog.dimension_names())?;
        let commit = KpisCommit {
            commit_id: uuid::Uuid::new_v4().to_string(),
            batches: if rows.is_empty() { Vec::new() } else { vec![batch] },
            transactions: BTreeMap::from([(DECIDED.to_owned(), self.alerts.decided)]),
            expect: BTreeMap::from([(DECIDED.to_owned(), self.alerts.recorded)]),
        };
        let mut backoff = Backoff::default();
        loop {
            match self.lake.commit_alerts(commit.clone()).await {
                Ok(_) => break,
                // Whoever decided them publishes.
                Err(CommitError::Fenced { .. }) => return Err(PipelineError::Superseded),
                Err(error) => backoff.wait(error).await?,
            }
        }
        for row in &rows {
            self.metrics.alert_changes.with_label_values(&[row.transition.as_str()]).inc();
            let group: Vec<String> = row.group.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let (state, group) = (row.transition.as_str(), group.join(","));
            tracing::info!(alert = row.alert, window = row.window, group, state, "an alert has changed");
        }
        self.alerts.recorded = Some(self.alerts.decided);
        self.alerts.recorded_at = Instant::now();
        Ok(())
    }

    /// Goes on where the table `alerts` stops.
    pub(super) async fn restore_alerts(&mut self) -> Result<(), PipelineError> {
        let view = self.lake.alerts().await?;
        self.alerts.recorded = view.transaction(DECIDED).await?;
        // Rows of before the table was there page nobody.
        self.alerts.decided = self.alerts.recorded.unwrap_or(self.last_computed);
        let last = last_rows(&view).await?;
        self.alerts.sequence = last.values().map(|row| row.sequence).max().unwrap_or(0);
        self.shared.set_alerts(Decider::new(&self.alerts.rules));
        let undecided = self.recall_rows().await?;
        let mut changes = self.restore_standing(last.into_values());
        for (computed, points) in undecided {
            changes.extend(self.decided(&points, computed));
        }
        let is_known = self.alerts.recorded == Some(self.alerts.decided);
        if changes.is_empty() && (is_known || self.alerts.rules.is_empty()) {
            return Ok(());
        }
        self.commit_alerts(changes).await
    }

    /// Says how each alert stands; gives the rows that end those that the catalog no longer has.
    fn restore_standing(&mut self, last: impl Iterator<Item = AlertRow>) -> Vec<AlertRow> {
        let mut removed = Vec::new();
        for row in last {
            let Some(rule) = self.alerts.rules.iter().position(|rule| row.is_of(rule)) else {
                if matches!(row.standing(), Standing::Open { .. }) {
                    self.alerts.sequence += 1;
                    removed.push(row.removed(self.alerts.sequence, self.alerts.decided));
                }
                continue;
            };
            let group = row.group.iter().map(|(_, value)| value.clone()).collect();
            self.shared.with_alerts(|decider| decider.restore(Instance { rule, group }, row.standing()));
        }
        removed
    }

    /// Takes the rows that are decided; gives those that are not, by their commit.
    async fn recall_rows(&mut self) -> Result<BTreeMap<i64, Vec<KpiPoint>>, PipelineError> {
        let mut undecided: BTreeMap<i64, Vec<KpiPoint>> = BTreeMap::new();
        let Some((condition, columns)) = read_columns(&self.alerts.rules, &self.catalog) else { return Ok(undecided) };
        let columns: Vec<&str> = columns.iter().map(|name| &**name).collect();
        let mut stream = self.lake.read_kpi_columns(condition, &columns).await?;
        while let Some(batch) = stream.try_next().await? {
            let (before, after): (Vec<_>, Vec<_>) = kpi_points(&batch, &self.alerts.rules)
                .into_iter()
                .partition(|(computed, _)| *computed <= self.alerts.decided);
            let before: Vec<KpiPoint> = before.into_iter().map(|(_, point)| point).collect();
            self.shared.with_alerts(|decider| decider.recall(&before));
            for (computed, point) in after {
                undecided.entry(computed).or_default().push(point);
            }
            self.renew().await?;
        }
        Ok(undecided)
    }
}

/// The last row of each alert.
async fn last_rows(view: &AlertsView) -> Result<BTreeMap<[String; 5], AlertRow>, PipelineError> {
    let mut last: BTreeMap<[String; 5], AlertRow> = BTreeMap::new();
    let mut stream = view.rows().await?;
    while let Some(batch) = stream.try_next().await? {
        for row in rows_of(&batch) {
            match last.get(&row.instance()) {
                Some(held) if held.sequence > row.sequence => {}
                _ => drop(last.insert(row.instance(), row)),
            }
        }
    }
    Ok(last)
}

/// Which rows of `kpis` rules read, and which columns; `None` without rules.
pub(crate) fn read_columns(rules: &[Rule], catalog: &Catalog) -> Option<(Expr, Vec<Arc<str>>)> {
    let condition = rules.iter().map(is_read).reduce(Expr::or)?;
    let own = KPI_COLUMNS.into_iter().map(Arc::from);
    Some((condition, own.chain(catalog.dimension_names()).collect()))
}

/// Rows of `kpis` that a rule reads.
fn is_read(rule: &Rule) -> Expr {
    let window = match &rule.kind {
        Kind::Burn { slow, .. } => col("window_name").in_list(vec![lit(&*rule.window), lit(&**slow)], false),
        _ => col("window_name").eq(lit(&*rule.window)),
    };
    let set = col("grouping_set").eq(lit(rule.grouping_set()));
    col("fingerprint").eq(lit(&*rule.fingerprint)).and(window).and(set)
}
