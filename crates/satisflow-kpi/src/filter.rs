//! Which ids have been seen, approximately: "no" is certain, "yes" is to be checked.

use serde::{Deserialize, Serialize};

/// Bits of a block: one cache line, so that a look costs one miss.
const BLOCK_BITS: usize = 512;
const BLOCK_WORDS: usize = BLOCK_BITS / 64;
/// Bits of memory for each id.
const BITS_PER_ID: usize = 32;
/// Bits set for each id. With `BITS_PER_ID` a full generation says "yes" to about
/// one unknown id in 100,000.
const PROBES: usize = 10;
/// Ids of the first generation; each further one takes twice as many.
const FIRST_GENERATION_IDS: usize = 1 << 16;
/// Bounds the memory (67 million ids in 268 MB) and, as the rates of generations
/// add up, the rate of a wrong "yes": one in 10,000. The last generation takes all
/// further ids and grows less sure.
const GENERATIONS_MAX: usize = 10;

/// A Bloom filter in blocks over ids that are hashes already, grown in generations.
///
/// Own code because the ids are hashes of 128 bits: what is left of a Bloom filter
/// without hashing is to set and to test ten bits.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct IdFilter {
    generations: Vec<Generation>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Generation {
    #[serde(with = "crate::snapshot::blocks")]
    blocks: Vec<[u64; BLOCK_WORDS]>,
    room: usize,
}

impl IdFilter {
    /// Adds an id.
    pub fn insert(&mut self, id: u128) {
        let may_grow = self.generations.len() < GENERATIONS_MAX;
        if may_grow && self.generations.last().is_none_or(|last| last.room == 0) {
            self.generations.push(Generation::new(FIRST_GENERATION_IDS << self.generations.len()));
        }
        if let Some(last) = self.generations.last_mut() {
            last.insert(id);
        }
    }

    /// Adds an id unless it looks known; whether it was added.
    pub(crate) fn note(&mut self, id: u128) -> bool {
        let new = !self.may_contain(id);
        if new {
            self.insert(id);
        }
        new
    }

    /// `false`: never added. `true`: added, or one of few that look like it.
    pub fn may_contain(&self, id: u128) -> bool {
        self.generations.iter().any(|generation| generation.may_contain(id))
    }

    /// Whether nothing was ever added.
    pub fn is_empty(&self) -> bool {
        self.generations.is_empty()
    }

    /// Memory taken, bytes.
    pub fn bytes(&self) -> usize {
        self.generations.iter().map(|generation| generation.blocks.len() * BLOCK_BITS / 8).sum()
    }
}

impl Generation {
    fn new(ids: usize) -> Generation {
        Generation { blocks: vec![[0; BLOCK_WORDS]; (ids * BITS_PER_ID).div_ceil(BLOCK_BITS)], room: ids }
    }

    /// The high half of the hash picks the block.
    fn block(&self, id: u128) -> usize {
        let high = id >> 64;
        usize::try_from((high * self.blocks.len() as u128) >> 64).unwrap_or_default()
    }

    fn insert(&mut self, id: u128) {
        let block = self.block(id);
        probes(id).for_each(|(word, bit)| self.blocks[block][word] |= bit);
        self.room = self.room.saturating_sub(1);
    }

    fn may_contain(&self, id: u128) -> bool {
        let block = &self.blocks[self.block(id)];
        probes(id).all(|(word, bit)| block[word] & bit != 0)
    }
}

/// Bits of a block: nine bits each from the low half, spread once more because
/// ten times nine bits are more than it has.
fn probes(id: u128) -> impl Iterator<Item = (usize, u64)> {
    /// The golden ratio in 64 bits: odd, so that no hash is lost.
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    let low = (id & u128::from(u64::MAX)) as u64;
    let again = (low ^ (low >> 32)).wrapping_mul(SPREAD);
    (0..PROBES).map(move |probe| {
        let half = if probe % 2 == 0 { low } else { again };
        let at = (half >> (64 - 9 * (probe / 2 + 1))) as usize % BLOCK_BITS;
        (at / 64, 1 << (at % 64))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hashes as good as those of events (splitmix64, twice).
    fn id(number: u64) -> u128 {
        let mix = |seed: u64| {
            let once = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let twice = (once ^ (once >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            twice ^ (twice >> 31)
        };
        let step = |n: u64| mix(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        u128::from(step(2 * number + 1)) << 64 | u128::from(step(2 * number + 2))
    }

    #[test]
    fn what_was_added_is_found_and_few_others_are() {
        const IDS: u64 = 1_000_000;
        let mut filter = IdFilter::default();
        assert!(!filter.may_contain(id(0)));
        (0..IDS).for_each(|number| filter.insert(id(number)));
        assert!((0..IDS).all(|number| filter.may_contain(id(number))));
        let wrong = (IDS..2 * IDS).filter(|number| filter.may_contain(id(*number))).count();
        assert!(wrong <= 100, "{wrong} of {IDS} unknown ids are taken for known: more than one in 10,000");
        // A generation that has just begun doubles the room.
        let bytes_max = (2 * 1_000_000 + FIRST_GENERATION_IDS) * BITS_PER_ID / 8;
        assert!(filter.bytes() <= bytes_max, "{} bytes", filter.bytes());
    }

    #[test]
    fn a_full_filter_takes_no_more_memory_and_forgets_nothing() {
        let last = Generation { blocks: vec![[0; BLOCK_WORDS]], room: 0 };
        let mut filter = IdFilter { generations: vec![last; GENERATIONS_MAX] };
        let before = filter.bytes();
        (0..1000).for_each(|number| filter.insert(id(number)));
        assert_eq!(filter.bytes(), before);
        assert!((0..1000).all(|number| filter.may_contain(id(number))));
    }
}
