//! A flood of events months late: restated within bounds.

use satisflow_testkit::{Running, wait_for};

use crate::place::{LIMIT, Place, brokers, publishes, scrape, value_of};

const TOPIC: &str = "flood";
const FLOOD: i64 = 100_000;
const ON_TIME: i64 = 300;
const WAITING_MAX: f64 = 20_000.0;
/// Changes of one commit, which takes a whole poll: rows times definitions, windows and grouping sets.
const COMMIT_MAX: f64 = 6_000.0 * 2.0 * 4.0 * 2.0;
const MEMORY_MAX_MB: i64 = 1000;

const MORE: &str = "time: data
late_panes: 2
limits: { restatement_backlog_changes_max: 20000 }
catalog: catalog.yaml";

const CATALOG: &str = "version: 1
zone: UTC
dimensions: { department: department }
windows:
  5m: { length: 5m, step: 5m }
  day: { calendar: day }
  month: { calendar: month }
  half_year: { calendar: half_year }
measures:
  ratings:
    kinds: [rating, survey_response]
    value: csat_0_100(coalesce(score, overall), scale)
    weight: weight
defaults: { grouping_sets: [[], [department]] }
metrics:
  csat: { mean: ratings }
  responses: { count: ratings }
";

fn memory_max_mb(running: &Running) -> i64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<i64>().unwrap() / 1024
}

/// Waits until all is restated; gives the most that was seen waiting.
fn most_waiting(place: &Place, running: &Running) -> f64 {
    let mut most = 0.0f64;
    let done = || {
        let metrics = scrape(place.http)?;
        let waiting = value_of(&metrics, "satisflow_restatement_backlog_changes")?;
        most = most.max(waiting);
        let rows = value_of(&metrics, "satisflow_records_total")?;
        let taken = rows > FLOOD as f64 - 0.5 && value_of(&metrics, "satisflow_pending_rows") == Some(0.0);
        let is_scored = value_of(&metrics, "satisflow_scored_version") == Some(newest_version(place));
        (taken && is_scored && waiting < 0.5 && publishes(&metrics)).then_some(())
    };
    wait_for("everything restated", LIMIT, done).unwrap_or_else(|error| panic!("{error:#}: {}", running.log()));
    most
}

/// The newest version of `records`, read without the program.
fn newest_version(place: &Place) -> f64 {
    let entries = std::fs::read_dir(place.path().join("lake/records/_delta_log")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let versions = names.filter_map(|name| name.strip_suffix(".json")?.parse::<u32>().ok());
    f64::from(versions.max().unwrap())
}

#[test]
fn a_hundred_thousand_events_300_days_late_are_restated_within_bounds() {
    let place = Place::with(TOPIC, &brokers(), MORE);
    std::fs::write(place.path().join("catalog.yaml"), CATALOG).unwrap();
    let config = place.path().join("satisflow.yaml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("lake: { ", "lake: { flush_rows_max: 2000, ")).unwrap();
    place.generate_all(TOPIC, ON_TIME as u32, &["--seed", "91", "--clean", "--days", "2"]);
    place.run_to_the_end();
    let flood = ["--seed", "92", "--clean", "--days", "60", "--start", "2025-11-25T00:00:00Z"];
    place.generate_all(TOPIC, FLOOD as u32, &flood);
    let running = place.program.start("run", &["run"]).unwrap();
    let started = std::time::Instant::now();
    let most = most_waiting(&place, &running);
    let memory = memory_max_mb(&running);
    eprintln!("late: {FLOOD} events in {:?}, {most} changes waited, {memory} MB", started.elapsed());
    assert!((1.0..=WAITING_MAX + COMMIT_MAX).contains(&most), "{most} changes waited");
    assert!(memory < MEMORY_MAX_MB, "{memory} MB");
    assert!(running.log().contains("many late changes"), "the bound was not reached: {}", running.log());
    drop(running);
    place.check_audit();
    assert_eq!(place.number("select count(*) from events"), Some(FLOOD + ON_TIME));
}
