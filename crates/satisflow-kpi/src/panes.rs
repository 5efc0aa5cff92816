//! The panes of one group: what each KPI of a lane has counted in each, and
//! the content of a window over them.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::content::Content;
use crate::sums::Overflow;
use crate::window::{Pane, Window};

/// A window of more panes than this is slid; of fewer, it is added up anew.
const SLIDE_PANES_MIN: usize = 16;

/// One KPI in one pane.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Cell {
    content: Content,
    /// Whether any event, void ones included, was selected here: it owes rows.
    present: bool,
    /// Whether what came before is a step older here, and owes a row where this pane enters.
    aged: bool,
    /// Revision of the row at the end where this pane entered; 0: none yet.
    enter_revision: u32,
    /// Revision of the row at the end where this pane left; 0: none yet.
    leave_revision: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct PaneState {
    pane: Pane,
    /// One a KPI of the lane.
    cells: Box<[Cell]>,
}

/// The content of a window that ends at `end`, kept by what enters and leaves.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Slide {
    end: i64,
    content: Content,
}

/// The panes of one group, sorted.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct GroupPanes {
    panes: Vec<PaneState>,
    /// What expired panes that no window loses hold, one a KPI; empty while there is none.
    folded: Box<[Content]>,
    /// One a KPI; empty while the windows are short.
    slides: Box<[Slide]>,
}

/// Indexes of the panes whose entering, and whose leaving, make the row at an end.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Owners {
    enter: Option<usize>,
    leave: Option<usize>,
}

impl Cell {
    /// Whether a row stands at the end of its pane.
    fn enters(&self) -> bool {
        self.present || self.aged
    }
}

/// Whether the window that ends at `end` holds a pane.
pub(crate) fn holds(pane: Pane, stay: Option<i64>, end: i64) -> bool {
    pane.end <= end && stay.is_none_or(|stay| end <= pane.end.saturating_add(stay))
}

impl Slide {
    /// Moves the end forward to `end`.
    fn advance(&mut self, panes: &[PaneState], kpi: usize, stay: Option<i64>, end: i64) -> Result<(), Overflow> {
        let entered = panes.partition_point(|p| p.pane.end <= self.end);
        for state in panes[entered..].iter().take_while(|p| p.pane.end <= end) {
            if holds(state.pane, stay, end) {
                self.content.add(&state.cells[kpi].content)?;
            }
        }
        if let Some(stay) = stay {
            let first_held = panes.partition_point(|p| p.pane.end.saturating_add(stay) < self.end);
            for state in &panes[first_held.min(entered)..entered] {
                if state.pane.end.saturating_add(stay) >= end {
                    break;
                }
                self.content.subtract(&state.cells[kpi].content)?;
            }
        }
        self.end = end;
        Ok(())
    }
}

/// Those of a list that stay; `None` where it has another length.
fn retained<T>(list: &mut Box<[T]>, stays: &[bool]) -> Option<()> {
    if list.len() != stays.len() {
        return None;
    }
    if stays.contains(&false) {
        let all = std::mem::take(list).into_iter().zip(stays);
        *list = all.filter_map(|(one, stays)| stays.then_some(one)).collect();
    }
    Some(())
}

impl GroupPanes {
    /// Keeps the KPIs that stay; `None` where there is another number of them.
    pub(crate) fn retain(&mut self, stays: &[bool]) -> Option<()> {
        for state in &mut self.panes {
            retained(&mut state.cells, stays)?;
        }
        if !self.folded.is_empty() {
            retained(&mut self.folded, stays)?;
        }
        if !self.slides.is_empty() {
            retained(&mut self.slides, stays)?;
        }
        Some(())
    }

    /// The place of a pane, and whether it is new.
    pub(crate) fn place(&mut self, pane: Pane, kpis: usize) -> (usize, bool) {
        match self.find(pane) {
            Ok(index) => (index, false),
            Err(index) => {
                self.panes.insert(index, PaneState { pane, cells: vec![Cell::default(); kpis].into() });
                (index, true)
            }
        }
    }

    /// Takes a change of a KPI into the pane at a place, and into the sums that
    /// are kept; gives whether it is the first there.
    pub(crate) fn add(
        &mut self,
        index: usize,
        kpi: usize,
        stay: Option<i64>,
        delta: &Content,
    ) -> Result<bool, Overflow> {
        let PaneState { pane, cells } = &mut self.panes[index];
        let cell = &mut cells[kpi];
        cell.content.add(delta)?;
        if let Some(slide) = self.slides.get_mut(kpi).filter(|slide| holds(*pane, stay, slide.end)) {
            slide.content.add(delta)?;
        }
        Ok(!std::mem::replace(&mut cell.present, true))
    }

    /// Notes that what a KPI held before is a step older in the pane at a place.
    pub(crate) fn age(&mut self, index: usize, kpi: usize) {
        self.panes[index].cells[kpi].aged = true;
    }

    /// Takes a change of a KPI into what is left of expired panes that no window loses.
    pub(crate) fn fold(&mut self, kpi: usize, kpis: usize, delta: &Content) -> Result<(), Overflow> {
        self.folded_mut(kpis)[kpi].add(delta)?;
        // Every end of a row to come holds it.
        self.slides.get_mut(kpi).map_or(Ok(()), |slide| slide.content.add(delta))
    }

    /// Whether a pane after this one is held.
    pub(crate) fn has_later(&self, pane: Pane) -> bool {
        self.panes.last().is_some_and(|last| last.pane.start > pane.start)
    }

    /// Drops the panes whose last end is at or before `horizon`; whether any is left.
    /// Of panes that no window loses the sums are kept, and the newest stays.
    pub(crate) fn expire(&mut self, window: &Window, horizon: i64) -> Result<bool, Overflow> {
        let stay = window.stay();
        let is_gone = |p: &PaneState| window.last_end(p.pane).unwrap_or(p.pane.end) <= horizon;
        let mut gone = self.panes.partition_point(is_gone);
        if stay.is_none() {
            gone = gone.min(self.panes.len().saturating_sub(1));
        }
        let expired: Vec<PaneState> = self.panes.drain(..gone).collect();
        for PaneState { pane, cells } in &expired {
            for (kpi, cell) in cells.iter().enumerate() {
                self.settle_slide(kpi, *pane, stay, &cell.content)?;
                if stay.is_none() {
                    self.folded_mut(cells.len())[kpi].add(&cell.content)?;
                }
            }
        }
        self.panes.shrink_to(self.panes.len() * 2);
        Ok(!self.panes.is_empty())
    }

    fn folded_mut(&mut self, kpis: usize) -> &mut [Content] {
        if self.folded.is_empty() {
            self.folded = vec![Content::default(); kpis].into();
        }
        &mut self.folded
    }

    /// Brings the sums that are kept of a KPI to where they stand without a pane.
    fn settle_slide(&mut self, kpi: usize, pane: Pane, stay: Option<i64>, content: &Content) -> Result<(), Overflow> {
        match self.slides.get_mut(kpi) {
            Some(slide) if stay.is_some() && holds(pane, stay, slide.end) => slide.content.subtract(content),
            Some(slide) if stay.is_none() && !holds(pane, stay, slide.end) => slide.content.add(content),
            _ => Ok(()),
        }
    }

    fn find(&self, pane: Pane) -> Result<usize, usize> {
        match self.panes.last() {
            Some(last) if last.pane == pane => Ok(self.panes.len() - 1),
            Some(last) if last.pane.start < pane.start => Err(self.panes.len()),
            _ => self.panes.binary_search_by_key(&pane.start, |p| p.pane.start),
        }
    }

    /// The content of a KPI's window at any end.
    pub(crate) fn content_at(&self, kpi: usize, stay: Option<i64>, end: i64) -> Result<Content, Overflow> {
        let first = stay.map_or(0, |stay| self.panes.partition_point(|p| p.pane.end.saturating_add(stay) < end));
        let mut content = self.folded.get(kpi).cloned().unwrap_or_default();
        for state in self.panes[first..].iter().take_while(|p| p.pane.end <= end) {
            content.add(&state.cells[kpi].content)?;
        }
        Ok(content)
    }

    /// The same for ends that only grow: in order, a window costs what entered
    /// and left since the last one, whatever its length.
    pub(crate) fn next_content(
        &mut self,
        kpi: usize,
        kpis: usize,
        window: &Window,
        end: i64,
    ) -> Result<Cow<'_, Content>, Overflow> {
        let stay = window.stay();
        if self.slides.is_empty() && (window.panes_max() <= SLIDE_PANES_MIN || self.panes.len() <= SLIDE_PANES_MIN) {
            return self.content_at(kpi, stay, end).map(Cow::Owned);
        }
        if self.slides.is_empty() {
            self.slides = vec![Slide { end: i64::MIN, content: Content::default() }; kpis].into();
        }
        let at = self.slides[kpi].end;
        if at == i64::MIN || at > end {
            self.slides[kpi] = Slide { end, content: self.content_at(kpi, stay, end)? };
        } else {
            self.slides[kpi].advance(&self.panes, kpi, stay, end)?;
        }
        Ok(Cow::Borrowed(&self.slides[kpi].content))
    }

    pub(crate) fn owners(&self, window: &Window, end: i64) -> Owners {
        let ending_at = |end: i64| self.panes.binary_search_by_key(&end, |p| p.pane.end).ok();
        Owners { enter: ending_at(end), leave: window.left_at(end).and_then(ending_at) }
    }

    fn owned(&self, owners: Owners, kpi: usize) -> (Option<&Cell>, Option<&Cell>) {
        let cell = |index: Option<usize>| index.map(|i| &self.panes[i].cells[kpi]);
        (cell(owners.enter).filter(|cell| cell.enters()), cell(owners.leave).filter(|cell| cell.present))
    }

    /// Whether a KPI has a row here.
    pub(crate) fn has_row(&self, owners: Owners, kpi: usize) -> bool {
        let (enter, leave) = self.owned(owners, kpi);
        enter.is_some() || leave.is_some()
    }

    /// Revision of a KPI's row; 0 before its first.
    pub(crate) fn revision(&self, owners: Owners, kpi: usize) -> u32 {
        let (enter, leave) = self.owned(owners, kpi);
        enter.map_or(0, |cell| cell.enter_revision).max(leave.map_or(0, |cell| cell.leave_revision))
    }

    pub(crate) fn set_revision(&mut self, owners: Owners, kpi: usize, revision: u32) {
        if let Some(index) = owners.enter {
            self.panes[index].cells[kpi].enter_revision = revision;
        }
        if let Some(index) = owners.leave {
            self.panes[index].cells[kpi].leave_revision = revision;
        }
    }

    /// The last end at or before `to` that a KPI has a row at.
    pub(crate) fn last_row_end(&self, window: &Window, kpi: usize, to: i64) -> Option<i64> {
        let last = |end: &dyn Fn(Pane) -> i64, stands: &dyn Fn(&Cell) -> bool| {
            let until = self.panes.partition_point(|p| end(p.pane) <= to);
            self.panes[..until].iter().rev().find(|p| stands(&p.cells[kpi])).map(|p| end(p.pane))
        };
        let left = window.length();
        let left = left.and_then(|length| last(&|pane| pane.end.saturating_add(length), &|cell| cell.present));
        last(&|pane| pane.end, &Cell::enters).max(left)
    }

    /// Ends of a KPI's rows in `[from, to]`, ascending.
    pub(crate) fn row_ends(&self, window: &Window, kpi: usize, from: i64, to: i64) -> Vec<i64> {
        let first = self.panes.partition_point(|p| window.leave_end(p.pane).unwrap_or(p.pane.end) < from);
        let mut ends: Vec<i64> = self.panes[first..]
            .iter()
            .take_while(|p| p.pane.end <= to)
            .map(|p| (p.pane, &p.cells[kpi]))
            .flat_map(|(pane, cell)| {
                [cell.enters().then_some(pane.end), window.leave_end(pane).filter(|_| cell.present)]
            })
            .flatten()
            .filter(|end| (from..=to).contains(end))
            .collect();
        ends.sort_unstable();
        ends.dedup();
        ends
    }
}
