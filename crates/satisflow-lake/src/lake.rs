//! The lake as a whole.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use object_store::ObjectStore;
use url::Url;

use crate::error::LakeError;
use crate::live::{LatestTable, LiveRecords};
use crate::position::position_id;
use crate::store::{StoreOptions, store_of};
use crate::table::{Access, Table, TableSpec};

/// How a lake is opened.
#[derive(Debug, Clone)]
pub struct LakeOptions {
    /// Schema of `records`.
    pub records_schema: SchemaRef,
    /// Schema of `kpis`; columns that the table lacks are added.
    pub kpis_schema: SchemaRef,
    /// Schema of `alerts`; columns that the table lacks are added.
    pub alerts_schema: SchemaRef,
    /// Whether nothing may be created or changed.
    pub read_only: bool,
    /// The store that URLs are resolved in; `None`: the one that the URL names.
    pub store: Option<Arc<dyn ObjectStore>>,
    /// How that one is reached.
    pub store_options: StoreOptions,
}

/// The tables of a lake.
#[derive(Debug)]
pub struct Lake {
    pub(crate) records: Table,
    pub(crate) kpis: Table,
    /// A lake that an earlier program wrote may lack it for those who only read.
    pub(crate) alerts: Option<Table>,
    live: Arc<LiveRecords>,
    latest_kpis: Arc<LatestTable>,
    latest_alerts: Option<Arc<LatestTable>>,
}

const STATS_COLUMNS: &str = "topic,partition,offset,ingest_time,kind,event_time";
const PLAIN_COLUMNS: &[&str] = &["event_id", "text", "raw", "reject_message", "customer", "order_id", "content_hash"];

const KPI_PLAIN_COLUMNS: &[&str] = &[
    "value",
    "numerator",
    "denominator",
    "sum_w",
    "sum_wx",
    "sum_w2",
    "sum_w2x",
    "sum_w2x2",
    "n_eff",
    "se",
    "ci_low",
    "ci_high",
];

impl Lake {
    /// Opens the lake at a local path or URL, and creates it unless it is to be read only.
    ///
    /// # Errors
    /// When the place can't be used, or holds what this program can't write to.
    pub async fn open(url: &str, options: LakeOptions) -> Result<Lake, LakeError> {
        let root = root_url(url, options.read_only)?;
        let at = |name: &str| {
            root.join(&format!("{name}/")).map_err(|e| LakeError::Place { url: url.to_owned(), message: e.to_string() })
        };
        let records_spec = TableSpec {
            name: "records",
            schema: options.records_schema,
            partition_by: &["outcome", "event_month"],
            stats_columns: STATS_COLUMNS,
            plain_columns: PLAIN_COLUMNS,
        };
        let kpis_spec = TableSpec {
            name: "kpis",
            schema: Arc::clone(&options.kpis_schema),
            partition_by: &[],
            stats_columns: "",
            plain_columns: KPI_PLAIN_COLUMNS,
        };
        let store = match options.store {
            Some(store) => Some(store),
            None => store_of(url, &options.store_options)?,
        };
        let access = Access { read_only: options.read_only, store };
        let records = Table::open(&at("records")?, &records_spec, &access).await?;
        let kpis = Table::open(&at("kpis")?, &kpis_spec, &access).await?;
        if !access.read_only {
            kpis.add_columns(&options.kpis_schema).await?;
        }
        let alerts_spec = TableSpec {
            name: "alerts",
            schema: Arc::clone(&options.alerts_schema),
            partition_by: &[],
            stats_columns: "",
            plain_columns: &[],
        };
        let alerts = match Table::open(&at("alerts")?, &alerts_spec, &access).await {
            Err(LakeError::Missing { .. }) if access.read_only => None,
            opened => Some(opened?),
        };
        if let Some(alerts) = alerts.as_ref().filter(|_| !access.read_only) {
            alerts.add_columns(&options.alerts_schema).await?;
        }
        let latest_alerts = match &alerts {
            Some(alerts) => Some(Arc::new(LatestTable::new("alerts", &alerts.current().await)?)),
            None => None,
        };
        let live = Arc::new(LiveRecords::new(&records.current().await)?);
        let latest_kpis = Arc::new(LatestTable::new("kpis", &kpis.current().await)?);
        Ok(Lake { records, kpis, alerts, live, latest_kpis, latest_alerts })
    }

    /// Rows of `records`, those not yet committed included.
    pub fn live_records(&self) -> Arc<LiveRecords> {
        Arc::clone(&self.live)
    }

    /// Rows of `kpis`.
    pub fn kpis_provider(&self) -> Arc<LatestTable> {
        Arc::clone(&self.latest_kpis)
    }

    /// Rows of `alerts`; `None` where the lake is read only and has none.
    pub fn alerts_provider(&self) -> Option<Arc<LatestTable>> {
        self.latest_alerts.clone()
    }

    /// All tables.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &Table> {
        [&self.records, &self.kpis].into_iter().chain(&self.alerts)
    }

    /// The position of a partition in the newest state; `None` if it never was committed.
    ///
    /// # Errors
    /// When the log can't be read.
    pub async fn position(&self, topic: &str, partition: i32) -> Result<Option<i64>, LakeError> {
        let table = self.records.refreshed().await?;
        self.records.transaction(&table, &position_id(topic, partition)).await
    }

    /// A transaction of `kpis` in the newest state.
    ///
    /// # Errors
    /// When the log can't be read.
    pub async fn kpi_transaction(&self, id: &str) -> Result<Option<i64>, LakeError> {
        let table = self.kpis.refreshed().await?;
        self.kpis.transaction(&table, id).await
    }

    /// Newest version of `records`.
    ///
    /// # Errors
    /// When the log can't be read.
    pub async fn records_version(&self) -> Result<u64, LakeError> {
        Ok(self.records.refreshed().await?.version().unwrap_or(0))
    }

    /// Takes up what other processes have committed, for those who read.
    ///
    /// # Errors
    /// When the log can't be read.
    pub async fn refresh(&self) -> Result<(), LakeError> {
        self.live.refresh(&self.records.refreshed().await?)?;
        if let (Some(alerts), Some(latest)) = (&self.alerts, &self.latest_alerts) {
            latest.refresh(&alerts.refreshed().await?)?;
        }
        self.latest_kpis.refresh(&self.kpis.refreshed().await?)
    }
}

fn root_url(url: &str, read_only: bool) -> Result<Url, LakeError> {
    let place = |message: String| LakeError::Place { url: url.to_owned(), message };
    if let Ok(parsed) = Url::parse(url) {
        if parsed.scheme() != "file" {
            return Ok(bucket_url(parsed));
        }
        let path = parsed.to_file_path().map_err(|()| place("not a local path".to_owned()))?;
        return root_url(&path.to_string_lossy(), read_only);
    }
    if read_only && !std::path::Path::new(url).join("records").exists() {
        return Err(LakeError::Missing { url: url.to_owned() });
    }
    deltalake_core::ensure_table_uri(url).map_err(|e| place(e.to_string()))
}

/// With a slash at its end, so that tables lie below it.
fn bucket_url(mut url: Url) -> Url {
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    url
}
