//! What KPIs cost by their number and by their kind: CPU time an event beside
//! a run without any, over the same file.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;

use crate::process::{Cost, measured};

#[derive(Debug, Args)]
pub(crate) struct KindsArgs {
    /// Events of the file.
    #[arg(long, default_value_t = 500_000)]
    events: u64,
    /// Days that event times are spread over.
    #[arg(long, default_value_t = 180)]
    days: u32,
    /// Numbers of KPIs.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 12, 60])]
    kpis: Vec<usize>,
    /// KPIs of one kind in a run, so that their cost stands out.
    #[arg(long, default_value_t = 16)]
    each: usize,
    /// Runs of each, of which the one that costs least counts.
    #[arg(long, default_value_t = 3)]
    turns: usize,
}

/// Name, what is added to a measure, and the metric `{k}` over measure `{m}`, with what follows it.
const KINDS: [(&str, &str, &str); 19] = [
    ("weighted mean", "value: 'csat_0_100(score, scale)', weight: weight", "mean: {m}"),
    ("count", "", "count: {m}"),
    ("sum", "value: 'csat_0_100(score, scale)', weight: weight", "sum: {m}"),
    ("share", "value: score >= 4, weight: weight", "share: {m}"),
    ("balance", "value: case when score >= 4 then 1 when score <= 2 then -1 else 0 end", "balance: {m}"),
    ("ratio", "value: score", "ratio: { numerator: {m}, denominator: base }"),
    ("scale with classes", "value: \"in_class('five', score, 'good')\"", "share: {m}"),
    (
        "index tree",
        "index: { items: { friendly: { weight: 0.6, min: 1, max: 5 }, again: { weight: 0.4, levels: { yes: 1, no: 0 } } } }",
        "mean: {m}",
    ),
    ("answers one by one", "per_answer: true, value: answer = 'yes'", "share: {m}"),
    ("first per key", "value: score, first_per: event_id", "mean: {m}"),
    ("distinct count", "distinct: product || region", "distinct: {m}"),
    ("median", "value: 'round(csat_0_100(score, scale), 0)', weight: weight", "quantile: { measure: {m}, at: 0.5 }"),
    (
        "median of three digits",
        "value: 'csat_0_100(score, scale)', weight: weight",
        "quantile: { measure: {m}, at: 0.5, digits: 3 }",
    ),
    (
        "post-stratified mean, 4 strata",
        "value: 'csat_0_100(score, scale)', weight: weight, population: { \
         region: { by: region, counts: { east: 30, north: 20, south: 30, west: 20 } } }",
        "mean: {m}",
    ),
    (
        "raked mean, 20 cells",
        "value: 'csat_0_100(score, scale)', weight: weight, population: { \
         region: { by: region, counts: { east: 30, north: 20, south: 30, west: 20 } }, \
         channel: { by: channel, counts: { app: 30, counter: 10, phone: 20, sms: 10, web: 30 } } }",
        "mean: {m}",
    ),
    (
        "mean that fades, of 30 days",
        "value: 'csat_0_100(score, scale)', weight: weight, half_life: 7d",
        "mean: {m}, windows: [30d]",
    ),
    (
        "shortfall of 4 strata",
        "value: 'csat_0_100(score, scale)', weight: weight, targets: { by: region, of: { \
         east: { target: 90 }, north: { target: 80 }, south: { target: 70 }, west: { target: 60 } } }",
        "shortfall: {m}",
    ),
    (
        "median of what lasts, of 30 days",
        "until: \"event_time + interval '1 hour'\"",
        "survival: { measure: {m} }, windows: [30d]",
    ),
    (
        "mean and its rank",
        "value: 'csat_0_100(score, scale)', weight: weight",
        "mean: {m} }\n  {k}_rank: { rank: { of: {k} }",
    ),
];

const HEAD: &str = "version: 1
zone: UTC
dimensions: { department: department, channel: channel, region: region, product: product }
windows: { day: { calendar: day }, 30d: { length: 30d, step: 1d } }
scales: { five: { min: 1, max: 5, classes: { good: [4, 5] } } }
defaults: { grouping_sets: [[], [department], [channel, region], [product]] }
";

pub(crate) fn kinds(args: &KindsArgs) -> Result<()> {
    let folder = tempfile::tempdir()?;
    generate(args, folder.path())?;
    let nothing = run(args, folder.path(), &catalog(1, "filter: event_id is null", "count: {m}"))?;
    println!("| KPIs | µs CPU more an event | each | memory, MiB |\n|---|---|---|---|");
    for kpis in &args.kpis {
        let cost = run(args, folder.path(), &mixed(*kpis))?;
        let more = micros(args, cost, nothing);
        println!("| {kpis} | {more:.2} | {:.3} | {:.0} |", more / *kpis as f64, mebibytes(cost));
    }
    println!("\n| kind | µs CPU more an event and KPI | times the weighted mean | memory, MiB |\n|---|---|---|---|");
    let mut mean = None;
    for (name, measure, metric) in KINDS {
        let cost = run(args, folder.path(), &catalog(args.each, measure, metric))?;
        let more = micros(args, cost, nothing) / args.each as f64;
        let ratio = more / *mean.get_or_insert(more);
        println!("| {name} | {more:.3} | {ratio:.1} | {:.0} |", mebibytes(cost));
    }
    Ok(())
}

fn micros(args: &KindsArgs, cost: Cost, nothing: Cost) -> f64 {
    let more: Duration = cost.cpu.saturating_sub(nothing.cpu);
    more.as_secs_f64() * 1e6 / args.events as f64
}

fn mebibytes(cost: Cost) -> f64 {
    cost.memory_bytes_max as f64 / f64::from(1 << 20)
}

fn generate(args: &KindsArgs, folder: &Path) -> Result<()> {
    let mut command = Command::new(satisflow_testkit::binary()?);
    command.args(["generate", "--clean", "--events", &args.events.to_string(), "--days", &args.days.to_string()]);
    let done = command.stdout(std::fs::File::create(folder.join("events.jsonl"))?).status()?;
    ensure!(done.success(), "generate ended with {done}");
    Ok(())
}

/// The cheapest of some replays.
fn run(args: &KindsArgs, folder: &Path, catalog: &str) -> Result<Cost> {
    let mut best = replay(folder, catalog)?;
    for _ in 1..args.turns {
        let cost = replay(folder, catalog)?;
        best = if cost.cpu < best.cpu { cost } else { best };
    }
    Ok(best)
}

/// A replay of the file into a lake of its own.
fn replay(folder: &Path, catalog: &str) -> Result<Cost> {
    let lake = tempfile::tempdir_in(folder)?;
    std::fs::write(folder.join("catalog.yaml"), catalog)?;
    let url = lake.path().display();
    let configuration = format!(
        "version: 1\nlake: {{ url: {url} }}\nsources: [{{ topic: feedback }}]\ncatalog: catalog.yaml\ntime: data\n"
    );
    std::fs::write(folder.join("satisflow.yaml"), configuration)?;
    let mut command = Command::new(satisflow_testkit::binary()?);
    command.args(["--log", "warn", "replay", "events.jsonl"]).current_dir(folder);
    measured(&mut command, &folder.join("replay.log"))
}

/// So many KPIs of one kind, a measure each, no two alike.
fn catalog(kpis: usize, measure: &str, metric: &str) -> String {
    let filter = |i: usize| if measure.contains("filter") { String::new() } else { format!("filter: weight <> {i}, ") };
    let measures = (100..100 + kpis).map(|i| format!("  m{i}: {{ {}{measure} }}\n", filter(i))).collect::<String>();
    let metrics = (100..100 + kpis).map(|i| format!("  k{i}: {{ {} }}\n", of(metric, i)));
    format!(
        "{HEAD}measures:\n  base: {{ kinds: [sale], value: units }}\n{measures}metrics:\n{}",
        metrics.collect::<String>()
    )
}

fn of(metric: &str, number: usize) -> String {
    metric.replace("{m}", &format!("m{number}")).replace("{k}", &format!("k{number}"))
}

/// KPIs as a catalog has them: up to five of each measure.
fn mixed(kpis: usize) -> String {
    const METRICS: [&str; 5] = [
        "mean: {m}",
        "count: {m}",
        "sum: {m}",
        "ratio: { numerator: {m}, denominator: base }",
        "ratio: { numerator: {m}, denominator: base, per: 1000 }",
    ];
    let measures = kpis.div_ceil(METRICS.len());
    let measure = |i: usize| {
        format!(
            "  m{i}: {{ kinds: [rating], filter: weight <> {i}, value: \"csat_0_100(score, scale)\", weight: weight }}\n"
        )
    };
    let metric = |k: usize| {
        let metric = METRICS[k % METRICS.len()].replace("{m}", &format!("m{}", 100 + k / METRICS.len()));
        format!("  k{k}: {{ {metric} }}\n")
    };
    let (measures, metrics) =
        ((100..100 + measures).map(measure).collect::<String>(), (0..kpis).map(metric).collect::<String>());
    format!("{HEAD}measures:\n  base: {{ kinds: [sale], value: units }}\n{measures}metrics:\n{metrics}")
}
