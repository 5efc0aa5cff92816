//! Figures for docs/benchmarks.md: each a ratio, or a bound, within one run on
//! one broker. What is compared stands side by side, so that a slow machine
//! slows both.

#![expect(clippy::print_stdout, reason = "figures are what this program prints")]

mod alerts;
mod kinds;
mod late;
mod latency;
mod process;
mod queries;
mod recovery;
mod throughput;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(about = "Measures Satisflow; every figure is printed as a row of a Markdown table.")]
struct Cli {
    #[command(subcommand)]
    part: Part,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// CPU time an event of the whole pipeline beside a bare poll loop.
    Throughput(throughput::ThroughputArgs),
    /// Time from producing an event until `/metrics` and SQL show it.
    Latency(latency::LatencyArgs),
    /// Time until the engine is there again, with and without a snapshot, beside DuckDB's scan.
    Recovery(recovery::RecoveryArgs),
    /// CPU time an event of so many KPIs, and of each kind.
    Kinds(kinds::KindsArgs),
    /// CPU time an event in time, with and without late ones between them.
    Late(late::LateArgs),
    /// Queries of a dashboard, beside DuckDB with the same text on the same files.
    Queries(queries::QueriesArgs),
    /// False alarms and delays of alert rules on seeded streams; no time is measured.
    Alerts(alerts::AlertsArgs),
    /// The bare poll loop, as a process of its own.
    #[command(hide = true)]
    Poll(throughput::PollArgs),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().part {
        Part::Throughput(args) => throughput::throughput(&args),
        Part::Latency(args) => latency::latency(&args),
        Part::Recovery(args) => recovery::recovery(&args),
        Part::Kinds(args) => kinds::kinds(&args),
        Part::Late(args) => late::late(&args),
        Part::Queries(args) => queries::queries(&args),
        Part::Alerts(args) => alerts::alerts(&args),
        Part::Poll(args) => throughput::poll(&args),
    }
}
