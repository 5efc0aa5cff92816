//! Metrics that compare the groups of another one, or two metrics of a group.

use satisflow_document::Decimal;
use satisflow_kpi::{Best, Comparison, Family, Metric, Other, RankPart, Shrink, Side, Validity, WindowSpan};

use super::named::{named_sets, named_windows};
use super::{Checker, ResolvedMetric, push_metric};
use crate::raw::{
    RawBest, RawCatalog, RawDirection, RawGap, RawMetric, RawPValue, RawQuotient, RawRank, RawRankChange, RawRankPart,
    RawShrink, RawVitalFew,
};
use crate::resolved::Catalog;

/// Decimals of weights and shares, as the engine takes them.
const DECIMALS: usize = 6;
const WHOLE: i64 = 1_000_000;
const VITAL_DEFAULT: u32 = 800_000;
/// Periods that a metric is compared with itself over: an event stands in the panes of all of them.
const AGO_MAX: u32 = 60;
/// What defects are counted per, where their level of sigma is asked for.
const OPPORTUNITIES: u32 = 1_000_000;
/// Metrics of weighted ranks: each is held once more.
const RANKED_MAX: usize = 8;

/// Fields of a metric that make it a comparison, as far as they are there.
fn said(raw: &RawMetric) -> Vec<&'static str> {
    let fields = [
        ("rank", raw.rank.is_some()),
        ("shrunk", raw.shrunk.is_some()),
        ("total_share", raw.total_share.is_some()),
        ("cumulative_share", raw.cumulative_share.is_some()),
        ("vital_few", raw.vital_few.is_some()),
        ("gap", raw.gap.is_some()),
        ("quotient", raw.quotient.is_some()),
        ("rank_change", raw.rank_change.is_some()),
        ("sigma", raw.sigma.is_some()),
        ("p_value", raw.p_value.is_some()),
        ("weighted_ranks", raw.weighted_ranks.is_some()),
    ];
    fields.into_iter().filter(|(_, is_there)| *is_there).map(|(name, _)| name).collect()
}

/// Number of its fields that aggregate a measure.
fn aggregates(raw: &RawMetric) -> usize {
    let names = [&raw.mean, &raw.share, &raw.balance, &raw.shortfall, &raw.count, &raw.sum, &raw.distinct];
    let names = names.into_iter().chain([&raw.open_count, &raw.open_age]);
    let named = names.flatten().count();
    let others = [raw.ratio.is_some(), raw.quantile.is_some(), raw.survival.is_some()];
    named + others.into_iter().filter(|is_there| *is_there).count()
}

/// Whether a metric compares others.
pub(super) fn is_said(raw: &RawMetric) -> bool {
    !said(raw).is_empty()
}

/// Metrics that stand by themselves: the first so many of the catalog.
struct Bases<'a> {
    catalog: &'a Catalog,
    number: usize,
    raw: &'a RawCatalog,
}

/// A base that was found: its place in the catalog, and what it is.
#[derive(Clone, Copy)]
struct Base {
    index: usize,
    metric: Metric,
}

impl Bases<'_> {
    fn find(&self, at: &str, name: &str, checker: &mut Checker<'_>) -> Option<Base> {
        let bases = &self.catalog.metrics[..self.number];
        if let Some(index) = bases.iter().position(|metric| *metric.name == *name) {
            let of = &self.catalog.plan.definitions[index];
            let is_weighted =
                of.metric.is_of_means() && self.catalog.plan.weightings.contains_key(&of.metric.measure());
            let sees_end = of.metric.is_of_lasting();
            if is_weighted || sees_end || of.validity != Validity::default() {
                let message = format!(
                    "the values of `{name}` depend on a population, on age, on the window's end or on its `validity`"
                );
                checker.problem(at, message, "compare a metric of a measure without them, such as its `count`");
                return None;
            }
            return Some(Base { index, metric: of.metric });
        }
        match self.raw.metrics.get(name) {
            Some(raw) if is_said(raw) => {
                let message = format!("`{name}` compares metrics itself");
                checker.problem(at, message, "name a metric that is an aggregate of a measure");
            }
            // It has problems of its own.
            Some(_) => {}
            None => {
                let known: Vec<&str> = bases.iter().map(|metric| &*metric.name).collect();
                let hint = format!("the metrics that can be compared are {}", known.join(", "));
                checker.problem(at, format!("there is no metric `{name}`"), &hint);
            }
        }
        None
    }

    fn additive(&self, at: &str, name: &str, checker: &mut Checker<'_>) -> Option<Base> {
        let base = self.find(at, name, checker)?;
        if !matches!(base.metric, Metric::Count(_) | Metric::Sum(_)) {
            let message = format!("the values of `{name}` do not add up to a whole");
            checker.problem(at, message, "name a `count` or a `sum`");
            return None;
        }
        Some(base)
    }

    fn averaged(&self, at: &str, name: &str, or_ratio: bool, checker: &mut Checker<'_>) -> Option<Base> {
        let base = self.find(at, name, checker)?;
        let is_ratio = matches!(base.metric, Metric::Ratio { .. });
        let is_mean = matches!(base.metric, Metric::Mean(_) | Metric::Share(_) | Metric::Balance(_));
        if is_mean || (is_ratio && or_ratio) {
            return Some(base);
        }
        let hint = match or_ratio {
            true => "name a `mean`, `share`, `balance` or `ratio`",
            false => "name a `mean`, `share` or `balance`",
        };
        checker.problem(at, format!("`{name}` is no mean"), hint);
        None
    }
}

/// Adds a comparison of metrics that stand by themselves, the first `number` of the catalog.
pub(super) fn add(
    catalog: &mut Catalog,
    number: usize,
    raw: &RawCatalog,
    name: &str,
    metric: &RawMetric,
    checker: &mut Checker<'_>,
) {
    let pointer = format!("/metrics/{name}");
    let kinds = said(metric).len() + aggregates(metric);
    if kinds != 1 {
        let message = format!("a metric has exactly one aggregate or comparison, here are {kinds}");
        checker.problem(&pointer, message, "make a metric of each");
        return;
    }
    let bases = Bases { catalog, number, raw };
    let found = comparison(&bases, &pointer, metric, checker);
    let windows =
        metric.windows.as_ref().map(|own| named_windows(catalog, &format!("{pointer}/windows"), own, checker));
    let sets = metric.grouping_sets.as_ref();
    let sets = sets.map(|own| named_sets(catalog, &format!("{pointer}/grouping_sets"), own, checker));
    let Some((base, compared)) = found else { return };
    let of = &catalog.plan.definitions[base.index];
    let windows = windows.unwrap_or_else(|| of.windows.clone());
    has_periods(catalog, &pointer, &compared, &windows, checker);
    let own = sets.is_some();
    let of_base = || of.grouping_sets.iter().map(|set| catalog.plan.grouping_sets[*set].clone()).collect();
    let sets = with_groups(sets.unwrap_or_else(of_base), own, &compared, (&pointer, &of.name), checker);
    let resolved = ResolvedMetric {
        metric: base.metric,
        compared: Some(compared),
        windows,
        sets,
        n_min: metric.n_min.map_or(of.n_min, i64::from),
        groups_max: metric.groups_max.map_or(of.groups_max, |most| most as usize),
        validity: Validity::default(),
    };
    push_metric(catalog, name, metric, resolved, checker);
}

/// What was some periods ago needs windows that have periods.
fn has_periods(catalog: &Catalog, pointer: &str, compared: &Comparison, windows: &[usize], checker: &mut Checker<'_>) {
    if compared.others().all(|other| other.ago == 0) {
        return;
    }
    for window in windows.iter().map(|window| &catalog.plan.windows[*window]) {
        match window.span {
            WindowSpan::Calendar { last, .. } if shares_events(compared, last) => {
                let message = format!("window `{}` has events in common with that of so few periods ago", window.name);
                checker.problem(pointer, message, &format!("`ago: {last}`, or a window of fewer periods"));
            }
            WindowSpan::Calendar { .. } => {}
            _ => {
                let message = format!("window `{}` has no periods before it", window.name);
                checker.problem(pointer, message, "name calendar windows alone: `windows: [month]`");
            }
        }
    }
}

/// The error of a difference is that of samples that have no event in common.
fn shares_events(compared: &Comparison, last: u32) -> bool {
    matches!(compared, Comparison::Minus(other) if last > other.ago)
}

/// The grouping sets that have groups to be compared; the total has none, and is left out unless it is asked for.
fn with_groups(
    sets: Vec<Vec<usize>>,
    own: bool,
    compared: &Comparison,
    (pointer, of): (&str, &str),
    checker: &mut Checker<'_>,
) -> Vec<Vec<usize>> {
    let groups = !compared.is_of_each_group();
    let total = sets.iter().position(Vec::is_empty).filter(|_| groups);
    if let Some(index) = total.filter(|_| own) {
        let message = "the total has no other groups to be compared with".to_owned();
        checker.problem(&format!("{pointer}/grouping_sets/{index}"), message, "leave `[]` out");
    }
    let sets: Vec<Vec<usize>> = sets.into_iter().filter(|set| !groups || !set.is_empty()).collect();
    if sets.is_empty() && !own {
        let message = format!("`{of}` has no grouping set but the total: there is nothing to compare");
        checker.problem(pointer, message, "give this metric `grouping_sets`");
    }
    sets
}

/// The metric that comes first, and what is said of it.
fn comparison(
    bases: &Bases<'_>,
    pointer: &str,
    raw: &RawMetric,
    checker: &mut Checker<'_>,
) -> Option<(Base, Comparison)> {
    let at = |field: &str| format!("{pointer}/{field}");
    if let Some(raw) = raw.rank.as_ref().filter(|raw| raw.minus.is_some() || raw.times.is_some()) {
        return rank_of_gap(bases, &at("rank"), raw, checker);
    }
    if let Some(raw) = &raw.rank {
        let of = match raw.shrink {
            None => bases.find(&at("rank/of"), &raw.of, checker),
            Some(_) => bases.averaged(&at("rank/of"), &raw.of, false, checker),
        };
        let shrink = raw.shrink.as_ref().map(|raw| shrink(&at("rank/shrink"), raw, checker));
        let shrink = if let Some(shrink) = shrink { Some(shrink?) } else { None };
        return Some((of?, Comparison::Rank { best: best(raw.best), shrink }));
    }
    if let Some(raw) = &raw.shrunk {
        let of = bases.averaged(&at("shrunk/of"), &raw.of, false, checker);
        let drawn = RawShrink { weight: raw.weight.clone(), toward: raw.toward.clone() };
        let shrink = shrink(&at("shrunk"), &drawn, checker);
        return Some((of?, Comparison::Shrunk(shrink?)));
    }
    if let Some(name) = &raw.total_share {
        return Some((bases.additive(&at("total_share"), name, checker)?, Comparison::TotalShare));
    }
    if let Some(name) = &raw.cumulative_share {
        return Some((bases.additive(&at("cumulative_share"), name, checker)?, Comparison::CumulativeShare));
    }
    if let Some(raw) = &raw.vital_few {
        let of = bases.additive(&at("vital_few/of"), &raw.of, checker);
        let millionths = vital_share(&at("vital_few/share"), raw, checker);
        return Some((of?, Comparison::VitalFew { millionths: millionths? }));
    }
    if let Some(raw) = &raw.gap {
        return gap(bases, &at("gap"), raw, checker);
    }
    if let Some(raw) = &raw.quotient {
        return quotient(bases, &at("quotient"), raw, checker);
    }
    if let Some(raw) = &raw.rank_change {
        return rank_change(bases, &at("rank_change"), raw, checker);
    }
    if let Some(name) = &raw.sigma {
        return Some((per_million(bases, &at("sigma"), name, checker)?, Comparison::Sigma));
    }
    if let Some(raw) = &raw.p_value {
        return p_value(bases, &at("p_value"), raw, checker);
    }
    weighted_ranks(bases, &at("weighted_ranks"), raw.weighted_ranks.as_deref()?, checker)
}

fn rank_of_gap(bases: &Bases<'_>, at: &str, raw: &RawRank, checker: &mut Checker<'_>) -> Option<(Base, Comparison)> {
    let (Some(minus), None) = (&raw.minus, &raw.shrink) else {
        let message = "a rank of differences is not shrunk, and says what is taken away".to_owned();
        checker.problem(at, message, "`rank: { of: NAME, minus: NAME, times: NAME }`");
        return None;
    };
    let of = bases.find(&format!("{at}/of"), &raw.of, checker);
    let minus = bases.find(&format!("{at}/minus"), minus, checker);
    let times = match &raw.times {
        Some(name) => Some(bases.find(&format!("{at}/times"), name, checker)?.metric),
        None => None,
    };
    Some((of?, Comparison::RankOfGap { minus: minus?.metric, times, best: best(raw.best) }))
}

fn best(raw: RawBest) -> Best {
    match raw {
        RawBest::High => Best::High,
        RawBest::Low => Best::Low,
    }
}

fn positive(at: &str, number: &Decimal, checker: &mut Checker<'_>) -> Option<i64> {
    let found = number.scaled(DECIMALS).filter(|weight| *weight > 0);
    if found.is_none() {
        let message = format!("`{}` is not a weight above 0 of at most {DECIMALS} decimals", number.written());
        checker.problem(at, message, "such as 20 or 0.5");
    }
    found
}

fn shrink(at: &str, raw: &RawShrink, checker: &mut Checker<'_>) -> Option<Shrink> {
    let weight = positive(&format!("{at}/weight"), &raw.weight, checker);
    let toward = raw.toward.as_ref().map(|toward| (toward, toward.scaled(DECIMALS)));
    if let Some((toward, None)) = toward {
        let message = format!("`{}` is not a number of at most {DECIMALS} decimals", toward.written());
        checker.problem(
            &format!("{at}/toward"),
            message,
            "such as 80; left out, it is the mean of all groups together",
        );
        return None;
    }
    Some(Shrink { weight: weight?, toward: toward.and_then(|(_, toward)| toward) })
}

fn vital_share(at: &str, raw: &RawVitalFew, checker: &mut Checker<'_>) -> Option<u32> {
    let Some(share) = &raw.share else { return Some(VITAL_DEFAULT) };
    let found = share.scaled(DECIMALS).filter(|share| (1..=WHOLE).contains(share));
    if found.is_none() {
        let message =
            format!("`{}` is not a share above 0 and at most 1, of at most {DECIMALS} decimals", share.written());
        checker.problem(at, message, "such as 0.8");
    }
    u32::try_from(found?).ok()
}

fn gap(bases: &Bases<'_>, at: &str, raw: &RawGap, checker: &mut Checker<'_>) -> Option<(Base, Comparison)> {
    let of_at = format!("{at}/of");
    match (&raw.minus, raw.others, raw.ago) {
        (None, false, Some(ago)) => {
            let (of, before) = beside_itself(bases, at, (&raw.of, ago), checker)?;
            Some((of, less(before, raw.relative)))
        }
        (Some(name), false, None) => {
            let of = bases.find(&of_at, &raw.of, checker);
            let minus = bases.find(&format!("{at}/minus"), name, checker);
            Some((of?, less(minus?.metric.into(), raw.relative)))
        }
        (None, true, None) if !raw.relative => {
            Some((bases.averaged(&of_at, &raw.of, true, checker)?, Comparison::Others))
        }
        _ => {
            let message = "what is taken away is said in no or in two ways".to_owned();
            checker.problem(
                at,
                message,
                "`minus: NAME` of a metric or `ago: 1`, `relative: true` or not, or `others: true` alone",
            );
            None
        }
    }
}

fn less(other: Other, relative: bool) -> Comparison {
    if relative { Comparison::Change(other) } else { Comparison::Minus(other) }
}

/// A metric, and the same as it was some periods before.
fn beside_itself(
    bases: &Bases<'_>,
    at: &str,
    (of, ago): (&str, u32),
    checker: &mut Checker<'_>,
) -> Option<(Base, Other)> {
    let of = bases.find(&format!("{at}/of"), of, checker);
    if !(1..=AGO_MAX).contains(&ago) {
        let hint = format!("from 1 to {AGO_MAX}: 1 is the period before");
        checker.problem(&format!("{at}/ago"), format!("`{ago}` periods ago"), &hint);
        return None;
    }
    of.map(|of| (of, Other { metric: of.metric, ago }))
}

fn rank_change(
    bases: &Bases<'_>,
    at: &str,
    raw: &RawRankChange,
    checker: &mut Checker<'_>,
) -> Option<(Base, Comparison)> {
    let (of, from) = beside_itself(bases, at, (&raw.of, raw.ago.unwrap_or(1)), checker)?;
    Some((of, Comparison::Climbed { from, best: best(raw.best) }))
}

fn quotient(bases: &Bases<'_>, at: &str, raw: &RawQuotient, checker: &mut Checker<'_>) -> Option<(Base, Comparison)> {
    let of = bases.find(&format!("{at}/of"), &raw.of, checker);
    let by = bases.find(&format!("{at}/by"), &raw.by, checker);
    Some((of?, Comparison::Quotient(by?.metric.into())))
}

fn per_million(bases: &Bases<'_>, at: &str, name: &str, checker: &mut Checker<'_>) -> Option<Base> {
    let base = bases.find(at, name, checker)?;
    if !matches!(base.metric, Metric::Ratio { per: OPPORTUNITIES, .. }) {
        let message = format!("the values of `{name}` are no defects per million opportunities");
        checker.problem(at, message, "name a `ratio` with `per: 1000000`");
        return None;
    }
    Some(base)
}

fn p_value(bases: &Bases<'_>, at: &str, raw: &RawPValue, checker: &mut Checker<'_>) -> Option<(Base, Comparison)> {
    let of = bases.find(&format!("{at}/of"), &raw.of, checker);
    let from = bases.find(&format!("{at}/from"), &raw.from, checker);
    let (of, from) = (of?, from?.metric);
    let are_alike = std::mem::discriminant(&of.metric) == std::mem::discriminant(&from);
    if !are_alike || Family::of(from).is_none() {
        let message = format!("there is no test of `{}` and `{}`", raw.of, raw.from);
        checker.problem(at, message, "name two shares, two means, two balances, or two ratios of counts");
        return None;
    }
    let side = match raw.direction {
        RawDirection::Fall => Side::Below,
        RawDirection::Rise => Side::Above,
    };
    Some((of, Comparison::PValue { from: from.into(), side }))
}

fn weighted_ranks(
    bases: &Bases<'_>,
    at: &str,
    raw: &[RawRankPart],
    checker: &mut Checker<'_>,
) -> Option<(Base, Comparison)> {
    if raw.is_empty() || raw.len() > RANKED_MAX {
        let message = format!("{} metrics are ranked here", raw.len());
        checker.problem(at, message, &format!("from 1 to {RANKED_MAX}, such as `[{{ of: NAME, weight: 1 }}]`"));
        return None;
    }
    let mut found = Vec::new();
    for (index, part) in raw.iter().enumerate() {
        let of = bases.find(&format!("{at}/{index}/of"), &part.of, checker);
        let weight = positive(&format!("{at}/{index}/weight"), &part.weight, checker);
        found.push(of.zip(weight).map(|(of, weight)| (of, weight, best(part.best))));
    }
    let found = found.into_iter().collect::<Option<Vec<_>>>()?;
    let first = found.first()?.0;
    let part = |(of, weight, best): &(Base, i64, Best)| RankPart { metric: of.metric, weight: *weight, best: *best };
    Some((first, Comparison::WeightedRanks(found.iter().map(part).collect())))
}
