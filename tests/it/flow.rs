//! Kafka to KPIs, stopped in the middle, equal to the oracle to the digit.

use satisflow_testkit::wait_for;

use crate::place::{LIMIT, Place, brokers, publishes, scrape, value_of};
use crate::sql::psql_at;

#[test]
fn a_stream_with_every_trouble_and_a_stop_in_the_middle_equals_the_oracle() {
    let place = Place::with("whole", &brokers(), "time: data\nlate_panes: 2");
    let mut generating = place.generate("whole", 4000, &["--seed", "11", "--rate", "400"]).unwrap();
    let mut first = place.program.start("first", &["run"]).unwrap();
    place.wait_for_rows(500);
    first.signal("TERM").unwrap();
    assert_eq!(first.wait(LIMIT).unwrap(), 0, "{}", first.log());
    let held = place.number("select count(*) from events").unwrap();
    assert!((1..3700).contains(&held), "the stop was not in the middle: {held}");
    assert_eq!(generating.wait(LIMIT).unwrap(), 0, "{}", generating.log());
    place.check_at_the_end();
}

#[test]
fn events_months_late_restate_every_window_they_touch() {
    let place = Place::with("late", &brokers(), "time: data\nlate_panes: 2");
    place.generate_all("late", 1200, &["--seed", "21"]);
    place.run_to_the_end();
    std::fs::rename(place.path().join("truth.jsonl"), place.path().join("first.jsonl")).unwrap();
    // From 300 days before the first of those to their last days.
    place.generate_all("late", 300, &["--seed", "22", "--start", "2025-11-25T14:13:20Z", "--days", "328"]);
    place.run_to_the_end();
    let truth = ["first.jsonl", "truth.jsonl"].map(|file| std::fs::read_to_string(place.path().join(file)).unwrap());
    std::fs::write(place.path().join("truth.jsonl"), truth.concat()).unwrap();
    place.check_conservation();
    place.check_audit();
    place.check_oracle();
    let late = "select count(distinct window_name) from kpi_current where revision > 1 and reason = 'late'";
    assert_eq!(place.number(late), place.number("select count(distinct window_name) from kpi_current"));
}

#[test]
fn a_killed_process_loses_and_doubles_nothing() {
    let place = Place::new("killed");
    let mut generating = place.generate("killed", 3000, &["--seed", "3", "--rate", "1500"]).unwrap();
    for (name, rows) in [("one", 200), ("two", 900), ("three", 1600)] {
        let running = place.program.start(name, &["run"]).unwrap();
        place.wait_for_rows(rows);
        running.signal("KILL").unwrap();
        drop(running);
    }
    assert_eq!(generating.wait(LIMIT).unwrap(), 0, "{}", generating.log());
    place.check_at_the_end();
}

#[test]
fn a_second_process_of_the_group_changes_no_kpi() {
    let place = Place::new("twins");
    let (sql, http) = (satisflow_testkit::free_port().unwrap(), satisflow_testkit::free_port().unwrap());
    place.configure("second.yaml", "twins", &brokers(), "time: data", sql, http);
    let mut generating = place.generate("twins", 3000, &["--seed", "4", "--rate", "1000"]).unwrap();
    let mut first = place.program.start("first", &["run"]).unwrap();
    place.wait_for_rows(300);
    let mut second = place.program.start("second", &["run", "--config", "second.yaml"]).unwrap();
    assert_eq!(generating.wait(LIMIT).unwrap(), 0, "{}", generating.log());
    place.wait_for_rows(3000);
    let stood_by = || first.log().contains("stands by").then_some(());
    wait_for("the first scorer stands by", LIMIT, stood_by).unwrap();
    place.stop_and_check([&mut first, &mut second]);
}

#[test]
fn independent_readers_see_the_same_rows() {
    let place = Place::new("readers");
    place.generate_all("readers", 600, &["--seed", "9"]);
    place.run_to_the_end();
    let python = satisflow_testkit::script("python-env.sh").unwrap();
    let program = "
import sys, duckdb
from deltalake import DeltaTable
table = DeltaTable(sys.argv[1])
files = table.file_uris()
rows = duckdb.sql(f'select count(*) from read_parquet({files})').fetchone()[0]
print(rows, table.to_pyarrow_table().num_rows)
kpis = DeltaTable(sys.argv[2])
newest = '''select window_name, cast(epoch(window_end) as bigint), cast(value as varchar), n, sum_w2x2 from read_parquet({})
  where kpi = 'csat' and grouping_set = '' and reason <> 'withdrawn'
  qualify row_number() over (partition by window_name, window_end order by revision desc) = 1
  order by window_name, window_end'''.format(kpis.file_uris())
for row in duckdb.sql(newest).fetchall():
    print(*row)
";
    let tables = ["records", "kpis"].map(|table| place.path().join("lake").join(table));
    let done = std::process::Command::new(python).args(["-c", program]).args(tables).output().unwrap();
    let (said, failed) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    let (counts, rows) = said.split_once('\n').unwrap_or_else(|| panic!("{failed}"));
    assert_eq!(counts, "600 600", "{failed}");
    let own = "select window_name || ' ' || cast(date_part('epoch', window_end) as bigint) || ' ' \
               || coalesce(cast(value as varchar), 'None') || ' ' || n || ' ' || sum_w2x2 as line \
               from kpi_current where kpi = 'csat' and grouping_set = '' order by window_name, window_end";
    let own = place.program.succeed(&["--log", "error", "sql", "--lake", "lake", "--format", "csv", own]).unwrap();
    let own: Vec<&str> = own.lines().skip(1).collect();
    assert!(own.len() > 100, "{} rows say little", own.len());
    assert_eq!(rows.lines().collect::<Vec<_>>(), own);
}

/// Series of a metric, by labels.
fn series<'a>(scrape: &'a str, name: &str) -> Vec<(&'a str, f64)> {
    let of = |line: &'a str| line.strip_prefix(name)?.strip_prefix('{')?.rsplit_once("} ");
    scrape.lines().filter_map(of).map(|(labels, value)| (labels, value.parse().unwrap())).collect()
}

/// Polled and accounted for are the same in each partition.
fn check_conservation_by_partition(scrape: &str) {
    let polled = series(scrape, "satisflow_polled_records_total");
    assert_eq!(polled.len(), 4, "{scrape}");
    for (labels, count) in polled {
        let place: Vec<&str> = labels.split(',').collect();
        let here = |labels: &&str| place.iter().all(|label| labels.contains(label));
        let records = series(scrape, "satisflow_records_total");
        let sum: f64 = records.iter().filter(|(labels, _)| here(labels)).map(|(_, count)| count).sum();
        assert!((count - sum).abs() < 0.5 && count > 0.0, "{labels}: {count} polled, {sum} accounted for");
    }
}

#[test]
fn the_running_service_answers_sql_and_prometheus() {
    let place = Place::with("served", &brokers(), "allowed_lateness_ms: 1000");
    place.generate_all("served", 800, &["--seed", "2", "--days", "40"]);
    let mut running = place.program.start("run", &["run"]).unwrap();
    let base = format!("http://127.0.0.1:{}", place.http);
    let get = |path: &str| {
        reqwest::blocking::get(format!("{base}{path}")).ok().map(|r| (r.status().as_u16(), r.text().unwrap()))
    };
    wait_for("ready", LIMIT, || get("/readyz").filter(|(status, _)| *status == 200)).unwrap();
    place.wait_for_rows(800);
    let is_final = |text: &String| text.contains("state=\"final\"") && publishes(text);
    let metrics = wait_for("final KPIs in /metrics", LIMIT, || scrape(place.http).filter(is_final)).unwrap();
    let total = |name: &str| value_of(&metrics, name).unwrap();
    assert!((total("satisflow_polled_records_total") - 800.0).abs() < 0.5);
    assert!((total("satisflow_records_total") - 800.0).abs() < 0.5);
    check_conservation_by_partition(&metrics);
    assert_eq!(get("/healthz").unwrap(), (200, "ok\n".to_owned()));
    // A KPI without a value is no series, and its companions are there all the same.
    let live = |name: &str| {
        let all = series(&metrics, name).into_iter().map(|(labels, _)| labels.to_owned());
        all.filter(|labels| labels.contains("kpi=\"csat\"") && labels.contains("state=\"live\"")).collect::<Vec<_>>()
    };
    let (values, samples) = (live("satisflow_kpi_value"), live("satisflow_kpi_samples"));
    assert!(!samples.is_empty());
    for labels in samples {
        let n = series(&metrics, "satisflow_kpi_samples").iter().find(|(l, _)| *l == labels).unwrap().1;
        assert_eq!(n > 0.0, values.contains(&labels), "{labels}: {n} samples");
    }
    // The latest event of each KPI, as the lake has it.
    let newest = || {
        let metrics = scrape(place.http)?;
        let all = series(&metrics, "satisflow_kpi_newest_event_timestamp_seconds");
        all.iter().find(|(labels, _)| labels.contains("response_count")).map(|(_, newest)| *newest as i64)
    };
    let in_lake = "select cast(max(date_part('epoch', event_time)) as bigint) from events \
                   where kind in ('rating', 'survey_response') \
                   and csat_0_100(coalesce(score, overall), scale) is not null";
    let in_lake = place.number(in_lake).unwrap();
    wait_for("the newest event", LIMIT, || newest().filter(|newest| *newest == in_lake)).unwrap();
    let answer = reqwest::blocking::Client::new()
        .post(format!("{base}/sql"))
        .header("content-type", "application/json")
        .body(r#"{"query": "select count(*) as n from events"}"#)
        .send()
        .unwrap()
        .text()
        .unwrap();
    let accepted = place.truth()["accepted"];
    assert_eq!(answer, format!("[{{\"n\":{accepted}}}]"));
    assert_eq!(psql_at(place.sql, "select count(*) from events"), (true, accepted.to_string()));
    running.signal("TERM").unwrap();
    assert_eq!(running.wait(LIMIT).unwrap(), 0, "{}", running.log());
}
