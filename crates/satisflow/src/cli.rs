//! Flags and commands.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

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
    Run(RunArgs),
    /// Check configuration and catalog: every problem at once, each with its line.
    #[command(after_help = "Examples:
  satisflow check --config satisflow.yaml
  satisflow check --catalog catalog.yaml")]
    Check(CheckArgs),
    /// Query the lake; no service needs to run.
    #[command(after_help = "Examples:
  satisflow sql --config satisflow.yaml \"select * from kpi_current limit 5\"
  satisflow sql --lake ./lake --format csv \"select kind, count(*) from events group by kind\"")]
    Sql(SqlArgs),
    /// Take events from files of JSON lines into the lake and the KPIs, then exit.
    #[command(after_help = "The files run through the very same pipeline as Kafka's records. Only the data's time
counts: every window that holds data is closed at the end. A file is the topic
`file:<its name>`, a line an offset: the same file again adds nothing but the lines
appended to it, and another file of that name is refused.

Examples:
  satisflow replay events.jsonl --config satisflow.yaml
  satisflow replay 2026-*.jsonl --source reviews")]
    Replay(ReplayArgs),
    /// Compute every KPI row again from the lake by plain SQL, and compare to the digit.
    #[command(after_help = "Exits with 1 and a table of differences if there is any.

Examples:
  satisflow audit --config satisflow.yaml
  satisflow audit --config satisflow.yaml --since 2026-11-01 --until 2026-12-01 --kpi csat
  satisflow audit --config satisflow.yaml --print-sql")]
    Audit(AuditArgs),
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
    Rejects(RejectsCommand),
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
    User(UserCommand),
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

/// The configuration.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConfigArg {
    /// Configuration file.
    #[arg(long, short, default_value = "satisflow.yaml")]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// Read what is there, close every window, and exit.
    #[arg(long)]
    pub(crate) exit_at_end: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Configuration file; its catalog is checked with it.
    #[arg(long, short)]
    pub(crate) config: Option<PathBuf>,
    /// Catalog file.
    #[arg(long)]
    pub(crate) catalog: Option<PathBuf>,
}

/// Form of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns.
    Table,
    /// Comma-separated values with a heading.
    Csv,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct SqlArgs {
    #[command(flatten)]
    pub(crate) lake: LakeArg,
    /// The query.
    pub(crate) query: String,
    /// Form of the result.
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: Format,
}

/// A lake, by itself or by its configuration.
#[derive(Debug, Clone, Args)]
pub(crate) struct LakeArg {
    /// Configuration file that names the lake.
    #[arg(long, short, default_value = "satisflow.yaml")]
    pub(crate) config: PathBuf,
    /// The lake itself; no configuration is read then.
    #[arg(long)]
    pub(crate) lake: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Files of JSON lines.
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// The topic in `sources` whose mapping the files have; needed where there are several.
    #[arg(long, value_name = "TOPIC")]
    pub(crate) source: Option<String>,
    #[command(flatten)]
    pub(crate) config: ConfigArg,
}

#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// One KPI only.
    #[arg(long)]
    pub(crate) kpi: Option<String>,
    /// Windows that end at this time or later: RFC 3339, or a date, whose midnight is UTC.
    #[arg(long, value_name = "TIME", value_parser = crate::times::micros)]
    pub(crate) since: Option<i64>,
    /// Windows that end before this time.
    #[arg(long, value_name = "TIME", value_parser = crate::times::micros)]
    pub(crate) until: Option<i64>,
    /// Print the SQL and do nothing else.
    #[arg(long)]
    pub(crate) print_sql: bool,
}

#[derive(Debug, Subcommand)]
enum RejectsCommand {
    /// Count rejects by reason, and show the latest of each.
    #[command(after_help = "Examples:
  satisflow rejects list
  satisflow rejects list --lake ./lake
  satisflow sql \"select reason, field, message, topic, \\\"offset\\\" from rejects limit 20\"")]
    List(LakeArg),
    /// Write the raw payloads, a line each: to be mended and replayed.
    #[command(after_help = "Examples:
  satisflow rejects export > rejects.jsonl
  satisflow rejects export --reason off_scale > off-scale.jsonl")]
    Export {
        #[command(flatten)]
        lake: LakeArg,
        /// Only rejects of this reason.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Decode rejects again under the current configuration, and accept those that are events now.
    #[command(
        after_help = "For after a mapping, a scale or a limit was corrected. What is accepted enters the KPIs like
a late event: from the running service, or at its next start. An id that was accepted
meanwhile stays accepted, and the reject a reject. Killed or failed, it is run again.

Examples:
  satisflow rejects replay --reason off_scale --dry-run
  satisflow rejects replay --topic reviews --since 2026-11-01"
    )]
    Replay(RejectsReplayArgs),
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Print what `users` in the configuration keeps of a password.
    #[command(after_help = "The password is asked for, or is the first line of standard input. What is printed is
the text that PostgreSQL stores (SCRAM-SHA-256): it proves the password, and can't be used to log in.

Examples:
  satisflow user hash
  satisflow user hash < password.txt")]
    Hash,
    /// Make a bearer token for SQL over HTTP.
    #[command(
        after_help = "The first line is the token, for the client; it is shown this once. The second is its hash,
for `users.<name>.tokens` in the configuration.

Examples:
  satisflow user token
  curl -H \"Authorization: Bearer $TOKEN\" -H 'content-type: application/sql' -d 'select 1' http://127.0.0.1:8080/sql"
    )]
    Token,
}

#[derive(Debug, Args)]
pub(crate) struct RejectsReplayArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// Only rejects of this reason.
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// Only rejects of this topic.
    #[arg(long)]
    pub(crate) topic: Option<String>,
    /// The topic in `sources` whose mapping replayed files have; without it, where there are several,
    /// rejects of files stay.
    #[arg(long, value_name = "TOPIC")]
    pub(crate) source: Option<String>,
    /// Only rejects taken in at this time or later: RFC 3339, or a date, whose midnight is UTC.
    #[arg(long, value_name = "TIME", value_parser = crate::times::micros)]
    pub(crate) since: Option<i64>,
    /// Only rejects taken in before this time.
    #[arg(long, value_name = "TIME", value_parser = crate::times::micros)]
    pub(crate) until: Option<i64>,
    /// Count and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
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
        Command::Rejects(RejectsCommand::List(lake)) => command::rejects::list(lake).await,
        Command::Rejects(RejectsCommand::Export { lake, reason }) => command::rejects::export(lake, reason).await,
        Command::Rejects(RejectsCommand::Replay(args)) => command::rejects::replay(args).await,
        Command::Packs(packs) => command::packs::packs(packs).await,
        Command::User(UserCommand::Hash) => command::user::hash(),
        Command::User(UserCommand::Token) => command::user::token(),
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
