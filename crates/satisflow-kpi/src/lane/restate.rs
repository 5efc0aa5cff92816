//! Rows of published ends once more, where what came late makes them say something else.

use super::{Change, Lane, LaneRow, Member, expired};
use crate::content::Content;
use crate::row::Reason;
use crate::sums::Overflow;
use crate::window::{Pane, Window};

impl Member {
    /// Whether a content says something else at an end than it did before a change.
    fn differs(&self, content: &Content, delta: &Content, end: i64) -> Result<bool, Overflow> {
        let mut before = content.clone();
        before.subtract(delta)?;
        let said = |content: &Content| (content.sums, content.told(&self.reading, end));
        Ok(said(&before) != said(content))
    }
}

impl Lane {
    pub(super) fn restate(&mut self, window: &Window, kpi: usize, rows: &mut Vec<LaneRow>) -> Result<(), Overflow> {
        let mut changes: Vec<(u32, Vec<Change>)> = self.members[kpi].changes.drain().collect();
        changes.sort_unstable_by_key(|(group, _)| *group);
        for (group, changes) in changes {
            self.restate_group(window, kpi, group, &changes, rows)?;
        }
        Ok(())
    }

    fn restate_group(
        &mut self,
        window: &Window,
        kpi: usize,
        group: u32,
        changes: &[Change],
        rows: &mut Vec<LaneRow>,
    ) -> Result<(), Overflow> {
        let stay = window.stay();
        let (from, to) = touched(window, changes, self.members[kpi].frontier);
        let from = from.max(self.horizon.saturating_add(1));
        let recalled = changes.iter().any(|c| c.recalled);
        let reason = if recalled { Reason::Retraction } else { Reason::Late };
        let member = &self.members[kpi];
        let mut deltas = expired::Deltas::of(window, changes)?;
        let Some(state) = self.groups.get_mut(group as usize).and_then(Option::as_mut) else { return Ok(()) };
        for end in state.row_ends(window, kpi, from, to) {
            let owners = state.owners(window, end);
            let revision = state.revision(owners, kpi);
            let delta = deltas.at(end)?;
            if delta.is_zero() && revision > 0 {
                continue;
            }
            let content = state.content_at(kpi, stay, end)?;
            if revision > 0 && member.reading.sees_its_past_alone() && !member.differs(&content, delta, end)? {
                continue;
            }
            state.set_revision(owners, kpi, revision + 1);
            rows.push(member.row(kpi, group, end, (revision + 1, reason), &content));
        }
        Ok(())
    }
}

/// First and last published end that changes touch.
pub(super) fn touched(window: &Window, changes: &[Change], frontier: i64) -> (i64, i64) {
    let last_end = |pane: Pane| window.last_end(pane).unwrap_or(i64::MAX);
    let from = changes.iter().map(|c| c.pane.end).min().unwrap_or(frontier);
    let to = changes.iter().map(|c| last_end(c.pane)).max().unwrap_or(frontier);
    (from, to.min(frontier))
}
