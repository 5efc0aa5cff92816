//! How long to try, and from which seed.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seed and amount of a run.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Same seed, same inputs.
    pub seed: u64,
    /// How many times the inputs of a short run.
    pub factor: u64,
}

impl Settings {
    /// `SATISFLOW_FUZZ_SEED` (default: the clock) and `SATISFLOW_FUZZ_FACTOR`
    /// (default 1), printed so that a run can be had again.
    ///
    /// # Panics
    /// When one of them is no number.
    pub fn from_environment() -> Settings {
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let settings =
            Settings { seed: number("SATISFLOW_FUZZ_SEED", clock), factor: number("SATISFLOW_FUZZ_FACTOR", 1) };
        eprintln!("SATISFLOW_FUZZ_SEED={} SATISFLOW_FUZZ_FACTOR={}", settings.seed, settings.factor);
        settings
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}
