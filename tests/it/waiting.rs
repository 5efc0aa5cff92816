//! Sources that windows wait for: `on_idle: hold`, its limit, and definitions that read other topics.

use satisflow_testkit::{Admin, Writer, wait_for};

use crate::place::{LIMIT, Place, brokers};

const IDLE_AFTER_MS: i64 = 1000;
const HOLD_MS_MAX: i64 = 8000;

const CATALOG: &str = "version: 1
zone: UTC
windows: { day: { calendar: day } }
measures:
  all: { kinds: [rating], value: score }
  visits: { kinds: [rating], value: score, topics: [waiting-visits] }
defaults: { grouping_sets: [[]], n_min: 1 }
metrics:
  everything: { mean: all }
  visits_only: { mean: visits }
";

/// Windows of `visits` do not wait for the nightly load; those of both topics do, for a while.
fn place() -> Place {
    let place = Place::with("waiting-visits", &brokers(), "catalog: catalog.yaml\nallowed_lateness_ms: 0");
    std::fs::write(place.path().join("catalog.yaml"), CATALOG).unwrap();
    let file = place.path().join("satisflow.yaml");
    let sources = format!(
        "sources: [{{ topic: waiting-visits }}, {{ topic: waiting-nightly, on_idle: hold, hold_ms_max: {HOLD_MS_MAX} }}]"
    );
    let text = std::fs::read_to_string(&file).unwrap();
    let changed = text
        .replace("sources: [{ topic: waiting-visits }]", &sources)
        .replace("idle_after_ms: 2000", &format!("idle_after_ms: {IDLE_AFTER_MS}"));
    std::fs::write(file, changed).unwrap();
    place
}

fn write(topic: &str, id: &str, time: &str, score: u32) {
    let event = format!(
        "{{\"event_id\":\"{id}\",\"kind\":\"rating\",\"event_time\":\"{time}\",\"score\":{score},\"scale\":\"0-100\"}}"
    );
    Writer::new(&brokers(), topic).unwrap().write(0, &[event]).unwrap();
}

/// Value, n, status and revision of a day's current row; empty while there is none.
fn row(place: &Place, kpi: &str, day: &str) -> String {
    let query = format!(
        "select cast(value as double), n, status, revision from kpi_current \
         where kpi = '{kpi}' and window_start = timestamp '{day}T00:00:00Z'"
    );
    let done = place.program.run(&["--log", "error", "sql", "--format", "csv", &query]).unwrap();
    done.out.lines().nth(1).unwrap_or_default().to_owned()
}

fn wait_for_row(place: &Place, kpi: &str, day: &str, expect: &str) {
    let row = || Some(row(place, kpi, day)).filter(|row| row == expect);
    wait_for(&format!("{kpi} of {day}: {expect}"), LIMIT, row).unwrap();
}

#[test]
fn a_held_source_is_waited_for_up_to_its_limit_and_what_it_brings_then_completes_the_rows() {
    let place = place();
    for topic in ["waiting-visits", "waiting-nightly"] {
        Admin::new(&brokers()).unwrap().create_topic(topic, 1, &[]).unwrap();
    }
    write("waiting-nightly", "load-1", "2026-09-21T10:00:00Z", 40);
    write("waiting-visits", "visit-1", "2026-09-21T11:00:00Z", 80);
    write("waiting-visits", "visit-2", "2026-09-23T11:00:00Z", 90);
    let mut running = place.program.start("run", &["run"]).unwrap();
    // What reads the visits only is final as if there were no other topic.
    wait_for_row(&place, "visits_only", "2026-09-21", "80.0,1,ok,1");
    wait_for_row(&place, "everything", "2026-09-21", "60.0,2,incomplete,1");
    wait_for_row(&place, "everything", "2026-09-23", "90.0,1,incomplete,1");
    let waited = place.number(
        "select cast(date_part('epoch', (select min(computed_at) from kpis where kpi = 'everything')) * 1000 as bigint) \
         - cast(date_part('epoch', (select ingest_time from events where event_id = 'load-1')) * 1000 as bigint)",
    );
    assert!(waited.unwrap() >= HOLD_MS_MAX, "published after {waited:?} ms");
    // The load of the next night: the days before it are whole now.
    write("waiting-nightly", "load-2", "2026-09-23T01:00:00Z", 50);
    wait_for_row(&place, "everything", "2026-09-21", "60.0,2,ok,2");
    wait_for_row(&place, "everything", "2026-09-23", "70.0,2,incomplete,2");
    write("waiting-nightly", "load-3", "2026-09-24T01:00:00Z", 10);
    wait_for_row(&place, "everything", "2026-09-23", "70.0,2,ok,3");
    assert_eq!(row(&place, "visits_only", "2026-09-21"), "80.0,1,ok,1");
    running.signal("TERM").unwrap();
    assert_eq!(running.wait(LIMIT).unwrap(), 0, "{}", running.log());
    place.check_audit();
}
