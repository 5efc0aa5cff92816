//! What was known when: every published value is found again, and versions go on from each other.

use crate::audit::{audit, counts, place};
use crate::clock::shifted;
use crate::place::Place;

/// Rows of a table or function, with every column.
fn rows(place: &Place, from: &str) -> String {
    let query = format!("select * from {from} order by kpi, window_name, grouping_set, department, window_end");
    place.program.succeed(&["--log", "error", "sql", "--format", "csv", &query]).unwrap()
}

fn last_computed(place: &Place) -> String {
    let query = "select max(computed_at) from kpis";
    let out = place.program.succeed(&["--log", "error", "sql", "--format", "csv", query]).unwrap();
    out.lines().nth(1).unwrap().to_owned()
}

fn rating(number: u32, hour: u32, score: u32) -> String {
    format!(
        "{{\"event_id\":\"{number}\",\"kind\":\"rating\",\"event_time\":\"2026-05-05T{hour:02}:10:00Z\",\
         \"score\":{score},\"scale\":\"1-5\",\"department\":\"Repair\"}}\n"
    )
}

#[test]
fn each_published_value_is_found_again_also_after_the_clock_has_jumped_back() {
    let place = place("feedback", "127.0.0.1:1", "time: data");
    // Each file restates the hours and the day of the one before; the last retracts.
    let retraction = "{\"event_id\":\"9\",\"kind\":\"rating\",\"score\":3,\"scale\":\"1-5\",\"event_time\":\"2026-05-05T10:20:00Z\",\
                      \"retracts\":\"1\"}\n";
    let steps = [
        (0, rating(1, 10, 5)),
        (3600, rating(2, 10, 1)),
        // Two hours back, and a day.
        (-3600, rating(3, 9, 3)),
        (-86_400, rating(4, 10, 2)),
        (0, retraction.to_owned()),
    ];
    let mut known: Vec<(String, String)> = Vec::new();
    for (number, (shift, line)) in steps.iter().enumerate() {
        let file = format!("{number}.jsonl");
        std::fs::write(place.path().join(&file), line).unwrap();
        shifted(&place, *shift).succeed(&["replay", &file]).unwrap();
        known.push((last_computed(&place), rows(&place, "kpi_current")));
    }
    assert!(known.is_sorted_by(|earlier, later| earlier.0 < later.0 && earlier.1 != later.1), "{known:#?}");
    for (then, current) in &known {
        assert_eq!(&rows(&place, &format!("kpi_as_of('{then}')")), current, "as of {then}");
    }
    // A moment before the first row nothing was known; the clock did go back.
    assert_eq!(place.number("select count(*) from kpi_as_of('2020-01-01T00:00:00Z')"), Some(0));
    let secs =
        |time: &str| place.number(&format!("select cast(date_part('epoch', timestamp '{time}') as bigint)")).unwrap();
    assert_eq!(place.number("select count(*) from (select distinct computed_at from kpis)"), Some(5));
    assert!(secs(&known[4].0) - secs(&known[1].0) <= 1, "{known:#?}");
    assert_eq!(counts(&audit(&place, &[])).1, 0);
}

/// A copy of what version 0.1 has left: configuration, catalog, lake.
fn version_0_1() -> Place {
    let place = Place::new("feedback");
    let from = satisflow_testkit::repository().join("tests/fixtures/v0.1");
    let copied = std::process::Command::new("cp").arg("-r").arg(from.join(".")).arg(place.path()).status().unwrap();
    assert!(copied.success());
    place
}

#[test]
fn a_lake_of_version_0_1_opens_and_goes_on() {
    let place = version_0_1();
    let before = std::fs::read_to_string(place.path().join("kpis.csv")).unwrap();
    assert_eq!(rows(&place, "kpi_current"), before);
    assert_eq!(place.program.run(&["check"]).unwrap().code, 0);
    let (compared, differences) = counts(&audit(&place, &[]));
    assert!(compared > 100 && differences == 0, "{compared} {differences}");
    // Its snapshot is of another layout: the state is built anew. The same file again adds nothing.
    let again = place.program.run(&["replay", "events.jsonl"]).unwrap();
    assert_eq!(again.code, 0, "{}", again.err);
    assert!(again.err.contains("this snapshot is not used"), "{}", again.err);
    assert_eq!(rows(&place, "kpi_current"), before);
    // A late event restates what was published by 0.1.
    let first =
        place.program.succeed(&["--log", "error", "sql", "--format", "csv", "select min(event_time) from events"]);
    let first = first.unwrap().lines().nth(1).unwrap().to_owned();
    let late = format!(
        "{{\"event_id\":\"late\",\"kind\":\"rating\",\"event_time\":\"{first}\",\"score\":1,\"scale\":\"1-5\"}}\n"
    );
    std::fs::write(place.path().join("late.jsonl"), late).unwrap();
    place.program.succeed(&["replay", "late.jsonl"]).unwrap();
    assert!(place.number("select count(*) from kpis where revision = 2 and reason = 'late'") > Some(0));
    assert_eq!(counts(&audit(&place, &[])).1, 0);
}

#[test]
fn a_newer_lake_is_refused_by_name_by_every_command() {
    let place = version_0_1();
    let first = place.path().join("lake/records/_delta_log/00000000000000000000.json");
    let entry = std::fs::read_to_string(&first).unwrap();
    let newer = entry.replace("\"satisflow.lakeFormatVersion\":\"1\"", "\"satisflow.lakeFormatVersion\":\"2\"");
    assert_ne!(entry, newer);
    std::fs::write(&first, newer).unwrap();
    let commands: [&[&str]; 5] =
        [&["sql", "select 1"], &["audit"], &["replay", "events.jsonl"], &["rejects", "list"], &["rejects", "replay"]];
    for command in commands {
        let done = place.program.run(command).unwrap();
        let told = "has format version 2, and this program knows versions up to 1: update it";
        assert!(done.code == 1 && done.err.contains(told) && done.err.contains("lake"), "{command:?}: {}", done.err);
    }
}
