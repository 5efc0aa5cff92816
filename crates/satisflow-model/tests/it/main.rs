//! Records to rows: every kind of reject, foreign shapes, and what stays as it was written.
#![allow(clippy::unwrap_used, missing_docs)]

mod documents;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::util::display::array_value_to_string;
use expect_test::{Expect, expect};
use proptest::prelude::*;
use satisflow_model::{
    Binding, BindingSource, CustomerKey, Decoder, Limits, Mapping, Outcome, Record, RecordsBuilder, Scales, SourceSpec,
    TimeFormat,
};

/// 2026-11-23T12:00:00Z
const NOW: i64 = 1_795_435_200_000_000;

fn decoder(mapping: Option<Mapping>) -> Decoder {
    let limits =
        Limits { record_bytes_max: 4096, depth_max: 4, text_bytes_max: 200, map_entries_max: 5, ..Limits::default() };
    Decoder::new(SourceSpec { name: "shop".into(), mapping, scales: Arc::new(Scales::default()) }, limits)
}

fn row(decoder: &Decoder, payload: Option<&[u8]>) -> RecordBatch {
    let headers = [("trace".to_owned(), b"1".to_vec()), ("trace".to_owned(), b"2".to_vec())];
    let record = Record { topic: "t", partition: 3, offset: 9, timestamp_ms: Some(7), payload, headers: &headers };
    let mut builder = RecordsBuilder::new(decoder.limits().clone());
    match decoder.decode(&record, Some(NOW)) {
        Ok(event) => builder.append_event(&record, NOW, Outcome::Accepted, &event),
        Err(reject) => builder.append_reject(&record, NOW, &reject),
    }
    builder.finish().unwrap()
}

/// Columns that are set, but the record's own.
fn show(batch: &RecordBatch) -> String {
    let skipped =
        ["topic", "partition", "offset", "kafka_time", "ingest_time", "headers", "event_month", "content_hash"];
    let mut text = String::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        if !skipped.contains(&field.name().as_str()) && column.is_valid(0) && field.name() != "raw" {
            text += &format!("{}={} ", field.name(), array_value_to_string(column, 0).unwrap());
        }
    }
    text.trim_end().to_owned()
}

fn check(payload: &str, expected: Expect) {
    expected.assert_eq(&show(&row(&decoder(None), Some(payload.as_bytes()))));
}

/// A rating with one thing changed.
fn rating(more: &str) -> String {
    format!(
        r#"{{"event_id":"e","kind":"rating","event_time":"2026-11-23T11:00:00+08:00","score":4,"scale":"1-5"{more}}}"#
    )
}

fn reason(payload: &str) -> String {
    let shown = show(&row(&decoder(None), Some(payload.as_bytes())));
    let reason = shown.split("reject_reason=").nth(1).unwrap_or("accepted");
    reason.split(' ').next().unwrap().to_owned()
}

#[test]
fn a_good_event_is_a_row_of_typed_columns() {
    check(
        &rating(
            r#","weight":"0.5","answers":{"b":4.50,"a":"yes"},"attributes":{"x":1},"shelf":"7","department":"Sales""#,
        ),
        expect![
            "outcome=accepted event_id=e kind=rating event_time=2026-11-23T03:00:00Z source=shop department=Sales weight=0.500000 scale=1-5 score=4.0000 answers={a: yes, b: 4.50} attributes={shelf: 7, x: 1}"
        ],
    );
}

#[test]
fn every_reason_of_a_reject() {
    let deep = rating(r#","attributes":{"a":[[[[1]]]]}"#);
    let long = rating(&format!(r#","text":"{}""#, "x".repeat(201)));
    let entries = rating(r#","answers":{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1}"#);
    let large = rating(&format!(r#","text":"{}""#, "x".repeat(5000)));
    for (payload, expected) in [
        ("{", "malformed_json"),
        (r#"{"event_id":"\ud800"}"#, "malformed_json"),
        (&rating(r#","score":3"#), "malformed_json"),
        (&rating(r#","shelf":1,"shelf":2"#), "malformed_json"),
        (&rating(r#","answers":{"a":1,"a":2}"#), "malformed_json"),
        ("[1]", "not_an_object"),
        ("7", "not_an_object"),
        ("{}", "missing_field"),
        (r#"{"event_id":"","kind":"sale","units":1,"event_time":0}"#, "missing_field"),
        (r#"{"event_id":"e","kind":"sale","event_time":1795431600000}"#, "missing_field"),
        (r#"{"event_id":"e","kind":"survey_response","event_time":1795431600000,"overall":3}"#, "missing_field"),
        (&rating(r#","department":{}"#), "wrong_type"),
        (&rating(r#","solicited":"yes""#), "wrong_type"),
        (&rating(r#","answers":[1]"#), "wrong_type"),
        (&rating("").replace(":4,", ":\"four\","), "wrong_type"),
        (&rating("").replace("rating", "riddle"), "unknown_kind"),
        (&rating("").replace(":4,", ":6,"), "off_scale"),
        (&rating(r#","weight":-1"#), "off_scale"),
        (&rating("").replace("1-5", "1-6"), "unknown_scale"),
        (&rating("").replace("2026-11-23", "1989-11-23"), "time_out_of_range"),
        (&rating("").replace("2026-11-23", "2026-11-24"), "time_out_of_range"),
        (&rating("").replace("2026-11-23T", "yesterday "), "invalid_time"),
        (&large, "record_too_large"),
        (&deep, "nesting_too_deep"),
        (&rating("").replace(":4,", ":1e30,"), "number_too_large"),
        (&rating(r#","weight":1000000"#), "number_too_large"),
        (&rating("").replace(":4,", ":4.00001,"), "number_too_precise"),
        (&rating(r#","weight":0.0000001"#), "number_too_precise"),
        (&long, "text_too_long"),
        (&entries, "too_many_entries"),
    ] {
        assert_eq!(reason(payload), expected, "{payload}");
    }
}

/// Beyond, SQL can't compare them: one such event would end every audit.
#[test]
fn times_that_sql_cannot_compare_are_rejects() {
    let dated = |time: &str| {
        let payload = rating("").replace("2026-11-23T11:00:00+08:00", time);
        show(&row(&decoder(None), Some(payload.as_bytes())))
    };
    for time in ["2200-01-01T00:00:00Z", "9999-12-30T21:59:59Z"] {
        assert!(dated(time).contains("time_out_of_range reject_field=event_time"), "{}", dated(time));
    }
    for (due, expected) in [
        ("9999-12-30T00:00:00Z", "time_out_of_range"),
        ("1699-12-31T23:59:59Z", "time_out_of_range"),
        ("2199-12-31T23:59:59.999999Z", "accepted"),
        ("1700-01-01T00:00:00Z", "accepted"),
    ] {
        assert_eq!(reason(&rating(&format!(r#","due_at":"{due}""#))), expected, "{due}");
    }
}

#[test]
fn scores_of_the_ten_point_scale() {
    let ten = |score: &str| reason(&rating("").replace("1-5", "1-10").replace(":4,", &format!(":{score},")));
    for score in ["1", "10", "\"１０\"", "7.0"] {
        assert_eq!(ten(score), "accepted", "{score}");
    }
    for (score, expected) in [("0", "off_scale"), ("11", "off_scale"), ("9.5", "off_scale"), ("\"good\"", "wrong_type")]
    {
        assert_eq!(ten(score), expected, "{score}");
    }
}

#[test]
fn bytes_that_are_no_text_and_records_without_bytes() {
    let invalid = row(&decoder(None), Some(b"{\"event_id\":\"\xff\"}"));
    assert!(show(&invalid).contains("reject_reason=invalid_utf8"), "{}", show(&invalid));
    assert!(show(&invalid).contains("raw_bytes=16"), "{}", show(&invalid));
    let tombstone = row(&decoder(None), None);
    assert!(show(&tombstone).contains("reject_reason=null_payload"), "{}", show(&tombstone));
    let headers = array_value_to_string(&tombstone["headers"], 0).unwrap();
    assert_eq!(headers, "{trace: 2}");
}

#[test]
fn replacement_characters_are_text_like_any_other() {
    check(
        &rating(r#","text":"瀏覽\ufffd 第二""#),
        expect![
            "outcome=accepted event_id=e kind=rating event_time=2026-11-23T03:00:00Z source=shop weight=1.000000 scale=1-5 score=4.0000 text=瀏覽� 第二"
        ],
    );
}

fn drug_reviews() -> Mapping {
    let binding = |source| Binding { source, time: None, labels: None };
    let pointer = |path: &str| binding(BindingSource::Pointer(path.to_owned()));
    let constant = |text: &str| binding(BindingSource::Constant(text.to_owned()));
    let labels = BTreeMap::from([("positive", 100), ("neutral", 50), ("negative", 0)]);
    let labels = labels.into_iter().map(|(label, score)| (label.to_owned(), score * 10_000)).collect();
    let zone = jiff::tz::TimeZone::get("America/New_York").unwrap();
    let fields = [
        ("event_id", pointer("/id")),
        ("kind", constant("rating")),
        ("score", Binding { labels: Some(labels), ..pointer("/rating") }),
        ("scale", constant("0-100")),
        ("weight", pointer("/usefulCount")),
        ("product", pointer("/drug/name")),
        ("event_time", Binding { time: Some(TimeFormat { format: "%B %d, %Y".into(), zone }), ..pointer("/date") }),
    ];
    Mapping { fields: fields.into_iter().map(|(name, binding)| (name.to_owned(), binding)).collect() }
}

fn check_mapped(payload: &str, expected: Expect) {
    expected.assert_eq(&show(&row(&decoder(Some(drug_reviews())), Some(payload.as_bytes()))));
}

#[test]
fn a_foreign_shape_is_mapped_and_loses_nothing() {
    check_mapped(
        r#"{"id":206461,"drug":{"name":"Valsartan","maker":"N"},"condition":"Left","rating":"positive","date":"May 20, 2012","usefulCount":27}"#,
        expect![[
            r#"outcome=accepted event_id=206461 kind=rating event_time=2012-05-20T04:00:00Z source=shop product=Valsartan weight=27.000000 scale=0-100 score=100.0000 attributes={condition: Left, drug: {"name":"Valsartan","maker":"N"}, score_label: positive}"#
        ]],
    );
    check_mapped(
        r#"{"id":1,"rating":"splendid","date":"May 20, 2012"}"#,
        expect![
            "outcome=rejected reject_reason=off_scale reject_field=score reject_message=`splendid` is not a label raw_bytes=50"
        ],
    );
    check_mapped(
        r#"{"id":1,"rating":"positive","date":"20.5.2012"}"#,
        expect![
            "outcome=rejected reject_reason=invalid_time reject_field=event_time reject_message=`20.5.2012` is not a time of the form `%B %d, %Y` raw_bytes=47"
        ],
    );
}

#[test]
fn equal_events_have_equal_hashes_however_they_are_spelt() {
    let hash = |payload: &str| {
        let record = Record {
            topic: "t",
            partition: 0,
            offset: 0,
            timestamp_ms: None,
            payload: Some(payload.as_bytes()),
            headers: &[],
        };
        decoder(None).decode(&record, None).unwrap().content_hash()
    };
    let plain = hash(&rating(r#","weight":1.0,"shelf":"7""#));
    assert_eq!(plain, hash(&rating(r#", "shelf": "7", "weight":"1.000""#)));
    assert_eq!(plain, hash(&rating(r#","attributes":{"shelf":"7"}"#)));
    assert_ne!(plain, hash(&rating(r#","weight":1.1,"shelf":"7""#)));
    assert_ne!(plain, hash(&rating(r#","shelf":"8""#)));
}

proptest! {
    #[test]
    fn any_bytes_are_exactly_one_row(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(row(&decoder(None), Some(&bytes)).num_rows(), 1);
        prop_assert_eq!(row(&decoder(Some(drug_reviews())), Some(&bytes)).num_rows(), 1);
    }

    #[test]
    fn any_json_is_exactly_one_row(value in "\\{(\"[a-z_]{1,8}\":(1|\"x\"|null|\\[\\]|\\{\\}|-0.5e3),){0,6}\"kind\":\"sale\"\\}") {
        prop_assert_eq!(row(&decoder(None), Some(value.as_bytes())).num_rows(), 1);
    }
}

/// What the id is read from is not kept beside it, however deep it lies.
#[test]
fn a_mapped_customer_is_hashed_and_kept_nowhere_else() {
    let bound = |pointer: &str| Binding { source: BindingSource::Pointer(pointer.into()), time: None, labels: None };
    let of = |name: &str, pointer: &str| (name.to_owned(), bound(pointer));
    let fields = [of("event_id", "/id"), of("kind", "/kind"), of("event_time", "/at"), of("customer", "/who/id")];
    let mapping = Mapping { fields: BTreeMap::from(fields) };
    let payload =
        br#"{"id":"1","kind":"referral","at":"2026-01-01T00:00:00Z","who":{"id":"id-4711","name":"n"},"more":1}"#;
    let key = CustomerKey::new(b"0123456789abcdef");
    let hashed = show(&row(&decoder(Some(mapping.clone())).with_customer_key(Some(key.clone())), Some(payload)));
    assert!(hashed.contains(&key.pseudonym("id-4711")) && hashed.contains("more"), "{hashed}");
    assert!(!hashed.contains("id-4711"), "{hashed}");
    assert!(show(&row(&decoder(Some(mapping)), Some(payload))).contains("id-4711"));
}
