//! `satisflow packs`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use clap::Subcommand;
use futures::TryStreamExt;
use prometheus::Registry;
use satisflow_lake::Lake;
use satisflow_pipeline::{Audit, AuditReport, AuditScope, Replay};
use satisflow_sql::Caller;

use super::replay::source_of;
use super::{say, sql};
use crate::packs::{self, Pack};
use crate::setup::{self, Checked};

/// Differences shown of a pack, at most.
const SHOWN_MAX: usize = 20;

#[derive(Debug, Subcommand)]
pub(crate) enum PacksCommand {
    /// Name the packs of this program, each with its title.
    List,
    /// Print what a pack answers, and its catalog.
    Show {
        /// Name of a pack, or a folder.
        pack: String,
    },
    /// Compute the sample of each pack, and compare with its golden numbers and the audit.
    Test {
        /// Names of packs, or folders; without any every pack of this program.
        packs: Vec<String>,
    },
    /// Write a pack's files into a folder, to be changed.
    Init {
        /// Name of a pack.
        pack: String,
        /// The folder; without it one of the pack's name.
        folder: Option<PathBuf>,
    },
}

pub(crate) async fn packs(command: PacksCommand) -> Result<ExitCode> {
    match command {
        PacksCommand::List => list(),
        PacksCommand::Show { pack } => show(&packs::find(&pack)?),
        PacksCommand::Test { packs } => test(&packs).await,
        PacksCommand::Init { pack, folder } => {
            let folder = folder.unwrap_or_else(|| PathBuf::from(&pack));
            packs::find(&pack)?.init(&folder)?;
            say(&format!("{0}: change catalog.yaml, and try it: satisflow packs test {0}", folder.display()))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn list() -> Result<ExitCode> {
    let packs = packs::all();
    let width = packs.iter().map(|pack| pack.name.len()).max().unwrap_or(0);
    for pack in packs {
        say(&format!("{:width$}  {}", pack.name, pack.title()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(pack: &Pack) -> Result<ExitCode> {
    say(&pack.text("README.md").unwrap_or_default())?;
    say(&pack.needed("catalog.yaml", "it defines the KPIs")?)?;
    Ok(ExitCode::SUCCESS)
}

async fn test(names: &[String]) -> Result<ExitCode> {
    let chosen = match names {
        [] => packs::all(),
        names => names.iter().map(|name| packs::find(name)).collect::<Result<_>>()?,
    };
    let mut equal = true;
    for pack in chosen {
        let tested = Tested::of(&pack).await?;
        tested.show(&pack.name)?;
        equal &= tested.is_equal();
    }
    Ok(if equal { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What a pack's sample has given.
struct Tested {
    rows: usize,
    missing: BTreeSet<String>,
    unexpected: BTreeSet<String>,
    audit: AuditReport,
}

impl Tested {
    async fn of(pack: &Pack) -> Result<Tested> {
        let golden = pack.needed(
            "golden.csv",
            "its numbers are held by nothing; write a program that computes them from events.jsonl without \
             Satisflow (golden.py), and its output",
        )?;
        pack.needed("events.jsonl", "there is nothing to compute")?;
        let scratch = tempfile::tempdir()?;
        let folder = pack.folder(&scratch.path().join("pack"))?;
        let checked = setup::load(&configure(&folder, scratch.path())?)?;
        let lake = replay(&checked, folder.join("events.jsonl")).await?;
        let found = rows(&lake, &checked).await?;
        let golden: BTreeSet<String> = golden.lines().map(str::to_owned).collect();
        let audit = Audit::new(&lake, Arc::clone(&checked.catalog)).await?;
        Ok(Tested {
            rows: found.len().saturating_sub(1),
            missing: golden.difference(&found).cloned().collect(),
            unexpected: found.difference(&golden).cloned().collect(),
            audit: audit.run(&lake, &AuditScope::default()).await?,
        })
    }

    fn is_equal(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.audit.differences == 0
    }

    fn show(&self, name: &str) -> Result<()> {
        let [missing, unexpected] = [self.missing.len(), self.unexpected.len()];
        let golden = match (missing, unexpected) {
            (0, 0) => "equal the golden numbers".to_owned(),
            _ => format!("{missing} golden ones missing, {unexpected} not expected"),
        };
        say(&format!("{name}: {} rows, {golden}; audit: {} differences", self.rows, self.audit.differences))?;
        for (what, lines) in [("missing", &self.missing), ("not expected", &self.unexpected)] {
            lines.iter().take(SHOWN_MAX).try_for_each(|line| say(&format!("  {what}: {line}")))?;
        }
        self.audit.listed.iter().take(SHOWN_MAX).try_for_each(|difference| say(&format!("  audit: {difference}")))
    }
}

/// A configuration for the sample of a pack in a folder; gives its file.
fn configure(pack: &Path, scratch: &Path) -> Result<PathBuf> {
    let catalog = serde_json::to_string(&pack.join("catalog.yaml").to_string_lossy())?;
    let file = scratch.join("satisflow.yaml");
    let text = "version: 1\nlake: { url: lake }\ntime: data\nsources: [{ topic: sample }]\ncatalog: ";
    std::fs::write(&file, format!("{text}{catalog}\n"))?;
    Ok(file)
}

async fn replay(checked: &Checked, events: PathBuf) -> Result<Arc<Lake>> {
    let parts = setup::parts(checked, &Registry::new()).await?;
    let lake = Arc::clone(&parts.lake);
    let source = source_of(&checked.config, None)?;
    Replay { parts, files: vec![events], source, progress: Box::new(|_| {}) }.run().await?;
    Ok(lake)
}

/// Current rows as lines of CSV, with a heading.
async fn rows(lake: &Lake, checked: &Checked) -> Result<BTreeSet<String>> {
    let dimensions: String = checked.catalog.dimension_names().iter().map(|name| format!("\"{name}\", ")).collect();
    let query = format!("SELECT kpi, window_name, grouping_set, {dimensions}window_end, value, n FROM kpi_current");
    let service = sql::over(lake)?;
    let mut batches = service.query(&query, Caller::ALL).await?;
    let mut text = Vec::new();
    while let Some(batch) = batches.try_next().await? {
        arrow::csv::WriterBuilder::new().with_header(true).build(&mut text).write(&batch)?;
    }
    Ok(String::from_utf8(text)?.lines().map(str::to_owned).collect())
}
