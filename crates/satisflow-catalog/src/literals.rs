//! Values as SQL writes them.

/// Of 4 decimals.
pub(crate) const UNIT: i64 = 10_000;

/// A literal of a text.
pub(crate) fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

/// A number of 4 decimals as it is written.
pub(crate) fn decimal(value: i64) -> String {
    let text = format!("{}.{:04}", value / UNIT, (value % UNIT).abs());
    let sign = if value < 0 && value > -UNIT { "-" } else { "" };
    let short = text.trim_end_matches('0').trim_end_matches('.');
    format!("{sign}{short}")
}
