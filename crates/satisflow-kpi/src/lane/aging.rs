//! What decays changes at every step: a row stands there while anything is held.

use super::Lane;
use crate::window::{Pane, Window};

impl Lane {
    /// Owes a KPI a row at each end from a pane's own, which is there, to its last one.
    pub(super) fn age(&mut self, window: &Window, group: u32, pane: Pane, kpi: usize) {
        let Some(stay) = window.stay() else { return };
        let (step, kpis) = (pane.end - pane.start, self.members.len());
        let mut later = Pane { start: pane.end, end: pane.end + step };
        while later.end <= pane.end + stay {
            let state = self.group_mut(group);
            let (place, fresh) = state.place(later, kpis);
            state.age(place, kpi);
            if fresh {
                *self.groups_of.entry(later.end).or_default() += 1;
                self.owe(window, group, later);
            }
            later = Pane { start: later.end, end: later.end + step };
        }
    }
}
