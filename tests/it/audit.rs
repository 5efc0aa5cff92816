//! The audit, by command and by the service itself, on sound and on doctored lakes.

use std::process::Command;

use satisflow_testkit::{Finished, repository, wait_for};

use crate::place::{LIMIT, Place, brokers, offline, scrape, value_of};

/// Few series, so that an audit plans few statements.
const CATALOG: &str = "version: 1
zone: UTC
dimensions: { department: department }
windows:
  1h: { length: 1h, step: 15m }
  day: { calendar: day }
measures:
  satisfaction: { kinds: [rating], value: 'csat_0_100(score, scale)', weight: weight }
  complaints: { kinds: [complaint_opened], first_per: case_id }
defaults: { grouping_sets: [[], [department]], n_min: 1 }
metrics:
  csat: { mean: satisfaction }
  complaints: { count: complaints }
  csat_place: { rank: { of: csat } }
";

pub fn place(topic: &str, brokers: &str, more: &str) -> Place {
    let place = Place::with(topic, brokers, &format!("catalog: catalog.yaml\n{more}"));
    std::fs::write(place.path().join("catalog.yaml"), CATALOG).unwrap();
    place
}

/// Six days of events, taken in from a file.
fn replayed(seed: &str) -> Place {
    let place = place("feedback", "127.0.0.1:1", "time: data");
    let events = place.program.run(&["generate", "--events", "600", "--days", "6", "--seed", seed]).unwrap().out;
    std::fs::write(place.path().join("events.jsonl"), events).unwrap();
    place.program.succeed(&["replay", "events.jsonl"]).unwrap();
    place
}

pub fn audit(place: &Place, arguments: &[&str]) -> Finished {
    place.program.run(&[&["--log", "error", "audit"], arguments].concat()).unwrap()
}

/// KPI rows compared, and differences.
pub fn counts(done: &Finished) -> (u64, u64) {
    let last = done.out.lines().last().unwrap_or_default();
    let numbers: Vec<u64> = last.split(' ').filter_map(|word| word.parse().ok()).collect();
    assert_eq!(numbers.len(), 2, "{}{}", done.out, done.err);
    (numbers[0], numbers[1])
}

/// Changes rows behind the service's back, by another writer of Delta tables.
fn doctor(place: &Place, table: &str, set: &str, predicate: &str) {
    let program = "
import sys
from deltalake import DeltaTable
lake, column, value, predicate = sys.argv[1:]
done = DeltaTable(lake).update(updates={column: value}, predicate=predicate)
assert done['num_updated_rows'] == 1, done
";
    let (column, value) = set.split_once('=').unwrap();
    let python = satisflow_testkit::script("python-env.sh").unwrap();
    let lake = place.path().join("lake").join(table);
    let done = Command::new(python).args(["-c", program]).arg(lake).args([column, value, predicate]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// One text from the lake.
fn text(place: &Place, query: &str) -> String {
    let out = place.program.succeed(&["--log", "error", "sql", "--format", "csv", query]).unwrap();
    out.lines().nth(1).unwrap_or_default().to_owned()
}

/// An event that counts, and the end of an hour that holds it: neither the first nor the last ones.
fn an_event(place: &Place) -> String {
    text(
        place,
        "select event_id from events_distinct where kind = 'rating' and score is not null and weight > 0 \
                 and event_time < (select max(event_time) - interval '3 hours' from events) \
                 and event_id not in (select retracts from events where retracts is not null) \
                 and event_id not in (select supersedes from events where supersedes is not null) \
                 order by event_time desc limit 1",
    )
}

#[test]
fn an_audit_of_a_range_compares_the_windows_that_end_in_it() {
    let place = replayed("5");
    let end = "select max(window_end) from kpi_current where window_name = 'day' and grouping_set = '' \
               and window_end < (select max(window_end) from kpi_current where window_name = '1h') - interval '2 days'";
    let middle = text(&place, end);
    let (all, _) = counts(&audit(&place, &[]));
    let (before, _) = counts(&audit(&place, &["--until", &middle]));
    let (after, _) = counts(&audit(&place, &["--since", &middle]));
    assert!(before > 0 && after > 0 && before + after == all, "{before} + {after}, {all}");
    // The bound itself belongs to what follows; a date is its midnight.
    let next = format!("{}.000001Z", middle.trim_end_matches('Z'));
    let (at, _) = counts(&audit(&place, &["--since", &middle[..10], "--until", &next]));
    let expected = format!("select count(*) from kpi_current where window_end = timestamp '{middle}'");
    assert_eq!(Some(i64::try_from(at).unwrap()), place.number(&expected));
    let (of_one, _) = counts(&audit(&place, &["--kpi", "csat", "--since", &middle]));
    assert!((1..after).contains(&of_one), "{of_one} of {after}");
    assert!(audit(&place, &["--kpi", "cast"]).err.contains("no KPI `cast`"));
    assert!(audit(&place, &["--since", "yesterday"]).err.contains("2026-11-01"));
    doctor(
        &place,
        "kpis",
        "sum_w=sum_w + 0.000001",
        &format!(
            "kpi = 'csat' and window_name = 'day' and grouping_set = '' and revision = 1 and window_end = '{middle}'"
        ),
    );
    assert_eq!(counts(&audit(&place, &["--until", &middle])), (before, 0));
    assert_eq!(counts(&audit(&place, &["--kpi", "complaints"])).1, 0);
    let found = audit(&place, &["--since", &middle]);
    assert_eq!((found.code, counts(&found)), (1, (after, 1)), "{}", found.out);
    let row: Vec<&str> = found.out.lines().nth(3).unwrap().split('|').map(str::trim).collect();
    assert_eq!([row[1], row[2], row[3], row[4], row[6]], ["csat", "day", "", "total", "sum_w"], "{}", found.out);
}

/// A rank of one group that is not what the events of all groups make it.
#[test]
fn a_changed_rank_is_found() {
    let place = replayed("6");
    let of_rank = |arguments: &[&str]| audit(&place, &[&["--kpi", "csat_place"], arguments].concat());
    let (rows, differences) = counts(&of_rank(&[]));
    assert!(rows > 100 && differences == 0, "{rows} rows, {differences}");
    let row = "kpi = 'csat_place' and window_name = 'day' and revision = 1";
    let current = format!(
        "select window_end || '|' || department from kpi_current where {row} and value is not null order by 1 limit 1"
    );
    let found = text(&place, &current);
    let (end, department) = found.split_once('|').unwrap();
    let this = format!("{row} and window_end = '{end}' and department = '{department}'");
    doctor(&place, "kpis", "value=value + 1", &this);
    let found = of_rank(&[]);
    assert_eq!((found.code, counts(&found)), (1, (rows, 1)), "{}", found.out);
    assert!(found.out.contains("value"), "{}", found.out);
    doctor(&place, "kpis", "n=n + 1", &this);
    assert_eq!(counts(&of_rank(&[])).1, 1, "of one row one difference");
    assert!(of_rank(&[]).out.contains("| n "), "{}", of_rank(&[]).out);
}

/// What the service says of its own audit: last run, rows, differences.
fn own_audit(place: &Place) -> Option<(f64, f64, f64)> {
    let got = scrape(place.http)?;
    let names = ["last_run_timestamp_seconds", "rows_total", "differences"];
    let [last, rows, differences] = names.map(|name| value_of(&got, &format!("satisflow_audit_{name}")));
    Some((last?, rows?, differences?))
}

fn a_doctored_lake_is_found(topic: &str, change: impl Fn(&Place)) {
    let settings = "time: data\naudit: { interval_ms: 300, windows_max: 1000 }";
    let place = place(topic, &brokers(), settings);
    place.generate_all(topic, 1200, &["--seed", "8", "--days", "2"]);
    let mut running = place.program.start("run", &["run"]).unwrap();
    place.wait_for_rows(1200);
    let sound = wait_for("a sound audit", LIMIT, || own_audit(&place).filter(|a| a.0 > 0.0 && a.1 > 100.0)).unwrap();
    assert!(sound.2.abs() < 0.5 && !running.log().contains("are not what"), "{sound:?} {}", running.log());
    change(&place);
    wait_for("a difference", LIMIT, || own_audit(&place).filter(|a| a.2 > 0.5)).unwrap();
    let log = running.log();
    let told = log.lines().find(|line| line.contains("ERROR") && line.contains("are not what the lake's events"));
    assert!(told.is_some_and(|line| line.contains("csat") && line.contains("expected")), "{log}");
    running.signal("TERM").unwrap();
    assert_eq!(running.wait(LIMIT).unwrap(), 0, "{}", running.log());
    let found = audit(&place, &["--kpi", "csat"]);
    assert!(found.code == 1 && counts(&found).1 > 0 && found.out.contains("csat"), "{}{}", found.out, found.err);
}

#[test]
fn a_changed_kpi_row_is_found_by_the_command_and_by_the_service() {
    a_doctored_lake_is_found("doctored-kpis", |place| {
        let row = "kpi = 'csat' and window_name = '1h' and grouping_set = ''";
        let end = text(
            place,
            &format!(
                "select max(window_end) from kpis where {row} and window_end < (select max(window_end) - interval '3 hours' \
             from kpis where {row})"
            ),
        );
        doctor(place, "kpis", "n=n + 1", &format!("{row} and revision = 1 and window_end = '{end}'"));
    });
}

#[test]
fn a_changed_event_is_found_by_the_command_and_by_the_service() {
    a_doctored_lake_is_found("doctored-records", |place| {
        let id = an_event(place);
        doctor(place, "records", "weight=weight + 1", &format!("outcome = 'accepted' and event_id = '{id}'"));
    });
}

/// Values that their rows' sums do not tell: strata, raked cells and age are weighed anew.
#[test]
fn the_last_digit_of_a_weighted_mean_is_found() {
    let pack = repository().join("catalogs/representative");
    let place = offline(&format!("time: data\ncatalog: '{}'", pack.join("catalog.yaml").display()));
    place.program.succeed(&["replay", pack.join("events.jsonl").to_str().unwrap()]).unwrap();
    for kpi in ["customer_score", "raked_score", "recent_customer_score"] {
        let sound = audit(&place, &["--kpi", kpi]);
        assert!(sound.code == 0 && counts(&sound).0 > 20 && counts(&sound).1 == 0, "{}{}", sound.out, sound.err);
        let row = format!("kpi = '{kpi}' and grouping_set = '' and value is not null");
        let query = format!("select max(window_end) from kpis where {row}");
        let end =
            place.program.succeed(&["--log", "error", "sql", "--lake", "lake", "--format", "csv", &query]).unwrap();
        let end = end.lines().nth(1).unwrap();
        let digit = "value=value + cast('0.000000000001' as decimal(38,12))";
        doctor(&place, "kpis", digit, &format!("{row} and window_end = '{end}'"));
        let found = audit(&place, &["--kpi", kpi]);
        assert!(found.code == 1 && counts(&found).1 == 1 && found.out.contains("value"), "{}{}", found.out, found.err);
    }
}

/// Weights from expressions that give less than 0 for some events, of the event and of what is joined to it.
const WEIGHED: &str = "version: 1
zone: UTC
windows: { day: { calendar: day } }
measures:
  own: { kinds: [rating], value: score, weight: \"cast(attributes['importance'] as decimal(18, 6))\" }
  joined:
    kinds: [rating]
    joins:
      bought: { kinds: [sale], on: order_id, fields: { factor: { last: \"cast(attributes['factor'] as decimal(18, 6))\" } } }
    value: score
    weight: bought_factor
defaults: { n_min: 1 }
metrics: { own: { mean: own }, joined: { mean: joined } }
";

#[test]
fn weights_below_0_count_for_nothing_and_are_told() {
    let place = offline("time: data\ncatalog: catalog.yaml");
    std::fs::write(place.path().join("catalog.yaml"), WEIGHED).unwrap();
    let rating = |id: u32, score: u32, importance: &str| {
        format!(
            "{{\"event_id\":\"r{id}\",\"kind\":\"rating\",\"event_time\":\"2026-07-01T10:00:00Z\",\"order_id\":\"o{id}\",\
             \"score\":{score},\"scale\":\"1-5\",\"importance\":\"{importance}\"}}\n"
        )
    };
    let sale = |id: u32, factor: &str| {
        format!(
            "{{\"event_id\":\"s{id}\",\"kind\":\"sale\",\"event_time\":\"2026-07-01T09:00:00Z\",\"order_id\":\"o{id}\",\
             \"units\":1,\"factor\":\"{factor}\"}}\n"
        )
    };
    let events =
        [rating(1, 1, "3"), rating(2, 5, "-2"), rating(3, 4, "1"), sale(1, "-0.5"), sale(2, "0.25"), sale(3, "0.75")];
    std::fs::write(place.path().join("events.jsonl"), events.concat()).unwrap();
    let replayed = place.program.run(&["--log", "warn", "replay", "events.jsonl"]).unwrap();
    assert_eq!(replayed.code, 0, "{}{}", replayed.out, replayed.err);
    let told = "a weight is below 0 on some events";
    assert!(replayed.err.contains(told), "{}", replayed.err);
    // (1 x 3 + 4 x 1) / 4 and (5 x 0.25 + 4 x 0.75) / 1.
    let query = "select kpi, value, n, sum_w from kpi_current order by kpi";
    let rows = place.program.succeed(&["--log", "error", "sql", "--format", "csv", query]).unwrap();
    assert_eq!(rows.trim(), "kpi,value,n,sum_w\njoined,4.250000000000,2,1.000000\nown,1.750000000000,2,4.000000");
    let sound = audit(&place, &[]);
    assert!(sound.code == 0 && counts(&sound) == (2, 0), "{}{}", sound.out, sound.err);
}
