//! One grouping set and one window, for all KPIs that have both: a lane. An
//! event finds its group and pane once for all of them.
//!
//! - A row exists at each end where an accepted event entered or left the
//!   window, void events included: so the rows are a function of the set.
//! - An end at or before a KPI's frontier is published. What arrives for it
//!   later is a change, and the next publication restates what it touches.
//! - Panes go when their last end lies behind the horizon. What arrives later
//!   for an end at or before it is kept as a change of its own, and restated
//!   from the published rows.
//! - An end with more groups than the limit has no rows here. When a late event
//!   moves a published end over the limit its rows are withdrawn, and shown
//!   again when it is back.
//! - KPIs that compare groups have lanes of their own (`compared`).

use std::collections::{BTreeMap, BTreeSet};

use ahash::AHashMap;
use serde::{Deserialize, Serialize};

use crate::content::{Content, Reading};
use crate::panes::GroupPanes;
use crate::row::{Compared, Reason};
use crate::sums::{Overflow, Sums};
use crate::told::Told;
use crate::weighting::Weighted;
use crate::window::{Pane, Window};

mod aging;
mod compared;
mod expired;
mod limits;
mod restate;

pub(crate) use compared::Sides;
pub(crate) use expired::PublishedRow;

/// A row of this lane, not yet told apart by KPI and group names.
#[derive(Debug, Clone)]
pub(crate) struct LaneRow {
    /// Index into [`Lane::members`].
    pub(crate) member: usize,
    pub(crate) group: u32,
    pub(crate) end: i64,
    pub(crate) revision: u32,
    pub(crate) reason: Reason,
    pub(crate) sums: Sums,
    pub(crate) told: Option<Told>,
    pub(crate) weighted: Option<Weighted>,
    pub(crate) compared: Option<Compared>,
}

/// What changed in a pane whose ends were published already.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Change {
    pane: Pane,
    delta: Content,
    recalled: bool,
}

/// A KPI of the lane.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Member {
    /// Index into the plan's definitions.
    pub(crate) definition: usize,
    /// Ends up to here are published.
    pub(crate) frontier: i64,
    reading: Reading,
    /// Most groups of one end.
    groups_max: usize,
    #[serde(with = "crate::snapshot::pairs")]
    changes: AHashMap<u32, Vec<Change>>,
    /// What changed at ends whose panes are gone, by group.
    expired: BTreeMap<u32, Vec<Change>>,
    /// Published ends that have more groups than the limit.
    over: BTreeSet<i64>,
    /// Ends and groups last published as incomplete.
    incomplete: BTreeSet<(i64, u32)>,
    /// Of a comparison: revisions after the first, by end and group.
    revisions: BTreeMap<(i64, u32), u32>,
}

/// What one publication is to do for a KPI.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    /// Ends up to here become final.
    pub(crate) end: i64,
    /// Ends up to here are complete.
    pub(crate) complete: i64,
    /// Reason of first rows.
    pub(crate) first: Reason,
}

/// What a publication gives.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) rows: Vec<LaneRow>,
    /// Members and published ends that went over their limit, or came back.
    pub(crate) flips: Vec<(usize, i64)>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Lane {
    pub(crate) set: usize,
    pub(crate) window: usize,
    pub(crate) members: Vec<Member>,
    /// Whether its KPIs compare the groups of each end.
    comparing: bool,
    /// Ends up to here can't be computed from panes any more.
    horizon: i64,
    groups: Vec<Option<Box<GroupPanes>>>,
    group_count: usize,
    /// Groups that owe a row at an end that not every KPI has published.
    due: BTreeMap<i64, Vec<u32>>,
    /// Number of groups with a pane that ends there.
    groups_of: BTreeMap<i64, usize>,
}

impl Member {
    fn new((definition, reading, groups_max): (usize, Reading, usize)) -> Member {
        Member {
            definition,
            reading,
            frontier: i64::MIN,
            groups_max,
            changes: AHashMap::new(),
            expired: BTreeMap::new(),
            over: BTreeSet::new(),
            incomplete: BTreeSet::new(),
            revisions: BTreeMap::new(),
        }
    }

    /// What a window holds as a row of this KPI.
    fn row(&self, kpi: usize, group: u32, end: i64, (revision, reason): (u32, Reason), content: &Content) -> LaneRow {
        let (told, weighted) = (content.told(&self.reading, end), content.weighted(&self.reading, end));
        LaneRow { member: kpi, group, end, revision, reason, sums: content.sums, told, weighted, compared: None }
    }

    /// Whether the lane has more groups at this end than the KPI's limit.
    pub(crate) fn is_over(&self, end: i64) -> bool {
        self.over.contains(&end)
    }

    /// Whether any end has.
    pub(crate) fn is_ever_over(&self) -> bool {
        !self.over.is_empty()
    }
}

impl Lane {
    /// A lane of (definition, what it reads, most groups) each.
    pub(crate) fn new(set: usize, window: usize, members: &[(usize, Reading, usize)]) -> Lane {
        Lane {
            set,
            window,
            members: members.iter().cloned().map(Member::new).collect(),
            comparing: false,
            horizon: i64::MIN,
            groups: Vec::new(),
            group_count: 0,
            due: BTreeMap::new(),
            groups_of: BTreeMap::new(),
        }
    }

    /// Whether its KPIs read counts, which rows do not carry, or other groups: what
    /// is published can't be restated from rows alone, and every pane is kept.
    pub(crate) fn keeps_panes(&self) -> bool {
        self.comparing || self.members.iter().any(|member| member.reading != Reading::Sums)
    }

    /// The same lane in another plan, with those of its KPIs that are there:
    /// `definitions` gives their new numbers. Inside: `None` where it has none;
    /// outside: where its parts do not fit together.
    pub(crate) fn adopted(self, set: usize, window: usize, definitions: &[Option<usize>]) -> Option<Option<Lane>> {
        let numbers: Vec<Option<usize>> =
            self.members.iter().map(|member| definitions.get(member.definition).copied()).collect::<Option<_>>()?;
        let stays: Vec<bool> = numbers.iter().map(Option::is_some).collect();
        if !stays.contains(&true) {
            return Some(None);
        }
        let mut groups = self.groups;
        for state in groups.iter_mut().flatten() {
            state.retain(&stays)?;
        }
        let moved =
            |(member, number): (Member, Option<usize>)| number.map(|definition| Member { definition, ..member });
        let members = self.members.into_iter().zip(numbers).filter_map(moved).collect();
        Some(Some(Lane { set, window, members, groups, ..self }))
    }

    /// Whether nothing was ever added.
    pub(crate) fn is_untouched(&self) -> bool {
        self.group_count == 0 && self.horizon == i64::MIN
    }

    /// Adds what an event does to each definition; a zero delta only leaves its trace.
    pub(crate) fn add(
        &mut self,
        window: &Window,
        group: u32,
        pane: Pane,
        deltas: &[Option<Content>],
        recalled: bool,
    ) -> Result<(), (usize, Overflow)> {
        if self.members.iter().all(|member| deltas[member.definition].is_none()) {
            return Ok(());
        }
        if pane.end <= self.horizon && !self.take_expired(window, group, pane, deltas, recalled)? {
            return Ok(());
        }
        let kpis = self.members.len();
        let (place, fresh) = self.group_mut(group).place(pane, kpis);
        if fresh {
            *self.groups_of.entry(pane.end).or_default() += 1;
            self.owe(window, group, pane);
        }
        let Some(state) = self.groups.get_mut(group as usize).and_then(Option::as_mut) else { return Ok(()) };
        let mut aging = Vec::new();
        for (kpi, member) in self.members.iter_mut().enumerate() {
            let Some(delta) = &deltas[member.definition] else { continue };
            let delta = member.reading.dated(delta, pane.end);
            let first = state.add(place, kpi, window.stay(), &delta).map_err(|source| (member.definition, source))?;
            aging.extend((first && member.reading.decays()).then_some(kpi));
            if pane.end <= member.frontier && (first || !delta.is_zero()) {
                let change = Change { pane, delta: delta.into_owned(), recalled };
                let noted = expired::note(member.changes.entry(group).or_default(), change);
                noted.map_err(|source| (member.definition, source))?;
            }
        }
        aging.into_iter().for_each(|kpi| self.age(window, group, pane, kpi));
        Ok(())
    }

    fn group_mut(&mut self, group: u32) -> &mut GroupPanes {
        let index = group as usize;
        if index >= self.groups.len() {
            self.groups.resize_with(index + 1, || None);
        }
        let count = &mut self.group_count;
        self.groups[index].get_or_insert_with(|| {
            *count += 1;
            Box::default()
        })
    }

    fn group_numbers(&self) -> impl Iterator<Item = (u32, &GroupPanes)> {
        (0u32..).zip(&self.groups).filter_map(|(number, group)| Some((number, group.as_deref()?)))
    }

    fn owe(&mut self, window: &Window, group: u32, pane: Pane) {
        let published = self.members.iter().map(|m| m.frontier).min().unwrap_or(i64::MAX);
        for end in [Some(pane.end), window.leave_end(pane)].into_iter().flatten() {
            if end > published.max(self.horizon) {
                self.due.entry(end).or_default().push(group);
            }
        }
    }

    /// The earliest end that a KPI owes something at.
    pub(crate) fn next_due(&self, kpi: usize) -> Option<i64> {
        let member = &self.members[kpi];
        if !member.changes.is_empty() {
            return Some(member.frontier);
        }
        self.due.range((std::ops::Bound::Excluded(member.frontier), std::ops::Bound::Unbounded)).next().map(|(e, _)| *e)
    }

    /// Publishes up to each KPI's target: the rows that become final, and those that change.
    pub(crate) fn publish(&mut self, window: &Window, targets: &[Target]) -> Result<Published, (usize, Overflow)> {
        let mut rows = Vec::new();
        let mut suspects: Vec<BTreeSet<i64>> = Vec::with_capacity(targets.len());
        let before: Vec<i64> = self.members.iter().map(|m| m.frontier).collect();
        for kpi in 0..self.members.len() {
            suspects.push(self.suspects(window, kpi));
            self.restate(window, kpi, &mut rows).map_err(|source| (self.members[kpi].definition, source))?;
        }
        self.publish_due(window, targets, &mut rows)?;
        for (member, target) in self.members.iter_mut().zip(targets) {
            member.frontier = member.frontier.max(target.end);
        }
        let mut flips = Vec::new();
        for (kpi, mut ends) in suspects.into_iter().enumerate() {
            if self.is_limited(kpi) {
                ends.extend(rows.iter().filter(|row| row.member == kpi).map(|row| row.end));
                let limited = self.limit(window, kpi, &ends, before[kpi], &mut rows);
                flips.extend(limited.map_err(|source| (self.members[kpi].definition, source))?);
            }
        }
        Ok(Published { rows, flips })
    }

    fn publish_due(
        &mut self,
        window: &Window,
        targets: &[Target],
        rows: &mut Vec<LaneRow>,
    ) -> Result<(), (usize, Overflow)> {
        let highest = targets.iter().map(|t| t.end).max().unwrap_or(i64::MIN);
        let lowest = self.members.iter().map(|m| m.frontier).min().unwrap_or(i64::MAX);
        let unpublished = (std::ops::Bound::Excluded(lowest), std::ops::Bound::Included(highest));
        if lowest >= highest {
            return Ok(());
        }
        let ends: Vec<i64> = self.due.range(unpublished).map(|(end, _)| *end).collect();
        for end in ends {
            let Some(mut groups) = self.due.remove(&end) else { continue };
            groups.sort_unstable();
            groups.dedup();
            for group in &groups {
                self.publish_group(window, targets, *group, end, rows)?;
            }
            if self.members.iter().zip(targets).any(|(member, target)| member.frontier.max(target.end) < end) {
                self.due.insert(end, groups);
            }
        }
        Ok(())
    }

    fn publish_group(
        &mut self,
        window: &Window,
        targets: &[Target],
        group: u32,
        end: i64,
        rows: &mut Vec<LaneRow>,
    ) -> Result<(), (usize, Overflow)> {
        let kpis = self.members.len();
        let Some(state) = self.groups.get_mut(group as usize).and_then(Option::as_mut) else { return Ok(()) };
        let owners = state.owners(window, end);
        for (kpi, (member, target)) in self.members.iter().zip(targets).enumerate() {
            if end <= member.frontier || end > target.end || !state.has_row(owners, kpi) {
                continue;
            }
            let content = state.next_content(kpi, kpis, window, end).map_err(|source| (member.definition, source))?;
            rows.push(member.row(kpi, group, end, (1, target.first), &content));
            state.set_revision(owners, kpi, 1);
        }
        Ok(())
    }

    /// Every row of a published end once more, or withdrawn.
    pub(crate) fn repeat(
        &mut self,
        window: &Window,
        kpi: usize,
        end: i64,
        withdrawn: bool,
    ) -> Result<Vec<LaneRow>, Overflow> {
        let mut rows = Vec::new();
        for group in 0..u32::try_from(self.groups.len()).unwrap_or(u32::MAX) {
            rows.extend(self.once_more(window, kpi, group, end, withdrawn)?);
        }
        Ok(rows)
    }

    /// A published row once more, or withdrawn; `None` where there is none.
    fn once_more(
        &mut self,
        window: &Window,
        kpi: usize,
        group: u32,
        end: i64,
        withdrawn: bool,
    ) -> Result<Option<LaneRow>, Overflow> {
        let Some(state) = self.groups[group as usize].as_deref_mut() else { return Ok(None) };
        let owners = state.owners(window, end);
        let revision = match state.revision(owners, kpi) {
            0 => return Ok(None),
            earlier => earlier + 1,
        };
        let (reason, content) = match withdrawn {
            true => (Reason::Withdrawn, Content::default()),
            false => (Reason::Late, state.content_at(kpi, window.stay(), end)?),
        };
        state.set_revision(owners, kpi, revision);
        Ok(Some(self.members[kpi].row(kpi, group, end, (revision, reason), &content)))
    }

    /// Notes how rows were published: complete or not. Gives those that were
    /// incomplete and are so no longer, once more.
    pub(crate) fn complete(
        &mut self,
        window: &Window,
        targets: &[Target],
        rows: &[LaneRow],
    ) -> Result<Vec<LaneRow>, (usize, Overflow)> {
        self.note_incomplete(targets, rows);
        let mut completed = Vec::new();
        for (kpi, target) in targets.iter().enumerate() {
            while let Some((end, group)) = self.members[kpi].incomplete.first().copied() {
                if end > target.complete {
                    break;
                }
                self.members[kpi].incomplete.remove(&(end, group));
                let row = self.once_more(window, kpi, group, end, false);
                completed.extend(row.map_err(|source| (self.members[kpi].definition, source))?);
            }
        }
        Ok(completed)
    }

    fn note_incomplete(&mut self, targets: &[Target], rows: &[LaneRow]) {
        for row in rows {
            let incomplete = &mut self.members[row.member].incomplete;
            if row.end > targets[row.member].complete && row.reason != Reason::Withdrawn {
                incomplete.insert((row.end, row.group));
            } else {
                incomplete.remove(&(row.end, row.group));
            }
        }
    }

    /// Raises a row's revision to one that it was published with before.
    pub(crate) fn restore(
        &mut self,
        window: &Window,
        kpi: usize,
        group: u32,
        end: i64,
        (revision, incomplete): (u32, bool),
    ) {
        if end <= self.horizon {
            return;
        }
        if self.comparing {
            return self.restore_compared(kpi, group, end, (revision, incomplete));
        }
        let state = self.group_mut(group);
        let owners = state.owners(window, end);
        if revision < state.revision(owners, kpi) {
            return;
        }
        state.set_revision(owners, kpi, revision);
        if incomplete {
            self.members[kpi].incomplete.insert((end, group));
        } else {
            self.members[kpi].incomplete.remove(&(end, group));
        }
    }

    /// The newest published row of each group of a KPI, and whether it is incomplete.
    pub(crate) fn finals(&self, window: &Window, kpi: usize) -> Result<Vec<(LaneRow, bool)>, Overflow> {
        let member = &self.members[kpi];
        let mut rows = Vec::new();
        for (group, state) in self.group_numbers() {
            let Some(end) = state.last_row_end(window, kpi, member.frontier) else { continue };
            if member.is_over(end) {
                continue;
            }
            let revision = state.revision(state.owners(window, end), kpi);
            let content = state.content_at(kpi, window.stay(), end)?;
            let row = member.row(kpi, group, end, (revision, Reason::Initial), &content);
            rows.push((row, member.incomplete.contains(&(end, group))));
        }
        Ok(rows)
    }

    /// The open window that ends at `end` of each group of a KPI; `None` when
    /// it has content of more groups than the limit.
    pub(crate) fn open(&self, window: &Window, kpi: usize, end: i64) -> Result<Option<Vec<LaneRow>>, Overflow> {
        let member = &self.members[kpi];
        let mut open = Vec::with_capacity(self.group_count);
        for (group, state) in self.group_numbers() {
            let content = state.content_at(kpi, window.stay(), end)?;
            open.push(member.row(kpi, group, end, (0, Reason::Live), &content));
        }
        let filled = open.iter().filter(|row| !row.sums.is_zero()).count();
        Ok((filled <= member.groups_max).then_some(open))
    }
}
