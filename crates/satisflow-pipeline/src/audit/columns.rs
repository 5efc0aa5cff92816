//! The sums that windows are made of, and names as SQL writes them.

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

/// A name of a column.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// What an event that only leaves a trace adds.
pub(super) fn nothing() -> String {
    COLUMNS.map(|(name, kind, _)| format!("CAST(0 AS {kind}) AS {name}")).join(", ")
}
