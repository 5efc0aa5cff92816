//! What the page asks for beside SQL.

use std::collections::BTreeMap;

use prometheus::core::Collector;
use prometheus::proto::Metric as Sample;
use satisflow_catalog::{Catalog, MetricDefinition};
use satisflow_kpi::{Comparison, Definition, Window, WindowSpan};
use satisflow_pipeline::PipelineMetrics;
use satisflow_rules::{Side, Threshold};
use serde_json::{Value, json};

/// What there is to ask for.
pub(crate) fn catalog(catalog: &Catalog) -> Value {
    let kpis = catalog.metrics.iter().zip(&catalog.plan.definitions);
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "dimensions": catalog.dimension_names().iter().map(|name| &**name).collect::<Vec<_>>(),
        "windows": catalog.plan.windows.iter().map(window).collect::<Vec<_>>(),
        "kpis": kpis.map(|(metric, definition)| kpi(catalog, metric, definition)).collect::<Vec<_>>(),
    })
}

fn window(window: &Window) -> Value {
    let name = &*window.name;
    match &window.span {
        WindowSpan::Rolling { length, step } => {
            json!({"name": name, "length_secs": *length as f64 / 1e6, "step_secs": *step as f64 / 1e6})
        }
        WindowSpan::Calendar { unit, zone, last } => {
            json!({"name": name, "calendar": unit.as_str(), "last": last, "zone": zone.iana_name()})
        }
        WindowSpan::All => json!({"name": name, "all": true}),
    }
}

fn kpi(catalog: &Catalog, metric: &MetricDefinition, definition: &Definition) -> Value {
    let plan = &catalog.plan;
    let set = |set: &usize| -> Vec<&str> { plan.grouping_sets[*set].iter().map(|d| &*plan.dimensions[*d]).collect() };
    json!({
        "name": &*metric.name,
        "description": &metric.description,
        "unit": &metric.unit,
        "form": metric.compared.as_ref().map_or_else(|| metric.metric.as_str(), compared_form),
        "per": if metric.compared.is_some() { 1 } else { metric.metric.per() },
        "n_min": definition.n_min,
        "fingerprint": &*definition.fingerprint,
        "windows": definition.windows.iter().map(|w| &*plan.windows[*w].name).collect::<Vec<_>>(),
        "grouping_sets": definition.grouping_sets.iter().map(set).collect::<Vec<_>>(),
        "alerts": metric.alerts.iter().map(alert).collect::<Vec<_>>(),
    })
}

fn compared_form(comparison: &Comparison) -> &'static str {
    match comparison {
        Comparison::Rank { .. } | Comparison::RankOfGap { .. } => "rank",
        Comparison::Shrunk(_) => "shrunk",
        Comparison::TotalShare => "total_share",
        Comparison::CumulativeShare => "cumulative_share",
        Comparison::VitalFew { .. } => "vital_few",
        Comparison::Minus(_) | Comparison::Others => "gap",
        Comparison::Change(_) => "change",
        Comparison::Quotient(_) => "quotient",
        Comparison::Climbed { .. } => "rank_change",
        Comparison::Sigma => "sigma",
        Comparison::PValue { .. } => "p_value",
        Comparison::WeightedRanks(_) => "weighted_ranks",
    }
}

fn alert(threshold: &Threshold) -> Value {
    let side = match threshold.side {
        Side::Below => "below",
        Side::Above => "above",
    };
    json!({
        "window": threshold.window,
        "grouping_set": threshold.dimensions,
        "side": side,
        "bound": threshold.bound,
        "clear": threshold.clear,
        "n_min": threshold.n_min,
        "for_secs": threshold.for_secs,
        "severity": threshold.severity,
    })
}

/// What became of the records since this process has started.
pub(crate) fn pipeline(metrics: &PipelineMetrics) -> Value {
    let mut partitions: BTreeMap<(String, String), BTreeMap<String, f64>> = BTreeMap::new();
    let mut add = |name: &str, collector: &dyn Collector| {
        for sample in samples(collector) {
            let label = |wanted: &str| label(&sample, wanted);
            let counts = partitions.entry((label("topic"), label("partition"))).or_default();
            let name = if name == "outcome" { label("outcome") } else { name.to_owned() };
            counts.insert(name, value(&sample));
        }
    };
    add("outcome", &metrics.records);
    // After the outcomes: a record that is counted in between is on its way, and not one too many.
    add("polled", &metrics.polled);
    add("lag", &metrics.lag);
    json!({
        "partitions": partitions.iter().map(|((topic, partition), counts)| {
            json!({"topic": topic, "partition": partition.parse::<i32>().ok(), "counts": counts})
        }).collect::<Vec<_>>(),
        "rejects": samples(&metrics.rejects).iter().map(|s| (label(s, "reason"), value(s))).collect::<BTreeMap<_, _>>(),
        "paused": metrics.paused.get() == 1,
        "complete": metrics.complete.get() == 1,
        "pending_rows": metrics.pending_rows.get(),
        "scorer_queue_commits": metrics.scorer_queue.get(),
        "kpi_rows": metrics.kpi_rows.get(),
        "restatements": metrics.restatements.get(),
        "scored_version": metrics.scored_version.get(),
        "watermark_secs": metrics.watermark_seconds.get(),
    })
}

fn samples(collector: &dyn Collector) -> Vec<Sample> {
    collector.collect().iter().flat_map(|family| family.get_metric().to_vec()).collect()
}

fn label(sample: &Sample, name: &str) -> String {
    sample.get_label().iter().find(|pair| pair.name() == name).map_or_else(String::new, |pair| pair.value().to_owned())
}

/// Of a counter or a gauge; the other one is absent and reads as 0.
fn value(sample: &Sample) -> f64 {
    sample.get_counter().get_value() + sample.get_gauge().get_value()
}
