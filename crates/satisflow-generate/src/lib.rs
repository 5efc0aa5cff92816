//! Plausible feedback events, the same for the same seed, with the truth about
//! each: what it is, and what a correct system makes of it.
//!
//! Pure: no clock, no IO. The truth knows nothing of the system under test.

use std::collections::VecDeque;

use jiff::Timestamp;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value, json};

/// What to generate.
#[derive(Debug, Clone)]
pub struct GenerateConfig {
    /// Same seed, same events.
    pub seed: u64,
    /// Number of records.
    pub events: u64,
    /// Partitions that records are spread over.
    pub partitions: i32,
    /// Time of the first event, µs.
    pub start_micros: i64,
    /// Time between the first and the last event, µs.
    pub span_micros: i64,
    /// Share of records that are an earlier one again, in the same partition.
    pub duplicates: f64,
    /// Share that are an earlier one again, in another partition.
    pub copies: f64,
    /// Share that reuse an id with other content.
    pub conflicts: f64,
    /// Share that are no events.
    pub malformed: f64,
    /// Share that retract or supersede an earlier event.
    pub retractions: f64,
    /// Share that come up to a day late.
    pub late: f64,
    /// Number of departments; the first names are words.
    pub departments: usize,
    /// Size of a payload, bytes, about; padded with text.
    pub bytes: usize,
}

impl GenerateConfig {
    /// 30 days of events with a little of every trouble.
    pub fn new(seed: u64, events: u64) -> GenerateConfig {
        GenerateConfig {
            seed,
            events,
            partitions: 4,
            start_micros: 1_790_000_000_000_000,
            span_micros: 30 * 86_400_000_000,
            duplicates: 0.02,
            copies: 0.01,
            conflicts: 0.005,
            malformed: 0.02,
            retractions: 0.01,
            late: 0.05,
            departments: 8,
            bytes: 0,
        }
    }

    /// Good events only.
    pub fn clean(self) -> GenerateConfig {
        GenerateConfig {
            duplicates: 0.0,
            copies: 0.0,
            conflicts: 0.0,
            malformed: 0.0,
            retractions: 0.0,
            late: 0.0,
            ..self
        }
    }
}

/// One record and the truth about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Generated {
    /// Partition it is to be produced to.
    pub partition: i32,
    /// The payload.
    pub payload: Vec<u8>,
    /// `class` (accepted, duplicate, rejected), `reason` of a reject, and the
    /// `event` with every field as it was written.
    pub truth: Value,
}

impl Generated {
    /// The truth as a line of JSON, with where the record has come to stand.
    pub fn truth_line(&self, topic: &str, partition: i32, offset: i64) -> String {
        let mut truth = self.truth.clone();
        truth["topic"] = json!(topic);
        truth["partition"] = json!(partition);
        truth["offset"] = json!(offset);
        truth.to_string()
    }
}

const DEPARTMENTS: [&str; 8] =
    ["Billing", "Delivery", "Installation", "Repair", "Returns", "Sales", "Support", "Warranty"];
const CHANNELS: [&str; 5] = ["app", "counter", "phone", "sms", "web"];
const REGIONS: [&str; 4] = ["east", "north", "south", "west"];
const PRODUCTS: [&str; 6] = ["boiler", "cooker", "freezer", "heater", "oven", "washer"];
const WEIGHTS: [&str; 6] = ["0", "0.5", "1", "1.25", "2", "0.333333"];
/// Earlier events that later ones refer to.
const REMEMBERED_MAX: usize = 2000;

/// Index of the department whose satisfaction drops.
pub const DIPPING: usize = 4;

#[derive(Debug, Clone)]
struct Remembered {
    partition: i32,
    id: String,
    event: Map<String, Value>,
    copied: bool,
}

/// An iterator of records.
#[derive(Debug)]
pub struct Generator {
    config: GenerateConfig,
    random: ChaCha8Rng,
    number: u64,
    dips: bool,
    remembered: VecDeque<Remembered>,
}

impl Generator {
    /// Starts at the first record.
    pub fn new(config: GenerateConfig) -> Generator {
        let random = ChaCha8Rng::seed_from_u64(config.seed);
        Generator { config, random, number: 0, dips: false, remembered: VecDeque::new() }
    }

    /// Turns the drop in one department on or off.
    pub fn set_dip(&mut self, dips: bool) {
        self.dips = dips;
    }

    /// The next record, of an event at `time` (µs) or thereabouts.
    pub fn next_at(&mut self, time: i64) -> Generated {
        self.number += 1;
        let draw: f64 = self.random.random();
        let c = &self.config;
        let shares = [c.duplicates, c.copies, c.conflicts, c.malformed];
        let mut edge = 0.0;
        let class = shares.iter().position(|share| {
            edge += share;
            draw < edge
        });
        let special = match class {
            Some(0) => self.duplicate(),
            Some(1) => self.copy(),
            Some(2) => self.conflict(),
            Some(3) => Some(self.malformed(time)),
            _ => None,
        };
        special.unwrap_or_else(|| self.fresh(time))
    }

    fn earlier(&mut self) -> Option<usize> {
        (!self.remembered.is_empty()).then(|| self.random.random_range(0..self.remembered.len()))
    }

    fn duplicate(&mut self) -> Option<Generated> {
        let at = self.earlier()?;
        let old = &self.remembered[at];
        Some(generated(old.partition, &old.event, "duplicate"))
    }

    fn copy(&mut self) -> Option<Generated> {
        let at = self.earlier()?;
        let partitions = self.config.partitions;
        let old = &mut self.remembered[at];
        if partitions < 2 || old.copied {
            return None;
        }
        old.copied = true;
        Some(generated((old.partition + 1) % partitions, &old.event, "accepted"))
    }

    fn conflict(&mut self) -> Option<Generated> {
        let at = self.earlier()?;
        let old = &self.remembered[at];
        let mut event = old.event.clone();
        event.insert("text".to_owned(), json!("another text"));
        let mut out = generated(old.partition, &event, "rejected");
        out.truth["reason"] = json!("id_conflict");
        Some(out)
    }

    fn malformed(&mut self, time: i64) -> Generated {
        let mut event = self.event(time);
        let id = format!("bad-{}", self.number);
        event.insert("event_id".to_owned(), json!(id));
        event.insert("kind".to_owned(), json!("rating"));
        event.insert("scale".to_owned(), json!("1-5"));
        event.insert("score".to_owned(), json!(3));
        let partition = self.random.random_range(0..self.config.partitions);
        let mut change = |name: &str, value: Value| {
            event.insert(name.to_owned(), value);
        };
        let (reason, payload) = match self.number % 9 {
            0 => ("malformed_json", Some(b"{\"event_id\": \"x\", ".to_vec())),
            1 => ("invalid_utf8", Some(b"{\"event_id\": \"\xff\"}".to_vec())),
            2 => ("not_an_object", Some(b"[1, 2, 3]".to_vec())),
            3 => {
                change("score", json!(9));
                ("off_scale", None)
            }
            4 => {
                change("kind", json!("riddle"));
                ("unknown_kind", None)
            }
            5 => {
                change("event_time", json!("1989-12-31T23:59:59Z"));
                ("time_out_of_range", None)
            }
            6 => {
                change("department", json!({"name": "Billing"}));
                ("wrong_type", None)
            }
            7 => {
                change("weight", json!("0.12345678"));
                ("number_too_precise", None)
            }
            _ => {
                change("scale", json!("1-99"));
                ("unknown_scale", None)
            }
        };
        let payload = payload.unwrap_or_else(|| Value::Object(event).to_string().into_bytes());
        Generated { partition, payload, truth: json!({"class": "rejected", "reason": reason}) }
    }

    fn fresh(&mut self, time: i64) -> Generated {
        let mut event = self.event(time);
        if self.random.random_bool(self.config.retractions)
            && let Some(at) = self.earlier()
        {
            let field = if self.random.random_bool(0.5) { "retracts" } else { "supersedes" };
            event.insert(field.to_owned(), json!(self.remembered[at].id));
        }
        let partition = self.random.random_range(0..self.config.partitions);
        let id = format!("e-{}-{}", self.config.seed, self.number);
        event.insert("event_id".to_owned(), json!(id));
        self.pad(&mut event);
        let out = generated(partition, &event, "accepted");
        if self.remembered.len() == REMEMBERED_MAX {
            self.remembered.pop_front();
        }
        self.remembered.push_back(Remembered { partition, id, event, copied: false });
        out
    }

    fn pad(&self, event: &mut Map<String, Value>) {
        let length = Value::Object(event.clone()).to_string().len();
        if length + 12 < self.config.bytes {
            event.insert("text".to_owned(), json!("x".repeat(self.config.bytes - length - 12)));
        }
    }

    fn event(&mut self, time: i64) -> Map<String, Value> {
        let late = self.random.random_bool(self.config.late);
        let behind: i64 = self.random.random_range(0..if late { 86_400_000 } else { 2_000 });
        let at = Timestamp::from_millisecond(time / 1000 - behind).unwrap_or(Timestamp::UNIX_EPOCH);
        let department = self.random.random_range(0..self.config.departments.max(1));
        let name = match DEPARTMENTS.get(department) {
            Some(name) => (*name).to_owned(),
            None => format!("Department {department}"),
        };
        let mut event = Map::new();
        event.insert("event_time".to_owned(), json!(at.to_string()));
        event.insert("department".to_owned(), json!(name));
        for (field, values) in [("channel", &CHANNELS[..]), ("region", &REGIONS), ("product", &PRODUCTS)] {
            // Now and then a dimension is missing.
            if self.random.random_bool(0.97) {
                event.insert(field.to_owned(), json!(values.choose(&mut self.random)));
            }
        }
        self.kind(department, &mut event);
        event
    }

    fn kind(&mut self, department: usize, event: &mut Map<String, Value>) {
        let mut set = |name: &str, value: Value| {
            event.insert(name.to_owned(), value);
        };
        let draw: f64 = self.random.random();
        if draw < 0.70 {
            let good = self.quality(department);
            let (scale, min, max, decimals) =
                *[("1-5", 1, 5, 0), ("1-5", 1, 5, 0), ("1-10", 1, 10, 0), ("0-100", 0, 100, 1)]
                    .choose(&mut self.random)
                    .unwrap_or(&("1-5", 1, 5, 0));
            let unit = if decimals == 0 { 1 } else { 10 };
            let score = (f64::from((max - min) * unit) * good).round() as i64 + i64::from(min * unit);
            let text = if unit == 1 { score.to_string() } else { format!("{}.{}", score / 10, score % 10) };
            let number: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
            set("scale", json!(scale));
            set("weight", json!(WEIGHTS.choose(&mut self.random)));
            if draw < 0.55 {
                set("kind", json!("rating"));
                set("score", number);
            } else {
                set("kind", json!("survey_response"));
                set("overall", number);
                set("answers", json!({"friendly": score % 5 + 1, "again": if good > 0.5 { "yes" } else { "no" }}));
            }
        } else if draw < 0.80 {
            // One case in seven was opened before.
            let case = self.number / 7 * 7 + u64::from(self.random.random_range(0..6u8));
            set("kind", json!("complaint_opened"));
            set("case_id", json!(format!("case-{case}")));
            set("category", json!(["delay", "defect", "price", "tone"].choose(&mut self.random)));
        } else {
            set("kind", json!("sale"));
            set("units", json!(self.random.random_range(1..20)));
            set(
                "amount",
                json!(format!("{}.{:02}", self.random.random_range(5..900), self.random.random_range(0..100))),
            );
            set("currency", json!("EUR"));
        }
    }

    /// 0 to 1.
    fn quality(&mut self, department: usize) -> f64 {
        let base = 0.62 + 0.04 * (department % 8) as f64;
        let drop = if self.dips && department % 8 == DIPPING { 0.45 } else { 0.0 };
        let noise: f64 = (0..3).map(|_| self.random.random_range(-0.2..0.2)).sum();
        (base - drop + noise).clamp(0.0, 1.0)
    }
}

impl Iterator for Generator {
    type Item = Generated;

    fn next(&mut self) -> Option<Generated> {
        if self.number >= self.config.events {
            return None;
        }
        let done = self.number as f64 / self.config.events as f64;
        self.dips = (0.4..0.7).contains(&done);
        let time = self.config.start_micros + (self.config.span_micros as f64 * done) as i64;
        Some(self.next_at(time))
    }
}

fn generated(partition: i32, event: &Map<String, Value>, class: &str) -> Generated {
    let payload = Value::Object(event.clone()).to_string().into_bytes();
    Generated { partition, payload, truth: json!({"class": class, "event": event}) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let run = |seed| Generator::new(GenerateConfig::new(seed, 500)).collect::<Vec<_>>();
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }

    #[test]
    fn every_trouble_occurs_about_as_often_as_asked() {
        let all: Vec<Generated> = Generator::new(GenerateConfig::new(1, 20_000)).collect();
        let count = |class: &str| all.iter().filter(|g| g.truth["class"] == class).count();
        assert!((300..500).contains(&count("duplicate")), "{}", count("duplicate"));
        assert!((400..620).contains(&count("rejected")), "{}", count("rejected"));
        let retracting = all.iter().filter(|g| g.truth["event"].get("retracts").is_some()).count();
        assert!((50..200).contains(&retracting), "{retracting}");
        let clean: Vec<Generated> = Generator::new(GenerateConfig::new(1, 2_000).clean()).collect();
        assert!(clean.iter().all(|g| g.truth["class"] == "accepted"));
    }
}
