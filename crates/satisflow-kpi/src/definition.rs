//! What the engine is asked to compute: measures in, named KPIs out.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use crate::joins::Join;
use crate::validity::Validity;
use crate::weighting::Weighting;
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
    /// How far the means of a measure's strata stay below their targets: the sum of `weight * max(0, target - mean)`
    /// (S13), of a measure with [`Weighting::targets`].
    Shortfall(usize),
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
        /// Significant digits that values are ranked by; `None`: all that they have.
        digits: Option<u32>,
    },
    /// Seconds after which a share of what began in the window is over, by the curve of Kaplan and Meier (F23): of what
    /// goes on at the window's end it is known that it lasted so long. The measure's value is how long an event's
    /// matter lasted, µs as 4 decimals; below 0 it goes on.
    Survival {
        /// The measure.
        measure: usize,
        /// The share, in millionths: 500,000 for the median.
        millionths: u32,
    },
    /// How much of what began in the window goes on at its end, of the same measure.
    OpenCount(usize),
    /// Mean seconds for which it has done so.
    OpenAge(usize),
}

impl Metric {
    /// The measure whose moments the KPI's rows carry.
    pub fn measure(self) -> usize {
        match self {
            Metric::Mean(m) | Metric::Share(m) | Metric::Balance(m) | Metric::Shortfall(m) => m,
            Metric::Count(m) | Metric::Sum(m) | Metric::Distinct(m) => m,
            Metric::Quantile { measure, .. } | Metric::Survival { measure, .. } => measure,
            Metric::OpenCount(measure) | Metric::OpenAge(measure) => measure,
            Metric::Ratio { numerator, .. } => numerator,
        }
    }

    /// As catalogs write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Metric::Mean(_) => "mean",
            Metric::Share(_) => "share",
            Metric::Ratio { .. } => "ratio",
            Metric::Balance(_) => "balance",
            Metric::Shortfall(_) => "shortfall",
            Metric::Count(_) => "count",
            Metric::Sum(_) => "sum",
            Metric::Distinct(_) => "distinct",
            Metric::Quantile { .. } => "quantile",
            Metric::Survival { .. } => "survival",
            Metric::OpenCount(_) => "open_count",
            Metric::OpenAge(_) => "open_age",
        }
    }

    /// Whether it is made of a measure's means, which a [`Weighting`] weighs.
    pub fn is_of_means(self) -> bool {
        matches!(self, Metric::Mean(_) | Metric::Share(_) | Metric::Balance(_) | Metric::Shortfall(_))
    }

    /// Whether it is of what lasts.
    pub fn is_of_lasting(self) -> bool {
        matches!(self, Metric::Survival { .. } | Metric::OpenCount(_) | Metric::OpenAge(_))
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

/// Which value comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Best {
    /// The highest.
    High,
    /// The lowest.
    Low,
}

/// Which side is the bad one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// Low values.
    Below,
    /// High values.
    Above,
}

impl Side {
    /// As catalogs write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Side::Below => "below",
            Side::Above => "above",
        }
    }

    /// How far `value` lies on the bad side of `of`.
    pub fn beyond(self, value: f64, of: f64) -> f64 {
        match self {
            Side::Below => of - value,
            Side::Above => value - of,
        }
    }
}

/// How far a mean of few events is drawn toward another: `(C mu + n x) / (C + n)` (F24).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shrink {
    /// C, in events; 6 decimals, above 0.
    pub weight: i64,
    /// mu, 6 decimals; `None`: the value of all groups together.
    pub toward: Option<i64>,
}

/// One metric of weighted ranks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RankPart {
    /// What is ranked.
    pub metric: Metric,
    /// Its weight, 6 decimals.
    pub weight: i64,
    /// Which value has the rank 1.
    pub best: Best,
}

/// Another metric of the same group, that a definition reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Other {
    /// The metric.
    pub metric: Metric,
    /// As it was so many periods of a calendar window before; 0: as it is.
    pub ago: u32,
}

impl From<Metric> for Other {
    fn from(metric: Metric) -> Other {
        Other { metric, ago: 0 }
    }
}

/// What is said of a group beside others, or of a metric beside others.
///
/// A group that holds nothing, or whose value is NULL, has no part in it: its value is NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comparison {
    /// Its place in the order of values, from 1; equal values share the least, as SQL's `rank` does.
    Rank {
        /// Which value comes first.
        best: Best,
        /// The values are shrunk first.
        shrink: Option<Shrink>,
    },
    /// Its place in the order of the value less that of another metric, times that of a third one.
    RankOfGap {
        /// What is taken away.
        minus: Metric,
        /// What the difference is multiplied with.
        times: Option<Metric>,
        /// Which value comes first.
        best: Best,
    },
    /// The value shrunk.
    Shrunk(Shrink),
    /// Its part of the sum of all values; NULL where the sum is not above 0.
    TotalShare,
    /// The part of its value and of all larger ones; of equal values those of lesser names come first (F5).
    CumulativeShare,
    /// 1 where it is one of the fewest groups, from the largest value on, whose part reaches a share; else 0.
    VitalFew {
        /// The share, in millionths.
        millionths: u32,
    },
    /// The value less that of another metric of the group, with the error of the difference.
    Minus(Other),
    /// The change from the value of another metric of the group, as a part of that; NULL where that is not above 0.
    Change(Other),
    /// The value as a part of that of another metric of the group; NULL where that is not above 0.
    Quotient(Other),
    /// How many places it has climbed in the order of values: its place by another metric less that by its own. A
    /// group that holds nothing of one of them has no place there, and its value is NULL.
    Climbed {
        /// What it has climbed from.
        from: Other,
        /// Which value comes first.
        best: Best,
    },
    /// The value less that of all other groups together, with the error of the difference.
    Others,
    /// The level of sigma of so many defects per million opportunities, with the shift of 1.5 (F20), at 6 decimals;
    /// NULL where there are none, or nothing else.
    Sigma,
    /// The one-sided probability of so great a fall (below) or rise (above) from another metric of the group where
    /// nothing has changed but by chance (F16), at 6 decimals; NULL where there is no test.
    PValue {
        /// What it has changed from.
        from: Other,
        /// To which side.
        side: Side,
    },
    /// Sum of `weight * r`, where r is 0 for the worst and 1 for the best value: the share of
    /// the other groups that are worse, SQL's `percent_rank`. The first metric is the definition's own.
    WeightedRanks(Vec<RankPart>),
}

impl Comparison {
    /// Whether it says of each group what the others have no part in: so of the total, too.
    pub fn is_of_each_group(&self) -> bool {
        match self {
            Comparison::Minus(_) | Comparison::Change(_) | Comparison::Quotient(_) => true,
            Comparison::Sigma | Comparison::PValue { .. } => true,
            Comparison::Rank { .. } | Comparison::RankOfGap { .. } => false,
            Comparison::Shrunk(_) | Comparison::TotalShare => false,
            Comparison::CumulativeShare | Comparison::VitalFew { .. } => false,
            Comparison::Others | Comparison::WeightedRanks(_) | Comparison::Climbed { .. } => false,
        }
    }

    /// The metrics that it reads beside the definition's own.
    pub fn others(&self) -> impl Iterator<Item = Other> {
        let (one, two, parts): (Option<Other>, Option<Metric>, &[RankPart]) = match self {
            Comparison::Minus(other) | Comparison::Change(other) | Comparison::Quotient(other) => {
                (Some(*other), None, &[])
            }
            Comparison::PValue { from, .. } | Comparison::Climbed { from, .. } => (Some(*from), None, &[]),
            Comparison::RankOfGap { minus, times, .. } => (Some((*minus).into()), *times, &[]),
            Comparison::WeightedRanks(parts) => (None, None, parts),
            _ => (None, None, &[]),
        };
        let parts = parts.iter().skip(1).map(|part| part.metric);
        one.into_iter().chain(two.into_iter().chain(parts).map(Other::from))
    }
}

/// One KPI.
#[derive(Debug, Clone)]
pub struct Definition {
    /// Its name in `kpis.kpi`.
    pub name: Arc<str>,
    /// Identity of everything that its values depend on.
    pub fingerprint: Arc<str>,
    /// What is computed of each group by itself.
    pub metric: Metric,
    /// What is made of the values of all groups of a window; `None`: each stands by itself.
    pub compared: Option<Comparison>,
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
    /// What its windows have to hold, or they are not representative: of means, shares and balances.
    pub validity: Validity,
}

impl Definition {
    /// The metrics that it reads: its own first, then those that it is compared with.
    pub fn metrics(&self) -> impl Iterator<Item = Metric> {
        self.read().map(|read| read.metric)
    }

    /// The same, with how many periods before.
    pub fn read(&self) -> impl Iterator<Item = Other> {
        std::iter::once(self.metric.into()).chain(self.compared.iter().flat_map(Comparison::others))
    }

    /// The measures that it reads, those of its own metric first; one that is read twice comes twice.
    pub fn measures(&self) -> impl Iterator<Item = usize> {
        let of_metrics =
            self.metrics().flat_map(|metric| std::iter::once(metric.measure()).chain(metric.base_measure()));
        of_metrics.chain(self.validity.measures().map(|(measure, _)| measure))
    }
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
    /// What is joined to the events of a measure, by measure.
    pub joins: BTreeMap<usize, Vec<Join>>,
    /// What the kept rows of their anchors are made from; those of another text are not understood.
    pub joined_rows: BTreeMap<usize, Arc<str>>,
    /// What weighs the events of a measure beside their own weight, by measure: of means, shares and balances.
    pub weightings: BTreeMap<usize, Weighting>,
    /// The KPIs.
    pub definitions: Vec<Definition>,
}

impl Plan {
    /// How a KPI weighs events beside their own weight; `None` where it reads their sums alone.
    pub(crate) fn weighting(&self, definition: &Definition) -> Option<Weighting> {
        let own = self.weightings.get(&definition.metric.measure()).cloned();
        self.reads_cells(definition).then(|| own.unwrap_or_default())
    }

    /// Whether a KPI reads sums by cell.
    pub(crate) fn reads_cells(&self, definition: &Definition) -> bool {
        let is_weighted = self.weightings.contains_key(&definition.metric.measure());
        let is_asked = is_weighted || definition.validity.is_asked();
        definition.metric.is_of_means() && definition.compared.is_none() && is_asked
    }
}
