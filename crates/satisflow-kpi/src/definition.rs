//! What the engine is asked to compute: measures in, named KPIs out.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use crate::window::Window;

/// How a KPI is made of its measures, each an index into [`Batch::measures`].
///
/// [`Batch::measures`]: crate::Batch::measures
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// Weighted mean `sum(w x) / sum(w)` (S1).
    Mean(usize),
    /// Weighted mean of a measure whose values are 0 or 1; its interval is Wilson's (F11).
    Share(usize),
    /// `sum(w x)` of the numerator over that of the denominator (S2).
    Ratio {
        /// Measure of the numerator.
        numerator: usize,
        /// Measure of the denominator.
        denominator: usize,
        /// The value is of so many of the denominator: 1,000 for errors per 1,000 shipments (F5).
        per: u32,
    },
    /// Weighted mean of a measure whose values are 1, 0 and -1, in points: NPS (F6).
    Balance(usize),
    /// Number of events with a weight above 0.
    Count(usize),
    /// `sum(w x)`.
    Sum(usize),
    /// Number of different keys of the events with a weight above 0.
    Distinct(usize),
    /// The least value up to which at least a share of all weight lies.
    Quantile {
        /// The measure.
        measure: usize,
        /// The share, in millionths: 500,000 for the median.
        millionths: u32,
    },
}

impl Metric {
    /// The measure whose moments the KPI's rows carry.
    pub fn measure(self) -> usize {
        match self {
            Metric::Mean(m) | Metric::Share(m) | Metric::Balance(m) => m,
            Metric::Count(m) | Metric::Sum(m) | Metric::Distinct(m) => m,
            Metric::Quantile { measure, .. } => measure,
            Metric::Ratio { numerator, .. } => numerator,
        }
    }

    /// What numerator by denominator is multiplied with to give the value.
    pub fn per(self) -> u32 {
        match self {
            Metric::Ratio { per, .. } => per,
            Metric::Balance(_) => 100,
            _ => 1,
        }
    }

    /// The denominator's measure of a ratio.
    pub fn base_measure(self) -> Option<usize> {
        match self {
            Metric::Ratio { denominator, .. } => Some(denominator),
            _ => None,
        }
    }
}

/// Which events of a key count, in the order of event time, event id, then source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// So many of the first.
    First(NonZeroU32),
    /// So many of the last.
    Last(NonZeroU32),
}

impl Kept {
    /// The first alone.
    pub const FIRST: Kept = Kept::First(NonZeroU32::MIN);
}

/// One KPI.
#[derive(Debug, Clone)]
pub struct Definition {
    /// Its name in `kpis.kpi`.
    pub name: Arc<str>,
    /// Identity of everything that its values depend on.
    pub fingerprint: Arc<str>,
    /// What is computed.
    pub metric: Metric,
    /// Over which windows: indexes into [`Plan::windows`].
    pub windows: Vec<usize>,
    /// For which groups: indexes into [`Plan::grouping_sets`].
    pub grouping_sets: Vec<usize>,
    /// Most groups that one window of a grouping set publishes.
    pub groups_max: usize,
    /// Topics whose watermarks decide when its windows are final; `None`: all.
    pub topics: Option<Vec<Arc<str>>>,
    /// Fewer events than this are `insufficient`.
    pub n_min: i64,
}

/// Everything that one engine computes.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Names of the dimensions, in the order of [`Batch::dimensions`].
    ///
    /// [`Batch::dimensions`]: crate::Batch::dimensions
    pub dimensions: Vec<Arc<str>>,
    /// Sets of dimensions that rows are grouped by; indexes into `dimensions`.
    pub grouping_sets: Vec<Vec<usize>>,
    /// The windows.
    pub windows: Vec<Window>,
    /// Number of measures in each batch.
    pub measures: usize,
    /// Which events of a key count, by measure; of a keyed one that is not here, the first.
    pub kept: BTreeMap<usize, Kept>,
    /// The KPIs.
    pub definitions: Vec<Definition>,
}
