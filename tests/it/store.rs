//! Lakes on an S3 server, and stores in trouble.

mod faults;
mod files;

use std::sync::{LazyLock, Mutex};

use satisflow_testkit::{Minio, free_port, wait_for};

use crate::place::{LIMIT, Place, brokers};

static MINIO: LazyLock<Mutex<Minio>> = LazyLock::new(|| Mutex::new(Minio::start().unwrap()));

/// Address of the server that tests share, and the place of a lake on it.
fn shared(name: &str) -> (String, String) {
    let minio = MINIO.lock().unwrap();
    (minio.address(), minio.lake(name))
}

/// A place whose lake is on the shared server, reached at an address.
fn place_at(name: &str, address: Option<&str>, more: &str) -> Place {
    let (own, lake) = shared(name);
    Place::with_lake(&lake, &Minio::environment(address.unwrap_or(&own)), name, &brokers(), more)
}

/// Adds settings to the `lake` section of a place's configuration.
fn lake_settings(place: &Place, more: &str) {
    let file = place.path().join("satisflow.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let changed = text.replacen("flush_interval_ms: 200", &format!("flush_interval_ms: 200, {more}"), 1);
    assert_ne!(text, changed, "the configuration has another form: {text}");
    std::fs::write(file, changed).unwrap();
}

#[test]
fn a_lake_in_s3_equals_the_oracle_after_a_stop_and_a_kill() {
    let place = place_at("s3-whole", None, "time: data");
    let mut generating = place.generate("s3-whole", 4000, &["--seed", "21", "--rate", "100"]).unwrap();
    for (name, signal, rows, code) in [("first", "TERM", 200, 0), ("second", "KILL", 700, -1)] {
        let mut running = place.program.start(name, &["run"]).unwrap();
        place.wait_for_rows(rows);
        running.signal(signal).unwrap();
        assert_eq!(running.wait(LIMIT).unwrap(), code, "{}", running.log());
        let held = place.number("select count(*) from events").unwrap();
        assert!((1..3500).contains(&held), "this was not in the middle: {held}");
    }
    assert_eq!(generating.wait(LIMIT).unwrap(), 0, "{}", generating.log());
    place.check_at_the_end();
}

#[test]
fn two_processes_on_one_lake_in_s3_lose_and_double_nothing() {
    let place = place_at("s3-twins", None, "time: data\n");
    place.configure("second.yaml", "s3-twins", &brokers(), "time: data", free_port().unwrap(), free_port().unwrap());
    let mut generating = place.generate("s3-twins", 2400, &["--seed", "22", "--rate", "300"]).unwrap();
    let mut first = place.program.start("first", &["run"]).unwrap();
    place.wait_for_rows(200);
    let mut second = place.program.start("second", &["run", "--config", "second.yaml"]).unwrap();
    let shares = || second.log().contains("partition assigned").then_some(());
    wait_for("the second reads partitions", LIMIT, shares).unwrap();
    assert_eq!(generating.wait(LIMIT).unwrap(), 0, "{}", generating.log());
    place.wait_for_rows(2400);
    place.stop_and_check([&mut first, &mut second]);
}

/// Credentials in the configuration, the secret in a file; `replay`, `rejects`
/// and `sql` work as on a folder.
#[test]
fn a_configuration_reaches_s3_without_environment() {
    let (address, lake) = shared("s3-config");
    let place = Place::with_lake(&lake, &[], "s3-config", "127.0.0.1:1", "time: data");
    let environment = Minio::environment(&address);
    let value = |name: &str| environment.iter().find(|(n, _)| *n == name).unwrap().1.clone();
    std::fs::write(place.path().join("secret"), value("AWS_SECRET_ACCESS_KEY") + "\n").unwrap();
    lake_settings(
        &place,
        &format!(
            "options: {{ aws_access_key_id: '{}', aws_secret_access_key: {{ file: secret }}, \
             aws_endpoint_url: '{}', aws_allow_http: true, aws_region: us-east-1 }}",
            value("AWS_ACCESS_KEY_ID"),
            value("AWS_ENDPOINT_URL")
        ),
    );
    let event = r#"{"event_id":"a","event_time":"2026-09-21T14:13:18Z","kind":"rating","scale":"0-100","score":50}"#;
    std::fs::write(place.path().join("events.jsonl"), format!("{event}\nnot an event\n")).unwrap();
    place.program.succeed(&["check", "--config", "satisflow.yaml"]).unwrap();
    let replayed = place.program.run(&["--log", "debug", "replay", "events.jsonl"]).unwrap();
    assert_eq!(replayed.code, 0, "{}", replayed.err);
    assert!(!replayed.err.contains(&value("AWS_SECRET_ACCESS_KEY")), "the secret is in the log");
    let rejects = place.program.succeed(&["--log", "error", "rejects", "list"]).unwrap();
    assert!(rejects.contains("malformed") || rejects.contains("json"), "{rejects}");
    let count = ["--log", "error", "sql", "--format", "csv", "select count(*) from events"];
    assert_eq!(place.program.succeed(&count).unwrap().lines().last(), Some("1"));
    place.check_audit();
}

#[test]
fn clients_read_published_tables_of_s3_and_no_objects() {
    let place = place_at("s3-sandbox", None, "time: data");
    std::fs::write(place.path().join("none.jsonl"), "x\n").unwrap();
    place.program.succeed(&["--log", "error", "replay", "none.jsonl"]).unwrap();
    assert_eq!(place.number("select count(*) from rejects"), Some(1));
    let folder = format!("{}/records", place.lake);
    for query in [
        format!("select * from '{folder}'"),
        format!("select * from \"{folder}\""),
        format!("select * from read_parquet('{folder}')"),
        format!("create external table x stored as parquet location '{folder}'"),
        format!("copy (select 1) to '{folder}/x.parquet'"),
    ] {
        let done = place.program.run(&["--log", "error", "sql", "--lake", &place.lake, &query]).unwrap();
        assert_eq!(done.code, 1, "{query}: {}", done.out);
        assert!(!done.err.contains("panicked"), "{query}: {}", done.err);
    }
}

#[test]
fn places_that_can_not_be_are_named_before_anything_starts() {
    let told = |url: &str, options: &str, expected: &str| {
        let place = Place::with_lake(url, &[], "s3-bad", "127.0.0.1:1", "");
        lake_settings(&place, &format!("options: {options}"));
        let done = place.program.run(&["check", "--config", "satisflow.yaml"]).unwrap();
        assert_eq!(done.code, 1, "{options}");
        assert!(done.err.contains(expected) && done.err.contains("satisflow.yaml:2:"), "{options}: {}", done.err);
    };
    told("s3://b/p", "{ aws_endpoint_url: 'http://store.example' }", "is not encrypted: use https");
    told("s3://b/p", "{ aws_endpoint_url: 'http://store.example', aws_allow_http: true }", "use https");
    told("s3://b/p", "{ aws_endpoint_url: 'http://127.0.0.1:1' }", "aws_allow_http: true");
    told("s3://b/p", "{ aws_key: x }", "`aws_key` is no option");
    told("s3:///p", "{}", "no bucket is named");
    told("ftp://b/p", "{}", "`ftp` is not supported");
}

#[test]
fn a_refused_login_and_an_unknown_bucket_are_named() {
    let (address, _) = shared("s3-login");
    let run = |url: &str, key: &str| {
        let mut environment = Minio::environment(&address);
        environment.push(("AWS_ACCESS_KEY_ID", key.to_owned()));
        let place = Place::with_lake(url, &environment, "s3-login", "127.0.0.1:1", "");
        let done = place.program.run(&["run"]).unwrap();
        assert_eq!(done.code, 1, "{}", done.err);
        assert!(!done.err.contains("panicked"), "{}", done.err);
        done.err
    };
    let refused = run("s3://lakes/s3-login", "somebody");
    assert!(refused.contains("s3://lakes/s3-login") && refused.contains("InvalidAccessKeyId"), "{refused}");
    let unknown = run("s3://no-such-bucket/x", "satisflow");
    assert!(unknown.contains("NoSuchBucket"), "{unknown}");
}
