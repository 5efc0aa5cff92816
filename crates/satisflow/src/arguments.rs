//! Flags that several commands have.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// The configuration.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConfigArg {
    /// Configuration file.
    #[arg(long, short, default_value = "satisflow.yaml")]
    pub(crate) config: PathBuf,
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
