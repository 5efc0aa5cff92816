//! Configurations with mistakes, and what is said of them; defaults; documents made from the code.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use expect_test::{Expect, expect};
use satisflow_config::{Config, TimeMode};
use satisflow_document::{Document, Problems};

fn load_at(file: &str, text: &str) -> Result<Config, Problems> {
    let environment = |name: &str| (name == "BATCH").then(|| "500".to_owned());
    let document = Document::parse_with(file, text, &environment)?;
    let mut problems = Problems::new();
    let config = Config::load(&document, &mut problems);
    problems.into_result()?;
    Ok(config.unwrap())
}

fn load(text: &str) -> Result<Config, Problems> {
    load_at("etc/satisflow.yaml", text)
}

fn check(text: &str, expected: Expect) {
    expected.assert_eq(&load(text).unwrap_err().to_string());
}

const LEAST: &str = "version: 1\nlake: { url: lake }\nsources: [{ topic: feedback }]\n";

#[test]
fn little_is_needed_and_every_limit_has_a_default() {
    let config = load(LEAST).unwrap();
    assert_eq!(config.lake_url, "etc/lake");
    assert_eq!((config.flush.interval, config.flush.rows_max), (Duration::from_millis(500), 200_000));
    assert_eq!((config.time, config.idle_after), (TimeMode::Live, Duration::from_secs(10)));
    assert_eq!((config.sql_listen.to_string(), config.http_listen.port()), ("127.0.0.1:5433".to_owned(), 8080));
    assert!(config.kafka.is_none() && config.holds.is_empty());
    assert_eq!(config.sources["feedback"].name, "feedback");
}

#[test]
fn mistakes_of_every_sort_are_told_at_once() {
    check(
        "version: 2\nlake: { url: lake, flush_rows_max: 0 }\nsorces: []\nsources:\n  - topic: a\n  - topic: a\nsql: { listen: 0.0.0.0:5433 }\n",
        expect![[r#"
            etc/satisflow.yaml:1:1: version 2 is not known (write `version: 1`)
            etc/satisflow.yaml:2:20: `flush_rows_max` is 0 (at least 1; leave it out for the default)
            etc/satisflow.yaml:3:1: unknown field `sorces` (did you mean `sources`?)
            etc/satisflow.yaml:6:5: topic `a` is there twice (one source reads a topic)
            etc/satisflow.yaml:7:8: 0.0.0.0:5433 is not a loopback address, and there is no authentication yet (listen on 127.0.0.1 and put an authenticating proxy in front)"#]],
    );
}

#[test]
fn a_mapping_names_fields_that_there_are_and_forms_that_can_be_read() {
    check(
        "version: 1\nlake: { url: lake }\nsources:\n  - topic: a\n    mapping:\n      evnt_id: /id\n      score: id\n      event_time: { pointer: /at, format: '%Q', zone: Mars/Olympus }\n      kind: { const: rating, pointer: /k }\n",
        expect![[r#"
            etc/satisflow.yaml:6:7: an event has no field `evnt_id` (did you mean `event_id`?)
            etc/satisflow.yaml:7:7: a field has either a JSON pointer or a `const` (such as `/order/id`)
            etc/satisflow.yaml:8:35: no time can be read in the form `%Q` (such as `%Y-%m-%d %H:%M:%S` or `%B %d, %Y`)
            etc/satisflow.yaml:8:49: zone `Mars/Olympus` is not in the IANA database (such as `Europe/Berlin`)
            etc/satisflow.yaml:9:7: a field has either a JSON pointer or a `const` (such as `/order/id`)"#]],
    );
}

#[test]
fn secrets_are_in_no_message_and_in_no_debug_text() {
    check(
        "version: 1\nlake: { url: lake }\nsources: [{ topic: a }]\nkafka:\n  brokers: b:1\n  properties: { sasl.password: [hush] }\n",
        expect!["etc/satisflow.yaml:6:17: `***` is not text or a whole number or true or false or a mapping"],
    );
    let text =
        format!("{LEAST}kafka:\n  brokers: b:1\n  properties: {{ sasl.password: hush, ssl.key.password: 1234 }}\n");
    let config = load(&text).unwrap();
    assert_eq!(config.kafka.as_ref().unwrap().properties["sasl.password"], "hush");
    let shown = format!("{config:?}");
    assert!(shown.contains("sasl.password") && !shown.contains("hush") && !shown.contains("1234"), "{shown}");
}

#[test]
fn a_secret_may_stand_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("password"), "hush\n").unwrap();
    let file = folder.path().join("satisflow.yaml");
    let text =
        |name: &str| format!("{LEAST}kafka:\n  brokers: b:1\n  properties:\n    sasl.password: {{ file: {name} }}\n");
    let config = load_at(file.to_str().unwrap(), &text("password")).unwrap();
    assert_eq!(config.kafka.unwrap().properties["sasl.password"], "hush");
    let missing = load_at(file.to_str().unwrap(), &text("nothing")).unwrap_err().to_string();
    assert!(missing.contains("satisflow.yaml:7:5: ") && missing.contains("nothing"), "{missing}");
}

#[test]
fn variables_are_numbers_where_numbers_are_wanted() {
    let config = load("version: 1\nlake:\n  url: lake\n  flush_rows_max: ${BATCH}\nsources: [{ topic: a }]\n").unwrap();
    assert_eq!(config.flush.rows_max, 500);
}

#[test]
fn a_source_may_be_waited_for() {
    let text =
        "version: 1\nlake: { url: lake }\nsources: [{ topic: a }, { topic: b, on_idle: hold, hold_ms_max: 5000 }]\n";
    let holds = load(text).unwrap().holds;
    assert_eq!(holds.into_iter().collect::<Vec<_>>(), [("b".to_owned(), Duration::from_millis(5000))]);
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

#[test]
fn the_example_loads_and_says_nothing_but_defaults() {
    let text = std::fs::read_to_string(repository().join("satisflow.example.yaml")).unwrap();
    let shown = |config: Config| format!("{config:?}");
    let least = format!("{LEAST}kafka: {{ brokers: 127.0.0.1:9092 }}\n");
    assert_eq!(shown(load(&text).unwrap()), shown(load(&least).unwrap()));
}

#[test]
fn the_published_reference_is_that_of_the_code() {
    let file = repository().join("docs/configuration.md");
    let fresh = satisflow_config::reference();
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        std::fs::write(&file, &fresh).unwrap();
    }
    assert!(
        std::fs::read_to_string(&file).unwrap() == fresh,
        "docs/configuration.md is stale: UPDATE_SCHEMAS=1 writes it anew"
    );
}
