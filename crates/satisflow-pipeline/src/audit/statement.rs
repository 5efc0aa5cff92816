//! The comparison of one KPI, window and grouping set as one SQL statement.

use satisflow_catalog::Measure;
use satisflow_kpi::{Definition, Kept, Metric, WindowSpan};

use super::columns::{COLUMNS, nothing, quoted};
use super::counted::Counted;
use super::ends::{aged, changes, enter_end};
use super::lasting::Lasting;
use super::weighted::Weighted;
use super::{Audit, Ends, Published, Series, joined};

const UNION: &str = "\n  UNION ALL\n";

/// What an event that is measured has beside its sums: an expression of the event, and of what is counted.
#[derive(Default)]
struct Beside {
    /// What stands in the place of the measure's value.
    value: Option<&'static str>,
    key: String,
    entry: &'static str,
}

impl Audit {
    pub(super) fn dimension(&self, index: usize) -> String {
        let dimension = &self.catalog.dimensions[index];
        format!("coalesce(CAST({} AS VARCHAR), '(none)') AS {}", dimension.sql, quoted(&dimension.name))
    }

    /// The comparison of one KPI, window and grouping set: a row for each
    /// expected or published row, `what` empty where they agree. Ends with more
    /// groups than the limit are looked for where there `may_exceed` be any.
    pub(super) fn compare(&self, series: Series<'_>, ends: &Ends, may_exceed: bool) -> String {
        match &series.definition.compared {
            Some(comparison) => self.compare_groups(series, comparison, ends),
            None => self.compare_each(series, ends, may_exceed),
        }
    }

    fn compare_each(&self, series: Series<'_>, ends: &Ends, may_exceed: bool) -> String {
        let Series { definition, window, set } = series;
        let names = self.names(set);
        let listed = listed(&names);
        let [n, numerator, denominator] = fraction(definition.metric);
        let counted = Counted::of(definition.metric);
        let lasting = Lasting::of(definition.metric);
        let weighted = Weighted::of(&self.catalog, definition, window);
        let plain = counted.is_none() && weighted.is_none() && lasting.is_none();
        let is_limited = may_exceed && !names.is_empty();
        let expected = format!(
            "\
{with} measured AS (
{measured}
), changes AS (
{changes}{aged}
), {sums}, {told}expected AS (
  SELECT {listed}window_end, {n} AS n, {numerator} AS numerator, {denominator} AS denominator,
         w, wx, ww, wwx, wwxx{told_value}
  FROM {limited}
  WHERE window_end <= {frontier}{within}{range}
)",
            with = weighted.as_ref().map_or("WITH", Weighted::with),
            measured = self.measured_of(definition, set, weighted.as_ref()),
            aged = match &weighted {
                Some(weighted) => weighted.aged(&listed),
                None => lasting.map(|_| aged(&window.span, &listed)).unwrap_or_default(),
            },
            told_value = if weighted.is_some() { ", told" } else { "" },
            changes = changes(&window.span, &listed, counted.is_some(), 0),
            told = counted
                .map(|counted| counted.running(&window.span, &names))
                .or_else(|| weighted.as_ref().map(|weighted| weighted.running(&names)))
                .or_else(|| lasting.map(|lasting| lasting.running(&window.span, &names)))
                .unwrap_or_default(),
            sums = running_sums(&window.span, &names, if plain { "running" } else { "sums" }),
            limited = if is_limited { limited(&window.span, &names) } else { "running".to_owned() },
            within = if is_limited { format!(" AND groups <= {}", definition.groups_max) } else { String::new() },
            range = ends.condition(),
            frontier = self.frontier(definition, &window.span),
        );
        let value = weighted.as_ref().map_or_else(|| value_faults(definition.metric), Weighted::faults);
        self.beside_published(series, ends, &expected, &value)
    }

    /// The table `expected`, the last of a `WITH`, beside what is published; `value` says where the values differ.
    pub(super) fn beside_published(&self, series: Series<'_>, ends: &Ends, expected: &str, value: &str) -> String {
        let Series { definition, window, set } = series;
        let names = self.names(set);
        let same: String = names.iter().map(|name| format!(" AND e.{name} = p.{name}")).collect();
        let group: Vec<String> = names.iter().map(|name| format!("coalesce(e.{name}, p.{name})")).collect();
        format!(
            "\
{expected}, current AS (
  SELECT * FROM (
    SELECT {listed}CAST(window_end AS BIGINT) AS window_end, n, value, numerator, denominator, reason, status,
           sum_w, sum_wx, sum_w2, sum_w2x, sum_w2x2,
           row_number() OVER (PARTITION BY {listed}window_end ORDER BY revision DESC) AS newest
    FROM published
    WHERE kpi = '{kpi}' AND fingerprint = '{fingerprint}' AND window_name = '{window}' AND grouping_set = '{set}')
  WHERE newest = 1 AND reason <> 'withdrawn'{range}
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
            {value}
            ELSE '' END AS what,
       coalesce(CAST(e.n AS VARCHAR) || ' ' || CAST(e.w AS VARCHAR) || ' ' || CAST(e.numerator AS VARCHAR) || ' ' || CAST(e.denominator AS VARCHAR), '') AS expected,
       coalesce(CAST(p.n AS VARCHAR) || ' ' || CAST(p.sum_w AS VARCHAR) || ' ' || CAST(p.numerator AS VARCHAR) || ' ' || CAST(p.denominator AS VARCHAR), '') AS published
FROM expected e FULL OUTER JOIN current p ON e.window_end = p.window_end{same}",
            listed = listed(&names),
            group = if group.is_empty() { "'total'".to_owned() } else { group.join(" || ' / ' || ") },
            range = ends.condition(),
            kpi = definition.name.replace('\'', "''"),
            fingerprint = definition.fingerprint,
            window = window.name.replace('\'', "''"),
            set = self.set_name(set).replace('\'', "''"),
        )
    }

    /// Dimensions as SQL writes them.
    pub(super) fn names(&self, set: &[usize]) -> Vec<String> {
        set.iter().map(|d| quoted(&self.catalog.dimensions[*d].name)).collect()
    }

    /// The events of a metric by itself.
    pub(super) fn measured(&self, metric: Metric, set: &[usize]) -> String {
        let measure = &self.catalog.measures[metric.measure()];
        let counted = Counted::of(metric);
        let counted = counted.map(|counted| Beside { value: None, key: counted.key(measure), entry: counted.entry() });
        let lasting =
            Lasting::of(metric).map(|_| Beside { value: Some("0"), key: Lasting::key(measure), entry: Lasting::ENTRY });
        self.measured_beside(metric, set, &counted.or(lasting).unwrap_or_default())
    }

    fn measured_beside(&self, metric: Metric, set: &[usize], beside: &Beside) -> String {
        let numerator = self.measure(&self.catalog.measures[metric.measure()], set, false, beside);
        let base = metric.base_measure();
        let base = base.map(|base| self.measure(&self.catalog.measures[base], set, true, &Beside::default()));
        std::iter::once(numerator).chain(base).collect::<Vec<_>>().join(UNION)
    }

    /// The events of a metric that may be weighted, or have to be valid.
    fn measured_of(&self, definition: &Definition, set: &[usize], weighted: Option<&Weighted<'_>>) -> String {
        let Some(weighted) = weighted else { return self.measured(definition.metric, set) };
        let beside = Beside { value: None, key: weighted.key(), entry: ", cell" };
        let sides = definition.validity.rates.iter().flat_map(|rate| [rate.numerator, rate.denominator]);
        let traces = sides.map(|side| self.traces(&self.catalog.measures[side], set));
        let own = self.measured_beside(definition.metric, set, &beside);
        std::iter::once(own).chain(traces).collect::<Vec<_>>().join(UNION)
    }

    /// The events of a measure that only leave their traces, beside events with cells.
    fn traces(&self, measure: &Measure, set: &[usize]) -> String {
        let listed = listed(&self.names(set));
        let nothing = nothing();
        let measured = self.measure(measure, set, false, &Beside::default());
        format!("  SELECT {listed}event_time, {nothing}, CAST(NULL AS BIGINT) AS cell FROM (\n{measured}) AS t")
    }

    /// What each selected event adds; 0 where it only leaves a trace.
    fn measure(&self, measure: &Measure, set: &[usize], base: bool, beside: &Beside) -> String {
        let dimensions: String = set.iter().map(|d| format!("{}, ", self.dimension(*d))).collect();
        let names: String = set.iter().map(|d| format!("{}, ", quoted(&self.catalog.dimensions[*d].name))).collect();
        let (key, first) = match &measure.keyed {
            None => ("NULL".to_owned(), "counting".to_owned()),
            Some(by) => (format!("CAST({} AS VARCHAR)", by.key), format!("counting AND {}", kept(by.kept))),
        };
        let keyed = if measure.keyed.is_some() { " AND k IS NOT NULL" } else { "" };
        let cell = measure.represented.as_ref().map(|represented| &represented.cell);
        let wanted = measure.distinct.iter().chain(cell);
        let wanted: String = wanted.map(|sql| format!(" AND ({sql}) IS NOT NULL")).collect();
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
            "  SELECT {names}event_time, {columns}{entry}
  FROM (SELECT *, {first} AS c
        FROM (SELECT *, CAST(w * x AS DECIMAL(60,10)) AS wx, CAST(w * w AS DECIMAL(50,12)) AS ww,
                     CAST(CAST(w * w AS DECIMAL(40,12)) * x AS DECIMAL(70,16)) AS wwx,
                     CAST(CAST(w * w AS DECIMAL(40,12)) * CAST(x * x AS DECIMAL(36,8)) AS DECIMAL(76,20)) AS wwxx
              FROM (SELECT {dimensions}event_time, {id} AS event_id, source, counting, {key} AS k,
                           {weight} AS w, CAST(({value}) AS DECIMAL(18,4)) AS x{key_beside}
                    FROM {rows} WHERE ({filter}){wanted}) AS r
              WHERE w >= 0 AND x IS NOT NULL{keyed}) AS m) AS f",
            columns = columns.join(", "),
            entry = beside.entry,
            key_beside = beside.key,
            weight = weight(measure),
            value = beside.value.unwrap_or(&measure.value),
            filter = measure.filter,
            rows = joined::rows(self.rows(measure.per_answer), measure),
            id = if measure.per_answer { ANSWER_ID } else { "event_id" },
        )
    }

    /// The resolved events, or each of their answers.
    pub(super) fn rows(&self, per_answer: bool) -> &'static str {
        match (per_answer, self.catalog.reads_answers()) {
            (false, false) => "resolved",
            (false, true) => "(SELECT *, CAST(NULL AS VARCHAR) AS answer FROM resolved)",
            (true, _) => {
                "(SELECT * EXCEPT (item), unnest(map_keys(answers)) AS item, unnest(map_values(answers)) AS answer \
                 FROM resolved WHERE answers IS NOT NULL)"
            }
        }
    }

    /// Ends up to here are published.
    pub(super) fn frontier(&self, definition: &Definition, span: &WindowSpan) -> String {
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

/// Orders answers of equal times as [`satisflow_catalog::ID_SEPARATOR`] says.
const ANSWER_ID: &str = "event_id || chr(31) || item";

/// What an event weighs. One below 0 does not count; where others are joined to it, it leaves its trace.
fn weight(measure: &Measure) -> String {
    let weight = format!("CAST(({}) AS DECIMAL(18,6))", measure.weight);
    if measure.joins.is_empty() { weight } else { format!("greatest({weight}, CAST(0 AS DECIMAL(18,6)))") }
}

/// Whether an event is one of those of its key that count.
fn kept(kept: Kept) -> String {
    let (order, n) = match kept {
        Kept::First(n) => ("", n),
        Kept::Last(n) => (" DESC", n),
    };
    format!(
        "row_number() OVER (PARTITION BY counting, k ORDER BY event_time{order}, event_id{order}, source{order}) <= {n}"
    )
}

/// Names before a further column.
pub(super) fn listed(names: &[String]) -> String {
    names.iter().map(|name| format!("{name}, ")).collect()
}

fn lines(line: impl Fn(&str) -> String) -> String {
    COLUMNS.map(|(name, ..)| line(name)).join(",\n")
}

/// n, numerator and denominator from the running sums.
pub(super) fn fraction(metric: Metric) -> [&'static str; 3] {
    let one = "CAST(1 AS DECIMAL(76,10))";
    let wx = "CAST(wx AS DECIMAL(76,10))";
    match metric {
        Metric::Mean(_) | Metric::Share(_) | Metric::Balance(_) | Metric::Shortfall(_) => {
            ["n", wx, "CAST(w AS DECIMAL(76,10))"]
        }
        Metric::Ratio { .. } => ["base_n", wx, "CAST(base AS DECIMAL(76,10))"],
        Metric::Count(_) => ["n", "CAST(n AS DECIMAL(76,10))", one],
        Metric::Sum(_) => ["n", wx, one],
        Metric::Distinct(_) => ["n", "CAST(told AS DECIMAL(76,10))", one],
        Metric::OpenCount(_) => ["n", "CAST(coalesce(going, 0) AS DECIMAL(76,10))", one],
        Metric::OpenAge(_) => [
            "n",
            "coalesce(CAST(told AS DECIMAL(76,10)), CAST(0 AS DECIMAL(76,10)))",
            "CAST(coalesce(going, 0) AS DECIMAL(76,10))",
        ],
        Metric::Quantile { .. } | Metric::Survival { .. } => [
            "n",
            "coalesce(CAST(told AS DECIMAL(76,10)), CAST(0 AS DECIMAL(76,10)))",
            "CASE WHEN told IS NULL THEN CAST(0 AS DECIMAL(76,10)) ELSE CAST(1 AS DECIMAL(76,10)) END",
        ],
    }
}

/// What is wrong with a published value that is the quotient of numerator and denominator.
fn value_faults(metric: Metric) -> String {
    const HALF: &str = "abs(CAST(e.denominator AS DECIMAL(50,10)) * CAST('0.0000000000005' AS DECIMAL(20,13)))";
    let off = format!(
        "abs(CAST(p.value AS DECIMAL(50,12)) * CAST(e.denominator AS DECIMAL(50,10))
                     - {})",
        times_per(metric)
    );
    format!(
        "WHEN (e.denominator = 0) <> (p.value IS NULL) THEN 'value'
            WHEN e.denominator <> 0 AND
                 {off}
                 > {HALF} THEN 'value'
            WHEN e.denominator <> 0 AND
                 {off}
                 = {HALF}
                 AND right(CAST(p.value AS VARCHAR), 1) IN ('1', '3', '5', '7', '9')
            THEN 'value: half is rounded to even'"
    )
}

/// What the value is the quotient of.
fn times_per(metric: Metric) -> String {
    let numerator = "CAST(e.numerator AS DECIMAL(60,22))";
    match metric.per() {
        1 => numerator.to_owned(),
        per => format!("{numerator} * CAST({per} AS DECIMAL(10,0))"),
    }
}

/// From `changes`: what enters and leaves at each end, and what is held there as the table `name`.
pub(super) fn running_sums(span: &WindowSpan, names: &[String], name: &str) -> String {
    format!(
        "\
totals AS (
  SELECT {listed}window_end,
{sums}
  FROM changes GROUP BY {listed}window_end
), {name} AS (
  SELECT {listed}window_end,
{running}
  FROM totals
)",
        listed = listed(names),
        sums = lines(|c| format!("         sum({c}) AS {c}")),
        running = lines(|c| format!("         {}", running(span, names, c))),
    )
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
