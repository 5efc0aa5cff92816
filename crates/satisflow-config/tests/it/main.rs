//! Configurations with mistakes, and what is said of them; defaults; documents made from the code.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use expect_test::{Expect, expect};
use satisflow_config::{Config, TimeMode};
use satisflow_document::{Document, Problems};
use satisflow_model::BindingSource;
use serde_json::Value;

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
    assert_eq!((config.sql_listen.to_string(), config.http.listen.port()), ("127.0.0.1:5433".to_owned(), 8080));
    assert!(config.kafka.is_none() && config.holds.is_empty());
    assert_eq!(config.sources["feedback"].name, "feedback");
}

#[test]
fn mistakes_of_every_sort_are_told_at_once() {
    check(
        "version: 2\nlake: { url: lake, flush_rows_max: 0 }\nsorces: []\nsources:\n  - topic: a\n  - topic: a\n\
            sql: { listen: 0.0.0.0:5433 }\n",
        expect![[r#"
            etc/satisflow.yaml:1:1: version 2 is not known (write `version: 1`)
            etc/satisflow.yaml:2:20: `flush_rows_max` is 0 (at least 1; leave it out for the default)
            etc/satisflow.yaml:3:1: unknown field `sorces` (did you mean `sources`?)
            etc/satisflow.yaml:6:5: topic `a` is there twice (one source reads a topic)
            etc/satisflow.yaml:7:8: 0.0.0.0:5433 is not a loopback address, and `users` or `tls` is missing (name users and a certificate, or listen on 127.0.0.1)"#]],
    );
}

#[test]
fn users_and_their_tls_are_checked_at_the_start() {
    check(
        "version: 1\nlake: { url: lake }\nsources: [{ topic: a }]\nsql: { listen: 0.0.0.0:1 }\n\
            http: { listen: 0.0.0.0:2 }\ntls: { certificate: no.crt, key: no.key }\n\
            users:\n  ann: { password: pencil }\n  bob: { password: { file: nowhere } }\n",
        expect![[r#"
            etc/satisflow.yaml:6:8: etc/no.crt: I/O error: No such file or directory (os error 2) (a PEM file, relative to this one)
            etc/satisflow.yaml:6:29: etc/no.key: I/O error: No such file or directory (os error 2) (a PEM file, relative to this one)
            etc/satisflow.yaml:8:10: not a verifier of the form SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey> (what `satisflow user hash` prints; the password itself is not kept)
            etc/satisflow.yaml:9:10: etc/nowhere: No such file or directory (os error 2) (the file holds the property's value)"#]],
    );
    check(
        &format!("{LEAST}sql: {{ listen: 0.0.0.0:1 }}\nusers: {{ ann: {{ password: '{VERIFIER}' }} }}\n"),
        expect![
            "etc/satisflow.yaml:4:8: 0.0.0.0:1 is not a loopback address, and `users` or `tls` is missing (name users and a certificate, or listen on 127.0.0.1)"
        ],
    );
    let config = load(&format!("{LEAST}users: {{ ann: {{ password: '{VERIFIER}', raw_data: true }} }}\n")).unwrap();
    assert!(config.users["ann"].verifier.is_of("pencil") && config.users["ann"].raw_data);
    assert!(!format!("{config:?}").contains("WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY"), "verifiers are not logged");
}

/// Of the example of RFC 7677.
const VERIFIER: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:\
    wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

#[test]
fn webhooks_are_encrypted_and_signed_or_refused() {
    check(
        "version: 1\nlake: { url: lake }\nsources: [{ topic: a }]\nhttp: { external_url: here }\nwebhooks:\n\
            \x20 a: { url: 'http://example.com/x?key=hush', secret: 0123456789abcdef }\n\
            \x20 b: { url: nowhere, secret: short }\n\
            \x20 c: { url: 'ftp://example.com', secret: 0123456789abcdef, timeout_ms: 0 }\n\
            \x20 d: { url: 'https://example.com', secret: 0123456789abcdef, headers: { Host: x, 'a b': y } }\n",
        expect![[r#"
            etc/satisflow.yaml:4:9: `here` is no address of a page (such as https://satisflow.example)
            etc/satisflow.yaml:6:8: alerts would leave this machine unencrypted (use https; in a network of your own allow it with `allow_http: true`)
            etc/satisflow.yaml:7:8: this is no URL (such as https://example.com/alerts)
            etc/satisflow.yaml:7:22: the secret has 5 bytes (at least 16, such as `openssl rand -hex 32` prints)
            etc/satisflow.yaml:8:8: `ftp` is not a way to post (use https)
            etc/satisflow.yaml:8:60: `timeout_ms` is 0 (at least 1)
            etc/satisflow.yaml:9:73: `Host` is no header that can be added (letters, digits and `-`; content type and idempotency key are set)
            etc/satisflow.yaml:9:82: `a b` is no header that can be added (letters, digits and `-`; content type and idempotency key are set)"#]],
    );
    let text = format!(
        "{LEAST}webhooks:\n  a: {{ url: 'http://127.0.0.1:1/x', secret: 0123456789hush00 }}\n\
         \x20 b: {{ url: 'http://10.0.0.1/', allow_http: true, secret: 0123456789hush00, headers: {{ X: hush }} }}\n\
         \x20 c: {{ url: 'https://example.com/?key=hush', secret: 0123456789hush00 }}\n"
    );
    let config = load(&text).unwrap();
    assert_eq!(config.webhooks["c"].url.as_str(), "https://example.com/?key=hush");
    assert_eq!(config.webhooks["a"].timeout, Duration::from_secs(10));
    assert!(!format!("{config:?}").contains("hush"));
}

#[test]
fn a_mapping_names_fields_that_there_are_and_forms_that_can_be_read() {
    check(
        "version: 1\nlake: { url: lake }\nsources:\n  - topic: a\n    mapping:\n      evnt_id: /id\n\
            \x20     score: id\n      event_time: { pointer: /at, format: '%Q', zone: Mars/Olympus }\n\
            \x20     kind: { const: rating, pointer: /k }\n",
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
        "version: 1\nlake: { url: lake }\nsources: [{ topic: a }]\nkafka:\n  brokers: b:1\n\
            \x20 properties: { sasl.password: [hush] }\n",
        expect!["etc/satisflow.yaml:6:17: `***` is not text or a number or true or false or a mapping"],
    );
    let wrong = [
        "{ brokers: b:1, properties: hush }",
        "{ brokers: b:1, properties: [sasl.password, hush] }",
        "{ brokers: b:1, properties: { sasl.password: { file: [hush] } } }",
        "{ brokers: b:1, properties: { sasl.password: { fiel: hush } } }",
        "{ brokers: b:1, properties: { sasl.password: { a: { hush: hush } } } }",
        "{ brokers: b:1, propertys: { sasl.password: hush } }",
        "[{ properties: { sasl.password: hush } }]",
    ];
    for kafka in wrong {
        let said = load(&format!("{LEAST}kafka: {kafka}\n")).unwrap_err().to_string();
        assert!(!said.contains("hush"), "{said}");
    }
    assert!(!load("- kafka: { properties: { sasl.password: hush } }\n").unwrap_err().to_string().contains("hush"));
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
    // Only the newline that ends the file is no part of the value.
    std::fs::write(folder.path().join("odd"), "hush \n\r\n").unwrap();
    let odd = load_at(file.to_str().unwrap(), &text("odd")).unwrap();
    assert_eq!(odd.kafka.unwrap().properties["sasl.password"], "hush \n");
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

#[test]
fn what_does_not_fit_does_not_hide_what_else_is_wrong() {
    check(
        "version: 1\nlake: { url: lake, flush_rows_max: many, file_bytes_max: 0 }\nsources: feedback\n\
            kafka: { brokers: b:1, grop_id: g, buffer_bytes_max: 0 }\nsql: { listen: 10.0.0.1:5433 }\n",
        expect![[r#"
            etc/satisflow.yaml:2:20: `many` is not a whole number (such as 1000)
            etc/satisflow.yaml:2:42: `file_bytes_max` is 0 (at least 1; leave it out for the default)
            etc/satisflow.yaml:3:1: `feedback` is not a list (write `[a, b]`, or a line with `- ` for each)
            etc/satisflow.yaml:4:24: unknown field `grop_id` (did you mean `group_id`?)
            etc/satisflow.yaml:4:36: `buffer_bytes_max` is 0 (at least 1; leave it out for the default)
            etc/satisflow.yaml:5:8: 10.0.0.1:5433 is not a loopback address, and `users` or `tls` is missing (name users and a certificate, or listen on 127.0.0.1)"#]],
    );
    check(
        "version: 1\nlake: { url: lake }\nsources:\n  - topic: a\n    on_idle: wait\n    mapping:\n\
            \x20     event_id: { pointer: 5 }\n      score: { pointer: /s, labels: { good/fair: 0.12345 } }\n",
        expect![[r#"
            etc/satisflow.yaml:5:5: `wait` is not one of release, hold
            etc/satisflow.yaml:7:19: `5` is not text (put it in quotes)
            etc/satisflow.yaml:8:39: the score of `good/fair` is not a number of at most 4 decimals (such as 3 or 2.5)"#]],
    );
    check(
        "version: 1\nlake: { url: lake }\nsources:\n  - topic: a\n    mapping:\n\
            \x20     score: { pointer: /s, labels: { 滿意: 4, 满意: 4, 好: 5, ' 好': 3 } }\n",
        expect![
            "etc/satisflow.yaml:6:53: `好` is compared like another label, which has another score (full-width forms and Traditional characters are folded: leave one out)"
        ],
    );
}

#[test]
fn a_limit_of_nothing_is_refused() {
    let fields = [
        "lake: { url: lake, flush_interval_ms: 0, flush_rows_max: 0, flush_bytes_max: 0, file_bytes_max: 0 }",
        "kafka: { brokers: b:1, buffer_bytes_max: 0 }",
        "idle_after_ms: 0",
        "limits: { record_bytes_max: 0, depth_max: 0, text_bytes_max: 0, map_entries_max: 0, identities_max: 0, restatement_backlog_changes_max: 0 }",
        "sql: { connections_max: 0, statement_timeout_ms: 0, memory_bytes_max: 0 }",
        "http: { connections_max: 0, idle_timeout_secs: 0, session_lifetime_secs: 0, rows_max: 0 }",
        "flight: { connections_max: 0, streams_max: 0, rows_max: 0, token_lifetime_secs: 0 }",
        "sources: [{ topic: a, hold_ms_max: 0 }]",
    ];
    let text = format!("version: 1\n{}\n", fields.join("\n"));
    let problems = load(&text).unwrap_err();
    assert_eq!(problems.len(), text.matches(": 0").count(), "{problems}");
    let nothing_is_meant = "lake: { url: lake, compact_interval_secs: 0 }\nallowed_lateness_ms: 0\n\
        limits: { raw_bytes_max: 0, headers_max: 0, future_ms_max: 0 }\nhttp: { metrics_groups_max: 0 }\n";
    let config = load(&format!("version: 1\nsources: [{{ topic: a }}]\n{nothing_is_meant}")).unwrap();
    assert_eq!((config.compact_interval, config.allowed_lateness_micros), (None, 0));
}

#[test]
fn a_number_that_is_too_large_is_told_with_its_place() {
    check(
        "version: 1\nlake: { url: lake, flush_rows_max: 5000000000 }\nsources: [{ topic: a }]\nidle_after_ms: -1\n",
        expect![[r#"
            etc/satisflow.yaml:2:20: 5000000000 is greater than the maximum of 4294967295
            etc/satisflow.yaml:4:1: -1 is less than the minimum of 0"#]],
    );
}

#[test]
fn queries_may_have_more_memory_than_4_gib_and_not_next_to_none() {
    let with = |bytes: &str| load(&format!("{LEAST}sql: {{ memory_bytes_max: {bytes} }}\n"));
    assert_eq!(with("17179869184").unwrap().query_memory_bytes_max, 16 << 30);
    assert_eq!(with("1048576").unwrap().query_memory_bytes_max, 1 << 20);
    assert!(with("1048575").unwrap_err().to_string().contains("`memory_bytes_max` is 1048575"));
}

#[test]
fn only_loopback_addresses_are_listened_on() {
    for good in ["127.0.0.1:0", "127.8.8.8:80", "'[::1]:5433'"] {
        load(&format!("{LEAST}sql: {{ listen: {good} }}\nhttp: {{ listen: {good} }}\n")).unwrap();
    }
    for bad in ["0.0.0.0:5433", "'[::]:5433'", "192.168.1.1:80", "localhost", "127.0.0.1"] {
        let said = load(&format!("{LEAST}http: {{ listen: {bad} }}\n")).unwrap_err();
        assert!(said.len() == 1 && said.to_string().starts_with("etc/satisflow.yaml:4:9: "), "{said}");
    }
}

#[test]
fn flight_listens_where_it_is_told_to_and_faces_a_network_with_users_and_tls_only() {
    assert_eq!(load(LEAST).unwrap().flight.listen, None);
    let of = |listen: &str| load(&format!("{LEAST}flight: {{ listen: {listen} }}\n"));
    assert_eq!(of("'[::1]:32010'").unwrap().flight.listen, Some("[::1]:32010".parse().unwrap()));
    for bad in ["0.0.0.0:32010", "localhost"] {
        let said = of(bad).unwrap_err();
        assert!(said.len() == 1 && said.to_string().starts_with("etc/satisflow.yaml:4:11: "), "{said}");
    }
}

#[test]
fn http_faces_a_network_with_users_and_tls_or_a_proxy_that_ends_it() {
    let (folder, users) = (tempfile::tempdir().unwrap(), format!("users: {{ ann: {{ password: '{VERIFIER}' }} }}\n"));
    make_key(folder.path());
    let file = folder.path().join("satisflow.yaml");
    let of = |more: &str| load_at(file.to_str().unwrap(), &format!("{LEAST}{more}"));
    let tls = "{ certificate: a.crt, key: a.key }";
    let everywhere = "listen: 0.0.0.0:8443";
    for good in [
        format!("http: {{ {everywhere} }}\ntls: {tls}\n{users}"),
        format!("http: {{ {everywhere}, tls: {tls} }}\n{users}"),
        format!("http: {{ tls: {tls} }}\n"),
        format!("http: {{ {everywhere}, tls_by_proxy: true }}\ntls: {tls}\n{users}"),
    ] {
        let http = of(&good).unwrap().http;
        assert_eq!((http.tls.is_some(), http.is_secure()), (!http.tls_by_proxy, true), "{good}");
    }
    assert!(of(&format!("tls: {tls}\n{users}")).unwrap().http.tls.is_none(), "loopback is in the clear");
    for (bad, told) in [
        (format!("http: {{ {everywhere} }}\ntls: {tls}\n"), "`users` or TLS is missing"),
        (format!("http: {{ {everywhere} }}\n{users}"), "`http.tls_by_proxy: true` says that a proxy"),
        (format!("http: {{ {everywhere}, tls_by_proxy: true }}\n"), "`users` or TLS is missing"),
        ("http: { tls_by_proxy: true }\n".to_owned(), "there are no `users`"),
        (format!("http: {{ tls: {tls}, tls_by_proxy: true }}\n{users}"), "only one of both"),
        ("http: { tls: { certificate: no.crt, key: a.key } }\n".to_owned(), "no.crt"),
    ] {
        let said = of(&bad).unwrap_err();
        assert!(said.len() == 1 && said.to_string().contains(told), "{bad}: {said}");
    }
}

/// A key and a certificate of their own.
fn make_key(folder: &Path) {
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=a", "-keyout", "a.key", "-out", "a.crt"])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[test]
fn metrics_are_open_to_this_machine_and_hosts_are_names() {
    let users = format!("users: {{ ann: {{ password: '{VERIFIER}' }} }}\n");
    let of = |http: &str| load(&format!("{LEAST}{users}http: {{ {http} }}\n")).map(|config| config.http);
    let proxied = "listen: 0.0.0.0:8080, tls_by_proxy: true";
    for (http, open) in [
        ("metrics_tokens: []", true),
        ("tls_by_proxy: true", false),
        (proxied, false),
        (&format!("{proxied}, metrics_open: true"), true),
    ] {
        assert_eq!(of(http).unwrap().metrics_open, open, "{http}");
    }
    let named = of("hosts: [Satisflow.example, 10.0.0.1, '::1'], external_url: 'https://[fe80::1]:8443/'").unwrap();
    assert_eq!(named.hosts.into_iter().collect::<Vec<_>>(), ["10.0.0.1", "::1", "fe80::1", "satisflow.example"]);
    let said = of("hosts: ['https://a', 'a:80', ''], metrics_tokens: [hush]").unwrap_err();
    assert!(said.len() == 4 && !said.to_string().contains("hush"), "{said}");
}

#[test]
fn paths_are_relative_to_the_file() {
    let paths = |file: &str, lake: &str| {
        let text = format!("version: 1\nlake: {{ url: {lake} }}\nsources: [{{ topic: a }}]\ncatalog: kpis.yaml\n");
        let config = load_at(file, &text).unwrap();
        (config.lake_url, config.catalog.unwrap().to_str().unwrap().to_owned())
    };
    assert_eq!(paths("etc/s.yaml", "lake"), ("etc/lake".to_owned(), "etc/kpis.yaml".to_owned()));
    assert_eq!(paths("s.yaml", "lake"), ("lake".to_owned(), "kpis.yaml".to_owned()));
    assert_eq!(paths("/etc/s.yaml", "/var/lake").0, "/var/lake");
    assert_eq!(paths("etc/s.yaml", "file:///var/lake").0, "file:///var/lake");
}

#[test]
fn payloads_of_another_shape_are_mapped() {
    let text = "version: 1\nlake: { url: lake }\nsources:\n  - topic: reviews\n    name: shop\n    \
        mapping:\n      event_id: /review/id\n      kind: { const: rating }\n      \
        event_time: { pointer: /at, format: '%d.%m.%Y %H:%M', zone: Europe/Berlin }\n      \
        score: { pointer: /stars, labels: { good: 0.8, bad: -0.1000 } }\n      attributes: /more\n";
    let config = load(text).unwrap();
    let source = &config.sources["reviews"];
    let fields = &source.mapping.as_ref().unwrap().fields;
    assert_eq!((source.name.as_str(), fields.len()), ("shop", 5));
    assert_eq!(fields["event_id"].source, BindingSource::Pointer("/review/id".to_owned()));
    assert_eq!(fields["kind"].source, BindingSource::Constant("rating".to_owned()));
    let time = fields["event_time"].time.as_ref().unwrap();
    assert_eq!((time.format.as_str(), time.zone.iana_name()), ("%d.%m.%Y %H:%M", Some("Europe/Berlin")));
    let labels = fields["score"].labels.as_ref().unwrap();
    assert_eq!((labels["good"], labels["bad"]), (8_000, -1_000));
}

#[test]
fn a_property_is_what_is_written() {
    let values = "a: 007, b: 1.50, c: True, d: 0x1F, e: '1e5', f: 1e5, g: 12345678901234567890123";
    let text = format!("{LEAST}kafka:\n  brokers: b:1\n  properties: {{ {values} }} # ü\n");
    let properties = load(&text).unwrap().kafka.unwrap().properties;
    let shown: Vec<&str> = properties.values().map(String::as_str).collect();
    assert_eq!(shown, ["007", "1.50", "True", "0x1F", "1e5", "1e5", "12345678901234567890123"]);
}

/// Every field of the schema that an example can show, with its default.
fn fields(schema: &Value, object: &Value, at: &str, found: &mut Vec<(String, Value)>) {
    for (name, property) in object["properties"].as_object().unwrap() {
        let at = format!("{at}/{name}");
        let inner = property.get("$ref").or_else(|| property["anyOf"][0].get("$ref")).or(property["items"].get("$ref"));
        let inner = inner.map(|path| schema.pointer(path.as_str().unwrap().trim_start_matches('#')).unwrap());
        let item = if property.get("items").is_some() { "/0" } else { "" };
        found.push((at.clone(), property.get("default").cloned().unwrap_or(Value::Null)));
        if let Some(inner) = inner.filter(|inner| inner.get("properties").is_some()) {
            fields(schema, inner, &format!("{at}{item}"), found);
        }
    }
}

#[test]
fn the_example_shows_every_field_with_the_default_of_the_schema() {
    let text = std::fs::read_to_string(repository().join("satisflow.example.yaml")).unwrap();
    let document = Document::parse("satisflow.example.yaml", &text).unwrap();
    let schema = satisflow_config::json_schema();
    let comments: Vec<&str> = text.lines().filter_map(|line| Some(line.split_once('#')?.1.trim_start())).collect();
    let mut found = Vec::new();
    fields(&schema, &schema, "", &mut found);
    assert!(found.len() > 35, "{found:?}");
    for (pointer, default) in found {
        let name = pointer.rsplit('/').next().unwrap();
        match document.value(&pointer) {
            Some(shown) if !default.is_null() && !default.is_object() => assert_eq!(*shown, default, "{pointer}"),
            Some(_) => {}
            // No default can be written for these: they stand in a comment.
            None => assert!(comments.iter().any(|line| line.starts_with(&format!("{name}:"))), "{pointer}"),
        }
    }
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
