//! Labels of dimensions.

/// Labels that the metrics of KPIs and alerts have of their own, and those that Prometheus sets.
const TAKEN: [&str; 12] = [
    "kpi",
    "window",
    "grouping_set",
    "state",
    "alert",
    "severity",
    "job",
    "instance",
    "alertname",
    "alertstate",
    "le",
    "quantile",
];

/// The label of a dimension: its name, with `dimension_` before it where metrics have such a label already.
pub fn label(dimension: &str) -> String {
    if TAKEN.contains(&dimension) { format!("dimension_{dimension}") } else { dimension.to_owned() }
}

/// Values of an alert's group, as templates.
pub(crate) fn values(dimensions: &[String]) -> String {
    let value = |name: &String| format!("{{{{ $labels.{} }}}}", label(name));
    dimensions.iter().map(value).collect::<Vec<_>>().join(", ")
}
