//! What counts tell beside sums.

/// 10 decimals.
pub(crate) const ONE: i128 = 10_000_000_000;

/// What the counts of a window tell, 10 decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// The number of keys, the quantile, or what is said of what lasts.
    pub value: i128,
    /// What it is divided by: 1, but for a mean.
    pub of: i128,
    /// 95 % interval of a quantile: Woodruff's (1952), Wald's bounds of the level read as quantiles; of a survival
    /// curve Brookmeyer and Crowley's (1982).
    pub bounds: Option<(i128, i128)>,
}

impl Told {
    /// A value by itself.
    pub(crate) fn of(value: i128) -> Told {
        Told { value, of: ONE, bounds: None }
    }
}
