//! One module a command.

pub(crate) mod audit;
pub(crate) mod check;
pub(crate) mod demo;
pub(crate) mod generate;
pub(crate) mod packs;
pub(crate) mod page;
pub(crate) mod rejects;
pub(crate) mod replay;
pub(crate) mod report;
pub(crate) mod rules;
pub(crate) mod run;
pub(crate) mod serve;
pub(crate) mod sql;
pub(crate) mod user;

use std::io::Write;
use std::process::ExitCode;

/// Writes a line to standard output; a closed pipe ends the program quietly.
pub(crate) fn say(line: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout().lock(), "{line}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        written => Ok(written?),
    }
}

/// Prints a JSON Schema.
pub(crate) fn schema(name: &str) -> anyhow::Result<ExitCode> {
    let schema = match name {
        "event" => satisflow_model::event_json_schema(),
        "records" => satisflow_model::records_json(),
        "config" => satisflow_config::json_schema(),
        "openapi" => satisflow_sql::openapi_document(),
        _ => satisflow_catalog::json_schema(),
    };
    say(&serde_json::to_string_pretty(&schema)?)?;
    Ok(ExitCode::SUCCESS)
}
