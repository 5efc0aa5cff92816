//! One group's rows at one end: what they say for and against an alert.

use std::collections::BTreeMap;

use satisflow_kpi::level::change;
use satisflow_kpi::{Family, Level, Metric, Side, Sums};
use satisflow_stats::control_charts::{cusum_low_next, ewma_half_width, ewma_next, laney_sigma_z};
use satisflow_stats::distributions::normal_cdf;

use crate::Point;
use crate::rule::{Kind, Rule};

/// A probability above this is no sign of a change any more.
const QUIET_P: f64 = 0.05;
/// Sigmas of the limits that the formulas have built in.
const SIGMAS: f64 = 3.0;

/// What an alert rests on.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// The window's row.
    pub point: Point,
    /// What it was compared with.
    pub baseline: Option<Level>,
    /// The rule's statistic: z (of a rate the ratio to the baseline), EWMA, CUSUM; the value of a bound.
    pub statistic: Option<f64>,
    /// One-sided probability without a change; of a CUSUM at most this. `None` for bounds.
    pub p: Option<f64>,
    /// What the statistic had to be beyond.
    pub limit: Option<f64>,
    /// Largest probability that all groups together allowed.
    pub p_limit: Option<f64>,
    /// Groups decided together.
    pub groups: usize,
}

/// What a group's rows say at one end.
#[derive(Debug, Clone)]
pub(crate) struct Verdict {
    pub(crate) evidence: Evidence,
    /// Beyond the rule's limit, before other groups are looked at.
    pub(crate) beyond: bool,
    /// No sign of it in this window.
    pub(crate) quiet: bool,
}

/// A group's rows.
pub(crate) struct Rows<'a> {
    pub(crate) rule: &'a Rule,
    pub(crate) points: &'a BTreeMap<i64, Point>,
    /// Of the slower window.
    pub(crate) slow: &'a BTreeMap<i64, Point>,
    /// What an open alert was compared with.
    pub(crate) held: Option<Level>,
    /// Windows that start before this are not summed up: an alert has cleared since.
    pub(crate) since: Option<i64>,
}

impl Rows<'_> {
    /// `None` where too little is known.
    pub(crate) fn verdict(&self, end: i64) -> Option<Verdict> {
        let point = self.points.get(&end).filter(|point| point.whole && point.n >= self.rule.n_min)?;
        match &self.rule.kind {
            Kind::Bound { bound, clear, for_micros } => self.bound(point, *bound, *clear, *for_micros),
            Kind::Burn { bound, clear, .. } => self.burn(point, *bound, *clear),
            _ => self.statistical(point),
        }
    }

    fn is_beyond(&self, point: &Point, bound: f64) -> bool {
        point.value_f64().is_some_and(|value| self.rule.side.beyond(value, bound) > 0.0)
    }

    fn bound(&self, point: &Point, bound: f64, clear: f64, for_micros: i64) -> Option<Verdict> {
        let value = point.value_f64()?;
        let from = point.end - for_micros;
        let beyond = |point: &Point| point.whole && point.n >= self.rule.n_min && self.is_beyond(point, bound);
        // A row that comes less often than `for` is believed at once.
        let is_fine = self.rule.step().is_some_and(|step| step <= for_micros);
        let before = self.points.range(..=from).next_back();
        let began = !is_fine || before.is_some_and(|(_, point)| beyond(point));
        let lasts = self.points.range((from + 1).min(point.end)..=point.end).all(|(_, point)| beyond(point));
        let lasts = lasts && began && beyond(point);
        Some(Verdict { evidence: plain(point, value, bound), beyond: lasts, quiet: !self.is_beyond(point, clear) })
    }

    fn burn(&self, point: &Point, bound: f64, clear: f64) -> Option<Verdict> {
        let value = point.value_f64()?;
        let slow = self.slow.range(..=point.end).next_back();
        let is_beyond = |slow: &Point| slow.whole && slow.n >= self.rule.n_min && self.is_beyond(slow, bound);
        let slow_is_beyond = slow.is_some_and(|(_, slow)| is_beyond(slow));
        Some(Verdict {
            evidence: plain(point, value, bound),
            beyond: slow_is_beyond && self.is_beyond(point, bound),
            quiet: !self.is_beyond(point, clear),
        })
    }

    fn statistical(&self, point: &Point) -> Option<Verdict> {
        let (windows, over) = self.rule.kind.windows();
        let comb = self.comb(point.end, (windows + over) as usize);
        let judged = comb.len().min(over as usize);
        let baseline = match self.held {
            Some(held) => held,
            None => self.baseline(&comb[judged..], windows)?,
        };
        let metric = self.rule.metric;
        let recent: Vec<Level> = self.recent(&comb[..judged]).filter_map(|p| Level::of(metric, &p.sums)).collect();
        let now = Level::of(metric, &point.sums)?;
        let (statistic, p, limit, beyond) = self.statistic(&baseline, &recent, &now)?;
        // Of sums over windows the newest one tells whether it goes on.
        let p_now = match self.rule.kind {
            Kind::Cusum { .. } => normal_cdf(-baseline.distance(&now, self.rule.side)?),
            _ => p,
        };
        let evidence =
            Evidence { baseline: Some(baseline), p: Some(p), p_limit: None, ..plain(point, statistic, limit) };
        Some(Verdict { evidence, beyond, quiet: p_now > QUIET_P })
    }

    fn statistic(&self, baseline: &Level, recent: &[Level], now: &Level) -> Option<(f64, f64, f64, bool)> {
        let side = self.rule.side;
        let distances = || recent.iter().rev().filter_map(|level| baseline.distance(level, side));
        Some(match self.rule.kind {
            Kind::Drop { p_max, by, .. } => {
                let (statistic, p) = change(self.rule.metric, side, baseline, now)?;
                (statistic, p, p_max, p <= p_max && side.beyond(now.value, baseline.value) >= by)
            }
            Kind::Chart { sigmas, .. } => {
                let distance = baseline.distance(now, side)?;
                (distance, normal_cdf(-distance), sigmas, distance > sigmas)
            }
            Kind::Ewma { lambda, sigmas, .. } => {
                let mean = distances().fold(0.0, |before, x| ewma_next(before, x, lambda));
                let limit = ewma_half_width(sigmas / SIGMAS, lambda);
                (mean, normal_cdf(-mean * sigmas / limit), limit, mean > limit)
            }
            Kind::Cusum { k, h, .. } => {
                let sum = distances().fold(0.0, |before, x| cusum_low_next(before, -x, 0.0, 1.0, k));
                // Lundberg's bound of a sum of normal steps that lean back by k.
                (sum, (-2.0 * k * sum).exp(), h, sum > h)
            }
            Kind::Bound { .. } | Kind::Burn { .. } => return None,
        })
    }

    /// The newest windows since an alert of the group has cleared.
    fn recent<'b>(&self, comb: &'b [&'b Point]) -> impl Iterator<Item = &'b Point> {
        let since = self.since.unwrap_or(i64::MIN);
        comb.iter().copied().take_while(move |point| point.start.is_none_or(|start| start >= since))
    }

    /// Windows back from an end that do not overlap, the newest first; empty ones are passed over.
    pub(crate) fn comb(&self, end: i64, windows: usize) -> Vec<&Point> {
        let usable = |point: &&Point| point.whole && point.n > 0;
        match self.rule.length() {
            Some(length) => (0..windows as i64)
                .filter_map(|back| {
                    let nominal = end - back * length;
                    // Between rows the content does not change, and none outlives its window.
                    let (_, point) = self.points.range(nominal - length..=nominal).next_back()?;
                    Some(point).filter(usable)
                })
                .collect(),
            None => self.points.range(..=end).rev().map(|(_, point)| point).filter(usable).take(windows).collect(),
        }
    }

    /// The level of the windows before; at least half of them have to be there.
    fn baseline(&self, comb: &[&Point], windows: u32) -> Option<Level> {
        if comb.len() * 2 < windows as usize {
            return None;
        }
        let level = pooled(self.rule.metric, comb)?;
        let laney = matches!(self.rule.kind, Kind::Chart { laney: true, .. });
        let dispersion = if laney { dispersion(self.rule.metric, &level, comb) } else { 1.0 };
        let n: i64 = comb.iter().map(|point| point.n).sum();
        (n >= self.rule.n_min).then_some(Level { dispersion, ..level })
    }
}

fn plain(point: &Point, statistic: f64, limit: f64) -> Evidence {
    let (statistic, limit) = (Some(statistic).filter(|s| s.is_finite()), Some(limit));
    Evidence { point: point.clone(), baseline: None, statistic, p: None, limit, p_limit: None, groups: 1 }
}

/// The level of all events of some windows, from their exact moments.
fn pooled(metric: Metric, windows: &[&Point]) -> Option<Level> {
    let mut sums = Sums::default();
    for point in windows {
        sums.add(&point.sums).ok()?;
    }
    Level::of(metric, &sums)
}

/// Laney's factor, oldest window first; never narrower than chance alone.
fn dispersion(metric: Metric, level: &Level, windows: &[&Point]) -> f64 {
    let levels = windows.iter().rev().filter_map(|point| Level::of(metric, &point.sums));
    let found = match Family::of(metric) {
        Some(Family::Share) => {
            let groups: Vec<(f64, f64)> = levels.map(|level| (level.value, level.size)).collect();
            laney_sigma_z(&groups, level.value)
        }
        _ => moving_range(&levels.filter_map(|one| level.distance(&one, Side::Above)).collect::<Vec<_>>()),
    };
    found.filter(|factor| factor.is_finite()).map_or(1.0, |factor| factor.max(1.0))
}

/// Mean of the range of two normal values, in standard deviations.
const D2: f64 = 1.128;

/// Laney's factor of u and mean charts, from standardised levels.
fn moving_range(z: &[f64]) -> Option<f64> {
    let steps = z.windows(2).map(|pair| (pair[1] - pair[0]).abs());
    (z.len() >= 2).then(|| steps.sum::<f64>() / (z.len() - 1) as f64 / D2)
}
