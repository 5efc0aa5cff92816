//! How fast the engine is there again: from a snapshot, and from the events of
//! the lake, beside DuckDB's scan of the same Parquet files.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::process::measured;

#[derive(Debug, Args)]
pub(crate) struct RecoveryArgs {
    /// Events of the lake.
    #[arg(long, default_value_t = 20_000_000)]
    events: u64,
    /// Days that event times are spread over.
    #[arg(long, default_value_t = 180)]
    days: u32,
    /// Folder for the lake and the generated file, about 300 bytes an event; a temporary one by default.
    #[arg(long)]
    folder: Option<std::path::PathBuf>,
}

/// What the engine's start says of itself.
const READY: &str = "the engine goes on from here";
const FROM_EVENTS: &str = "the engine is built from the events of the lake";
const FROM_SNAPSHOT: &str = "the engine goes on from a snapshot";

const CONFIGURATION: &str = "version: 1
lake: { url: lake }
kafka: { brokers: \"127.0.0.1:1\", group_id: bench }
sources: [{ topic: feedback }]
catalog: catalog.yaml
time: data
";

pub(crate) const CATALOG: &str = "version: 1
zone: UTC
dimensions: { department: department, channel: channel }
windows: { 1h: { length: 1h, step: 5m }, 180d: { length: 180d, step: 1d }, month: { calendar: month } }
measures:
  satisfaction:
    kinds: [rating, survey_response]
    value: csat_0_100(coalesce(score, overall), scale)
    weight: weight
  complaints: { kinds: [complaint_opened], first_per: case_id }
defaults: { grouping_sets: [[], [department], [department, channel]] }
metrics:
  csat: { mean: satisfaction }
  complaints: { count: complaints }
";

/// Reads the columns that the engine reads, of every row that it reads.
const SCAN: &str = "
import sys, time, duckdb
from deltalake import DeltaTable
table = DeltaTable(sys.argv[1])
files = [uri for uri in table.file_uris() if 'outcome=accepted' in uri]
started = time.monotonic()
found = duckdb.sql(f'''select count(*), sum(score * weight), epoch_us(max(event_time)), max(hash(source, event_id,
  retracts, supersedes, topic, partition, \"offset\", kind, scale, overall, department, channel, case_id))
  from read_parquet({files})''').fetchone()
print(found[0], time.monotonic() - started)
";

pub(crate) fn recovery(args: &RecoveryArgs) -> Result<()> {
    let own = tempfile::tempdir()?;
    let folder = args.folder.as_deref().unwrap_or(own.path());
    std::fs::write(folder.join("satisflow.yaml"), CONFIGURATION)?;
    std::fs::write(folder.join("catalog.yaml"), CATALOG)?;
    std::fs::write(folder.join("nothing.jsonl"), "")?;
    fill(args.events, args.days, folder)?;
    let with = start(folder, FROM_SNAPSHOT)?;
    std::fs::remove_dir_all(folder.join("lake/kpis/_snapshots"))?;
    let without = start(folder, FROM_EVENTS)?;
    let (rows, scan) = scan(folder)?;
    println!("| {rows} accepted events | seconds | events/s |");
    println!("|---|---|---|");
    for (what, took) in [("engine from a snapshot", with), ("engine from the events", without), ("DuckDB", scan)] {
        println!("| {what} | {:.2} | {:.0} |", took.as_secs_f64(), rows as f64 / took.as_secs_f64());
    }
    Ok(())
}

/// A lake of generated events, and the state of an engine that has scored them.
pub(crate) fn fill(events: u64, days: u32, folder: &Path) -> Result<()> {
    let file = folder.join("events.jsonl");
    let mut generate = Command::new(satisflow_testkit::binary()?);
    generate.args(["generate", "--events", &events.to_string(), "--days", &days.to_string()]);
    let done = generate.stdout(std::fs::File::create(&file)?).status()?;
    ensure!(done.success(), "generate ended with {done}");
    let mut replay = Command::new(satisflow_testkit::binary()?);
    replay.args(["--log", "warn", "replay", "events.jsonl"]).current_dir(folder);
    measured(&mut replay, &folder.join("replay.log"))?;
    Ok(std::fs::remove_file(file)?)
}

/// Starts an engine over the lake; gives how long it took until it went on.
fn start(folder: &Path, from: &str) -> Result<Duration> {
    let log = folder.join("start.log");
    let mut replay = Command::new(satisflow_testkit::binary()?);
    replay.args(["--log", "info", "replay", "nothing.jsonl"]).env("NO_COLOR", "1").current_dir(folder);
    measured(&mut replay, &log)?;
    let said = std::fs::read_to_string(log)?;
    ensure!(said.contains(from), "`{from}` is not in the log: {said}");
    let line = said.lines().find(|line| line.contains(READY)).with_context(|| said.clone())?;
    let elapsed = line.split("elapsed=").nth(1).with_context(|| line.to_owned())?;
    duration(elapsed.split_whitespace().next().unwrap_or_default())
}

/// A time as `Duration` writes it for people.
fn duration(text: &str) -> Result<Duration> {
    let number_ends = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(number_ends);
    let seconds = match unit {
        "s" => 1.0,
        "ms" => 1e-3,
        "µs" => 1e-6,
        _ => bail!("`{text}` is no time"),
    };
    Ok(Duration::from_secs_f64(number.parse::<f64>()? * seconds))
}

fn scan(folder: &Path) -> Result<(u64, Duration)> {
    let python = satisflow_testkit::script("python-env.sh")?;
    let done = Command::new(python).args(["-c", SCAN]).arg(folder.join("lake/records")).output()?;
    let out = String::from_utf8_lossy(&done.stdout).into_owned();
    let numbers = out.trim().split_once(' ').with_context(|| String::from_utf8_lossy(&done.stderr).into_owned())?;
    Ok((numbers.0.parse()?, Duration::from_secs_f64(numbers.1.parse()?)))
}
