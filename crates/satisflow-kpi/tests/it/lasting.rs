//! What lasts, in any order of arrival and after any restart, against looking at every life anew.

use std::collections::BTreeMap;

use proptest::prelude::*;
use satisflow_kpi::{Kept, Metric, Plan};

use crate::course::{Between, Course, LAST};
use crate::oracle::{self, SETS, WINDOWS};
use crate::properties::{kept, nonzero_difference, shuffled};
use crate::stream::{Event, MINUTE, Scorer, life, plan_with};

const ONE: i128 = 10_000_000_000;
/// Only rolling windows have steps; they are the first two.
const ROLLING: usize = 2;
/// Name, metric and whether its measure is keyed: those of [`crate::stream::batch`].
const LASTING: [(&str, Metric, bool); 4] = [
    ("median", Metric::Survival { measure: 9, millionths: 500_000 }, false),
    ("quarter", Metric::Survival { measure: 10, millionths: 250_000 }, true),
    ("open", Metric::OpenCount(10), true),
    ("age", Metric::OpenAge(9), false),
];

fn lasting_plan(of_case: Kept) -> Plan {
    let plan = plan_with(1000, of_case);
    let definition = |(name, metric, _): &(&str, Metric, bool)| satisflow_kpi::Definition {
        name: (*name).into(),
        fingerprint: (*name).into(),
        metric: *metric,
        windows: (0..ROLLING).collect(),
        ..plan.definitions[0].clone()
    };
    let definitions = LASTING.iter().map(definition).collect();
    Plan { definitions, kept: BTreeMap::from([(1, of_case), (10, of_case)]), ..plan }
}

/// Every end from the first one that holds an event of this time to that at which it has left.
fn every_end(window: &str, time: i64) -> Vec<i64> {
    let step = if window == "5m" { MINUTE } else { 20 * MINUTE };
    let ends = oracle::ends(window, time);
    (ends[0]..=ends[1]).step_by(step as usize).collect()
}

/// Numerator and denominator of what an end sees of lives: (µs, whether it goes on).
fn told(metric: Metric, seen: &[(i128, bool)]) -> (i128, i128) {
    let open: Vec<i128> = seen.iter().filter(|(_, goes_on)| *goes_on).map(|(time, _)| *time).collect();
    match metric {
        Metric::OpenCount(_) => (open.len() as i128 * ONE, ONE),
        Metric::OpenAge(_) => (open.iter().sum::<i128>() * 10_000, open.len() as i128 * ONE),
        Metric::Survival { millionths, .. } => {
            let mut times: Vec<i128> = seen.iter().filter(|(_, goes_on)| !goes_on).map(|(time, _)| *time).collect();
            times.sort_unstable();
            let (mut above, mut below) = (1i128, 1i128);
            for same in times.chunk_by(|a, b| a == b) {
                let at_risk = seen.iter().filter(|(time, _)| *time >= same[0]).count() as i128;
                above *= at_risk - same.len() as i128;
                below *= at_risk;
                let divisor = (1..=at_risk).rev().find(|d| above % d == 0 && below % d == 0).unwrap();
                (above, below) = (above / divisor, below / divisor);
                if above * 1_000_000 <= below * (1_000_000 - i128::from(millionths)) {
                    return (same[0] * 10_000, ONE);
                }
            }
            (0, 0)
        }
        _ => unreachable!("it lasts"),
    }
}

fn line(metric: Metric, held: &[&Event], end: i64) -> String {
    let parts: Vec<(i128, i128)> = held.iter().map(|event| (i128::from(event.weight), 0)).collect();
    let seen = |event: &&&Event| {
        let (lasted, so_far) = (life(event), end - event.time);
        let goes_on = lasted < 0 || event.time + lasted >= end;
        (i128::from(if goes_on { so_far } else { lasted }), goes_on)
    };
    let seen: Vec<(i128, bool)> = held.iter().filter(|event| event.weight > 0).map(|e| seen(&e)).collect();
    let (numerator, denominator) = told(metric, &seen);
    let plain = oracle::line("csat", &parts, &[], false);
    let mut fields: Vec<String> = plain.split('|').map(str::to_owned).collect();
    fields[0] = oracle::rounded(numerator, denominator);
    fields[1] = oracle::decimal(numerator, 10);
    fields[2] = oracle::decimal(denominator, 10);
    fields.join("|")
}

fn rows(events: &[Event], watermark: i64, of_case: Kept) -> BTreeMap<String, String> {
    let counting = oracle::counting(events);
    let of_cases = oracle::of_cases(&counting, of_case, &|_| true);
    let mut table = BTreeMap::new();
    for (name, metric, keyed) in LASTING {
        let counted = if keyed { &of_cases } else { &counting };
        for (window, set) in WINDOWS[..ROLLING].iter().flat_map(|w| SETS.map(|set| (*w, set))) {
            for event in events.iter().filter(|event| !keyed || event.case.is_some()) {
                let group = oracle::group(set, event);
                for end in every_end(window, event.time).into_iter().filter(|end| *end <= watermark) {
                    let here = |e: &&Event| oracle::group(set, e) == group && oracle::inside(window, e.time, end);
                    let held: Vec<&Event> = counted.iter().filter(here).collect();
                    let key = format!("{name}|{window}|{set}|{group}|{end:020}");
                    table.entry(key).or_insert_with(|| line(metric, &held, end));
                }
            }
        }
    }
    table
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn rows_of_what_lasts_are_a_function_of_the_set((set, order, cuts, marks) in shuffled(), of_case in kept()) {
        let table = Course::new(order, cuts, &marks).run(Scorer::new(lasting_plan(of_case)));
        let differences = nonzero_difference(&table, &rows(&set, LAST, of_case));
        prop_assert!(differences.is_empty(), "{differences:#?}");
    }

    /// Rebuilt from the set or from a snapshot, keeping few panes or all.
    #[test]
    fn rows_of_what_lasts_go_on_after_a_restart(
        (set, order, cuts, marks) in shuffled(),
        late_panes in proptest::option::of(0u32..4),
        (save, stop, rebuilt) in (0usize..4, 0usize..5, any::<bool>()),
        of_case in kept(),
    ) {
        let scorer = Scorer::keeping(lasting_plan(of_case), late_panes);
        let [restart, crash] = [rebuilt, !rebuilt].map(|is_meant| is_meant.then_some(stop));
        let between = Between { restart, save: Some(save), crash };
        let table = Course::new(order, cuts, &marks).interrupted(scorer, &between);
        let differences = nonzero_difference(&table, &rows(&set, LAST, of_case));
        prop_assert!(differences.is_empty(), "{differences:#?}");
    }
}

/// What began at minute 0 is known to go on, and then to have been over after so many seconds: the rows of the total
/// that are published again, by name and minute, once minute 4 is published.
fn again(seconds: i64) -> Vec<String> {
    let mut scorer = Scorer::new(lasting_plan(Kept::FIRST));
    let opened = Event { case: Some(1), ..Event::rating(1, 0, 10_000) };
    scorer.take(std::slice::from_ref(&opened));
    scorer.advance(4 * MINUTE);
    scorer.take(&[Event { id: 2, offset: 2, units: Some(seconds * 10), voids: Some(1), ..opened }]);
    let rows = scorer.advance(4 * MINUTE);
    let shown = rows.iter().map(|row| (scorer.show(row).0, row.revision));
    let total = shown.filter(|(key, _)| key.contains("|5m||||"));
    let mut again: Vec<String> = total
        .map(|(key, revision)| {
            let (name, end) = (key.split('|').next().unwrap(), key.rsplit('|').next().unwrap());
            format!("{name} {} r{revision}", end.parse::<i64>().unwrap() / MINUTE)
        })
        .collect();
    again.sort();
    again
}

#[test]
fn an_end_that_comes_later_restates_no_row_before_it() {
    assert!(again(300).is_empty(), "{:?}", again(300));
    assert_eq!(
        again(150),
        [
            "age 3 r2",
            "age 4 r2",
            "median 3 r2",
            "median 4 r2",
            "open 3 r2",
            "open 4 r2",
            "quarter 3 r2",
            "quarter 4 r2"
        ]
    );
}
