//! The engine as others see it: the table `kpi_live`, gauges, the terminal's board.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{MemTable, Session, TableProvider};
use datafusion::common::{DataFusionError, Result as DataFusionResult};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use prometheus::{GaugeVec, Opts, Registry};
use satisflow_alerts::Decider;
use satisflow_catalog::Catalog;
use satisflow_kpi::{Engine, Figures, KpiRow, RowsBuilder, figures, kpis_schema};

use crate::alert_gauges::AlertGauges;

/// The engine, shared between the scorer and those who look. There is none
/// while this process stands by or is building it.
#[derive(Debug, Clone, Default)]
pub struct SharedEngine(Arc<Mutex<Shared>>);

#[derive(Debug, Default)]
struct Shared {
    engine: Option<Engine>,
    /// Whether it has caught up: what is still being built is nobody's number.
    complete: bool,
    /// What decides alerts; none before they are restored.
    alerts: Option<Decider>,
}

impl SharedEngine {
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set(&self, engine: Option<Engine>) {
        *self.shared() = Shared { engine, complete: false, alerts: None };
    }

    /// From here on others see it.
    pub(crate) fn complete(&self) {
        self.shared().complete = true;
    }

    /// For the scorer, which has set it.
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut Engine) -> T) -> T {
        f(self.shared().engine.get_or_insert_with(|| Engine::new(satisflow_kpi::Plan::default())))
    }

    pub(crate) fn set_alerts(&self, decider: Decider) {
        self.shared().alerts = Some(decider);
    }

    /// For the scorer, which has set it.
    pub(crate) fn with_alerts<T>(&self, f: impl FnOnce(&mut Decider) -> T) -> T {
        f(self.shared().alerts.get_or_insert_with(|| Decider::new(&[])))
    }

    /// Alerts for others, as [`SharedEngine::look`].
    pub(crate) fn look_at_alerts<T>(&self, f: impl FnOnce(&Decider) -> T) -> Option<T> {
        let shared = self.shared();
        shared.alerts.as_ref().filter(|_| shared.complete).map(f)
    }

    /// For others; `None` while there is no engine, or one that has not caught up.
    pub fn look<T>(&self, f: impl FnOnce(&Engine) -> T) -> Option<T> {
        let shared = self.shared();
        shared.engine.as_ref().filter(|_| shared.complete).map(f)
    }
}

/// Gives the current time, µs: the clock's, or the data's.
pub(crate) type Now = Arc<dyn Fn(&Engine) -> i64 + Send + Sync>;

/// The table `kpi_live`: the open window of each series over all that has arrived.
pub struct LiveKpis {
    schema: SchemaRef,
    shared: SharedEngine,
    now: Now,
}

impl std::fmt::Debug for LiveKpis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LiveKpis")
    }
}

impl LiveKpis {
    pub(crate) fn new(catalog: &Catalog, shared: SharedEngine, now: Now) -> LiveKpis {
        LiveKpis { schema: kpis_schema(&catalog.dimension_names()), shared, now }
    }

    fn rows(&self) -> DataFusionResult<RecordBatch> {
        let built = self.shared.look(|engine| {
            let now = (self.now)(engine);
            let rows = engine.live(now).map_err(|e| DataFusionError::External(Box::new(e)))?;
            let mut builder = RowsBuilder::new(&engine.plan().dimensions);
            rows.iter().for_each(|row| builder.append(engine, row, now));
            Ok(builder.finish()?)
        });
        built.unwrap_or_else(|| Ok(RecordBatch::new_empty(Arc::clone(&self.schema))))
    }
}

#[async_trait]
impl TableProvider for LiveKpis {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let table = MemTable::try_new(Arc::clone(&self.schema), vec![vec![self.rows()?]])?;
        table.scan(session, projection, filters, limit).await
    }
}

/// One line of the board.
#[derive(Debug, Clone)]
pub struct BoardRow {
    /// The KPI.
    pub kpi: String,
    /// The window.
    pub window: String,
    /// Values of the grouped dimensions, `total` without any.
    pub group: String,
    /// What it says.
    pub figures: Figures,
}

/// What a terminal shows: open windows of one length.
#[derive(Debug, Clone)]
pub struct Board {
    shared: SharedEngine,
    window: String,
}

impl Board {
    /// A board of the windows of one name.
    pub fn new(shared: SharedEngine, window: &str) -> Board {
        Board { shared, window: window.to_owned() }
    }

    /// Lines at a time (µs), totals and groups of one dimension, in order of KPI and group.
    pub fn rows(&self, now: i64) -> Vec<BoardRow> {
        let looked = self.shared.look(|engine| {
            let plan = engine.plan();
            let shown =
                |row: &KpiRow| *plan.windows[row.window].name == *self.window && plan.grouping_sets[row.set].len() <= 1;
            let mut rows: Vec<BoardRow> = engine
                .live(now)
                .unwrap_or_default()
                .iter()
                .filter(|row| shown(row))
                .map(|row| BoardRow {
                    kpi: plan.definitions[row.definition].name.to_string(),
                    window: self.window.clone(),
                    group: group_text(engine, row),
                    figures: figures(&plan.definitions[row.definition], row),
                })
                .collect();
            rows.sort_by(|a, b| (&a.kpi, a.group != "total", &a.group).cmp(&(&b.kpi, b.group != "total", &b.group)));
            rows
        });
        looked.unwrap_or_default()
    }
}

fn group_text(engine: &Engine, row: &KpiRow) -> String {
    let values: Vec<String> = engine.group_values(row).into_iter().flatten().map(|v| v.to_string()).collect();
    if values.is_empty() { "total".to_owned() } else { values.join(" / ") }
}

/// KPI gauges, set anew before each scrape.
pub struct KpiGauges {
    shared: SharedEngine,
    now: Now,
    groups_max: usize,
    vectors: Vec<(Measure, GaugeVec)>,
    newest_event: GaugeVec,
    alerts: AlertGauges,
}

type Measure = fn(&Figures, &KpiRow) -> Option<f64>;

/// Name after `satisflow_kpi_`, help, and what it shows. NULL is an absent series.
const GAUGES: [(&str, &str, Measure); 9] = [
    ("value", "Value of the KPI.", |f, _| f.value_f64()),
    ("numerator", "Numerator of the KPI.", |f, _| Some(f.numerator as f64 / 1e10)),
    ("denominator", "Denominator of the KPI.", |f, _| Some(f.denominator as f64 / 1e10)),
    ("samples", "Events with a weight above 0.", |f, _| Some(f.n as f64)),
    ("effective_samples", "Kish's effective sample size.", |f, _| f.n_eff),
    ("standard_error", "Standard error of the value.", |f, _| f.se),
    ("ci_low", "Lower bound of the 95 % interval.", |f, _| f.interval.map(|i| i.low)),
    ("ci_high", "Upper bound of the 95 % interval.", |f, _| f.interval.map(|i| i.high)),
    ("window_end_timestamp_seconds", "End of the window.", |_, r| Some(r.window_end as f64 / 1e6)),
];

impl KpiGauges {
    pub(crate) fn new(
        registry: &Registry,
        catalog: &Catalog,
        shared: SharedEngine,
        now: Now,
        groups_max: usize,
    ) -> Result<KpiGauges, prometheus::Error> {
        let mut labels = vec!["kpi", "window", "state", "grouping_set"];
        let dimensions = catalog.dimension_labels();
        labels.extend(dimensions.iter().map(String::as_str));
        let mut vectors = Vec::new();
        for (name, help, measure) in GAUGES {
            let gauge = GaugeVec::new(Opts::new(format!("satisflow_kpi_{name}"), help), &labels)?;
            registry.register(Box::new(gauge.clone()))?;
            vectors.push((measure, gauge));
        }
        let help = "Time of the latest event that the KPI has read.";
        let newest_event = GaugeVec::new(Opts::new("satisflow_kpi_newest_event_timestamp_seconds", help), &["kpi"])?;
        registry.register(Box::new(newest_event.clone()))?;
        let alerts = AlertGauges::new(registry, catalog, groups_max)?;
        Ok(KpiGauges { shared, now, groups_max, vectors, newest_event, alerts })
    }

    /// Sets every gauge to what the engine says now.
    pub fn refresh(&self) {
        self.vectors.iter().for_each(|(_, gauge)| gauge.reset());
        self.newest_event.reset();
        self.alerts.reset();
        self.shared.look_at_alerts(|decider| self.alerts.show(decider));
        self.shared.look(|engine| {
            self.show_freshness(engine);
            let live = engine.live((self.now)(engine)).unwrap_or_default();
            self.show(engine, "live", live.iter());
            let finals = engine.finals().unwrap_or_default();
            self.show(engine, "final", finals.iter());
        });
    }

    fn show_freshness(&self, engine: &Engine) {
        for (index, definition) in engine.plan().definitions.iter().enumerate() {
            if let Some(newest) = engine.newest_event(index) {
                self.newest_event.with_label_values(&[&*definition.name]).set(newest as f64 / 1e6);
            }
        }
    }

    fn show<'a>(&self, engine: &Engine, state: &str, rows: impl Iterator<Item = &'a KpiRow>) {
        let mut groups: BTreeMap<(usize, usize, usize), Vec<&KpiRow>> = BTreeMap::new();
        for row in rows {
            groups.entry((row.definition, row.window, row.set)).or_default().push(row);
        }
        for mut rows in groups.into_values() {
            // Of too many groups those with the most events are shown, the same ones each time.
            rows.sort_by_key(|row| (std::cmp::Reverse(row.sums.n.max(row.sums.base_n)), row.group));
            rows.iter().take(self.groups_max).for_each(|row| self.show_row(engine, state, row));
        }
    }

    fn show_row(&self, engine: &Engine, state: &str, row: &KpiRow) {
        let plan = engine.plan();
        let definition = &plan.definitions[row.definition];
        let figures = figures(definition, row);
        let set = engine.set_name(row.set);
        let mut labels: Vec<&str> = vec![&definition.name, &plan.windows[row.window].name, state, &set];
        let values = engine.group_values(row);
        labels.extend(values.iter().map(|value| value.map_or("", |text| &**text)));
        for (measure, gauge) in &self.vectors {
            if let Some(value) = measure(&figures, row) {
                gauge.with_label_values(&labels).set(value);
            }
        }
    }
}
