//! The engine: batches of measured events in, rows of KPIs out.

use std::sync::Arc;

use ahash::AHashMap;

use crate::batch::{Batch, Sign};
use crate::content::{Content, Reading};
use crate::definition::{Definition, Kept, Metric, Plan};
use crate::groups::{Groups, SeenGroups};
use crate::keyed::{Candidate, Keyed, Shift};
use crate::lane::Lane;
use crate::row::KpiRow;
use crate::sums::{Overflow, Sums};
use crate::window::{Pane, WindowSpan};

/// Up to where the windows of a definition are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frontier {
    /// Ends at or before this are final, µs.
    pub watermark: i64,
    /// Ends after this are published although a source is still waited for:
    /// their rows are incomplete.
    pub complete: i64,
    /// The input has ended, and its last event is of this time: of each window
    /// the end next after it is final as well.
    pub closed: Option<i64>,
}

impl Frontier {
    /// Nothing is final.
    pub const NONE: Frontier = Frontier::at(i64::MIN);

    /// Everything up to a watermark is final and complete.
    pub const fn at(watermark: i64) -> Frontier {
        Frontier { watermark, complete: i64::MAX, closed: None }
    }
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
    /// Its revision.
    pub revision: u32,
    /// Whether it was published as incomplete.
    pub incomplete: bool,
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
    pub(crate) plan: Plan,
    groups: Groups,
    keyed: Vec<Keyed>,
    /// By window, the finest grouping sets first.
    pub(crate) lanes: Vec<Lane>,
    /// Definitions that are being back-filled until they reach the frontier.
    pub(crate) backfill: Vec<bool>,
    calendar: Vec<AHashMap<i64, Pane>>,
    last_event: Option<i64>,
    /// Time of the latest event that each definition has read.
    newest: Vec<Option<i64>>,
}

/// Where a row belongs: its group of each grouping set, its pane of each window.
struct Place<'a> {
    groups: &'a [u32],
    panes: &'a [Pane],
}

#[derive(Clone, Copy, PartialEq)]
enum Role {
    Measure,
    Base,
}

impl Role {
    fn content(self, metric: Metric, weight: i64, value: i64, key: u128) -> Content {
        match self {
            Role::Measure => Reading::of(metric).content(Sums::of_event(weight, value), weight, value, key),
            Role::Base => Sums::of_base_event(weight, value).into(),
        }
    }
}

fn roles(metric: Metric) -> impl Iterator<Item = (usize, Role)> {
    let base = metric.base_measure().map(|m| (m, Role::Base));
    std::iter::once((metric.measure(), Role::Measure)).chain(base)
}

/// One lane for each grouping set and window that a definition asks for.
fn lanes(plan: &Plan) -> Vec<Lane> {
    let mut sets: Vec<usize> = (0..plan.grouping_sets.len()).collect();
    sets.sort_by_key(|set| std::cmp::Reverse(plan.grouping_sets[*set].len()));
    let mut lanes = Vec::new();
    for window in 0..plan.windows.len() {
        for set in &sets {
            let asks = |d: &Definition| d.windows.contains(&window) && d.grouping_sets.contains(set);
            let members = plan.definitions.iter().enumerate().filter(|(_, d)| asks(d));
            let members = members.map(|(index, d)| (index, Reading::of(d.metric), d.groups_max));
            // Apart, because the panes of those that read counts are never forgotten.
            let (plain, counting): (Vec<_>, Vec<_>) = members.partition(|(_, reading, _)| *reading == Reading::Sums);
            let filled = [plain, counting].into_iter().filter(|members| !members.is_empty());
            lanes.extend(filled.map(|members| Lane::new(*set, window, &members)));
        }
    }
    lanes
}

impl Engine {
    /// An engine that has seen nothing.
    pub fn new(plan: Plan) -> Engine {
        Engine {
            groups: Groups::new(plan.dimensions.len(), &plan.grouping_sets),
            keyed: (0..plan.measures).map(|_| Keyed::default()).collect(),
            lanes: lanes(&plan),
            backfill: vec![false; plan.definitions.len()],
            calendar: vec![AHashMap::new(); plan.windows.len()],
            last_event: None,
            newest: vec![None; plan.definitions.len()],
            plan,
        }
    }

    /// An engine in the middle of its work; `None` where the parts belong to another plan.
    pub(crate) fn restored(
        plan: Plan,
        seen: &SeenGroups<'_>,
        keyed: Vec<Keyed>,
        lanes: Vec<Lane>,
        last_event: Option<i64>,
        newest: Vec<Option<i64>>,
    ) -> Option<Engine> {
        let mut engine = Engine::new(plan);
        engine.groups.restore(seen)?;
        let fits = |(new, old): (&Lane, &Lane)| new.is_alike(old);
        let fitting = keyed.len() == engine.keyed.len() && lanes.len() == engine.lanes.len();
        if !fitting || !engine.lanes.iter().zip(&lanes).all(fits) {
            return None;
        }
        let fits = newest.len() == engine.newest.len();
        fits.then_some(Engine { keyed, lanes, last_event, newest, ..engine })
    }

    pub(crate) fn keyed(&self) -> &[Keyed] {
        &self.keyed
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

    /// Time of the latest event that a definition has read, µs.
    pub fn newest_event(&self, definition: usize) -> Option<i64> {
        self.newest.get(definition).copied().flatten()
    }

    pub(crate) fn newest(&self) -> &[Option<i64>] {
        &self.newest
    }

    /// Applies events; `signs` says what each row does.
    ///
    /// # Errors
    /// [`EngineError::Overflow`]; the engine is then unusable.
    pub fn apply(&mut self, batch: &Batch, signs: &[Sign]) -> Result<(), EngineError> {
        self.last_event = self.last_event.max(batch.event_time.iter().max().copied());
        let codes = self.groups.codes(&batch.dimensions);
        let by_set = self.groups.ids(&codes, batch.rows());
        let (mut groups, mut deltas) = (vec![0; by_set.len()], vec![None; self.plan.definitions.len()]);
        let mut panes = self.no_panes();
        for (row, sign) in signs.iter().enumerate() {
            if !self.deltas(batch, row, *sign, &mut deltas) {
                continue;
            }
            groups.iter_mut().zip(&by_set).for_each(|(group, ids)| *group = ids[row]);
            let time = batch.event_time[row];
            let read = self.newest.iter_mut().zip(&deltas).filter(|(_, delta)| delta.is_some());
            read.for_each(|(newest, _)| *newest = (*newest).max(Some(time)));
            self.find_panes(time, &mut panes);
            self.contribute(&Place { groups: &groups, panes: &panes }, &deltas, *sign == Sign::Recall)?;
        }
        for measure in 0..batch.measures.len() {
            if batch.measures[measure].key.is_some() {
                self.apply_keyed(measure, batch, &codes, signs)?;
            }
        }
        Ok(())
    }

    /// What a row does to each definition; `None` where it is not selected.
    /// Of a keyed measure it leaves its trace only: who counts is settled apart.
    fn deltas(&self, batch: &Batch, row: usize, sign: Sign, deltas: &mut [Option<Content>]) -> bool {
        let mut any = false;
        for (delta, definition) in deltas.iter_mut().zip(&self.plan.definitions) {
            *delta = None;
            for (measure, role) in roles(definition.metric) {
                let input = &batch.measures[measure];
                let Some((weight, value)) = input.at(row) else { continue };
                let counts = if input.key.is_some() { Sign::Touch } else { sign };
                let content = || role.content(definition.metric, weight, value, input.distinct_at(row));
                let one = match counts {
                    Sign::Count => content(),
                    Sign::Recall => content().negated(),
                    Sign::Touch => Content::default(),
                };
                // The base comes second, and fills other sums than the measure.
                *delta = Some(match delta.take() {
                    Some(held) => held.sums.with_base(&one.sums).into(),
                    None => one,
                });
                any = true;
            }
        }
        any
    }

    /// A pane for each window that holds no time.
    fn no_panes(&self) -> Vec<Pane> {
        vec![Pane { start: 0, end: 0 }; self.plan.windows.len()]
    }

    /// Puts the pane of each window in place; those of the last event often serve again.
    fn find_panes(&mut self, time: i64, panes: &mut [Pane]) {
        for (window, pane) in panes.iter_mut().enumerate() {
            if !(pane.start..pane.end).contains(&time) {
                *pane = self.pane(window, time);
            }
        }
    }

    /// The pane of a time. Calendar periods are remembered by UTC quarter of an
    /// hour, which no civil boundary divides.
    fn pane(&mut self, window: usize, time: i64) -> Pane {
        const QUARTER_HOUR_MICROS: i64 = 900_000_000;
        /// Eleven years; beyond, they are worked out anew.
        const REMEMBERED_MAX: usize = 400_000;
        let span = &self.plan.windows[window];
        match span.span {
            WindowSpan::Calendar { .. } => {
                let slot = time.div_euclid(QUARTER_HOUR_MICROS);
                if self.calendar[window].len() >= REMEMBERED_MAX {
                    self.calendar[window].clear();
                }
                *self.calendar[window].entry(slot).or_insert_with(|| span.pane(time))
            }
            _ => span.pane(time),
        }
    }

    fn contribute(&mut self, place: &Place<'_>, deltas: &[Option<Content>], recalled: bool) -> Result<(), EngineError> {
        let Engine { plan, lanes, .. } = self;
        for lane in lanes {
            let (group, pane) = (place.groups[lane.set], place.panes[lane.window]);
            lane.add(&plan.windows[lane.window], group, pane, deltas, recalled)
                .map_err(|(definition, source)| overflow(plan, definition, source))?;
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
        let kept = self.plan.kept.get(&measure).copied().unwrap_or(Kept::FIRST);
        for (row, sign) in signs.iter().enumerate() {
            let Some((weight, value)) = input.at(row) else { continue };
            let candidate = Candidate {
                time: batch.event_time[row],
                event_id: batch.event_id.value(row).into(),
                source: batch.source.value(row).into(),
                weight,
                value,
                codes: codes.iter().map(|column| column[row]).collect(),
            };
            let shift = match sign {
                Sign::Count => self.keyed[measure].insert(kept, keys.value(row), candidate),
                Sign::Recall => self.keyed[measure].remove(kept, keys.value(row), &candidate),
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
            let mut panes = self.no_panes();
            self.find_panes(candidate.time, &mut panes);
            let delta = |definition: &Definition| {
                let (_, role) = roles(definition.metric).find(|(used, _)| *used == measure)?;
                let content = role.content(definition.metric, candidate.weight, candidate.value, 0);
                Some(if counts { content } else { content.negated() })
            };
            let deltas: Vec<Option<Content>> = self.plan.definitions.iter().map(delta).collect();
            self.contribute(&Place { groups: &groups, panes: &panes }, &deltas, recalled)?;
        }
        Ok(())
    }

    pub(crate) fn definitions_of(&self, fingerprint: &str) -> Vec<usize> {
        let of = |(index, d): (usize, &Definition)| (*d.fingerprint == *fingerprint).then_some(index);
        self.plan.definitions.iter().enumerate().filter_map(of).collect()
    }

    /// Notes a row that was published before; unknown rows are ignored (a
    /// definition, window or grouping set that is no longer asked for).
    pub fn restore_revision(&mut self, key: &RowKey<'_>) {
        let definitions = self.definitions_of(key.fingerprint);
        for at in 0..self.lanes.len() {
            let (set, window) = (self.lanes[at].set, self.lanes[at].window);
            if *self.plan.windows[window].name != *key.window || self.set_name(set) != key.grouping_set {
                continue;
            }
            let group = self.groups.id_of_values(set, &key.values);
            let window = &self.plan.windows[window];
            for kpi in 0..self.lanes[at].members.len() {
                if definitions.contains(&self.lanes[at].members[kpi].definition) {
                    self.lanes[at].restore(window, kpi, group, key.end, (key.revision, key.incomplete));
                }
            }
        }
    }

    /// The text of `kpis.grouping_set`.
    pub fn set_name(&self, set: usize) -> String {
        let names: Vec<&str> = self.plan.grouping_sets[set].iter().map(|d| &*self.plan.dimensions[*d]).collect();
        names.join(",")
    }
}

pub(crate) fn overflow(plan: &Plan, definition: usize, source: Overflow) -> EngineError {
    EngineError::Overflow { kpi: Arc::clone(&plan.definitions[definition].name), source }
}
