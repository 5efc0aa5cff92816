//! KPIs that compare groups: the rows of all groups of an end, made of what each holds there.
//!
//! - Rows stand at each end where any group of the lane has an event that enters or leaves, for
//!   every group that holds something or has such an event. So they are a function of the set.
//! - A late change may move the row of every group. What an end was published with is worked out
//!   from what the groups hold now less what has changed, and only what differs is published anew.
//! - A row whose group holds nothing here any more is withdrawn, and so are all where there are too
//!   many groups.
//! - Every pane is kept: the rows of one group do not tell of the others.

use std::collections::{BTreeMap, BTreeSet};

use super::{Change, Lane, LaneRow, Target, expired};
use crate::compare::{Entry, compare};
use crate::content::{Content, Reading};
use crate::definition::Definition;
use crate::groups::Groups;
use crate::panes::GroupPanes;
use crate::row::{Compared, Reason};
use crate::sums::{Overflow, Sums};
use crate::told::Told;
use crate::window::Window;

/// What a comparison reads beside its lane.
pub(crate) struct Sides<'a> {
    pub(crate) definitions: &'a [Definition],
    pub(crate) groups: &'a Groups,
}

/// What the row of a group says.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Standing {
    sums: Sums,
    told: Option<Told>,
    compared: Compared,
}

/// The rows of one end, by group.
type Rows = BTreeMap<u32, Standing>;

impl Standing {
    fn row(self, member: usize, group: u32, end: i64, (revision, reason): (u32, Reason)) -> LaneRow {
        let Standing { sums, told, compared } = self;
        LaneRow { member, group, end, revision, reason, sums, told, weighted: None, compared: Some(compared) }
    }

    /// Of a group that holds nothing.
    fn of_nothing(reading: &Reading) -> Standing {
        Standing { sums: Sums::default(), told: Content::default().told(reading, 0), compared: Compared::default() }
    }
}

fn entry(group: u32, state: &GroupPanes, (window, kpi, end): (&Window, usize, i64), content: Content) -> Entry {
    let owners = state.owners(window, end);
    Entry { group, content, own: state.has_row(owners, kpi), was_own: state.revision(owners, kpi) > 0 }
}

fn filled(entries: &[Entry]) -> usize {
    entries.iter().filter(|entry| !entry.content.is_zero()).count()
}

impl Lane {
    /// A lane of KPIs that compare the groups of each end.
    pub(crate) fn comparing(set: usize, window: usize, members: &[(usize, Reading, usize)]) -> Lane {
        Lane { comparing: true, ..Lane::new(set, window, members) }
    }

    /// Whether its KPIs compare the groups of each end.
    pub(crate) fn is_comparing(&self) -> bool {
        self.comparing
    }

    /// Every group at an end.
    fn entries(&self, window: &Window, kpi: usize, end: i64) -> Result<Vec<Entry>, Overflow> {
        let of = |(group, state): (u32, &GroupPanes)| {
            let content = state.content_at(kpi, window.stay(), end)?;
            Ok(entry(group, state, (window, kpi, end), content))
        };
        self.group_numbers().map(of).collect()
    }

    /// The same for ends that only grow.
    fn next_entries(&mut self, window: &Window, kpi: usize, end: i64) -> Result<Vec<Entry>, Overflow> {
        let kpis = self.members.len();
        let states = (0u32..).zip(&mut self.groups).filter_map(|(group, state)| Some((group, state.as_deref_mut()?)));
        let of = |(group, state): (u32, &mut GroupPanes)| {
            let content = state.next_content(kpi, kpis, window, end)?.into_owned();
            Ok(entry(group, state, (window, kpi, end), content))
        };
        states.map(of).collect()
    }

    /// The rows that an end has when its groups hold this.
    fn standing(&self, kpi: usize, entries: Vec<Entry>, sides: &Sides<'_>) -> Result<Rows, Overflow> {
        let member = &self.members[kpi];
        if !entries.iter().any(|entry| entry.own) || filled(&entries) > member.groups_max {
            return Ok(Rows::new());
        }
        let here: Vec<Entry> = entries.into_iter().filter(|e| e.own || !e.content.is_zero()).collect();
        let name = |group: u32| sides.groups.values(self.set, group);
        let compared = compare(&sides.definitions[member.definition], &here, name)?;
        let row = |(entry, compared): (Entry, Compared)| {
            let (sums, told) = (entry.content.sums, entry.content.told(&member.reading, 0));
            (entry.group, Standing { sums, told, compared })
        };
        Ok(here.into_iter().zip(compared).map(row).collect())
    }

    /// Publishes up to each KPI's target: the rows that become final, and those that change.
    pub(crate) fn publish_compared(
        &mut self,
        window: &Window,
        targets: &[Target],
        sides: &Sides<'_>,
    ) -> Result<Vec<LaneRow>, (usize, Overflow)> {
        let mut rows = Vec::new();
        for kpi in 0..self.members.len() {
            let restated = self.restate_compared(window, kpi, sides, &mut rows);
            restated.map_err(|source| (self.members[kpi].definition, source))?;
        }
        for end in self.unpublished(targets) {
            for (kpi, target) in targets.iter().enumerate() {
                if (self.members[kpi].frontier < end) && (end <= target.end) {
                    let first = self.publish_end(window, kpi, (end, target.first), sides);
                    rows.extend(first.map_err(|source| (self.members[kpi].definition, source))?);
                }
            }
            if self.members.iter().zip(targets).all(|(member, target)| member.frontier.max(target.end) >= end) {
                self.due.remove(&end);
            }
        }
        for (member, target) in self.members.iter_mut().zip(targets) {
            member.frontier = member.frontier.max(target.end);
        }
        Ok(rows)
    }

    /// Ends that owe rows up to the furthest target.
    fn unpublished(&self, targets: &[Target]) -> Vec<i64> {
        let highest = targets.iter().map(|target| target.end).max().unwrap_or(i64::MIN);
        let lowest = self.members.iter().map(|member| member.frontier).min().unwrap_or(i64::MAX);
        if lowest >= highest {
            return Vec::new();
        }
        let range = (std::ops::Bound::Excluded(lowest), std::ops::Bound::Included(highest));
        self.due.range(range).map(|(end, _)| *end).collect()
    }

    fn publish_end(
        &mut self,
        window: &Window,
        kpi: usize,
        (end, reason): (i64, Reason),
        sides: &Sides<'_>,
    ) -> Result<Vec<LaneRow>, Overflow> {
        let entries = self.next_entries(window, kpi, end)?;
        self.note_published(window, kpi, end, &entries);
        let standing = self.standing(kpi, entries, sides)?;
        let row = |(group, standing): (u32, Standing)| {
            let revision = self.next_revision(kpi, end, group, false);
            standing.row(kpi, group, end, (revision, reason))
        };
        Ok(standing.into_iter().map(row).collect())
    }

    /// Remembers which groups had an event that enters or leaves.
    fn note_published(&mut self, window: &Window, kpi: usize, end: i64, entries: &[Entry]) {
        for entry in entries.iter().filter(|entry| entry.own && !entry.was_own) {
            let state = self.group_mut(entry.group);
            let owners = state.owners(window, end);
            state.set_revision(owners, kpi, 1);
        }
    }

    fn next_revision(&mut self, kpi: usize, end: i64, group: u32, is_shown: bool) -> u32 {
        let revisions = &mut self.members[kpi].revisions;
        let next = revisions.get(&(end, group)).copied().unwrap_or(u32::from(is_shown)) + 1;
        if next > 1 {
            revisions.insert((end, group), next);
        }
        next
    }

    fn restate_compared(
        &mut self,
        window: &Window,
        kpi: usize,
        sides: &Sides<'_>,
        rows: &mut Vec<LaneRow>,
    ) -> Result<(), Overflow> {
        let changes: BTreeMap<u32, Vec<Change>> = self.members[kpi].changes.drain().collect();
        let recalled = changes.values().flatten().any(|change| change.recalled);
        let reason = if recalled { Reason::Retraction } else { Reason::Late };
        let ends = self.ends_touched(window, kpi, &changes);
        let deltas = |(group, changes): (&u32, &Vec<Change>)| Ok((*group, expired::Deltas::of(window, changes)?));
        let mut deltas = changes.iter().map(deltas).collect::<Result<BTreeMap<_, _>, Overflow>>()?;
        for end in ends {
            let now = self.entries(window, kpi, end)?;
            let Some(before) = earlier(&now, &mut deltas, end)? else { continue };
            self.note_published(window, kpi, end, &now);
            let (before, now) = (self.standing(kpi, before, sides)?, self.standing(kpi, now, sides)?);
            rows.extend(self.differing(kpi, (end, reason), &before, &now));
        }
        Ok(())
    }

    /// Published ends at which what a changed group holds may differ.
    fn ends_touched(&self, window: &Window, kpi: usize, changes: &BTreeMap<u32, Vec<Change>>) -> BTreeSet<i64> {
        let mut ends = BTreeSet::new();
        for (from, to) in changes.values().flat_map(|changes| expired::stretches(window, changes)) {
            let to = to.min(self.members[kpi].frontier);
            if from > to {
                continue;
            }
            ends.extend(self.groups_of.range(from..=to).map(|(end, _)| *end));
            let Some(length) = window.length() else { continue };
            let left = self.groups_of.range(from.saturating_sub(length)..=to.saturating_sub(length));
            ends.extend(left.map(|(end, _)| end + length));
        }
        ends
    }

    /// Revisions of the rows that are not what they were.
    fn differing(&mut self, kpi: usize, (end, reason): (i64, Reason), before: &Rows, now: &Rows) -> Vec<LaneRow> {
        let nothing = Standing::of_nothing(&self.members[kpi].reading);
        let changed = now.iter().filter(|(group, standing)| before.get(*group) != Some(*standing));
        let changed = changed.map(|(group, standing)| (*group, *standing, reason));
        let gone = before.keys().filter(|group| !now.contains_key(*group));
        let gone = gone.map(|group| (*group, nothing, Reason::Withdrawn));
        let row = |(group, standing, reason): (u32, Standing, Reason)| {
            let revision = self.next_revision(kpi, end, group, before.contains_key(&group));
            standing.row(kpi, group, end, (revision, reason))
        };
        changed.chain(gone).map(row).collect()
    }

    /// As [`Lane::complete`].
    pub(crate) fn complete_compared(
        &mut self,
        window: &Window,
        targets: &[Target],
        rows: &[LaneRow],
        sides: &Sides<'_>,
    ) -> Result<Vec<LaneRow>, (usize, Overflow)> {
        self.note_incomplete(targets, rows);
        let mut completed = Vec::new();
        for (kpi, target) in targets.iter().enumerate() {
            let again = self.completed(window, kpi, target.complete, sides);
            completed.extend(again.map_err(|source| (self.members[kpi].definition, source))?);
        }
        Ok(completed)
    }

    /// Rows once more that were published as incomplete and are so no longer.
    fn completed(
        &mut self,
        window: &Window,
        kpi: usize,
        complete: i64,
        sides: &Sides<'_>,
    ) -> Result<Vec<LaneRow>, Overflow> {
        let incomplete = &mut self.members[kpi].incomplete;
        let waiting = complete.checked_add(1).map_or_else(BTreeSet::new, |after| incomplete.split_off(&(after, 0)));
        let mut ends: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        for (end, group) in std::mem::replace(incomplete, waiting) {
            ends.entry(end).or_default().push(group);
        }
        let mut rows = Vec::new();
        for (end, groups) in ends {
            let standing = self.standing(kpi, self.entries(window, kpi, end)?, sides)?;
            for group in groups {
                let Some(standing) = standing.get(&group) else { continue };
                let revision = self.next_revision(kpi, end, group, true);
                rows.push(standing.row(kpi, group, end, (revision, Reason::Late)));
            }
        }
        Ok(rows)
    }

    /// As [`Lane::restore`].
    pub(super) fn restore_compared(&mut self, kpi: usize, group: u32, end: i64, (revision, incomplete): (u32, bool)) {
        let member = &mut self.members[kpi];
        if revision < member.revisions.get(&(end, group)).copied().unwrap_or(1) {
            return;
        }
        if revision > 1 {
            member.revisions.insert((end, group), revision);
        }
        if incomplete {
            member.incomplete.insert((end, group));
        } else {
            member.incomplete.remove(&(end, group));
        }
    }

    /// As [`Lane::finals`]. A group that holds nothing at the newest end was last told of at an end of its own.
    pub(crate) fn finals_compared(
        &self,
        window: &Window,
        kpi: usize,
        sides: &Sides<'_>,
    ) -> Result<Vec<(LaneRow, bool)>, Overflow> {
        let member = &self.members[kpi];
        let last = |(group, state): (u32, &GroupPanes)| {
            state.last_row_end(window, kpi, member.frontier).map(|end| (end, group))
        };
        let mut by_end: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        self.group_numbers().filter_map(last).for_each(|(end, group)| by_end.entry(end).or_default().push(group));
        let Some(newest) = by_end.last_key_value().map(|(end, _)| *end) else { return Ok(Vec::new()) };
        let at_newest = self.standing(kpi, self.entries(window, kpi, newest)?, sides)?;
        let mut rows: Vec<(u32, i64, Standing)> =
            at_newest.iter().map(|(group, standing)| (*group, newest, *standing)).collect();
        for (end, groups) in by_end.range(..newest) {
            let earlier = groups.iter().copied().filter(|group| !at_newest.contains_key(group));
            rows.extend(self.earlier_rows((window, kpi, *end), earlier, sides)?);
        }
        let row = |(group, end, standing): (u32, i64, Standing)| {
            let revision = member.revisions.get(&(end, group)).copied().unwrap_or(1);
            let row = standing.row(kpi, group, end, (revision, Reason::Initial));
            (row, member.incomplete.contains(&(end, group)))
        };
        Ok(rows.into_iter().map(row).collect())
    }

    /// Rows of some groups at an end. What holds nothing needs no look at the others.
    fn earlier_rows(
        &self,
        (window, kpi, end): (&Window, usize, i64),
        groups: impl Iterator<Item = u32>,
        sides: &Sides<'_>,
    ) -> Result<Vec<(u32, i64, Standing)>, Overflow> {
        let mut rows = Vec::new();
        let mut all: Option<Rows> = None;
        for group in groups {
            let Some(state) = self.groups[group as usize].as_deref() else { continue };
            if state.content_at(kpi, window.stay(), end)?.is_zero() {
                rows.push((group, end, Standing::of_nothing(&self.members[kpi].reading)));
                continue;
            }
            if all.is_none() {
                all = Some(self.standing(kpi, self.entries(window, kpi, end)?, sides)?);
            }
            rows.extend(all.iter().filter_map(|all| Some((group, end, *all.get(&group)?))));
        }
        Ok(rows)
    }

    /// As [`Lane::open`]; nothing where more groups than the limit have content.
    pub(crate) fn open_compared(
        &self,
        window: &Window,
        kpi: usize,
        end: i64,
        sides: &Sides<'_>,
    ) -> Result<Vec<LaneRow>, Overflow> {
        let mut entries = self.entries(window, kpi, end)?;
        entries.iter_mut().for_each(|entry| entry.own = true);
        let standing = self.standing(kpi, entries, sides)?;
        Ok(standing.into_iter().map(|(group, row)| row.row(kpi, group, end, (0, Reason::Live))).collect())
    }
}

/// What the groups of an end were published with; `None` where nothing is different.
fn earlier(
    now: &[Entry],
    deltas: &mut BTreeMap<u32, expired::Deltas>,
    end: i64,
) -> Result<Option<Vec<Entry>>, Overflow> {
    let mut differs = false;
    let mut before = now.to_vec();
    for entry in &mut before {
        differs |= entry.own != entry.was_own;
        entry.own = entry.was_own;
        let Some(delta) = deltas.get_mut(&entry.group).map(|deltas| deltas.at(end)).transpose()? else { continue };
        if !delta.is_zero() {
            entry.content.subtract(delta)?;
            differs = true;
        }
    }
    Ok(differs.then_some(before))
}
