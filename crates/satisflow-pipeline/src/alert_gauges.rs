//! Alerts as gauges.

use prometheus::{GaugeVec, Opts, Registry};
use satisflow_alerts::Decider;
use satisflow_catalog::Catalog;

/// Whether the alert of each known group is open.
pub(crate) struct AlertGauges {
    active: GaugeVec,
    dimensions: Vec<String>,
    groups_max: usize,
}

const LABELS: [&str; 5] = ["alert", "kpi", "window", "grouping_set", "severity"];

impl AlertGauges {
    pub(crate) fn new(
        registry: &Registry,
        catalog: &Catalog,
        groups_max: usize,
    ) -> Result<AlertGauges, prometheus::Error> {
        let dimensions: Vec<String> = catalog.dimension_names().iter().map(ToString::to_string).collect();
        let labelled = catalog.dimension_labels();
        let labels: Vec<&str> = LABELS.into_iter().chain(labelled.iter().map(String::as_str)).collect();
        let help = "1 while the alert of the group is open, as decided from final rows.";
        let active = GaugeVec::new(Opts::new("satisflow_alert_active", help), &labels)?;
        registry.register(Box::new(active.clone()))?;
        Ok(AlertGauges { active, dimensions, groups_max })
    }

    pub(crate) fn reset(&self) {
        self.active.reset();
    }

    /// Of too many groups those with an open alert are shown first.
    pub(crate) fn show(&self, decider: &Decider) {
        for index in 0..decider.len() {
            let rule = decider.rule(index);
            let set = rule.grouping_set();
            for (group, open) in decider.known(index).into_iter().take(self.groups_max) {
                let fixed = [rule.alert.as_str(), &rule.kpi, &rule.window, &set, &rule.severity];
                let value = |name: &String| {
                    let at = rule.dimensions.iter().position(|dimension| **dimension == **name);
                    at.and_then(|at| group.get(at)).map_or("", String::as_str)
                };
                let labels: Vec<&str> = fixed.into_iter().chain(self.dimensions.iter().map(value)).collect();
                self.active.with_label_values(&labels).set(f64::from(u8::from(open)));
            }
        }
    }
}
