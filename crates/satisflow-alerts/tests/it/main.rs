//! Rows in, changes out.
#![allow(clippy::unwrap_used, missing_docs)]

mod bounds;
mod changes;
mod folding;

use std::sync::Arc;

use satisflow_alerts::{Change, Decider, Kind, KpiPoint, Point, Rule, Series, Side};
use satisflow_kpi::{Metric, Sums, WindowSpan};

pub const HOUR: i64 = 3_600_000_000;

pub fn rule(kind: Kind) -> Rule {
    Rule {
        alert: "SatisflowCsatTest".to_owned(),
        kpi: "csat".to_owned(),
        description: String::new(),
        unit: "points".to_owned(),
        fingerprint: "f".into(),
        metric: Metric::Share(0),
        window: "1h".into(),
        span: WindowSpan::Rolling { length: HOUR, step: HOUR },
        dimensions: vec!["department".into()],
        side: Side::Below,
        kind,
        n_min: 30,
        q: 0.05,
        clear_after: 3,
        severity: "page".to_owned(),
    }
}

pub fn drop_of(baseline: u32) -> Kind {
    Kind::Drop { baseline, p_max: 0.001, by: 0.0 }
}

/// `good` of `n` events of a share in the hour that ends at `end` (in hours).
pub fn share(group: &str, end: i64, good: i64, n: i64) -> KpiPoint {
    let mut sums = Sums::default();
    for (count, value) in [(good, 1), (n - good, 0)] {
        (0..count).for_each(|_| sums.add(&Sums::of_event(1_000_000, value * 10_000)).unwrap());
    }
    row("1h", group, end, sums)
}

pub fn row(window: &str, group: &str, end: i64, sums: Sums) -> KpiPoint {
    let one = 1_000_000_000_000i128;
    let point = Point {
        start: Some((end - 1) * HOUR),
        end: end * HOUR,
        revision: 1,
        n: sums.n,
        value: (sums.w > 0).then(|| sums.wx * one / (sums.w * 10_000)),
        n_eff: Some(sums.n as f64),
        se: None,
        interval: None,
        sums,
        whole: true,
    };
    let series = Series {
        fingerprint: "f".into(),
        window: window.into(),
        grouping_set: "department".into(),
        group: vec![group.to_owned()],
    };
    KpiPoint { series, back_filled: false, point }
}

pub fn revised(row: &KpiPoint, revision: i64) -> KpiPoint {
    KpiPoint { point: Point { revision, ..row.point.clone() }, ..row.clone() }
}

/// What happens at each commit, in short.
pub fn told(decider: &mut Decider, commits: impl IntoIterator<Item = Vec<KpiPoint>>) -> Vec<String> {
    commits.into_iter().flat_map(|rows| decider.decide(&rows)).map(|change| short(&change)).collect()
}

pub fn short(change: &Change) -> String {
    let Change { instance, transition, cause, opened, evidence } = change;
    let (at, since) = (evidence.point.end / HOUR, opened / HOUR);
    format!("{} {} {at} {} of {since}", transition.as_str(), instance.group.join("/"), cause.as_str())
}

pub fn decider(kind: Kind) -> Decider {
    Decider::new(&[rule(kind)])
}

/// So many quiet hours of 80 % of 200, from hour 1 on; chance included, the same each time.
pub fn usual(group: &str, hours: std::ops::RangeInclusive<i64>) -> Vec<Vec<KpiPoint>> {
    hours.map(|hour| vec![share(group, hour, 160 + (hour * 7) % 5 - 2, 200)]).collect()
}

pub fn arc(text: &str) -> Arc<str> {
    text.into()
}
