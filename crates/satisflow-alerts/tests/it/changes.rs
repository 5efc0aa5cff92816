//! Tests that tell a change from chance.

use satisflow_alerts::{Decider, Kind, Side};
use satisflow_kpi::{Metric, Sums};

use crate::{HOUR, decider, drop_of, revised, row, rule, share, told, usual};

const NOTHING: Vec<String> = Vec::new();

/// The usual, a bad time, and the usual again.
fn scene(kind: Kind, bad: i64) -> Vec<String> {
    let mut decider = decider(kind);
    let mut said = told(&mut decider, usual("Toys", 1..=40));
    said.extend(told(&mut decider, (41..=46).map(|hour| vec![share("Toys", hour, bad, 200)])));
    said.extend(told(&mut decider, usual("Toys", 47..=56)));
    said
}

const OPEN_AT_ONCE: [&str; 2] = ["open Toys 41 decided of 41", "clear Toys 49 decided of 41"];

#[test]
fn a_significant_drop_opens_once_and_clears_when_it_has_been_quiet_three_times() {
    assert_eq!(scene(drop_of(20), 130), OPEN_AT_ONCE);
}

#[test]
fn a_p_chart_opens_beyond_three_sigmas() {
    assert_eq!(scene(Kind::Chart { baseline: 20, sigmas: 3.0, laney: false }, 130), OPEN_AT_ONCE);
    assert_eq!(scene(Kind::Chart { baseline: 20, sigmas: 3.0, laney: true }, 130), OPEN_AT_ONCE);
    // 2.7 sigmas of 5.66 below 160.
    assert_eq!(scene(Kind::Chart { baseline: 20, sigmas: 3.0, laney: false }, 145), NOTHING);
}

#[test]
fn small_shifts_that_stay_are_found_by_sums_and_means_over_windows() {
    // 1.8 sigmas: no single window shows it.
    assert_eq!(scene(drop_of(20), 150), NOTHING);
    let ewma = scene(Kind::Ewma { baseline: 20, over: 10, lambda: 0.3, sigmas: 3.0 }, 150);
    assert_eq!(ewma, ["open Toys 44 decided of 44", "clear Toys 51 decided of 44"]);
    let cusum = scene(Kind::Cusum { baseline: 20, over: 10, k: 0.5, h: 5.0 }, 150);
    assert_eq!(cusum, ["open Toys 44 decided of 44", "clear Toys 49 decided of 44"]);
}

#[test]
fn windows_of_more_than_chance_widen_laneys_limit() {
    let wobble = |hour: i64| vec![share("Toys", hour, if hour % 2 == 0 { 140 } else { 180 }, 200)];
    let scene = |laney| {
        let mut decider = decider(Kind::Chart { baseline: 20, sigmas: 3.0, laney });
        told(&mut decider, (1..=60).map(wobble))
    };
    assert!(!scene(false).is_empty());
    assert_eq!(scene(true), NOTHING);
}

#[test]
fn few_events_page_nobody() {
    let mut decider = decider(drop_of(20));
    assert_eq!(told(&mut decider, usual("Few", 1..=40)), NOTHING);
    assert_eq!(told(&mut decider, [vec![share("Few", 41, 0, 29)]]), NOTHING);
    assert_eq!(told(&mut decider, [vec![share("Few", 42, 0, 30)]]), ["open Few 42 decided of 42"]);
    // Nor do they end what others have begun.
    assert_eq!(told(&mut decider, (43..=50).map(|hour| vec![share("Few", hour, 29, 29)])), NOTHING);
    // Nothing at all does.
    assert_eq!(told(&mut decider, [vec![share("Few", 51, 0, 0)]]), ["clear Few 51 empty of 42"]);
}

#[test]
fn a_short_history_is_no_baseline() {
    let mut decider = decider(drop_of(20));
    told(&mut decider, usual("Toys", 1..=9));
    assert_eq!(told(&mut decider, [vec![share("Toys", 10, 20, 200)]]), NOTHING);
    assert_eq!(told(&mut decider, [vec![share("Toys", 11, 20, 200)]]), ["open Toys 11 decided of 11"]);
}

/// Departments of which one has so many good of 200 in the last hour, the others a chance of 1 in 1,000 too few.
fn many(departments: i64, good: i64) -> Vec<String> {
    let mut decider = Decider::new(&[rule(Kind::Drop { baseline: 20, p_max: 0.01, by: 0.0 })]);
    let name = |index: i64| format!("d{index:03}");
    let hour = |hour: i64, last: i64| {
        (0..departments).map(|d| share(&name(d), hour, if d == 0 { last } else { 160 }, 200)).collect::<Vec<_>>()
    };
    assert_eq!(told(&mut decider, (1..=20).map(|h| hour(h, 160))), NOTHING);
    told(&mut decider, [hour(21, good)])
}

#[test]
fn what_one_of_one_tells_is_chance_among_five_hundred() {
    // p = 0.004.
    assert_eq!(many(1, 144), ["open d000 21 decided of 21"]);
    assert_eq!(many(500, 144), NOTHING);
    assert_eq!(many(500, 120), ["open d000 21 decided of 21"]);
}

#[test]
fn a_drop_that_stays_is_the_new_level_when_it_is_as_old_as_the_baseline() {
    let mut decider = decider(drop_of(20));
    told(&mut decider, usual("Toys", 1..=40));
    let said = told(&mut decider, (41..=80).map(|hour| vec![share("Toys", hour, 130, 200)]));
    assert_eq!(said, ["open Toys 41 decided of 41", "clear Toys 61 decided of 41"]);
}

#[test]
fn a_drop_smaller_than_asked_for_pages_nobody() {
    let mut decider = decider(Kind::Drop { baseline: 20, p_max: 0.001, by: 0.2 });
    told(&mut decider, usual("Toys", 1..=40));
    assert_eq!(told(&mut decider, [vec![share("Toys", 41, 130, 200)]]), NOTHING);
    assert_eq!(told(&mut decider, [vec![share("Toys", 42, 110, 200)]]), ["open Toys 42 decided of 42"]);
}

#[test]
fn a_rise_of_a_rate_is_poissons() {
    let rate = |hour: i64, count: i64| {
        let mut sums = Sums::of_base_event(1_000_000, 1_000 * 10_000);
        (0..count).for_each(|_| sums.add(&Sums::of_event(1_000_000, 10_000)).unwrap());
        let mut row = row("1h", "Toys", hour, sums);
        row.point.n = 1_000;
        vec![row]
    };
    let metric = Metric::Ratio { numerator: 0, denominator: 1, per: 1_000 };
    for kind in [drop_of(20), Kind::Chart { baseline: 20, sigmas: 3.0, laney: true }] {
        let mut decider = Decider::new(&[satisflow_alerts::Rule { metric, side: Side::Above, ..rule(kind) }]);
        assert_eq!(told(&mut decider, (1..=30).map(|hour| rate(hour, 9 + hour % 3))), NOTHING);
        assert_eq!(told(&mut decider, [rate(31, 2)]), NOTHING, "fewer are no harm");
        assert_eq!(told(&mut decider, [rate(32, 24)]), ["open Toys 32 decided of 32"]);
    }
}

#[test]
fn a_weighted_mean_is_compared_with_its_own_error() {
    let mean = |hour: i64, values: [i64; 5]| {
        let mut sums = Sums::default();
        for index in 0..100 {
            sums.add(&Sums::of_event(1_000_000 + index % 3 * 500_000, values[index as usize % 5] * 10_000)).unwrap();
        }
        vec![row("1h", "Toys", hour, sums)]
    };
    let mut decider = Decider::new(&[satisflow_alerts::Rule { metric: Metric::Mean(0), ..rule(drop_of(20)) }]);
    assert_eq!(told(&mut decider, (1..=30).map(|hour| mean(hour, [100, 75, 75, 50, 100]))), NOTHING);
    let changes = decider.decide(&mean(31, [75, 50, 50, 50, 75]));
    let baseline = changes[0].evidence.baseline.unwrap();
    assert!((baseline.value - 80.0).abs() < 0.5 && (baseline.n - 2_000.0).abs() < 0.5, "{baseline:?}");
    assert!(changes[0].evidence.p.unwrap() < 1e-6 && changes[0].evidence.statistic.unwrap() < -5.0, "{changes:?}");
    // No error at all on either side, and yet a difference.
    let mut decider = Decider::new(&[satisflow_alerts::Rule { metric: Metric::Mean(0), ..rule(drop_of(20)) }]);
    told(&mut decider, (1..=30).map(|hour| mean(hour, [100; 5])));
    assert_eq!(told(&mut decider, [mean(31, [0; 5])]), ["open Toys 31 decided of 31"]);
}

#[test]
fn a_restatement_opens_updates_and_clears() {
    let mut decider = decider(drop_of(20));
    told(&mut decider, usual("Toys", 1..=40));
    let fine = share("Toys", 41, 160, 200);
    let bad = share("Toys", 41, 130, 200);
    assert_eq!(told(&mut decider, [vec![fine.clone()]]), NOTHING);
    assert_eq!(told(&mut decider, [vec![revised(&bad, 2)]]), ["open Toys 41 restated of 41"]);
    let worse = share("Toys", 41, 125, 200);
    assert_eq!(told(&mut decider, [vec![revised(&worse, 3)]]), ["update Toys 41 restated of 41"]);
    // An older revision that comes again says nothing.
    let quiet = usual("Toys", 42..=43);
    assert_eq!(told(&mut decider, quiet), NOTHING);
    let late = share("Toys", 44, 130, 200);
    assert_eq!(told(&mut decider, [vec![late.clone()]]), NOTHING);
    assert_eq!(told(&mut decider, [vec![revised(&share("Toys", 44, 161, 200), 2)]]), ["clear Toys 44 restated of 41"]);
    assert_eq!(late.point.end, 44 * HOUR);
}

#[test]
fn a_computed_history_pages_nobody_and_is_compared_with() {
    let mut decider = decider(drop_of(20));
    let mut history: Vec<_> = usual("Toys", 1..=40).into_iter().flatten().collect();
    history.push(share("Toys", 41, 20, 200));
    history.iter_mut().for_each(|row| row.back_filled = true);
    assert_eq!(told(&mut decider, [history]), NOTHING);
    assert_eq!(told(&mut decider, [vec![share("Toys", 42, 120, 200)]]), ["open Toys 42 decided of 42"]);
}
