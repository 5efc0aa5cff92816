//! Ends whose panes are gone: what arrives for them is restated from the rows
//! that were published, whose content is exact.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use super::{Change, Lane, LaneRow};
use crate::content::Content;
use crate::panes::holds;
use crate::row::Reason;
use crate::sums::{Overflow, Sums};
use crate::window::{Pane, Window};

/// Fewer changes of a group than this are kept as they come.
const MERGE_CHANGES_MIN: usize = 1024;

/// The last revision of a published row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PublishedRow {
    pub(crate) revision: u32,
    pub(crate) sums: Sums,
}

impl Lane {
    /// Takes a change at an end behind the horizon; whether the pane is still
    /// wanted for the ends that lie before it.
    pub(super) fn take_expired(
        &mut self,
        window: &Window,
        group: u32,
        pane: Pane,
        deltas: &[Option<Content>],
        recalled: bool,
    ) -> Result<bool, (usize, Overflow)> {
        for member in self.members.iter_mut().filter(|member| member.frontier >= self.horizon) {
            let Some(delta) = &deltas[member.definition] else { continue };
            let change = Change { pane, delta: delta.clone(), recalled };
            note(member.expired.entry(group).or_default(), change).map_err(|source| (member.definition, source))?;
        }
        if window.last_end(pane).is_none_or(|end| end > self.horizon) {
            return if window.stay().is_none() { self.fold(group, pane, deltas, recalled) } else { Ok(true) };
        }
        Ok(false)
    }

    /// Takes a change into sums that no window loses, unless the group has no
    /// later pane: the newest one stays.
    fn fold(
        &mut self,
        group: u32,
        pane: Pane,
        deltas: &[Option<Content>],
        recalled: bool,
    ) -> Result<bool, (usize, Overflow)> {
        if !self.group_mut(group).has_later(pane) {
            return Ok(true);
        }
        let kpis = self.members.len();
        for kpi in 0..kpis {
            let definition = self.members[kpi].definition;
            let Some(delta) = deltas[definition].as_ref().filter(|delta| !delta.is_zero()) else { continue };
            self.group_mut(group).fold(kpi, kpis, delta).map_err(|source| (definition, source))?;
            if pane.end <= self.members[kpi].frontier {
                let change = Change { pane, delta: delta.clone(), recalled };
                let noted = note(self.members[kpi].changes.entry(group).or_default(), change);
                noted.map_err(|source| (definition, source))?;
            }
        }
        Ok(false)
    }

    /// How far back the horizon may lie at most: behind it nothing is owed.
    pub(crate) fn settled_to(&self) -> i64 {
        let settled = |member: &super::Member| {
            let waiting = member.incomplete.first().map_or(i64::MAX, |(end, _)| end.saturating_sub(1));
            member.frontier.min(waiting)
        };
        self.members.iter().map(settled).min().unwrap_or(i64::MIN)
    }

    /// Ends up to here have no panes any more.
    pub(crate) fn horizon(&self) -> i64 {
        self.horizon
    }

    /// Moves the horizon forward and drops what lies behind it.
    pub(crate) fn expire(&mut self, window: &Window, horizon: i64) -> Result<(), Overflow> {
        self.horizon = horizon;
        for slot in &mut self.groups {
            let Some(state) = slot.as_deref_mut() else { continue };
            if !state.expire(window, horizon)? {
                *slot = None;
                self.group_count -= 1;
            }
        }
        let last_kept = horizon.saturating_sub(window.length().unwrap_or(0)).saturating_add(1);
        self.groups_of = self.groups_of.split_off(&last_kept);
        Ok(())
    }

    /// Changes to published ends that wait to be restated.
    pub(crate) fn waiting_changes(&self) -> usize {
        let of = |member: &super::Member| {
            let late = member.changes.values().map(Vec::len).sum::<usize>();
            late + member.expired.values().map(Vec::len).sum::<usize>()
        };
        self.members.iter().map(of).sum()
    }

    /// The stretches of ends that a KPI's changes behind the horizon touch, by group.
    pub(crate) fn touched(&self, window: &Window, kpi: usize) -> impl Iterator<Item = (u32, Vec<(i64, i64)>)> {
        self.members[kpi].expired.iter().map(|(group, changes)| (*group, stretches(window, changes)))
    }

    /// Whether anything changed behind the horizon.
    pub(crate) fn has_expired_changes(&self) -> bool {
        self.members.iter().any(|member| !member.expired.is_empty())
    }

    /// The published ends that are wanted to restate a KPI's changes behind the
    /// horizon: after the first (`None`: from the beginning), up to the second.
    pub(crate) fn expired_range(&self, window: &Window, kpi: usize) -> Option<(Option<i64>, i64)> {
        let panes = || self.members[kpi].expired.values().flatten().map(|change| change.pane);
        let first = panes().map(|pane| pane.end).min()?;
        let last = panes().map(|pane| window.last_end(pane).unwrap_or(i64::MAX)).max()?;
        let back = window.length().or(window.stay().map(|_| 1));
        Some((back.map(|back| first.saturating_sub(back)), last.min(self.horizon)))
    }

    /// Takes the changes of a KPI behind the horizon.
    pub(crate) fn drain_expired(&mut self, kpi: usize) -> BTreeMap<u32, Vec<Change>> {
        std::mem::take(&mut self.members[kpi].expired)
    }

    /// Restates the published rows of a group, by end, that changes touch.
    pub(crate) fn restate_expired(
        &self,
        window: &Window,
        kpi: usize,
        group: u32,
        changes: &[Change],
        published: &BTreeMap<i64, PublishedRow>,
    ) -> Result<Vec<LaneRow>, Overflow> {
        let recalled = changes.iter().any(|change| change.recalled);
        let reason = if recalled { Reason::Retraction } else { Reason::Late };
        let mut deltas = Deltas::of(window, changes)?;
        let mut rows = Vec::new();
        for end in self.expired_ends(window, changes, published) {
            let delta = deltas.at(end)?;
            let revision = published.get(&end).map_or(0, |row| row.revision);
            if self.members[kpi].is_over(end) || (revision > 0 && delta.is_zero()) {
                continue;
            }
            let mut content = Content::from(carried(window, published, end));
            content.add(delta)?;
            rows.push(self.members[kpi].row(kpi, group, end, (revision + 1, reason), &content));
        }
        Ok(rows)
    }

    /// Ends behind the horizon that changes touch: those that have a row, and those that now owe one.
    fn expired_ends(
        &self,
        window: &Window,
        changes: &[Change],
        published: &BTreeMap<i64, PublishedRow>,
    ) -> BTreeSet<i64> {
        let owed = changes.iter().flat_map(|change| [Some(change.pane.end), window.leave_end(change.pane)]);
        let first = changes.iter().map(|change| change.pane.end).min().unwrap_or(i64::MAX);
        let there = published.keys().copied().filter(|end| *end >= first);
        owed.flatten().chain(there).filter(|end| *end <= self.horizon).collect()
    }
}

/// What a window held before: its last row says so, as nothing came or went since.
fn carried(window: &Window, published: &BTreeMap<i64, PublishedRow>, end: i64) -> Sums {
    let is_period = window.stay().is_some() && window.length().is_none();
    let row = if is_period { published.get(&end) } else { published.range(..=end).next_back().map(|(_, row)| row) };
    row.map(|row| row.sums).unwrap_or_default()
}

/// Ends that changes touch, as stretches in order that do not meet.
pub(super) fn stretches(window: &Window, changes: &[Change]) -> Vec<(i64, i64)> {
    let mut panes: Vec<Pane> = changes.iter().map(|change| change.pane).collect();
    panes.sort_unstable_by_key(|pane| pane.end);
    let mut stretches: Vec<(i64, i64)> = Vec::new();
    for pane in panes {
        let last = window.last_end(pane).unwrap_or(i64::MAX);
        match stretches.last_mut() {
            Some(before) if pane.end <= before.1 => before.1 = before.1.max(last),
            _ => stretches.push((pane.end, last)),
        }
    }
    stretches
}

/// Keeps a change; those of one pane are one now and then, so that a flood of
/// late events takes no more memory than the panes that it falls into.
pub(super) fn note(changes: &mut Vec<Change>, change: Change) -> Result<(), Overflow> {
    if changes.len() == changes.capacity() && changes.len() >= MERGE_CHANGES_MIN {
        let full = changes.len();
        *changes = merged(changes)?;
        if changes.len() > full / 2 {
            changes.reserve(full);
        }
    }
    changes.push(change);
    Ok(())
}

/// One change for each pane, those of recalled events by themselves; in the order of their ends.
fn merged(changes: &[Change]) -> Result<Vec<Change>, Overflow> {
    let mut by_pane: BTreeMap<(i64, bool), Change> = BTreeMap::new();
    for change in changes {
        match by_pane.entry((change.pane.end, change.recalled)) {
            Entry::Vacant(place) => _ = place.insert(change.clone()),
            Entry::Occupied(mut place) => place.get_mut().delta.add(&change.delta)?,
        }
    }
    Ok(by_pane.into_values().collect())
}

/// What changes do to a window's content, asked for one end after the other: what
/// enters is added and what leaves is taken away, whatever the number of ends.
pub(super) struct Deltas {
    changes: Vec<Change>,
    stay: Option<i64>,
    /// Changes that have entered, and of those the ones that have left.
    entered: usize,
    left: usize,
    content: Content,
}

impl Deltas {
    pub(super) fn of(window: &Window, changes: &[Change]) -> Result<Deltas, Overflow> {
        let changes = merged(changes)?;
        Ok(Deltas { changes, stay: window.stay(), entered: 0, left: 0, content: Content::default() })
    }

    /// At an end, which is not before the last one.
    pub(super) fn at(&mut self, end: i64) -> Result<&Content, Overflow> {
        while let Some(change) = self.changes.get(self.entered).filter(|change| change.pane.end <= end) {
            self.content.add(&change.delta)?;
            self.entered += 1;
        }
        for change in &self.changes[self.left..self.entered] {
            if holds(change.pane, self.stay, end) {
                break;
            }
            self.content.subtract(&change.delta)?;
            self.left += 1;
        }
        Ok(&self.content)
    }
}
