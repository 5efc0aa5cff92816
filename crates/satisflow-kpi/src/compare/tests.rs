//! The worked examples F5 and F24, and the rules of ties and of nothing.

use super::*;
use crate::sums::Sums;

const W: i64 = 1_000_000;
const NAMES: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];

fn definition(metric: Metric, compared: Comparison) -> Definition {
    Definition {
        name: "kpi".into(),
        fingerprint: "f".into(),
        metric,
        compared: Some(compared),
        windows: Vec::new(),
        grouping_sets: Vec::new(),
        groups_max: 10,
        topics: None,
        n_min: 1,
        validity: crate::Validity::default(),
    }
}

/// Groups of so many events of a value each, by metric.
fn entries(groups: &[&[(i64, i64)]]) -> Vec<Entry> {
    let entry = |(group, metrics): (u32, &&[(i64, i64)])| {
        let mut content = Content::default();
        for (metric, (n, value)) in metrics.iter().enumerate() {
            let mut sums = Sums::default();
            (0..*n).for_each(|_| sums.add(&Sums::of_event(W, *value * 10_000)).unwrap());
            content.join(metric, &sums.into());
        }
        Entry { group, content, own: true, was_own: true }
    };
    (0u32..).zip(groups).map(entry).collect()
}

fn compared(metric: Metric, compared: Comparison, groups: &[&[(i64, i64)]]) -> Vec<Compared> {
    let names: Vec<Arc<str>> = NAMES.iter().map(|name| (*name).into()).collect();
    let name = |group: u32| vec![Some(&names[group as usize])];
    compare(&definition(metric, compared), &entries(groups), name).unwrap()
}

fn values_of(metric: Metric, comparison: Comparison, groups: &[&[(i64, i64)]]) -> Vec<Option<f64>> {
    let float = |value: i128| value as f64 / VALUE_UNIT as f64;
    compared(metric, comparison, groups).into_iter().map(|compared| compared.value.map(float)).collect()
}

/// Counts of failures of a carrier: reopened, damaged, international, invoice, late pickup,
/// lost, missed proof, right-day-late, traces, wrong-day-late.
const ERRORS: [(i64, i64); 10] =
    [(3, 125), (10, 18), (1, 102), (1, 282), (3, 209), (10, 2), (1, 26), (1, 751), (3, 115), (5, 15)];

fn vital(points: impl Fn((i64, i64)) -> i64) -> (Vec<usize>, f64) {
    let sums: Vec<[(i64, i64); 1]> = ERRORS.iter().map(|error| [(1, points(*error))]).collect();
    let groups: Vec<&[(i64, i64)]> = sums.iter().map(|sum| &sum[..]).collect();
    let flags = values_of(Metric::Sum(0), Comparison::VitalFew { millionths: 800_000 }, &groups);
    let shares = values_of(Metric::Sum(0), Comparison::CumulativeShare, &groups);
    let few: Vec<usize> = (0..10).filter(|at| flags[*at] == Some(1.0)).collect();
    let reached = few.iter().filter_map(|at| shares[*at]).fold(0.0, f64::max);
    (few, reached)
}

#[test]
fn f5_the_vital_few_by_points_and_by_number() {
    let (few, share) = vital(|(weight, count)| weight * count);
    assert_eq!(few, [0, 3, 4, 7, 8], "reopened, invoice, late pickup, right-day-late, traces");
    assert!((share - 0.8552).abs() < 5e-5, "{share}");
    let (few, share) = vital(|(_, count)| count);
    assert_eq!(few, [0, 3, 4, 7], "reopened, invoice, late pickup, right-day-late");
    assert!((share - 0.8310).abs() < 5e-5, "{share}");
}

#[test]
fn f24_few_events_are_drawn_toward_the_mean() {
    let shrink = |toward| Comparison::Shrunk(Shrink { weight: 20 * W, toward });
    assert_eq!(values_of(Metric::Mean(0), shrink(Some(80 * W)), &[&[(5, 60)]]), [Some(76.0)]);
    // Of all: (5 * 60 + 15 * 80) / 20 = 75.
    let drawn = values_of(Metric::Mean(0), shrink(None), &[&[(5, 60)], &[(15, 80)]]);
    // (20 * 75 + 15 * 80) / 35, at 12 decimals.
    assert_eq!(drawn, [Some(72.0), Some(77.142_857_142_857)]);
}

#[test]
fn equal_values_share_the_least_rank_and_nothing_has_none() {
    let groups: [&[(i64, i64)]; 5] = [&[(1, 70)], &[(2, 90)], &[(9, 70)], &[(0, 0)], &[(1, 10)]];
    let rank = |best| values_of(Metric::Mean(0), Comparison::Rank { best, shrink: None }, &groups);
    assert_eq!(rank(Best::High), [Some(2.0), Some(1.0), Some(2.0), None, Some(4.0)]);
    assert_eq!(rank(Best::Low), [Some(2.0), Some(4.0), Some(2.0), None, Some(1.0)]);
    let shrink = Some(Shrink { weight: 10 * W, toward: Some(80 * W) });
    let drawn = values_of(Metric::Mean(0), Comparison::Rank { best: Best::Low, shrink }, &groups);
    assert_eq!(drawn, [Some(3.0), Some(4.0), Some(2.0), None, Some(1.0)]);
}

#[test]
fn of_equal_values_the_lesser_name_comes_first_in_a_pareto() {
    let groups: [&[(i64, i64)]; 4] = [&[(1, 1)], &[(1, 2)], &[(1, 1)], &[(0, 0)]];
    let shares = values_of(Metric::Sum(0), Comparison::CumulativeShare, &groups);
    assert_eq!(shares, [Some(0.75), Some(0.5), Some(1.0), None]);
    assert_eq!(values_of(Metric::Sum(0), Comparison::TotalShare, &groups), [Some(0.25), Some(0.5), Some(0.25), None]);
    let few = |millionths| values_of(Metric::Sum(0), Comparison::VitalFew { millionths }, &groups);
    assert_eq!(few(750_000), [Some(1.0), Some(1.0), Some(0.0), None]);
    assert_eq!(few(750_001), [Some(1.0), Some(1.0), Some(1.0), None]);
    assert_eq!(values_of(Metric::Sum(0), Comparison::TotalShare, &[&[(1, 0)]]), [None], "of nothing no share");
}

#[test]
fn a_gap_has_the_error_of_both() {
    let spread = |low: i64, high: i64| {
        let mut sums = Sums::default();
        [low, high].iter().for_each(|value| sums.add(&Sums::of_event(W, value * 10_000)).unwrap());
        Content::from(sums)
    };
    let mut content = spread(6, 8);
    content.join(1, &spread(1, 5));
    let entry = Entry { group: 0, content, own: true, was_own: true };
    let of = definition(Metric::Mean(0), Comparison::Minus(Metric::Mean(1).into()));
    let [found] = compare(&of, std::slice::from_ref(&entry), |_| Vec::new()).unwrap()[..] else { panic!() };
    assert_eq!(found.value, Some(4 * VALUE_UNIT));
    let errors = [&entry.content, entry.content.of_metric(1).unwrap()]
        .map(|content| crate::stats::standard_error(&content.sums).unwrap());
    assert_eq!(found.se, Some(errors[0].hypot(errors[1])));
    assert_eq!(found.interval, found.se.map(|se| normal(4.0, se)));
    let one_sided = compared(Metric::Mean(0), Comparison::Minus(Metric::Mean(1).into()), &[&[(1, 5)]]);
    assert_eq!(one_sided, [Compared::default()]);
}

#[test]
fn a_change_is_a_part_of_what_was_before() {
    let change =
        |groups: &[&[(i64, i64)]]| values_of(Metric::Mean(0), Comparison::Change(Metric::Mean(1).into()), groups);
    let groups: [&[(i64, i64)]; 4] = [&[(1, 22), (1, 40)], &[(1, 5), (1, 4)], &[(1, 5), (1, 0)], &[(1, 5)]];
    assert_eq!(change(&groups), [Some(-0.45), Some(0.25), None, None]);
}

#[test]
fn a_quotient_is_a_part_of_another_metric() {
    let of = Comparison::Quotient(Metric::Mean(1).into());
    let groups: [&[(i64, i64)]; 4] = [&[(1, 3), (1, 8)], &[(1, 0), (1, 4)], &[(1, 5), (1, 0)], &[(1, 5)]];
    assert_eq!(values_of(Metric::Mean(0), of, &groups), [Some(0.375), Some(0.0), None, None]);
}

#[test]
fn others_are_all_but_the_group_itself() {
    let groups: [&[(i64, i64)]; 3] = [&[(1, 90)], &[(3, 60)], &[(1, 80)]];
    let gaps = values_of(Metric::Mean(0), Comparison::Others, &groups);
    assert_eq!(gaps, [Some(25.0), Some(-25.0), Some(12.5)]);
    assert_eq!(values_of(Metric::Mean(0), Comparison::Others, &groups[..1]), [None], "there are none");
}

#[test]
fn weighted_ranks_run_from_0_for_the_worst_to_1_for_the_best() {
    let part = |measure, weight, best| RankPart { metric: Metric::Mean(measure), weight, best };
    let parts = vec![part(0, W / 2, Best::High), part(1, W / 2, Best::Low)];
    let groups: [&[(i64, i64)]; 4] = [&[(1, 9), (1, 1)], &[(1, 5), (1, 2)], &[(1, 1), (1, 2)], &[(1, 7)]];
    let found = values_of(Metric::Mean(0), Comparison::WeightedRanks(parts), &groups);
    assert_eq!(found, [Some(1.0), Some(0.25), Some(0.0), None], "who lacks one metric is not ranked");
}

/// So many events of 1 each in so much exposure.
fn rate(events: i64, exposure: i64) -> Sums {
    let mut sums = Sums::of_base_event(W, exposure * 10_000);
    (0..events).for_each(|_| sums.add(&Sums::of_event(W, 10_000)).unwrap());
    sums
}

fn of_rates(metric: Metric, comparison: Comparison, rates: &[Sums]) -> Option<i128> {
    let mut content = Content::default();
    rates.iter().enumerate().for_each(|(number, sums)| content.join(number, &(*sums).into()));
    let entry = Entry { group: 0, content, own: true, was_own: true };
    compare(&definition(metric, comparison), &[entry], |_| Vec::new()).unwrap()[0].value
}

#[test]
fn f20_the_level_of_sigma_of_a_ratio_per_million() {
    let dpmo = Metric::Ratio { numerator: 0, denominator: 1, per: 1_000_000 };
    let level = |defects| of_rates(dpmo, Comparison::Sigma, &[rate(defects, 3000)]);
    // 16,666.67 defects per million: 3.628.
    assert_eq!(level(50).map(|level| level / 1_000_000_000), Some(3628));
    assert_eq!(level(50).map(|level| level % 1_000_000), Some(0), "6 decimals");
    assert_eq!([level(0), level(3000)], [None, None]);
}

#[test]
fn f16_the_probability_of_a_fall_of_a_rate_from_40_to_22() {
    let per_thousand = |numerator| Metric::Ratio { numerator, denominator: numerator + 1, per: 1000 };
    let p = |side, before, after| {
        let comparison = Comparison::PValue { from: per_thousand(2).into(), side };
        of_rates(per_thousand(0), comparison, &[rate(after, 1000), rate(before, 1000)])
    };
    let fall = p(Side::Below, 40, 22).unwrap();
    assert_eq!((fall + 5_000_000) / 10_000_000, 1501, ".01501");
    let rise = p(Side::Above, 22, 40).unwrap();
    assert_eq!(rise, fall, "the same, seen from the other end");
    assert!(p(Side::Below, 22, 40).unwrap() > 900_000_000_000);
    assert_eq!(p(Side::Below, 0, 0), Some(VALUE_UNIT), "none before, and none after");
}
