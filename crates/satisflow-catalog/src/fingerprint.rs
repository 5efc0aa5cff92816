//! Identity of everything that a definition's values depend on.

use satisflow_kpi::{Comparison, Kept, Metric, Other, RankPart, Rate, Shrink, Validity, Weighting, Window, WindowSpan};
use satisflow_model::FOLDING_VERSION;
use sha2::{Digest, Sha256};

use crate::functions::FOLD_LABEL;
use crate::joins::{Join, JoinField};
use crate::resolved::{Dimension, Measure};

/// Raised whenever the engine's arithmetic or rules of rows change, so that
/// every history is computed anew.
const ENGINE_SEMANTICS: u32 = 1;
/// The same of what reads a ratio, at least as high: 2 since events of a ratio that do not count 1 each have an error.
const RATIO_SEMANTICS: u32 = 2;

/// What a definition refers to.
pub(crate) struct Parts<'a> {
    pub(crate) name: &'a str,
    pub(crate) metric: Metric,
    pub(crate) compared: Option<&'a Comparison>,
    pub(crate) measures: Vec<&'a Measure>,
    pub(crate) windows: Vec<&'a Window>,
    pub(crate) grouping_sets: Vec<Vec<&'a Dimension>>,
    pub(crate) n_min: i64,
    pub(crate) groups_max: usize,
    pub(crate) validity: &'a Validity,
}

/// 16 hexadecimal digits; equal texts have equal fingerprints on any machine.
pub(crate) fn fingerprint(parts: &Parts<'_>) -> String {
    let mut lines = vec![
        format!("engine {}", semantics(parts)),
        format!("name {}", parts.name),
        format!("metric {}", metric_name(parts.metric)),
        format!("n_min {} groups_max {}", parts.n_min, parts.groups_max),
    ];
    lines.extend(parts.compared.map(|comparison| format!("compared {}", comparison_text(comparison))));
    for m in &parts.measures {
        let key = m.keyed.as_ref().map(|keyed| &keyed.key);
        lines.push(format!("measure {:?} {:?} {:?} {:?}", m.filter, m.value, m.weight, key));
        let kept = m.keyed.as_ref().map(|keyed| keyed.kept).filter(|kept| *kept != Kept::FIRST);
        lines.extend(kept.map(|kept| format!("kept {kept:?}")));
        lines.extend(may_be_below_zero(&m.weight).then(|| "weights from 0".to_owned()));
        lines.extend(m.per_answer.then(|| "per answer".to_owned()));
        lines.extend(m.joins.iter().map(join_text));
        lines.extend(m.distinct.as_ref().map(|key| format!("distinct {key:?}")));
        lines.extend(m.represented.as_ref().map(|represented| format!("cell {:?}", represented.cell)));
        lines.extend(m.weighting.as_ref().map(weighting_text));
    }
    lines.extend(validity_text(parts.validity));
    lines.extend(parts.windows.iter().map(|window| format!("window {} {}", window.name, span_text(&window.span))));
    for set in &parts.grouping_sets {
        let dimensions: Vec<String> = set.iter().map(|d| format!("{}={:?}", d.name, d.sql)).collect();
        lines.push(format!("group {}", dimensions.join(",")));
    }
    if lines.iter().any(|line| line.contains(FOLD_LABEL)) {
        lines.push(format!("folding {FOLDING_VERSION}"));
    }
    let digest = Sha256::digest(lines.join("\n").as_bytes());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a weight was counted that now is not: one of the catalog's own that may be below 0. An event's
/// `weight` never is.
fn may_be_below_zero(weight: &str) -> bool {
    !["1", "weight"].contains(&weight)
}

/// As it was before there were targets, where there are none.
fn weighting_text(Weighting { population, half_life, targets }: &Weighting) -> String {
    let targets = if targets.is_empty() { String::new() } else { format!(" targets {targets:?}") };
    format!("weighting Weighting {{ population: {population:?}, half_life: {half_life:?} }}{targets}")
}

/// What is asked of a window; the measures of rates come with the others.
fn validity_text(validity: &Validity) -> Option<String> {
    let Validity { n_planned, stratum_n_min, design_effect_max, rates } = validity;
    let rates: Vec<i64> = rates.iter().map(|Rate { min, .. }| *min).collect();
    let text = format!("valid {n_planned} {stratum_n_min} {design_effect_max:?} {rates:?}");
    (*validity != Validity::default()).then_some(text)
}

/// All that is joined; its topics are in the filter.
fn join_text(join: &Join) -> String {
    let field = |field: &JoinField| format!(" {} {:?} {:?}", field.column, field.aggregate, field.sql);
    let fields: String = join.fields.iter().map(field).collect();
    format!("join {:?} {:?} {:?} {:?}{fields}", join.filter, join.on, join.to, join.within)
}

fn metric_name(metric: Metric) -> String {
    match metric {
        Metric::Ratio { per, .. } if per != 1 => format!("ratio per {per}"),
        Metric::Quantile { millionths, digits: None, .. } => format!("quantile {millionths}"),
        Metric::Quantile { millionths, digits: Some(digits), .. } => {
            format!("quantile {millionths} of {digits} digits")
        }
        Metric::Survival { millionths, .. } => format!("survival {millionths}"),
        _ => metric.as_str().to_owned(),
    }
}

fn other_name(Other { metric, ago }: Other) -> String {
    let ago = if ago > 0 { format!(" {ago} ago") } else { String::new() };
    metric_name(metric) + &ago
}

/// Of the engine, for the metrics that are read.
fn semantics(parts: &Parts<'_>) -> u32 {
    let others = parts.compared.into_iter().flat_map(Comparison::others);
    let read = others.map(|other| other.metric).chain([parts.metric]);
    let reads_ratio = read.into_iter().any(|metric| matches!(metric, Metric::Ratio { .. }));
    if reads_ratio { RATIO_SEMANTICS } else { ENGINE_SEMANTICS }
}

/// Its metrics by kind; their measures stand apart, in the same order.
fn comparison_text(comparison: &Comparison) -> String {
    let shrink_text = |Shrink { weight, toward }: &Shrink| format!("{weight} toward {toward:?}");
    let part = |RankPart { metric, weight, best }: &RankPart| format!("{} {weight} {best:?}", metric_name(*metric));
    match comparison {
        Comparison::Rank { best, shrink: None } => format!("rank {best:?}"),
        Comparison::Rank { best, shrink: Some(shrink) } => format!("rank {best:?} shrunk {}", shrink_text(shrink)),
        Comparison::RankOfGap { minus, times, best } => {
            let times = times.map_or(String::new(), |times| format!(" times {}", metric_name(times)));
            format!("rank {best:?} less {}{times}", metric_name(*minus))
        }
        Comparison::Shrunk(shrink) => format!("shrunk {}", shrink_text(shrink)),
        Comparison::TotalShare => "total share".to_owned(),
        Comparison::CumulativeShare => "cumulative share".to_owned(),
        Comparison::VitalFew { millionths } => format!("vital few {millionths}"),
        Comparison::Minus(other) => format!("minus {}", other_name(*other)),
        Comparison::Change(from) => format!("change from {}", other_name(*from)),
        Comparison::Quotient(by) => format!("part of {}", other_name(*by)),
        Comparison::Climbed { from, best } => format!("climbed {best:?} from {}", other_name(*from)),
        Comparison::Others => "others".to_owned(),
        Comparison::Sigma => "sigma".to_owned(),
        Comparison::PValue { from, side } => format!("p value {} from {}", side.as_str(), other_name(*from)),
        Comparison::WeightedRanks(parts) => {
            format!("weighted ranks {}", parts.iter().map(part).collect::<Vec<_>>().join(", "))
        }
    }
}

fn span_text(span: &WindowSpan) -> String {
    match span {
        WindowSpan::Rolling { length, step } => format!("rolling {length} {step}"),
        WindowSpan::Calendar { unit, zone, last } => {
            let last = if *last > 1 { format!(" last {last}") } else { String::new() };
            format!("calendar {unit:?} {}{last}", zone.iana_name().unwrap_or("unnamed"))
        }
        WindowSpan::All => "all".to_owned(),
    }
}
