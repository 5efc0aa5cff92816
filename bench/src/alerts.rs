//! How often rules are wrong, and how late: seeded streams through the very code that decides.

use clap::Args;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use satisflow_alerts::{Change, Decider, Kind, KpiPoint, Point, Rule, Series, Side, Transition};
use satisflow_kpi::{Metric, Sums, WindowSpan};

/// Simulates alert rules on seeded streams.
#[derive(Debug, Args)]
pub struct AlertsArgs {
    /// Streams.
    #[arg(long, default_value_t = 200)]
    streams: usize,
    /// First seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

const HOUR: i64 = 3_600_000_000;
/// Hours before anything is counted.
const BEFORE: i64 = 40;
const MONTH: i64 = 720;
/// Hours that a drop lasts.
const DROP: i64 = 48;
const SLOW_HOURS: usize = 6;
const LEVEL: f64 = 0.80;
/// Answers an hour of a stream, by turns.
const SIZES: [i64; 5] = [40, 80, 160, 320, 640];
/// The decimals of the engine's sums, beside each other: w, wx, ww, wwx, wwxx.
const ONES: [i128; 5] =
    [1_000_000, 10_000_000_000, 1_000_000_000_000, 10_000_000_000_000_000, 100_000_000_000_000_000_000];

fn rules() -> Vec<(&'static str, Rule)> {
    let rule = |kind, n_min, clear_after| Rule {
        alert: "Simulated".to_owned(),
        kpi: "share".to_owned(),
        description: String::new(),
        unit: String::new(),
        fingerprint: "f".into(),
        metric: Metric::Share(0),
        window: "1h".into(),
        span: WindowSpan::Rolling { length: HOUR, step: HOUR },
        dimensions: vec!["stream".into()],
        side: Side::Below,
        kind,
        n_min,
        q: 0.05,
        clear_after,
        severity: "page".to_owned(),
    };
    let bound = |clear| Kind::Bound { bound: 0.75, clear, for_micros: 0 };
    let burn = Kind::Burn { slow: "6h".into(), bound: 0.75, clear: 0.77 };
    let chart = |laney| Kind::Chart { baseline: 20, sigmas: 3.0, laney };
    vec![
        ("naive: value below 75", rule(bound(0.75), 0, 1)),
        ("`below: 75, clear: 77`, n >= 100", rule(bound(0.77), 100, 1)),
        ("the same with `burn: { slow: 6h }`, n >= 30", rule(burn, 30, 1)),
        ("`drop: {}`", rule(Kind::Drop { baseline: 20, p_max: 0.001, by: 0.0 }, 30, 3)),
        ("`chart: {}` (p)", rule(chart(false), 30, 3)),
        ("`chart: { laney: true }` (p')", rule(chart(true), 30, 3)),
        ("`ewma: {}`", rule(Kind::Ewma { baseline: 20, over: 10, lambda: 0.3, sigmas: 3.0 }, 30, 3)),
        ("`cusum: {}`", rule(Kind::Cusum { baseline: 20, over: 10, k: 0.5, h: 5.0 }, 30, 3)),
    ]
}

/// What happens to the streams.
#[derive(Clone, Copy)]
struct Scene {
    hours: i64,
    /// How much the level falls after `BEFORE`.
    drop: f64,
    /// Standard deviation of the level itself from hour to hour.
    wobble: f64,
}

/// Rows of all streams, hour by hour.
fn rows(args: &AlertsArgs, scene: Scene) -> Vec<Vec<KpiPoint>> {
    let mut randoms: Vec<ChaCha8Rng> =
        (0..args.streams).map(|stream| ChaCha8Rng::seed_from_u64(args.seed + stream as u64)).collect();
    let mut last: Vec<Vec<(i64, i64)>> = vec![Vec::new(); args.streams];
    (1..=BEFORE + scene.hours)
        .map(|hour| {
            let mut all = Vec::new();
            for (stream, random) in randoms.iter_mut().enumerate() {
                let n = SIZES[stream % SIZES.len()];
                let fallen = if hour > BEFORE { scene.drop } else { 0.0 };
                // Twelve uniform numbers are normal enough.
                let normal: f64 = (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0;
                let level = (LEVEL - fallen + scene.wobble * normal).clamp(0.0, 1.0);
                let good = (0..n).filter(|_| random.random_bool(level)).count() as i64;
                let window = &mut last[stream];
                window.push((good, n));
                let slow = window[window.len().saturating_sub(SLOW_HOURS)..].iter();
                let slow = slow.fold((0, 0), |sum, (good, n)| (sum.0 + good, sum.1 + n));
                all.push(row("6h", stream, hour, slow));
                all.push(row("1h", stream, hour, (good, n)));
            }
            all
        })
        .collect()
}

fn row(window: &str, stream: usize, hour: i64, (good, n): (i64, i64)) -> KpiPoint {
    let [w, wx, ww, wwx, wwxx] = ONES;
    let (good_events, events) = (i128::from(good), i128::from(n));
    let wide = |ones: i128| (good_events * ones).into();
    let (w, wx, ww) = (events * w, good_events * wx, events * ww);
    let sums = Sums { n, w, wx, ww, wwx: wide(wwx), wwxx: wide(wwxx), ..Sums::default() };
    let point = Point {
        start: Some((hour - 1) * HOUR),
        end: hour * HOUR,
        revision: 1,
        n,
        value: Some(good_events * 1_000_000_000_000 / events),
        n_eff: None,
        se: None,
        interval: None,
        sums,
        whole: true,
    };
    let group = vec![format!("s{stream:03}")];
    let series = Series { fingerprint: "f".into(), window: window.into(), grouping_set: "stream".into(), group };
    KpiPoint { series, back_filled: false, point }
}

/// What opens after the first hours: stream and hours since.
fn opened(rule: &Rule, rows: &[Vec<KpiPoint>], alone: bool) -> Vec<(String, i64)> {
    let streams = rows.first().map_or(0, |hour| hour.len() / 2);
    let mut deciders: Vec<Decider> =
        (0..if alone { streams } else { 1 }).map(|_| Decider::new(std::slice::from_ref(rule))).collect();
    let mut found = Vec::new();
    let mut note = |changes: Vec<Change>| {
        let opens = changes.into_iter().filter(|change| change.transition == Transition::Open);
        let of = |change: Change| (change.instance.group.concat(), change.opened / HOUR - BEFORE);
        found.extend(opens.map(of).filter(|(_, hours)| *hours > 0));
    };
    for hour in rows {
        for (index, decider) in deciders.iter_mut().enumerate() {
            note(decider.decide(if alone { &hour[2 * index..2 * index + 2] } else { hour }));
        }
    }
    found
}

/// Share of streams found, and the median delay of those in hours.
fn delay(rule: &Rule, rows: &[Vec<KpiPoint>], streams: usize, alone: bool) -> String {
    let mut first: std::collections::BTreeMap<String, i64> = Default::default();
    for (stream, hours) in opened(rule, rows, alone) {
        first.entry(stream).or_insert(hours);
    }
    let mut hours: Vec<i64> = first.into_values().collect();
    hours.sort_unstable();
    let found = 100 * hours.len() / streams.max(1);
    hours.get(hours.len() / 2).map_or("never".to_owned(), |median| format!("{found} %, {median} h"))
}

/// Prints the table of docs/alerting.md.
pub fn alerts(args: &AlertsArgs) -> anyhow::Result<()> {
    let quiet = rows(args, Scene { hours: MONTH, drop: 0.0, wobble: 0.0 });
    let wobbling = rows(args, Scene { hours: MONTH, drop: 0.0, wobble: 0.02 });
    let drops = [0.02, 0.05, 0.10].map(|drop| rows(args, Scene { hours: DROP, drop, wobble: 0.0 }));
    for (title, alone) in [("each stream by itself", true), ("all streams as groups of one KPI", false)] {
        println!("\n{title}:\n");
        println!("| rule | false alarms a month | where hours vary by 2 points more | drop of 2 | of 5 | of 10 |");
        println!("|---|---|---|---|---|---|");
        for (name, rule) in rules() {
            let false_alarms = |rows| opened(&rule, rows, alone).len() as f64 / args.streams as f64;
            let found: Vec<String> = drops.iter().map(|rows| delay(&rule, rows, args.streams, alone)).collect();
            println!(
                "| {name} | {:.2} | {:.2} | {} |",
                false_alarms(&quiet),
                false_alarms(&wobbling),
                found.join(" | ")
            );
        }
    }
    Ok(())
}
