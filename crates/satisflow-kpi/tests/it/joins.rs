//! What is joined to events, in any order of arrival, against joining by brute force.
//! proptest prints the case that fails and keeps its seed.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, BooleanArray, Decimal128Array};
use proptest::prelude::*;
use satisflow_kpi::{
    Aggregate, Anchor, Batch, Engine, Join, JoinInput, Joined, JoinedValue, Kept, Partner, Plan, Sign,
};

use crate::course::{Between, Course, LAST, Table};
use crate::oracle;
use crate::properties::{START, kept, nonzero_difference, shuffled};
use crate::stream::{Event, KPIS, MINUTE, Scorer, batch, plan_with};

/// The measure with joins: its anchors have a score, its partners units.
pub const MEASURE: usize = 0;

/// The plan of [`plan_with`] with joins.
fn joined_plan(groups_max: usize, of_case: Kept, within: Option<(i64, i64)>) -> Plan {
    joined(plan_with(groups_max, of_case), within)
}

/// A plan, its first measure with two joins: by case, and by customer within some time.
pub fn joined(plan: Plan, within: Option<(i64, i64)>) -> Plan {
    let by_case =
        Join { within: None, fields: vec![Aggregate::Last, Aggregate::Count, Aggregate::Min, Aggregate::Distinct] };
    let by_customer = Join { within, fields: vec![Aggregate::Sum, Aggregate::First] };
    Plan { joins: BTreeMap::from([(MEASURE, vec![by_case, by_customer])]), ..plan }
}

fn keys(event: &Event) -> [Option<u128>; 2] {
    [event.case.map(u128::from), crate::stream::customer(event).map(u128::from)]
}

/// Weight and value of an anchor: some partners change its score, some take it away.
fn measured(event: &Event, joined: &[Option<i64>]) -> (i64, i64) {
    let [last, count, min, different, sum, first] = joined else { panic!("not six fields: {joined:?}") };
    let score = event.score.unwrap();
    if last.is_some_and(|last| last % 3 == 0) || (min.is_some() && min == last && count > &Some(1)) {
        return (0, 0);
    }
    let value = score
        + different.unwrap() * 13
        + last.unwrap_or(7)
        + count.unwrap() * 11
        + sum.unwrap_or(5)
        + first.unwrap_or(1);
    (event.weight + count.unwrap(), value)
}

/// Applies events with what is joined to them, as the pipeline does it.
pub fn apply(engine: &mut Engine, events: &[Event], signs: &[Sign]) {
    let mut own = batch(events);
    if engine.plan().joins.is_empty() {
        return engine.apply(&own, signs).unwrap();
    }
    own.measures[MEASURE].selected = BooleanArray::new_null(events.len());
    engine.apply(&own, signs).unwrap();
    let (of_events, signs) = joined_batch(events, engine.join(input(events, signs)));
    engine.apply(&of_events, &signs).unwrap();
}

fn input(events: &[Event], signs: &[Sign]) -> JoinInput {
    let (mut anchors, mut partners) = (Vec::new(), vec![Vec::new(), Vec::new()]);
    for (event, sign) in events.iter().zip(signs) {
        if event.score.is_some() {
            let row = bytes_of(event);
            anchors.push((Anchor { time: event.time, keys: keys(event).into(), row }, *sign));
        }
        let Some(units) = event.units else { continue };
        for ((key, fields), of_join) in keys(event).iter().zip([4, 2]).zip(&mut partners) {
            let values = vec![Some(JoinedValue::Integer(i128::from(units))); fields].into();
            let (event_id, source) = (event.id.to_string().into(), "s".into());
            let Some(key) = key else { continue };
            of_join.push((*key, Partner { time: event.time, event_id, source, values }, *sign));
        }
    }
    JoinInput { measure: MEASURE, anchors, partners }
}

/// An event as bytes; copies of one id may differ in anything else.
fn bytes_of(event: &Event) -> Box<[u8]> {
    format!("{event:?}").into_bytes().into()
}

thread_local! {
    /// Events by their bytes.
    static EVENTS: std::cell::RefCell<BTreeMap<Box<[u8]>, Event>> = std::cell::RefCell::default();
}

/// Lets events be found again by their bytes.
pub fn know(events: &[Event]) {
    EVENTS.with_borrow_mut(|known| known.extend(events.iter().map(|e| (bytes_of(e), e.clone()))));
}

fn joined_batch(known: &[Event], joined: Vec<Joined>) -> (Batch, Vec<Sign>) {
    know(known);
    let events: Vec<Event> = joined.iter().map(|j| EVENTS.with_borrow(|known| known[&j.row].clone())).collect();
    let value = |value: &Option<JoinedValue>| match value {
        Some(JoinedValue::Integer(number)) => Some(i64::try_from(*number).unwrap()),
        _ => None,
    };
    let of = |(event, joined): (&Event, &Joined)| measured(event, &joined.values.iter().map(value).collect::<Vec<_>>());
    let figures: Vec<(i64, i64)> = events.iter().zip(&joined).map(of).collect();
    let mut batch = batch(&events);
    for (index, measure) in batch.measures.iter_mut().enumerate() {
        measure.selected = BooleanArray::from(vec![index == MEASURE; events.len()]);
    }
    let numbers =
        |f: fn(&(i64, i64)) -> i64| Decimal128Array::from_iter_values(figures.iter().map(|x| i128::from(f(x))));
    batch.measures[MEASURE].weight = numbers(|x| x.0);
    batch.measures[MEASURE].value = numbers(|x| x.1);
    assert_eq!(batch.measures[MEASURE].value.null_count(), 0);
    (batch, joined.iter().map(|j| j.sign).collect())
}

/// The set with each anchor's score and weight as its partners make them.
fn joined_set(set: &[Event], within: Option<(i64, i64)>) -> Vec<Event> {
    let counting = oracle::counting(set);
    let joined = |event: &Event| {
        let Some(score) = event.score else { return event.clone() };
        let partners = |join: usize, reach: Option<(i64, i64)>| {
            let near = |e: &&Event| reach.is_none_or(|(b, a)| (event.time - b..=event.time + a).contains(&e.time));
            let same = |e: &&Event| keys(e)[join].is_some() && keys(e)[join] == keys(event)[join];
            let mut found: Vec<&Event> = counting.iter().filter(same).filter(near).collect();
            found.retain(|e| e.units.is_some());
            found.sort_by_key(|e| (e.time, e.id.to_string()));
            found.into_iter().map(|e| e.units.unwrap()).collect::<Vec<i64>>()
        };
        let (by_case, by_customer) = (partners(0, None), partners(1, within));
        let sum = by_customer.iter().copied().reduce(|a, b| a + b);
        let fields = [
            by_case.last().copied(),
            Some(by_case.len() as i64),
            by_case.iter().min().copied(),
            Some(by_case.iter().collect::<BTreeSet<_>>().len() as i64),
            sum,
            by_customer.first().copied(),
        ];
        let (weight, value) = measured(&Event { score: Some(score), ..event.clone() }, &fields);
        Event { score: Some(value), weight, ..event.clone() }
    };
    set.iter().map(joined).collect()
}

/// At any time, around the event, or on one side of it and some way off.
fn reach() -> impl Strategy<Value = Option<(i64, i64)>> {
    let around = (0i64..600, 0i64..600).prop_map(|(before, after)| (before * MINUTE, after * MINUTE));
    let aside = (1i64..300, 0i64..600, any::<bool>()).prop_map(|(apart, more, is_before)| {
        let (near, far) = (-apart * MINUTE, (apart + more) * MINUTE);
        if is_before { (far, near) } else { (near, far) }
    });
    prop_oneof![Just(None), around.prop_map(Some), aside.prop_map(Some)]
}

/// What the oracle's KPIs say of the first measure; the others read each event by itself, whose weight is its own.
fn of_joined(table: Table) -> Table {
    let joined = ["csat|", "responses|", "median|"];
    table.into_iter().filter(|(key, _)| joined.iter().any(|kpi| key.starts_with(kpi))).collect()
}

fn differences(
    table: Table,
    set: &[Event],
    groups_max: usize,
    of_case: Kept,
    within: Option<(i64, i64)>,
) -> Vec<String> {
    let expected = oracle::rows(&joined_set(set, within), LAST, groups_max, of_case);
    nonzero_difference(&of_joined(table), &of_joined(expected))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]

    /// Orders, batches, copies, retractions on both sides, limits of groups, a rebuilt engine in the middle.
    #[test]
    fn rows_with_joins_are_a_function_of_the_set(
        (set, order, cuts, marks) in shuffled(),
        groups_max in 1usize..6,
        of_case in kept(),
        within in reach(),
        rebuilt in proptest::option::of(0usize..5),
    ) {
        know(&set);
        let scorer = Scorer::new(joined_plan(groups_max, of_case, within));
        let between = Between { restart: rebuilt, ..Between::default() };
        let table = Course::new(order, cuts, &marks).interrupted(scorer, &between);
        let differences = differences(table, &set, groups_max, of_case, within);
        prop_assert!(differences.is_empty(), "{differences:#?}");
    }

    /// Few panes are kept, and the engine goes on from a snapshot while others have published since.
    #[test]
    fn what_is_joined_late_restates_published_rows_and_goes_on_from_a_snapshot(
        (set, order, cuts, marks) in shuffled(),
        late_panes in 0u32..4,
        (save, crash) in (0usize..5, 0usize..5),
        of_case in kept(),
        within in reach(),
    ) {
        know(&set);
        let scorer = Scorer::forgetful(joined_plan(1000, of_case, within), late_panes);
        let between = Between { save: Some(save), crash: Some(crash), ..Between::default() };
        let table = Course::new(order, cuts, &marks).interrupted(scorer, &between);
        let differences = differences(table, &set, 1000, of_case, within);
        prop_assert!(differences.is_empty(), "{differences:#?}");
    }
}

/// The properties above are of streams in which partners do change what is counted.
#[test]
fn a_partner_that_comes_after_its_anchor_was_published_makes_a_new_revision() {
    let event = |id: u8, time: i64, score, units| Event {
        score,
        units,
        case: Some(1),
        ..Event::rating(id, START + time * MINUTE, 0)
    };
    let (anchor, partner) = (event(1, 1, Some(10_000), None), event(2, 100, None, Some(10_000)));
    let mut scorer = Scorer::forgetful(joined_plan(1000, Kept::FIRST, None), 0);
    let mut table = BTreeMap::new();
    scorer.take(std::slice::from_ref(&anchor));
    scorer.publish(START + 90 * MINUTE, &mut table);
    let csat = |table: &BTreeMap<String, String>| {
        let (_, figures) = table.iter().find(|(key, _)| key.starts_with("csat|5m||")).unwrap();
        figures.split('|').next().unwrap().to_owned()
    };
    let before = csat(&table);
    scorer.take(std::slice::from_ref(&partner));
    scorer.publish(START + 5000 * MINUTE, &mut table);
    assert_ne!(before, csat(&table));
    let of_set = differences(table, &[anchor, partner], 1000, Kept::FIRST, None);
    assert!(of_set.is_empty(), "{of_set:#?}");
    assert_eq!(scorer.engine.joined_keys(), 3);
    assert_eq!(KPIS.len(), 6);
}
