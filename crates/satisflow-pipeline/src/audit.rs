//! The audit: every KPI row again, from the lake, by plain SQL.
//!
//! Nothing here comes from the engine. A window's sums are running totals over
//! what enters and leaves, in decimals of 76 digits, and have to equal the
//! published rows to the last digit.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use arrow::util::display::array_value_to_string;
use datafusion::catalog::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use satisflow_catalog::{Catalog, Measure};
use satisflow_kpi::{CalendarUnit, Definition, Metric, Window, WindowSpan};
use satisflow_lake::{CLOSED, Lake, PUBLISHED, SCORE};

use crate::error::PipelineError;

/// Differences listed of one KPI, window and grouping set, at most.
const LISTED_MAX: usize = 20;
const DAY_MICROS: i64 = 86_400_000_000;

/// A row that is not what the lake's events make it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// KPI, window, grouping set.
    pub series: [String; 3],
    /// Values of the grouped dimensions.
    pub group: String,
    /// End of the window, UTC.
    pub window_end: String,
    /// `missing`, `not expected`, or what differs.
    pub what: String,
    /// From the events: n, sum_w, numerator, denominator.
    pub expected: String,
    /// As published.
    pub published: String,
}

/// What an audit has found.
#[derive(Debug, Clone, Default)]
pub struct AuditReport {
    /// KPI rows compared.
    pub rows: u64,
    /// Differences in all.
    pub differences: u64,
    /// The first of each series.
    pub listed: Vec<Difference>,
}

/// An audit of a lake under a catalog.
pub struct Audit {
    catalog: Arc<Catalog>,
    /// Fingerprint to what is published.
    frontiers: BTreeMap<Arc<str>, Published>,
    version: u64,
}

/// Up to where a definition is published, µs.
struct Published {
    watermark: i64,
    /// The input has ended with an event of this time: the windows around it are closed.
    closed: Option<i64>,
}

/// Accepted events with what decides whether they count. SQL as printed.
const RESOLVED: &str = "\
SELECT e.*,
       row_number() OVER (PARTITION BY e.source, e.event_id ORDER BY e.topic, e.\"partition\", e.\"offset\") = 1
         AND v.event_id IS NULL AS counting
FROM records e
LEFT JOIN (SELECT source, retracts AS event_id FROM records WHERE outcome = 'accepted' AND retracts IS NOT NULL
           UNION
           SELECT source, supersedes FROM records WHERE outcome = 'accepted' AND supersedes IS NOT NULL) v
       ON v.source = e.source AND v.event_id = e.event_id
WHERE e.outcome = 'accepted'";

impl Audit {
    /// Reads up to where the lake is scored.
    ///
    /// # Errors
    /// When the lake can't be read.
    pub async fn new(lake: &Lake, catalog: Arc<Catalog>) -> Result<Audit, PipelineError> {
        let scored = lake.kpi_transaction(SCORE).await?;
        let mut frontiers = BTreeMap::new();
        for definition in &catalog.plan.definitions {
            let fingerprint = &definition.fingerprint;
            let watermark = lake.kpi_transaction(&format!("{PUBLISHED}{fingerprint}")).await?.unwrap_or(i64::MIN);
            let closed = lake.kpi_transaction(&format!("{CLOSED}{fingerprint}")).await?;
            frontiers.insert(Arc::clone(fingerprint), Published { watermark, closed });
        }
        Ok(Audit { catalog, frontiers, version: scored.and_then(|v| u64::try_from(v).ok()).unwrap_or(0) })
    }

    /// The SQL of the whole audit.
    pub fn sql(&self) -> Vec<String> {
        let mut all = vec![format!("CREATE TABLE resolved AS\n{RESOLVED}")];
        all.extend(
            self.series().into_iter().map(|(definition, window, set)| self.compare(definition, window, &set, true)),
        );
        all
    }

    /// Compares every row of the catalog's KPIs; `only` names one KPI.
    ///
    /// # Errors
    /// When the lake can't be read.
    pub async fn run(&self, lake: &Lake, only: Option<&str>) -> Result<AuditReport, PipelineError> {
        let context = session();
        let (records, kpis) = lake.tables_at(self.version).await?;
        context.register_table("records", records)?;
        let kpis_columns = kpis.schema();
        context.register_table("kpis", kpis)?;
        materialise(&context, "resolved", RESOLVED).await?;
        let published = by_series(context.sql("SELECT * FROM kpis").await?.collect().await?)?;
        let mut report = AuditReport::default();
        let mut groups: BTreeMap<Vec<usize>, u64> = BTreeMap::new();
        for (definition, window, set) in self.series() {
            if only.is_some_and(|name| *definition.name != *name) {
                continue;
            }
            if !groups.contains_key(&set) {
                groups.insert(set.clone(), self.groups(&context, &set).await?);
            }
            let may_exceed = groups.get(&set).is_some_and(|groups| *groups > definition.groups_max as u64);
            let key = [&*definition.name, &*definition.fingerprint, &*window.name, &self.set_name(&set)];
            let rows = published.get(&key.map(str::to_owned)).cloned().unwrap_or_default();
            context.deregister_table("published")?;
            context.register_table("published", Arc::new(MemTable::try_new(Arc::clone(&kpis_columns), vec![rows])?))?;
            let sql = self.compare(definition, window, &set, may_exceed);
            let found = context.sql(&sql).await?.collect().await?;
            self.add(&mut report, definition, window, &set, &found)?;
        }
        Ok(report)
    }

    fn series(&self) -> Vec<(&Definition, &Window, Vec<usize>)> {
        let plan = &self.catalog.plan;
        let mut all = Vec::new();
        for definition in &plan.definitions {
            for set in &definition.grouping_sets {
                for window in &definition.windows {
                    all.push((definition, &plan.windows[*window], plan.grouping_sets[*set].clone()));
                }
            }
        }
        all
    }

    fn add(
        &self,
        report: &mut AuditReport,
        definition: &Definition,
        window: &Window,
        set: &[usize],
        found: &[RecordBatch],
    ) -> Result<(), PipelineError> {
        let mut listed = 0;
        for batch in found {
            for row in 0..batch.num_rows() {
                let text = |name: &str| array_value_to_string(&batch[name], row);
                report.rows += 1;
                let what = text("what")?;
                if what.is_empty() {
                    continue;
                }
                report.differences += 1;
                listed += 1;
                if listed <= LISTED_MAX {
                    report.listed.push(Difference {
                        series: [definition.name.to_string(), window.name.to_string(), self.set_name(set)],
                        group: text("group_text")?,
                        window_end: text("end_time")?,
                        what,
                        expected: text("expected")?,
                        published: text("published")?,
                    });
                }
            }
        }
        Ok(())
    }

    /// Number of groups of a grouping set in all events.
    async fn groups(&self, context: &SessionContext, set: &[usize]) -> Result<u64, PipelineError> {
        let dimensions: Vec<String> = set.iter().map(|d| self.dimension(*d)).collect();
        let listed = if dimensions.is_empty() { "1 AS one".to_owned() } else { dimensions.join(", ") };
        let sql = format!("SELECT count(*) AS groups FROM (SELECT DISTINCT {listed} FROM resolved)");
        let counted = context.sql(&sql).await?.collect().await?;
        let count = counted.first().map(|batch| batch["groups"].as_primitive::<Int64Type>().value(0));
        Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0))
    }

    fn dimension(&self, index: usize) -> String {
        let dimension = &self.catalog.dimensions[index];
        format!("coalesce(CAST({} AS VARCHAR), '(none)') AS {}", dimension.sql, quoted(&dimension.name))
    }

    fn set_name(&self, set: &[usize]) -> String {
        let names: Vec<&str> = set.iter().map(|d| &*self.catalog.dimensions[*d].name).collect();
        names.join(",")
    }

    /// The comparison of one KPI, window and grouping set: a row for each
    /// expected or published row, `what` empty where they agree. Ends with more
    /// groups than the limit are looked for where there `may_exceed` be any.
    fn compare(&self, definition: &Definition, window: &Window, set: &[usize], may_exceed: bool) -> String {
        let names: Vec<String> = set.iter().map(|d| quoted(&self.catalog.dimensions[*d].name)).collect();
        let listed: String = names.iter().map(|name| format!("{name}, ")).collect();
        let same: String = names.iter().map(|name| format!(" AND e.{name} = p.{name}")).collect();
        let group: Vec<String> = names.iter().map(|name| format!("coalesce(e.{name}, p.{name})")).collect();
        let group = if group.is_empty() { "'total'".to_owned() } else { group.join(" || ' / ' || ") };
        let [n, numerator, denominator] = fraction(definition.metric);
        format!(
            "\
WITH measured AS (
{measured}
), changes AS (
{changes}
), totals AS (
  SELECT {listed}window_end,
{sums}
  FROM changes GROUP BY {listed}window_end
), running AS (
  SELECT {listed}window_end,
{running}
  FROM totals
), expected AS (
  SELECT {listed}window_end, {n} AS n, {numerator} AS numerator, {denominator} AS denominator,
         w, wx, ww, wwx, wwxx
  FROM {limited}
  WHERE window_end <= {frontier}{within}
), current AS (
  SELECT * FROM (
    SELECT {listed}CAST(window_end AS BIGINT) AS window_end, n, value, numerator, denominator, reason,
           sum_w, sum_wx, sum_w2, sum_w2x, sum_w2x2,
           row_number() OVER (PARTITION BY {listed}window_end ORDER BY revision DESC) AS newest
    FROM published
    WHERE kpi = '{kpi}' AND fingerprint = '{fingerprint}' AND window_name = '{window}' AND grouping_set = '{set}')
  WHERE newest = 1 AND reason <> 'withdrawn'
)
SELECT {group} AS group_text,
       CAST(to_timestamp_micros(coalesce(e.window_end, p.window_end)) AS VARCHAR) AS end_time,
       CASE WHEN p.window_end IS NULL THEN 'missing'
            WHEN e.window_end IS NULL THEN 'not expected'
            WHEN e.n <> p.n THEN 'n'
            WHEN e.numerator <> CAST(p.numerator AS DECIMAL(76,10)) THEN 'numerator'
            WHEN e.denominator <> CAST(p.denominator AS DECIMAL(76,10)) THEN 'denominator'
            WHEN e.w <> CAST(p.sum_w AS DECIMAL(76,6)) THEN 'sum_w'
            WHEN e.wx <> CAST(p.sum_wx AS DECIMAL(76,10)) THEN 'sum_wx'
            WHEN e.ww <> CAST(p.sum_w2 AS DECIMAL(76,12)) THEN 'sum_w2'
            WHEN e.wwx <> CAST(p.sum_w2x AS DECIMAL(76,16)) THEN 'sum_w2x'
            WHEN e.wwxx <> CAST(p.sum_w2x2 AS DECIMAL(76,20)) THEN 'sum_w2x2'
            WHEN (e.denominator = 0) <> (p.value IS NULL) THEN 'value'
            WHEN e.denominator <> 0 AND
                 abs(CAST(p.value AS DECIMAL(50,12)) * CAST(e.denominator AS DECIMAL(50,10))
                     - CAST(e.numerator AS DECIMAL(60,22)))
                 > abs(CAST(e.denominator AS DECIMAL(50,10)) * CAST('0.0000000000005' AS DECIMAL(20,13))) THEN 'value'
            ELSE '' END AS what,
       coalesce(CAST(e.n AS VARCHAR) || ' ' || CAST(e.w AS VARCHAR) || ' ' || CAST(e.numerator AS VARCHAR) || ' ' || CAST(e.denominator AS VARCHAR), '') AS expected,
       coalesce(CAST(p.n AS VARCHAR) || ' ' || CAST(p.sum_w AS VARCHAR) || ' ' || CAST(p.numerator AS VARCHAR) || ' ' || CAST(p.denominator AS VARCHAR), '') AS published
FROM expected e FULL OUTER JOIN current p ON e.window_end = p.window_end{same}",
            measured = self.measured(definition.metric, set),
            changes = changes(&window.span, &listed),
            sums = lines(|c| format!("         sum({c}) AS {c}")),
            running = lines(|c| format!("         {}", running(&window.span, &names, c))),
            limited = if names.is_empty() || !may_exceed { "running".to_owned() } else { limited(&window.span, &names) },
            within =
                if names.is_empty() || !may_exceed { String::new() } else { format!(" AND groups <= {}", definition.groups_max) },
            frontier = self.frontier(definition, &window.span),
            kpi = definition.name.replace('\'', "''"),
            fingerprint = definition.fingerprint,
            window = window.name.replace('\'', "''"),
            set = self.set_name(set).replace('\'', "''"),
        )
    }

    fn measured(&self, metric: Metric, set: &[usize]) -> String {
        let numerator = self.measure(&self.catalog.measures[metric.measure()], set, false);
        match metric.base_measure() {
            None => numerator,
            Some(base) => {
                format!("{numerator}\n  UNION ALL\n{}", self.measure(&self.catalog.measures[base], set, true))
            }
        }
    }

    /// What each selected event adds; 0 where it only leaves a trace.
    fn measure(&self, measure: &Measure, set: &[usize], base: bool) -> String {
        let dimensions: String = set.iter().map(|d| format!("{}, ", self.dimension(*d))).collect();
        let names: String = set.iter().map(|d| format!("{}, ", quoted(&self.catalog.dimensions[*d].name))).collect();
        let (key, first) = match &measure.first_per {
            None => ("NULL".to_owned(), "counting"),
            Some(key) => (
                format!("CAST({key} AS VARCHAR)"),
                "counting AND row_number() OVER (PARTITION BY counting, k ORDER BY event_time, event_id, source) = 1",
            ),
        };
        let keyed = if measure.first_per.is_some() { " AND k IS NOT NULL" } else { "" };
        let columns = COLUMNS.map(|(name, kind, of_base)| {
            let counts = if of_base == base { "c" } else { "false" };
            let value = match name {
                "n" | "base_n" => "CASE WHEN w > 0 THEN 1 ELSE 0 END",
                "base" => "wx",
                name => name,
            };
            format!("CASE WHEN {counts} THEN {value} ELSE CAST(0 AS {kind}) END AS {name}")
        });
        format!(
            "  SELECT {names}event_time, {columns}
  FROM (SELECT *, {first} AS c
        FROM (SELECT *, CAST(w * x AS DECIMAL(60,10)) AS wx, CAST(w * w AS DECIMAL(50,12)) AS ww,
                     CAST(CAST(w * w AS DECIMAL(40,12)) * x AS DECIMAL(70,16)) AS wwx,
                     CAST(CAST(w * w AS DECIMAL(40,12)) * CAST(x * x AS DECIMAL(36,8)) AS DECIMAL(76,20)) AS wwxx
              FROM (SELECT {dimensions}event_time, event_id, source, counting, {key} AS k,
                           CAST({weight} AS DECIMAL(18,6)) AS w, CAST({value} AS DECIMAL(18,4)) AS x
                    FROM resolved WHERE {filter}) AS r
              WHERE w IS NOT NULL AND x IS NOT NULL{keyed}) AS m) AS f",
            columns = columns.join(", "),
            weight = numeric(&measure.weight),
            value = numeric(&measure.value),
            filter = measure.filter,
        )
    }

    /// Ends up to here are published.
    fn frontier(&self, definition: &Definition, span: &WindowSpan) -> String {
        let Some(Published { watermark, closed }) = self.frontiers.get(&definition.fingerprint) else {
            return i64::MIN.to_string();
        };
        match closed {
            None => watermark.to_string(),
            Some(closed) => format!(
                "greatest({watermark}, (SELECT max({}) FROM resolved WHERE CAST(event_time AS BIGINT) <= {closed}))",
                enter_end(span, "event_time")
            ),
        }
    }
}

/// A condition counts as 1 or 0.
fn numeric(sql: &str) -> String {
    let comparison = [" < ", " > ", " = ", " <= ", " >= ", " <> "].iter().any(|op| sql.contains(op));
    let lower = sql.trim_start().to_ascii_lowercase();
    let is_case = lower.starts_with("case");
    if comparison && !is_case { format!("CAST(({sql}) AS INT)") } else { format!("({sql})") }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Sums: name, type of what an event adds, and whether it is of a ratio's denominator.
const COLUMNS: [(&str, &str, bool); 8] = [
    ("n", "BIGINT", false),
    ("base_n", "BIGINT", true),
    ("w", "DECIMAL(18,6)", false),
    ("wx", "DECIMAL(60,10)", false),
    ("ww", "DECIMAL(50,12)", false),
    ("wwx", "DECIMAL(70,16)", false),
    ("wwxx", "DECIMAL(76,20)", false),
    ("base", "DECIMAL(60,10)", true),
];

fn lines(line: impl Fn(&str) -> String) -> String {
    COLUMNS.map(|(name, ..)| line(name)).join(",\n")
}

/// n, numerator and denominator from the running sums.
fn fraction(metric: Metric) -> [&'static str; 3] {
    let one = "CAST(1 AS DECIMAL(76,10))";
    let wx = "CAST(wx AS DECIMAL(76,10))";
    match metric {
        Metric::Mean(_) | Metric::Share(_) => ["n", wx, "CAST(w AS DECIMAL(76,10))"],
        Metric::Ratio { .. } => ["base_n", wx, "CAST(base AS DECIMAL(76,10))"],
        Metric::Count(_) => ["n", "CAST(n AS DECIMAL(76,10))", one],
        Metric::Sum(_) => ["n", wx, one],
    }
}

/// Rolling windows and `all` run on; a calendar period stands by itself.
fn running(span: &WindowSpan, names: &[String], column: &str) -> String {
    let partition = if names.is_empty() { String::new() } else { format!("PARTITION BY {} ", names.join(", ")) };
    match span {
        WindowSpan::Calendar { .. } => column.to_owned(),
        _ => format!("sum({column}) OVER ({partition}ORDER BY window_end) AS {column}"),
    }
}

/// `running` with the number of groups that have content at each end. An end
/// with more of them than the limit has no rows. A group has its content from
/// one of its rows to the next.
fn limited(span: &WindowSpan, names: &[String]) -> String {
    const FILLED: &str = "CASE WHEN n + base_n > 0 THEN 1 ELSE 0 END";
    match span {
        WindowSpan::Calendar { .. } => {
            format!("(SELECT *, sum({FILLED}) OVER (PARTITION BY window_end) AS groups FROM running)")
        }
        _ => format!(
            "(SELECT *, sum(change) OVER (ORDER BY window_end) AS groups
        FROM (SELECT *, {FILLED} - lag({FILLED}, 1, 0) OVER (PARTITION BY {} ORDER BY window_end) AS change
              FROM running))",
            names.join(", ")
        ),
    }
}

/// What enters and, for a rolling window, leaves at each end.
fn changes(span: &WindowSpan, listed: &str) -> String {
    let columns = COLUMNS.map(|(name, ..)| name).join(", ");
    let enter = format!("  SELECT {listed}{} AS window_end, {columns} FROM measured", enter_end(span, "event_time"));
    match span {
        WindowSpan::Rolling { length, .. } => {
            let negated = COLUMNS.map(|(c, ..)| format!("-{c} AS {c}")).join(", ");
            let leave = format!("{} + {length}", enter_end(span, "event_time"));
            format!("{enter}\n  UNION ALL\n  SELECT {listed}{leave} AS window_end, {negated} FROM measured")
        }
        _ => enter,
    }
}

/// µs of the first end after a time.
fn enter_end(span: &WindowSpan, time: &str) -> String {
    match span {
        WindowSpan::Rolling { step, .. } => stepped(time, *step),
        WindowSpan::All => stepped(time, DAY_MICROS),
        WindowSpan::Calendar { unit, zone } => {
            let zone = zone.iana_name().unwrap_or("UTC");
            let local = format!("to_local_time(({time}) AT TIME ZONE '{zone}')");
            format!(
                "CAST(arrow_cast(arrow_cast({}, 'Timestamp(Microsecond, None)'), 'Timestamp(Microsecond, Some(\"{zone}\"))') AS BIGINT)",
                period_end(*unit, &local)
            )
        }
    }
}

fn stepped(time: &str, step: i64) -> String {
    format!("(CAST(arrow_cast({time}, 'Timestamp(Microsecond, Some(\"UTC\"))') AS BIGINT) / {step} + 1) * {step}")
}

fn period_end(unit: CalendarUnit, local: &str) -> String {
    let plain = |name: &str, length: &str| format!("(date_trunc('{name}', {local}) + INTERVAL '{length}')");
    match unit {
        CalendarUnit::Day => plain("day", "1 day"),
        CalendarUnit::Week => plain("week", "7 days"),
        CalendarUnit::Month => plain("month", "1 month"),
        CalendarUnit::Quarter => plain("quarter", "3 months"),
        CalendarUnit::Year => plain("year", "1 year"),
        CalendarUnit::HalfYear => format!(
            "CASE WHEN date_part('month', {local}) <= 6 THEN date_trunc('year', {local}) + INTERVAL '6 months' \
             ELSE date_trunc('year', {local}) + INTERVAL '12 months' END"
        ),
    }
}

fn session() -> SessionContext {
    // Many statements over few rows: planning is what they cost, and one pass of it will do.
    SessionContext::new_with_config(
        SessionConfig::new()
            .set_bool("datafusion.execution.parquet.schema_force_view_types", false)
            .set_usize("datafusion.optimizer.max_passes", 1)
            .with_target_partitions(1),
    )
}

/// KPI, fingerprint, window, grouping set.
type SeriesKey = [String; 4];

/// The published rows of each series, so that each comparison reads its own alone.
fn by_series(batches: Vec<RecordBatch>) -> Result<BTreeMap<SeriesKey, Vec<RecordBatch>>, ArrowError> {
    let mut series: BTreeMap<SeriesKey, Vec<RecordBatch>> = BTreeMap::new();
    for batch in batches {
        let columns = ["kpi", "fingerprint", "window_name", "grouping_set"].map(|name| batch[name].as_string::<i32>());
        let mut rows: BTreeMap<[&str; 4], Vec<u32>> = BTreeMap::new();
        for (row, number) in (0..batch.num_rows()).zip(0u32..) {
            rows.entry(columns.map(|column| column.value(row))).or_default().push(number);
        }
        for (key, rows) in rows {
            let taken = take_record_batch(&batch, &UInt32Array::from(rows))?;
            series.entry(key.map(str::to_owned)).or_default().push(taken);
        }
    }
    Ok(series)
}

async fn materialise(context: &SessionContext, name: &str, sql: &str) -> Result<(), PipelineError> {
    let frame = context.sql(sql).await?;
    let schema = Arc::clone(frame.schema().inner());
    let batches = frame.collect().await?;
    context.register_table(name, Arc::new(MemTable::try_new(schema, vec![batches])?))?;
    Ok(())
}
