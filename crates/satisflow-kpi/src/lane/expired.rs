//! Ends whose panes are gone: what arrives for them is restated from the rows
//! that were published, whose content is exact.

use std::collections::{BTreeMap, BTreeSet};

use super::{Change, Lane, LaneRow};
use crate::content::Content;
use crate::panes::holds;
use crate::row::Reason;
use crate::sums::{Overflow, Sums};
use crate::window::{Pane, Window};

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
            member.expired.entry(group).or_default().push(Change { pane, delta: delta.clone(), recalled });
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
                self.members[kpi].changes.entry(group).or_default().push(Change {
                    pane,
                    delta: delta.clone(),
                    recalled,
                });
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
        let mut rows = Vec::new();
        for end in self.expired_ends(window, changes, published) {
            let delta = delta_at(window, changes, end)?;
            let revision = published.get(&end).map_or(0, |row| row.revision);
            if self.members[kpi].is_over(end) || (revision > 0 && delta.is_zero()) {
                continue;
            }
            let mut content = Content::from(carried(window, published, end));
            content.add(&delta)?;
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

/// What changes do to a window's content.
pub(super) fn delta_at(window: &Window, changes: &[Change], end: i64) -> Result<Content, Overflow> {
    let mut delta = Content::default();
    for change in changes.iter().filter(|change| holds(change.pane, window.stay(), end)) {
        delta.add(&change.delta)?;
    }
    Ok(delta)
}
