//! `satisflow rejects`.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use arrow::array::{Array, AsArray};
use futures::TryStreamExt;

use super::{say, sql};
use crate::cli::LakeArg;

pub(crate) async fn list(lake: LakeArg) -> Result<ExitCode> {
    let service = sql::service(&lake).await?;
    let query = "SELECT reason, count(*) AS records, max(ingest_time) AS latest, max(message) AS message \
                 FROM rejects GROUP BY reason ORDER BY records DESC, reason";
    let rows = service.query(query).await?;
    let schema = rows.schema();
    let batches: Vec<_> = rows.try_collect().await?;
    say(&arrow::util::pretty::pretty_format_batches_with_schema(schema, &batches)?.to_string())?;
    Ok(ExitCode::SUCCESS)
}

/// Raw payloads as they came, a line each: fit for `replay` once they are mended.
pub(crate) async fn export(lake: LakeArg, reason: Option<String>) -> Result<ExitCode> {
    let service = sql::service(&lake).await?;
    let only = reason.map(|r| format!(" AND reason = '{}'", r.replace('\'', "''"))).unwrap_or_default();
    let query =
        format!("SELECT raw FROM rejects WHERE raw IS NOT NULL{only} ORDER BY topic, \"partition\", \"offset\"");
    let mut rows = service.query(&query).await?;
    let mut out = std::io::stdout().lock();
    while let Some(batch) = rows.try_next().await? {
        let raw = batch.column(0).as_binary::<i32>();
        for row in (0..raw.len()).filter(|row| raw.is_valid(*row)) {
            out.write_all(raw.value(row))?;
            out.write_all(b"\n")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
