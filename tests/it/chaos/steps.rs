//! What is decided by the seed.

use super::killing::Moment;

/// Steps that end the process, and how often they are passed before, at most.
pub const ALL: &[(&str, u64)] = &[
    ("records-before-parquet", 8),
    ("records-after-parquet", 8),
    ("records-before-log-entry", 8),
    ("records-after-log-entry", 8),
    ("kpis-before-parquet", 3),
    ("kpis-after-parquet", 3),
    ("kpis-before-log-entry", 3),
    ("kpis-after-log-entry", 3),
    ("snapshot-before-write", 1),
    ("snapshot-after-write", 1),
    ("records-before-compaction", 1),
    ("records-after-compaction", 1),
    ("kpis-before-compaction", 1),
    ("kpis-after-compaction", 1),
    ("records-before-checkpoint", 1),
    ("records-after-checkpoint", 1),
    ("kpis-before-checkpoint", 1),
    ("kpis-after-checkpoint", 1),
    ("records-before-vacuum", 1),
    ("records-after-vacuum", 1),
    ("kpis-before-vacuum", 1),
    ("kpis-after-vacuum", 1),
    // Within: one file of a compaction written of several, its log entry before
    // the reply, a checkpoint that nothing points to, one file of several deleted.
    ("records-in-compaction-after-file", 1),
    ("records-in-compaction-before-log-entry", 1),
    ("records-in-compaction-after-log-entry", 1),
    ("kpis-in-compaction-after-file", 1),
    ("kpis-in-compaction-before-log-entry", 1),
    ("kpis-in-compaction-after-log-entry", 1),
    ("records-in-checkpoint-before-checkpoint-file", 1),
    ("records-in-checkpoint-after-checkpoint-file", 1),
    ("kpis-in-checkpoint-before-checkpoint-file", 1),
    ("kpis-in-checkpoint-after-checkpoint-file", 1),
    ("records-in-vacuum-after-log-entry", 1),
    ("records-in-vacuum-after-deletion", 1),
    ("kpis-in-vacuum-after-log-entry", 1),
    ("kpis-in-vacuum-after-deletion", 1),
];
/// A random kill comes within so many records: less than the half that there is at least when a process starts.
const RANDOM_RECORDS_MAX: u64 = 500;

/// Numbers that a seed gives (SplitMix64).
pub struct Seeded {
    pub seed: u64,
    state: u64,
}

fn from_environment<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

impl Seeded {
    pub fn from_environment() -> Seeded {
        let clock = || std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64;
        let seed = from_environment("SATISFLOW_CHAOS_SEED").unwrap_or_else(clock);
        eprintln!("chaos: SATISFLOW_CHAOS_SEED={seed}");
        Seeded { seed, state: seed }
    }

    pub fn kills(&self, least: usize) -> usize {
        from_environment("SATISFLOW_CHAOS_KILLS").unwrap_or(least).max(least)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }
}

/// Each step once, then steps and random moments by turns; shuffled. With
/// `SATISFLOW_CHAOS_ONLY` the steps whose names contain it, once each.
pub fn moments(seeded: &mut Seeded, kills: usize) -> Vec<Moment> {
    let only: Option<String> = from_environment("SATISFLOW_CHAOS_ONLY");
    let is_meant = |name: &str| only.as_ref().is_none_or(|part| name.contains(part));
    let step = |seeded: &mut Seeded, (name, passes): (&'static str, u64)| Moment::Step(name, seeded.below(passes));
    let meant = ALL.iter().filter(|(name, _)| is_meant(name));
    let mut all: Vec<Moment> = meant.map(|named| step(seeded, *named)).collect();
    let random = super::RANDOM;
    while only.is_none() && all.len() < kills {
        if all.len() < ALL.len() + random || seeded.below(2) == 0 {
            all.push(Moment::After(seeded.below(RANDOM_RECORDS_MAX) as i64));
        } else {
            let named = ALL[seeded.below(ALL.len() as u64) as usize];
            all.push(step(seeded, named));
        }
    }
    for index in (1..all.len()).rev() {
        all.swap(index, seeded.below(index as u64 + 1) as usize);
    }
    all
}
