use super::*;
use crate::content::{Content, Reading};
use crate::definition::Metric;
use crate::validity::Rate;

const WEIGHT: i64 = 1_000_000;
const VALUE: i64 = 10_000;
const RESULT: i128 = 1_000_000_000_000;
const DAY: i64 = 86_400_000_000;

/// Weight, value, cell, and the day on which its pane ends.
type Event = (i64, i64, u32, i64);

fn weeks(length: i64) -> Window {
    Window { name: "rolling".into(), span: WindowSpan::Rolling { length: length * DAY, step: DAY } }
}

/// What is told at the end of a day.
fn told(weighting: &Weighting, metric: Metric, events: &[Event], end: i64) -> Weighted {
    let reading = Reading::of(metric, Some((weighting.clone(), &Validity::default())), &weeks(28));
    let mut all = Content::default();
    for (weight, value, cell, day) in events {
        let one = Content::of_cell(*weight, *value, *cell);
        all.add(&reading.dated(&one, day * DAY)).unwrap();
    }
    all.weighted(&reading, end * DAY).unwrap()
}

fn represented(margins: &[&[i64]], events: &[Event]) -> Weighted {
    let margins = margins.iter().map(|margin| margin.to_vec()).collect();
    told(&Weighting { population: Some(Population { margins }), ..Weighting::default() }, Metric::Mean(0), events, 1)
}

fn close(found: Option<f64>, expected: f64, tolerance: f64) {
    assert!(found.is_some_and(|found| (found - expected).abs() <= tolerance), "{found:?} is not {expected}");
}

/// F10's sample: women and men, each the old before the young.
fn sample() -> Vec<Event> {
    let cells = [(48, 80), (12, 60), (32, 70), (8, 50)];
    let each = (0..).zip(cells).flat_map(|(cell, (n, x))| std::iter::repeat_n((WEIGHT, x * VALUE, cell, 1), n));
    each.collect()
}

#[test]
fn f10_post_stratification_brings_each_stratum_to_its_share() {
    let found = represented(&[&[30, 20, 30, 20]], &sample());
    assert_eq!(found.value, Some(67 * RESULT));
    close(found.n_eff, 76.8, 1e-9);
    close(found.se, 0.0, 0.0);
    assert!(found.is_representative);
}

#[test]
fn f10_raking_brings_two_margins_to_theirs() {
    let found = represented(&[&[50, 50], &[60, 40]], &sample());
    assert_eq!(found.value, Some(67 * RESULT));
    close(found.n_eff, 76.8, 1e-9);
    assert!(found.is_representative);
    let masses: Vec<BigInt> = [48, 12, 32, 8].map(BigInt::from).into();
    let masses: Vec<(u32, &BigInt)> = (0..).zip(&masses).collect();
    let shares = raked(&[vec![50, 50], vec![60, 40]], &masses).unwrap();
    let weights = shares.iter().zip([48.0, 12.0, 32.0, 8.0]).map(|(share, n)| *share as f64 / 1e16 / n);
    weights.zip([0.625, 1.6667, 0.9375, 2.5]).for_each(|(weight, expected)| close(Some(weight), expected, 5e-5));
}

#[test]
fn a_stratum_without_events_is_not_representative() {
    let mut events = sample();
    events.retain(|(.., cell, _)| *cell != 3);
    let found = represented(&[&[30, 20, 30, 20]], &events);
    assert_eq!((found.value, found.n_eff, found.se, found.is_representative), (None, None, None, false));
    // Both margins have someone in each category: raking needs no more.
    assert!(represented(&[&[50, 50], &[60, 40]], &events).is_representative);
    events.retain(|(.., cell, _)| cell % 2 == 0);
    assert!(!represented(&[&[50, 50], &[60, 40]], &events).is_representative);
    events.push((0, 90 * VALUE, 1, 1));
    assert!(!represented(&[&[50, 50], &[60, 40]], &events).is_representative, "one that weighs nothing is no one");
}

#[test]
fn margins_out_of_reach_are_given_up() {
    // Women are all old and men all young, as no population of these margins is.
    let apart = [(WEIGHT, VALUE, 0, 1), (WEIGHT, VALUE, 3, 1)];
    assert!(!represented(&[&[50, 50], &[60, 40]], &apart).is_representative);
    assert_eq!(represented(&[&[60, 40], &[60, 40]], &apart).value, Some(RESULT));
}

#[test]
fn the_value_is_rounded_once_from_the_exact_rational() {
    let of = |w, x, cell| (w * WEIGHT, x * VALUE, cell, 1);
    let events = [of(3, 1, 0), of(4, 2, 0), of(5, 1, 1), of(6, 2, 1), of(7, 4, 2)];
    // 1/6 * 11/7 + 2/6 * 17/11 + 3/6 * 4
    assert_eq!(represented(&[&[1, 2, 3]], &events).value, Some(2_777_056_277_056));
    let thirds = [of(1, 1, 0), of(2, 0, 0)];
    assert_eq!(told(&Weighting::default(), Metric::Balance(0), &thirds, 1).value, Some(33_333_333_333_333));
}

#[test]
fn a_stratified_error_is_that_of_its_strata() {
    let of = |x, cell| (WEIGHT, x * VALUE, cell, 1);
    let found = represented(&[&[1, 3]], &[of(1, 0), of(3, 0), of(10, 1), of(14, 1)]);
    // Variances of the means: 1 and 4; shares 1/4 and 3/4.
    close(found.se, (1.0f64 / 16.0 + 4.0 * 9.0 / 16.0).sqrt(), 1e-12);
    assert_eq!(represented(&[&[1, 3]], &[of(1, 0), of(3, 0), of(10, 1)]).se, None, "one event has no variance");
}

/// Of two processes, targets 80 and 90 points, of which a point weighs 0.12 and 0.3.
fn short(events: &[Event]) -> Weighted {
    let target = |points, weight| StratumTarget { target: points * VALUE, weight };
    let targets = vec![target(80, 120_000_000_000), target(90, 300_000_000_000)];
    told(&Weighting { targets, ..Weighting::default() }, Metric::Shortfall(0), events, 1)
}

#[test]
fn a_shortfall_is_what_means_lack_to_their_targets() {
    let of = |x, cell| (WEIGHT, x * VALUE, cell, 1);
    // 0.12 * (80 - 75) + 0.3 * (90 - 70); variances of the means 25 and 100.
    let found = short(&[of(70, 0), of(80, 0), of(60, 1), of(80, 1)]);
    assert_eq!((found.value, found.n_eff), (Some(66 * RESULT / 10), None));
    close(found.se, (0.12f64.powi(2) * 25.0 + 0.3f64.powi(2) * 100.0).sqrt(), 1e-12);
    // What one has above its target makes up for nothing, and has no part in the error.
    let one = short(&[of(100, 0), of(60, 1), of(80, 1)]);
    assert_eq!(one.value, Some(6 * RESULT));
    close(one.se, 3.0, 1e-12);
    let none = short(&[of(80, 0), of(90, 1)]);
    assert_eq!((none.value, none.se, none.is_representative), (Some(0), Some(0.0), true));
    // 0.12 * (80 - 230/3), rounded once.
    let third = short(&[of(70, 0), of(80, 0), of(80, 0), of(90, 1)]);
    assert_eq!(third.value, Some(400_000_000_000));
    let seventh = short(&[(7 * WEIGHT, 0, 0, 1), (3 * WEIGHT, 10 * VALUE, 0, 1), (11 * WEIGHT, 93 * VALUE, 1, 1)]);
    assert_eq!(seventh.value, Some(9_240_000_000_000));
}

#[test]
fn a_process_without_a_score_leaves_no_shortfall() {
    let found = short(&[(WEIGHT, 70 * VALUE, 0, 1)]);
    assert_eq!((found.value, found.se, found.is_representative), (None, None, false));
}

#[test]
fn f21_an_event_weighs_half_after_each_half_life() {
    let weighting = Weighting { half_life: Some(7 * DAY), ..Weighting::default() };
    let events = [(WEIGHT, 100 * VALUE, 0, 1), (WEIGHT, 50 * VALUE, 0, 8), (WEIGHT, 0, 0, 15)];
    let found = told(&weighting, Metric::Mean(0), &events, 15);
    assert_eq!(found.value, Some(28_571_428_571_429));
    close(found.n_eff, 7.0 / 3.0, 1e-12);
    let later = told(&weighting, Metric::Mean(0), &events, 20);
    assert_eq!(later.value, Some(28_571_428_571_462), "the table has 12 decimals");
    close(later.n_eff, 7.0 / 3.0, 1e-9);
    // F9 of weights 1/4, 1/2 and 1: mean 200/7.
    let squares: f64 =
        [(0.25, 100.0), (0.5, 50.0), (1.0, 0.0f64)].map(|(w, x)| (w * (x - 200.0 / 7.0)).powi(2)).iter().sum();
    close(found.se, (1.5 * squares).sqrt() / 1.75, 1e-9);
}

#[test]
fn what_fades_is_weighed_in_its_stratum() {
    let population = Some(Population { margins: vec![vec![1, 1]] });
    let weighting = Weighting { population, half_life: Some(DAY), targets: Vec::new() };
    let events = [(WEIGHT, 0, 0, 1), (WEIGHT, 30 * VALUE, 0, 2), (WEIGHT, 10 * VALUE, 1, 1)];
    assert_eq!(told(&weighting, Metric::Mean(0), &events, 2).value, Some(15 * RESULT));
}

#[test]
fn nothing_is_left_of_what_is_taken_back() {
    let weighting = Weighting { half_life: Some(DAY), ..Weighting::default() };
    let reading = Reading::of(Metric::Mean(0), Some((weighting, &Validity::default())), &weeks(2));
    let one = Content::of_cell(WEIGHT, VALUE, 3);
    let one = reading.dated(&one, DAY);
    let mut all = Content::default();
    all.add(&one).unwrap();
    all.add(&one).unwrap();
    all.subtract(&one).unwrap();
    assert!(all.weighted(&reading, DAY).unwrap().value.is_some());
    all.add(&one.into_owned().negated()).unwrap();
    assert!(all.is_zero());
}

/// Whether a window is valid: its events, and those of an answer and of an invitation.
fn valid(validity: &Validity, events: &[Event], answers: i64, invitations: i64) -> bool {
    let reading = Reading::of(Metric::Mean(0), Some((Weighting::default(), validity)), &weeks(28));
    let mut all = Content::default();
    for (weight, value, cell, _) in events {
        all.add(&Content::of_cell(*weight, *value, *cell)).unwrap();
    }
    let before = all.sums;
    let cells: Vec<u32> = validity.measures().map(|(_, cell)| cell).collect();
    for (cell, n) in cells.into_iter().zip([answers, invitations]) {
        (0..n).for_each(|_| all.add(&Content::of_rate(WEIGHT, VALUE, cell)).unwrap());
    }
    assert_eq!(all.sums, before);
    let told = all.weighted(&reading, DAY).unwrap();
    assert_eq!(told.value.is_some(), !events.is_empty(), "what is not valid has a value all the same");
    told.is_representative
}

#[test]
fn s32_a_window_is_valid_if_it_holds_all_that_is_asked() {
    let sample = sample();
    let of = |validity: Validity| valid(&validity, &sample, 3, 10);
    assert!(of(Validity::default()));
    assert!(of(Validity { n_planned: 100, ..Validity::default() }));
    assert!(!of(Validity { n_planned: 101, ..Validity::default() }));
    assert!(of(Validity { stratum_n_min: 8, ..Validity::default() }));
    assert!(!of(Validity { stratum_n_min: 9, ..Validity::default() }));
    let rate = |min| Validity { rates: vec![Rate { numerator: 1, denominator: 2, min }], ..Validity::default() };
    assert!(of(rate(300_000)));
    assert!(!of(rate(300_001)));
    assert!(!valid(&rate(0), &sample, 3, 0), "of nobody there is no rate");
}

#[test]
fn f8_a_design_effect_beyond_its_limit_is_not_valid() {
    let events = [(1, 5), (1, 4), (2, 3), (2, 2), (4, 1)].map(|(w, x)| (w * WEIGHT, x * VALUE, 0, 1));
    let most = |millionths| Validity { design_effect_max: Some(millionths), ..Validity::default() };
    assert!(valid(&most(1_300_000), &events, 0, 0));
    assert!(!valid(&most(1_299_999), &events, 0, 0));
}
