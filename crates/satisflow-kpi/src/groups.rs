//! Dimension values and groups as small integers.

use std::borrow::Cow;
use std::sync::Arc;

use ahash::AHashMap;
use arrow::array::{Array, StringArray};
use serde::{Deserialize, Serialize};

/// What stands for a missing dimension value.
pub const NO_VALUE: &str = "(none)";

/// The values of one dimension that were seen, numbered in order of arrival.
#[derive(Debug, Default)]
pub(crate) struct Dimension {
    codes: AHashMap<Arc<str>, u32>,
    values: Vec<Arc<str>>,
}

impl Dimension {
    pub(crate) fn code(&mut self, value: &str) -> u32 {
        if let Some(code) = self.codes.get(value) {
            return *code;
        }
        let code = u32::try_from(self.values.len()).expect("fewer than 2^32 values fit into memory");
        let value: Arc<str> = value.into();
        self.values.push(Arc::clone(&value));
        self.codes.insert(value, code);
        code
    }

    pub(crate) fn codes(&mut self, array: &StringArray) -> Vec<u32> {
        (0..array.len()).map(|row| self.code(if array.is_null(row) { NO_VALUE } else { array.value(row) })).collect()
    }

    fn texts(&self) -> Vec<Cow<'_, str>> {
        self.values.iter().map(|value| Cow::Borrowed(&**value)).collect()
    }

    fn value(&self, code: u32) -> &Arc<str> {
        &self.values[code as usize]
    }
}

/// The groups of one grouping set, numbered in order of arrival.
#[derive(Debug, Default)]
struct GroupSet {
    dimensions: Vec<usize>,
    ids: AHashMap<Box<[u32]>, u32>,
    keys: Vec<Box<[u32]>>,
}

impl GroupSet {
    fn id(&mut self, key: &[u32]) -> u32 {
        if let Some(id) = self.ids.get(key) {
            return *id;
        }
        let id = u32::try_from(self.keys.len()).expect("fewer than 2^32 groups fit into memory");
        self.ids.insert(key.into(), id);
        self.keys.push(key.into());
        id
    }
}

/// Values and groups in the order of their numbers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SeenGroups<'a> {
    #[serde(borrow)]
    values: Vec<Vec<Cow<'a, str>>>,
    keys: Vec<Cow<'a, [Box<[u32]>]>>,
}

/// All dimensions and grouping sets of a plan.
#[derive(Debug)]
pub(crate) struct Groups {
    dimensions: Vec<Dimension>,
    sets: Vec<GroupSet>,
}

impl Groups {
    pub(crate) fn new(dimensions: usize, grouping_sets: &[Vec<usize>]) -> Groups {
        let set = |dims: &Vec<usize>| GroupSet { dimensions: dims.clone(), ..GroupSet::default() };
        Groups {
            dimensions: (0..dimensions).map(|_| Dimension::default()).collect(),
            sets: grouping_sets.iter().map(set).collect(),
        }
    }

    /// Codes of every row: one vector a dimension.
    pub(crate) fn codes(&mut self, arrays: &[StringArray]) -> Vec<Vec<u32>> {
        self.dimensions.iter_mut().zip(arrays).map(|(dimension, array)| dimension.codes(array)).collect()
    }

    /// Group ids of every row, one vector a grouping set.
    pub(crate) fn ids(&mut self, codes: &[Vec<u32>], rows: usize) -> Vec<Vec<u32>> {
        let mut key = Vec::new();
        self.sets
            .iter_mut()
            .map(|set| {
                (0..rows)
                    .map(|row| {
                        key.clear();
                        key.extend(set.dimensions.iter().map(|d| codes[*d][row]));
                        set.id(&key)
                    })
                    .collect()
            })
            .collect()
    }

    /// Number of groups of a set that were seen.
    pub(crate) fn count(&self, set: usize) -> usize {
        self.sets[set].keys.len()
    }

    /// Everything seen, to be numbered again in the same order.
    pub(crate) fn seen(&self) -> SeenGroups<'_> {
        let values = self.dimensions.iter().map(Dimension::texts).collect();
        SeenGroups { values, keys: self.sets.iter().map(|set| Cow::Borrowed(&set.keys[..])).collect() }
    }

    /// The same values and groups by the same numbers, of each dimension and
    /// grouping set that was there before; `None` where they do not fit together.
    pub(crate) fn adopt(
        &mut self,
        seen: &SeenGroups<'_>,
        dimensions: &[Option<usize>],
        sets: &[Option<usize>],
    ) -> Option<()> {
        for (dimension, old) in self.dimensions.iter_mut().zip(dimensions) {
            let Some(old) = old else { continue };
            seen.values.get(*old)?.iter().for_each(|value| _ = dimension.code(value));
        }
        for (set, old) in self.sets.iter_mut().zip(sets) {
            let Some(old) = old else { continue };
            for key in seen.keys.get(*old)?.iter() {
                let fits = |(dimension, code): (&usize, &u32)| {
                    self.dimensions[*dimension].values.get(*code as usize).is_some()
                };
                if key.len() != set.dimensions.len() || !set.dimensions.iter().zip(key).all(fits) {
                    return None;
                }
                set.id(key);
            }
        }
        Some(())
    }

    /// Where the codes of a row stood before: the place of each dimension, or
    /// the code of a missing value where it is new.
    pub(crate) fn recoding(&mut self, dimensions: &[Option<usize>]) -> Vec<Result<usize, u32>> {
        let each = self.dimensions.iter_mut().zip(dimensions);
        each.map(|(dimension, old)| old.ok_or_else(|| dimension.code(NO_VALUE))).collect()
    }

    /// The group of named values, if it was seen.
    pub(crate) fn find(&self, set: usize, values: &[&str]) -> Option<u32> {
        let code = |(dimension, value): (&usize, &&str)| self.dimensions[*dimension].codes.get(*value).copied();
        let key = self.sets[set].dimensions.iter().zip(values).map(code).collect::<Option<Vec<u32>>>()?;
        self.sets[set].ids.get(&key[..]).copied()
    }

    /// The group of named values, numbered if it is new.
    pub(crate) fn id_of_values(&mut self, set: usize, values: &[&str]) -> u32 {
        let dimensions = self.sets[set].dimensions.clone();
        let key: Vec<u32> = dimensions.iter().zip(values).map(|(d, value)| self.dimensions[*d].code(value)).collect();
        self.sets[set].id(&key)
    }

    /// The value of each dimension for a group; `None` where it is not grouped.
    pub(crate) fn values(&self, set: usize, group: u32) -> Vec<Option<&Arc<str>>> {
        let set = &self.sets[set];
        let mut values = vec![None; self.dimensions.len()];
        for (dimension, code) in set.dimensions.iter().zip(&set.keys[group as usize]) {
            values[*dimension] = Some(self.dimensions[*dimension].value(*code));
        }
        values
    }
}
