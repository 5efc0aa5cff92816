//! Comparisons of groups in SQL: what every group holds at every end at which any
//! of them has a row, and window functions over the groups of an end.

use satisflow_kpi::{Best, Comparison, Metric, Other, RankPart, Shrink, WindowSpan};

use super::columns::nothing;
use super::counted::Counted;
use super::ends::changes;
use super::statement::{fraction, listed, running_sums};
use super::tested::{more_sums, p_value_of, sigma_of};
use super::{Audit, Ends, Series};

/// Whole numbers: values in units of their last decimal.
const WHOLE: &str = "DECIMAL(76,0)";
/// Sums, 10 decimals.
const SUM: &str = "DECIMAL(76,10)";
/// A whole, at the 12 decimals of a value.
const UNIT: i128 = 1_000_000_000_000;

impl Audit {
    pub(super) fn compare_groups(&self, series: Series<'_>, comparison: &Comparison, ends: &Ends) -> String {
        let Series { definition, window, set } = series;
        let names = self.names(set);
        let metrics: Vec<Metric> = definition.metrics().collect();
        let changed: Vec<String> =
            definition.read().enumerate().map(|(k, read)| self.changed(k, read, series)).collect();
        let held: Vec<String> = metrics.iter().enumerate().map(|(k, m)| held(k, *m, &window.span, &names)).collect();
        let expected = format!(
            "\
WITH {changed},
{grid},
{held},
valued AS (
{valued}
), compared AS (
{compared}
), expected AS (
  SELECT {listed}window_end, n, numerator, denominator, w, wx, ww, wwx, wwxx, said
  FROM compared
  WHERE (_own OR _holds) AND _filled <= {groups_max} AND window_end <= {frontier}{range}
)",
            changed = changed.join(",\n"),
            grid = grid(&names, metrics.len()),
            held = held.join(",\n"),
            valued = valued(&names, &metrics, comparison),
            compared = compared(comparison, definition.metric, &names),
            listed = listed(&names),
            groups_max = definition.groups_max,
            frontier = self.frontier(definition, &window.span),
            range = ends.condition(),
        );
        self.beside_published(series, ends, &expected, DIFFERENT)
    }

    /// What enters and leaves of one metric.
    fn changed(&self, number: usize, Other { metric, ago }: Other, series: Series<'_>) -> String {
        let listed = listed(&self.names(series.set));
        format!(
            "changes{number} AS (\nWITH measured AS (\n{}\n)\n{}\n)",
            self.measured(metric, series.set),
            changes(&series.window.span, &listed, Counted::of(metric).is_some(), ago),
        )
    }
}

/// Where a published value is not what is expected.
const DIFFERENT: &str = "\
WHEN (e.said IS NULL) <> (p.value IS NULL) THEN 'value'
            WHEN e.said <> CAST(CAST(p.value AS DECIMAL(76,12)) * CAST(1000000000000 AS DECIMAL(13,0)) AS DECIMAL(76,0))
            THEN 'value'";

fn number(number: i128) -> String {
    format!("CAST('{number}' AS {WHOLE})")
}

/// `places`: where a group has a row of its own. `grid`: all groups at all of these ends.
fn grid(names: &[String], metrics: usize) -> String {
    let listed = listed(names);
    let each: Vec<String> = (0..metrics).map(|k| format!("SELECT {listed}window_end FROM changes{k}")).collect();
    let of_groups: String = names.iter().map(|name| format!("g.{name}, ")).collect();
    let groups = match names.is_empty() {
        true => String::new(),
        false => format!("(SELECT DISTINCT {} FROM places) AS g CROSS JOIN ", names.join(", ")),
    };
    format!(
        "places AS (\n  SELECT DISTINCT {listed}window_end FROM ({})\n), grid AS (\n  \
         SELECT {of_groups}e.window_end FROM {groups}(SELECT DISTINCT window_end FROM places) AS e\n)",
        each.join(" UNION ALL "),
    )
}

/// What each group of the grid holds of one metric.
fn held(number: usize, metric: Metric, span: &WindowSpan, names: &[String]) -> String {
    let listed = listed(names);
    let counted = Counted::of(metric);
    let [n, numerator, denominator] = fraction(metric);
    format!(
        "\
held{number} AS (
WITH changes AS (
  SELECT * FROM changes{number}
  UNION ALL
  SELECT {listed}window_end, {nothing}{no_entry} FROM grid
), {sums}{told}
SELECT {listed}window_end, {n} AS n, {numerator} AS numerator, {denominator} AS denominator,
       w, wx, ww, wwx, wwxx, n AS events, n + base_n > 0 AS there, n + base_n > 0 AS _holds
FROM running
)",
        no_entry = counted.map_or("", Counted::no_entry),
        nothing = nothing(),
        sums = running_sums(span, names, if counted.is_some() { "sums" } else { "running" }),
        // Its text ends where the next table would follow.
        told = counted.map_or(String::new(), |c| format!(", {}", c.running(span, names).trim_end_matches(", "))),
    )
}

/// The values v0, v1, ... of the metrics, of groups that hold anything.
fn valued(names: &[String], metrics: &[Metric], comparison: &Comparison) -> String {
    let same = |of: &str| -> String { names.iter().map(|name| format!(" AND {of}.{name} = m0.{name}")).collect() };
    let joins: String = (1..metrics.len())
        .map(|k| format!("\n        JOIN held{k} AS m{k} ON m{k}.window_end = m0.window_end{}", same(&format!("m{k}"))))
        .collect();
    let holds: Vec<String> = (0..metrics.len()).map(|k| format!("m{k}._holds")).collect();
    let others: String = (1..metrics.len())
        .map(|k| {
            let more = more_sums(comparison, k);
            format!(
                ", m{k}.numerator AS numerator{k}, m{k}.denominator AS denominator{k}, m{k}.there AS there{k}{more}"
            )
        })
        .collect();
    let value = |(k, metric): (usize, &Metric)| {
        let of = if k == 0 { String::new() } else { k.to_string() };
        let quotient = quotient(&format!("numerator{of}"), &format!("denominator{of}"), *metric);
        format!(", CASE WHEN _holds THEN {quotient} END AS v{k}")
    };
    format!(
        "\
  SELECT *{values}, sum(CASE WHEN _holds THEN 1 ELSE 0 END) OVER (PARTITION BY window_end) AS _filled
  FROM (SELECT m0.* EXCEPT (_holds){others}, {holds} AS _holds, p.window_end IS NOT NULL AS _own
        FROM held0 AS m0{joins}
        LEFT JOIN places AS p ON p.window_end = m0.window_end{same}) AS m",
        values = metrics.iter().enumerate().map(value).collect::<String>(),
        holds = holds.join(" OR "),
        same = same("p"),
    )
}

/// The value of a metric from its sums, in units of its last decimal.
fn quotient(numerator: &str, denominator: &str, metric: Metric) -> String {
    let unit = number(UNIT * i128::from(metric.per()));
    half_even(&format!("CAST({numerator} AS {SUM}) * {unit}"), &format!("CAST({denominator} AS {SUM})"), SUM)
}

/// The whole number next to a quotient, of two the even one; NULL at a zero denominator.
fn half_even(numerator: &str, denominator: &str, kind: &str) -> String {
    let above = format!("CAST({numerator} AS {kind})");
    let below = format!("CAST({denominator} AS {kind})");
    let below = format!("(CASE WHEN {below} <> CAST(0 AS {kind}) THEN {below} END)");
    let rest = format!("(abs({above}) % abs({below}))");
    let whole = format!("CAST((abs({above}) - {rest}) / abs({below}) AS {WHOLE})");
    let twice = format!("CAST({rest} + {rest} AS {kind})");
    format!(
        "(CASE WHEN ({above} < CAST(0 AS {kind})) = ({below} < CAST(0 AS {kind})) THEN {one} ELSE {minus_one} END \
         * ({whole} + CASE WHEN {twice} > CAST(abs({below}) AS {kind}) \
         OR ({twice} = CAST(abs({below}) AS {kind}) AND CAST({whole} % {two} AS {WHOLE}) = {one}) \
         THEN {one} ELSE {zero} END))",
        zero = number(0),
        one = number(1),
        minus_one = number(-1),
        two = number(2),
    )
}

/// The groups of an end, in some order.
fn over(order: &str) -> String {
    format!("OVER (PARTITION BY window_end{order})")
}

/// `valued` with what is `said` of each group.
fn compared(comparison: &Comparison, metric: Metric, names: &[String]) -> String {
    let total = format!("sum(v0) {}", over(""));
    let up_to = format!(
        "sum(v0) {}",
        over(&format!(" ORDER BY {} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW", largest_first(names)))
    );
    match comparison {
        Comparison::Rank { best, shrink: None } => said("valued", &[], &place("v0", *best)),
        Comparison::Rank { best, shrink: Some(shrink) } => {
            let [above, below, mean] = mean(metric);
            said("valued", &[above, below, mean, ("_drawn", drawn(shrink))], &place("_drawn", *best))
        }
        Comparison::RankOfGap { times, best, .. } => {
            let gap = if times.is_some() { format!("CAST((v0 - v1) * v2 AS {WHOLE})") } else { "v0 - v1".to_owned() };
            said("valued", &[("_gap", gap)], &place("_gap", *best))
        }
        Comparison::Shrunk(shrink) => said("valued", &mean(metric), &drawn(shrink)),
        Comparison::TotalShare => said("valued", &[("_total", total)], &share("v0")),
        Comparison::CumulativeShare => said("valued", &[("_total", total), ("_up_to", up_to)], &share("_up_to")),
        Comparison::VitalFew { millionths } => {
            let before = format!(
                "CAST((_up_to - v0) * {} AS {WHOLE}) < CAST(_total * {} AS {WHOLE})",
                number(1_000_000),
                number(i128::from(*millionths))
            );
            let flag = format!(
                "CASE WHEN v0 IS NOT NULL AND _total > {} THEN CASE WHEN {before} THEN {} ELSE {} END END",
                number(0),
                number(UNIT),
                number(0)
            );
            said("valued", &[("_total", total), ("_up_to", up_to)], &flag)
        }
        Comparison::Minus(_) => said("valued", &[], "v0 - v1"),
        Comparison::Change(_) => {
            let quotient = half_even(&format!("(v0 - v1) * {}", number(UNIT)), "v1", WHOLE);
            said("valued", &[], &format!("CASE WHEN v1 > {} THEN {quotient} END", number(0)))
        }
        Comparison::Quotient(_) => {
            let quotient = half_even(&format!("v0 * {}", number(UNIT)), "v1", WHOLE);
            said("valued", &[], &format!("CASE WHEN v1 > {} THEN {quotient} END", number(0)))
        }
        Comparison::Others => {
            let others = |sum: &str| format!("sum({sum}) {} - {sum}", over(""));
            let columns = [("_above", others("numerator")), ("_below", others("denominator"))];
            said("valued", &columns, &format!("v0 - {}", quotient("_above", "_below", metric)))
        }
        Comparison::Climbed { best, .. } => {
            let [now, before] = [place("v0_there", *best), place("v1_there", *best)];
            let there = |k: &str| format!("CASE WHEN there{} THEN v{k} END", k.trim_start_matches('0'));
            let columns = [("v0_there", there("0")), ("v1_there", there("1")), ("_now", now), ("_before", before)];
            said("valued", &columns, "_before - _now")
        }
        Comparison::Sigma => said("valued", &[], &from_millionths(&sigma_of("v0"))),
        Comparison::PValue { side, .. } => said("valued", &[], &from_millionths(&p_value_of(metric, *side, "1", ""))),
        Comparison::WeightedRanks(parts) => weighted_ranks(parts),
    }
}

fn from_millionths(value: &str) -> String {
    format!("CAST({value} AS {WHOLE}) * {}", number(1_000_000))
}

fn largest_first(names: &[String]) -> String {
    let names: String = names.iter().map(|name| format!(", {name}")).collect();
    format!("v0 DESC NULLS LAST{names}")
}

/// A table with further columns, one after the other, and what is said at last.
fn said(table: &str, columns: &[(&str, String)], said: &str) -> String {
    let from = columns
        .iter()
        .fold(table.to_owned(), |from, (name, sql)| format!("(SELECT *, {sql} AS {name}\n        FROM {from})"));
    format!("  SELECT *, CAST({said} AS {WHOLE}) AS said\n  FROM {from}")
}

fn place(value: &str, best: Best) -> String {
    let order = match best {
        Best::High => "DESC",
        Best::Low => "ASC",
    };
    let rank = format!("rank() {}", over(&format!(" ORDER BY {value} {order} NULLS LAST")));
    format!("CASE WHEN {value} IS NOT NULL THEN CAST({rank} AS {WHOLE}) * {} END", number(UNIT))
}

fn share(part: &str) -> String {
    let quotient = half_even(&format!("{part} * {}", number(UNIT)), "_total", WHOLE);
    format!("CASE WHEN v0 IS NOT NULL AND _total > {} THEN {quotient} END", number(0))
}

/// The value of all groups together, after its sums.
fn mean(metric: Metric) -> [(&'static str, String); 3] {
    let all = |sum: &str| format!("sum({sum}) {}", over(""));
    [("_above", all("numerator")), ("_below", all("denominator")), ("_mean", quotient("_above", "_below", metric))]
}

/// A value of few events, drawn toward another.
fn drawn(shrink: &Shrink) -> String {
    let weight = number(i128::from(shrink.weight));
    let toward = shrink.toward.map_or("_mean".to_owned(), |toward| number(i128::from(toward) * 1_000_000));
    let n = format!("CAST(n AS {WHOLE}) * {}", number(1_000_000));
    half_even(&format!("{weight} * {toward} + {n} * v0"), &format!("{weight} + {n}"), WHOLE)
}

fn weighted_ranks(parts: &[RankPart]) -> String {
    let all: Vec<String> = (0..parts.len()).map(|k| format!("v{k} IS NOT NULL")).collect();
    let all = all.join(" AND ");
    let mut columns = vec![("_whole".to_owned(), format!("({all})"))];
    columns.push(("_ranked".to_owned(), format!("sum(CASE WHEN _whole THEN 1 ELSE 0 END) {}", over(""))));
    for (k, RankPart { best, .. }) in parts.iter().enumerate() {
        let order = match best {
            Best::High => "ASC",
            Best::Low => "DESC",
        };
        let value = format!("CASE WHEN _whole THEN v{k} END");
        let worse = format!("CAST(rank() {} AS BIGINT) - 1", over(&format!(" ORDER BY {value} {order} NULLS LAST")));
        columns.push((format!("_worse{k}"), worse));
    }
    let points = |(k, part): (usize, &RankPart)| {
        format!("CAST(_worse{k} AS {WHOLE}) * {}", number(i128::from(part.weight) * 1_000_000))
    };
    let points: Vec<String> = parts.iter().enumerate().map(points).collect();
    let value = half_even(&points.join(" + "), "CASE WHEN _ranked > 1 THEN _ranked - 1 ELSE 1 END", WHOLE);
    let columns: Vec<(&str, String)> = columns.iter().map(|(name, sql)| (name.as_str(), sql.clone())).collect();
    said("valued", &columns, &format!("CASE WHEN _whole THEN {value} END"))
}
