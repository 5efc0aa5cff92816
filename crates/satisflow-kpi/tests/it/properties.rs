//! Same set, same digits: whatever the order, the batches, the partitions and
//! the moments of publication. proptest prints the case that fails and keeps its seed.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use proptest::prelude::*;
use proptest::sample::subsequence;

use satisflow_kpi::{Frontier, Kept};

use crate::course::{Between, Course, LAST};
use crate::stream::{Event, KPIS, MINUTE, Scorer, changed_plans, plan, plan_with};
use crate::{joins, oracle};

/// Around the night in which Berlin's clocks went back, 2026-10-25.
pub const START: i64 = 1_792_879_200_000_000;

fn event() -> impl Strategy<Value = Event> {
    (
        (0u8..14, 0i32..3, prop_oneof![6 => 0i64..2880, 1 => 2880i64..12_000]),
        prop_oneof![Just("a"), Just("b"), Just("c")],
        proptest::option::of(prop_oneof![Just("x"), Just("y")]),
        proptest::option::of(0i64..1_000_000),
        prop_oneof![Just(0i64), 1i64..5_000_000],
        proptest::option::of(0i64..50_000),
        proptest::option::of(0u8..3),
        proptest::option::weighted(0.2, 0u8..14),
    )
        .prop_map(|((id, partition, minute), department, channel, score, weight, units, case, voids)| Event {
            id,
            partition,
            offset: 0,
            time: START + minute * MINUTE / 3,
            department,
            channel,
            score,
            weight,
            units,
            case,
            voids,
        })
}

/// Events with an offset each; copies of one id in one partition are gone, as
/// duplicates never reach the engine.
fn events() -> impl Strategy<Value = Vec<Event>> {
    proptest::collection::vec(event(), 1..30).prop_map(|mut events| {
        let mut seen = std::collections::BTreeSet::new();
        events.retain(|e| seen.insert((e.id, e.partition)));
        for (offset, event) in events.iter_mut().enumerate() {
            event.offset = offset as i64;
        }
        events
    })
}

pub fn shuffled() -> impl Strategy<Value = (Vec<Event>, Vec<Event>, Vec<usize>, Vec<i64>)> {
    events().prop_flat_map(|events| {
        let n = events.len();
        let cuts = subsequence((0..=n).collect::<Vec<_>>(), 0..=n.min(5));
        let marks = proptest::collection::vec(0i64..4000, 0..6);
        (Just(events.clone()), Just(events).prop_shuffle(), cuts, marks)
    })
}

pub fn kept() -> impl Strategy<Value = Kept> {
    (1u32..4, any::<bool>()).prop_map(|(n, first)| {
        let n = NonZeroU32::new(n).unwrap();
        if first { Kept::First(n) } else { Kept::Last(n) }
    })
}

pub fn nonzero_difference(actual: &BTreeMap<String, String>, expected: &BTreeMap<String, String>) -> Vec<String> {
    let keys: std::collections::BTreeSet<&String> = actual.keys().chain(expected.keys()).collect();
    keys.into_iter()
        .filter(|k| actual.get(*k) != expected.get(*k))
        .map(|k| format!("{k}: engine {:?}, oracle {:?}", actual.get(k), expected.get(k)))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn rows_are_a_function_of_the_set(
        (set, order, cuts, marks) in shuffled(),
        groups_max in 1usize..6,
        of_case in kept(),
    ) {
        let table = Course::new(order, cuts, &marks).run(Scorer::new(plan_with(groups_max, of_case)));
        let differences = nonzero_difference(&table, &oracle::rows(&set, LAST, groups_max, of_case));
        prop_assert!(differences.is_empty(), "{differences:#?}");
    }

    /// Without a limit in the way, the newest final rows are the last ones published.
    #[test]
    fn the_newest_final_rows_are_those_published_last((_set, order, cuts, marks) in shuffled()) {
        let [published, said] = Course::new(order, cuts, &marks).finals(Scorer::new(plan(1000)));
        prop_assert_eq!(published, said);
    }

    /// An engine rebuilt from the set goes on where the first one stopped.
    #[test]
    fn a_rebuilt_engine_goes_on(
        (set, order, _cuts, marks) in shuffled(),
        groups_max in 1usize..6,
        of_case in kept(),
    ) {
        let half = order.len() / 2;
        let mark = START + marks.first().copied().unwrap_or(1000) * MINUTE;
        let mut table = BTreeMap::new();
        let mut first = Scorer::new(plan_with(groups_max, of_case));
        first.take(&order[..half]);
        first.publish(mark, &mut table);
        let mut second = Scorer::new(plan_with(groups_max, of_case));
        let mut earlier = order[..half].to_vec();
        earlier.reverse();
        second.take(&earlier);
        for kpi in KPIS {
            second.engine.resume(kpi, Frontier::at(mark)).unwrap();
        }
        second.take(&order[half..]);
        second.publish(LAST, &mut table);
        let differences = nonzero_difference(&table, &oracle::rows(&set, LAST, groups_max, of_case));
        prop_assert!(differences.is_empty(), "{differences:#?}");
    }

    /// Definitions that go at different paces, some of their rows incomplete
    /// for a while, end with the same rows.
    #[test]
    fn each_definition_goes_at_its_own_pace(
        (set, order, cuts, marks) in shuffled(),
        groups_max in 1usize..6,
        of_case in kept(),
    ) {
        let table = Course::new(order, cuts, &marks).at_paces(Scorer::new(plan_with(groups_max, of_case)));
        let differences = nonzero_difference(&table, &oracle::rows(&set, LAST, groups_max, of_case));
        prop_assert!(differences.is_empty(), "{differences:#?}");
    }

    /// However few panes are kept, and with a restart in the middle: late
    /// changes restate the same rows from what was published.
    #[test]
    fn what_is_forgotten_is_restated_from_the_published_rows(
        (set, order, cuts, marks) in shuffled(),
        late_panes in 0u32..4,
        restart in proptest::option::of(0usize..5),
        of_case in kept(),
    ) {
        let scorer = Scorer::forgetful(plan_with(1000, of_case), late_panes);
        let between = Between { restart, ..Between::default() };
        let table = Course::new(order, cuts, &marks).interrupted(scorer, &between);
        let differences = nonzero_difference(&table, &oracle::rows(&set, LAST, 1000, of_case));
        prop_assert!(differences.is_empty(), "{differences:#?}");
    }

    /// An engine that goes on from a snapshot, while others went on publishing
    /// after it was taken, publishes the same rows.
    #[test]
    fn a_snapshot_goes_on(
        (set, order, cuts, marks) in shuffled(),
        late_panes in proptest::option::of(0u32..4),
        limited in 1usize..6,
        (save, crash) in (0usize..5, 0usize..5),
        of_case in kept(),
    ) {
        let groups_max = if late_panes.is_some() { 1000 } else { limited };
        let scorer = Scorer::keeping(plan_with(groups_max, of_case), late_panes);
        let between = Between { save: Some(save), crash: Some(crash), ..Between::default() };
        let table = Course::new(order, cuts, &marks).interrupted(scorer, &between);
        let differences = nonzero_difference(&table, &oracle::rows(&set, LAST, groups_max, of_case));
        prop_assert!(differences.is_empty(), "{differences:#?}");
    }

    /// A changed catalog goes on from the snapshot of the one before: what
    /// stays has the rows that it would have had, and what is new has all of its own.
    #[test]
    fn a_changed_catalog_goes_on_from_a_snapshot(
        (_set, order, cuts, marks) in shuffled(),
        late_panes in proptest::option::of(0u32..4),
        (save, change) in (0usize..3, 0usize..4),
        of_case in kept(),
        joined in proptest::option::of(proptest::option::of((0i64..90 * MINUTE, 0i64..90 * MINUTE))),
    ) {
        let mut marks = marks;
        marks.sort_unstable();
        let [before, after] = changed_plans(of_case).map(|plan| match joined {
            Some(within) => joins::joined(plan, within),
            None => plan,
        });
        let mut scorer = Scorer::keeping(before, late_panes);
        let (mut table, mut saved, mut is_changed) = (BTreeMap::new(), None, false);
        let mut from = 0;
        for (index, (cut, mark)) in cuts.iter().zip(&marks).enumerate() {
            scorer.take(&order[from..*cut]);
            from = *cut;
            let mark = START + mark * MINUTE;
            scorer.publish(mark, &mut table);
            if index == save {
                saved = Some(scorer.save());
            }
            if let Some(saved) = saved.as_ref().filter(|_| index >= change && !is_changed) {
                scorer = scorer.changed(after.clone(), saved, &order[..from], mark);
                table.retain(|key, _| key.starts_with("rate|") || key.starts_with("median|"));
                is_changed = true;
            }
        }
        if !is_changed {
            let mark = START + marks.last().copied().unwrap_or(0).max(2000) * MINUTE;
            scorer.publish(mark, &mut table);
            let saved = saved.unwrap_or_else(|| scorer.save());
            scorer = scorer.changed(after.clone(), &saved, &order[..from], mark);
            table.retain(|key, _| key.starts_with("rate|") || key.starts_with("median|"));
        }
        scorer.take(&order[from..]);
        scorer.publish(LAST, &mut table);
        let (mut always, mut wanted) = (Scorer::new(after), BTreeMap::new());
        always.take(&order);
        always.publish(LAST, &mut wanted);
        let differences = nonzero_difference(&table, &wanted);
        prop_assert!(differences.is_empty(), "{differences:#?}");
    }
}
