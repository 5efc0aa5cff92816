//! What is asked of a KPI's rows.

use std::sync::Arc;

use satisflow_kpi::{Metric, Side, WindowSpan};

/// How rows are judged. Numbers of windows are of such as do not overlap.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// The value lies beyond a bound.
    Bound {
        /// It begins beyond this.
        bound: f64,
        /// It ends when the value is no longer beyond this.
        clear: f64,
        /// For how long, µs of event time.
        for_micros: i64,
    },
    /// The value lies beyond a bound in this window and in a slower one.
    Burn {
        /// Name of the slower window.
        slow: Arc<str>,
        /// It begins beyond this.
        bound: f64,
        /// It ends when the value of the fast window is no longer beyond this.
        clear: f64,
    },
    /// A significant change against the windows before (F16).
    Drop {
        /// Windows compared with.
        baseline: u32,
        /// Largest one-sided probability.
        p_max: f64,
        /// Least difference, in the value's unit.
        by: f64,
    },
    /// A control chart: p, u, or of means (F13).
    Chart {
        /// Windows that give the centre line.
        baseline: u32,
        /// Distance of the limit, in standard deviations.
        sigmas: f64,
        /// Whether the limit is widened by what windows vary more than their events (Laney's p').
        laney: bool,
    },
    /// An exponentially weighted mean of the last windows (F14).
    Ewma {
        /// Windows that give the centre line.
        baseline: u32,
        /// Windows in the mean.
        over: u32,
        /// Weight of the newest one.
        lambda: f64,
        /// Distance of the limit, in standard deviations of the mean.
        sigmas: f64,
    },
    /// A cumulative sum of the last windows (F15).
    Cusum {
        /// Windows that give the centre line.
        baseline: u32,
        /// Windows in the sum.
        over: u32,
        /// What is tolerated, in standard deviations.
        k: f64,
        /// Beyond this sum it begins.
        h: f64,
    },
}

impl Kind {
    /// As catalogs write it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Kind::Bound { .. } => "bound",
            Kind::Burn { .. } => "burn",
            Kind::Drop { .. } => "drop",
            Kind::Chart { .. } => "chart",
            Kind::Ewma { .. } => "ewma",
            Kind::Cusum { .. } => "cusum",
        }
    }

    /// Windows that the centre line is made of, and windows that are judged with it.
    pub(crate) fn windows(&self) -> (u32, u32) {
        match self {
            Kind::Bound { .. } | Kind::Burn { .. } => (0, 1),
            Kind::Drop { baseline, .. } | Kind::Chart { baseline, .. } => (*baseline, 1),
            Kind::Ewma { baseline, over, .. } | Kind::Cusum { baseline, over, .. } => (*baseline, *over),
        }
    }

    /// Whether it compares with earlier windows.
    pub fn is_statistical(&self) -> bool {
        self.windows().0 > 0
    }
}

/// An alert of a KPI over one window, for every group of a grouping set.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its name, such as `SatisflowCsatDrop`.
    pub alert: String,
    /// The KPI.
    pub kpi: String,
    /// What the KPI tells.
    pub description: String,
    /// Unit of its value.
    pub unit: String,
    /// Fingerprint of its definition.
    pub fingerprint: Arc<str>,
    /// How it is made.
    pub metric: Metric,
    /// Name of the window.
    pub window: Arc<str>,
    /// What the window covers.
    pub span: WindowSpan,
    /// Names of the grouped dimensions; none: the total.
    pub dimensions: Vec<Arc<str>>,
    /// The bad side.
    pub side: Side,
    /// How rows are judged.
    pub kind: Kind,
    /// Fewer events are not judged.
    pub n_min: i64,
    /// Share of false alarms among the groups that are told of at one end.
    pub q: f64,
    /// So many rows of the group have to be quiet, one after the other, for it to clear.
    pub clear_after: u32,
    /// Who is told: `page`, `warn`.
    pub severity: String,
}

impl Rule {
    /// The grouping set as rows name it.
    pub fn grouping_set(&self) -> String {
        self.dimensions.join(",")
    }

    /// Length of a rolling window, µs.
    pub(crate) fn length(&self) -> Option<i64> {
        match self.span {
            WindowSpan::Rolling { length, .. } => Some(length),
            WindowSpan::Calendar { .. } | WindowSpan::All => None,
        }
    }

    /// Distance of the ends of a rolling window, µs.
    pub(crate) fn step(&self) -> Option<i64> {
        match self.span {
            WindowSpan::Rolling { step, .. } => Some(step),
            WindowSpan::Calendar { .. } | WindowSpan::All => None,
        }
    }

    /// Most rows of a group that are held at once.
    pub fn rows_held(&self) -> u64 {
        let by_time = self.held_micros().zip(self.step()).map(|(held, step)| held / step.max(1) + 1);
        by_time.map_or(u64::from(self.held_windows()), |rows| u64::try_from(rows).unwrap_or(u64::MAX))
    }

    /// How far behind the last decided end rows are held, µs; `None`: by their number.
    pub(crate) fn held_micros(&self) -> Option<i64> {
        let windows = i64::from(self.held_windows());
        let waited = match self.kind {
            Kind::Bound { for_micros, .. } => for_micros,
            _ => 0,
        };
        self.length().map(|length| length.saturating_mul(windows).saturating_add(waited))
    }

    /// Windows that are held: those compared, one that reaches in, and those of a clearing.
    pub(crate) fn held_windows(&self) -> u32 {
        let (baseline, over) = self.kind.windows();
        baseline + over + 1 + self.clear_after
    }
}
