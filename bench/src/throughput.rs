//! CPU time an event: a bare poll loop, and the whole pipeline at several
//! windows and numbers of groups, over the same topic of the same broker.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use satisflow_testkit::Kafka;

use crate::process::{self, Cost, measured};

#[derive(Debug, Args)]
pub(crate) struct ThroughputArgs {
    /// Records of a topic.
    #[arg(long, default_value_t = 300_000)]
    events: u64,
    /// Days that event times are spread over.
    #[arg(long, default_value_t = 30)]
    days: u32,
    /// Size of a payload, about.
    #[arg(long, default_value_t = 339)]
    bytes: usize,
    /// Numbers of groups.
    #[arg(long, value_delimiter = ',', default_values_t = [10, 100_000])]
    groups: Vec<usize>,
    /// Windows, `length:step` each.
    #[arg(long, value_delimiter = ',', default_values_t = ["5m:1m".to_owned(), "180d:1d".to_owned()])]
    windows: Vec<String>,
    /// Number of KPIs, a measure each.
    #[arg(long, default_value_t = 12)]
    measures: usize,
}

#[derive(Debug, Args)]
pub(crate) struct PollArgs {
    #[arg(long)]
    brokers: String,
    #[arg(long)]
    topic: String,
    #[arg(long)]
    events: u64,
}

/// Takes every record of a topic and does nothing with it.
pub(crate) fn poll(args: &PollArgs) -> Result<()> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &args.brokers)
        .set("group.id", "bare-poll")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .create()?;
    consumer.subscribe(&[&args.topic])?;
    let mut seen = 0;
    while seen < args.events {
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            message?;
            seen += 1;
        }
    }
    Ok(())
}

pub(crate) fn throughput(args: &ThroughputArgs) -> Result<()> {
    let kafka = Kafka::start()?;
    println!(
        "| groups | window | bare poll, µs CPU | pipeline, µs CPU | ratio | events/s | rows an event | memory, MiB |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for groups in &args.groups {
        let topic = format!("groups-{groups}");
        generate(args, &kafka.brokers(), &topic, *groups)?;
        let bare = bare_poll(args, &kafka.brokers(), &topic)?;
        for window in &args.windows {
            let (cost, rows) = pipeline(args, &kafka.brokers(), &topic, window)?;
            print_row(args.events, *groups, window, bare, cost, rows);
        }
    }
    Ok(())
}

fn print_row(events: u64, groups: usize, window: &str, bare: Cost, cost: Cost, rows: u64) {
    let each = |cost: Cost| cost.cpu.as_secs_f64() * 1e6 / events as f64;
    println!(
        "| {groups} | {window} | {:.2} | {:.2} | {:.1} | {:.0} | {:.1} | {:.0} |",
        each(bare),
        each(cost),
        each(cost) / each(bare),
        events as f64 / cost.elapsed.as_secs_f64(),
        rows as f64 / events as f64,
        cost.memory_bytes_max as f64 / f64::from(1 << 20),
    );
}

fn generate(args: &ThroughputArgs, brokers: &str, topic: &str, groups: usize) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut command = Command::new(satisflow_testkit::binary()?);
    command.args(["generate", "--clean", "--brokers", brokers, "--topic", topic]);
    command.args(["--events", &args.events.to_string(), "--bytes", &args.bytes.to_string()]);
    command.args(["--days", &args.days.to_string(), "--departments", &groups.to_string()]);
    measured(&mut command, &folder.path().join("generate.log")).map(drop)
}

fn bare_poll(args: &ThroughputArgs, brokers: &str, topic: &str) -> Result<Cost> {
    let folder = tempfile::tempdir()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["poll", "--brokers", brokers, "--topic", topic, "--events", &args.events.to_string()]);
    measured(&mut command, &folder.path().join("poll.log"))
}

/// A run of the whole pipeline; its cost and its KPI rows.
fn pipeline(args: &ThroughputArgs, brokers: &str, topic: &str, window: &str) -> Result<(Cost, u64)> {
    let folder = tempfile::tempdir()?;
    let cost = process::pipeline(folder.path(), brokers, topic, &catalog(window, args.measures)?, "")?;
    Ok((cost, kpi_rows(folder.path())?))
}

fn kpi_rows(folder: &Path) -> Result<u64> {
    let mut command = Command::new(satisflow_testkit::binary()?);
    command.args(["sql", "--lake", "lake", "--format", "csv", "select count(*) from kpis"]).current_dir(folder);
    let out = String::from_utf8_lossy(&command.output()?.stdout).into_owned();
    out.lines().nth(1).and_then(|line| line.parse().ok()).with_context(|| format!("no count in `{out}`"))
}

/// As many measures as asked for, no two alike, each a KPI of four grouping sets.
fn catalog(window: &str, measures: usize) -> Result<String> {
    let (length, step) = window.split_once(':').context("a window is `length:step`")?;
    let measure = |i: usize| {
        format!(
            "  m{i}:
    kinds: [rating, survey_response]
    filter: coalesce(score, overall) <> {i}
    value: csat_0_100(coalesce(score, overall), scale)
    weight: weight
"
        )
    };
    let metric = |i: usize| format!("  k{i}: {{ mean: m{i}, groups_max: 1000000 }}\n");
    Ok(format!(
        "version: 1
dimensions: {{ department: department, channel: channel, region: region, product: product }}
windows: {{ w: {{ length: {length}, step: {step} }} }}
measures:
{}defaults:
  grouping_sets: [[], [department], [channel, region], [product]]
metrics:
{}",
        (100..100 + measures).map(measure).collect::<String>(),
        (100..100 + measures).map(metric).collect::<String>(),
    ))
}
