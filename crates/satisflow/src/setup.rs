//! From files to what the commands work on.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use prometheus::Registry;
use satisflow_alerts::alerts_schema;
use satisflow_catalog::{Catalog, ScaleBounds};
use satisflow_config::Config;
use satisflow_document::{Document, Problems};
use satisflow_kpi::kpis_schema;
use satisflow_lake::{Lake, LakeOptions, StoreOptions, store_of};
use satisflow_model::Scales;
use satisflow_pipeline::{PipelineMetrics, ServiceParts, SharedEngine};

/// Configuration and catalog, both checked.
pub(crate) struct Checked {
    pub(crate) config: Arc<Config>,
    pub(crate) catalog: Arc<Catalog>,
}

fn document(path: &Path) -> Result<Document, Problems> {
    let name = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => Document::parse(&name, &text),
        Err(error) => {
            let mut problems = Problems::new();
            let hint = "is the path right? `docs/operating.md` begins with a configuration, `satisflow packs init` \
                        writes a catalog";
            problems.of_file(&name, error.to_string(), Some(hint.to_owned()));
            Err(problems)
        }
    }
}

fn bounds(scales: &Scales) -> Vec<ScaleBounds> {
    scales.iter().map(|(name, s)| ScaleBounds { name: name.to_owned(), min: s.min, max: s.max }).collect()
}

/// Reads and checks a catalog file, or the core catalog.
pub(crate) fn load_catalog(path: Option<&Path>, scales: &Scales, problems: &mut Problems) -> Option<Catalog> {
    let parsed = match path {
        Some(path) => document(path),
        None => Document::parse("core catalog", satisflow_catalog::CORE),
    };
    match parsed {
        Ok(document) => Catalog::load(&document, &bounds(scales), problems),
        Err(found) => {
            problems.extend(found);
            None
        }
    }
}

/// Reads and checks a configuration and its catalog: all problems at once.
pub(crate) fn load(path: &Path) -> Result<Checked, Problems> {
    let mut problems = Problems::new();
    let document = document(path)?;
    let config = Config::load(&document, &mut problems).inspect(|config| check_store(config, &document, &mut problems));
    let catalog = match &config {
        Some(config) => load_catalog(config.catalog.as_deref(), &config.scales, &mut problems),
        None => {
            check_catalog_beside(path, &document, &mut problems);
            None
        }
    };
    match (config, catalog) {
        (Some(config), Some(catalog)) if problems.is_empty() => {
            Ok(Checked { config: Arc::new(config), catalog: Arc::new(catalog) })
        }
        _ => Err(problems),
    }
}

/// Of a configuration that does not hold, the catalog that it names is checked all the same.
fn check_catalog_beside(config: &Path, document: &Document, problems: &mut Problems) {
    if let Some(named) = document.value("/catalog").and_then(|value| value.as_str()) {
        let path = config.parent().unwrap_or_else(|| Path::new("")).join(named);
        load_catalog(Some(&path), &Scales::default(), problems);
    }
}

/// What can be said of the lake's place without asking for it.
fn check_store(config: &Config, document: &Document, problems: &mut Problems) {
    if let Err(error) = store_of(&config.lake_url, &store_options(config)) {
        let hint = "such as `lake`, a folder beside this file, or `s3://bucket/prefix`";
        problems.at(document, "/lake/url", error.to_string(), Some(hint.to_owned()));
    }
}

fn store_options(config: &Config) -> StoreOptions {
    let store = config.lake_store.clone();
    let (request_timeout, retry_timeout) = (store.request_timeout, store.retry_timeout);
    StoreOptions { values: store.values, request_timeout, retry_timeout }
}

/// Opens the lake for writing under a catalog.
pub(crate) async fn open_lake(checked: &Checked) -> Result<Arc<Lake>> {
    let options = LakeOptions {
        records_schema: satisflow_model::records_schema(),
        kpis_schema: kpis_schema(&checked.catalog.dimension_names()),
        alerts_schema: alerts_schema(&checked.catalog.dimension_names()),
        read_only: false,
        store: None,
        store_options: store_options(&checked.config),
    };
    let lake = Lake::open(&checked.config.lake_url, options).await;
    lake.map(Arc::new).with_context(|| format!("opening the lake at {}", checked.config.lake_url))
}

/// Opens a configuration's lake, which is there already, for reading.
pub(crate) async fn configured_lake(config: &Config) -> Result<Arc<Lake>> {
    read_lake(&config.lake_url, store_options(config)).await
}

/// Opens a lake that is there already, for reading.
pub(crate) async fn read_lake(url: &str, store_options: StoreOptions) -> Result<Arc<Lake>> {
    let options = LakeOptions {
        records_schema: satisflow_model::records_schema(),
        kpis_schema: kpis_schema(&[]),
        alerts_schema: alerts_schema(&[]),
        read_only: true,
        store: None,
        store_options,
    };
    Ok(Arc::new(Lake::open(url, options).await?))
}

/// How long damaged files are looked for.
const DAMAGE_TIMEOUT: Duration = Duration::from_secs(60);

/// Whether files may be at fault: the readers' errors have no kinds.
fn is_of_reading(error: &anyhow::Error) -> bool {
    let text = format!("{error:#}");
    ["Parquet", "parquet", "Object Store", "Arrow"].iter().any(|word| text.contains(word))
}

/// An error of reading, with the files at fault if there are any.
pub(crate) async fn explained(lake: &Lake, error: anyhow::Error) -> anyhow::Error {
    if !is_of_reading(&error) {
        return error;
    }
    let damaged = match tokio::time::timeout(DAMAGE_TIMEOUT, lake.damaged_files()).await {
        Ok(Ok(damaged)) if !damaged.is_empty() => damaged,
        _ => return error,
    };
    let list: Vec<String> = damaged.iter().map(ToString::to_string).collect();
    let what = "these files of the lake are damaged: bring each back from a backup or another copy of the lake under \
                the same name, byte by byte; nothing else in the lake has to change";
    error.context(format!("{what}\n  {}\n", list.join("\n  ")))
}

/// Everything that a service or a replay runs on.
pub(crate) async fn parts(checked: &Checked, registry: &Registry) -> Result<ServiceParts> {
    Ok(ServiceParts {
        config: Arc::clone(&checked.config),
        catalog: Arc::clone(&checked.catalog),
        lake: open_lake(checked).await?,
        metrics: PipelineMetrics::new(registry)?,
        shared: SharedEngine::default(),
        clock: Arc::new(satisflow_runtime::now_micros),
    })
}
