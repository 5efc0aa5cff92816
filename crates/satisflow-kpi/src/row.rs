//! One row of `kpis`: why it was written, what it says, how far that can be relied on.

use arrow::datatypes::i256;

use crate::definition::{Definition, Metric};
use crate::exact::{divide_half_even, to_f64};
use crate::stats::{self, Interval};
use crate::sums::Sums;

/// Why a row was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Its window became final.
    Initial,
    /// An event came after its window was final.
    Late,
    /// An event was retracted, superseded or displaced by an earlier copy.
    Retraction,
    /// Its definition is new and its history was computed.
    BackFill,
    /// Its window has come to hold more groups than the limit: it is no longer
    /// shown. Its sums are zero.
    Withdrawn,
    /// It is open and changes with every event; never persisted.
    Live,
}

impl Reason {
    /// The text in `kpis.reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Initial => "initial",
            Reason::Late => "late",
            Reason::Retraction => "retraction",
            Reason::BackFill => "back-fill",
            Reason::Withdrawn => "withdrawn",
            Reason::Live => "live",
        }
    }
}

/// How far a value can be relied on; the first that applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// The window holds nothing.
    Stale,
    /// A source that it reads was waited for too long; what comes late revises it.
    Incomplete,
    /// A finer grouping set of the window has more groups than its limit.
    OverLimit,
    /// Fewer events than the definition's minimum.
    Insufficient,
    /// None of the above.
    Ok,
}

impl Status {
    /// The text in `kpis.status`.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Stale => "stale",
            Status::Incomplete => "incomplete",
            Status::OverLimit => "over_limit",
            Status::Insufficient => "insufficient",
            Status::Ok => "ok",
        }
    }
}

/// One row, by the engine's own indexes.
#[derive(Debug, Clone)]
pub struct KpiRow {
    /// Index into the plan's definitions.
    pub definition: usize,
    /// Index into the plan's grouping sets.
    pub set: usize,
    /// Index into the plan's windows.
    pub window: usize,
    /// The engine's number of the group.
    pub group: u32,
    /// Start of the window, µs; `None` for `all`.
    pub window_start: Option<i64>,
    /// End of the window, µs.
    pub window_end: i64,
    /// From 1; 0 for a live row.
    pub revision: u32,
    /// Why it was written.
    pub reason: Reason,
    /// Whether a finer grouping set has more groups than its limit.
    pub over_limit: bool,
    /// Whether a source was waited for too long.
    pub incomplete: bool,
    /// What it is made of.
    pub sums: Sums,
}

/// What a row says of its KPI.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// 12 decimals, half-even from the exact rational; `None` at a zero denominator.
    pub value: Option<i128>,
    /// 10 decimals.
    pub numerator: i128,
    /// 10 decimals.
    pub denominator: i128,
    /// Events with a weight above 0 (of a ratio's denominator).
    pub n: i64,
    /// Kish's effective sample size.
    pub n_eff: Option<f64>,
    /// Standard error of the value.
    pub se: Option<f64>,
    /// 95 % interval of the value.
    pub interval: Option<Interval>,
    /// How far the value can be relied on.
    pub status: Status,
}

const ONE: i128 = 10_000_000_000;
const WEIGHT_TO_NUMERATOR: i128 = 10_000;
const VALUE_UNIT: i128 = 1_000_000_000_000;

/// The figures of a row under its definition.
pub fn figures(definition: &Definition, row: &KpiRow) -> Figures {
    let sums = &row.sums;
    let (numerator, denominator, n) = fraction(definition.metric, sums);
    let scaled = i256::from_i128(numerator).wrapping_mul(i256::from_i128(VALUE_UNIT));
    let value = divide_half_even(scaled, i256::from_i128(denominator));
    let se = standard_error(definition.metric, sums);
    Figures {
        value,
        numerator,
        denominator,
        n,
        n_eff: stats::effective_n(sums),
        se,
        interval: interval(definition.metric, sums, se),
        status: status(definition, row, n),
    }
}

fn fraction(metric: Metric, sums: &Sums) -> (i128, i128, i64) {
    match metric {
        Metric::Mean(_) | Metric::Share(_) => (sums.wx, sums.w * WEIGHT_TO_NUMERATOR, sums.n),
        Metric::Ratio { .. } => (sums.wx, sums.base, sums.base_n),
        Metric::Count(_) => (i128::from(sums.n) * ONE, ONE, sums.n),
        Metric::Sum(_) => (sums.wx, ONE, sums.n),
    }
}

fn standard_error(metric: Metric, sums: &Sums) -> Option<f64> {
    match metric {
        Metric::Mean(_) | Metric::Share(_) => stats::standard_error(sums),
        Metric::Ratio { .. } if is_count_over_base(sums) => {
            Some(stats::poisson_error(sums.n as f64, sums.base as f64 / ONE as f64))
        }
        Metric::Ratio { .. } | Metric::Count(_) | Metric::Sum(_) => None,
    }
}

/// A count has Poisson's error and interval only if each event counts once.
fn is_count_over_base(sums: &Sums) -> bool {
    sums.base > 0 && sums.wx == i128::from(sums.n) * ONE
}

fn interval(metric: Metric, sums: &Sums, se: Option<f64>) -> Option<Interval> {
    let ratio = |numerator: i128, denominator: i128| numerator as f64 / denominator as f64;
    match metric {
        Metric::Mean(_) => se.map(|se| stats::normal(ratio(sums.wx, sums.w * WEIGHT_TO_NUMERATOR), se)),
        Metric::Share(_) => {
            stats::effective_n(sums).map(|n| stats::wilson(ratio(sums.wx, sums.w * WEIGHT_TO_NUMERATOR), n))
        }
        Metric::Ratio { .. } if is_count_over_base(sums) => Some(stats::garwood(sums.n as f64, ratio(sums.base, ONE))),
        Metric::Ratio { .. } | Metric::Count(_) | Metric::Sum(_) => None,
    }
}

fn status(definition: &Definition, row: &KpiRow, n: i64) -> Status {
    if row.reason == Reason::Withdrawn {
        Status::OverLimit
    } else if row.sums.is_zero() {
        Status::Stale
    } else if row.incomplete {
        Status::Incomplete
    } else if row.over_limit {
        Status::OverLimit
    } else if n < definition.n_min {
        Status::Insufficient
    } else {
        Status::Ok
    }
}

impl Figures {
    /// The value as the nearest float, for gauges.
    pub fn value_f64(&self) -> Option<f64> {
        self.value.map(|value| to_f64(i256::from_i128(value)) / VALUE_UNIT as f64)
    }
}
