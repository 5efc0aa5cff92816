//! Records as they must not come, and some as they should.

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::mutate::{Mutator, PIECES};

/// Records without end, of every class, the same for the same seed.
#[derive(Debug)]
pub struct Hostile {
    random: ChaCha8Rng,
    mutator: Mutator,
    number: u64,
    last_valid: String,
}

const TEXTS: &[&str] = &[
    "服務很好，謝謝您！",
    "服务很好，谢谢您！",
    "\u{202e}evil\u{202c}",
    "\u{feff}text",
    "１２３　ａｂｃ",
    "null\\u0000byte",
    "\\ud83d\\ude00",
    "\\ud800",
    "e\u{301}\u{200d}",
    "'; drop table records; --",
    "",
];

const NUMBERS: &[&str] = &[
    "1e400",
    "-0",
    "0e-999999",
    "4e0",
    "40e-1",
    "0.4E+1",
    "-1e-400",
    "00",
    "01",
    "4.",
    ".4",
    "+4",
    "1e",
    "NaN",
    "Infinity",
    "\"４\"",
    "\"−1\"",
    "4.00001",
    "99999999999999999999",
    "\"4\\u0000\"",
    "true",
    "[]",
    "{}",
    "null",
];

const TIMES: &[&str] = &[
    "1990-01-01T00:00:00Z",
    "1989-12-31T23:59:59.999999Z",
    "2028-02-29T12:00:00+08:00",
    "2026-02-29T12:00:00Z",
    "2016-12-31T23:59:60Z",
    "9999-12-30T21:59:59Z",
    "9999-12-31T23:59:59Z",
    "10000-01-01T00:00:00Z",
    "2026-10-25T02:30:00+01:00",
    "2026-11-23T12:00:00",
    "2026-W48-1T00:00:00Z",
    "2026-11-23T24:00:00Z",
    "",
];

impl Hostile {
    /// Same seed, same records.
    pub fn new(seed: u64) -> Hostile {
        Hostile {
            random: ChaCha8Rng::seed_from_u64(seed),
            mutator: Mutator::new(seed ^ 1),
            number: 0,
            last_valid: "{}".to_owned(),
        }
    }

    /// The next payload; never empty.
    pub fn record(&mut self) -> Vec<u8> {
        self.number += 1;
        match self.random.random_range(0..1000) {
            0..10 => self.last_valid.clone().into_bytes(),
            10..200 => {
                self.last_valid = self.valid();
                self.last_valid.clone().into_bytes()
            }
            200..400 => self.mutated(),
            400..500 => self.random_bytes(),
            500..650 => self.with_number().into_bytes(),
            650..750 => self.with_time().into_bytes(),
            750..900 => self.with_text().into_bytes(),
            900..996 => self.with_shape().into_bytes(),
            _ => self.large().into_bytes(),
        }
    }

    /// The next payload as one line of a file: no line feed within, and not blank.
    pub fn line(&mut self) -> Vec<u8> {
        loop {
            let mut line = self.record();
            line.retain(|byte| *byte != b'\n');
            if !line.trim_ascii().is_empty() {
                return line;
            }
        }
    }

    fn event(&mut self, score: &str, time: &str, more: &str) -> String {
        // Now and then an id that was there before.
        let back = if self.random.random_ratio(1, 20) { self.random.random_range(0..100) } else { 0 };
        let id = self.number.saturating_sub(back);
        let department = self.random.random_range(0..5);
        format!(
            r#"{{"event_id":"e{id}","kind":"rating","event_time":{time},"score":{score},"scale":"1-5","department":"d{department}"{more}}}"#
        )
    }

    /// Within a few days, so that windows hold many events.
    fn time(&mut self) -> String {
        format!("\"2026-11-{:02}T{:02}:00:00Z\"", self.one_to(3), self.one_to(23))
    }

    fn one_to(&mut self, last: u32) -> u32 {
        self.random.random_range(1..=last)
    }

    fn valid(&mut self) -> String {
        let (score, time) = (self.one_to(5).to_string(), self.time());
        self.event(&score, &time, "")
    }

    fn mutated(&mut self) -> Vec<u8> {
        let mut input = self.valid().into_bytes();
        for _ in 0..self.one_to(3) {
            self.mutator.change(&mut input, &[]);
        }
        if input.is_empty() { b"{".to_vec() } else { input }
    }

    fn random_bytes(&mut self) -> Vec<u8> {
        let length = self.one_to(400);
        (0..length).map(|_| self.random.random()).collect()
    }

    fn with_number(&mut self) -> String {
        let number = match self.random.random_range(0..50) {
            0 => "9".repeat(self.random.random_range(1..5000)),
            1 => format!("0.{}1", "0".repeat(self.random.random_range(1..5000))),
            2 => format!("4e{}", self.random.random::<i64>()),
            _ => self.pick(NUMBERS).to_owned(),
        };
        let time = self.time();
        if self.random.random() {
            return self.event("4", &time, &format!(",\"weight\":{number}"));
        }
        self.event(&number, &time, "")
    }

    fn with_time(&mut self) -> String {
        let time = match self.random.random_range(0..4) {
            0 => self.random.random::<i64>().to_string(),
            1 => self.random.random_range(631_151_999_000i64..631_152_001_000).to_string(),
            _ => format!("\"{}\"", self.pick(TIMES)),
        };
        self.event("4", &time, "")
    }

    fn with_text(&mut self) -> String {
        let (text, time) = (self.pick(TEXTS), self.time());
        let key = self.pick(&["text", "department", "attributes", "source", "retracts", "scale", "kind", "服務"]);
        self.event("4", &time, &format!(",\"{key}\":\"{text}\""))
    }

    fn with_shape(&mut self) -> String {
        let time = self.time();
        let event = self.event("4", &time, "");
        let deep = self.random.random_range(1..200);
        match self.random.random_range(0..9) {
            0 => format!("\u{feff}{event}"),
            1 => format!("{event}{event}"),
            2 => format!("[{event}]"),
            3 => self.event("4", &time, ",\"score\":4"),
            4 => self.event("4", &time, ",\"shelf\":1,\"shelf\":2"),
            5 => self.event("4", &time, &format!(",\"x\":{}1{}", "[".repeat(deep), "]".repeat(deep))),
            6 => self.event("4", &time, &format!(",\"answers\":{}", "{\"a\":".repeat(deep))),
            7 => format!("{}{event}", self.pick(PIECES)),
            _ => event.replace('"', "'"),
        }
    }

    /// What exceeds a limit of size.
    fn large(&mut self) -> String {
        let time = self.time();
        match self.random.random_range(0..40) {
            0..13 => "[".repeat(self.random.random_range(1000..100_000)),
            13..26 => self.event("4", &time, &format!(",\"text\":\"{}\"", "好".repeat(20_000))),
            26..38 => {
                let entries: Vec<String> = (0..1001).map(|n| format!("\"k{n}\":{n}")).collect();
                self.event("4", &time, &format!(",\"answers\":{{{}}}", entries.join(",")))
            }
            // As many names as a record holds: a check that compares each pair of them takes minutes.
            38 => {
                let members: Vec<String> = (0..90_000).map(|n| format!("\"k{n}\":1")).collect();
                self.event("4", &time, &format!(",{}", members.join(",")))
            }
            _ => self.event("4", &time, &format!(",\"text\":\"{}\"", "x".repeat(1 << 20))),
        }
    }

    fn pick<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all.choose(&mut self.random).copied().unwrap_or_default()
    }
}
