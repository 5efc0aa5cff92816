//! Courses: in which parts a stream is taken, what is published after each, and what comes in between.

use std::collections::BTreeMap;

use satisflow_kpi::Frontier;

use crate::properties::START;
use crate::stream::{Event, MINUTE, Scorer};

/// All events have come, and every window that they are in is closed.
pub const LAST: i64 = START + 5000 * MINUTE;

/// Published rows as text, by key.
pub type Table = BTreeMap<String, String>;

/// A stream and how it comes.
pub struct Course {
    order: Vec<Event>,
    cuts: Vec<usize>,
    marks: Vec<i64>,
}

/// What comes between parts, each after the part of a number.
#[derive(Default)]
pub struct Between {
    /// Another engine is built from what came, and goes on from what is published.
    pub restart: Option<usize>,
    /// A snapshot is taken, if anything was published after the part.
    pub save: Option<usize>,
    /// Another engine goes on from the snapshot, while others have published since.
    pub crash: Option<usize>,
}

impl Course {
    /// `marks` are minutes, as [`shuffled`](crate::properties::shuffled) gives them.
    pub fn new(order: Vec<Event>, cuts: Vec<usize>, marks: &[i64]) -> Course {
        Course { order, cuts, marks: marks.iter().map(|mark| START + mark * MINUTE).collect() }
    }

    fn parts(&self) -> impl Iterator<Item = (usize, &[Event])> {
        let from = std::iter::once(0).chain(self.cuts.iter().copied());
        from.zip(&self.cuts).map(|(from, to)| &self.order[from..*to]).enumerate()
    }

    fn end(&self, mut scorer: Scorer, mut table: Table) -> Table {
        scorer.take(&self.order[self.cuts.last().copied().unwrap_or(0)..]);
        scorer.publish(LAST, &mut table);
        table
    }

    /// What is published of all of it, marks in their order.
    pub fn run(&self, scorer: Scorer) -> Table {
        self.interrupted(scorer, &Between::default())
    }

    /// The same with something in between.
    pub fn interrupted(&self, mut scorer: Scorer, between: &Between) -> Table {
        let mut marks = self.marks.clone();
        marks.sort_unstable();
        let (mut table, mut saved, mut published) = (Table::new(), None, None);
        for (number, part) in self.parts() {
            scorer.take(part);
            let taken = self.cuts[number];
            if let Some(mark) = marks.get(number) {
                scorer.publish(*mark, &mut table);
                published = Some((*mark, taken));
                if between.restart == Some(number) {
                    scorer = scorer.restarted(&self.order[..taken], *mark);
                    saved = None;
                }
                if between.save == Some(number) {
                    saved = Some((scorer.save(), taken));
                }
            }
            if let (Some((saved, from)), Some((mark, to)), true) = (&saved, published, between.crash == Some(number)) {
                scorer = scorer.recovered(saved, &self.order[*from..to], mark);
                scorer.take(&self.order[to..taken]);
            }
        }
        self.end(scorer, table)
    }

    /// Each definition goes at its own pace, and some rows are incomplete for a while.
    pub fn at_paces(&self, mut scorer: Scorer) -> Table {
        let definitions = scorer.engine.plan().definitions.len();
        let mut table = Table::new();
        for (number, part) in self.parts() {
            scorer.take(part);
            let at = |i: usize| self.marks.get((number + i) % self.marks.len().max(1)).copied().unwrap_or(START);
            let frontier = |i| Frontier { complete: at(i + 1), ..Frontier::at(at(i)) };
            scorer.publish_each(&(0..definitions).map(frontier).collect::<Vec<_>>(), &mut table);
        }
        self.end(scorer, table)
    }

    /// The last row of each series as it was published, and by the engine's word, when half came late.
    pub fn finals(&self, mut scorer: Scorer) -> [Table; 2] {
        let mut table = Table::new();
        let (early, late) = self.order.split_at(self.order.len() / 2);
        let mark = self.marks.first().copied().unwrap_or(START + 2000 * MINUTE);
        scorer.take(early);
        scorer.publish(mark, &mut table);
        scorer.take(late);
        scorer.publish(mark, &mut table);
        scorer.finals(&table)
    }
}
