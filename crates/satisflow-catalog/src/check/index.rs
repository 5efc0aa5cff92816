//! An index tree of the catalog, checked and brought to integers.

use std::collections::{BTreeMap, HashMap};

use satisflow_document::{Decimal, escape};

use super::{Checker, decimal};
use crate::index::{Grades, Index, Leaf, TOTAL_MAX};
use crate::macros::{Fault, unknown_scale};
use crate::raw::{RawIndex, RawItem};
use crate::scales::{Scales, Values, Version};

const ANSWERED_MIN_DEFAULT: i64 = 700_000;
/// Levels of a tree; more don't fit the exact weights of paths.
const DEPTH_MAX: usize = 4;
const WEIGHT_DECIMALS: usize = 6;
const WEIGHT_ONE: i64 = 1_000_000;
const VALUE_DECIMALS: usize = 4;
const VALUE_ONE: i64 = 10_000;

/// An item as it is met: the weight of its path, and how its answers are graded.
struct Found {
    name: String,
    pointer: String,
    /// `WEIGHT_DECIMALS` for each level of its path.
    weight: i128,
    depth: usize,
    grades: RawGrades,
}

enum RawGrades {
    Range {
        min: i64,
        max: i64,
    },
    /// Each a number of equal steps up to the whole; texts as they are, or as labels are compared.
    Levels {
        levels: BTreeMap<String, i64>,
        steps: i64,
        folded: bool,
    },
}

/// Where a walk through the tree has come to.
struct Place<'a> {
    pointer: &'a str,
    weight: i128,
    depth: usize,
    scales: &'a Scales,
}

/// The tree, or `None` when problems were added.
pub(super) fn index(pointer: &str, raw: &RawIndex, scales: &Scales, checker: &mut Checker<'_>) -> Option<Index> {
    let before = checker.problems.len();
    let answered_min = share(&format!("{pointer}/answered_min"), raw.answered_min.as_ref(), checker);
    let items = format!("{pointer}/items");
    top_total(pointer, raw, checker);
    let mut found = Vec::new();
    walk(&raw.items, &Place { pointer: &items, weight: 1, depth: 1, scales }, checker, &mut found);
    twice(&found, checker);
    let leaves = leaves(&found);
    if leaves.is_none() && checker.problems.len() == before {
        checker.problem(
            pointer,
            "the weights and ranges of the index have too many digits to be added up exactly".to_owned(),
            "round the weights, such as to 4 decimals",
        );
    }
    leaves.filter(|_| checker.problems.len() == before).map(|leaves| Index::new(leaves, answered_min))
}

/// Above 0, at most 1; 6 decimals.
fn share(pointer: &str, written: Option<&Decimal>, checker: &mut Checker<'_>) -> i64 {
    let Some(written) = written else { return ANSWERED_MIN_DEFAULT };
    let share = written.scaled(WEIGHT_DECIMALS).filter(|share| (1..=WEIGHT_ONE).contains(share));
    share.unwrap_or_else(|| {
        checker.problem(pointer, "this is not a share above 0 and at most 1".to_owned(), "such as 0.7");
        ANSWERED_MIN_DEFAULT
    })
}

fn sum(items: &BTreeMap<String, RawItem>) -> i64 {
    items.values().filter_map(|item| item.weight.scaled(WEIGHT_DECIMALS)).fold(0, i64::saturating_add)
}

/// Points sum to what is said, or to 1 or 100.
fn top_total(pointer: &str, raw: &RawIndex, checker: &mut Checker<'_>) {
    let found = sum(&raw.items);
    let wanted = raw.total.as_ref().and_then(|total| total.scaled(WEIGHT_DECIMALS));
    let fits = match (&raw.total, wanted) {
        (None, _) => [WEIGHT_ONE, 100 * WEIGHT_ONE].contains(&found),
        (Some(_), wanted) => wanted == Some(found),
    };
    if !fits {
        let message = format!("the weights of the index sum to {}", decimal(found));
        let hint = "make them sum to 1 or 100, or say what they sum to: `total`";
        checker.problem(&format!("{pointer}/items"), message, hint);
    }
}

fn walk(items: &BTreeMap<String, RawItem>, place: &Place<'_>, checker: &mut Checker<'_>, found: &mut Vec<Found>) {
    if items.is_empty() {
        checker.problem(place.pointer, "here is no item".to_owned(), "name an item of `answers`");
    }
    for (name, item) in items {
        let pointer = format!("{}/{}", place.pointer, escape(name));
        let weight = item.weight.scaled(WEIGHT_DECIMALS).filter(|weight| *weight > 0);
        if weight.is_none() {
            let message = format!("the weight of `{name}` is not a number above 0 of at most 6 decimals");
            checker.problem(&format!("{pointer}/weight"), message, "leave out an item that counts nothing");
        }
        let weight = place.weight.saturating_mul(i128::from(weight.unwrap_or(WEIGHT_ONE)));
        let here = Place { pointer: &pointer, weight, ..*place };
        match &item.items {
            Some(parts) if item.is_plain() => branch(parts, &here, checker, found),
            _ => found.extend(leaf(name, item, &here, checker)),
        }
    }
}

fn branch(parts: &BTreeMap<String, RawItem>, here: &Place<'_>, checker: &mut Checker<'_>, found: &mut Vec<Found>) {
    let total = sum(parts);
    let pointer = format!("{}/items", here.pointer);
    if total != WEIGHT_ONE && !parts.is_empty() {
        let message = format!("the weights of these items sum to {}", decimal(total));
        checker.problem(&pointer, message, "inside a tree they are shares, and sum to 1");
    }
    if here.depth == DEPTH_MAX {
        checker.problem(&pointer, format!("the tree has more than {DEPTH_MAX} levels"), "multiply the weights out");
        return;
    }
    walk(parts, &Place { pointer: &pointer, depth: here.depth + 1, ..*here }, checker, found);
}

fn leaf(name: &str, item: &RawItem, here: &Place<'_>, checker: &mut Checker<'_>) -> Option<Found> {
    let grades = match (&item.min, &item.max, &item.levels, &item.scale, &item.items) {
        (Some(min), Some(max), None, None, None) => range(here.pointer, min, max, checker)?,
        (None, None, Some(levels), None, None) => {
            RawGrades::Levels { levels: graded(here.pointer, levels, checker)?, steps: VALUE_ONE, folded: false }
        }
        (None, None, None, Some(scale), None) => of_scale(here, scale, checker)?,
        _ => {
            let message = format!("how answers to `{name}` are graded is said in no or in several ways");
            checker.problem(here.pointer, message, "one of: `min` and `max`, `levels`, `scale`, `items`");
            return None;
        }
    };
    let Place { pointer, weight, depth, .. } = *here;
    Some(Found { name: name.to_owned(), pointer: pointer.to_owned(), weight, depth, grades })
}

/// What the labels of a scale give, from its worst to its best.
fn of_scale(here: &Place<'_>, name: &str, checker: &mut Checker<'_>) -> Option<RawGrades> {
    let at = format!("{}/scale", here.pointer);
    let Some(scale) = here.scales.get(name) else {
        let Fault { message, hint } = unknown_scale(name, here.scales);
        checker.problem(&at, message, &hint);
        return None;
    };
    let labels = match scale.versions.as_slice() {
        [Version { from: None, values: Values::Labels(labels) }] => labels,
        // It has problems of its own.
        [] => return None,
        _ => {
            let message = format!("an index can't use the scale `{name}`: it is no set of labels that always holds");
            checker.problem(&at, message, "say `min` and `max`, or `levels`");
            return None;
        }
    };
    let values = || labels.values().map(|label| label.value);
    let (least, greatest) = (values().min()?, values().max()?);
    if least == greatest {
        let message = format!("the labels of the scale `{name}` all count the same");
        checker.problem(&at, message, "name a scale with a worst and a best label");
        return None;
    }
    let levels = labels.iter().map(|(name, label)| (name.clone(), label.value - least)).collect();
    Some(RawGrades::Levels { levels, steps: greatest - least, folded: true })
}

fn range(pointer: &str, min: &Decimal, max: &Decimal, checker: &mut Checker<'_>) -> Option<RawGrades> {
    match (min.scaled(VALUE_DECIMALS), max.scaled(VALUE_DECIMALS)) {
        (Some(min), Some(max)) if min < max => Some(RawGrades::Range { min, max }),
        _ => {
            let message = "`min` and `max` are no range of at most 4 decimals".to_owned();
            checker.problem(pointer, message, "such as `min: 1, max: 10`, the worst and the best");
            None
        }
    }
}

fn graded(
    pointer: &str,
    levels: &BTreeMap<String, Decimal>,
    checker: &mut Checker<'_>,
) -> Option<BTreeMap<String, i64>> {
    let mut graded = BTreeMap::new();
    for (level, grade) in levels {
        match grade.scaled(VALUE_DECIMALS).filter(|grade| (0..=VALUE_ONE).contains(grade)) {
            Some(grade) => drop(graded.insert(level.clone(), grade)),
            None => {
                let message = format!("`{level}` does not give 0 to 1, of at most 4 decimals");
                checker.problem(&format!("{pointer}/levels/{}", escape(level)), message, "such as 0.8");
            }
        }
    }
    if levels.is_empty() {
        checker.problem(&format!("{pointer}/levels"), "here is no level".to_owned(), "such as `A: 1, B: 0.8`");
    }
    (graded.len() == levels.len() && !levels.is_empty()).then_some(graded)
}

fn twice(found: &[Found], checker: &mut Checker<'_>) {
    for (at, item) in found.iter().enumerate() {
        if found[..at].iter().any(|other| other.name == item.name) {
            let message = format!("the item `{}` stands twice in the index", item.name);
            checker.problem(&item.pointer, message, "add its weights up");
        }
    }
}

/// All parts as integers of one denominator, the smallest there are; `None` if too large.
fn leaves(found: &[Found]) -> Option<HashMap<String, Leaf>> {
    let deepest = found.iter().map(|item| item.depth).max()?;
    let steps = found.iter().map(Found::steps).try_fold(1, lcm)?;
    let mut parts = Vec::new();
    for item in found {
        let levels_up = u32::try_from(deepest - item.depth).ok()?;
        let weight = item.weight.checked_mul(i128::from(WEIGHT_ONE).checked_pow(levels_up)?)?;
        parts.push((item, weight.checked_mul(steps)?));
    }
    let shared = parts.iter().fold(0, |shared, (item, weight)| gcd(shared, item.finest(*weight)));
    let total = parts.iter().try_fold(0i128, |total, (_, weight)| total.checked_add(weight / shared))?;
    let fits = total <= i128::from(TOTAL_MAX);
    fits.then(|| parts.into_iter().filter_map(|(item, weight)| item.leaf(weight, shared)).collect())
}

impl Found {
    /// In how many equal steps its answers lie.
    fn steps(&self) -> i128 {
        match &self.grades {
            RawGrades::Range { min, max } => i128::from(*max) - i128::from(*min),
            RawGrades::Levels { steps, .. } => i128::from(*steps),
        }
    }

    /// What divides everything that its answers give, of a weight.
    fn finest(&self, weight: i128) -> i128 {
        let step = weight / self.steps();
        match &self.grades {
            RawGrades::Range { .. } => step,
            RawGrades::Levels { levels, .. } => {
                levels.values().fold(weight, |shared, grade| gcd(shared, step * i128::from(*grade)))
            }
        }
    }

    fn leaf(&self, weight: i128, shared: i128) -> Option<(String, Leaf)> {
        let step = weight / self.steps();
        let part = |part: i128| i64::try_from(part / shared).ok();
        let grades = match &self.grades {
            RawGrades::Range { min, max } => Grades::Range { min: *min, max: *max, per_step: part(step)? },
            RawGrades::Levels { levels, folded, .. } => {
                let points = |(level, grade): (&String, &i64)| Some((level.clone(), part(step * i128::from(*grade))?));
                let points = levels.iter().map(points).collect::<Option<_>>()?;
                Grades::Levels { points, folded: *folded }
            }
        };
        Some((self.name.clone(), Leaf { weight: part(weight)?, grades }))
    }
}

fn gcd(a: i128, b: i128) -> i128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn lcm(a: i128, b: i128) -> Option<i128> {
    (a / gcd(a, b)).checked_mul(b)
}
