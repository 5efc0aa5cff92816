//! Flags and commands.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::command;

/// Exact satisfaction KPIs from a stream of customer feedback.
///
/// Satisflow consumes feedback events from Kafka, keeps rolling weighted
/// satisfaction and complaint-rate KPIs that are exact to the last digit, writes
/// every event to an open Delta lake, and answers SQL and Prometheus.
#[derive(Debug, Parser)]
#[command(name = "satisflow", version, after_help = "Try it: satisflow demo")]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Level of this program's logs on standard error; RUST_LOG overrides it.
    #[arg(long, global = true, default_value = "info", value_parser = ["error", "warn", "info", "debug", "trace"])]
    log: String,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service: Kafka in, lake, KPIs, SQL and metrics out.
    #[command(after_help = "Examples:
  satisflow run --config satisflow.yaml
  satisflow run --config satisflow.yaml --exit-at-end   # read what is there, close every window, exit

SIGTERM and Ctrl-C stop in order: polling ends, what is accepted is committed, serving ends.")]
    Run(command::run::RunArgs),
    /// Check configuration and catalog: every problem at once, each with its line.
    #[command(after_help = "Examples:
  satisflow check --config satisflow.yaml
  satisflow check --catalog catalog.yaml")]
    Check(command::check::CheckArgs),
    /// Query the lake; no service needs to run.
    #[command(after_help = "Examples:
  satisflow sql --config satisflow.yaml \"select * from kpi_current limit 5\"
  satisflow sql --lake ./lake --format csv \"select kind, count(*) from events group by kind\"")]
    Sql(command::sql::SqlArgs),
    /// Take events from files of JSON lines into the lake and the KPIs, then exit.
    #[command(after_help = "The files run through the very same pipeline as Kafka's records. Only the data's time
counts: every window that holds data is closed at the end. A file is the topic
`file:<its name>`, a line an offset: the same file again adds nothing but the lines
appended to it, and another file of that name is refused.

Examples:
  satisflow replay events.jsonl --config satisflow.yaml
  satisflow replay 2026-*.jsonl --source reviews")]
    Replay(command::replay::ReplayArgs),
    /// Compute every KPI row again from the lake by plain SQL, and compare to the digit.
    #[command(after_help = "Exits with 1 and a table of differences if there is any.

Examples:
  satisflow audit --config satisflow.yaml
  satisflow audit --config satisflow.yaml --since 2026-11-01 --until 2026-12-01 --kpi csat
  satisflow audit --config satisflow.yaml --print-sql")]
    Audit(command::audit::AuditArgs),
    /// Report the KPIs of a period of the calendar, as they were known at a moment.
    #[command(
        after_help = "The same lake, catalog, period and --as-of give the same bytes. Each row names its revision,
why it was written and when. No service needs to run.

Examples:
  satisflow report --period 2026-H1
  satisflow report --period 2026-W47 --format html --as-of 2026-11-24T08:00:00Z > week.html
  satisflow report --period 2026-11 --format csv --kpi csat --lake ./lake --catalog catalog.yaml"
    )]
    Report(command::report::ReportArgs),
    /// Make plausible events, the same for the same seed.
    #[command(after_help = "Examples:
  satisflow generate --events 10000 --seed 7 > events.jsonl
  satisflow generate --events 1000000 --brokers localhost:9092 --topic feedback --partitions 4")]
    Generate(command::generate::GenerateArgs),
    /// Look at the records that are no events, and take them in after all.
    #[command(
        subcommand,
        after_help = "Examples:
  satisflow rejects list
  satisflow rejects export --reason off_scale > off-scale.jsonl
  satisflow rejects replay --reason off_scale --dry-run"
    )]
    Rejects(command::rejects::RejectsCommand),
    /// KPI packs: catalogs with a sample of events and the numbers it has to give.
    #[command(
        subcommand,
        after_help = "Examples:
  satisflow packs list
  satisflow packs show nps
  satisflow packs test                        # every pack of this program
  satisflow packs init nps my-nps && satisflow packs test my-nps"
    )]
    Packs(command::packs::PacksCommand),
    /// Users of SQL.
    #[command(
        subcommand,
        after_help = "Examples:
  satisflow user hash                         # asks for a password, prints what `users` keeps of it"
    )]
    User(command::user::UserCommand),
    /// Print alerting rules for Prometheus: of the service, and of the bounds in the catalog.
    #[command(
        after_help = "Prometheus 2.42 or later. A KPI's bounds are its `alerts` in the catalog (docs/alerting.md).

Examples:
  satisflow rules > rules.yml && promtool check rules rules.yml
  satisflow rules --tests rules.yml > tests.yml && promtool test rules tests.yml"
    )]
    Rules(command::rules::RulesArgs),
    /// Run everything on this machine: broker, generator, service, listeners.
    #[command(after_help = "Examples:
  satisflow demo
  satisflow demo --for 30s")]
    Demo(command::demo::DemoArgs),
    /// Print a JSON Schema: of events, records, config or catalog; or the OpenAPI document of SQL over HTTP.
    #[command(after_help = "Examples:
  satisflow schema config > satisflow.schema.json   # for an editor that checks YAML
  satisflow schema event")]
    Schema {
        /// Which one.
        #[arg(value_parser = ["event", "records", "config", "catalog", "openapi"])]
        name: String,
    },
}

/// Reads the flags and runs the command.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    satisflow_runtime::init_logs(&cli.log, std::env::var("RUST_LOG").ok().as_deref())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_stack_size(satisflow_sql::STACK_BYTES)
        .enable_all()
        .build()?;
    let code = runtime.block_on(dispatch(cli.command));
    // Blocking work that hangs must not keep a stopped process alive.
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    code
}

async fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(args) => command::run::run(args).await,
        Command::Check(args) => command::check::check(&args),
        Command::Sql(args) => command::sql::sql(args).await,
        Command::Replay(args) => command::replay::replay(args).await,
        Command::Audit(args) => command::audit::audit(args).await,
        Command::Report(args) => command::report::report(args).await,
        Command::Generate(args) => command::generate::generate(args).await,
        Command::Rejects(rejects) => command::rejects::rejects(rejects).await,
        Command::Packs(packs) => command::packs::packs(packs).await,
        Command::User(user) => command::user::user(&user),
        Command::Rules(args) => command::rules::rules(&args),
        Command::Demo(args) => command::demo::demo(args).await,
        Command::Schema { name } => command::schema(&name),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// The long help of a command and of all below it.
    fn helps(command: &mut clap::Command, all: &mut Vec<(String, String)>) {
        all.push((command.get_name().to_owned(), command.render_long_help().to_string()));
        command.get_subcommands_mut().for_each(|below| helps(below, all));
    }

    #[test]
    fn every_commands_help_has_examples() {
        let mut all = Vec::new();
        Cli::command().get_subcommands_mut().for_each(|command| {
            let mut own = Vec::new();
            helps(command, &mut own);
            // Of a command with commands below it, its own page shows them all.
            let shown = own[0].1.contains("Examples:") && own[0].1.contains("satisflow ");
            assert!(shown, "{}", own[0].1);
            all.extend(own);
        });
        assert!(all.len() > 15, "{}", all.len());
    }
}
