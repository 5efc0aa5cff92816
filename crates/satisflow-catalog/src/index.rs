//! Index trees: the share of the best possible that an event's answers reach, in
//! points from 0 to 100 (F1, F3, F4).
//!
//! - Exact: what an answer gives is an integer of one denominator for the whole
//!   tree; the quotient is rounded once, at 4 decimals, half up.
//! - The rule stands here in two forms: over columns, which the engine runs, and
//!   as SQL, which the audit runs and the fingerprint reads.

use std::collections::{BTreeMap, HashMap};

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, RecordBatch, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Decimal128Type};
use arrow::error::ArrowError;
use satisflow_model::fold_label;

use crate::functions::FOLD_LABEL;
use crate::literals::text;

/// Decimals of an index.
const SCALE: i8 = 4;
/// A whole, at the decimals of an index: 100 points.
const WHOLE: i64 = 1_000_000;
/// Largest sum of the weights: what is divided to give the index is still a BIGINT.
pub(crate) const TOTAL_MAX: i64 = i64::MAX / (2 * WHOLE + 1);

/// What an answer to an item gives, out of the item's weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Grades {
    /// `per_step` for each 0.0001 above `min`; `min` and `max` of 4 decimals.
    Range { min: i64, max: i64, per_step: i64 },
    /// By the answer's text as it is, or as labels are compared.
    Levels { points: BTreeMap<String, i64>, folded: bool },
}

/// An item: its part of the tree's weight, and what its answers give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leaf {
    pub(crate) weight: i64,
    pub(crate) grades: Grades,
}

/// A checked index tree: its items, each with the weight of its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    leaves: HashMap<String, Leaf>,
    /// Less than this weight answered: no index.
    answered_min: i64,
}

impl Index {
    /// An index of these items; `answered_min` of all weight has to be answered, 6 decimals.
    pub(crate) fn new(leaves: HashMap<String, Leaf>, answered_min: i64) -> Index {
        let total: i128 = leaves.values().map(|leaf| i128::from(leaf.weight)).sum();
        let least = (total * i128::from(answered_min) + i128::from(WHOLE) - 1) / i128::from(WHOLE);
        Index { leaves, answered_min: i64::try_from(least).unwrap_or(i64::MAX).max(1) }
    }

    /// The index of each event; NULL where too little is answered.
    pub(crate) fn evaluate(&self, events: &RecordBatch) -> Result<ArrayRef, ArrowError> {
        let answers = crate::answers::column(events)?;
        let texts = Answers::of(answers.keys(), answers.values())?;
        let one = |row: usize| {
            let [from, to] = [0, 1].map(|end| usize::try_from(answers.value_offsets()[row + end]).unwrap_or(0));
            answers.is_valid(row).then(|| self.of_answers(&texts, from..to)).flatten()
        };
        let values = Decimal128Array::from_iter((0..events.num_rows()).map(one));
        Ok(std::sync::Arc::new(values.with_precision_and_scale(18, SCALE)?))
    }

    fn of_answers(&self, texts: &Answers<'_>, entries: std::ops::Range<usize>) -> Option<i128> {
        let (mut points, mut weight) = (0, 0);
        for entry in entries {
            let Some(leaf) = self.leaves.get(texts.items.value(entry)) else { continue };
            if let Some(given) = leaf.grades.points(texts, entry) {
                points += given;
                weight += leaf.weight;
            }
        }
        (weight >= self.answered_min).then(|| i128::from((2 * WHOLE * points + weight) / (2 * weight)))
    }

    /// The same as SQL over the columns of an event.
    pub(crate) fn sql(&self) -> String {
        let leaves: BTreeMap<&String, &Leaf> = self.leaves.iter().collect();
        let sum = |part: &dyn Fn(&str, &Leaf) -> String| {
            let parts: Vec<String> = leaves
                .iter()
                .map(|(item, leaf)| part(&format!("map_extract(answers, {})[1]", text(item)), leaf))
                .collect();
            format!("({})", parts.join(" + "))
        };
        let points = sum(&|answer, leaf| leaf.grades.points_sql(answer));
        let weight = sum(&|answer, leaf| {
            format!("CASE WHEN {} THEN {} ELSE 0 END", leaf.grades.answered_sql(answer), leaf.weight)
        });
        format!(
            "CASE WHEN {weight} >= {least} THEN CAST(CAST(({twice} * {points} + {weight}) / (2 * {weight}) \
             AS DECIMAL(18,0)) / 10000 AS DECIMAL(18,4)) END",
            least = self.answered_min,
            twice = 2 * WHOLE,
        )
    }
}

/// Entries of the column `answers`.
struct Answers<'a> {
    items: &'a StringArray,
    texts: &'a StringArray,
    /// The answers that are numbers, 4 decimals.
    numbers: Decimal128Array,
}

impl Answers<'_> {
    fn of<'a>(items: &'a ArrayRef, texts: &'a ArrayRef) -> Result<Answers<'a>, ArrowError> {
        let numbers = cast_with_options(texts, &DataType::Decimal128(18, SCALE), &CastOptions::default())?;
        let numbers = numbers.as_primitive::<Decimal128Type>().clone();
        Ok(Answers { items: items.as_string(), texts: texts.as_string(), numbers })
    }
}

impl Grades {
    /// `None`: the answer is none of the item's, as if it were not there.
    fn points(&self, texts: &Answers<'_>, entry: usize) -> Option<i64> {
        match self {
            Grades::Range { min, max, per_step } => {
                let number = texts.numbers.is_valid(entry).then(|| texts.numbers.value(entry))?;
                let number = i64::try_from(number).ok().filter(|number| (min..=max).contains(&number))?;
                Some((number - min) * per_step)
            }
            Grades::Levels { points, folded: false } => points.get(texts.texts.value(entry)).copied(),
            Grades::Levels { points, folded: true } => points.get(&fold_label(texts.texts.value(entry))).copied(),
        }
    }

    fn points_sql(&self, answer: &str) -> String {
        match self {
            Grades::Range { min, per_step, .. } => {
                let points = format!("({} - {min}) * {per_step}", number(answer));
                format!("CASE WHEN {} THEN {points} ELSE 0 END", self.answered_sql(answer))
            }
            Grades::Levels { points, folded } => {
                let cases: Vec<String> =
                    points.iter().map(|(level, points)| format!("WHEN {} THEN {points}", text(level))).collect();
                format!("CASE {} {} ELSE 0 END", compared(answer, *folded), cases.join(" "))
            }
        }
    }

    fn answered_sql(&self, answer: &str) -> String {
        match self {
            Grades::Range { min, max, .. } => format!("{} BETWEEN {min} AND {max}", number(answer)),
            Grades::Levels { points, folded } => {
                let levels: Vec<String> = points.keys().map(|level| text(level)).collect();
                format!("{} IN ({})", compared(answer, *folded), levels.join(", "))
            }
        }
    }
}

fn compared(answer: &str, folded: bool) -> String {
    if folded { format!("{FOLD_LABEL}({answer})") } else { answer.to_owned() }
}

fn number(answer: &str) -> String {
    format!("CAST(TRY_CAST({answer} AS DECIMAL(18,4)) * 10000 AS BIGINT)")
}
