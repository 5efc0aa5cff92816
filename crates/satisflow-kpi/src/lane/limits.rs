//! Ends with more groups than a KPI publishes.

use std::collections::BTreeSet;

use ahash::AHashSet;

use super::restate::touched;
use super::{Lane, LaneRow};
use crate::sums::Overflow;
use crate::window::Window;

impl Lane {
    /// Whether an end may have more groups than a KPI's limit, or had.
    pub(super) fn is_limited(&self, kpi: usize) -> bool {
        let member = &self.members[kpi];
        self.group_count > member.groups_max || member.is_ever_over()
    }

    /// Published ends whose number of groups late changes may have moved.
    pub(super) fn suspects(&self, window: &Window, kpi: usize) -> BTreeSet<i64> {
        let member = &self.members[kpi];
        let mut ends = BTreeSet::new();
        if !self.is_limited(kpi) {
            return ends;
        }
        for changes in member.changes.values() {
            let (from, to) = touched(window, changes, member.frontier);
            let from = from.max(self.horizon.saturating_add(1));
            if from > to {
                continue;
            }
            let entered = self.groups_of.range(from..=to).map(|(end, _)| *end);
            ends.extend(entered);
            if let Some(length) = window.length() {
                let left = self.groups_of.range(from.saturating_sub(length)..=to.saturating_sub(length));
                ends.extend(left.map(|(end, _)| end + length));
            }
        }
        ends
    }

    /// Settles which ends have more groups than the limit; gives the published ones that changed sides.
    pub(super) fn limit(
        &mut self,
        window: &Window,
        kpi: usize,
        ends: &BTreeSet<i64>,
        published: i64,
        rows: &mut Vec<LaneRow>,
    ) -> Result<Vec<(usize, i64)>, Overflow> {
        let (mut silent, mut flips, mut again) = (AHashSet::new(), Vec::new(), Vec::new());
        for end in ends {
            let is_over = self.exceeds(window, kpi, *end)?;
            let was_over = self.members[kpi].over.contains(end);
            if is_over || was_over {
                silent.insert(*end);
            }
            if is_over == was_over {
                continue;
            }
            if is_over {
                self.members[kpi].over.insert(*end);
            } else {
                self.members[kpi].over.remove(end);
            }
            if *end <= published {
                flips.push((kpi, *end));
                // What was never shown needs no withdrawal.
                let is_unseen = |row: &&LaneRow| is_over && (row.member, row.end, row.revision) == (kpi, *end, 1);
                let unseen: AHashSet<u32> = rows.iter().filter(is_unseen).map(|row| row.group).collect();
                let repeated = self.repeat(window, kpi, *end, is_over)?;
                again.extend(repeated.into_iter().filter(|row| !unseen.contains(&row.group)));
            }
        }
        rows.retain(|row| row.member != kpi || !silent.contains(&row.end));
        rows.extend(again);
        Ok(flips)
    }

    /// Whether the window has content of more groups than the limit.
    fn exceeds(&self, window: &Window, kpi: usize, end: i64) -> Result<bool, Overflow> {
        let limit = self.members[kpi].groups_max;
        // Each group in the window has a pane in it, so that their number is a bound.
        let entered = |stay: i64| self.groups_of.range(end.saturating_sub(stay)..=end).map(|(_, groups)| *groups).sum();
        let bound: usize = window.stay().map_or(self.group_count, entered);
        if bound.min(self.group_count) <= limit {
            return Ok(false);
        }
        let mut count = 0;
        for (_, state) in self.group_numbers() {
            count += usize::from(!state.content_at(kpi, window.stay(), end)?.sums.is_zero());
            if count > limit {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
