//! The engine: batches of measured events in, rows of KPIs out.

use std::sync::Arc;

use ahash::{AHashMap, AHashSet};

use crate::batch::{Batch, MeasureInput, Sign};
use crate::definition::{Metric, Plan};
use crate::groups::Groups;
use crate::keyed::{Candidate, FirstPerKey, Shift};
use crate::rows::{KpiRow, Reason};
use crate::series::{Series, SeriesRow};
use crate::sums::{Overflow, Sums};
use crate::window::{Pane, WindowSpan};

/// Up to where windows are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frontier {
    /// Ends at or before this are final, µs.
    pub watermark: i64,
    /// The input has ended, and its last event is of this time: of each window
    /// the end next after it is final as well.
    pub closed: Option<i64>,
}

/// Names one row that was published before.
#[derive(Debug, Clone)]
pub struct RowKey<'a> {
    /// Fingerprint of the definition.
    pub fingerprint: &'a str,
    /// Name of the window.
    pub window: &'a str,
    /// Names of the grouped dimensions, in the plan's order.
    pub grouping_set: &'a str,
    /// Values of the grouped dimensions, in the plan's order.
    pub values: Vec<&'a str>,
    /// End of the window, µs.
    pub end: i64,
}

/// Why the engine can't go on.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A sum is too large for its type.
    #[error("KPI `{kpi}`: {source}; its weights or values are larger than the engine can add up exactly")]
    Overflow {
        /// The KPI.
        kpi: Arc<str>,
        /// The cause.
        source: Overflow,
    },
}

/// Exact rolling KPIs over everything applied so far.
#[derive(Debug)]
pub struct Engine {
    plan: Plan,
    groups: Groups,
    keyed: Vec<FirstPerKey>,
    series: Vec<Series>,
    /// Indexes into `series`: one range a definition, by set, then window.
    series_of: Vec<std::ops::Range<usize>>,
    /// Definitions that are being back-filled until they reach the frontier.
    backfill: Vec<bool>,
    panes: Vec<AHashMap<i64, Pane>>,
    last_event: Option<i64>,
}

/// Groups and panes of a batch, row after row.
struct Places {
    groups: Vec<u32>,
    panes: Vec<Pane>,
    sets: usize,
    windows: usize,
}

#[derive(Clone, Copy)]
struct Place<'a> {
    groups: &'a [u32],
    panes: &'a [Pane],
}

impl Places {
    fn row(&self, row: usize) -> Place<'_> {
        Place {
            groups: &self.groups[row * self.sets..(row + 1) * self.sets],
            panes: &self.panes[row * self.windows..(row + 1) * self.windows],
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Role {
    Measure,
    Base,
}

impl Role {
    fn sums(self, weight: i64, value: i64) -> Sums {
        match self {
            Role::Measure => Sums::of_event(weight, value),
            Role::Base => Sums::of_base_event(weight, value),
        }
    }
}

fn roles(metric: Metric) -> impl Iterator<Item = (usize, Role)> {
    let base = metric.base_measure().map(|m| (m, Role::Base));
    std::iter::once((metric.measure(), Role::Measure)).chain(base)
}

impl Engine {
    /// An engine that has seen nothing.
    pub fn new(plan: Plan) -> Engine {
        let mut series = Vec::new();
        let mut series_of = Vec::new();
        for (index, definition) in plan.definitions.iter().enumerate() {
            let start = series.len();
            for set in &definition.grouping_sets {
                series.extend(definition.windows.iter().map(|window| Series::new(index, *set, *window)));
            }
            series_of.push(start..series.len());
        }
        Engine {
            groups: Groups::new(plan.dimensions.len(), &plan.grouping_sets),
            keyed: (0..plan.measures).map(|_| FirstPerKey::default()).collect(),
            series,
            series_of,
            backfill: vec![false; plan.definitions.len()],
            panes: vec![AHashMap::new(); plan.windows.len()],
            last_event: None,
            plan,
        }
    }

    /// What the engine computes.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(crate) fn groups(&self) -> &Groups {
        &self.groups
    }

    /// The value of each dimension for a row; `None` where it is not grouped.
    pub fn group_values(&self, row: &KpiRow) -> Vec<Option<&Arc<str>>> {
        self.groups.values(row.set, row.group)
    }

    /// Time of the latest event applied, µs.
    pub fn last_event(&self) -> Option<i64> {
        self.last_event
    }

    /// Applies events; `signs` says what each row does.
    ///
    /// # Errors
    /// [`EngineError::Overflow`]; the engine is then unusable.
    pub fn apply(&mut self, batch: &Batch, signs: &[Sign]) -> Result<(), EngineError> {
        self.last_event = self.last_event.max(batch.event_time.iter().max().copied());
        let codes = self.groups.codes(&batch.dimensions);
        let places = self.places(batch, &codes);
        for definition in 0..self.plan.definitions.len() {
            for (measure, role) in roles(self.plan.definitions[definition].metric) {
                if batch.measures[measure].key.is_none() {
                    self.apply_measure(definition, role, &batch.measures[measure], &places, signs)?;
                } else {
                    self.touch_measure(definition, &batch.measures[measure], &places)?;
                }
            }
        }
        for measure in 0..batch.measures.len() {
            if batch.measures[measure].key.is_some() {
                self.apply_keyed(measure, batch, &codes, signs)?;
            }
        }
        Ok(())
    }

    fn places(&mut self, batch: &Batch, codes: &[Vec<u32>]) -> Places {
        let rows = batch.rows();
        let (sets, windows) = (self.plan.grouping_sets.len(), self.plan.windows.len());
        let by_set = self.groups.ids(codes, rows);
        let groups = (0..rows).flat_map(|row| by_set.iter().map(move |ids| ids[row])).collect();
        let mut panes = Vec::with_capacity(rows * windows);
        let mut last: Vec<Option<Pane>> = vec![None; windows];
        for time in &batch.event_time {
            for (window, last) in last.iter_mut().enumerate() {
                let pane = match last {
                    Some(pane) if (pane.start..pane.end).contains(time) => *pane,
                    _ => self.pane(window, *time),
                };
                *last = Some(pane);
                panes.push(pane);
            }
        }
        Places { groups, panes, sets, windows }
    }

    /// The pane of a time. Calendar periods are remembered by UTC quarter of an
    /// hour, which no civil boundary divides.
    fn pane(&mut self, window: usize, time: i64) -> Pane {
        const QUARTER_HOUR_MICROS: i64 = 900_000_000;
        let span = &self.plan.windows[window];
        match span.span {
            WindowSpan::Calendar { .. } => {
                let slot = time.div_euclid(QUARTER_HOUR_MICROS);
                *self.panes[window].entry(slot).or_insert_with(|| span.pane(time))
            }
            _ => span.pane(time),
        }
    }

    fn apply_measure(
        &mut self,
        definition: usize,
        role: Role,
        input: &MeasureInput,
        places: &Places,
        signs: &[Sign],
    ) -> Result<(), EngineError> {
        for (row, sign) in signs.iter().enumerate() {
            let Some((weight, value)) = input.at(row) else { continue };
            let delta = match sign {
                Sign::Count => role.sums(weight, value),
                Sign::Recall => role.sums(weight, value).negated(),
                Sign::Touch => Sums::default(),
            };
            self.contribute(definition, places.row(row), &delta, *sign == Sign::Recall)?;
        }
        Ok(())
    }

    fn touch_measure(&mut self, definition: usize, input: &MeasureInput, places: &Places) -> Result<(), EngineError> {
        for row in 0..input.selected.len() {
            if input.at(row).is_some() {
                self.contribute(definition, places.row(row), &Sums::default(), false)?;
            }
        }
        Ok(())
    }

    fn contribute(
        &mut self,
        definition: usize,
        place: Place<'_>,
        delta: &Sums,
        recalled: bool,
    ) -> Result<(), EngineError> {
        let Engine { plan, series, series_of, .. } = self;
        for series in &mut series[series_of[definition].clone()] {
            let (group, pane) = (place.groups[series.set], place.panes[series.window]);
            series
                .add(&plan.windows[series.window], group, pane, delta, recalled)
                .map_err(|source| overflow(plan, definition, source))?;
        }
        Ok(())
    }

    fn apply_keyed(
        &mut self,
        measure: usize,
        batch: &Batch,
        codes: &[Vec<u32>],
        signs: &[Sign],
    ) -> Result<(), EngineError> {
        let input = &batch.measures[measure];
        let Some(keys) = &input.key else { return Ok(()) };
        for (row, sign) in signs.iter().enumerate() {
            let Some((weight, value)) = input.at(row) else { continue };
            let candidate = Candidate {
                time: batch.event_time[row],
                event_id: batch.event_id.value(row).into(),
                weight,
                value,
                codes: codes.iter().map(|column| column[row]).collect(),
            };
            let shift = match sign {
                Sign::Count => self.keyed[measure].insert(keys.value(row), candidate),
                Sign::Recall => self.keyed[measure].remove(keys.value(row), &candidate),
                Sign::Touch => Shift::default(),
            };
            self.apply_shift(measure, &shift, *sign == Sign::Recall)?;
        }
        Ok(())
    }

    fn apply_shift(&mut self, measure: usize, shift: &Shift, recalled: bool) -> Result<(), EngineError> {
        for (candidate, counts) in [(&shift.out, false), (&shift.into, true)] {
            let Some(candidate) = candidate else { continue };
            let codes: Vec<Vec<u32>> = candidate.codes.iter().map(|code| vec![*code]).collect();
            let groups: Vec<u32> = self.groups.ids(&codes, 1).into_iter().flatten().collect();
            let panes: Vec<Pane> =
                (0..self.plan.windows.len()).map(|window| self.pane(window, candidate.time)).collect();
            let place = Place { groups: &groups, panes: &panes };
            for definition in 0..self.plan.definitions.len() {
                for (used, role) in roles(self.plan.definitions[definition].metric) {
                    if used != measure {
                        continue;
                    }
                    let sums = role.sums(candidate.weight, candidate.value);
                    let delta = if counts { sums } else { sums.negated() };
                    self.contribute(definition, place, &delta, recalled)?;
                }
            }
        }
        Ok(())
    }

    /// The earliest end at which a row is owed, µs.
    pub fn next_due(&self) -> Option<i64> {
        self.series.iter().filter_map(Series::next_due).min()
    }

    /// Takes every end up to `frontier` of a definition as published before;
    /// a definition that is not resumed is back-filled from its first event.
    ///
    /// # Errors
    /// As for [`Engine::apply`].
    pub fn resume(&mut self, fingerprint: &str, frontier: Frontier) -> Result<(), EngineError> {
        for index in self.definitions_of(fingerprint) {
            for at in self.series_of[index].clone() {
                let to = self.frontier_of(self.series[at].window, frontier);
                let window = &self.plan.windows[self.series[at].window];
                let resumed = self.series[at].resume(window, to);
                resumed.map_err(|source| overflow(&self.plan, index, source))?;
            }
        }
        Ok(())
    }

    /// Says that a definition is new to a lake that has events: its first rows
    /// carry the reason `back-fill` until [`Engine::advance`] has caught up.
    pub fn mark_backfill(&mut self, fingerprint: &str) {
        for index in self.definitions_of(fingerprint) {
            self.backfill[index] = true;
        }
    }

    fn definitions_of(&self, fingerprint: &str) -> Vec<usize> {
        let of = |(index, d): (usize, &crate::Definition)| (*d.fingerprint == *fingerprint).then_some(index);
        self.plan.definitions.iter().enumerate().filter_map(of).collect()
    }

    /// Raises the revision of a row to one it was published with; unknown rows are ignored
    /// (a definition, window or grouping set that is no longer asked for).
    pub fn restore_revision(&mut self, key: &RowKey<'_>, revision: u32) {
        for index in self.definitions_of(key.fingerprint) {
            for at in self.series_of[index].clone() {
                let (set, window) = (self.series[at].set, self.series[at].window);
                let named = *self.plan.windows[window].name == *key.window;
                if named && self.set_name(set) == key.grouping_set {
                    let group = self.groups.id_of_values(set, &key.values);
                    let window = &self.plan.windows[window];
                    self.series[at].restore_revision(window, group, key.end, revision);
                }
            }
        }
    }

    /// The text of `kpis.grouping_set`.
    pub fn set_name(&self, set: usize) -> String {
        let names: Vec<&str> = self.plan.grouping_sets[set].iter().map(|d| &*self.plan.dimensions[*d]).collect();
        names.join(",")
    }

    fn frontier_of(&self, window: usize, frontier: Frontier) -> i64 {
        let closed = frontier.closed.map(|time| self.plan.windows[window].pane(time).end);
        closed.map_or(frontier.watermark, |end| end.max(frontier.watermark))
    }

    /// Moves the frontier (it never goes back) and gives the rows that became
    /// final, and the revisions of earlier ones, in the order of the catalog.
    ///
    /// # Errors
    /// As for [`Engine::apply`].
    pub fn advance(&mut self, frontier: Frontier) -> Result<Vec<KpiRow>, EngineError> {
        let mut rows = Vec::new();
        for definition in 0..self.plan.definitions.len() {
            self.advance_definition(definition, frontier, &mut rows)
                .map_err(|source| overflow(&self.plan, definition, source))?;
        }
        Ok(rows)
    }

    /// Ends the back-fill of new definitions: from now on their rows are initial.
    pub fn end_backfill(&mut self) {
        self.backfill.fill(false);
    }

    fn advance_definition(
        &mut self,
        definition: usize,
        frontier: Frontier,
        rows: &mut Vec<KpiRow>,
    ) -> Result<(), Overflow> {
        let first = if self.backfill[definition] { Reason::BackFill } else { Reason::Initial };
        let mut finest_first: Vec<usize> = self.series_of[definition].clone().collect();
        finest_first.sort_by_key(|at| std::cmp::Reverse(self.plan.grouping_sets[self.series[*at].set].len()));
        let mut over = AHashSet::new();
        for at in finest_first {
            let to = self.frontier_of(self.series[at].window, frontier);
            let window = &self.plan.windows[self.series[at].window];
            let published = self.series[at].publish(window, to, first)?;
            self.limit_groups(at, &published, &mut over)?;
            let kept = published.into_iter().map(|row| self.kpi_row(at, row, &over));
            rows.extend(kept.flatten());
        }
        Ok(())
    }

    /// Notes the ends at which this series has more groups than are published.
    fn limit_groups(
        &self,
        at: usize,
        published: &[SeriesRow],
        over: &mut AHashSet<(usize, usize, i64)>,
    ) -> Result<(), Overflow> {
        let series = &self.series[at];
        let groups_max = self.plan.definitions[series.definition].groups_max;
        if !series.may_exceed(groups_max) {
            return Ok(());
        }
        let ends: AHashSet<i64> = published.iter().map(|row| row.end).collect();
        for end in ends {
            if series.groups_at(&self.plan.windows[series.window], end)? > groups_max {
                over.insert((series.set, series.window, end));
            }
        }
        Ok(())
    }

    fn kpi_row(&self, at: usize, row: SeriesRow, over: &AHashSet<(usize, usize, i64)>) -> Option<KpiRow> {
        let series = &self.series[at];
        if over.contains(&(series.set, series.window, row.end)) {
            return None;
        }
        let own = &self.plan.grouping_sets[series.set];
        let finer_is_over = over.iter().any(|(set, window, end)| {
            let finer = &self.plan.grouping_sets[*set];
            *window == series.window && *end == row.end && own.iter().all(|d| finer.contains(d))
        });
        Some(KpiRow {
            definition: series.definition,
            set: series.set,
            window: series.window,
            group: row.group,
            window_start: self.plan.windows[series.window].start_of(row.end),
            window_end: row.end,
            revision: row.revision,
            reason: row.reason,
            over_limit: finer_is_over,
            sums: row.sums,
        })
    }

    /// The open windows: those that end next after `now`, over all that has been applied.
    ///
    /// # Errors
    /// As for [`Engine::apply`].
    pub fn live(&self, now: i64) -> Result<Vec<KpiRow>, EngineError> {
        let mut rows = Vec::new();
        for (at, series) in self.series.iter().enumerate() {
            let window = &self.plan.windows[series.window];
            let end = window.pane(now).end;
            let open = series.open(window, end).map_err(|source| overflow(&self.plan, series.definition, source))?;
            let none_over = AHashSet::new();
            let row = |(group, sums)| SeriesRow { group, end, revision: 0, reason: Reason::Live, sums };
            rows.extend(open.into_iter().map(row).filter_map(|row| self.kpi_row(at, row, &none_over)));
        }
        Ok(rows)
    }
}

fn overflow(plan: &Plan, definition: usize, source: Overflow) -> EngineError {
    EngineError::Overflow { kpi: Arc::clone(&plan.definitions[definition].name), source }
}
