//! Schedules: what a seed decides happens, in the order that it decides.
//!
//! Partitions are produced to and polled, clocks tick and jump, definitions
//! advance each at its own pace, and the engine is stopped and rebuilt. At any
//! moment the rows published are those of the naive oracle over what has
//! arrived, up to each definition's own watermark. A schedule is a function of
//! its seed alone: `SATISFLOW_SIMULATION_SEED=<seed> SATISFLOW_SIMULATION_SCHEDULES=1`
//! runs the one that failed again.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::datatypes::i256;
use satisflow_kpi::{
    Engine, Frontier, Kept, KpiRow, NO_VALUE, Plan, Position, Reason, RowKey, Sign, decimal_text, divide_half_even,
};

use crate::oracle::{self, SETS, Scope, WINDOWS};
use crate::stream::{Event, KPIS, MINUTE, Resolver, batch, plan, position};

/// Nights in which clocks go forward and back, a leap day, the end of a year of 53 weeks.
const STARTS: [&str; 5] = [
    "2026-03-28T12:00:00Z",
    "2026-10-24T12:00:00Z",
    "2028-02-28T18:00:00Z",
    "2026-12-31T06:00:00Z",
    "1999-12-31T22:00:00Z",
];

/// How late an event may come, µs.
const LATENESS: i64 = 2 * MINUTE;

/// SplitMix64: the same numbers for a seed, whatever becomes of libraries.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, n: i64) -> i64 {
        (self.next() % n.unsigned_abs()).cast_signed()
    }

    fn one_in(&mut self, n: i64) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as i64)).unwrap()]
    }

    fn some<T>(&mut self, value: impl FnOnce(&mut Dice) -> T) -> Option<T> {
        (!self.one_in(3)).then(|| value(self))
    }
}

/// A partition: what will be in it, and how far it was produced and polled.
#[derive(Default)]
struct Partition {
    events: Vec<Event>,
    produced: usize,
    polled: usize,
}

impl Partition {
    /// Its watermark's share; `None` while it is idle. A partition that was never polled holds everything.
    fn latest(&self) -> Option<i64> {
        let idle = self.polled == self.produced;
        (!idle).then(|| self.events[..self.polled].iter().map(|e| e.time).max().unwrap_or(i64::MIN))
    }
}

struct Simulation {
    dice: Dice,
    /// Windows and grouping sets in use: indexes of the full plan's.
    windows: Vec<&'static str>,
    sets: Vec<&'static str>,
    groups_max: usize,
    partitions: [Partition; 3],
    clock: i64,
    engine: Engine,
    resolver: Resolver,
    arrived: BTreeMap<Position, Event>,
    /// Arrived since rows were published last, in order.
    unscored: Vec<Event>,
    watermarks: [i64; KPIS.len()],
    rows: BTreeMap<String, (KpiRow, Vec<String>)>,
}

fn event(dice: &mut Dice, start: i64, partition: i32, offset: i64) -> Event {
    // One partition is an hour behind the others.
    let behind = if partition == 2 { 60 * MINUTE } else { 0 };
    Event {
        id: u8::try_from(dice.below(12)).unwrap(),
        partition,
        offset,
        time: start + offset * 40 * MINUTE + dice.below(180) * MINUTE / 3 - behind,
        department: dice.pick(&["a", "b", "c"]),
        channel: dice.some(|dice| dice.pick(&["x", "y"])),
        score: dice.some(|dice| dice.below(1_000_000)),
        weight: if dice.one_in(5) { 0 } else { dice.below(5_000_000) },
        units: dice.some(|dice| dice.below(50_000)),
        case: dice.some(|dice| u8::try_from(dice.below(3)).unwrap()),
        voids: dice.one_in(6).then(|| u8::try_from(dice.below(12)).unwrap()),
    }
}

fn stream(dice: &mut Dice, start: i64) -> [Partition; 3] {
    [0, 1, 2].map(|partition| {
        let length = 1 + dice.below(4);
        let mut events: Vec<Event> = (0..length).map(|offset| event(dice, start, partition, offset)).collect();
        // Duplicates within a partition never reach the engine.
        let mut seen = std::collections::BTreeSet::new();
        events.retain(|e| seen.insert(e.id));
        Partition { events, ..Partition::default() }
    })
}

/// Some of the full plan's windows and grouping sets.
fn part_of(dice: &mut Dice, groups_max: usize) -> Plan {
    let mut plan = plan(groups_max);
    let first = usize::try_from(dice.below(4)).unwrap();
    let windows = if dice.one_in(2) { vec![first] } else { vec![first, (first + 1) % 4] };
    let sets = dice.pick(&[&[0usize, 1, 2][..], &[0, 2], &[1, 2], &[0]]).to_vec();
    for definition in &mut plan.definitions {
        definition.windows = (0..windows.len()).collect();
        definition.grouping_sets = (0..sets.len()).collect();
    }
    plan.windows = windows.into_iter().map(|index| plan.windows[index].clone()).collect();
    plan.grouping_sets = sets.into_iter().map(|index| plan.grouping_sets[index].clone()).collect();
    plan
}

impl Simulation {
    fn new(seed: u64) -> Simulation {
        let mut dice = Dice(seed);
        let start = dice.pick(&STARTS).parse::<jiff::Timestamp>().unwrap().as_microsecond();
        let groups_max = if dice.one_in(2) { 1000 } else { 1 + dice.below(4) as usize };
        let plan = part_of(&mut dice, groups_max);
        let named = |name: &str| WINDOWS.into_iter().find(|w| *w == name).unwrap();
        Simulation {
            windows: plan.windows.iter().map(|w| named(&w.name)).collect(),
            sets: plan.grouping_sets.iter().map(|set| SETS[set.len()]).collect(),
            groups_max,
            partitions: stream(&mut dice, start),
            clock: start,
            engine: Engine::new(plan),
            resolver: Resolver::new(),
            arrived: BTreeMap::new(),
            unscored: Vec::new(),
            watermarks: [i64::MIN; KPIS.len()],
            rows: BTreeMap::new(),
            dice,
        }
    }

    fn run(&mut self) {
        let steps = 10 + self.dice.below(20);
        for _ in 0..steps {
            self.step();
        }
        for partition in 0..3 {
            self.partitions[partition].produced = self.partitions[partition].events.len();
            while self.poll(partition) {}
        }
        let end = self.clock.max(self.arrived.values().map(|e| e.time).max().unwrap_or(0)) + 5000 * MINUTE;
        self.advance([Frontier::at(end); KPIS.len()]);
        self.check();
    }

    fn step(&mut self) {
        let partition = self.dice.below(3) as usize;
        match self.dice.below(16) {
            0..4 => {
                let Partition { events, produced, .. } = &mut self.partitions[partition];
                *produced = (*produced + 1).min(events.len());
            }
            4..8 => drop(self.poll(partition)),
            8..10 => self.clock += self.dice.below(120) * MINUTE,
            10 => self.clock -= self.dice.below(2000) * MINUTE,
            11..14 => self.publish(),
            14 => self.restart(),
            _ => self.check(),
        }
    }

    /// Takes up to three records of a partition; false when there is none.
    fn poll(&mut self, partition: usize) -> bool {
        let most = 1 + self.dice.below(3) as usize;
        let Partition { events, produced, polled } = &mut self.partitions[partition];
        let to = (*polled + most).min(*produced);
        let taken = events[*polled..to].to_vec();
        *polled = to;
        self.take(&taken);
        self.unscored.extend(taken.iter().cloned());
        !taken.is_empty()
    }

    fn take(&mut self, events: &[Event]) {
        self.arrived.extend(events.iter().map(|e| (position(e), e.clone())));
        let resolution = self.resolver.resolve(events);
        self.engine.apply(&batch(events), &resolution.signs).unwrap();
        let recalled: Vec<Event> = resolution.recall.iter().map(|p| self.arrived[p].clone()).collect();
        self.engine.apply(&batch(&recalled), &vec![Sign::Recall; recalled.len()]).unwrap();
    }

    /// The least of the partitions that are not idle, the clock when all are:
    /// it may well go back, which the engine must not follow.
    fn watermark(&self) -> i64 {
        let least = self.partitions.iter().filter_map(Partition::latest).min();
        least.unwrap_or(self.clock).saturating_sub(LATENESS)
    }

    /// Some of the definitions go on.
    fn publish(&mut self) {
        let to = self.watermark();
        let mut frontiers = [Frontier::NONE; KPIS.len()];
        for frontier in &mut frontiers {
            if !self.dice.one_in(3) {
                *frontier = Frontier::at(to);
            }
        }
        self.advance(frontiers);
    }

    fn advance(&mut self, frontiers: [Frontier; KPIS.len()]) {
        for (held, frontier) in self.watermarks.iter_mut().zip(&frontiers) {
            *held = (*held).max(frontier.watermark);
        }
        for row in self.engine.advance(&frontiers).unwrap() {
            let (key, values) = self.key(&row);
            let held = self.rows.get(&key).map_or(0, |(held, _)| held.revision);
            assert!(row.revision > held, "{key}: revision {} after {held}", row.revision);
            assert!(row.window_end <= self.watermarks[row.definition], "{key} is not final");
            self.rows.insert(key, (row, values));
        }
        self.unscored.clear();
    }

    fn key(&self, row: &KpiRow) -> (String, Vec<String>) {
        let values = self.engine.group_values(row);
        let shown = |at: usize| values[at].map_or("", |value| value);
        let (window, set) = (self.windows[row.window], self.sets[row.set]);
        let group = format!("{}|{}", shown(0), shown(1));
        let key = format!("{}|{window}|{set}|{group}|{:020}", KPIS[row.definition], row.window_end);
        (key, values.into_iter().flatten().map(|value| value.to_string()).collect())
    }

    /// Stopped, and rebuilt from what was scored, in another order; the rest follows.
    fn restart(&mut self) {
        self.engine = Engine::new(self.engine.plan().clone());
        let rest: Vec<Position> = self.unscored.iter().map(position).collect();
        let scored = self.arrived.iter().filter(|(position, _)| !rest.contains(position));
        let mut events: Vec<Event> = scored.map(|(_, event)| event.clone()).collect();
        for at in (1..events.len()).rev() {
            events.swap(at, self.dice.below(at as i64 + 1) as usize);
        }
        let (resolver, signs) = Resolver::anew(&events);
        self.resolver = resolver;
        let cut = self.dice.below(events.len() as i64 + 1) as usize;
        self.engine.apply(&batch(&events[..cut]), &signs[..cut]).unwrap();
        self.engine.apply(&batch(&events[cut..]), &signs[cut..]).unwrap();
        for (kpi, watermark) in KPIS.iter().zip(self.watermarks) {
            self.engine.resume(kpi, Frontier::at(watermark)).unwrap();
        }
        for (row, values) in self.rows.values() {
            self.engine.restore_revision(&RowKey {
                fingerprint: KPIS[row.definition],
                window: self.windows[row.window],
                grouping_set: self.sets[row.set],
                values: values.iter().map(String::as_str).collect(),
                end: row.window_end,
                revision: row.revision,
                incomplete: row.incomplete,
            });
        }
        let rest = self.unscored.clone();
        self.take(&rest);
    }

    /// What has arrived and is not restated yet is restated, and then every
    /// row is the oracle's.
    fn check(&mut self) {
        self.advance([Frontier::NONE; KPIS.len()]);
        let events: Vec<Event> = self.arrived.values().cloned().collect();
        let scope = Scope {
            windows: &self.windows,
            sets: &self.sets,
            watermarks: self.watermarks,
            groups_max: self.groups_max,
            of_case: Kept::FIRST,
        };
        let expected = oracle::rows_of(&events, &scope);
        let shown = self.rows.iter().filter(|(_, (row, _))| row.reason != Reason::Withdrawn);
        let actual: BTreeMap<String, String> = shown.map(|(key, (row, _))| (key.clone(), line(row))).collect();
        for key in actual.keys().chain(expected.keys()) {
            assert_eq!(actual.get(key), expected.get(key), "{key}: engine, oracle");
        }
    }
}

/// A row as the oracle writes it.
fn line(row: &KpiRow) -> String {
    const ONE: i128 = 10_000_000_000;
    let s = &row.sums;
    let (numerator, denominator, n) = match KPIS[row.definition] {
        "csat" => (s.wx, s.w * 10_000, s.n),
        "responses" => (i128::from(s.n) * ONE, ONE, s.n),
        "median" | "customers" | "rough" => row.told.map_or((0, 0, s.n), |told| (told.value, ONE, s.n)),
        _ => (s.wx, s.base, s.base_n),
    };
    let wide = i256::from_i128;
    let scaled = wide(numerator).wrapping_mul(wide(1_000_000_000_000));
    let value = divide_half_even(scaled, wide(denominator)).map(|value| decimal_text(wide(value), 12));
    let status = match (s.n == 0 && s.base_n == 0, row.over_limit, n) {
        (true, ..) => "stale",
        (_, true, _) => "over_limit",
        (_, _, 0 | 1) => "insufficient",
        _ => "ok",
    };
    [
        value.unwrap_or_default(),
        decimal_text(wide(numerator), 10),
        decimal_text(wide(denominator), 10),
        n.to_string(),
        decimal_text(wide(s.w), 6),
        decimal_text(wide(s.wx), 10),
        decimal_text(wide(s.ww), 12),
        decimal_text(s.wwx, 16),
        decimal_text(s.wwxx, 20),
        status.to_owned(),
    ]
    .join("|")
}

fn number_from(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

#[test]
fn every_schedule_ends_with_the_rows_of_the_oracle() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = number_from("SATISFLOW_SIMULATION_SEED", now.as_micros() as u64);
    let schedules = number_from("SATISFLOW_SIMULATION_SCHEDULES", 10_000);
    eprintln!("SATISFLOW_SIMULATION_SEED={seed} SATISFLOW_SIMULATION_SCHEDULES={schedules}");
    assert_eq!(NO_VALUE, "(none)");
    let (next, rows) = (AtomicU64::new(0), AtomicU64::new(0));
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= schedules {
                return;
            }
            let mut simulation = Simulation::new(seed.wrapping_add(number));
            if catch_unwind(AssertUnwindSafe(|| simulation.run())).is_err() {
                let seed = seed.wrapping_add(number);
                panic!("again: SATISFLOW_SIMULATION_SEED={seed} SATISFLOW_SIMULATION_SCHEDULES=1");
            }
            rows.fetch_add(simulation.rows.len() as u64, Ordering::Relaxed);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let rows = rows.into_inner();
    assert!(schedules < 100 || rows > schedules * 5, "{rows} rows of {schedules} schedules prove little");
    eprintln!("{schedules} schedules, {rows} rows compared");
}
