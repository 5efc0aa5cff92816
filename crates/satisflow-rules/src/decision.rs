//! Rules that carry what the service has decided.

use crate::text::{Rule, quoted};
use crate::{Settings, Side, expression, label, link};

/// An alert that the service decides, in every group of a grouping set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Its name, such as `SatisflowCsatDrop`.
    pub alert: String,
    /// How it is decided, such as `drop`.
    pub rule: String,
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
    /// The bad side.
    pub side: Side,
    /// Label for the routes of Alertmanager.
    pub severity: String,
}

impl Decision {
    pub(crate) fn labels(&self, job: &str) -> Vec<(&'static str, String)> {
        vec![
            ("job", job.to_owned()),
            ("alert", self.alert.clone()),
            ("kpi", self.kpi.clone()),
            ("window", self.window.clone()),
            ("grouping_set", self.dimensions.join(",")),
            ("severity", self.severity.clone()),
        ]
    }

    /// Open in one process or another; and as it was while none knows.
    fn expression(&self, settings: &Settings) -> String {
        let labels = self.labels(&settings.job);
        let selector = labels.iter().map(|(name, value)| format!("{name}={}", quoted(value)));
        let selector = selector.collect::<Vec<_>>().join(",");
        let firing = format!("ALERTS{{alertname={},alertstate=\"firing\",{selector}}}", quoted(&self.alert));
        format!(
            "max without (instance) (satisflow_alert_active{{{selector}}} == 1)\nor\n{}",
            expression::as_it_was(&firing, settings)
        )
    }

    pub(crate) fn rule(&self, settings: &Settings) -> Rule {
        let group = label::values(&self.dimensions);
        let of = if group.is_empty() { String::new() } else { format!(" of {group}") };
        let at = expression::Place { kpi: &self.kpi, window: &self.window, dimensions: &self.dimensions };
        let figure = |metric: &str| expression::figure(metric, &at, settings);
        let than = if self.rule == "burn" { "its bound in both windows" } else { "what is usual" };
        let Decision { kpi, unit, rule, side, window, description, .. } = self;
        Rule {
            alert: self.alert.clone(),
            expression: self.expression(settings),
            for_secs: 0,
            keep_firing_for_secs: 0,
            severity: self.severity.clone(),
            summary: format!("{kpi}{of} is {} {unit}, {} {than} ({rule})", figure("value"), side.word()),
            description: format!(
                "{description} {} events, 95 % interval {} to {}, window {window}. What it was compared with stands \
                 in the table `alerts`.",
                figure("samples"),
                figure("ci_low"),
                figure("ci_high"),
            ),
            // As the series has them: one alert may have a rule for each window and grouping set.
            labels: vec![("window", window.clone()), ("grouping_set", self.dimensions.join(","))],
            link: link::link(settings, kpi, window, &self.dimensions),
        }
    }
}
