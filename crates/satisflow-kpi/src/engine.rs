//! The engine: batches of measured events in, rows of KPIs out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ahash::AHashMap;

use crate::batch::{Batch, Sign};
use crate::content::{Content, Reading};
use crate::definition::{Definition, Kept, Metric, Other, Plan};
use crate::groups::Groups;
use crate::joins::{JoinInput, Joined, Joins};
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
    /// What each definition reads.
    roles: Vec<Vec<(usize, Role)>>,
    /// How many periods before, of all that is read: 0 first.
    lookbacks: Vec<u32>,
    pub(crate) groups: Groups,
    pub(crate) keyed: Vec<Keyed>,
    /// Of the measures that have joins.
    pub(crate) joins: BTreeMap<usize, Joins>,
    /// By window, the finest grouping sets first.
    pub(crate) lanes: Vec<Lane>,
    /// Definitions that are being back-filled until they reach the frontier.
    pub(crate) backfill: Vec<bool>,
    calendar: Vec<AHashMap<i64, Pane>>,
    pub(crate) last_event: Option<i64>,
    /// Time of the latest event that each definition has read.
    pub(crate) newest: Vec<Option<i64>>,
    /// Definitions whose history has not been read yet.
    pub(crate) is_new: Vec<bool>,
    /// Definitions that what is applied is for.
    pub(crate) reads: Vec<bool>,
}

/// Where a row belongs: its group of each grouping set, its pane of each window.
struct Place<'a> {
    groups: &'a [u32],
    panes: &'a [Pane],
    /// So many periods later is where it is read.
    ago: u32,
}

/// What a measure is to a definition.
#[derive(Debug, Clone, Copy)]
struct Role {
    /// The metric that reads it, and its number among those of the definition.
    metric: Metric,
    number: usize,
    /// As it was so many periods before.
    ago: u32,
    part: Part,
}

/// What a measure is to a metric.
#[derive(Debug, Clone, Copy)]
enum Part {
    Measure,
    /// Of a metric of what lasts.
    Life,
    /// Of a metric that is weighted.
    Weighted,
    Base,
    /// A side of a rate that a valid window has, by its cell.
    Rate(u32),
}

impl Role {
    /// What one event of a time adds; `cell` is read where the metric is weighted.
    fn content(self, time: i64, (weight, value): (i64, i64), key: u128, cell: u32) -> Content {
        match self.part {
            Part::Life => Content::of_life(weight, time, value),
            Part::Measure => Content::of_event(self.metric, weight, value, key),
            Part::Weighted => Content::of_cell(weight, value, cell),
            Part::Base => Sums::of_base_event(weight, value).into(),
            Part::Rate(cell) => Content::of_rate(weight, value, cell),
        }
    }

    /// Takes what an event adds in this role into what it adds to the definition.
    fn take(self, delta: &mut Option<Content>, one: Content) {
        match delta {
            None if self.number == 0 => *delta = Some(one),
            _ => delta.get_or_insert_default().join(self.number, &one),
        }
    }
}

/// The measures that a definition reads, those of its own metric first.
fn roles(plan: &Plan, definition: &Definition) -> Vec<(usize, Role)> {
    let of_metric = |(number, Other { metric, ago }): (usize, Other)| {
        let is_weighted = number == 0 && plan.reads_cells(definition);
        let part = match is_weighted {
            true => Part::Weighted,
            false if metric.is_of_lasting() => Part::Life,
            false => Part::Measure,
        };
        let measure = (metric.measure(), Role { metric, number, ago, part });
        let base = metric.base_measure().map(|m| (m, Role { metric, number, ago, part: Part::Base }));
        std::iter::once(measure).chain(base)
    };
    let rate =
        |(measure, cell)| (measure, Role { metric: definition.metric, number: 0, ago: 0, part: Part::Rate(cell) });
    let rates = definition.validity.measures().map(rate);
    definition.read().enumerate().flat_map(of_metric).chain(rates).collect()
}

fn lookbacks(plan: &Plan) -> Vec<u32> {
    let read = plan.definitions.iter().flat_map(Definition::read).map(|read| read.ago);
    let all: BTreeSet<u32> = read.chain([0]).collect();
    all.into_iter().collect()
}

/// One lane for each grouping set and window that a definition among these asks for.
pub(crate) fn lanes_of(plan: &Plan, among: impl Fn(usize) -> bool) -> Vec<Lane> {
    let mut sets: Vec<usize> = (0..plan.grouping_sets.len()).collect();
    sets.sort_by_key(|set| std::cmp::Reverse(plan.grouping_sets[*set].len()));
    let mut lanes = Vec::new();
    for window in 0..plan.windows.len() {
        for set in &sets {
            let asks = |d: &Definition| d.windows.contains(&window) && d.grouping_sets.contains(set);
            let members = plan.definitions.iter().enumerate().filter(|(index, d)| among(*index) && asks(d));
            let reading = |d: &Definition| {
                let weighting = plan.weighting(d).map(|weighting| (weighting, &d.validity));
                Reading::of(d.metric, weighting, &plan.windows[window])
            };
            let members = members.map(|(index, d)| (index, reading(d), d.groups_max));
            // Apart, because the panes of those that read counts, or compare, are never forgotten.
            let (compared, members): (Vec<_>, Vec<_>) =
                members.partition(|(index, ..)| plan.definitions[*index].compared.is_some());
            let is_plain = |(_, reading, _): &(usize, Reading, usize)| *reading == Reading::Sums;
            let (plain, counting): (Vec<_>, Vec<_>) = members.into_iter().partition(is_plain);
            let filled = [plain, counting].into_iter().filter(|members| !members.is_empty());
            lanes.extend(filled.map(|members| Lane::new(*set, window, &members)));
            lanes.extend((!compared.is_empty()).then(|| Lane::comparing(*set, window, &compared)));
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
            joins: plan.joins.iter().map(|(measure, joins)| (*measure, Joins::new(joins))).collect(),
            lanes: lanes_of(&plan, |_| true),
            backfill: vec![false; plan.definitions.len()],
            calendar: vec![AHashMap::new(); plan.windows.len()],
            last_event: None,
            newest: vec![None; plan.definitions.len()],
            is_new: vec![false; plan.definitions.len()],
            reads: vec![true; plan.definitions.len()],
            roles: plan.definitions.iter().map(|definition| roles(&plan, definition)).collect(),
            lookbacks: lookbacks(&plan),
            plan,
        }
    }

    /// Keys that joins hold, of all measures.
    pub fn joined_keys(&self) -> usize {
        self.joins.values().map(Joins::len).sum()
    }

    /// Joins what a batch of events brings to a measure; what comes of it is to be
    /// measured and applied at once. Nothing for a measure without joins.
    pub fn join(&mut self, input: JoinInput) -> Vec<Joined> {
        if !self.is_read(input.measure) {
            return Vec::new();
        }
        let plan = self.plan.joins.get(&input.measure).map_or(&[][..], Vec::as_slice);
        self.joins.get_mut(&input.measure).map_or(Vec::new(), |joins| joins.apply(plan, input))
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
            for at in 0..self.lookbacks.len() {
                let ago = self.lookbacks[at];
                if !self.deltas(batch, row, *sign, ago, &mut deltas) {
                    continue;
                }
                groups.iter_mut().zip(&by_set).for_each(|(group, ids)| *group = ids[row]);
                let time = batch.event_time[row];
                let read = self.newest.iter_mut().zip(&deltas).filter(|(_, delta)| delta.is_some());
                read.for_each(|(newest, _)| *newest = (*newest).max(Some(time)));
                self.find_panes(time, &mut panes);
                self.contribute(&Place { groups: &groups, panes: &panes, ago }, &deltas, *sign == Sign::Recall)?;
            }
        }
        for measure in 0..batch.measures.len() {
            if batch.measures[measure].key.is_some() && self.is_read(measure) {
                self.apply_keyed(measure, batch, &codes, signs)?;
            }
        }
        Ok(())
    }

    /// What a row does to each definition; `None` where it is not selected.
    /// Of a keyed measure it leaves its trace only: who counts is settled apart.
    fn deltas(&self, batch: &Batch, row: usize, sign: Sign, ago: u32, deltas: &mut [Option<Content>]) -> bool {
        let mut any = false;
        for ((delta, roles), reads) in deltas.iter_mut().zip(&self.roles).zip(&self.reads) {
            *delta = None;
            if !reads {
                continue;
            }
            for (measure, role) in roles.iter().filter(|(_, role)| role.ago == ago) {
                let input = &batch.measures[*measure];
                let Some(measured) = input.at(row) else { continue };
                let counts = if input.key.is_some() { Sign::Touch } else { sign };
                let content =
                    || role.content(batch.event_time[row], measured, input.distinct_at(row), input.cell_at(row));
                let one = match counts {
                    Sign::Count => content(),
                    Sign::Recall | Sign::Replace => content().negated(),
                    Sign::Touch => Content::default(),
                };
                role.take(delta, one);
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

    /// The panes after an event's own that it is in, too, each with its window: so many periods later, and all
    /// that a window of several periods has.
    fn later_panes(&mut self, own: &[Pane], ago: u32) -> Vec<(usize, Pane)> {
        let mut later = Vec::new();
        for (window, own) in own.iter().enumerate() {
            let mut pane = *own;
            let WindowSpan::Calendar { last, .. } = self.plan.windows[window].span else { continue };
            for number in 1..last.saturating_add(ago) {
                let next = self.pane(window, pane.end);
                if next.end <= pane.end {
                    // The end of the calendar.
                    break;
                }
                later.extend((number >= ago).then_some((window, next)));
                pane = next;
            }
        }
        later
    }

    fn contribute(&mut self, place: &Place<'_>, deltas: &[Option<Content>], recalled: bool) -> Result<(), EngineError> {
        let later = self.later_panes(place.panes, place.ago);
        let Engine { plan, lanes, .. } = self;
        for lane in lanes {
            let (group, at) = (place.groups[lane.set], lane.window);
            let own = (place.ago == 0).then_some(place.panes[at]);
            let more = later.iter().filter(|(window, _)| *window == at).map(|(_, pane)| *pane);
            for pane in own.into_iter().chain(more) {
                lane.add(&plan.windows[at], group, pane, deltas, recalled)
                    .map_err(|(definition, source)| overflow(plan, definition, source))?;
            }
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
                cell: input.cell_at(row),
                codes: codes.iter().map(|column| column[row]).collect(),
            };
            let shift = match sign {
                Sign::Count => self.keyed[measure].insert(kept, keys.value(row), candidate),
                Sign::Recall | Sign::Replace => self.keyed[measure].remove(kept, keys.value(row), &candidate),
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
            for at in 0..self.lookbacks.len() {
                let ago = self.lookbacks[at];
                let deltas = self.deltas_of(measure, candidate, counts, ago);
                self.contribute(&Place { groups: &groups, panes: &panes, ago }, &deltas, recalled)?;
            }
        }
        Ok(())
    }

    /// What an event of a key does to each definition when it counts, or does no longer.
    fn deltas_of(&self, measure: usize, candidate: &Candidate, counts: bool, ago: u32) -> Vec<Option<Content>> {
        let delta = |(roles, reads): (&Vec<(usize, Role)>, &bool)| {
            let mut delta = None;
            let used = roles.iter().filter(|(used, role)| *reads && *used == measure && role.ago == ago);
            for (_, role) in used {
                let content = role.content(candidate.time, (candidate.weight, candidate.value), 0, candidate.cell);
                role.take(&mut delta, if counts { content } else { content.negated() });
            }
            delta
        };
        self.roles.iter().zip(&self.reads).map(delta).collect()
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
