//! Bounds.

use satisflow_alerts::{Decider, Kind, Rule};
use satisflow_kpi::WindowSpan;

use crate::{HOUR, arc, decider, row, rule, share, told};

const NOTHING: Vec<String> = Vec::new();

fn bound(for_hours: i64) -> Kind {
    Kind::Bound { bound: 0.6, clear: 0.7, for_micros: for_hours * HOUR }
}

fn of(hours: std::ops::RangeInclusive<i64>, good: i64) -> Vec<Vec<satisflow_alerts::KpiPoint>> {
    hours.map(|hour| vec![share("Toys", hour, good, 100)]).collect()
}

#[test]
fn a_bound_has_another_one_to_end_at() {
    let mut decider = Decider::new(&[Rule { clear_after: 1, ..rule(bound(0)) }]);
    assert_eq!(told(&mut decider, of(1..=3, 60)), NOTHING);
    assert_eq!(told(&mut decider, of(4..=5, 59)), ["open Toys 4 decided of 4"]);
    assert_eq!(told(&mut decider, of(6..=9, 69)), NOTHING);
    assert_eq!(told(&mut decider, of(10..=11, 70)), ["clear Toys 10 decided of 4"]);
    assert_eq!(told(&mut decider, [vec![share("Toys", 12, 0, 29)]]), NOTHING);
}

#[test]
fn it_has_to_last() {
    let mut decider = Decider::new(&[Rule { clear_after: 1, ..rule(bound(2)) }]);
    assert_eq!(told(&mut decider, of(1..=2, 50)), NOTHING);
    assert_eq!(told(&mut decider, of(3..=3, 90)), NOTHING);
    assert_eq!(told(&mut decider, of(4..=5, 50)), NOTHING);
    assert_eq!(told(&mut decider, of(6..=6, 50)), ["open Toys 6 decided of 6"]);
}

#[test]
fn a_window_that_comes_seldom_is_believed_at_once() {
    let spans = WindowSpan::Rolling { length: 4 * HOUR, step: 4 * HOUR };
    let kind = Kind::Bound { bound: 0.6, clear: 0.7, for_micros: HOUR };
    let mut decider = Decider::new(&[Rule { span: spans, clear_after: 1, ..rule(kind) }]);
    assert_eq!(told(&mut decider, of(4..=4, 90)), NOTHING);
    assert_eq!(told(&mut decider, of(8..=8, 50)), ["open Toys 8 decided of 8"]);
}

#[test]
fn both_windows_have_to_be_beyond() {
    let kind = Kind::Burn { slow: arc("1d"), bound: 0.6, clear: 0.7 };
    let mut decider = Decider::new(&[Rule { clear_after: 1, ..rule(kind) }]);
    let slow = |hour: i64, good: i64| vec![row("1d", "Toys", hour, share("Toys", hour, good, 100).point.sums)];
    assert_eq!(told(&mut decider, [slow(1, 80), share_of(2, 50)]), NOTHING);
    assert_eq!(told(&mut decider, [slow(3, 50), share_of(3, 80)]), NOTHING);
    assert_eq!(told(&mut decider, [share_of(4, 50)]), ["open Toys 4 decided of 4"]);
    assert_eq!(told(&mut decider, [share_of(5, 80)]), ["clear Toys 5 decided of 4"]);
}

fn share_of(hour: i64, good: i64) -> Vec<satisflow_alerts::KpiPoint> {
    vec![share("Toys", hour, good, 100)]
}

#[test]
fn what_is_incomplete_is_not_judged() {
    let mut decider = decider(bound(0));
    let mut waiting = share("Toys", 1, 0, 100);
    waiting.point.whole = false;
    assert_eq!(told(&mut decider, [vec![waiting]]), NOTHING);
}
