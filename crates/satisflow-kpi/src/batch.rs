//! Measured inputs: what the catalog's expressions made of a batch of events.

use arrow::array::{BooleanArray, Decimal128Array, StringArray};

/// What an event does to the sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// It counts.
    Count,
    /// It counted before and does so no longer; its trace stays.
    Recall,
    /// It counted before and is counted anew: what is joined to it has changed.
    Replace,
    /// It leaves the trace of its passing and no value: a void event, or a
    /// copy of one that counts.
    Touch,
}

/// One measure of a batch, a value for each row.
#[derive(Debug, Clone)]
pub struct MeasureInput {
    /// Rows that the measure's kinds and filter select. NULL is not selected.
    pub selected: BooleanArray,
    /// The value, 4 decimals. A NULL value is not selected.
    pub value: Decimal128Array,
    /// The weight, 6 decimals, at least 0. A NULL weight is not selected.
    pub weight: Decimal128Array,
    /// Of the rows with the same key only those count that [`Plan::kept`] says.
    /// A NULL key is not selected. `None`: every row counts.
    ///
    /// [`Plan::kept`]: crate::Plan::kept
    pub key: Option<StringArray>,
    /// What [`Metric::Distinct`] counts, as hashes of 128 bits that no two keys
    /// share. A row without one is not selected. `None`: nothing counts it.
    ///
    /// [`Metric::Distinct`]: crate::Metric::Distinct
    pub distinct: Option<Vec<Option<u128>>>,
    /// The number of each row's cell in its measure's [`Population`]. A row without one is not
    /// selected. `None`: the measure has no population.
    ///
    /// [`Population`]: crate::Population
    pub cell: Option<Vec<Option<u32>>>,
}

/// A batch of events, measured. All arrays have the same length.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Event times, µs since the epoch.
    pub event_time: Vec<i64>,
    /// Event ids; they order events of equal time.
    pub event_id: StringArray,
    /// Sources; they order events of equal time and id.
    pub source: StringArray,
    /// One array a dimension.
    pub dimensions: Vec<StringArray>,
    /// One a measure.
    pub measures: Vec<MeasureInput>,
}

impl Batch {
    /// Number of events.
    pub fn rows(&self) -> usize {
        self.event_time.len()
    }
}

impl MeasureInput {
    /// What is counted distinct, of a row that is selected.
    pub(crate) fn distinct_at(&self, row: usize) -> u128 {
        self.distinct.as_ref().and_then(|keys| keys[row]).unwrap_or_default()
    }

    /// The cell of a row that is selected.
    pub(crate) fn cell_at(&self, row: usize) -> u32 {
        self.cell.as_ref().and_then(|cells| cells[row]).unwrap_or_default()
    }

    /// Weight and value of a row as integers of their scales, if it is selected.
    pub(crate) fn at(&self, row: usize) -> Option<(i64, i64)> {
        use arrow::array::Array;
        let selected = self.selected.is_valid(row)
            && self.selected.value(row)
            && self.value.is_valid(row)
            && self.weight.is_valid(row)
            && self.key.as_ref().is_none_or(|key| key.is_valid(row))
            && self.distinct.as_ref().is_none_or(|keys| keys[row].is_some())
            && self.cell.as_ref().is_none_or(|cells| cells[row].is_some());
        if !selected {
            return None;
        }
        let weight = i64::try_from(self.weight.value(row)).ok()?;
        let value = i64::try_from(self.value.value(row)).ok()?;
        Some((weight, value))
    }
}
