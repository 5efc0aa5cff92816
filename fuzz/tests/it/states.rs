//! States of the engine as bytes: what was not written by it is refused, or read
//! without harm.
//!
//! A snapshot's checksum keeps damage from the frames; here they come without it.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use satisflow_catalog::{Catalog, Evaluator, ScaleBounds};
use satisflow_document::{Document, Problems};
use satisflow_kpi::{Arrival, Engine, Frontier, Identities, Plan, Position, Sign};
use satisflow_model::{Outcome, RecordsBuilder};

use crate::targets::{NOW, decoder, record};

const HELD: usize = 10;
const HOUR: i64 = 3_600_000_000;

const CATALOG: &str = "version: 1
zone: Europe/Berlin
dimensions: { department: department, channel: channel }
windows:
  5m: { length: 5m, step: 1m }
  month: { calendar: month }
  all: { all: true }
measures:
  satisfaction: { kinds: [rating], value: 'csat_0_100(score, scale)', weight: weight }
  complaints: { kinds: [complaint_opened], first_per: case_id }
defaults: { grouping_sets: [[], [department], [department, channel]] }
metrics:
  csat: { mean: satisfaction }
  complaint_rate: { ratio: { numerator: complaints, denominator: satisfaction } }
";

fn catalog() -> Catalog {
    let scales = [ScaleBounds { name: "1-5".into(), min: 10_000, max: 50_000 }];
    let mut problems = Problems::new();
    let document = Document::parse("catalog.yaml", CATALOG).unwrap();
    Catalog::load(&document, &scales, &mut problems).unwrap()
}

thread_local! {
    static PLAN: RefCell<Option<Plan>> = const { RefCell::new(None) };
}

fn plan() -> Plan {
    PLAN.with(|plan| plan.borrow_mut().get_or_insert_with(|| catalog().plan).clone())
}

/// Frames, each after its length in 4 bytes.
fn joined(frames: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    frames.flat_map(|frame| [&(frame.len() as u32).to_le_bytes()[..], &frame].concat()).collect()
}

/// The next frame: what is there, whatever length is claimed.
fn next(rest: &mut &[u8]) -> Vec<u8> {
    let (length, after) = rest.split_at(rest.len().min(4));
    let length = u32::from_le_bytes(length.try_into().unwrap_or_default()) as usize;
    let (frame, after) = after.split_at(after.len().min(length));
    *rest = after;
    frame.to_vec()
}

fn frames(engine: &Engine) -> Vec<u8> {
    joined(engine.frames().map(Result::unwrap))
}

fn read(bytes: &[u8]) -> Option<Engine> {
    let mut rest = bytes;
    Engine::from_frames(plan(), || Ok(next(&mut rest))).ok()
}

/// Frames of an engine: an engine that can be written and read again, or a word.
pub fn snapshot(bytes: &[u8]) {
    let Some(engine) = read(bytes) else { return };
    let again = read(&frames(&engine)).expect("what is read can be written");
    assert_eq!(again.last_event(), engine.last_event());
    assert_eq!(again.waiting_changes(), engine.waiting_changes());
}

/// A frame of identities: a filter that can be asked, or a word.
pub fn identities(bytes: &[u8]) {
    let Ok(identities) = Identities::from_frame(bytes, HELD) else { return };
    let position = Position { topic: Arc::from("t"), partition: 0, offset: 0 };
    let arrival = |identity: u128| Arrival { identity, position: position.clone(), voids: [None, Some(!identity)] };
    let asked: Vec<Arrival> = [0, 1, u128::MAX, u128::MAX / 3].map(arrival).into();
    let unsure = identities.unsure(&asked);
    let again = Identities::from_frame(&identities.frame().unwrap(), HELD).expect("what is read can be written");
    assert_eq!(again.unsure(&asked), unsure);
}

fn ratings(engine: &mut Engine, from: i64, count: i64) {
    let decoder = decoder(None);
    let mut builder = RecordsBuilder::new(decoder.limits().clone());
    for number in from..from + count {
        let time = (NOW + number * HOUR / 7) / 1000;
        let kind = if number % 5 == 0 { "complaint_opened" } else { "rating" };
        let payload = format!(
            r#"{{"event_id":"e{number}","kind":"{kind}","event_time":{time},"score":{},"scale":"1-5","case_id":"c{}",
            "department":"d{}","channel":"服務{}","weight":"0.{}"}}"#,
            number.rem_euclid(5) + 1,
            number.rem_euclid(3),
            number.rem_euclid(4),
            number.rem_euclid(2),
            number.rem_euclid(9) + 1
        );
        let record = record(payload.as_bytes());
        let event = decoder.decode(&record, None).unwrap();
        builder.append_event(&record, NOW, Outcome::Accepted, &event);
    }
    let events = builder.finish().unwrap();
    let signs = vec![Sign::Count; events.num_rows()];
    let evaluator = Evaluator::new(&catalog()).unwrap();
    evaluator.measure(&events, &signs).unwrap().for_each(|m| engine.apply(&m.batch, &m.signs).unwrap());
}

fn advance(engine: &mut Engine, hours: i64) {
    let to = vec![Frontier::at(NOW + hours * HOUR); engine.plan().definitions.len()];
    engine.advance(&to).unwrap();
}

/// States from a beginning to one that has published, forgotten and taken late events.
fn states() -> Vec<(&'static str, Vec<u8>)> {
    let mut engine = Engine::new(plan());
    let mut all = vec![("empty", frames(&engine))];
    ratings(&mut engine, 0, 1);
    all.push(("one", frames(&engine)));
    ratings(&mut engine, 1, 40);
    all.push(("many", frames(&engine)));
    advance(&mut engine, 3);
    all.push(("published", frames(&engine)));
    engine.expire(2, 0).unwrap();
    all.push(("expired", frames(&engine)));
    ratings(&mut engine, -20, 30);
    all.push(("late", frames(&engine)));
    all
}

fn filters() -> Vec<(&'static str, Vec<u8>)> {
    let position = Position { topic: Arc::from("t"), partition: 0, offset: 0 };
    let arrival = |identity: u128| Arrival { identity, position: position.clone(), voids: [None, None] };
    let mut few = Identities::new(HELD);
    few.resolve(&[arrival(1), arrival(u128::MAX / 7)]);
    let cut = |length: usize| few.frame().unwrap()[..length].to_vec();
    let block = [&[1, 64][..], &[0xA5; 64], &[7]].concat();
    vec![
        ("empty", Identities::new(HELD).frame().unwrap()),
        ("cut", cut(100)),
        ("block", block.clone()),
        ("half-a-block", [&[1, 32][..], &[0xA5; 32], &[7]].concat()),
        ("no-block", vec![1, 0, 7]),
        ("two", [&[2][..], &block[1..], &block[1..]].concat()),
    ]
}

/// The corpus is made of what the engine writes, so that mutations come far.
/// `UPDATE_EXPECT=1` writes it anew when the layout changes.
#[test]
fn the_corpus_is_what_the_engine_writes() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let file = |target: &str, name: &str| -> PathBuf { corpus.join(target).join(name) };
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        for (target, all) in [("snapshot", states()), ("identities", filters())] {
            std::fs::create_dir_all(corpus.join(target)).unwrap();
            all.into_iter().for_each(|(name, bytes)| std::fs::write(file(target, name), bytes).unwrap());
        }
    }
    for (name, _) in states() {
        let bytes = std::fs::read(file("snapshot", name)).unwrap();
        assert!(read(&bytes).is_some(), "{name} is of another layout: write the corpus anew with UPDATE_EXPECT=1");
    }
    for (name, is_read) in
        [("empty", true), ("block", true), ("two", true), ("half-a-block", false), ("no-block", false)]
    {
        let bytes = std::fs::read(file("identities", name)).unwrap();
        assert_eq!(Identities::from_frame(&bytes, HELD).is_ok(), is_read, "{name}");
    }
}
