//! Hostile lines through the whole program: each is a row, and the KPIs still audit.

use std::io::{BufWriter, Write};

use satisflow_fuzz::{Hostile, Settings};

use crate::place::Place;

const LINES: i64 = 100_000;

#[test]
fn every_hostile_line_is_a_row_and_the_audit_is_equal() {
    let settings = Settings::from_environment();
    let lines = LINES * i64::try_from(settings.factor).unwrap();
    let place = Place::with("hostile", "127.0.0.1:1", "time: data");
    let mut hostile = Hostile::new(settings.seed);
    let mut file = BufWriter::new(std::fs::File::create(place.path().join("hostile.jsonl")).unwrap());
    let mut bytes_max = 0;
    for _ in 0..lines {
        let line = hostile.line();
        bytes_max = bytes_max.max(line.trim_ascii().len());
        file.write_all(&line).and_then(|()| file.write_all(b"\n")).unwrap();
    }
    file.flush().unwrap();
    place.program.succeed(&["replay", "hostile.jsonl"]).unwrap();
    let number = |query: &str| place.number(query).unwrap();
    let rows = ["events", "duplicates", "rejects"].map(|view| number(&format!("select count(*) from {view}")));
    assert_eq!(rows.iter().sum::<i64>(), lines, "{rows:?}");
    assert!(rows.iter().all(|rows| *rows > 0), "{rows:?}");
    let all =
        "(select \"offset\" from events union select \"offset\" from duplicates union select \"offset\" from rejects)";
    assert_eq!(number(&format!("select count(*) from {all}")), lines, "each once");
    assert_eq!(number(&format!("select max(\"offset\") from {all}")), lines - 1);
    assert_eq!(number("select max(length(encode(raw, 'hex'))) from rejects"), 131_072, "raw bytes are bounded");
    let largest = number("select max(raw_bytes) from rejects");
    assert_eq!(usize::try_from(largest).unwrap(), bytes_max, "their true length is told");
    assert!(number("select count(distinct reason) from rejects") >= 15);
    place.check_audit();
}
