//! Limits of one record.

/// Limits of one record; what exceeds one is a reject that says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest payload, bytes.
    pub record_bytes_max: usize,
    /// Raw bytes kept of a reject.
    pub raw_bytes_max: usize,
    /// Deepest nesting of lists and objects.
    pub depth_max: usize,
    /// Longest text of a field, bytes.
    pub text_bytes_max: usize,
    /// Most entries of `answers` and of `attributes`.
    pub map_entries_max: usize,
    /// Most headers kept of a record; the rest is left out.
    pub headers_max: usize,
    /// How far an event may lie in the future, ms.
    pub future_ms_max: i64,
}

impl Limits {
    /// Events before 1990-01-01T00:00:00Z are refused, µs.
    pub const EVENT_TIME_MIN: i64 = 631_152_000_000_000;
    /// Times before 1700-01-01T00:00:00Z are refused in every field, µs: SQL
    /// compares times in nanoseconds of 64 bits, which begin in 1677.
    pub const TIME_MIN: i64 = -8_520_336_000_000_000;
    /// Times from 2200-01-01T00:00:00Z on are refused in every field, µs: the
    /// nanoseconds end in 2262, and windows reach beyond their events.
    pub const TIME_MAX: i64 = 7_258_118_400_000_000;
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            record_bytes_max: 1 << 20,
            raw_bytes_max: 64 << 10,
            depth_max: 32,
            text_bytes_max: 32 << 10,
            map_entries_max: 1000,
            headers_max: 64,
            future_ms_max: 300_000,
        }
    }
}
