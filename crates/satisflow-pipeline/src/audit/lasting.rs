//! What lasts in SQL: each life as each end sees it, whether it is over and how long it took so far.
//!
//! The survival curve is a product of floats here, of whole numbers in the engine: shares nearer than 10^-9 are equal. The logarithm of
//! none left is finite, as sums over rows may take away again.

use satisflow_catalog::Measure;
use satisflow_kpi::{Metric, WindowSpan};

use super::ends::enter_end;

/// What is asked of what lasts.
#[derive(Clone, Copy)]
pub(super) enum Lasting {
    /// The share that is over, in millionths.
    Survival(u32),
    Open,
}

impl Lasting {
    pub(super) fn of(metric: Metric) -> Option<Lasting> {
        match metric {
            Metric::Survival { millionths, .. } => Some(Lasting::Survival(millionths)),
            Metric::OpenCount(_) | Metric::OpenAge(_) => Some(Lasting::Open),
            _ => None,
        }
    }

    /// How long an event's matter lasted, as a column.
    pub(super) fn key(measure: &Measure) -> String {
        format!(", CAST(({}) AS DECIMAL(18,4)) AS lasted", measure.value)
    }

    /// The same in µs: NULL where it does not count.
    pub(super) const ENTRY: &'static str =
        ", CASE WHEN c AND w > 0 THEN CAST(lasted * CAST(10000 AS DECIMAL(5,0)) AS BIGINT) END AS lasted";

    /// `running` with what is said as the columns `told` and `going`, from `measured` and `sums`.
    pub(super) fn running(self, span: &WindowSpan, names: &[String]) -> String {
        let listed: String = names.iter().map(|name| format!("{name}, ")).collect();
        let of_sums: String = names.iter().map(|name| format!("s.{name}, ")).collect();
        let same =
            |other: &str| -> String { names.iter().map(|name| format!(" AND s.{name} = {other}.{name}")).collect() };
        let stays = match span {
            WindowSpan::Rolling { length, .. } => format!(" AND s.window_end < l.pane_end + {length}"),
            _ => String::new(),
        };
        format!(
            "\
lives AS (
  SELECT {listed}{enter} AS pane_end, CAST(event_time AS BIGINT) AS began, lasted
  FROM measured WHERE lasted IS NOT NULL
), seen AS (
  SELECT {listed}window_end, is_over, CASE WHEN is_over THEN lasted ELSE window_end - began END AS time
  FROM (SELECT {of_sums}s.window_end, l.began, l.lasted,
               l.lasted >= 0 AND l.began + l.lasted < s.window_end AS is_over
        FROM sums s JOIN lives l ON l.pane_end <= s.window_end{stays}{same_lives})
), {told}
), running AS (
  SELECT s.*, t.told, t.going FROM sums s LEFT JOIN told t ON s.window_end = t.window_end{same_told}
), ",
            enter = enter_end(span, "event_time"),
            same_lives = same("l"),
            told = self.told(&listed),
            same_told = same("t"),
        )
    }

    fn told(self, listed: &str) -> String {
        const SECONDS: &str = "CAST('0.000001' AS DECIMAL(7,6))";
        let Lasting::Survival(millionths) = self else {
            return format!(
                "told AS (
  SELECT {listed}window_end, count(*) AS going, CAST(sum(time) AS DECIMAL(38,0)) * {SECONDS} AS told
  FROM seen WHERE NOT is_over GROUP BY {listed}window_end"
            );
        };
        let left = 1.0 - f64::from(millionths) / 1e6;
        let at_end = format!("PARTITION BY {listed}window_end ORDER BY time");
        format!(
            "steps AS (
  SELECT {listed}window_end, time, ended, sum(here) OVER ({at_end} DESC) AS at_risk
  FROM (SELECT {listed}window_end, time, count(*) AS here, sum(CASE WHEN is_over THEN 1 ELSE 0 END) AS ended
        FROM seen GROUP BY {listed}window_end, time)
), curve AS (
  SELECT {listed}window_end, time,
         exp(sum(CASE WHEN ended = at_risk THEN -1000.0
                      ELSE ln(1.0 - CAST(ended AS DOUBLE) / CAST(at_risk AS DOUBLE)) END)
             OVER ({at_end})) AS share
  FROM steps
), told AS (
  SELECT {listed}window_end, CAST(NULL AS BIGINT) AS going, CAST(min(time) AS DECIMAL(38,0)) * {SECONDS} AS told
  FROM curve WHERE share <= {left:?} + 1e-9 GROUP BY {listed}window_end"
        )
    }
}
