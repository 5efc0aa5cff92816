//! The engine's memory ends somewhere: panes that no open window needs go, and
//! changes that come later are restated from the rows that were published.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, Decimal128Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Decimal128Type, Int64Type, TimestampMicrosecondType, i256};

use crate::definition::Definition;
use crate::engine::{Engine, EngineError, overflow};
use crate::lane::{Lane, PublishedRow};
use crate::row::KpiRow;
use crate::sums::Sums;

/// Published rows that are wanted to restate late changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedRange {
    /// Fingerprint of the definition.
    pub fingerprint: Arc<str>,
    /// Name of the window.
    pub window: Arc<str>,
    /// Names of the grouped dimensions.
    pub grouping_set: String,
    /// Window ends after this, µs; `None`: from the first.
    pub after: Option<i64>,
    /// Window ends up to this, µs.
    pub to: i64,
}

/// A series: one group of a KPI of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Series {
    lane: usize,
    kpi: usize,
    group: u32,
}

/// Published rows as far as late changes touch them, whatever else is read.
#[derive(Debug, Default)]
pub struct PublishedRows(BTreeMap<Series, TouchedRows>);

/// The rows of a series at ends that changes touch, and the last one before each stretch of them.
#[derive(Debug, Default)]
struct TouchedRows {
    /// First and last end of each, in order.
    stretches: Vec<(i64, i64)>,
    inside: BTreeMap<i64, PublishedRow>,
    before: BTreeMap<usize, (i64, PublishedRow)>,
}

impl TouchedRows {
    fn wants(&self, end: i64) -> bool {
        let next = self.stretches.partition_point(|(first, _)| *first <= end);
        let held = self.before.get(&next).map_or(i64::MIN, |(end, _)| *end);
        (next > 0 && end <= self.stretches[next - 1].1) || (next < self.stretches.len() && end >= held)
    }

    /// Takes a row if it is wanted; of several revisions the last one.
    fn note(&mut self, end: i64, row: PublishedRow) {
        let next = self.stretches.partition_point(|(first, _)| *first <= end);
        if next > 0 && end <= self.stretches[next - 1].1 {
            let held = self.inside.entry(end).or_insert(row);
            if held.revision < row.revision {
                *held = row;
            }
        } else if next < self.stretches.len() {
            let held = self.before.entry(next).or_insert((end, row));
            if (held.0, held.1.revision) < (end, row.revision) {
                *held = (end, row);
            }
        }
    }

    fn into_rows(self) -> BTreeMap<i64, PublishedRow> {
        let mut rows = self.inside;
        rows.extend(self.before.into_values());
        rows
    }
}

/// What `note_published` and [`Moments`] read.
const PUBLISHED_COLUMNS: [&str; 14] = [
    "fingerprint",
    "window_name",
    "grouping_set",
    "window_end",
    "revision",
    "numerator",
    "denominator",
    "sum_w",
    "sum_wx",
    "n",
    "numerator_n",
    "sum_w2",
    "sum_w2x",
    "sum_w2x2",
];

impl Engine {
    /// Drops panes that lie more than `late_panes` panes behind what is
    /// published and complete, and behind `late_micros`. Later changes to them
    /// are restated by [`Engine::restate_expired`]. Windows of a definition that
    /// is near its limit of groups keep theirs, and so does what reads counts
    /// (distinct counts, quantiles, populations and age).
    ///
    /// # Errors
    /// [`EngineError::Overflow`]; the engine is then unusable.
    pub fn expire(&mut self, late_panes: u32, late_micros: i64) -> Result<(), EngineError> {
        for index in 0..self.plan.windows.len() {
            let settled = self.forgetful(index).map(Lane::settled_to).min();
            self.move_horizon(index, settled.unwrap_or(i64::MIN), (late_panes, late_micros), |_| true)?;
        }
        Ok(())
    }

    /// Begins where every definition has published up to a time (µs): of what
    /// is applied from now on, only the panes that [`Engine::expire`] would
    /// have kept are. For definitions that have seen nothing.
    ///
    /// # Errors
    /// As for [`Engine::expire`].
    pub fn begin_at(&mut self, published: &[i64], late_panes: u32, late_micros: i64) -> Result<(), EngineError> {
        for index in 0..self.plan.windows.len() {
            let of = |definition: usize| published.get(definition).copied().unwrap_or(i64::MIN);
            let begins = self.forgetful(index).filter(|lane| lane.is_untouched()).flat_map(|lane| &lane.members);
            let least = begins.map(|member| of(member.definition)).min().unwrap_or(i64::MIN);
            self.move_horizon(index, least, (late_panes, late_micros), Lane::is_untouched)?;
        }
        Ok(())
    }

    /// Lanes of a window whose panes may go.
    fn forgetful(&self, window: usize) -> impl Iterator<Item = &Lane> {
        self.lanes.iter().filter(move |lane| lane.window == window && !lane.keeps_panes())
    }

    /// Moves the horizon of a window when it is worth the walk through all groups.
    fn move_horizon(
        &mut self,
        index: usize,
        settled: i64,
        (late_panes, late_micros): (u32, i64),
        of: impl Fn(&Lane) -> bool,
    ) -> Result<(), EngineError> {
        const WALKS_PER_SPAN: i64 = 8;
        if self.forgetful(index).flat_map(|lane| &lane.members).any(|member| self.is_near_limit(member.definition)) {
            return Ok(());
        }
        let window = &self.plan.windows[index];
        let span = window.panes_micros(late_panes).max(late_micros);
        let horizon = settled.saturating_sub(span);
        let forgetful = |lane: &&mut Lane| lane.window == index && !lane.keeps_panes() && of(lane);
        for lane in self.lanes.iter_mut().filter(forgetful) {
            if horizon > lane.horizon().saturating_add(span / WALKS_PER_SPAN) {
                let definition = lane.members.first().map_or(0, |member| member.definition);
                lane.expire(window, horizon).map_err(|source| overflow(&self.plan, definition, source))?;
            }
        }
        Ok(())
    }

    /// Whether a definition has seen more than half as many groups as it may
    /// publish. The rows of an end over the limit are not there to be restated,
    /// so that its windows keep their panes.
    pub fn is_near_limit(&self, definition: usize) -> bool {
        let Definition { grouping_sets, groups_max, .. } = &self.plan.definitions[definition];
        grouping_sets.iter().any(|set| self.groups().count(*set).saturating_mul(2) > *groups_max)
    }

    /// What is to be read of the published rows, the last revision of each,
    /// before [`Engine::restate_expired`]; empty when nothing late has come.
    pub fn expired_ranges(&self) -> Vec<PublishedRange> {
        let mut ranges = Vec::new();
        for lane in self.lanes.iter().filter(|lane| lane.has_expired_changes()) {
            let window = &self.plan.windows[lane.window];
            for (kpi, member) in lane.members.iter().enumerate() {
                let Some((after, to)) = lane.expired_range(window, kpi) else { continue };
                ranges.push(PublishedRange {
                    fingerprint: Arc::clone(&self.plan.definitions[member.definition].fingerprint),
                    window: Arc::clone(&window.name),
                    grouping_set: self.set_name(lane.set),
                    after,
                    to,
                });
            }
        }
        ranges
    }

    /// Changes to published ends, late ones and retractions, that wait to be
    /// restated; those of one pane may count as one.
    pub fn waiting_changes(&self) -> usize {
        self.lanes.iter().map(Lane::waiting_changes).sum()
    }

    /// Columns of a published row that [`Engine::restate_expired`] reads.
    pub fn columns_of_published(&self) -> Vec<Arc<str>> {
        let own = PUBLISHED_COLUMNS.iter().map(|name| Arc::from(*name));
        own.chain(self.plan.dimensions.iter().cloned()).collect()
    }

    /// Restates what late changes touch where the panes are gone. `rows` hold
    /// the published rows of [`Engine::expired_ranges`], in any order; others
    /// do no harm, and of several revisions the last one tells.
    ///
    /// # Errors
    /// [`EngineError::Overflow`]; the engine is then unusable.
    pub fn restate_expired(&mut self, rows: &[RecordBatch]) -> Result<Vec<KpiRow>, EngineError> {
        let mut published = self.touched_rows();
        rows.iter().for_each(|batch| self.note_published(batch, &mut published));
        self.restate_noted(published)
    }

    /// What late changes touch where the panes are gone, to take the rows of
    /// [`Engine::expired_ranges`] batch by batch.
    pub fn touched_rows(&self) -> PublishedRows {
        let mut touched = PublishedRows::default();
        for (at, lane) in self.lanes.iter().enumerate() {
            for kpi in 0..lane.members.len() {
                for (group, stretches) in lane.touched(&self.plan.windows[lane.window], kpi) {
                    let rows = TouchedRows { stretches, ..TouchedRows::default() };
                    touched.0.insert(Series { lane: at, kpi, group }, rows);
                }
            }
        }
        touched
    }

    /// As [`Engine::restate_expired`], from rows that were noted in [`Engine::touched_rows`].
    ///
    /// # Errors
    /// [`EngineError::Overflow`]; the engine is then unusable.
    pub fn restate_noted(&mut self, mut published: PublishedRows) -> Result<Vec<KpiRow>, EngineError> {
        let mut restated = Vec::new();
        for at in 0..self.lanes.len() {
            for kpi in 0..self.lanes[at].members.len() {
                let definition = self.lanes[at].members[kpi].definition;
                for (group, changes) in self.lanes[at].drain_expired(kpi) {
                    let lane = &self.lanes[at];
                    let window = &self.plan.windows[lane.window];
                    let rows = published.0.remove(&Series { lane: at, kpi, group }).unwrap_or_default().into_rows();
                    let rows = lane.restate_expired(window, kpi, group, &changes, &rows);
                    let rows = rows.map_err(|source| overflow(&self.plan, definition, source))?;
                    restated.extend(rows.into_iter().map(|row| {
                        let over = self.finer_is_over(at, kpi, row.end);
                        self.kpi_row(at, row, false, over)
                    }));
                }
            }
        }
        Ok(restated)
    }

    /// Forgets late changes that are restated already: those of events that
    /// another engine has published since this one's snapshot was taken.
    pub fn forget_expired_changes(&mut self) {
        for lane in &mut self.lanes {
            (0..lane.members.len()).for_each(|kpi| drop(lane.drain_expired(kpi)));
        }
    }

    /// Notes what [`Engine::restate_noted`] wants of published rows, and no more of them.
    pub fn note_published(&self, batch: &RecordBatch, published: &mut PublishedRows) {
        let text = |name: &str| batch[name].as_string::<i32>();
        let (fingerprint, window, set) = (text("fingerprint"), text("window_name"), text("grouping_set"));
        let end = batch["window_end"].as_primitive::<TimestampMicrosecondType>();
        let revision = batch["revision"].as_primitive::<Int64Type>();
        let moments = Moments::of(batch);
        for row in 0..batch.num_rows() {
            let Some((lane, kpi)) = self.member(fingerprint.value(row), window.value(row), set.value(row)) else {
                continue;
            };
            let Some(group) = self.published_group(lane, batch, row) else { continue };
            let Some(touched) = published.0.get_mut(&Series { lane, kpi, group }) else { continue };
            if !touched.wants(end.value(row)) {
                continue;
            }
            let is_ratio =
                self.plan.definitions[self.lanes[lane].members[kpi].definition].metric.base_measure().is_some();
            let found = PublishedRow {
                revision: u32::try_from(revision.value(row)).unwrap_or(u32::MAX),
                sums: moments.sums(row, is_ratio),
            };
            touched.note(end.value(row), found);
        }
    }

    fn member(&self, fingerprint: &str, window: &str, set: &str) -> Option<(usize, usize)> {
        self.lanes.iter().enumerate().find_map(|(at, lane)| {
            if !lane.has_expired_changes()
                || *self.plan.windows[lane.window].name != *window
                || self.set_name(lane.set) != set
            {
                return None;
            }
            let is = |definition: usize| *self.plan.definitions[definition].fingerprint == *fingerprint;
            lane.members.iter().position(|member| is(member.definition)).map(|kpi| (at, kpi))
        })
    }

    fn published_group(&self, lane: usize, batch: &RecordBatch, row: usize) -> Option<u32> {
        let set = self.lanes[lane].set;
        let value = |dimension: &usize| {
            let column = batch.column_by_name(&self.plan.dimensions[*dimension])?.as_string::<i32>();
            Some(if column.is_valid(row) { column.value(row) } else { "" })
        };
        let values = self.plan.grouping_sets[set].iter().map(value).collect::<Option<Vec<_>>>()?;
        self.groups().find(set, &values)
    }
}

/// The exact moments of published rows.
#[derive(Debug)]
pub struct Moments<'a> {
    numerator: &'a Decimal128Array,
    denominator: &'a Decimal128Array,
    w: &'a Decimal128Array,
    wx: &'a Decimal128Array,
    n: &'a Int64Array,
    numerator_n: &'a Int64Array,
    squares: [&'a StringArray; 3],
}

impl Moments<'_> {
    /// Of a batch of `kpis`; its columns have to be there.
    pub fn of(batch: &RecordBatch) -> Moments<'_> {
        let decimal = |name: &str| batch[name].as_primitive::<Decimal128Type>();
        let integer = |name: &str| batch[name].as_primitive::<Int64Type>();
        let text = |name: &str| batch[name].as_string::<i32>();
        Moments {
            numerator: decimal("numerator"),
            denominator: decimal("denominator"),
            w: decimal("sum_w"),
            wx: decimal("sum_wx"),
            n: integer("n"),
            numerator_n: integer("numerator_n"),
            squares: [text("sum_w2"), text("sum_w2x"), text("sum_w2x2")],
        }
    }

    /// Of one row, whose metric is a ratio or not.
    pub fn sums(&self, row: usize, is_ratio: bool) -> Sums {
        let [ww, wwx, wwxx] = self.squares.map(|column| digits(column.value(row)));
        let moments = Sums { w: self.w.value(row), ww: ww.as_i128(), wwx, wwxx, ..Sums::default() };
        if is_ratio {
            let (wx, base) = (self.numerator.value(row), self.denominator.value(row));
            return Sums { n: self.numerator_n.value(row), base_n: self.n.value(row), wx, base, ..moments };
        }
        Sums { n: self.n.value(row), wx: self.wx.value(row), ..moments }
    }
}

/// The integer that a decimal text is made of.
fn digits(text: &str) -> i256 {
    i256::from_string(&text.replace('.', "")).unwrap_or(i256::ZERO)
}
