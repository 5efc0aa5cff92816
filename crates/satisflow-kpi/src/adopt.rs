//! A state taken up by a plan that is not the one it was made for: a definition
//! that both have goes on, one that is new is computed from the events.
//!
//! - Parts are told apart by name, as their numbers belong to one plan.
//! - What a new definition reads is not mixed with what is known: it has lanes
//!   of its own, and reads the history after the others have caught up.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::definition::{Definition, Plan};
use crate::engine::{Engine, lanes_of};
use crate::groups::SeenGroups;
use crate::joins::Joins;
use crate::keyed::Keyed;
use crate::lane::Lane;

/// What the numbers in a state's parts stand for.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Names {
    dimensions: Vec<String>,
    grouping_sets: Vec<Vec<String>>,
    windows: Vec<String>,
    definitions: Vec<DefinitionName>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct DefinitionName {
    /// Everything that its state depends on.
    identity: String,
    measures: Vec<usize>,
}

impl Names {
    pub(crate) fn of(plan: &Plan) -> Names {
        let set = |set: &Vec<usize>| set.iter().map(|dimension| plan.dimensions[*dimension].to_string()).collect();
        let definition = |definition: &Definition| DefinitionName {
            identity: identity_of(plan, definition),
            measures: definition.measures().collect(),
        };
        Names {
            dimensions: plan.dimensions.iter().map(ToString::to_string).collect(),
            grouping_sets: plan.grouping_sets.iter().map(set).collect(),
            windows: plan.windows.iter().map(|window| format!("{window:?}")).collect(),
            definitions: plan.definitions.iter().map(definition).collect(),
        }
    }
}

fn identity_of(plan: &Plan, definition: &Definition) -> String {
    let Definition { name, fingerprint, groups_max, n_min, .. } = definition;
    let windows: Vec<_> = definition.windows.iter().map(|window| &plan.windows[*window]).collect();
    let set = |set: &usize| plan.grouping_sets[*set].iter().map(|dimension| &plan.dimensions[*dimension]);
    let sets: Vec<Vec<_>> = definition.grouping_sets.iter().map(|index| set(index).collect()).collect();
    let of_measure = |measure: usize| {
        let weighting = plan.weightings.get(&measure);
        (plan.kept.get(&measure), plan.joins.get(&measure), plan.joined_rows.get(&measure), weighting)
    };
    let measures: Vec<_> = definition.measures().map(of_measure).collect();
    format!("{name} {fingerprint} {groups_max} {n_min} {windows:?} {sets:?} {measures:?}")
}

/// A state as it was written.
pub(crate) struct State<'a> {
    pub(crate) names: Names,
    pub(crate) seen: SeenGroups<'a>,
    pub(crate) keyed: Vec<Keyed>,
    /// Frames, by measure.
    pub(crate) joins: Vec<(usize, Vec<u8>)>,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) last_event: Option<i64>,
    pub(crate) newest: Vec<Option<i64>>,
}

/// Where the old numbers are found in a new plan, or the new ones in the old.
struct Found {
    /// New dimension and grouping set to old.
    dimensions: Vec<Option<usize>>,
    grouping_sets: Vec<Option<usize>>,
    /// Old grouping set, window, and definition to new.
    sets: Vec<Option<usize>>,
    windows: Vec<Option<usize>>,
    definitions: Vec<Option<usize>>,
}

fn places<T: PartialEq>(of: &[T], among: &[T]) -> Vec<Option<usize>> {
    of.iter().map(|wanted| among.iter().position(|other| other == wanted)).collect()
}

impl Found {
    fn between(old: &Names, new: &Names) -> Found {
        let identities = |names: &Names| names.definitions.iter().map(|d| d.identity.clone()).collect::<Vec<_>>();
        Found {
            dimensions: places(&new.dimensions, &old.dimensions),
            grouping_sets: places(&new.grouping_sets, &old.grouping_sets),
            sets: places(&old.grouping_sets, &new.grouping_sets),
            windows: places(&old.windows, &new.windows),
            definitions: places(&identities(old), &identities(new)),
        }
    }

    /// Measures of the definitions that stay, old and new; those of several of them several times.
    fn measures<'a>(&'a self, old: &'a Names, new: &'a Names) -> impl Iterator<Item = (usize, usize)> + 'a {
        let both = old.definitions.iter().zip(&self.definitions).filter_map(|(old, to)| Some((old, (*to)?)));
        let measures = move |(old, to): (&'a DefinitionName, usize)| {
            old.measures.iter().copied().zip(new.definitions[to].measures.iter().copied())
        };
        both.flat_map(measures)
    }

    fn is_new(&self, definition: usize) -> bool {
        !self.definitions.contains(&Some(definition))
    }
}

impl Engine {
    /// An engine of a plan that goes on from a state; `None` where it holds
    /// nothing for the plan, or does not fit together.
    pub(crate) fn adopt(plan: Plan, state: State<'_>) -> Option<Engine> {
        let names = Names::of(&plan);
        let found = Found::between(&state.names, &names);
        let is_new: Vec<bool> = (0..plan.definitions.len()).map(|index| found.is_new(index)).collect();
        let counts = state.newest.len() == state.names.definitions.len();
        if !counts || (!plan.definitions.is_empty() && is_new.iter().all(|new| *new)) {
            return None;
        }
        let mut engine = Engine::new(plan);
        engine.groups.adopt(&state.seen, &found.dimensions, &found.grouping_sets)?;
        engine.adopt_keyed(&state.names, &names, &found, &state.keyed)?;
        engine.adopt_joins(&state.names, &names, &found, &state.joins)?;
        engine.adopt_lanes(&found, &is_new, state.lanes)?;
        for (old, new) in found.definitions.iter().enumerate() {
            new.iter().for_each(|new| engine.newest[*new] = state.newest[old]);
        }
        engine.last_event = state.last_event;
        engine.reads = is_new.iter().map(|new| !new).collect();
        engine.is_new = is_new;
        Some(engine)
    }

    fn adopt_keyed(&mut self, old: &Names, new: &Names, found: &Found, keyed: &[Keyed]) -> Option<()> {
        let recode = self.groups.recoding(&found.dimensions);
        for (from, to) in found.measures(old, new) {
            *self.keyed.get_mut(to)? = keyed.get(from)?.recoded(&recode)?;
        }
        Some(())
    }

    fn adopt_joins(&mut self, old: &Names, new: &Names, found: &Found, frames: &[(usize, Vec<u8>)]) -> Option<()> {
        for (from, to) in found.measures(old, new) {
            let Some(plan) = self.plan.joins.get(&to) else { continue };
            let (_, frame) = frames.iter().find(|(measure, _)| *measure == from)?;
            self.joins.insert(to, Joins::from_frame(plan, frame).ok()?);
        }
        Some(())
    }

    fn adopt_lanes(&mut self, found: &Found, is_new: &[bool], old: Vec<Lane>) -> Option<()> {
        let mut lanes = Vec::new();
        for lane in old {
            let (set, window) = (*found.sets.get(lane.set)?, *found.windows.get(lane.window)?);
            // One without a set or window here has no definition that is kept.
            let (Some(set), Some(window)) = (set, window) else { continue };
            lanes.extend(lane.adopted(set, window, &found.definitions)?);
        }
        lanes.extend(lanes_of(&self.plan, |definition| is_new[definition]));
        let finest_first = |lane: &Lane| (lane.window, std::cmp::Reverse(self.plan.grouping_sets[lane.set].len()));
        lanes.sort_by_key(finest_first);
        self.lanes = lanes;
        Some(())
    }

    /// Fingerprints of the definitions that have no state yet: until
    /// [`Engine::begin_history`], what is applied is for the others alone.
    pub fn new_definitions(&self) -> Vec<Arc<str>> {
        let new = self.plan.definitions.iter().zip(&self.is_new).filter(|(_, is_new)| **is_new);
        new.map(|(definition, _)| Arc::clone(&definition.fingerprint)).collect()
    }

    /// From here on what is applied is for the new definitions alone, from the first event on.
    pub fn begin_history(&mut self) {
        self.reads.clone_from(&self.is_new);
        for measure in 0..self.keyed.len() {
            // Who else reads it has seen what comes now.
            if self.is_read(measure) {
                self.keyed[measure] = Keyed::default();
                let joins = self.plan.joins.get(&measure).map(|joins| Joins::new(joins));
                self.joins.extend(joins.map(|joins| (measure, joins)));
            }
        }
    }

    /// The new definitions have read everything that the others have.
    pub fn end_history(&mut self) {
        self.is_new.fill(false);
        self.reads.fill(true);
    }

    /// Whether a definition that events are applied for reads a measure.
    pub(crate) fn is_read(&self, measure: usize) -> bool {
        let mut reading = self.plan.definitions.iter().zip(&self.reads).filter(|(_, reads)| **reads);
        reading.any(|(definition, _)| definition.measures().any(|used| used == measure))
    }
}
