//! One KPI, one grouping set, one window: the panes of each group and the rows
//! that they owe.
//!
//! - A row exists at each end where an accepted event entered or left the
//!   window, void events included: so the rows are a function of the set.
//! - An end at or before the frontier is published. What arrives for it later
//!   makes the series dirty, and the next publication restates it.
//! - In order, a row costs the panes that entered and left since the last one,
//!   whatever the window's length.

use std::collections::BTreeMap;

use ahash::AHashMap;

use crate::rows::Reason;
use crate::sums::{Overflow, Sums};
use crate::window::{Pane, Window};

/// A row of this series, not yet told apart by KPI and group names.
#[derive(Debug)]
pub(crate) struct SeriesRow {
    pub(crate) group: u32,
    pub(crate) end: i64,
    pub(crate) revision: u32,
    pub(crate) reason: Reason,
    pub(crate) sums: Sums,
}

#[derive(Debug)]
struct PaneState {
    pane: Pane,
    sums: Sums,
    /// Revision of the row at the end where this pane entered; 0: none yet.
    enter_revision: u32,
    /// Revision of the row at the end where this pane left; 0: none yet.
    leave_revision: u32,
}

/// The sums of a window that ends at `end`, kept by what enters and leaves.
#[derive(Debug, Clone, Copy)]
struct Slide {
    end: i64,
    sums: Sums,
}

#[derive(Debug)]
struct GroupSeries {
    /// Sorted by start.
    panes: Vec<PaneState>,
    slide: Slide,
}

/// What changed in a pane whose ends were published already.
#[derive(Debug)]
struct Change {
    pane: Pane,
    delta: Sums,
    recalled: bool,
}

#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) definition: usize,
    pub(crate) set: usize,
    pub(crate) window: usize,
    groups: Vec<Option<Box<GroupSeries>>>,
    group_count: usize,
    due: BTreeMap<i64, Vec<u32>>,
    changes: AHashMap<u32, Vec<Change>>,
    frontier: i64,
}

fn holds(pane: Pane, stay: Option<i64>, end: i64) -> bool {
    pane.end <= end && stay.is_none_or(|stay| end <= pane.end.saturating_add(stay))
}

impl Slide {
    const EMPTY: Slide = Slide { end: i64::MIN, sums: ZERO };

    /// Moves the end forward to `end`.
    fn advance(&mut self, panes: &[PaneState], stay: Option<i64>, end: i64) -> Result<(), Overflow> {
        let entered = panes.partition_point(|p| p.pane.end <= self.end);
        for state in panes[entered..].iter().take_while(|p| p.pane.end <= end) {
            if holds(state.pane, stay, end) {
                self.sums.add(&state.sums)?;
            }
        }
        if let Some(stay) = stay {
            let first_held = panes.partition_point(|p| p.pane.end.saturating_add(stay) < self.end);
            for state in &panes[first_held.min(entered)..entered] {
                if state.pane.end.saturating_add(stay) >= end {
                    break;
                }
                self.sums.subtract(&state.sums)?;
            }
        }
        self.end = end;
        Ok(())
    }

    /// The window at any end, from its panes.
    fn at(panes: &[PaneState], stay: Option<i64>, end: i64) -> Result<Slide, Overflow> {
        let first = stay.map_or(0, |stay| panes.partition_point(|p| p.pane.end.saturating_add(stay) < end));
        let mut sums = Sums::default();
        for state in panes[first..].iter().take_while(|p| p.pane.end <= end) {
            sums.add(&state.sums)?;
        }
        Ok(Slide { end, sums })
    }
}

const ZERO: Sums = Sums {
    n: 0,
    base_n: 0,
    w: 0,
    wx: 0,
    ww: 0,
    wwx: arrow::datatypes::i256::ZERO,
    wwxx: arrow::datatypes::i256::ZERO,
    base: 0,
};

impl GroupSeries {
    fn find(&self, pane: Pane) -> Result<usize, usize> {
        match self.panes.last() {
            Some(last) if last.pane == pane => Ok(self.panes.len() - 1),
            Some(last) if last.pane.start < pane.start => Err(self.panes.len()),
            _ => self.panes.binary_search_by_key(&pane.start, |p| p.pane.start),
        }
    }

    /// The panes whose entering, and whose leaving, makes the row at `end`.
    fn owners(&self, window: &Window, end: i64) -> (Option<usize>, Option<usize>) {
        let ending_at = |end: i64| self.panes.binary_search_by_key(&end, |p| p.pane.end).ok();
        let leaving = window.start_of(end).filter(|_| window.leave_end(Pane { start: 0, end: 0 }).is_some());
        (ending_at(end), leaving.and_then(ending_at))
    }

    fn revision(&self, window: &Window, end: i64) -> u32 {
        let (enter, leave) = self.owners(window, end);
        let entered = enter.map_or(0, |i| self.panes[i].enter_revision);
        entered.max(leave.map_or(0, |i| self.panes[i].leave_revision))
    }

    fn set_revision(&mut self, window: &Window, end: i64, revision: u32) {
        let (enter, leave) = self.owners(window, end);
        if let Some(index) = enter {
            self.panes[index].enter_revision = revision;
        }
        if let Some(index) = leave {
            self.panes[index].leave_revision = revision;
        }
    }

    /// Ends of rows in `[from, to]`, ascending.
    fn row_ends(&self, window: &Window, from: i64, to: i64) -> Vec<i64> {
        let mut ends: Vec<i64> = self
            .panes
            .iter()
            .flat_map(|p| [Some(p.pane.end), window.leave_end(p.pane)])
            .flatten()
            .filter(|end| (from..=to).contains(end))
            .collect();
        ends.sort_unstable();
        ends.dedup();
        ends
    }
}

impl Series {
    pub(crate) fn new(definition: usize, set: usize, window: usize) -> Series {
        Series {
            definition,
            set,
            window,
            groups: Vec::new(),
            group_count: 0,
            due: BTreeMap::new(),
            changes: AHashMap::new(),
            frontier: i64::MIN,
        }
    }

    /// Adds `delta` to a pane of a group; a zero delta only leaves the trace.
    pub(crate) fn add(
        &mut self,
        window: &Window,
        group: u32,
        pane: Pane,
        delta: &Sums,
        recalled: bool,
    ) -> Result<(), Overflow> {
        let frontier = self.frontier;
        let stay = window.stay();
        let state = self.group_mut(group);
        let (index, fresh) = match state.find(pane) {
            Ok(index) => (index, false),
            Err(index) => {
                state.panes.insert(index, PaneState { pane, sums: ZERO, enter_revision: 0, leave_revision: 0 });
                (index, true)
            }
        };
        state.panes[index].sums.add(delta)?;
        if holds(pane, stay, state.slide.end) {
            state.slide.sums.add(delta)?;
        }
        if fresh {
            self.owe(window, group, pane);
        }
        if pane.end <= frontier && (fresh || !delta.is_zero()) {
            self.changes.entry(group).or_default().push(Change { pane, delta: *delta, recalled });
        }
        Ok(())
    }

    fn group_mut(&mut self, group: u32) -> &mut GroupSeries {
        let index = group as usize;
        if index >= self.groups.len() {
            self.groups.resize_with(index + 1, || None);
        }
        let count = &mut self.group_count;
        self.groups[index].get_or_insert_with(|| {
            *count += 1;
            Box::new(GroupSeries { panes: Vec::new(), slide: Slide::EMPTY })
        })
    }

    fn group(&self, group: u32) -> Option<&GroupSeries> {
        self.groups.get(group as usize)?.as_deref()
    }

    fn owe(&mut self, window: &Window, group: u32, pane: Pane) {
        for end in [Some(pane.end), window.leave_end(pane)].into_iter().flatten() {
            if end > self.frontier {
                self.due.entry(end).or_default().push(group);
            }
        }
    }

    /// The earliest end that is owed.
    pub(crate) fn next_due(&self) -> Option<i64> {
        if !self.changes.is_empty() { Some(self.frontier) } else { self.due.keys().next().copied() }
    }

    /// Whether more groups than `groups_max` might be in one window.
    pub(crate) fn may_exceed(&self, groups_max: usize) -> bool {
        self.group_count > groups_max
    }

    /// Number of groups with content in the window that ends at `end`.
    pub(crate) fn groups_at(&self, window: &Window, end: i64) -> Result<usize, Overflow> {
        let mut count = 0;
        for group in self.groups.iter().flatten() {
            count += usize::from(!Slide::at(&group.panes, window.stay(), end)?.sums.is_zero());
        }
        Ok(count)
    }

    /// Moves the frontier to `to` and gives each row that this makes final or changes.
    pub(crate) fn publish(&mut self, window: &Window, to: i64, first: Reason) -> Result<Vec<SeriesRow>, Overflow> {
        let mut rows = Vec::new();
        self.restate(window, &mut rows)?;
        self.publish_due(window, to, first, &mut rows)?;
        self.frontier = self.frontier.max(to);
        Ok(rows)
    }

    fn publish_due(
        &mut self,
        window: &Window,
        to: i64,
        reason: Reason,
        rows: &mut Vec<SeriesRow>,
    ) -> Result<(), Overflow> {
        while let Some(entry) = self.due.first_entry() {
            if *entry.key() > to {
                break;
            }
            let (end, mut groups) = entry.remove_entry();
            groups.sort_unstable();
            groups.dedup();
            for group in groups {
                let state = self.group_mut(group);
                state.slide.advance(&state.panes, window.stay(), end)?;
                state.set_revision(window, end, 1);
                rows.push(SeriesRow { group, end, revision: 1, reason, sums: state.slide.sums });
            }
        }
        Ok(())
    }

    /// Takes ends up to `to` as published before, at revision 1.
    pub(crate) fn resume(&mut self, window: &Window, to: i64) -> Result<(), Overflow> {
        self.publish(window, to, Reason::Initial).map(|_| ())
    }

    /// Raises a row's revision to one that it was published with before.
    pub(crate) fn restore_revision(&mut self, window: &Window, group: u32, end: i64, revision: u32) {
        let state = self.group_mut(group);
        let highest = state.revision(window, end).max(revision);
        state.set_revision(window, end, highest);
    }

    fn restate(&mut self, window: &Window, rows: &mut Vec<SeriesRow>) -> Result<(), Overflow> {
        let mut changes: Vec<(u32, Vec<Change>)> = self.changes.drain().collect();
        changes.sort_unstable_by_key(|(group, _)| *group);
        for (group, changes) in changes {
            self.restate_group(window, group, &changes, rows)?;
        }
        Ok(())
    }

    fn restate_group(
        &mut self,
        window: &Window,
        group: u32,
        changes: &[Change],
        rows: &mut Vec<SeriesRow>,
    ) -> Result<(), Overflow> {
        let stay = window.stay();
        let frontier = self.frontier;
        let last_end = |pane: Pane| window.leave_end(pane).or(stay.map(|_| pane.end)).unwrap_or(i64::MAX);
        let from = changes.iter().map(|c| c.pane.end).min().unwrap_or(frontier);
        let to = changes.iter().map(|c| last_end(c.pane)).max().unwrap_or(frontier).min(frontier);
        let recalled = changes.iter().any(|c| c.recalled);
        let reason = if recalled { Reason::Retraction } else { Reason::Late };
        let state = self.group_mut(group);
        let mut slide: Option<Slide> = None;
        for end in state.row_ends(window, from, to) {
            let revision = state.revision(window, end);
            if revision > 0 && !changes_window(changes, stay, end)? {
                continue;
            }
            let moved = match slide.take() {
                Some(mut slide) => slide.advance(&state.panes, stay, end).map(|()| slide)?,
                None => Slide::at(&state.panes, stay, end)?,
            };
            slide = Some(moved);
            state.set_revision(window, end, revision + 1);
            rows.push(SeriesRow { group, end, revision: revision + 1, reason, sums: moved.sums });
        }
        Ok(())
    }

    /// The window that ends at `end`, for each group that it has content of.
    pub(crate) fn open(&self, window: &Window, end: i64) -> Result<Vec<(u32, Sums)>, Overflow> {
        let mut open = Vec::new();
        for group in 0..u32::try_from(self.groups.len()).unwrap_or(u32::MAX) {
            let Some(state) = self.group(group) else { continue };
            open.push((group, Slide::at(&state.panes, window.stay(), end)?.sums));
        }
        Ok(open)
    }
}

fn changes_window(changes: &[Change], stay: Option<i64>, end: i64) -> Result<bool, Overflow> {
    let mut delta = Sums::default();
    for change in changes.iter().filter(|c| holds(c.pane, stay, end)) {
        delta.add(&change.delta)?;
    }
    Ok(!delta.is_zero())
}
