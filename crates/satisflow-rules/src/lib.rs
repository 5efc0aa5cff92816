//! Recording and alerting rules for Prometheus (2.42 or later), and promtool's tests of them.
//!
//! - A bound has a second one beyond it: an alert that fires goes on until the
//!   value is past `clear`, so that a value at the bound pages once.
//! - Few answers page nobody: each rule asks for `n_min`.
//! - A service that is gone, stands by or catches up resolves nothing: its alerts
//!   go on, and one that says so begins.

mod decision;
mod expression;
mod health;
mod label;
mod link;
mod tests;
mod text;

pub use decision::Decision;
pub use label::label;

use text::{Rule, group};

/// Where and how alerts are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Prometheus's `job` of the service.
    pub job: String,
    /// The feed is stale when the newest event, or the watermark, lies so far back, s.
    pub stale_after_secs: u32,
    /// Records that wait in Kafka.
    pub lag_records_max: u32,
    /// Share of records that are no events, percent.
    pub reject_percent_max: u32,
    /// Where the page is reached, such as `https://satisflow.example`; links of notifications lead there.
    pub external_url: Option<String>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            job: "satisflow".to_owned(),
            stale_after_secs: 900,
            lag_records_max: 100_000,
            reject_percent_max: 5,
            external_url: None,
        }
    }
}

/// Which side of its bounds pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// Values below.
    Below,
    /// Values above.
    Above,
}

impl Side {
    fn word(self) -> &'static str {
        match self {
            Side::Below => "below",
            Side::Above => "above",
        }
    }
}

/// Bounds of a KPI's final values in a window, in every group of a grouping set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Threshold {
    /// The KPI.
    pub kpi: String,
    /// What it tells.
    pub description: String,
    /// Unit of its value.
    pub unit: String,
    /// The window.
    pub window: String,
    /// Dimensions of the grouping set; none: the total.
    pub dimensions: Vec<String>,
    /// Which side pages.
    pub side: Side,
    /// An alert begins beyond this, a decimal number.
    pub bound: String,
    /// It ends on the other side of this.
    pub clear: String,
    /// Fewer events page nobody.
    pub n_min: u32,
    /// For how long the value has to be beyond the bound, s.
    pub for_secs: u32,
    /// Label for the routes of Alertmanager.
    pub severity: String,
}

/// Name of a KPI's alert: `SatisflowCsatDrop` of `csat` and `drop`.
pub fn alert_name(kpi: &str, what: &str) -> String {
    let words = kpi.split('_').chain(what.split('_')).map(|word| {
        let (first, rest) = word.split_at(word.chars().next().map_or(0, char::len_utf8));
        first.to_uppercase() + rest
    });
    format!("Satisflow{}", words.collect::<String>())
}

impl Threshold {
    /// Name of its alert, such as `SatisflowCsatBelow`; its labels say where.
    pub fn alert(&self) -> String {
        alert_name(&self.kpi, self.side.word())
    }

    fn rule(&self, settings: &Settings) -> Rule {
        let side = self.side.word();
        let group = label::values(&self.dimensions);
        let figure = |metric: &str| expression::figure(metric, &self.place(), settings);
        let of = if group.is_empty() { String::new() } else { format!(" of {group}") };
        Rule {
            alert: self.alert(),
            expression: expression::threshold(self, settings),
            for_secs: self.for_secs,
            keep_firing_for_secs: 0,
            severity: self.severity.clone(),
            summary: format!("{}{of} is {{{{ $value | humanize }}}} {}, {side} {}", self.kpi, self.unit, self.bound),
            description: format!(
                "{} {} events, 95 % interval {} to {}, window {}. Needs {} events; ends at {}.",
                self.description,
                figure("samples"),
                figure("ci_low"),
                figure("ci_high"),
                self.window,
                self.n_min,
                self.clear
            ),
            labels: Vec::new(),
            link: link::link(settings, &self.kpi, &self.window, &self.dimensions),
        }
    }
}

/// The rule file: of the service itself, then of KPIs: bounds, and what the service decides.
pub fn rule_file(settings: &Settings, thresholds: &[Threshold], decisions: &[Decision]) -> String {
    let kpis: Vec<Rule> = thresholds.iter().map(|threshold| threshold.rule(settings)).collect();
    let decided: Vec<Rule> = decisions.iter().map(|decision| decision.rule(settings)).collect();
    let groups = [
        group("satisflow", &health::recorded(settings), &health::rules(settings)),
        group("satisflow-kpis", &expression::recorded(settings), &kpis),
        group("satisflow-decisions", &[], &decided),
    ];
    format!("# Made by `satisflow rules`.\ngroups:\n{}", groups.concat())
}

/// Tests for `promtool test rules`, of a rule file of that name.
pub fn rule_tests(file: &str, settings: &Settings, thresholds: &[Threshold], decisions: &[Decision]) -> String {
    tests::tests(file, settings, thresholds, decisions)
}
