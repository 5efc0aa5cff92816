//! Distinct counts and quantiles in SQL: how much each key, or each value, holds
//! at each end, from what enters and leaves.

use satisflow_catalog::Measure;
use satisflow_kpi::{Metric, WindowSpan};

/// What a metric counts one by one beside its sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    Keys,
    Values {
        /// Share of all weight.
        millionths: u32,
        /// Significant digits that values are ranked by.
        digits: Option<u32>,
    },
}

impl Counted {
    pub(super) fn of(metric: Metric) -> Option<Counted> {
        match metric {
            Metric::Distinct(_) => Some(Counted::Keys),
            Metric::Quantile { millionths, digits, .. } => Some(Counted::Values { millionths, digits }),
            _ => None,
        }
    }

    /// The key of an event that is measured, as a column; a row without one is not selected.
    pub(super) fn key(self, measure: &Measure) -> String {
        match self {
            Counted::Keys => format!(", CAST({} AS VARCHAR) AS counted", measure.distinct.as_deref().unwrap_or("NULL")),
            Counted::Values { digits, .. } => {
                let value = format!("CAST(({}) AS DECIMAL(18,4))", measure.value);
                format!(", {} AS counted", digits.map_or(value.clone(), |digits| to_digits(&value, digits)))
            }
        }
    }

    /// What an event adds, and to which item: NULL where it does not count.
    pub(super) fn entry(self) -> &'static str {
        match self {
            Counted::Keys => ", CASE WHEN c AND w > 0 THEN counted END AS item, 1 AS held",
            Counted::Values { .. } => ", CASE WHEN c AND w > 0 THEN counted END AS item, w AS held",
        }
    }

    /// An entry of nothing.
    pub(super) fn no_entry(self) -> &'static str {
        match self {
            Counted::Keys => ", NULL AS item, CAST(0 AS BIGINT) AS held",
            Counted::Values { .. } => ", NULL AS item, CAST(0 AS DECIMAL(18,6)) AS held",
        }
    }

    /// `running` with what its counts tell as the column `told`, from `changes` and `sums`.
    pub(super) fn running(self, span: &WindowSpan, names: &[String]) -> String {
        let listed: String = names.iter().map(|name| format!("{name}, ")).collect();
        let same: String = names.iter().map(|name| format!(" AND s.{name} = t.{name}")).collect();
        let of_sums: String = names.iter().map(|name| format!("s.{name}, ")).collect();
        let told = match self {
            Counted::Keys => keys(span, names, &listed, &of_sums, &same),
            Counted::Values { millionths, .. } => values(&listed, &of_sums, &same, millionths),
        };
        format!(
            "\
items AS (
  SELECT {listed}item, window_end, sum(held) AS held FROM changes WHERE item IS NOT NULL
  GROUP BY {listed}item, window_end
), holding AS (
{holding}
), {told}
), running AS (
  SELECT s.*, t.told FROM sums s LEFT JOIN told t ON s.window_end = t.window_end{same}
), ",
            holding = holding(span, &listed),
        )
    }
}

/// A value of 4 decimals to so many significant digits, half away from zero.
fn to_digits(value: &str, digits: u32) -> String {
    let whole = format!("CAST(abs({value}) * 10000 AS BIGINT)");
    let unit = format!(
        "CAST(rpad('1', greatest(CAST(length(CAST({whole} AS VARCHAR)) AS BIGINT) - {digits}, 0) + 1, '0') AS BIGINT)"
    );
    format!(
        "CAST(CAST(({whole} + {unit} / 2) / {unit} * {unit} * CASE WHEN {value} < 0 THEN -1 ELSE 1 END \
         AS DECIMAL(22,0)) * CAST('0.0001' AS DECIMAL(5,4)) AS DECIMAL(24,4))"
    )
}

/// From one end to the next at which anything of an item entered or left: how much is held of it.
fn holding(span: &WindowSpan, listed: &str) -> String {
    match span {
        WindowSpan::Calendar { .. } => {
            format!("  SELECT {listed}item, window_end, held, window_end + 1 AS until FROM items")
        }
        _ => {
            let of_item = format!("OVER (PARTITION BY {listed}item ORDER BY window_end)");
            format!(
                "  SELECT {listed}item, window_end, sum(held) {of_item} AS held, lead(window_end) {of_item} AS until FROM items"
            )
        }
    }
}

/// Keys that came to be held, less those that no longer are, summed up over the ends.
fn keys(span: &WindowSpan, names: &[String], listed: &str, of_sums: &str, same: &str) -> String {
    const HELD: &str = "CASE WHEN held > 0 THEN 1 ELSE 0 END";
    let (step, told) = match span {
        WindowSpan::Calendar { .. } => (HELD.to_owned(), "coalesce(t.step, 0)".to_owned()),
        _ => {
            let of_group =
                if names.is_empty() { String::new() } else { format!("PARTITION BY s.{} ", names.join(", s.")) };
            (
                format!("{HELD} - lag({HELD}, 1, 0) OVER (PARTITION BY {listed}item ORDER BY window_end)"),
                format!("sum(coalesce(t.step, 0)) OVER ({of_group}ORDER BY s.window_end)"),
            )
        }
    };
    format!(
        "\
steps AS (
  SELECT {listed}window_end, sum(step) AS step
  FROM (SELECT {listed}window_end, {step} AS step FROM holding) GROUP BY {listed}window_end
), told AS (
  SELECT {of_sums}s.window_end, {told} AS told
  FROM sums s LEFT JOIN steps t ON s.window_end = t.window_end{same}"
    )
}

/// The least value up to which the share of all weight is held.
fn values(listed: &str, of_sums: &str, same: &str, millionths: u32) -> String {
    format!(
        "\
ranked AS (
  SELECT {of_sums}s.window_end, t.item, s.w,
         sum(t.held) OVER (PARTITION BY {of_sums}s.window_end ORDER BY t.item) AS below
  FROM sums s JOIN holding t
    ON t.window_end <= s.window_end AND (t.until IS NULL OR s.window_end < t.until){same}
  WHERE t.held > 0
), told AS (
  SELECT {listed}window_end, min(item) AS told FROM ranked
  WHERE CAST(below AS DECIMAL(50,6)) * CAST(1000000 AS DECIMAL(10,0))
        >= CAST(w AS DECIMAL(50,6)) * CAST({millionths} AS DECIMAL(10,0))
  GROUP BY {listed}window_end"
    )
}
