//! Fields of other events of the same key, beside the events that a measure reads.
//!
//! An *anchor* is an event that a measure reads; a *partner* is one that is joined to
//! it. What is joined is a function of the set of partners that count: when it
//! changes, the anchor is taken back as it was and counted anew. The state holds
//! every anchor with a key, as bytes that only the caller understands, and every
//! partner, by key; it is exact, and grows with the events that have a key.

use std::collections::{BTreeMap, BTreeSet};

use ahash::AHashMap;
use serde::{Deserialize, Serialize};

use crate::batch::Sign;

mod frame;

/// How a joined field is made of the values of an anchor's partners. A value that
/// is NULL is passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregate {
    /// The first by event time, event id, then source.
    First,
    /// The last.
    Last,
    /// The least.
    Min,
    /// The greatest.
    Max,
    /// The sum; NULL of none.
    Sum,
    /// How many there are.
    Count,
    /// How many different ones there are.
    Distinct,
}

/// One join of a measure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// How far before and after the anchor's time its partners lie at most, µs, both
    /// included; one below 0 lies on the other side: `(7 days, -1)` is before it. `None`: at any time.
    pub within: Option<(i64, i64)>,
    /// How each of its fields is made.
    pub fields: Vec<Aggregate>,
}

/// A value of a partner, or of a joined field.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum JoinedValue {
    /// A number of a scale that the caller knows, a time in µs, or a condition as 0 or 1.
    Integer(i128),
    /// A text.
    Text(Box<str>),
}

/// An event that a measure with joins reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// Its time, µs.
    pub time: i64,
    /// Its key of each join, hashed.
    pub keys: Box<[Option<u128>]>,
    /// What the caller needs to measure it anew; equal events have equal bytes.
    pub row: Box<[u8]>,
}

/// An event that is joined to others. The order is that of `first` and `last`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Partner {
    /// Its time, µs.
    pub time: i64,
    /// Its id.
    pub event_id: Box<str>,
    /// Its source.
    pub source: Box<str>,
    /// Its value of each field of the join.
    pub values: Box<[Option<JoinedValue>]>,
}

/// What a batch of events brings to the joins of one measure.
#[derive(Debug, Clone)]
pub struct JoinInput {
    /// The measure.
    pub measure: usize,
    /// What it reads.
    pub anchors: Vec<(Anchor, Sign)>,
    /// What is joined, of each join, with its key.
    pub partners: Vec<Vec<(u128, Partner, Sign)>>,
}

/// An anchor with what is joined to it, to be measured and applied with its sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// [`Anchor::row`].
    pub row: Box<[u8]>,
    /// The fields of every join, one after the other.
    pub values: Vec<Option<JoinedValue>>,
    /// What it does.
    pub sign: Sign,
}

#[derive(Debug, Default)]
struct Key {
    /// In order.
    partners: Vec<Partner>,
    anchors: Vec<u32>,
    /// What every anchor of the key sees of a join at any time; of another join nothing.
    values: Values,
}

type Values = Vec<Option<JoinedValue>>;

/// The anchors and partners of one measure.
#[derive(Debug)]
pub(crate) struct Joins {
    anchors: Vec<Option<Anchor>>,
    free: Vec<u32>,
    /// Of each join.
    keys: Vec<AHashMap<u128, Key>>,
}

/// What a key was before a batch.
struct Old {
    partners: OldPartners,
    /// Whether one of its partners is recalled.
    recalled: bool,
}

enum OldPartners {
    /// As every anchor saw them.
    Values(Values),
    /// All of them: what an anchor saw depends on its time.
    All(Vec<Partner>),
}

/// By join and key.
type Before = BTreeMap<(usize, u128), Old>;

impl Joins {
    pub(crate) fn new(plan: &[Join]) -> Joins {
        Joins { anchors: Vec::new(), free: Vec::new(), keys: plan.iter().map(|_| AHashMap::new()).collect() }
    }

    /// Keys held, of all joins.
    pub(crate) fn len(&self) -> usize {
        self.keys.iter().map(|keys| keys.len()).sum()
    }

    /// Takes a batch in, and gives the anchors that are to be counted, taken back, or both.
    pub(crate) fn apply(&mut self, plan: &[Join], input: JoinInput) -> Vec<Joined> {
        let before = self.take_partners(plan, input.partners);
        let mut out = Vec::with_capacity(input.anchors.len());
        let (counting, others): (Vec<_>, Vec<_>) =
            input.anchors.into_iter().partition(|(_, sign)| *sign == Sign::Count);
        for (anchor, sign) in others {
            out.push(match sign {
                Sign::Touch => Joined { row: anchor.row, values: nothing(plan), sign },
                _ => self.recall(plan, anchor, &before),
            });
        }
        self.count_anew(plan, &before, &mut out);
        out.extend(counting.into_iter().map(|(anchor, _)| self.count(plan, anchor)));
        out
    }

    /// Takes partners in, and gives what the keys were that they belong to.
    fn take_partners(&mut self, plan: &[Join], partners: Vec<Vec<(u128, Partner, Sign)>>) -> Before {
        let mut before = Before::new();
        for (join, partners) in partners.into_iter().enumerate() {
            for (key, partner, sign) in partners {
                let old = before.entry((join, key)).or_insert_with(|| self.old(&plan[join], join, key));
                old.recalled |= sign == Sign::Recall;
                self.take_partner(join, key, partner, sign);
            }
        }
        before.keys().for_each(|(join, key)| self.settle(&plan[*join], *join, *key));
        before
    }

    fn old(&self, plan: &Join, join: usize, key: u128) -> Old {
        let held = self.keys[join].get(&key);
        let partners = match plan.within {
            None => OldPartners::Values(held.map_or_else(|| plan.of(&[]), |held| held.values.clone())),
            Some(_) => OldPartners::All(held.map_or(Vec::new(), |held| held.partners.clone())),
        };
        Old { partners, recalled: false }
    }

    fn take_partner(&mut self, join: usize, key: u128, partner: Partner, sign: Sign) {
        let partners = &mut self.keys[join].entry(key).or_default().partners;
        match sign {
            Sign::Count => {
                let at = partners.partition_point(|other| *other < partner);
                partners.insert(at, partner);
            }
            Sign::Recall | Sign::Replace => {
                if let Ok(at) = partners.binary_search(&partner) {
                    partners.remove(at);
                }
            }
            Sign::Touch => {}
        }
    }

    /// Works out what is seen of a key whose partners have changed; one that holds nothing is forgotten.
    fn settle(&mut self, plan: &Join, join: usize, key: u128) {
        let Some(held) = self.keys[join].get_mut(&key) else { return };
        if held.partners.is_empty() && held.anchors.is_empty() {
            self.keys[join].remove(&key);
        } else if plan.within.is_none() {
            held.values = plan.of(&held.partners);
        }
    }

    fn count(&mut self, plan: &[Join], anchor: Anchor) -> Joined {
        let values = self.values(plan, &anchor, None);
        let row = anchor.row.clone();
        self.hold(plan, anchor);
        Joined { row, values, sign: Sign::Count }
    }

    /// Takes an anchor back as it was counted.
    fn recall(&mut self, plan: &[Join], anchor: Anchor, before: &Before) -> Joined {
        let Some(id) = self.find(&anchor) else {
            // Without a key it was never held; with one it never counted.
            let sign = if anchor.keys.iter().all(Option::is_none) { Sign::Recall } else { Sign::Touch };
            return Joined { row: anchor.row, values: nothing(plan), sign };
        };
        let values = self.values(plan, &anchor, Some(before));
        self.release(id);
        Joined { row: anchor.row, values, sign: Sign::Recall }
    }

    /// Counts anchors anew to which something else is joined now.
    fn count_anew(&self, plan: &[Join], before: &Before, out: &mut Vec<Joined>) {
        for (id, recalled) in self.changed(before) {
            let Some(anchor) = self.anchor(id) else { continue };
            let (old, new) = (self.values(plan, anchor, Some(before)), self.values(plan, anchor, None));
            if new == old {
                continue;
            }
            let sign = if recalled { Sign::Recall } else { Sign::Replace };
            out.push(Joined { row: anchor.row.clone(), values: old, sign });
            out.push(Joined { row: anchor.row.clone(), values: new, sign: Sign::Count });
        }
    }

    /// Anchors to which something else may be joined now, and whether for a recalled partner.
    fn changed(&self, before: &Before) -> BTreeMap<u32, bool> {
        let mut changed = BTreeMap::new();
        for ((join, key), old) in before {
            let Some(held) = self.keys[*join].get(key) else { continue };
            if matches!(&old.partners, OldPartners::Values(values) if *values == held.values) {
                continue;
            }
            for id in &held.anchors {
                *changed.entry(*id).or_default() |= old.recalled;
            }
        }
        changed
    }

    fn anchor(&self, id: u32) -> Option<&Anchor> {
        self.anchors.get(id as usize)?.as_ref()
    }

    /// Keeps an anchor, if anything can ever be joined to it.
    fn hold(&mut self, plan: &[Join], anchor: Anchor) {
        if anchor.keys.iter().all(Option::is_none) {
            return;
        }
        let id = self.free.pop().unwrap_or_else(|| {
            self.anchors.push(None);
            u32::try_from(self.anchors.len() - 1).expect("fewer than 2^32 anchors fit into memory")
        });
        for (join, key) in anchor.keys.iter().enumerate() {
            let Some(key) = key else { continue };
            let held = self.keys[join].entry(*key).or_default();
            held.anchors.push(id);
            if held.anchors.len() == 1 && held.partners.is_empty() && plan[join].within.is_none() {
                held.values = plan[join].of(&[]);
            }
        }
        self.anchors[id as usize] = Some(anchor);
    }

    fn release(&mut self, id: u32) {
        let Some(anchor) = self.anchors[id as usize].take() else { return };
        self.free.push(id);
        for (join, key) in anchor.keys.iter().enumerate() {
            let Some(key) = key else { continue };
            let Some(held) = self.keys[join].get_mut(key) else { continue };
            held.anchors.retain(|other| *other != id);
            if held.partners.is_empty() && held.anchors.is_empty() {
                self.keys[join].remove(key);
            }
        }
    }

    /// One that equals an anchor, if it is held.
    fn find(&self, anchor: &Anchor) -> Option<u32> {
        let (join, key) = anchor.keys.iter().enumerate().find_map(|(join, key)| Some((join, (*key)?)))?;
        let ids = &self.keys[join].get(&key)?.anchors;
        ids.iter().copied().find(|id| self.anchor(*id) == Some(anchor))
    }

    /// The fields of every join as an anchor sees them, or saw them before a batch.
    fn values(&self, plan: &[Join], anchor: &Anchor, before: Option<&Before>) -> Values {
        let mut values = Vec::new();
        for (join, (plan, key)) in plan.iter().zip(&anchor.keys).enumerate() {
            let Some(key) = key else {
                values.extend(plan.of(&[]));
                continue;
            };
            let old = before.and_then(|before| before.get(&(join, *key)));
            let held = self.keys[join].get(key);
            match (old.map(|old| &old.partners), held, plan.within) {
                (Some(OldPartners::Values(old)), ..) => values.extend_from_slice(old),
                (Some(OldPartners::All(old)), ..) => values.extend(plan.of(plan.seen_from(anchor.time, old))),
                (None, Some(held), None) => values.extend_from_slice(&held.values),
                (None, Some(held), _) => values.extend(plan.of(plan.seen_from(anchor.time, &held.partners))),
                (None, None, _) => values.extend(plan.of(&[])),
            }
        }
        values
    }
}

impl Join {
    /// The fields of some partners.
    fn of(&self, partners: &[Partner]) -> Values {
        self.fields.iter().enumerate().map(|(field, aggregate)| aggregate.of(partners, field)).collect()
    }

    /// Those of a key's partners that lie within reach of a time.
    fn seen_from<'a>(&self, time: i64, partners: &'a [Partner]) -> &'a [Partner] {
        let Some((before, after)) = self.within else { return partners };
        let (first, last) = (time.saturating_sub(before), time.saturating_add(after));
        let from = partners.partition_point(|partner| partner.time < first);
        let to = partners.partition_point(|partner| partner.time <= last);
        partners.get(from..to).unwrap_or_default()
    }
}

/// The fields where nothing is joined.
fn nothing(plan: &[Join]) -> Values {
    plan.iter().flat_map(|join| join.of(&[])).collect()
}

impl Aggregate {
    fn of(self, partners: &[Partner], field: usize) -> Option<JoinedValue> {
        let mut values = partners.iter().filter_map(|partner| partner.values.get(field)?.as_ref());
        match self {
            Aggregate::First => values.next().cloned(),
            Aggregate::Last => values.next_back().cloned(),
            Aggregate::Min => values.min().cloned(),
            Aggregate::Max => values.max().cloned(),
            Aggregate::Distinct => Some(JoinedValue::Integer(values.collect::<BTreeSet<_>>().len() as i128)),
            Aggregate::Count => Some(JoinedValue::Integer(values.count() as i128)),
            // Of 18 digits each: 10^20 of them would have to be added up to leave the type.
            Aggregate::Sum => values.map(integer).reduce(i128::saturating_add).map(JoinedValue::Integer),
        }
    }
}

fn integer(value: &JoinedValue) -> i128 {
    match value {
        JoinedValue::Integer(number) => *number,
        JoinedValue::Text(_) => 0,
    }
}

#[cfg(test)]
mod tests;
