//! Scales that scores are given on.

use std::collections::BTreeMap;

/// A numeric scale; both ends belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scale {
    /// Worst score, 4 decimals.
    pub min: i64,
    /// Best score, 4 decimals.
    pub max: i64,
    /// Whether only whole scores are given.
    pub integral: bool,
}

/// Scales by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scales(BTreeMap<String, Scale>);

const UNIT: i64 = 10_000;

impl Default for Scales {
    /// `1-5`, `1-7`, `1-10`, `0-10`: whole scores; `0-100`: decimals too.
    fn default() -> Scales {
        let whole =
            |name: &str, min, max| (name.to_owned(), Scale { min: min * UNIT, max: max * UNIT, integral: true });
        let percent = ("0-100".to_owned(), Scale { min: 0, max: 100 * UNIT, integral: false });
        let builtin = [whole("1-5", 1, 5), whole("1-7", 1, 7), whole("1-10", 1, 10), whole("0-10", 0, 10), percent];
        Scales(BTreeMap::from(builtin))
    }
}

impl Scales {
    /// Adds or replaces a scale.
    pub fn insert(&mut self, name: String, scale: Scale) {
        self.0.insert(name, scale);
    }

    /// A scale by its name.
    pub fn get(&self, name: &str) -> Option<&Scale> {
        self.0.get(name)
    }

    /// All scales by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Scale)> {
        self.0.iter().map(|(name, scale)| (name.as_str(), scale))
    }
}

impl Scale {
    /// Whether a score (4 decimals) lies on the scale.
    pub fn holds(&self, score: i64) -> bool {
        (self.min..=self.max).contains(&score) && (!self.integral || score % UNIT == 0)
    }
}
