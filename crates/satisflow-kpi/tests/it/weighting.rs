//! Means weighted by a population and by age, in any order of arrival and after
//! any restart, against weighing everything anew.

use std::collections::BTreeMap;

use num_bigint::BigInt;
use proptest::prelude::*;
use satisflow_kpi::{Kept, Metric, Plan, Population, Rate, StratumTarget, Validity, Weighting};

use crate::course::{Between, Course, LAST};
use crate::oracle::{self, SETS, WINDOWS};
use crate::properties::{kept, nonzero_difference, shuffled};
use crate::stream::{Event, MINUTE, Scorer, channel_cell, joint_cell, plan_with};

const HALF_LIFE: i64 = 20 * MINUTE;
const CHANNELS: [i64; 2] = [3, 7];
const DEPARTMENTS: [i64; 2] = [6, 4];
/// By channel: 3.5 and 2.5, a point of the first for 0.3 and of the second for 0.12.
const TARGETS: [StratumTarget; 2] = [
    StratumTarget { target: 35_000, weight: 300_000_000_000 },
    StratumTarget { target: 25_000, weight: 120_000_000_000 },
];
/// Cases per unit.
const MIN_MILLIONTHS: i128 = 500_000;

/// A KPI of the plan, as it is said to be.
struct Kpi {
    name: &'static str,
    metric: Metric,
    keyed: bool,
    fades: bool,
    /// Whether cases per unit have to reach a rate.
    rated: bool,
    margins: &'static [[i64; 2]],
    cell: fn(&Event) -> Option<u32>,
}

/// Its measures are those of [`crate::stream::batch`].
const WEIGHTED: [Kpi; 6] = [
    Kpi {
        name: "represented",
        metric: Metric::Mean(4),
        keyed: false,
        fades: false,
        rated: false,
        margins: &[CHANNELS],
        cell: channel_cell,
    },
    Kpi {
        name: "raked",
        metric: Metric::Mean(5),
        keyed: true,
        fades: false,
        rated: false,
        margins: &[CHANNELS, DEPARTMENTS],
        cell: joint_cell,
    },
    Kpi {
        name: "fading",
        metric: Metric::Mean(6),
        keyed: false,
        fades: true,
        rated: false,
        margins: &[],
        cell: |_| Some(0),
    },
    Kpi {
        name: "valid",
        metric: Metric::Mean(0),
        keyed: false,
        fades: false,
        rated: true,
        margins: &[],
        cell: |_| Some(0),
    },
    Kpi {
        name: "fading_points",
        metric: Metric::Balance(7),
        keyed: false,
        fades: true,
        rated: false,
        margins: &[CHANNELS],
        cell: channel_cell,
    },
    Kpi {
        name: "short",
        metric: Metric::Shortfall(8),
        keyed: false,
        fades: false,
        rated: false,
        margins: &[],
        cell: channel_cell,
    },
];

impl Kpi {
    fn measure(&self) -> usize {
        self.metric.measure()
    }

    /// Only rolling windows have steps to fade by; they are the first two.
    fn windows(&self) -> usize {
        if self.fades { 2 } else { WINDOWS.len() }
    }

    fn weighting(&self) -> Option<Weighting> {
        let margins: Vec<Vec<i64>> = self.margins.iter().map(|margin| margin.to_vec()).collect();
        let population = (!margins.is_empty()).then_some(Population { margins });
        let targets = if self.is_shortfall() { TARGETS.to_vec() } else { Vec::new() };
        let weighting = Weighting { population, half_life: self.fades.then_some(HALF_LIFE), targets };
        (weighting != Weighting::default()).then_some(weighting)
    }

    fn is_shortfall(&self) -> bool {
        matches!(self.metric, Metric::Shortfall(_))
    }

    fn validity(&self) -> Validity {
        let rate = Rate { numerator: 1, denominator: 2, min: MIN_MILLIONTHS as i64 };
        Validity { rates: if self.rated { vec![rate] } else { Vec::new() }, ..Validity::default() }
    }

    /// Whether an event counts in the mean, if it counts.
    fn selects(&self, event: &Event) -> bool {
        event.score.is_some() && (self.cell)(event).is_some() && (!self.keyed || event.case.is_some())
    }

    /// Whether an event leaves its trace.
    fn traces(&self, event: &Event) -> bool {
        self.selects(event) || (self.rated && (event.case.is_some() || event.units.is_some()))
    }
}

fn weighted_plan(of_case: Kept) -> Plan {
    let plan = plan_with(1000, of_case);
    let definition = |kpi: &Kpi| satisflow_kpi::Definition {
        name: kpi.name.into(),
        fingerprint: kpi.name.into(),
        metric: kpi.metric,
        windows: (0..kpi.windows()).collect(),
        validity: kpi.validity(),
        ..plan.definitions[0].clone()
    };
    Plan {
        definitions: WEIGHTED.iter().map(definition).collect(),
        kept: BTreeMap::from([(1, of_case), (5, of_case)]),
        weightings: WEIGHTED.iter().filter_map(|kpi| Some((kpi.measure(), kpi.weighting()?))).collect(),
        ..plan
    }
}

fn step(window: &str) -> i64 {
    if window == "5m" { MINUTE } else { 20 * MINUTE }
}

/// Every end at which an event of this time makes a row.
fn ends(kpi: &Kpi, window: &str, time: i64) -> Vec<i64> {
    let ends = oracle::ends(window, time);
    if let ([enter, leave], true) = (&ends[..], kpi.fades) {
        return (*enter..=*leave).step_by(step(window) as usize).collect();
    }
    ends
}

/// 10^12 times two to the minus age by half-life.
fn fading(age: i64) -> i128 {
    (0.5f64.powf(age as f64 / HALF_LIFE as f64) * 1e12).round() as i128
}

/// Weights and weighted values of each cell, in units that cancel out.
fn cells(kpi: &Kpi, window: &str, events: &[&Event], end: i64) -> BTreeMap<u32, (i128, i128)> {
    let mut cells: BTreeMap<u32, (i128, i128)> = BTreeMap::new();
    for event in events.iter().filter(|event| event.weight > 0) {
        let age = end - oracle::ends(window, event.time)[0];
        let weight = i128::from(event.weight) * if kpi.fades { fading(age) } else { 1 };
        let held = cells.entry((kpi.cell)(event).unwrap()).or_default();
        held.0 += weight;
        held.1 += weight * i128::from(event.score.unwrap());
    }
    cells
}

/// What each cell of two by two stands for: rows, columns, and again, 18 decimals rounded down.
fn raked(cells: &BTreeMap<u32, (i128, i128)>) -> Option<Vec<(u32, i128)>> {
    const WHOLE: i128 = 1_000_000_000_000_000_000;
    let total: i128 = cells.values().map(|(w, _)| w).sum();
    let mut table = [[0i128; 2]; 2];
    for (cell, (w, _)) in cells {
        let mass = BigInt::from(*w) * WHOLE / total;
        table[*cell as usize / 2][*cell as usize % 2] = i128::try_from(mass).unwrap();
    }
    for _ in 0..1000 {
        let rows = [table[0][0] + table[0][1], table[1][0] + table[1][1]];
        let wanted = CHANNELS.map(|n| i128::from(n) * WHOLE / 10);
        for (row, (wanted, sum)) in table.iter_mut().zip(wanted.iter().zip(rows)) {
            for share in row {
                *share = (*share * wanted).checked_div(sum)?;
            }
        }
        let columns = [table[0][0] + table[1][0], table[0][1] + table[1][1]];
        let wanted_columns = DEPARTMENTS.map(|n| i128::from(n) * WHOLE / 10);
        for row in &mut table {
            for (share, (wanted, sum)) in row.iter_mut().zip(wanted_columns.iter().zip(columns)) {
                *share = (*share * wanted).checked_div(sum)?;
            }
        }
        let off = |sums: [i128; 2], wanted: [i128; 2]| (sums[0] - wanted[0]).abs().max((sums[1] - wanted[1]).abs());
        if off(rows, wanted).max(off(columns, wanted_columns)) <= 1_000_000 {
            return Some(cells.keys().map(|cell| (*cell, table[*cell as usize / 2][*cell as usize % 2])).collect());
        }
    }
    None
}

fn shares(kpi: &Kpi, cells: &BTreeMap<u32, (i128, i128)>) -> Option<Vec<(u32, i128)>> {
    match kpi.margins {
        [] if kpi.is_shortfall() => {
            let all = [0, 1].iter().all(|cell| cells.contains_key(cell));
            all.then(|| (0..).zip(TARGETS.map(|target| i128::from(target.weight))).collect())
        }
        [] => (!cells.is_empty()).then(|| vec![(0, 1)]),
        [_] => {
            let all = [0, 1].iter().all(|cell| cells.contains_key(cell));
            all.then(|| (0..).zip(CHANNELS.map(i128::from)).collect())
        }
        _ => raked(cells),
    }
}

/// Twelve decimals; the shares' means over one denominator.
fn value(kpi: &Kpi, cells: &BTreeMap<u32, (i128, i128)>) -> Option<i128> {
    let shares = shares(kpi, cells)?;
    let below = |but: Option<u32>| {
        let others = shares.iter().filter(|(cell, _)| Some(*cell) != but);
        others.map(|(cell, _)| BigInt::from(cells[cell].0)).product::<BigInt>()
    };
    let short = |cell: u32, (w, wx): (i128, i128)| (i128::from(TARGETS[cell as usize].target) * w - wx).max(0);
    let of = |cell: u32| if kpi.is_shortfall() { short(cell, cells[&cell]) } else { cells[&cell].1 };
    let term = |(cell, share): &(u32, i128)| BigInt::from(of(*cell)) * *share * below(Some(*cell));
    let numerator: BigInt = shares.iter().map(term).sum();
    let total = shares.iter().map(|(_, share)| share).sum::<i128>();
    let denominator = below(None) * if kpi.is_shortfall() { 1_000_000_000_000 } else { total };
    let numerator = numerator * i128::from(kpi.metric.per()) * 100_000_000i128;
    let (quotient, rest) = (&numerator / &denominator, &numerator % &denominator);
    let twice = rest * 2;
    let up = twice > denominator || (twice == denominator && quotient.bit(0));
    Some(i128::try_from(quotient + i128::from(up)).unwrap())
}

/// Whether so many cases and units reach the rate; values have 4 decimals.
fn reaches(cases: &[&Event], units: &[&Event]) -> bool {
    let below: i128 = units.iter().filter_map(|event| event.units.map(i128::from)).sum();
    below > 0 && cases.len() as i128 * 10_000 * 1_000_000 >= below * MIN_MILLIONTHS
}

fn line(kpi: &Kpi, window: &str, events: &[&Event], end: i64, is_valid: bool) -> String {
    let parts: Vec<(i128, i128)> =
        events.iter().map(|e| (i128::from(e.weight), i128::from(e.score.unwrap()))).collect();
    let plain = oracle::line("csat", &parts, &[], false);
    let mut fields: Vec<String> = plain.split('|').map(str::to_owned).collect();
    let found = value(kpi, &cells(kpi, window, events, end));
    fields[0] = found.map(|value| oracle::decimal(value, 12)).unwrap_or_default();
    if fields[9] != "stale" && (found.is_none() || !is_valid) {
        fields[9] = "not_representative".to_owned();
    }
    fields.join("|")
}

fn rows(events: &[Event], watermark: i64, of_case: Kept) -> BTreeMap<String, String> {
    let counting = oracle::counting(events);
    let of_cases = oracle::of_cases(&counting, of_case, &|e| e.score.is_some() && joint_cell(e).is_some());
    let cases = oracle::of_cases(&counting, of_case, &|_| true);
    let mut table = BTreeMap::new();
    for kpi in &WEIGHTED {
        let counted = if kpi.keyed { &of_cases } else { &counting };
        for (window, set) in WINDOWS[..kpi.windows()].iter().flat_map(|w| SETS.map(|set| (*w, set))) {
            for event in events.iter().filter(|e| kpi.traces(e)) {
                let group = oracle::group(set, event);
                for end in ends(kpi, window, event.time).into_iter().filter(|end| *end <= watermark) {
                    let here = |e: &&Event| oracle::group(set, e) == group && oracle::inside(window, e.time, end);
                    let held: Vec<&Event> = counted.iter().filter(|e| kpi.selects(e)).filter(here).collect();
                    let (cases, units) = (cases.iter().filter(here), counting.iter().filter(here));
                    let is_valid = !kpi.rated || reaches(&cases.collect::<Vec<_>>(), &units.collect::<Vec<_>>());
                    let key = format!("{}|{window}|{set}|{group}|{end:020}", kpi.name);
                    table.entry(key).or_insert_with(|| line(kpi, window, &held, end, is_valid));
                }
            }
        }
    }
    table
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn weighted_rows_are_a_function_of_the_set((set, order, cuts, marks) in shuffled(), of_case in kept()) {
        let table = Course::new(order, cuts, &marks).run(Scorer::new(weighted_plan(of_case)));
        let differences = nonzero_difference(&table, &rows(&set, LAST, of_case));
        prop_assert!(differences.is_empty(), "{differences:#?}");
    }

    /// Rebuilt from the set or from a snapshot, keeping few panes or all.
    #[test]
    fn weighted_rows_go_on_after_a_restart(
        (set, order, cuts, marks) in shuffled(),
        late_panes in proptest::option::of(0u32..4),
        (save, stop, rebuilt) in (0usize..4, 0usize..5, any::<bool>()),
        of_case in kept(),
    ) {
        let scorer = Scorer::keeping(weighted_plan(of_case), late_panes);
        let [restart, crash] = [rebuilt, !rebuilt].map(|is_meant| is_meant.then_some(stop));
        let between = Between { restart, save: Some(save), crash };
        let table = Course::new(order, cuts, &marks).interrupted(scorer, &between);
        let differences = nonzero_difference(&table, &rows(&set, LAST, of_case));
        prop_assert!(differences.is_empty(), "{differences:#?}");
    }

    /// The newest final rows are the last ones published.
    #[test]
    fn the_newest_final_rows_of_weighted_kpis_are_those_published_last((_set, order, cuts, marks) in shuffled()) {
        let [published, said] = Course::new(order, cuts, &marks).finals(Scorer::new(weighted_plan(Kept::FIRST)));
        prop_assert_eq!(published, said);
    }
}
