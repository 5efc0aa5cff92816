//! What events in time cost while a few late ones come between them.

use std::process::Command;

use anyhow::Result;
use clap::Args;
use satisflow_testkit::Kafka;

use crate::process::{Cost, measured, pipeline};

#[derive(Debug, Args)]
pub(crate) struct LateArgs {
    /// Events in time.
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// Late ones among a thousand.
    #[arg(long, value_delimiter = ',', default_values_t = [0, 1, 10])]
    late_per_mille: Vec<u64>,
    /// Turns of events in time and late ones.
    #[arg(long, default_value_t = 20)]
    turns: u32,
}

/// A day of event time for each turn.
const START: &str = "2026-09-21T00:00:00Z";
/// 300 days before.
const LATE_START: &str = "2025-11-25T00:00:00Z";

pub(crate) fn late(args: &LateArgs) -> Result<()> {
    let kafka = Kafka::start()?;
    println!("| late of 1,000 | µs CPU an event in time | events in time/s | µs CPU more a late event | memory, MiB |");
    println!("|---|---|---|---|---|");
    let mut without: Option<Cost> = None;
    for share in &args.late_per_mille {
        let topic = format!("late-{share}");
        generate(args, &kafka.brokers(), &topic, *share)?;
        let folder = tempfile::tempdir()?;
        let cost = pipeline(folder.path(), &kafka.brokers(), &topic, CATALOG, FEW_PANES)?;
        print_row(args, *share, cost, *without.get_or_insert(cost));
    }
    Ok(())
}

fn late_events(args: &LateArgs, share: u64) -> u64 {
    args.events / 1000 * share
}

fn print_row(args: &LateArgs, share: u64, cost: Cost, without: Cost) {
    let more = cost.cpu.saturating_sub(without.cpu).as_secs_f64() * 1e6;
    let late = late_events(args, share);
    println!(
        "| {share} | {:.2} | {:.0} | {} | {:.0} |",
        cost.cpu.as_secs_f64() * 1e6 / args.events as f64,
        args.events as f64 / cost.elapsed.as_secs_f64(),
        if late == 0 { "-".to_owned() } else { format!("{:.0}", more / late as f64) },
        cost.memory_bytes_max as f64 / f64::from(1 << 20),
    );
}

/// The same events in time for every share, and late ones after each turn.
fn generate(args: &LateArgs, brokers: &str, topic: &str, share: u64) -> Result<()> {
    let turns = u64::from(args.turns.max(1));
    for turn in 0..turns {
        let start: jiff::Timestamp = START.parse()?;
        let start = start + jiff::SignedDuration::from_hours(24 * i64::try_from(turn)?);
        produce(brokers, topic, args.events / turns, 1 + turn, &start.to_string())?;
        produce(brokers, topic, late_events(args, share) / turns, 1_000_000 + turn, LATE_START)?;
    }
    Ok(())
}

fn produce(brokers: &str, topic: &str, events: u64, seed: u64, start: &str) -> Result<()> {
    if events == 0 {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let mut command = Command::new(satisflow_testkit::binary()?);
    command.args(["generate", "--clean", "--brokers", brokers, "--topic", topic, "--days", "1", "--start", start]);
    command.args(["--events", &events.to_string(), "--seed", &seed.to_string()]);
    measured(&mut command, &folder.path().join("generate.log")).map(drop)
}

/// Few panes are kept, so that what is late is restated from the lake.
const FEW_PANES: &str = "late_panes: 100\n";

const CATALOG: &str = "version: 1
zone: UTC
dimensions: { department: department, channel: channel }
windows: { 5m: { length: 5m, step: 1m }, day: { calendar: day }, 180d: { length: 180d, step: 1d } }
measures:
  satisfaction:
    kinds: [rating, survey_response]
    value: csat_0_100(coalesce(score, overall), scale)
    weight: weight
defaults: { grouping_sets: [[], [department], [channel]] }
metrics:
  csat: { mean: satisfaction }
  responses: { count: satisfaction }
";
