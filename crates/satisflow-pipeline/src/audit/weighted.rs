//! Means weighted by a population and by age in SQL: what each stratum holds at each
//! end, faded from a table, brought to its share.
//!
//! Post-stratification is a join with the counts of the population. Raking is a
//! recursive query of whole numbers: each of its steps is a round over all margins,
//! and has to leave the very shares that the published value was made with.

use satisflow_catalog::{Catalog, Represented};
use satisflow_kpi::{Definition, Population, StratumTarget, Validity, Weighting, Window, WindowSpan, decay_e12};

use super::ends::{aged, held_ends};

/// All of a population, 18 decimals, how far a share may be from its own, and rounds: docs/kpi-catalog.md.
const WHOLE: i128 = 1_000_000_000_000_000_000;
const TOLERANCE: i128 = 1_000_000;
const ROUNDS_MAX: usize = 1_000;
/// Half of a value's last digit, and a bit: the quotients here have 34 decimals.
const HALF: &str = "0.000000000000500000000000000001";

/// What a mean lacks to its target, which has 4 decimals, times the target's weight.
const SHORT: &str = "greatest(CAST(0 AS DECIMAL(76,30)), \
                     CAST(CAST(q.target AS DECIMAL(50,4)) / CAST(10000 AS DECIMAL(50,0)) AS DECIMAL(76,30)) \
                     - CAST(m.mean AS DECIMAL(76,30))) * q.share";

/// How a series is weighted.
pub(super) struct Weighted<'a> {
    weighting: &'a Weighting,
    represented: Option<&'a Represented>,
    span: &'a WindowSpan,
    per: u32,
    /// Whether more than its population makes it representative.
    is_judged: bool,
}

/// Names of grouped dimensions as SQL needs them.
struct Names<'a>(&'a [String]);

impl Names<'_> {
    /// Each, of a table, before other columns.
    fn listed(&self, of: &str) -> String {
        self.0.iter().map(|name| format!("{of}{name}, ")).collect()
    }

    /// More of a condition that two tables have the same.
    fn same(&self, a: &str, b: &str) -> String {
        self.0.iter().map(|name| format!(" AND {a}.{name} = {b}.{name}")).collect()
    }
}

impl<'a> Weighted<'a> {
    pub(super) fn of(catalog: &'a Catalog, definition: &Definition, window: &'a Window) -> Option<Weighted<'a>> {
        let metric = definition.metric;
        let measure = metric.is_of_means().then(|| &catalog.measures[metric.measure()])?;
        let weighting = measure.weighting.as_ref()?;
        let is_judged = definition.validity != Validity::default();
        let (represented, span, per) = (measure.represented.as_ref(), &window.span, metric.per());
        Some(Weighted { weighting, represented, span, per, is_judged })
    }

    /// How the statement begins.
    pub(super) fn with(&self) -> &'static str {
        if self.raked().is_some() { "WITH RECURSIVE" } else { "WITH" }
    }

    fn population(&self) -> Option<&Population> {
        self.weighting.population.as_ref()
    }

    fn raked(&self) -> Option<&[Vec<i64>]> {
        self.population().map(|population| &population.margins[..]).filter(|margins| margins.len() > 1)
    }

    /// Half-life and length of the window in steps, and a step's µs, where age counts.
    fn steps(&self) -> Option<(u32, i64, i64)> {
        let WindowSpan::Rolling { length, step } = self.span else { return None };
        let half_life = u32::try_from(self.weighting.half_life? / step).ok()?;
        Some((half_life, length / step, *step))
    }

    /// The cell of an event that is measured, as a column.
    pub(super) fn key(&self) -> String {
        let cell = self.represented.map_or("0", |represented| &represented.cell);
        format!(", CAST(({cell}) AS BIGINT) AS cell")
    }

    /// More of `changes`, where age counts.
    pub(super) fn aged(&self, listed: &str) -> String {
        self.steps().map(|_| aged(self.span, listed)).unwrap_or_default()
    }

    /// `running` with the exact value as the column `told`, from `measured` and `sums`.
    pub(super) fn running(&self, names: &[String]) -> String {
        let names = Names(names);
        let (listed, of_sums) = (names.listed(""), names.listed("s."));
        format!(
            "\
panes AS (
  SELECT {listed}cell, pane_end, sum(w) AS w, sum(wx) AS wx
  FROM ({panes}) GROUP BY {listed}cell, pane_end
), {fading}strata AS (
  SELECT {of_sums}s.window_end, p.cell, sum(CAST(p.w AS DECIMAL(50,6)) * {fade}) AS w,
         sum(CAST(p.wx AS DECIMAL(50,10)) * {fade}) AS x
  FROM sums s JOIN panes p ON {holds}{same}{of_age}
  GROUP BY {of_sums}s.window_end, p.cell
), means AS (
  SELECT {listed}window_end, cell, CAST(x AS DECIMAL(76,30)) / w AS mean FROM strata WHERE w > 0
), {shares}, told AS (
{told}
), running AS (
  SELECT s.*, t.told FROM sums s LEFT JOIN told t ON s.window_end = t.window_end{same_told}
), ",
            panes = self.panes(&listed),
            fading = self.fading(),
            fade = if self.steps().is_some() { "f.d" } else { "CAST(1 AS DECIMAL(50,12))" },
            of_age = self.of_age(),
            holds = self.holds(),
            same = names.same("s", "p"),
            shares = self.raked().map_or_else(|| self.counts(), |margins| raking(margins, &names)),
            told = self.told(&names),
            same_told = names.same("s", "t"),
        )
    }

    /// Weights and values by the end of their pane: of a calendar window's events by each end whose window holds them.
    fn panes(&self, listed: &str) -> String {
        let at = |end: &String| format!("SELECT {listed}cell, {end} AS pane_end, w, wx FROM measured WHERE w > 0");
        let each: Vec<String> = held_ends(self.span, "event_time").iter().map(at).collect();
        each.join(" UNION ALL ")
    }

    /// What each age leaves of a weight.
    fn fading(&self) -> String {
        let Some((half_life, steps, _)) = self.steps() else { return String::new() };
        let weight = |age: u32| {
            let weight = decay_e12(age, half_life).unwrap_or(0);
            format!("({age}, '{}.{:012}')", weight / 1_000_000_000_000, weight % 1_000_000_000_000)
        };
        let rows: Vec<String> = (0..u32::try_from(steps).unwrap_or(0)).map(weight).collect();
        format!(
            "fading AS (\n  SELECT column1 AS age, CAST(column2 AS DECIMAL(50,12)) AS d FROM (VALUES {})\n), ",
            rows.join(", ")
        )
    }

    fn of_age(&self) -> String {
        let join =
            |(.., step): (u32, i64, i64)| format!("\n  JOIN fading f ON f.age = (s.window_end - p.pane_end) / {step}");
        self.steps().map(join).unwrap_or_default()
    }

    fn holds(&self) -> String {
        match self.span {
            WindowSpan::Rolling { length, .. } => {
                format!("p.pane_end <= s.window_end AND s.window_end < p.pane_end + {length}")
            }
            WindowSpan::Calendar { .. } => "p.pane_end = s.window_end".to_owned(),
            WindowSpan::All => "p.pane_end <= s.window_end".to_owned(),
        }
    }

    /// What each stratum stands for, and what it has to reach; without a population or targets there is one.
    fn counts(&self) -> String {
        let margin = self.population().map_or(&[1][..], |population| &population.margins[0]);
        let targets = &self.weighting.targets;
        let rows: Vec<String> = match &targets[..] {
            [] => margin.iter().enumerate().map(|(cell, count)| format!("({cell}, '{count}', '0')")).collect(),
            targets => targets.iter().enumerate().map(target_row).collect(),
        };
        format!(
            "shares AS (
  SELECT column1 AS cell, CAST(column2 AS DECIMAL(50,0)) AS share, CAST(column3 AS DECIMAL(50,0)) AS target
  FROM (VALUES {})\n)",
            rows.join(", ")
        )
    }

    fn told(&self, names: &Names<'_>) -> String {
        let of_means = names.listed("m.");
        let (same, all) = match self.raked() {
            Some(_) => (format!(" AND q.window_end = m.window_end{}", names.same("q", "m")), String::new()),
            None => (String::new(), format!(" HAVING count(*) = {}", self.strata())),
        };
        let (value, whole) = match self.weighting.targets.is_empty() {
            true => ("m.mean * q.share", "CAST(sum(q.share) AS DECIMAL(50,0))"),
            false => (SHORT, "CAST(1000000000000 AS DECIMAL(50,0))"),
        };
        format!(
            "\
  SELECT {of_means}m.window_end, CAST(sum({value}) AS DECIMAL(76,34)) / {whole} AS told
  FROM means m JOIN shares q ON q.cell = m.cell{same}
  GROUP BY {of_means}m.window_end{all}"
        )
    }

    /// Number of strata that have to be there; with raking, that is seen before.
    fn strata(&self) -> usize {
        let of_population = self.population().map_or(1, |population| population.margins[0].len());
        if self.weighting.targets.is_empty() { of_population } else { self.weighting.targets.len() }
    }

    /// What is wrong with a published value, or with what is said of it.
    pub(super) fn faults(&self) -> String {
        let (mut told, mut untold) = ("", "");
        if self.population().is_some() || !self.weighting.targets.is_empty() {
            untold = "
            WHEN e.told IS NULL AND e.n > 0 AND p.status IN ('insufficient', 'ok') THEN 'status'";
            if !self.is_judged {
                told = "
            WHEN e.told IS NOT NULL AND p.status = 'not_representative' THEN 'status'";
            }
        }
        format!(
            "WHEN (e.told IS NULL) <> (p.value IS NULL) THEN 'value'
            WHEN abs(CAST(p.value AS DECIMAL(76,38)) - CAST(e.told AS DECIMAL(76,38)) * CAST({per} AS DECIMAL(50,0)))
                 > CAST('{HALF}' AS DECIMAL(76,38)) THEN 'value'{told}{untold}",
            per = self.per,
        )
    }
}

fn target_row((cell, StratumTarget { target, weight }): (usize, &StratumTarget)) -> String {
    format!("({cell}, '{weight}', '{target}')")
}

/// The shares that raking ends with; none where a category is empty or the margins are not met:
/// what a round leaves as it was will never meet them.
fn raking(margins: &[Vec<i64>], names: &Names<'_>) -> String {
    let listed = names.listed("");
    let group = format!("{listed}window_end");
    let filled: Vec<String> = (0..margins.len())
        .map(|margin| format!("count(DISTINCT {}) = {}", category(margins, margin), margins[margin].len()))
        .collect();
    let mut round = "SELECT *, share AS before FROM raking WHERE moves AND NOT done AND share IS NOT NULL".to_owned();
    for margin in 0..margins.len() {
        round = fitted(margins, margin, &listed, &round);
    }
    format!(
        "\
filled AS (
  SELECT {group} FROM means GROUP BY {group} HAVING {filled}
), masses AS (
  SELECT {of_strata}t.window_end, t.cell,
         CAST(t.w * CAST({WHOLE} AS DECIMAL(50,0)) AS DECIMAL(76,0)) AS mass,
         CAST(sum(t.w) OVER (PARTITION BY {of_strata}t.window_end) * CAST({WHOLE} AS DECIMAL(50,0)) AS DECIMAL(76,0)) AS total
  FROM strata t JOIN filled l ON l.window_end = t.window_end{same}
  WHERE t.w > 0
), raking AS (
  SELECT {listed}window_end, cell, CAST(0 AS BIGINT) AS round, {first} AS share,
         CAST(0 AS DECIMAL(76,0)) AS worst, CASE WHEN cell >= 0 THEN false END AS done,
         CASE WHEN cell >= 0 THEN true END AS moves
  FROM (SELECT *, mass * CAST({WHOLE} AS DECIMAL(50,0)) AS p, total AS s FROM masses)
  UNION ALL
  SELECT {listed}window_end, cell, round + 1 AS round, share, CAST(0 AS DECIMAL(76,0)) AS worst,
         max(worst) OVER (PARTITION BY {group}) <= CAST({TOLERANCE} AS DECIMAL(50,0)) AS done,
         max(CASE WHEN share = before THEN 0 ELSE 1 END) OVER (PARTITION BY {group}) > 0 AS moves
  FROM ({round})
  WHERE round < {ROUNDS_MAX}
), shares AS (
  SELECT {listed}window_end, cell, share FROM raking WHERE done
)",
        filled = filled.join(" AND "),
        of_strata = names.listed("t."),
        same = names.same("l", "t"),
        first = whole_quotient("p", "s"),
    )
}

/// A round's shares with one margin brought to its targets, and how far it was from them.
fn fitted(margins: &[Vec<i64>], margin: usize, listed: &str, before: &str) -> String {
    let total: i128 = margins[margin].iter().map(|count| i128::from(*count)).sum();
    let target = |(category, count): (usize, &i64)| {
        format!(" WHEN {category} THEN CAST({} AS DECIMAL(50,0))", i128::from(*count) * WHOLE / total)
    };
    let targets: String = margins[margin].iter().enumerate().map(target).collect();
    let category = category(margins, margin);
    format!(
        "
    SELECT {listed}window_end, cell, round, before, {share} AS share,
           greatest(worst, CAST(abs(s - target) AS DECIMAL(76,0))) AS worst
    FROM (SELECT *, share * target AS p
          FROM (SELECT *, CAST(sum(share) OVER (PARTITION BY {listed}window_end, {category}) AS DECIMAL(76,0)) AS s,
                       CASE {category}{targets} END AS target
                FROM ({before})))",
        share = whole_quotient("p", "s"),
    )
}

/// Of a cell.
fn category(margins: &[Vec<i64>], margin: usize) -> String {
    let after: usize = margins[margin + 1..].iter().map(Vec::len).product();
    format!("(cell / {after}) % {}", margins[margin].len())
}

/// A quotient of whole numbers, rounded down; NULL by zero.
fn whole_quotient(p: &str, s: &str) -> String {
    format!("CAST(({p} - {p} % nullif({s}, 0)) / nullif({s}, 0) AS DECIMAL(76,0))")
}
