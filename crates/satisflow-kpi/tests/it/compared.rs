//! Groups side by side, in any order of arrival, against comparing them by brute force.
//! proptest prints the case that fails and keeps its seed.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use satisflow_kpi::{Best, Comparison, Definition, Kept, Metric, Other, Plan, RankPart, Shrink};

use crate::course::{Between, Course, LAST, Table};
use crate::oracle::{self, SETS, WINDOWS};
use crate::properties::{START, kept, nonzero_difference, shuffled};
use crate::stream::{Event, MINUTE, Scorer, plan_with};

const UNIT: i128 = 1_000_000_000_000;
const MILLION: i64 = 1_000_000;

const CSAT: Metric = Metric::Mean(0);
const RATE: Metric = Metric::Ratio { numerator: 1, denominator: 2, per: 1 };
const COUNT: Metric = Metric::Count(0);
const MEDIAN: Metric = Metric::Quantile { measure: 0, millionths: 500_000, digits: None };

/// A comparison: its name, and its metrics by the names that the oracle knows.
struct Case {
    name: &'static str,
    metrics: Vec<&'static str>,
    comparison: Comparison,
}

fn metric(name: &str) -> Metric {
    match name {
        "csat" => CSAT,
        "complaint_rate" => RATE,
        "responses" => COUNT,
        _ => MEDIAN,
    }
}

fn part(name: &str, weight: i64, best: Best) -> RankPart {
    RankPart { metric: metric(name), weight, best }
}

fn ago(metric: Metric, ago: u32) -> Other {
    Other { metric, ago }
}

impl Case {
    /// How many days before each metric is read.
    fn lookbacks(&self) -> Vec<u32> {
        [0].into_iter().chain(self.comparison.others().map(|other| other.ago)).collect()
    }

    /// Those that have periods, where it looks back.
    fn windows(&self) -> impl Iterator<Item = &'static str> {
        let looks_back = self.lookbacks().iter().any(|ago| *ago > 0);
        WINDOWS.into_iter().filter(move |window| !looks_back || window.contains("day"))
    }
}

/// Ends of the windows that hold a time, so many days later.
fn ends(window: &str, time: i64, ago: u32) -> Vec<i64> {
    let later = |end: i64| (0..ago).fold(end, |end, _| oracle::day_end(end));
    oracle::ends(window, time).into_iter().map(later).collect()
}

fn inside(window: &str, time: i64, end: i64, ago: u32) -> bool {
    if ago > 0 { ends(window, time, ago).contains(&end) } else { oracle::inside(window, time, end) }
}

fn cases() -> Vec<Case> {
    let case = |name, metrics: &[&'static str], comparison| Case { name, metrics: metrics.to_vec(), comparison };
    let rank = |best, shrink| Comparison::Rank { best, shrink };
    let shrink = |weight, toward| Shrink { weight, toward };
    let parts = vec![
        part("csat", MILLION / 2, Best::High),
        part("responses", MILLION / 4, Best::Low),
        part("median", MILLION / 3, Best::High),
    ];
    let gap_rank = Comparison::RankOfGap { minus: RATE, times: Some(COUNT), best: Best::Low };
    vec![
        case("rank", &["csat"], rank(Best::High, None)),
        case("rate_rank", &["complaint_rate"], rank(Best::Low, None)),
        case("median_rank", &["median"], rank(Best::Low, None)),
        case("shrunk_rank", &["csat"], rank(Best::High, Some(shrink(5 * MILLION / 2, Some(50 * MILLION))))),
        case("shrunk", &["csat"], Comparison::Shrunk(shrink(2 * MILLION, None))),
        case("part", &["responses"], Comparison::TotalShare),
        case("up_to", &["responses"], Comparison::CumulativeShare),
        case("vital", &["responses"], Comparison::VitalFew { millionths: 600_000 }),
        case("minus", &["csat", "complaint_rate"], Comparison::Minus(RATE.into())),
        case("change", &["csat", "complaint_rate"], Comparison::Change(RATE.into())),
        case("quotient", &["csat", "complaint_rate"], Comparison::Quotient(RATE.into())),
        case("others", &["csat"], Comparison::Others),
        case("gap_rank", &["csat", "complaint_rate", "responses"], gap_rank),
        case(
            "plain_gap_rank",
            &["csat", "median"],
            Comparison::RankOfGap { minus: MEDIAN, times: None, best: Best::High },
        ),
        case("climbed", &["responses", "responses"], Comparison::Climbed { from: ago(COUNT, 1), best: Best::High }),
        case("since_yesterday", &["csat", "csat"], Comparison::Minus(ago(CSAT, 1))),
        case("rate_change", &["complaint_rate", "complaint_rate"], Comparison::Change(ago(RATE, 2))),
        case("priority", &["csat", "responses", "median"], Comparison::WeightedRanks(parts)),
    ]
}

fn definition(case: &Case, groups_max: usize, plan: &Plan) -> Definition {
    Definition {
        name: case.name.into(),
        fingerprint: case.name.into(),
        metric: metric(case.metrics[0]),
        compared: Some(case.comparison.clone()),
        windows: case.windows().map(|window| WINDOWS.iter().position(|other| *other == window).unwrap()).collect(),
        groups_max,
        ..plan.definitions[0].clone()
    }
}

/// All comparisons, over what [`plan_with`] has, and one KPI that stands by itself.
fn compared_plan(groups_max: usize, of_case: Kept) -> Plan {
    let plan = plan_with(groups_max, of_case);
    let mut definitions: Vec<Definition> = cases().iter().map(|case| definition(case, groups_max, &plan)).collect();
    definitions.push(plan.definitions[0].clone());
    Plan { definitions, ..plan }
}

/// Weights and values of one metric, and of its base.
type Parts = [Vec<(i128, i128)>; 2];

/// What events give a metric.
struct Read<'a> {
    counted: &'a [Event],
    counting: &'a [Event],
    measure: oracle::Measure,
    base: Option<oracle::Measure>,
}

impl Read<'_> {
    fn parts(&self, here: &dyn Fn(&Event) -> bool) -> Parts {
        let of = |events: &[Event], measure: oracle::Measure| {
            events.iter().filter(|e| here(e)).filter_map(measure).collect::<Vec<_>>()
        };
        [of(self.counted, self.measure), self.base.map_or(Vec::new(), |base| of(self.counting, base))]
    }

    fn reads(&self, event: &Event) -> bool {
        (self.measure)(event).is_some() || self.base.is_some_and(|base| base(event).is_some())
    }
}

/// A group at an end.
struct Group {
    name: String,
    parts: Vec<Parts>,
    own: bool,
}

impl Group {
    fn holds(&self) -> bool {
        self.parts.iter().flatten().flatten().any(|(w, _)| *w > 0)
    }

    /// Value and n of a metric, as its rows show them.
    fn said(&self, case: &Case, number: usize) -> (Option<i128>, i128) {
        said(case.metrics[number], &self.parts[number])
    }

    /// Of a group that holds anything of that very metric.
    fn value_there(&self, case: &Case, number: usize) -> Option<i128> {
        let is_there = self.parts[number].iter().flatten().any(|(w, _)| *w > 0);
        self.said(case, number).0.filter(|_| is_there)
    }

    fn value(&self, case: &Case, number: usize) -> Option<i128> {
        self.said(case, number).0.filter(|_| self.holds())
    }
}

fn said(metric: &str, [parts, base]: &Parts) -> (Option<i128>, i128) {
    let line = oracle::line(metric, parts, base, false);
    let fields: Vec<&str> = line.split('|').collect();
    let value = (!fields[0].is_empty()).then(|| fields[0].replace('.', "").parse().unwrap());
    (value, fields[3].parse().unwrap())
}

fn half_even(numerator: i128, denominator: i128) -> i128 {
    let (quotient, rest) = (numerator.div_euclid(denominator), numerator.rem_euclid(denominator));
    let up = 2 * rest > denominator || (2 * rest == denominator && quotient % 2 != 0);
    quotient + i128::from(up)
}

fn pooled<'a>(groups: impl Iterator<Item = &'a Group>) -> Parts {
    let mut all = Parts::default();
    for group in groups {
        all.iter_mut().zip(&group.parts[0]).for_each(|(all, parts)| all.extend(parts));
    }
    all
}

fn shrunk(case: &Case, groups: &[Group], at: usize, shrink: &Shrink) -> Option<i128> {
    let mean = || said(case.metrics[0], &pooled(groups.iter())).0;
    let toward = shrink.toward.map(|toward| i128::from(toward) * i128::from(MILLION)).or_else(mean)?;
    let (value, n) = groups[at].said(case, 0);
    let (weight, n) = (i128::from(shrink.weight), n * i128::from(MILLION));
    Some(half_even(weight * toward + n * value?, weight + n))
}

fn better(best: Best, one: i128, other: i128) -> bool {
    match best {
        Best::High => one > other,
        Best::Low => one < other,
    }
}

/// What a comparison says of one of these groups, in the order of their names.
fn compared(case: &Case, groups: &[Group], at: usize) -> Option<i128> {
    let values: Vec<Option<i128>> = groups.iter().map(|group| group.value(case, 0)).collect();
    let place = |values: &[Option<i128>], best| {
        let own = values[at]?;
        Some(UNIT * (1 + values.iter().flatten().filter(|other| better(best, **other, own)).count() as i128))
    };
    let total: i128 = values.iter().flatten().sum();
    // Those before this one from the largest on.
    let below = || -> Option<i128> {
        let own = values[at]?;
        let first = |other: usize, value: i128| value > own || (value == own && other < at);
        let valued = values.iter().enumerate().filter_map(|(other, value)| Some((other, (*value)?)));
        Some(valued.filter(|(other, value)| first(*other, *value)).map(|(_, value)| value).sum())
    };
    match &case.comparison {
        Comparison::Rank { best, shrink: None } => place(&values, *best),
        Comparison::Rank { best, shrink: Some(shrink) } => {
            let drawn: Vec<_> = (0..groups.len()).map(|other| shrunk(case, groups, other, shrink)).collect();
            place(&drawn, *best)
        }
        Comparison::Shrunk(shrink) => shrunk(case, groups, at, shrink),
        Comparison::TotalShare => (total > 0).then(|| Some(half_even(values[at]? * UNIT, total)))?,
        Comparison::CumulativeShare => (total > 0).then(|| Some(half_even((below()? + values[at]?) * UNIT, total)))?,
        Comparison::VitalFew { millionths } => {
            let below = below()?;
            (total > 0).then(|| if below * 1_000_000 < total * i128::from(*millionths) { UNIT } else { 0 })
        }
        Comparison::Minus(_) => Some(groups[at].value(case, 0)? - groups[at].value(case, 1)?),
        Comparison::Change(_) => {
            let (now, before) = (groups[at].value(case, 0)?, groups[at].value(case, 1)?);
            (before > 0).then(|| half_even((now - before) * UNIT, before))
        }
        Comparison::Quotient(_) => {
            let (part, whole) = (groups[at].value(case, 0)?, groups[at].value(case, 1)?);
            (whole > 0).then(|| half_even(part * UNIT, whole))
        }
        Comparison::Others => {
            let others = groups.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, group)| group);
            Some(values[at]? - said(case.metrics[0], &pooled(others)).0?)
        }
        Comparison::RankOfGap { times, best, .. } => {
            let gap = |group: &Group| {
                let times = if times.is_some() { group.value(case, 2)? } else { 1 };
                Some((group.value(case, 0)? - group.value(case, 1)?) * times)
            };
            place(&groups.iter().map(gap).collect::<Vec<_>>(), *best)
        }
        Comparison::Climbed { best, .. } => {
            let there = |number| groups.iter().map(|group| group.value_there(case, number)).collect::<Vec<_>>();
            Some(place(&there(1), *best)? - place(&there(0), *best)?)
        }
        Comparison::WeightedRanks(parts) => priority(case, parts, groups, at),
        Comparison::Sigma | Comparison::PValue { .. } => unreachable!("these are no rationals"),
    }
}

fn priority(case: &Case, parts: &[RankPart], groups: &[Group], at: usize) -> Option<i128> {
    let whole = |group: &Group| -> Option<Vec<i128>> { (0..parts.len()).map(|n| group.value(case, n)).collect() };
    let own = whole(&groups[at])?;
    let all: Vec<Vec<i128>> = groups.iter().filter_map(whole).collect();
    let worse = |n: usize, best| all.iter().filter(|other| better(best, own[n], other[n])).count() as i128;
    let points = parts.iter().enumerate().map(|(n, part)| i128::from(part.weight) * worse(n, part.best));
    Some(half_even(points.sum::<i128>() * i128::from(MILLION), (all.len() as i128 - 1).max(1)))
}

/// Every row of the comparisons whose window ends at or before `watermark`.
fn rows(events: &[Event], watermark: i64, groups_max: usize, of_case: Kept) -> BTreeMap<String, String> {
    let counting = oracle::counting(events);
    let complaints = oracle::of_cases(&counting, of_case, &|_| true);
    let read = |name: &str| match name {
        "complaint_rate" => {
            Read { counted: &complaints, counting: &counting, measure: oracle::opening, base: Some(oracle::sold) }
        }
        _ => Read { counted: &counting, counting: &counting, measure: oracle::score, base: None },
    };
    let mut table = BTreeMap::new();
    for case in cases() {
        let reads: Vec<Read<'_>> = case.metrics.iter().map(|name| read(name)).collect();
        let selected: Vec<&Event> = events.iter().filter(|e| reads.iter().any(|read| read.reads(e))).collect();
        let lookbacks = case.lookbacks();
        for (window, set) in case.windows().flat_map(|window| SETS.iter().map(move |set| (window, *set))) {
            let names: BTreeSet<String> = selected.iter().map(|e| oracle::group(set, e)).collect();
            let of_read = |(read, ago): (&Read<'_>, &u32)| {
                let read = selected.iter().filter(|e| read.reads(e)).flat_map(|e| ends(window, e.time, *ago));
                read.collect::<Vec<_>>()
            };
            let all_ends: BTreeSet<i64> = reads.iter().zip(&lookbacks).flat_map(of_read).collect();
            for end in all_ends.into_iter().filter(|end| *end <= watermark) {
                let group = |name: &String| {
                    let is_of = |e: &Event| oracle::group(set, e) == *name;
                    let parts = |(read, ago): (&Read<'_>, &u32)| {
                        read.parts(&|e: &Event| is_of(e) && inside(window, e.time, end, *ago))
                    };
                    let own = |(read, ago): (&Read<'_>, &u32)| {
                        selected.iter().any(|e| is_of(e) && read.reads(e) && ends(window, e.time, *ago).contains(&end))
                    };
                    Group {
                        name: name.clone(),
                        parts: reads.iter().zip(&lookbacks).map(parts).collect(),
                        own: reads.iter().zip(&lookbacks).any(own),
                    }
                };
                let groups: Vec<Group> = names.iter().map(group).filter(|group| group.own || group.holds()).collect();
                if groups.iter().filter(|group| group.holds()).count() > groups_max {
                    continue;
                }
                for (at, group) in groups.iter().enumerate() {
                    let key = format!("{}|{window}|{set}|{}|{end:020}", case.name, group.name);
                    let line = oracle::line(case.metrics[0], &group.parts[0][0], &group.parts[0][1], false);
                    let (_, rest) = line.split_once('|').unwrap();
                    let value = compared(&case, &groups, at).map(|value| oracle::decimal(value, 12));
                    table.insert(key, format!("{}|{rest}", value.unwrap_or_default()));
                }
            }
        }
    }
    table
}

/// Without the KPI that stands by itself.
fn of_comparisons(mut table: Table) -> Table {
    table.retain(|key, _| !key.starts_with("csat|"));
    table
}

fn differences(table: Table, set: &[Event], groups_max: usize, of_case: Kept) -> Vec<String> {
    nonzero_difference(&of_comparisons(table), &rows(set, LAST, groups_max, of_case))
}

/// What two groups and their totals publish in the 5-minute windows, step by step.
#[test]
fn a_late_event_moves_the_ranks_of_others_and_what_holds_nothing_is_withdrawn() {
    let event = |id: u8, minute: i64, department, score: i64| Event {
        department,
        ..Event::rating(id, minute * MINUTE, score * 10_000)
    };
    let mut scorer = Scorer::new(compared_plan(1000, Kept::FIRST));
    let ranks = |scorer: &mut Scorer, watermark: i64| {
        let rows = scorer.advance(watermark * MINUTE);
        let wanted = rows.iter().filter(|row| (row.definition, row.window, row.set) == (0, 0, 1));
        let text = |row: &satisflow_kpi::KpiRow| {
            let (key, figures) = scorer.show(row);
            let value = figures.split('|').next().unwrap().trim_end_matches(".000000000000").to_owned();
            let department = key.split('|').nth(3).unwrap().to_owned();
            format!("{} {department} r{} {} {value}", row.window_end / MINUTE, row.revision, row.reason.as_str())
        };
        wanted.map(text).collect::<Vec<_>>()
    };
    scorer.take(&[event(1, 0, "a", 80), event(2, 1, "b", 70)]);
    assert_eq!(ranks(&mut scorer, 2), ["1 a r1 initial 1", "2 a r1 initial 1", "2 b r1 initial 2"]);
    scorer.take(&[event(3, 1, "b", 100)]);
    assert_eq!(ranks(&mut scorer, 2), ["2 a r2 late 2", "2 b r2 late 1"], "85 is more than 80");
    scorer.take(&[Event { voids: Some(1), score: None, ..event(4, 30, "a", 0) }]);
    assert_eq!(ranks(&mut scorer, 2), ["1 a r2 retraction ", "2 a r3 withdrawn "], "b was the first before");
    assert!(scorer.advance(2 * MINUTE).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn comparisons_are_a_function_of_the_set(
        (set, order, cuts, marks) in shuffled(),
        groups_max in 1usize..6,
        of_case in kept(),
    ) {
        let table = Course::new(order, cuts, &marks).run(Scorer::new(compared_plan(groups_max, of_case)));
        let differences = differences(table, &set, groups_max, of_case);
        prop_assert!(differences.is_empty(), "{differences:#?}");
    }

    #[test]
    fn the_newest_final_comparisons_are_those_published_last((_set, order, cuts, marks) in shuffled()) {
        let scorer = Scorer::new(compared_plan(1000, Kept::FIRST));
        let [published, said] = Course::new(order, cuts, &marks).finals(scorer);
        prop_assert_eq!(published, said);
    }

    /// However few panes others keep, with a restart in the middle, or from a snapshot while
    /// others went on publishing after it was taken.
    #[test]
    fn comparisons_go_on_after_a_restart_and_from_a_snapshot(
        (set, order, cuts, marks) in shuffled(),
        late_panes in 0u32..4,
        restart in proptest::option::of(0usize..5),
        (save, crash) in (0usize..5, 0usize..5),
        of_case in kept(),
    ) {
        let scorer = Scorer::forgetful(compared_plan(1000, of_case), late_panes);
        let between = Between { restart, save: Some(save), crash: Some(crash) };
        let table = Course::new(order, cuts, &marks).interrupted(scorer, &between);
        let differences = differences(table, &set, 1000, of_case);
        prop_assert!(differences.is_empty(), "{differences:#?}");
    }

    /// Each at its own pace, and incomplete for a while.
    #[test]
    fn each_comparison_goes_at_its_own_pace(
        (set, order, cuts, marks) in shuffled(),
        groups_max in 1usize..6,
        of_case in kept(),
    ) {
        let table = Course::new(order, cuts, &marks).at_paces(Scorer::new(compared_plan(groups_max, of_case)));
        let differences = differences(table, &set, groups_max, of_case);
        prop_assert!(differences.is_empty(), "{differences:#?}");
    }

    /// Comparisons that are new in a catalog have all of their rows, and those that stay go on.
    #[test]
    fn a_catalog_with_new_comparisons_goes_on_from_a_snapshot(
        (set, order, _cuts, marks) in shuffled(),
        late_panes in 0u32..4,
        (cut, stays) in (0usize..30, 0usize..8),
        of_case in kept(),
    ) {
        let all = compared_plan(1000, of_case);
        let part = |n: usize| Plan {
            definitions: all.definitions.iter().cycle().skip(stays).take(n).cloned().collect(),
            ..all.clone()
        };
        let (before, after) = (part(2), part(5));
        let mut scorer = Scorer::forgetful(before, late_panes);
        let (mut table, cut) = (BTreeMap::new(), cut.min(order.len()));
        let mark = START + marks.first().copied().unwrap_or(2000) * MINUTE;
        scorer.take(&order[..cut / 2]);
        scorer.publish(mark, &mut table);
        let saved = scorer.save();
        scorer.take(&order[cut / 2..cut]);
        scorer.publish(mark, &mut table);
        let mut scorer = scorer.changed(after, &saved, &order[..cut], mark);
        scorer.take(&order[cut..]);
        scorer.publish(LAST, &mut table);
        let names: Vec<String> =
            scorer.engine.plan().definitions.iter().map(|definition| format!("{}|", definition.name)).collect();
        let mut expected = rows(&set, LAST, 1000, of_case);
        expected.retain(|key, _| names.iter().any(|name| key.starts_with(name)));
        let differences = nonzero_difference(&of_comparisons(table), &expected);
        prop_assert!(differences.is_empty(), "{differences:#?}");
    }
}
