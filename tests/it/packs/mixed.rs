//! One stream of all packs' events, in no order, with late, repeated, retracted and superseded ones:
//! whatever a pack's catalog makes of it, plain SQL makes the same.

use std::path::Path;

use jiff::{Timestamp, ToSpan};
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value, json};

use super::packs;
use crate::place::{Place, offline};

type Event = Map<String, Value>;

/// Of each pack, so that no pack's sample is most of the stream.
const EVENTS_OF_A_PACK: usize = 30;
/// What events name each other by: the packs' own would meet in one stream.
const NAMES: [&str; 6] = ["event_id", "retracts", "supersedes", "response_id", "invitation_id", "case_id"];

fn sample(pack: &Path, random: &mut ChaCha8Rng) -> Vec<Event> {
    let name = pack.file_name().unwrap().to_string_lossy();
    let text = std::fs::read_to_string(pack.join("events.jsonl")).unwrap();
    // What is no JSON, or has no time that can be moved, is in the packs' own tests.
    let events = text.lines().filter_map(|line| serde_json::from_str::<Event>(line).ok());
    let mut events: Vec<Event> = events.filter(|event| time(event).is_some()).collect();
    for event in &mut events {
        for (key, value) in event.iter_mut().filter(|(key, _)| NAMES.contains(&key.as_str())) {
            assert!(value.is_string(), "{key} of {name}: {value}");
            *value = json!(format!("{name}-{}", value.as_str().unwrap_or_default()));
        }
    }
    events.choose_multiple(random, EVENTS_OF_A_PACK).cloned().collect()
}

fn time(event: &Event) -> Option<Timestamp> {
    event.get("event_time")?.as_str()?.parse().ok()
}

fn with(event: &Event, changes: &[(&str, String)]) -> Event {
    let mut event = event.clone();
    event.extend(changes.iter().map(|(key, value)| ((*key).to_owned(), json!(value))));
    event
}

/// What comes with an event: itself again, itself 300 days late, what takes it back or replaces it, or nothing.
fn company(event: &Event, others: &[Event], random: &mut ChaCha8Rng) -> Option<Event> {
    let [id, at] = ["event_id", "event_time"].map(|key| event[key].as_str().unwrap_or_default().to_owned());
    match random.random_range(0..10) {
        0 => Some(event.clone()),
        1 => {
            let late = time(event)? - (300 * 24).hours();
            Some(with(event, &[("event_id", format!("{id}-late")), ("event_time", late.to_string())]))
        }
        2 => {
            let retraction = json!({"event_id": format!("{id}-gone"), "kind": "feedback_text", "event_time": at,
                                    "retracts": id});
            Some(retraction.as_object()?.clone())
        }
        3 => Some(with(others.choose(random)?, &[("event_id", format!("{id}-new")), ("supersedes", id)])),
        _ => None,
    }
}

fn mixed(random: &mut ChaCha8Rng) -> Vec<String> {
    let mut all = Vec::new();
    for pack in packs() {
        let events = sample(&pack, random);
        let more: Vec<Event> = events.iter().filter_map(|event| company(event, &events, random)).collect();
        all.extend(events.into_iter().chain(more).map(|event| Value::Object(event).to_string()));
    }
    all.shuffle(random);
    all
}

#[test]
fn every_pack_is_equal_by_audit_over_a_mixed_stream() {
    let seed = std::env::var("SATISFLOW_MIXED_SEED").map_or(1, |seed| seed.parse().unwrap());
    eprintln!("mixed: SATISFLOW_MIXED_SEED={seed}");
    let place = offline("");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let events = mixed(&mut random);
    // The second half comes when all windows of the first are closed.
    let halves = events.split_at(events.len() / 2);
    std::fs::write(place.path().join("first.jsonl"), halves.0.join("\n")).unwrap();
    std::fs::write(place.path().join("second.jsonl"), halves.1.join("\n")).unwrap();
    let told: Vec<String> = packs().iter().map(|pack| audited(&place, pack)).collect();
    let restated = told.iter().filter(|said| !said.contains(", 0 of them restated")).count();
    assert!(restated * 2 > told.len(), "what is late restates most packs: {told:#?}");
}

/// What the second replay into a lake of its own and the audit say.
fn audited(place: &Place, pack: &Path) -> String {
    let name = pack.file_name().unwrap().to_string_lossy();
    let config = format!("{name}.yaml");
    let text = format!(
        "version: 1\nlake: {{ url: lake-{name} }}\nsources: [{{ topic: feedback }}]\ncatalog: '{}'\ntime: data\n",
        pack.join("catalog.yaml").display()
    );
    std::fs::write(place.path().join(&config), text).unwrap();
    let run = |command: &str, more: &[&str]| {
        let done = place.program.run(&[&["--log", "error", command, "--config", &config], more].concat()).unwrap();
        assert_eq!(done.code, 0, "{name}: {command} {more:?}: {}{}", done.out, done.err);
        format!("{}{}", done.out, done.err)
    };
    run("replay", &["first.jsonl"]);
    let second = run("replay", &["second.jsonl"]);
    let audit = run("audit", &[]);
    assert!(audit.contains(" compared, 0 differences") && !audit.starts_with("0 KPI rows"), "{name}: {audit}");
    format!("{name}: {second}{audit}")
}
