//! Inputs made of others, by small steps.

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Pieces that have broken readers of text, numbers, times and documents before.
pub(crate) const PIECES: &[&str] = &[
    "\0",
    "\u{feff}",
    "\u{202e}",
    "\u{2066}",
    "\u{200b}",
    "\u{ffff}",
    "\u{10ffff}",
    "\u{0085}",
    "\u{2028}",
    "\r",
    "\n",
    "\t",
    "１０",
    "－５",
    "．",
    "滿意",
    "满意",
    "\\ud800",
    "\\udc00\\ud800",
    "\\u0000",
    "\\",
    "\"",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "true",
    "-0",
    "0e0",
    "-0.0",
    "1e400",
    "1e-400",
    "1E+2147483648",
    "0.00001",
    "9223372036854775807",
    "-9223372036854775808",
    "99999999999999.9999",
    "1970-01-01T00:00:00Z",
    "1989-12-31T23:59:59.999999Z",
    "9999-12-31T23:59:59.999999999Z",
    "-009999-01-01T00:00:00Z",
    "2026-02-29T00:00:00Z",
    "2028-02-29T24:00:00+08:00",
    "2016-12-31T23:59:60Z",
    "2026-03-29T02:30:00+25:00",
    "%Y",
    "%s",
    "%%",
    "~0",
    "~1",
    "/",
    "&a ",
    "*a",
    "<<: *a",
    "!!int ",
    "|",
    "- ",
    "? ",
    "---\n",
    "${",
    "${A}",
    "'",
    "`",
    "select",
    "count(*)",
    "/ 0",
    "--",
    "/*",
    "cast(",
    "case when ",
    "e",
    "E+",
    "٣",
    "½",
];

/// Largest input, bytes; larger ones are cut.
const INPUT_BYTES_MAX: usize = 1 << 17;

/// Makes inputs from a corpus.
#[derive(Debug)]
pub struct Mutator {
    random: ChaCha8Rng,
}

impl Mutator {
    /// Same seed, same inputs.
    pub fn new(seed: u64) -> Mutator {
        Mutator { random: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// One of the corpus, changed a few times. An empty corpus gives bytes from nothing.
    pub fn input(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut input = corpus.choose(&mut self.random).cloned().unwrap_or_default();
        for _ in 0..self.random.random_range(1..=6) {
            self.change(&mut input, corpus);
        }
        input.truncate(INPUT_BYTES_MAX);
        input
    }

    /// One small change.
    pub fn change(&mut self, input: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        let (from, to) = self.range(input.len());
        match self.random.random_range(0..9) {
            0 => self.flip(input),
            1 => drop(input.drain(from..to)),
            2 => drop(input.splice(from..to, self.bytes())),
            3 => input.truncate(from),
            4 => {
                let piece = input[from..to].to_vec();
                let times = self.random.random_range(1..4);
                drop(input.splice(to..to, piece.repeat(times)));
            }
            5 => {
                let other = corpus.choose(&mut self.random).cloned().unwrap_or_default();
                let (first, last) = self.range(other.len());
                drop(input.splice(from..to, other[first..last].iter().copied()));
            }
            6 => {
                let piece = PIECES.choose(&mut self.random).copied().unwrap_or_default();
                drop(input.splice(from..from, piece.bytes()));
            }
            7 => {
                let piece = PIECES.choose(&mut self.random).copied().unwrap_or_default();
                drop(input.splice(from..to, piece.bytes()));
            }
            _ => self.renumber(input),
        }
    }

    /// A short range of `0..length`.
    fn range(&mut self, length: usize) -> (usize, usize) {
        let from = self.random.random_range(0..=length);
        let to = from + self.random.random_range(0..=24);
        (from, to.min(length))
    }

    fn bytes(&mut self) -> Vec<u8> {
        let length = self.random.random_range(1..8);
        (0..length).map(|_| self.random.random()).collect()
    }

    fn flip(&mut self, input: &mut [u8]) {
        if !input.is_empty() {
            let at = self.random.random_range(0..input.len());
            input[at] ^= 1 << self.random.random_range(0..8);
        }
    }

    /// Another digit in the place of one, so that forms stay and values change.
    fn renumber(&mut self, input: &mut [u8]) {
        let digits: Vec<usize> = (0..input.len()).filter(|at| input[*at].is_ascii_digit()).collect();
        if let Some(at) = digits.choose(&mut self.random) {
            input[*at] = b'0' + self.random.random_range(0..10u8);
        }
    }
}
