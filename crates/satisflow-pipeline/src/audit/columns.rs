//! The sums that windows are made of.

/// Sums: name, type of what an event adds, and whether it is of a ratio's denominator.
pub(super) const COLUMNS: [(&str, &str, bool); 8] = [
    ("n", "BIGINT", false),
    ("base_n", "BIGINT", true),
    ("w", "DECIMAL(18,6)", false),
    ("wx", "DECIMAL(60,10)", false),
    ("ww", "DECIMAL(50,12)", false),
    ("wwx", "DECIMAL(70,16)", false),
    ("wwxx", "DECIMAL(76,20)", false),
    ("base", "DECIMAL(60,10)", true),
];
