//! The naive answer: every row from the whole set, by definition, in no hurry.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use satisflow_kpi::Kept;

use crate::stream::{Event, KPIS, MINUTE, customer, position};

const DAY: i64 = 1440 * MINUTE;

pub fn counting(events: &[Event]) -> Vec<Event> {
    let void: BTreeSet<u8> = events.iter().filter_map(|e| e.voids).collect();
    let mut least: BTreeMap<u8, &Event> = BTreeMap::new();
    for event in events {
        let held = least.entry(event.id).or_insert(event);
        if position(event) < position(held) {
            *held = event;
        }
    }
    least.into_values().filter(|e| !void.contains(&e.id)).cloned().collect()
}

/// Of each case the first few that are selected, or the last.
pub fn of_cases(counting: &[Event], kept: Kept, selected: &dyn Fn(&Event) -> bool) -> Vec<Event> {
    let mut cases: BTreeMap<u8, Vec<&Event>> = BTreeMap::new();
    for event in counting.iter().filter(|e| e.case.is_some() && selected(e)) {
        cases.entry(event.case.unwrap()).or_default().push(event);
    }
    let mut all = Vec::new();
    for mut events in cases.into_values() {
        events.sort_by_key(|e| (e.time, e.id.to_string()));
        let n = match kept {
            Kept::First(n) => n.get(),
            Kept::Last(n) => {
                events.reverse();
                n.get()
            }
        };
        all.extend(events.into_iter().take(n as usize).cloned());
    }
    all
}

fn berlin_day(time: i64) -> Date {
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    Timestamp::from_microsecond(time).unwrap().to_zoned_datetime(zone).date()
}

thread_local! {
    /// Civil time is slow to work out, and asked for a thousand times a stream.
    static DAY_ENDS: RefCell<HashMap<i64, i64>> = RefCell::default();
}

pub fn day_end(time: i64) -> i64 {
    DAY_ENDS.with_borrow_mut(|ends| *ends.entry(time).or_insert_with(|| new_day_end(time)))
}

fn new_day_end(time: i64) -> i64 {
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    let next = berlin_day(time).tomorrow().unwrap();
    next.to_zoned_datetime(zone).unwrap().timestamp().as_microsecond()
}

pub fn ends(window: &str, time: i64) -> Vec<i64> {
    let after = |step: i64| (time.div_euclid(step) + 1) * step;
    match window {
        "5m" => vec![after(MINUTE), after(MINUTE) + 5 * MINUTE],
        "1h" => vec![after(20 * MINUTE), after(20 * MINUTE) + 60 * MINUTE],
        "day" => vec![day_end(time)],
        "3days" => three_days(time).to_vec(),
        _ => vec![after(DAY)],
    }
}

/// Ends of the day of a time, and of the two after it.
fn three_days(time: i64) -> [i64; 3] {
    let own = day_end(time);
    [own, day_end(own), day_end(day_end(own))]
}

pub fn inside(window: &str, time: i64, end: i64) -> bool {
    match window {
        "5m" => (end - 5 * MINUTE..end).contains(&time),
        "1h" => (end - 60 * MINUTE..end).contains(&time),
        "day" => day_end(time) == end,
        "3days" => three_days(time).contains(&end),
        _ => time < end,
    }
}

pub fn decimal(value: i128, scale: usize) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let unit = 10i128.pow(scale as u32);
    format!("{sign}{}.{:0scale$}", value.abs() / unit, value.abs() % unit)
}

pub fn rounded(numerator: i128, denominator: i128) -> String {
    if denominator == 0 {
        return String::new();
    }
    let scaled = numerator * 1_000_000_000_000;
    let (mut quotient, rest) = (scaled.div_euclid(denominator), scaled.rem_euclid(denominator));
    if 2 * rest > denominator || (2 * rest == denominator && quotient % 2 != 0) {
        quotient += 1;
    }
    decimal(quotient, 12)
}

pub fn line(kpi: &str, parts: &[(i128, i128)], base: &[(i128, i128)], over: bool) -> String {
    let sum = |f: &dyn Fn(i128, i128) -> i128| parts.iter().map(|(w, x)| f(*w, *x)).sum::<i128>();
    let positive = |list: &[(i128, i128)]| list.iter().filter(|(w, _)| *w > 0).count() as i128;
    let (w, wx) = (sum(&|w, _| w), sum(&|w, x| w * x));
    let one = 10_000_000_000i128;
    let (numerator, denominator, n) = match kpi {
        "csat" => (wx, w * 10_000, positive(parts)),
        "responses" => (positive(parts) * one, one, positive(parts)),
        "median" => told(quantile(parts, 5), positive(parts)),
        "rough" => {
            told(quantile(&parts.iter().map(|(w, x)| (*w, one_digit(*x))).collect::<Vec<_>>(), 9), positive(parts))
        }
        "customers" => (distinct(parts) * one, one, positive(parts)),
        _ => (wx, base.iter().map(|(w, x)| w * x).sum(), positive(base)),
    };
    [
        rounded(numerator, denominator),
        decimal(numerator, 10),
        decimal(denominator, 10),
        n.to_string(),
        decimal(w, 6),
        decimal(wx, 10),
        decimal(sum(&|w, _| w * w), 12),
        decimal(sum(&|w, x| w * w * x), 16),
        decimal(sum(&|w, x| w * w * x * x), 20),
        status(positive(parts) == 0 && positive(base) == 0, over, n).to_owned(),
    ]
    .join("|")
}

/// A value that was told, or nothing; how many events, in either case.
fn told(value: Option<i128>, n: i128) -> (i128, i128, i128) {
    value.map_or((0, 0, n), |x| (x * 1_000_000, 10_000_000_000, n))
}

/// The nearest number of one digit and zeros, the greater one of two.
fn one_digit(value: i128) -> i128 {
    let numbers = (0..20).flat_map(|zeros| (0..10).map(move |digit| digit * 10i128.pow(zeros)));
    numbers.min_by_key(|number| ((number - value).abs(), -number)).unwrap()
}

/// The least value with so many tenths of all weight up to it.
fn quantile(parts: &[(i128, i128)], tenths: i128) -> Option<i128> {
    let total: i128 = parts.iter().map(|(w, _)| w).sum();
    let up_to = |x: i128| parts.iter().filter(|part| part.1 <= x).map(|(w, _)| w).sum::<i128>();
    let weighty = parts.iter().filter(|(w, _)| *w > 0);
    weighty.map(|(_, x)| *x).filter(|x| 10 * up_to(*x) >= tenths * total).min()
}

fn distinct(parts: &[(i128, i128)]) -> i128 {
    let keys: BTreeSet<i128> = parts.iter().filter(|(w, _)| *w > 0).map(|(_, x)| *x).collect();
    keys.len() as i128
}

fn status(empty: bool, over: bool, n: i128) -> &'static str {
    match (empty, over, n) {
        (true, ..) => "stale",
        (_, true, _) => "over_limit",
        (_, _, 0 | 1) => "insufficient",
        _ => "ok",
    }
}

pub fn group(set: &str, event: &Event) -> String {
    let channel = event.channel.unwrap_or("(none)");
    match set {
        "" => "|".into(),
        "department" => format!("{}|", event.department),
        _ => format!("{}|{channel}", event.department),
    }
}

pub type Measure = fn(&Event) -> Option<(i128, i128)>;

pub fn score(event: &Event) -> Option<(i128, i128)> {
    event.score.map(|x| (i128::from(event.weight), i128::from(x)))
}

fn came(event: &Event) -> Option<(i128, i128)> {
    customer(event).map(|key| (i128::from(event.weight), i128::from(key)))
}

pub fn opening(event: &Event) -> Option<(i128, i128)> {
    event.case.map(|_| (1_000_000, 10_000))
}

pub fn sold(event: &Event) -> Option<(i128, i128)> {
    event.units.map(|x| (1_000_000, i128::from(x)))
}

pub const WINDOWS: [&str; 5] = ["5m", "1h", "day", "all", "3days"];
pub const SETS: [&str; 3] = ["", "department", "department,channel"];

/// Who counts for one KPI.
struct Kpi<'a> {
    counted: &'a [Event],
    counting: &'a [Event],
    measure: Measure,
    base: Option<Measure>,
}

impl Kpi<'_> {
    fn parts(&self, here: impl Fn(&Event) -> bool) -> [Vec<(i128, i128)>; 2] {
        let of = |events: &[Event], measure: Measure| {
            events.iter().filter(|e| here(e)).filter_map(measure).collect::<Vec<_>>()
        };
        [of(self.counted, self.measure), self.base.map_or(Vec::new(), |base| of(self.counting, base))]
    }

    fn groups(&self, window: &str, set: &str, end: i64) -> usize {
        let all: BTreeSet<String> = self.counting.iter().map(|e| group(set, e)).collect();
        let filled = |name: &&String| {
            let parts = self.parts(|e| inside(window, e.time, end) && group(set, e) == **name);
            parts.iter().flatten().any(|(w, _)| *w > 0)
        };
        all.iter().filter(filled).count()
    }
}

/// What is asked for, and how far each KPI is final.
pub struct Scope<'a> {
    pub windows: &'a [&'a str],
    /// Coarser ones first.
    pub sets: &'a [&'a str],
    /// In the order of the plan's definitions.
    pub watermarks: [i64; KPIS.len()],
    pub groups_max: usize,
    /// Which complaints of a case count.
    pub of_case: Kept,
}

/// Every row whose window ends at or before `watermark`.
pub fn rows(events: &[Event], watermark: i64, groups_max: usize, of_case: Kept) -> BTreeMap<String, String> {
    rows_of(events, &Scope { windows: &WINDOWS, sets: &SETS, watermarks: [watermark; KPIS.len()], groups_max, of_case })
}

/// Every row of a scope.
pub fn rows_of(events: &[Event], scope: &Scope<'_>) -> BTreeMap<String, String> {
    let counting = counting(events);
    let complaints = of_cases(&counting, scope.of_case, &|_| true);
    let of = |counted, measure, base| Kpi { counted, counting: &counting, measure, base };
    let kpis = [
        of(&counting, score, None),
        of(&complaints, opening, Some(sold)),
        of(&counting, score, None),
        of(&counting, score, None),
        of(&counting, came, None),
        of(&counting, score, None),
    ];
    let mut table = BTreeMap::new();
    for ((name, kpi), watermark) in KPIS.iter().zip(&kpis).zip(scope.watermarks) {
        let selected = |e: &&Event| (kpi.measure)(e).is_some() || kpi.base.is_some_and(|base| base(e).is_some());
        for (window, set) in scope.windows.iter().flat_map(|w| scope.sets.iter().map(|s| (*w, *s))) {
            for event in events.iter().filter(selected) {
                for end in ends(window, event.time).into_iter().filter(|end| *end <= watermark) {
                    let key = format!("{name}|{window}|{set}|{}|{end:020}", group(set, event));
                    let over = |set: &str| {
                        counting.len() > scope.groups_max && kpi.groups(window, set, end) > scope.groups_max
                    };
                    if table.contains_key(&key) || over(set) {
                        continue;
                    }
                    let finer_over = scope.sets.iter().skip_while(|s| **s != set).skip(1).any(|s| over(s));
                    let here = |e: &Event| group(set, e) == group(set, event) && inside(window, e.time, end);
                    let [parts, base] = kpi.parts(here);
                    table.insert(key, line(name, &parts, &base, finer_over));
                }
            }
        }
    }
    table
}
