//! What the views are made over.

use std::sync::Arc;

use datafusion::catalog::TableProvider;

/// What is published.
#[derive(Debug, Clone)]
pub struct Tables {
    /// Rows of `records`, those not yet committed included.
    pub records: Arc<dyn TableProvider>,
    /// Rows of `kpis`.
    pub kpis: Arc<dyn TableProvider>,
    /// Changes of alerts; empty where the lake has no such table.
    pub alerts: Option<Arc<dyn TableProvider>>,
    /// Open windows; empty where no service runs.
    pub kpi_live: Option<Arc<dyn TableProvider>>,
}
