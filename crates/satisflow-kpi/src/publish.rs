//! What the engine publishes: rows that became final, rows that changed, open windows.

use crate::engine::{Engine, EngineError, Frontier, overflow};
use crate::lane::{Lane, LaneRow, Member, Published, Sides, Target};
use crate::row::{KpiRow, Reason};
use crate::sums::Overflow;

/// A published end of a definition that went over its limit in a lane, or came back.
struct Flip {
    definition: usize,
    set: usize,
    end: i64,
}

impl Engine {
    /// Moves the frontiers, one a definition (they never go back), and gives
    /// the rows that became final and the revisions of earlier ones, a window
    /// and grouping set after the other.
    ///
    /// # Errors
    /// [`EngineError::Overflow`]; the engine is then unusable.
    pub fn advance(&mut self, frontiers: &[Frontier]) -> Result<Vec<KpiRow>, EngineError> {
        let mut rows = Vec::new();
        let mut flips: Vec<Flip> = Vec::new();
        let mut window = None;
        for at in 0..self.lanes.len() {
            if window != Some(self.lanes[at].window) {
                window = Some(self.lanes[at].window);
                flips.clear();
            }
            let published = match self.lanes[at].is_comparing() {
                true => self.advance_comparing(at, frontiers),
                false => self.advance_lane(at, frontiers, &mut flips),
            };
            let published = published.map_err(|(definition, source)| overflow(&self.plan, definition, source))?;
            rows.extend(published);
        }
        Ok(rows)
    }

    fn advance_lane(
        &mut self,
        at: usize,
        frontiers: &[Frontier],
        flips: &mut Vec<Flip>,
    ) -> Result<Vec<KpiRow>, (usize, Overflow)> {
        let (set, window_index) = (self.lanes[at].set, self.lanes[at].window);
        let targets = self.targets(at, frontiers);
        let lane = &mut self.lanes[at];
        let window = &self.plan.windows[window_index];
        let Published { mut rows, flips: own_flips } = lane.publish(window, &targets)?;
        // A finer set that went over its limit, or came back, changes the status here.
        for flip in flips.iter().filter(|flip| is_coarser(&self.plan.grouping_sets, set, flip.set)) {
            let of = |member: &Member| member.definition == flip.definition && !member.is_over(flip.end);
            let Some(kpi) = lane.members.iter().position(of) else { continue };
            let again = lane.repeat(window, kpi, flip.end, false).map_err(|source| (flip.definition, source))?;
            rows.retain(|row| row.member != kpi || row.end != flip.end);
            rows.extend(again);
        }
        let definition = |kpi: usize| lane.members[kpi].definition;
        flips.extend(own_flips.into_iter().map(|(kpi, end)| Flip { definition: definition(kpi), set, end }));
        let completed = lane.complete(window, &targets, &rows)?;
        rows.extend(completed);
        let limited = self.finer(at).any(|lane| lane.members.iter().any(|member| member.is_ever_over()));
        let row = |row: LaneRow| {
            let over = limited && self.finer_is_over(at, row.member, row.end);
            let incomplete = row.end > targets[row.member].complete;
            self.kpi_row(at, row, incomplete, over)
        };
        Ok(rows.into_iter().map(row).collect())
    }

    fn advance_comparing(&mut self, at: usize, frontiers: &[Frontier]) -> Result<Vec<KpiRow>, (usize, Overflow)> {
        let targets = self.targets(at, frontiers);
        let lane = &mut self.lanes[at];
        let window = &self.plan.windows[lane.window];
        let sides = Sides { definitions: &self.plan.definitions, groups: &self.groups };
        let mut rows = lane.publish_compared(window, &targets, &sides)?;
        let completed = lane.complete_compared(window, &targets, &rows, &sides)?;
        rows.extend(completed);
        let row = |row: LaneRow| {
            let incomplete = row.end > targets[row.member].complete;
            self.kpi_row(at, row, incomplete, false)
        };
        Ok(rows.into_iter().map(row).collect())
    }

    fn targets(&self, at: usize, frontiers: &[Frontier]) -> Vec<Target> {
        let lane = &self.lanes[at];
        let window = &self.plan.windows[lane.window];
        let target = |definition: usize| {
            let frontier = frontiers.get(definition).copied().unwrap_or(Frontier::NONE);
            let closed = frontier.closed.map_or(i64::MIN, |time| window.pane(time).end);
            let first = if self.backfill[definition] { Reason::BackFill } else { Reason::Initial };
            Target { end: frontier.watermark.max(closed), complete: frontier.complete, first }
        };
        lane.members.iter().map(|member| target(member.definition)).collect()
    }

    pub(crate) fn kpi_row(&self, at: usize, row: LaneRow, incomplete: bool, over_limit: bool) -> KpiRow {
        let lane = &self.lanes[at];
        KpiRow {
            definition: lane.members[row.member].definition,
            set: lane.set,
            window: lane.window,
            group: row.group,
            window_start: self.plan.windows[lane.window].start_of(row.end),
            window_end: row.end,
            revision: row.revision,
            reason: row.reason,
            over_limit,
            incomplete,
            sums: row.sums,
            told: row.told,
            weighted: row.weighted,
            compared: row.compared,
        }
    }

    fn sides(&self) -> Sides<'_> {
        Sides { definitions: &self.plan.definitions, groups: &self.groups }
    }

    /// Lanes of the same window whose grouping sets are finer. They stand before their coarser ones.
    fn finer(&self, at: usize) -> impl Iterator<Item = &Lane> {
        let own = &self.lanes[at];
        let same = self.lanes[..at].iter().rev().take_while(|lane| lane.window == own.window);
        same.filter(|lane| is_coarser(&self.plan.grouping_sets, own.set, lane.set))
    }

    /// Whether a finer grouping set of a member has too many groups at this end.
    pub(crate) fn finer_is_over(&self, at: usize, kpi: usize, end: i64) -> bool {
        let definition = self.lanes[at].members[kpi].definition;
        let mut members = self.finer(at).flat_map(|lane| &lane.members);
        members.any(|member| member.definition == definition && member.is_over(end))
    }

    /// The earliest end at which a definition owes a row, µs.
    pub fn next_due(&self, definition: usize) -> Option<i64> {
        let of = |lane: &Lane| {
            let kpi = lane.members.iter().position(|member| member.definition == definition)?;
            lane.next_due(kpi)
        };
        self.lanes.iter().filter_map(of).min()
    }

    /// Takes every end up to `frontier` of a definition as published before;
    /// a definition that is not resumed is back-filled from its first event.
    ///
    /// # Errors
    /// As for [`Engine::advance`].
    pub fn resume(&mut self, fingerprint: &str, frontier: Frontier) -> Result<(), EngineError> {
        let mut frontiers = vec![Frontier::NONE; self.plan.definitions.len()];
        self.definitions_of(fingerprint).into_iter().for_each(|index| frontiers[index] = frontier);
        self.advance(&frontiers).map(drop)
    }

    /// Says that a definition is new to a lake that has events: its first rows
    /// carry the reason `back-fill` until [`Engine::end_backfill`].
    pub fn mark_backfill(&mut self, fingerprint: &str) {
        self.definitions_of(fingerprint).into_iter().for_each(|index| self.backfill[index] = true);
    }

    /// Ends the back-fill of new definitions: from now on their rows are initial.
    pub fn end_backfill(&mut self) {
        self.backfill.fill(false);
    }

    /// The newest final row of each series that is within its limit of groups.
    /// The reason is always `initial`: it is not kept.
    ///
    /// # Errors
    /// As for [`Engine::advance`].
    pub fn finals(&self) -> Result<Vec<KpiRow>, EngineError> {
        let mut rows = Vec::new();
        for (at, lane) in self.lanes.iter().enumerate() {
            let window = &self.plan.windows[lane.window];
            for (kpi, member) in lane.members.iter().enumerate() {
                let finals = match lane.is_comparing() {
                    true => lane.finals_compared(window, kpi, &self.sides()),
                    false => lane.finals(window, kpi),
                };
                let finals = finals.map_err(|source| overflow(&self.plan, member.definition, source))?;
                rows.extend(finals.into_iter().map(|(row, incomplete)| {
                    let over = self.finer_is_over(at, kpi, row.end);
                    self.kpi_row(at, row, incomplete, over)
                }));
            }
        }
        Ok(rows)
    }

    /// The open windows: those that end next after `now`, over all that has been applied.
    ///
    /// # Errors
    /// As for [`Engine::advance`].
    pub fn live(&self, now: i64) -> Result<Vec<KpiRow>, EngineError> {
        let mut rows = Vec::new();
        let mut over: Vec<(usize, usize, usize)> = Vec::new();
        for (at, lane) in self.lanes.iter().enumerate() {
            let window = &self.plan.windows[lane.window];
            let end = window.pane(now).end;
            for (kpi, member) in lane.members.iter().enumerate() {
                let definition = member.definition;
                let open = match lane.is_comparing() {
                    true => lane.open_compared(window, kpi, end, &self.sides()).map(Some),
                    false => lane.open(window, kpi, end),
                };
                let open = open.map_err(|source| overflow(&self.plan, definition, source))?;
                let Some(open) = open else {
                    over.push((definition, lane.window, lane.set));
                    continue;
                };
                let over_limit = over.iter().any(|(d, w, finer)| {
                    (*d, *w) == (definition, lane.window) && is_coarser(&self.plan.grouping_sets, lane.set, *finer)
                });
                rows.extend(open.into_iter().map(|row| self.kpi_row(at, row, false, over_limit)));
            }
        }
        Ok(rows)
    }
}

/// Whether `set` groups by some of the dimensions of `finer`, and not by all.
fn is_coarser(sets: &[Vec<usize>], set: usize, finer: usize) -> bool {
    set != finer && sets[set].iter().all(|dimension| sets[finer].contains(dimension))
}
