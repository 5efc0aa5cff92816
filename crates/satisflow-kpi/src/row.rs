//! One row of `kpis`: why it was written, what it says, how far that can be relied on.

use arrow::datatypes::i256;

use crate::definition::{Definition, Metric};
use crate::exact::{divide_half_even, to_f64};
use crate::stats::{self, Interval};
use crate::sums::Sums;
use crate::told::Told;
use crate::weighting::Weighted;

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
    /// Its window has come to hold more groups than the limit, or what is compared
    /// nothing of its group: it is no longer shown. Its sums are zero.
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
    /// A stratum of the population is empty, or its margins are out of reach.
    NotRepresentative,
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
            Status::NotRepresentative => "not_representative",
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
    /// What its counts tell, of a distinct count or a quantile.
    pub told: Option<Told>,
    /// What its cells tell, of a mean that is weighted by a population or by age.
    pub weighted: Option<Weighted>,
    /// What a comparison says of the group; of other definitions `None`.
    pub compared: Option<Compared>,
}

/// What a row says of its group.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Compared {
    /// 12 decimals.
    pub value: Option<i128>,
    /// Standard error of the value.
    pub se: Option<f64>,
    /// 95 % interval of the value.
    pub interval: Option<Interval>,
}

/// What a row says of its KPI.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// Numerator by denominator, times [`Metric::per`]: 12 decimals, half-even from
    /// the exact rational; `None` at a zero denominator. Of a comparison what it says, of a
    /// weighted row [`Weighted::value`]: numerator and denominator are those of the plain mean.
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
/// A whole, at the decimals of a value.
pub(crate) const VALUE_UNIT: i128 = 1_000_000_000_000;

/// The figures of a row under its definition.
pub fn figures(definition: &Definition, row: &KpiRow) -> Figures {
    let sums = &row.sums;
    let (numerator, denominator, n) = fraction(definition.metric, sums, row.told);
    let Compared { value, se, interval } = row.compared.unwrap_or_else(|| by_itself(definition.metric, sums, row.told));
    let plain = Figures {
        value,
        numerator,
        denominator,
        n,
        n_eff: stats::effective_n(sums),
        se,
        interval,
        status: status(definition, row, n),
    };
    match row.weighted {
        Some(weighted) => weighted.figures(definition.metric, plain),
        None => plain,
    }
}

impl Weighted {
    /// The same with what the weights make of it.
    fn figures(self, metric: Metric, plain: Figures) -> Figures {
        let Weighted { value, n_eff, se, .. } = self;
        let figures = Figures { value, n_eff, se, ..plain };
        let interval = figures.value_f64().and_then(|value| match metric {
            Metric::Share(_) => n_eff.map(|n| stats::wilson(value, n)),
            Metric::Shortfall(_) => se.map(|se| {
                let Interval { low, high } = stats::normal(value, se);
                Interval { low: low.max(0.0), high }
            }),
            _ => se.map(|se| stats::normal(value, se)),
        });
        Figures { interval, ..figures }
    }
}

/// What a metric says of one group.
pub(crate) fn by_itself(metric: Metric, sums: &Sums, told: Option<Told>) -> Compared {
    let se = standard_error(metric, sums);
    let interval = told.map_or_else(|| interval(metric, sums, se), Told::interval);
    Compared { value: value(metric, sums, told), se, interval }
}

/// The value of a metric, 12 decimals; `None` at a zero denominator.
pub(crate) fn value(metric: Metric, sums: &Sums, told: Option<Told>) -> Option<i128> {
    let (numerator, denominator, _) = fraction(metric, sums, told);
    let unit = VALUE_UNIT * i128::from(metric.per());
    let scaled = i256::from_i128(numerator).wrapping_mul(i256::from_i128(unit));
    divide_half_even(scaled, i256::from_i128(denominator))
}

/// Numerator, denominator and n.
pub(crate) fn fraction(metric: Metric, sums: &Sums, told: Option<Told>) -> (i128, i128, i64) {
    match metric {
        Metric::Mean(_) | Metric::Share(_) | Metric::Balance(_) | Metric::Shortfall(_) => {
            (sums.wx, sums.w * WEIGHT_TO_NUMERATOR, sums.n)
        }
        Metric::Ratio { .. } => (sums.wx, sums.base, sums.base_n),
        Metric::Count(_) => (i128::from(sums.n) * ONE, ONE, sums.n),
        Metric::Sum(_) => (sums.wx, ONE, sums.n),
        Metric::Distinct(_) | Metric::Quantile { .. } => told_fraction(sums, told),
        Metric::Survival { .. } | Metric::OpenCount(_) | Metric::OpenAge(_) => told_fraction(sums, told),
    }
}

fn told_fraction(sums: &Sums, told: Option<Told>) -> (i128, i128, i64) {
    let (value, of) = told.map_or((0, 0), |told| (told.value, told.of));
    (value, of, sums.n)
}

fn standard_error(metric: Metric, sums: &Sums) -> Option<f64> {
    match metric {
        Metric::Mean(_) | Metric::Share(_) => stats::standard_error(sums),
        Metric::Balance(_) => stats::balance_error(sums),
        Metric::Ratio { per, .. } => rate_error(sums).map(|error| f64::from(per) * error),
        Metric::Count(_) | Metric::Sum(_) | Metric::Shortfall(_) => None,
        Metric::Distinct(_) | Metric::Quantile { .. } => None,
        Metric::Survival { .. } | Metric::OpenCount(_) | Metric::OpenAge(_) => None,
    }
}

fn exposure(sums: &Sums) -> Option<f64> {
    (sums.base > 0).then(|| sums.base as f64 / ONE as f64)
}

/// Sum of what each event of a rate counts, and of its squares.
fn counted(sums: &Sums) -> (f64, f64) {
    (sums.wx as f64 / ONE as f64, to_f64(sums.wwxx) / (ONE as f64 * ONE as f64))
}

/// The denominator is taken as it is: a rate varies as its events do, each by itself. Reports of nothing but
/// zeros do not tell how much an event counts, and have no error.
fn rate_error(sums: &Sums) -> Option<f64> {
    let (exposure, (_, squares)) = (exposure(sums)?, counted(sums));
    match stats::is_plain_count(sums) {
        true => Some(stats::poisson_error(sums.n as f64, exposure)),
        false => (squares > 0.0).then(|| stats::compound_error(squares, exposure)),
    }
}

fn rate_interval(sums: &Sums) -> Option<Interval> {
    let (exposure, (sum, squares)) = (exposure(sums)?, counted(sums));
    if stats::is_plain_count(sums) {
        return Some(stats::garwood(sums.n as f64, exposure));
    }
    // Below, some count less than nothing.
    match sum > 0.0 && sum * sum >= squares {
        true => Some(stats::fay_feuer(sum, squares, exposure)),
        false => rate_error(sums).map(|error| stats::normal(sum / exposure, error)),
    }
}

fn interval(metric: Metric, sums: &Sums, se: Option<f64>) -> Option<Interval> {
    let ratio = |numerator: i128, denominator: i128| numerator as f64 / denominator as f64;
    match metric {
        Metric::Mean(_) => se.map(|se| stats::normal(ratio(sums.wx, sums.w * WEIGHT_TO_NUMERATOR), se)),
        Metric::Share(_) => {
            stats::effective_n(sums).map(|n| stats::wilson(ratio(sums.wx, sums.w * WEIGHT_TO_NUMERATOR), n))
        }
        Metric::Balance(_) => se.map(|se| stats::normal(100.0 * ratio(sums.wx, sums.w * WEIGHT_TO_NUMERATOR), se)),
        Metric::Ratio { per, .. } => rate_interval(sums)
            .map(|Interval { low, high }| Interval { low: f64::from(per) * low, high: f64::from(per) * high }),
        Metric::Count(_) | Metric::Sum(_) | Metric::Shortfall(_) => None,
        Metric::Distinct(_) | Metric::Quantile { .. } => None,
        Metric::Survival { .. } | Metric::OpenCount(_) | Metric::OpenAge(_) => None,
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
    } else if row.weighted.is_some_and(|weighted| !weighted.is_representative) {
        Status::NotRepresentative
    } else if n < definition.n_min {
        Status::Insufficient
    } else {
        Status::Ok
    }
}

impl Told {
    fn interval(self) -> Option<Interval> {
        let float = |value: i128| value as f64 / ONE as f64;
        self.bounds.map(|(low, high)| Interval { low: float(low), high: float(high) })
    }
}

impl Figures {
    /// The value as the nearest float, for gauges.
    pub fn value_f64(&self) -> Option<f64> {
        self.value.map(|value| to_f64(i256::from_i128(value)) / VALUE_UNIT as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validity::Validity;

    fn row(metric: Metric, sums: Sums) -> Figures {
        let definition = Definition {
            name: "kpi".into(),
            fingerprint: "f".into(),
            metric,
            compared: None,
            windows: Vec::new(),
            grouping_sets: Vec::new(),
            groups_max: 10,
            topics: None,
            n_min: 1,
            validity: Validity::default(),
        };
        let reason = Reason::Initial;
        let row = KpiRow {
            definition: 0,
            set: 0,
            window: 0,
            group: 0,
            window_start: None,
            window_end: 0,
            revision: 1,
            reason,
            over_limit: false,
            incomplete: false,
            sums,
            told: None,
            weighted: None,
            compared: None,
        };
        figures(&definition, &row)
    }

    fn sums(of: impl IntoIterator<Item = Sums>) -> Sums {
        let mut all = Sums::default();
        of.into_iter().for_each(|sums| all.add(&sums).unwrap());
        all
    }

    const WEIGHT: i64 = 1_000_000;
    const VALUE: i64 = 10_000;

    fn close(found: Option<f64>, expected: f64, tolerance: f64) {
        assert!(found.is_some_and(|found| (found - expected).abs() < tolerance), "{found:?} is not {expected}");
    }

    #[test]
    fn f6_a_balance_is_in_points_with_the_error_of_nps() {
        let events = [(240, 1), (60, -1), (100, 0)].into_iter();
        let each = events.flat_map(|(n, x)| std::iter::repeat_n(Sums::of_event(WEIGHT, x * VALUE), n));
        let found = row(Metric::Balance(0), sums(each));
        assert_eq!(found.value, Some(45 * VALUE_UNIT));
        close(found.se, 3.700, 0.0005);
        close(found.interval.map(|interval| interval.low), 37.75, 0.005);
        close(found.interval.map(|interval| interval.high), 52.25, 0.005);
    }

    #[test]
    fn f5_f20_a_ratio_is_per_so_many() {
        let ratio = |per| Metric::Ratio { numerator: 0, denominator: 1, per };
        let shipments = Sums::of_base_event(WEIGHT, 425_000 * VALUE);
        let points = sums([Sums::of_event(WEIGHT, 2_783 * VALUE), shipments]);
        assert_eq!(row(ratio(1_000), points).value, Some(6_548_235_294_118));
        let opportunities = Sums::of_base_event(WEIGHT, 3_000 * VALUE);
        let defects = sums([Sums::of_event(WEIGHT, 50 * VALUE), opportunities]);
        assert_eq!(row(ratio(1_000_000), defects).value, Some(16_666_666_666_666_667));
    }

    #[test]
    fn f12_the_interval_of_a_rate_is_per_so_many_too() {
        let each = std::iter::repeat_n(Sums::of_event(WEIGHT, VALUE), 7);
        let all = sums(each.chain([Sums::of_base_event(WEIGHT, 1_000 * VALUE)]));
        let found = row(Metric::Ratio { numerator: 0, denominator: 1, per: 1_000 }, all);
        assert_eq!(found.value, Some(7 * VALUE_UNIT));
        close(found.interval.map(|interval| interval.low), 2.814, 0.0005);
        close(found.interval.map(|interval| interval.high), 14.423, 0.0005);
        close(found.se, 7f64.sqrt(), 1e-9);
    }

    const RATE: Metric = Metric::Ratio { numerator: 0, denominator: 1, per: 1_000 };

    fn rate(events: impl IntoIterator<Item = (i64, i64)>) -> Figures {
        let each = events.into_iter().map(|(weight, value)| Sums::of_event(weight * WEIGHT, value * VALUE));
        row(RATE, sums(each.chain([Sums::of_base_event(WEIGHT, 1_000 * VALUE)])))
    }

    #[test]
    fn a_weighted_rate_has_an_interval_as_wide_as_what_its_events_count() {
        let found = rate([(10, 1), (5, 2)].into_iter().chain([(1, 1); 30]));
        assert_eq!(found.value, Some(50 * VALUE_UNIT));
        close(found.se, 230f64.sqrt(), 1e-9);
        close(found.interval.map(|interval| interval.low), 24.838_1, 5e-5);
        close(found.interval.map(|interval| interval.high), 89.765_7, 5e-5);
        // Their sum is their number, and yet they do not count alike.
        assert_eq!(rate([(1, 0), (1, 2)]).se, Some(2.0));
    }

    #[test]
    fn what_tells_of_no_event_has_no_error_but_that_of_a_count_of_none() {
        let zeros = rate([(1, 0), (3, 0)]);
        assert_eq!((zeros.se, zeros.interval), (None, None));
        assert_eq!(rate([]).se, Some(0.0));
        close(rate([]).interval.map(|interval| interval.high), 3.689, 0.0005);
        let back = rate([(1, 2), (1, -3)]);
        assert_eq!((back.value, back.interval.is_some_and(|interval| interval.high > 0.0)), (Some(-VALUE_UNIT), true));
    }
}
