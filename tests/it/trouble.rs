//! Bad places, absent brokers, ports in use.

mod lost;
mod records;
mod recreated;
mod secured;

use std::net::TcpListener;

use satisflow_testkit::{Admin, Kafka, Writer, wait_for};

use crate::place::{LIMIT, Place, brokers};

/// Adds settings to the `kafka` section of a place's configuration.
pub fn kafka_settings(place: &Place, more: &str) {
    let file = place.path().join("satisflow.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let (others, properties) = more.split_once("properties: { ").unwrap_or((more, ""));
    let changed = match properties.strip_suffix(" }") {
        Some(properties) => text.replacen("properties: { ", &format!("{others}properties: {{ {properties}, "), 1),
        None => text.replacen(" }\nsources:", &format!(", {others} }}\nsources:"), 1),
    };
    assert_ne!(text, changed, "the configuration has another form: {text}");
    std::fs::write(file, changed).unwrap();
}

/// Good events with ids `<prefix>-0` and so on.
pub fn events(prefix: &str, count: usize) -> Vec<String> {
    let event = |number| {
        let event = serde_json::json!({
            "event_id": format!("{prefix}-{number}"), "event_time": "2026-09-21T14:13:18Z", "kind": "rating",
            "scale": "0-100", "score": 50, "department": "Repair", "channel": "web", "region": "west",
        });
        event.to_string()
    };
    (0..count).map(event).collect()
}

#[test]
fn a_port_in_use_is_named_and_nothing_starts() {
    let place = Place::new("ports");
    let _held = TcpListener::bind(("127.0.0.1", place.sql)).unwrap();
    let done = place.program.run(&["run"]).unwrap();
    assert_eq!(done.code, 1);
    assert!(done.err.contains(&format!("127.0.0.1:{}", place.sql)) && done.err.contains("sql.listen"), "{}", done.err);
}

#[test]
fn a_lake_that_can_not_be_written_is_named() {
    let place = Place::new("unwritable");
    std::fs::write(place.path().join("lake"), "a file in the lake's place").unwrap();
    let done = place.program.run(&["run"]).unwrap();
    assert_eq!(done.code, 1);
    assert!(done.err.contains("lake") && !done.err.contains("panicked"), "{}", done.err);
}

#[test]
fn an_unknown_topic_is_named_and_waited_for() {
    let place = Place::new("later");
    let mut running = place.program.start("run", &["run"]).unwrap();
    wait_for("the topic is named", LIMIT, || running.log().contains("there is no topic later").then_some(())).unwrap();
    place.generate_all("later", 50, &["--clean"]);
    place.wait_for_rows(50);
    running.signal("TERM").unwrap();
    assert_eq!(running.wait(LIMIT).unwrap(), 0, "{}", running.log());
}

#[test]
fn a_broker_that_goes_away_and_comes_back_loses_nothing() {
    let mut kafka = Kafka::start().unwrap();
    let place = Place::with("away", &kafka.brokers(), "time: data");
    let produce = |seed: &str| {
        let arguments = [
            "generate",
            "--events",
            "200",
            "--clean",
            "--seed",
            seed,
            "--brokers",
            &kafka.brokers(),
            "--topic",
            "away",
        ];
        place.program.succeed(&arguments).unwrap();
    };
    produce("1");
    let mut running = place.program.start("run", &["run"]).unwrap();
    place.wait_for_rows(200);
    kafka.kill().unwrap();
    wait_for("the loss is told", LIMIT, || running.log().contains("WARN").then_some(())).unwrap();
    kafka.launch().unwrap();
    let arguments =
        ["generate", "--events", "200", "--clean", "--seed", "2", "--brokers", &kafka.brokers(), "--topic", "away"];
    wait_for("producing works again", LIMIT, || (place.program.run(&arguments).unwrap().code == 0).then_some(()))
        .unwrap();
    place.wait_for_rows(400);
    running.signal("TERM").unwrap();
    assert_eq!(running.wait(LIMIT).unwrap(), 0, "{}", running.log());
}

#[test]
fn a_broker_that_stands_still_is_told_and_costs_no_memory() {
    let kafka = Kafka::start().unwrap();
    let place = Place::with("still", &kafka.brokers(), "time: data");
    kafka_settings(&place, "properties: { socket.timeout.ms: 5000 }");
    Admin::new(&kafka.brokers()).unwrap().create_topic("still", 2, &[]).unwrap();
    let writer = Writer::new(&kafka.brokers(), "still").unwrap();
    writer.write(0, &events("before", 200)).unwrap();
    let mut running = place.program.start("run", &["run"]).unwrap();
    place.wait_for_rows(200);
    let before = resident_bytes(running.id());
    kafka.signal("STOP").unwrap();
    let told = || running.log().contains("WARN").then_some(());
    wait_for("the standstill is told", LIMIT, told).unwrap();
    let grown = resident_bytes(running.id()).saturating_sub(before);
    eprintln!("{grown} bytes more in memory");
    assert!(grown < 50 << 20, "{grown} bytes more");
    kafka.signal("CONT").unwrap();
    writer.write(1, &events("after", 200)).unwrap();
    place.wait_for_rows(400);
    running.signal("TERM").unwrap();
    assert_eq!(running.wait(LIMIT).unwrap(), 0, "{}", running.log());
    place.run_to_the_end();
    assert_eq!(place.number("select count(*) from events"), Some(400));
    place.check_audit();
}

/// Memory of a process that is in use, bytes.
pub fn resident_bytes(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn a_broker_that_is_down_at_the_start_is_told_and_the_service_stops_when_asked() {
    let place = Place::with("down", "127.0.0.1:1", "");
    let mut running = place.program.start("run", &["run"]).unwrap();
    wait_for("the broker is named", LIMIT, || running.log().contains("Kafka at 127.0.0.1:1").then_some(())).unwrap();
    // The client finds out some twenty times a second; an operator reads it every ten seconds.
    let told = || running.log().matches("trying again").count();
    wait_for("it is told again", LIMIT, || (told() >= 5).then_some(())).unwrap();
    let lines = running.log().lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).count();
    assert!(lines <= 8, "{lines} lines: {}", running.log());
    running.signal("TERM").unwrap();
    assert_eq!(running.wait(LIMIT).unwrap(), 0, "{}", running.log());
}

/// A member that says nothing is waited for until its session ends, 45 seconds
/// in which nobody reads.
#[test]
fn a_service_that_stops_leaves_its_group() {
    let place = Place::new("leaving");
    place.generate_all("leaving", 50, &["--clean"]);
    let admin = Admin::new(&brokers()).unwrap();
    let mut running = place.program.start("run", &["run"]).unwrap();
    place.wait_for_rows(50);
    assert_eq!(admin.group_members("leaving").unwrap(), 1);
    running.signal("TERM").unwrap();
    assert_eq!(running.wait(LIMIT).unwrap(), 0, "{}", running.log());
    assert_eq!(admin.group_members("leaving").unwrap(), 0);
}
