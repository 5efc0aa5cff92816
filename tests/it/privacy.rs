//! Customers' ids with a key: they are in no row, and in no log.

use std::process::Command;

use satisflow_testkit::script;

use crate::place::{LIMIT, Place, offline};

const KEY: &str = "0123456789abcdef0123456789abcdef";
/// An event, one of the same customer, a reject for its scale, and one for ever.
const RECORDS: &str = concat!(
    r#"{"event_id":"a","kind":"rating","event_time":"2026-01-01T00:00:00Z","score":5,"scale":"1-5","customer":"id-4711"}"#,
    "\n",
    r#"{"event_id":"b","kind":"rating","event_time":"2026-01-02T00:00:00Z","score":4,"scale":"1-5","customer":"id-4711"}"#,
    "\n",
    r#"{"event_id":"c","kind":"rating","event_time":"2026-01-03T00:00:00Z","score":2,"scale":"thirds","customer":"id-4711"}"#,
    "\n",
    r#"{"event_id":"d","kind":"riddle","event_time":"2026-01-04T00:00:00Z","customer":"id-4711"}"#,
    "\n"
);
/// HMAC-SHA-256 of `id-4711` with the key, by Python's own library.
const PSEUDONYM: &str =
    "import hashlib, hmac, sys; print(hmac.new(sys.argv[1].encode(), b'id-4711', hashlib.sha256).hexdigest())";
/// Columns of the lake's Parquet files in which a text is found.
const COLUMNS: &str = "
import glob, sys, pyarrow.parquet as parquet
found = set()
for file in glob.glob(sys.argv[1] + '/**/*.parquet', recursive=True):
    table = parquet.ParquetFile(file).read()
    found |= {name for name in table.column_names if any('id-4711' in str(v) for v in table[name].to_pylist())}
print(sorted(found))
";

fn python(program: &str, argument: &str) -> String {
    let done = Command::new(script("python-env.sh").unwrap()).args(["-c", program, argument]).output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr)).trim().to_owned()
}

fn query(place: &Place, sql: &str) -> String {
    place.program.succeed(&["--log", "error", "sql", "--lake", "lake", "--format", "csv", sql]).unwrap()
}

#[test]
fn a_customer_s_id_is_hashed_before_there_is_a_row() {
    let place = offline("time: data\nprivacy: { customer_key: { file: key } }");
    std::fs::write(place.path().join("key"), format!("{KEY}\n")).unwrap();
    std::fs::write(place.path().join("records.jsonl"), RECORDS).unwrap();
    let replayed = place.program.run(&["replay", "records.jsonl"]).unwrap();
    assert_eq!(replayed.code, 0, "{}", replayed.err);
    let pseudonym = python(PSEUDONYM, KEY);
    let customers = "select customer, count(*) as n from events group by customer";
    assert_eq!(query(&place, customers), format!("customer,n\n{pseudonym},2\n"));
    assert_eq!(python(COLUMNS, place.path().join("lake").to_str().unwrap()), "['raw']");

    // A reject is decoded again once its scale is known, with the same key.
    let path = place.path().join("satisflow.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text + "scales: { thirds: { min: 0, max: 3 } }\n").unwrap();
    let again = place.program.run(&["rejects", "replay"]).unwrap();
    assert!(again.code == 0 && again.out.contains("1 accepted"), "{}{}", again.out, again.err);
    assert_eq!(query(&place, customers), format!("customer,n\n{pseudonym},3\n"));
    assert_eq!(python(COLUMNS, place.path().join("lake").to_str().unwrap()), "['raw']");

    let mut running = place.program.start("run", &["run"]).unwrap();
    satisflow_testkit::wait_for("it answers", LIMIT, || crate::place::scrape(place.http)).unwrap();
    running.signal("TERM").unwrap();
    assert_eq!(running.wait(LIMIT).unwrap(), 0, "{}", running.log());
    for said in [replayed.out, replayed.err, again.out, again.err, running.log()] {
        assert!(!said.contains("id-4711") && !said.contains(KEY), "{said}");
    }
}

#[test]
fn check_warns_when_ids_are_stored_as_they_come() {
    let place = offline("");
    let done = place.program.run(&["check"]).unwrap();
    assert!(
        done.code == 0 && done.err.contains("warning") && done.err.contains("privacy.customer_key"),
        "{}",
        done.err
    );
    let place = offline("privacy: { customer_key: short }");
    let done = place.program.run(&["check"]).unwrap();
    assert!(done.code == 1 && done.err.contains("at least 16") && !done.err.contains("short"), "{}", done.err);
    let place = offline(&format!("privacy: {{ customer_key: {KEY} }}"));
    let done = place.program.run(&["check"]).unwrap();
    assert!(done.code == 0 && !done.err.contains("warning") && !done.err.contains(KEY), "{}", done.err);
}
