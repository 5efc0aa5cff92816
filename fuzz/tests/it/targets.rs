//! Targets: functions of any bytes that panic where a promise is broken.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Decimal128Type, Int64Type, TimestampMicrosecondType};
use jiff::tz::TimeZone;
use satisflow_catalog::{Catalog, ScaleBounds};
use satisflow_config::Config;
use satisflow_document::{Document, Problems};
use satisflow_model::{
    Binding, BindingSource, Decoder, Limits, Mapping, Outcome, Record, RecordsBuilder, Scales, SourceSpec, TimeFormat,
};
use serde::de::IgnoredAny;
use serde_json::json;

/// 2026-11-23T12:00:00Z
pub const NOW: i64 = 1_795_435_200_000_000;

pub fn decoder(mapping: Option<Mapping>) -> Decoder {
    Decoder::new(SourceSpec { name: "s".into(), mapping, scales: Arc::new(Scales::default()) }, Limits::default())
}

pub fn record(payload: &[u8]) -> Record<'_> {
    Record { topic: "t", partition: 0, offset: 0, timestamp_ms: None, payload: Some(payload), headers: &[] }
}

/// The record's row, which says one thing however often it is asked.
fn row(decoder: &Decoder, payload: &[u8], now: Option<i64>) -> RecordBatch {
    let record = record(payload);
    let decoded = decoder.decode(&record, now);
    assert_eq!(decoded, decoder.decode(&record, now), "decoded twice");
    let mut builder = RecordsBuilder::new(decoder.limits().clone());
    match &decoded {
        Ok(event) => builder.append_event(&record, NOW, Outcome::Accepted, event),
        Err(reject) => builder.append_reject(&record, NOW, reject),
    }
    let row = builder.finish().unwrap();
    assert_eq!(row.num_rows(), 1);
    assert_eq!(accepted(&row), decoded.is_ok());
    if decoded.is_err() {
        let kept = &payload[..payload.len().min(decoder.limits().raw_bytes_max)];
        assert_eq!(row["raw"].as_binary::<i32>().value(0), kept);
        assert_eq!(row["raw_bytes"].as_primitive::<Int64Type>().value(0), payload.len() as i64);
        assert!(row["reject_message"].as_string::<i32>().value(0).len() < 1000, "a message for people");
    }
    row
}

fn accepted(row: &RecordBatch) -> bool {
    row["outcome"].as_string::<i32>().value(0) == "accepted"
}

/// Bytes as a record in the envelope's own shape.
pub fn decode(bytes: &[u8]) {
    let decoder = decoder(None);
    if !accepted(&row(&decoder, bytes, Some(NOW))) {
        return;
    }
    serde_json::from_slice::<BTreeMap<String, IgnoredAny>>(bytes).expect("what is accepted is an object of JSON");
    let hash = |payload: &[u8]| decoder.decode(&record(payload), Some(NOW)).unwrap().content_hash();
    let spaced = [b" ", bytes, b"\n"].concat();
    assert_eq!(hash(bytes), hash(&spaced), "spaces say nothing");
}

/// A pointer, a form of time and a payload of any shape, a line each.
pub fn mapping(bytes: &[u8]) {
    let mut parts = bytes.splitn(3, |byte| *byte == b'\n');
    let mut text = || String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let (pointer, format) = (text(), text());
    let payload = parts.next().unwrap_or_default();
    let time = TimeFormat { format, zone: TimeZone::get("Asia/Shanghai").unwrap() };
    // The configuration refuses what is not usable; here it must not panic all the same.
    let _ = time.is_usable();
    let at = |pointer: &str| BindingSource::Pointer(pointer.to_owned());
    let plain = |source| Binding { source, time: None, labels: None };
    let labels = BTreeMap::from([("good".to_owned(), 50_000), ("差".to_owned(), 10_000)]);
    let fields = [
        ("event_id", plain(at("/id"))),
        ("kind", plain(BindingSource::Constant("rating".to_owned()))),
        ("scale", plain(BindingSource::Constant("1-5".to_owned()))),
        ("event_time", Binding { time: Some(time), ..plain(at("/time")) }),
        ("score", Binding { labels: Some(labels), ..plain(at(&pointer)) }),
        ("whatever", plain(at(&pointer))),
    ];
    let fields = fields.into_iter().map(|(name, binding)| (name.to_owned(), binding)).collect();
    row(&decoder(Some(Mapping { fields })), payload, None);
}

/// Text as a time: what is accepted is within the calendar, and says the same
/// when it is written in the canonical form.
pub fn time(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let event = |time: &str| json!({"event_id": "e", "kind": "sale", "units": 1, "event_time": time}).to_string();
    let micros = |payload: &str| {
        let row = row(&decoder(None), payload.as_bytes(), None);
        let time = row["event_time"].as_primitive::<TimestampMicrosecondType>();
        time.is_valid(0).then(|| time.value(0))
    };
    let number = event("").replace("\"\"", &text);
    for payload in [event(&text), number] {
        let Some(time) = micros(&payload) else { continue };
        assert!((Limits::EVENT_TIME_MIN..Limits::TIME_MAX).contains(&time));
        let canonical = jiff::Timestamp::from_microsecond(time).unwrap().to_string();
        assert_eq!(micros(&event(&canonical)), Some(time), "{canonical}");
    }
}

/// Text as a number: what is accepted has the value that is written, to the
/// last digit, and what has it in range is accepted.
pub fn number(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let payload = format!(r#"{{"event_id":"e","kind":"sale","event_time":{},"units":{text}}}"#, NOW / 1000);
    let row = row(&decoder(None), payload.as_bytes(), None);
    if serde_json::from_str::<serde_json::Number>(&text).is_err() || !text.bytes().all(is_of_number) {
        return;
    }
    let units = row["units"].as_primitive::<Decimal128Type>();
    let read = (accepted(&row) && units.is_valid(0)).then(|| units.value(0));
    assert_eq!(read, exactly(&text), "{text}");
}

fn is_of_number(byte: u8) -> bool {
    byte.is_ascii_digit() || b"+-.eE".contains(&byte)
}

/// A JSON number at 4 decimals by moving its point; `None` beyond 18 digits or 4 decimals.
fn exactly(text: &str) -> Option<i128> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let negative = whole.starts_with('-');
    let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).filter(u8::is_ascii_digit).collect();
    if digits.iter().all(|digit| *digit == b'0') {
        return Some(0);
    }
    let exponent: i64 = exponent.parse().ok()?;
    let whole_digits = digits.len() as i64 - fraction.len() as i64;
    // Of the digit at place p (0 is the first) the power of ten, at 4 decimals.
    let mut value = 0i128;
    for (place, digit) in (0i64..).zip(&digits).filter(|(_, digit)| **digit != b'0') {
        let power = whole_digits.checked_add(exponent)?.checked_sub(place + 1)?.checked_add(4)?;
        if !(0..18).contains(&power) {
            return None;
        }
        value += i128::from(digit - b'0') * 10i128.pow(u32::try_from(power).unwrap());
    }
    Some(if negative { -value } else { value })
}

/// Each problem has a place in the text.
fn check_problems(text: &str, problems: &Problems) {
    let said = problems.to_string();
    assert!(!said.is_empty());
    let lines = text.split(['\n', '\r']).count();
    // A message may hold line breaks of the text itself.
    for line in said.lines().filter_map(|line| line.strip_prefix("f:")) {
        let number = line.split(':').next().and_then(|number| number.parse::<usize>().ok());
        assert!(number.is_some_and(|number| number <= lines + 1), "{line}");
    }
}

fn document(bytes: &[u8], load: impl Fn(&Document, &mut Problems)) {
    let text = String::from_utf8_lossy(bytes);
    let variable = |name: &str| (name == "A").then(|| "1".to_owned());
    let said = || {
        let document = Document::parse_with("f", &text, &variable)?;
        let mut problems = Problems::new();
        load(&document, &mut problems);
        problems.into_result()
    };
    let first = said();
    if let Err(problems) = &first {
        check_problems(&text, problems);
        assert_eq!(Err(problems.to_string()), said().map_err(|problems| problems.to_string()), "said twice");
    }
}

/// A configuration.
pub fn config(bytes: &[u8]) {
    document(bytes, |document, problems| {
        let before = problems.len();
        assert_eq!(Config::load(document, problems).is_none(), problems.len() > before, "no config, no word");
    });
}

/// A catalog, its expressions planned.
pub fn catalog(bytes: &[u8]) {
    let scales = [ScaleBounds { name: "1-5".into(), min: 10_000, max: 50_000 }];
    document(bytes, |document, problems| {
        let before = problems.len();
        assert_eq!(
            Catalog::load(document, &scales, problems).is_none(),
            problems.len() > before,
            "no catalog, no word"
        );
    });
}
