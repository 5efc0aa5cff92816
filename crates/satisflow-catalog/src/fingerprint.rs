//! Identity of everything that a definition's values depend on.

use satisflow_kpi::{Kept, Metric, Window, WindowSpan};
use satisflow_model::FOLDING_VERSION;
use sha2::{Digest, Sha256};

use crate::functions::FOLD_LABEL;
use crate::resolved::{Dimension, Measure};

/// Raised whenever the engine's arithmetic or rules of rows change, so that
/// every history is computed anew.
const ENGINE_SEMANTICS: u32 = 1;

/// What a definition refers to.
pub(crate) struct Parts<'a> {
    pub(crate) name: &'a str,
    pub(crate) metric: Metric,
    pub(crate) measures: Vec<&'a Measure>,
    pub(crate) windows: Vec<&'a Window>,
    pub(crate) grouping_sets: Vec<Vec<&'a Dimension>>,
    pub(crate) n_min: i64,
    pub(crate) groups_max: usize,
}

/// 16 hexadecimal digits; equal texts have equal fingerprints on any machine.
pub(crate) fn fingerprint(parts: &Parts<'_>) -> String {
    let mut lines = vec![
        format!("engine {ENGINE_SEMANTICS}"),
        format!("name {}", parts.name),
        format!("metric {}", metric_name(parts.metric)),
        format!("n_min {} groups_max {}", parts.n_min, parts.groups_max),
    ];
    for m in &parts.measures {
        let key = m.keyed.as_ref().map(|keyed| &keyed.key);
        lines.push(format!("measure {:?} {:?} {:?} {:?}", m.filter, m.value, m.weight, key));
        let kept = m.keyed.as_ref().map(|keyed| keyed.kept).filter(|kept| *kept != Kept::FIRST);
        lines.extend(kept.map(|kept| format!("kept {kept:?}")));
        lines.extend(m.per_answer.then(|| "per answer".to_owned()));
        lines.extend(m.distinct.as_ref().map(|key| format!("distinct {key:?}")));
    }
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

fn metric_name(metric: Metric) -> String {
    match metric {
        Metric::Mean(_) => "mean".to_owned(),
        Metric::Share(_) => "share".to_owned(),
        Metric::Balance(_) => "balance".to_owned(),
        Metric::Ratio { per: 1, .. } => "ratio".to_owned(),
        Metric::Ratio { per, .. } => format!("ratio per {per}"),
        Metric::Count(_) => "count".to_owned(),
        Metric::Sum(_) => "sum".to_owned(),
        Metric::Distinct(_) => "distinct".to_owned(),
        Metric::Quantile { millionths, .. } => format!("quantile {millionths}"),
    }
}

fn span_text(span: &WindowSpan) -> String {
    match span {
        WindowSpan::Rolling { length, step } => format!("rolling {length} {step}"),
        WindowSpan::Calendar { unit, zone } => {
            format!("calendar {unit:?} {}", zone.iana_name().unwrap_or("unnamed"))
        }
        WindowSpan::All => "all".to_owned(),
    }
}
