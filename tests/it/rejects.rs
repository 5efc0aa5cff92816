//! Rejects that are events after a correction: once, at their place, in every KPI.

use std::fmt::Write as _;

use satisflow_testkit::{Admin, Writer, wait_for};

use crate::audit::{audit, counts, place};
use crate::place::{LIMIT, Place, brokers};

const THIRDS: &str = "scales: { thirds: { min: 0, max: 3 } }";
/// A limit that is too low for some, and one that is not.
const SHORT: &str = "limits: { text_bytes_max: 100 }";
const LONG: &str = "limits: { text_bytes_max: 1000 }";

fn offline(more: &str) -> Place {
    place("feedback", "127.0.0.1:1", &format!("time: data\n{more}"))
}

/// Writes the configuration anew, with other settings than at the start.
fn correct(place: &Place, more: &str) {
    let more = format!("catalog: catalog.yaml\ntime: data\n{more}");
    place.configure("satisflow.yaml", "feedback", "127.0.0.1:1", &more, place.sql, place.http);
}

/// A rating a quarter of an hour after the one before.
fn rating(number: usize, scale: &str, text: &str) -> String {
    let time = 1_767_225_600_000 + number as i64 * 900_000;
    let department = ["Repair", "Sales"][number % 2];
    serde_json::json!({
        "event_id": format!("r-{number}"), "kind": "rating", "event_time": time, "score": number % 4, "scale": scale,
        "department": department, "text": text,
    })
    .to_string()
}

fn replay_files(place: &Place, files: &[(String, String)]) {
    for (name, text) in files {
        std::fs::write(place.path().join(name), text).unwrap();
    }
    let names = files.iter().map(|(name, _)| name.as_str());
    place.program.succeed(&["replay"].into_iter().chain(names).collect::<Vec<_>>()).unwrap();
}

fn replay_rejects(place: &Place, arguments: &[&str]) -> Vec<String> {
    let out = place.program.succeed(&[&["--log", "warn", "rejects", "replay"], arguments].concat()).unwrap();
    out.lines().map(str::to_owned).collect()
}

fn told(reason: &str, counts: [u32; 4]) -> String {
    let [accepted, rejected, known, cut] = counts;
    format!(
        "{reason}: {accepted} accepted, {rejected} still rejected, {known} of an id accepted before, {cut} not kept whole"
    )
}

/// Every current row, without what tells when it was computed.
fn kpis(place: &Place) -> String {
    let query = "select kpi, window_name, grouping_set, department, window_end, value, n, numerator, denominator, sum_w, \
                 sum_wx, sum_w2, sum_w2x, sum_w2x2, status from kpi_current order by 1, 2, 3, 4, 5";
    place.program.succeed(&["--log", "error", "sql", "--format", "csv", query]).unwrap()
}

/// Rows of the lake, and positions that have one: equal, or a record is there twice.
fn rows(place: &Place) -> (Option<i64>, Option<i64>) {
    let all = "(select topic, \"partition\", \"offset\" from events union all \
               select topic, \"partition\", \"offset\" from rejects union all \
               select topic, \"partition\", \"offset\" from duplicates)";
    let distinct = format!("select count(*) from (select distinct topic, \"partition\", \"offset\" from {all})");
    (place.number(&format!("select count(*) from {all}")), place.number(&distinct))
}

fn check_audit(place: &Place) {
    let done = audit(place, &[]);
    assert!(done.code == 0 && counts(&done).0 > 100, "{}{}", done.out, done.err);
}

#[test]
fn a_corrected_scale_and_a_raised_limit_let_rejects_in() {
    const EVENTS: usize = 80;
    let strict = "limits: { text_bytes_max: 100, raw_bytes_max: 500 }";
    let right = format!("limits: {{ text_bytes_max: 1000, raw_bytes_max: 500 }}\n{THIRDS}");
    let line = |number: usize| match number % 10 {
        3 => rating(number, "thirds", ""),
        5 => rating(number, "1-5", "good").replace("\"score\":1", "\"score\":2").replace("good", &"g".repeat(200)),
        7 => "{ broken".to_owned(),
        // Longer than the raw bytes that are kept.
        9 => rating(number, "0-10", &"l".repeat(600)),
        _ => rating(number, "0-10", ""),
    };
    let lines = |numbers: &mut dyn Iterator<Item = usize>| {
        numbers.fold(String::new(), |mut text, number| {
            writeln!(text, "{}", line(number)).unwrap();
            text
        })
    };
    let place = offline(strict);
    replay_files(&place, &[("all.jsonl".to_owned(), lines(&mut (0..EVENTS)))]);
    let before = (kpis(&place), rows(&place));
    assert_eq!(place.number("select count(*) from rejects"), Some(32));
    correct(&place, &right);
    let expected = [
        told("malformed_json", [0, 8, 0, 0]),
        told("text_too_long", [8, 0, 0, 8]),
        told("unknown_scale", [8, 0, 0, 0]),
    ];
    let dry: Vec<String> = expected.iter().map(|line| line.replace(" accepted,", " would be accepted,")).collect();
    assert_eq!(replay_rejects(&place, &["--dry-run"])[..3], dry);
    assert_eq!(place.number("select count(*) from rejects"), Some(32));
    // One reason at a time, and only what was taken in within the bounds.
    assert_eq!(replay_rejects(&place, &["--until", "2020-01-01"]), [told("all", [0; 4])]);
    assert_eq!(replay_rejects(&place, &["--topic", "another"]), [told("all", [0; 4])]);
    assert_eq!(replay_rejects(&place, &["--reason", "unknown_scale", "--since", "2020-01-01"])[0], expected[2]);
    assert_eq!(replay_rejects(&place, &[])[..2], expected[..2]);
    assert_eq!(replay_rejects(&place, &[]).last(), Some(&told("all", [0, 8, 0, 8])));
    assert_eq!((kpis(&place), rows(&place)), before, "KPIs follow when the lake is scored");
    assert_eq!(place.number("select count(*) from rejects"), Some(16));
    // The next start takes them up, as late events.
    replay_files(&place, &[("all.jsonl".to_owned(), lines(&mut (0..EVENTS)))]);
    assert_eq!(rows(&place), before.1);
    // Scales are part of what a definition is: its history is computed anew.
    assert!(place.number("select count(*) from kpis where reason = 'back-fill'") > Some(0));
    let fresh = offline(&right);
    replay_files(&fresh, &[("all.jsonl".to_owned(), lines(&mut (0..EVENTS).filter(|number| number % 10 != 9)))]);
    assert_eq!(kpis(&place), kpis(&fresh));
    check_audit(&place);
}

#[test]
fn a_corrected_mapping_lets_rejects_in_and_displaces_no_accepted_id() {
    let mapped = |labels: &str| {
        format!(
            "sources: [{{ topic: feedback, mapping: {{ event_id: /id, kind: {{ const: rating }}, event_time: /at, \
             scale: {{ const: 1-5 }}, score: {{ pointer: /said, labels: {{ {labels} }} }} }} }}]\n"
        )
    };
    let configure = |place: &Place, labels: &str| {
        let file = place.path().join("satisflow.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        let others = text.lines().filter(|line| !line.starts_with("sources:")).fold(String::new(), |mut all, line| {
            writeln!(all, "{line}").unwrap();
            all
        });
        std::fs::write(file, others + &mapped(labels)).unwrap();
    };
    let said = |id: &str, hour: u32, word: &str| {
        format!("{{\"id\":\"{id}\",\"at\":\"2026-05-05T{hour:02}:00:00Z\",\"said\":\"{word}\"}}\n")
    };
    let place = offline("");
    configure(&place, "good: 5, bad: 1");
    let first = said("a", 1, "good")
        + &said("b", 2, "superb")
        + &said("c", 3, "superb")
        + &said("d", 4, "superb")
        + &said("c", 5, "superb")
        + &said("z", 20, "bad");
    // `b` was sent again with a word that was known.
    let second = said("b", 2, "good") + &said("y", 21, "bad");
    replay_files(&place, &[("1.jsonl".to_owned(), first), ("2.jsonl".to_owned(), second)]);
    configure(&place, "good: 5, bad: 1, superb: 4");
    let expected = [told("off_scale", [2, 0, 2, 0]), told("all", [2, 0, 2, 0])];
    let dry = replay_rejects(&place, &["--dry-run"]);
    assert_eq!(dry.iter().map(|line| line.replace("would be ", "")).collect::<Vec<_>>(), expected);
    assert_eq!(replay_rejects(&place, &[]), expected);
    assert_eq!(replay_rejects(&place, &[])[0], told("off_scale", [0, 0, 2, 0]));
    std::fs::write(place.path().join("none.jsonl"), "").unwrap();
    place.program.succeed(&["replay", "none.jsonl"]).unwrap();
    let query = "select event_id, score, topic, \"offset\" from events where event_id in ('b', 'c', 'd') order by 1";
    let events = place.program.succeed(&["--log", "error", "sql", "--format", "csv", query]).unwrap();
    let lines: Vec<&str> = events.lines().skip(1).collect();
    assert_eq!(lines, ["b,5.0000,file:2.jsonl,0", "c,4.0000,file:1.jsonl,2", "d,4.0000,file:1.jsonl,3"]);
    assert_eq!(rows(&place), (Some(8), Some(8)));
    let day = "select n from kpi_current where kpi = 'csat' and window_name = 'day' and grouping_set = ''";
    assert_eq!(place.number(day), Some(6));
    let done = audit(&place, &[]);
    assert_eq!((done.code, counts(&done).1), (0, 0), "{}", done.out);
}

#[test]
fn a_replay_killed_in_the_middle_and_run_again_accepts_each_reject_once() {
    const FILES: usize = 128;
    // Each file is a commit of its own, and so are its rejects a file of the lake.
    let files: Vec<(String, String)> = (0..FILES)
        .map(|file| {
            let line = |number: usize| rating(file * 3 + number, "0-10", &"t".repeat(200 * number)) + "\n";
            (format!("{file}.jsonl"), (0..3).map(line).collect())
        })
        .collect();
    let place = offline(SHORT);
    replay_files(&place, &files);
    let rejects = || place.number("select count(*) from rejects").unwrap();
    let (held, mut left) = (rows(&place), rejects());
    assert_eq!((held, left), ((Some(384), Some(384)), 256));
    correct(&place, LONG);
    for name in ["first", "second"] {
        let running = place.program.start(name, &["rejects", "replay"]).unwrap();
        wait_for("a commit", LIMIT, || running.log().contains("rejects were accepted").then_some(())).unwrap();
        running.signal("KILL").unwrap();
        drop(running);
        let now = rejects();
        assert!(now > 0 && now < left, "not in the middle: {now} of {left}");
        assert_eq!(rows(&place), held);
        left = now;
    }
    let all = u32::try_from(left).unwrap();
    assert_eq!(replay_rejects(&place, &[])[0], told("text_too_long", [all, 0, 0, 0]));
    assert_eq!((rows(&place), rejects()), (held, 0));
    replay_files(&place, &files[..1]);
    assert!(place.number("select count(*) from kpis where revision > 1 and reason = 'late'") > Some(0));
    let fresh = offline(LONG);
    let all = files.iter().map(|(_, text)| text.as_str()).collect();
    replay_files(&fresh, &[("all.jsonl".to_owned(), all)]);
    assert_eq!(kpis(&place), kpis(&fresh));
    check_audit(&place);
}

#[test]
fn a_running_service_takes_replayed_rejects_up_while_it_goes_on_collecting() {
    const TOPIC: &str = "replayed";
    let place = place(TOPIC, &brokers(), &format!("time: data\n{SHORT}"));
    Admin::new(&brokers()).unwrap().create_topic(TOPIC, 1, &[]).unwrap();
    let writer = Writer::new(&brokers(), TOPIC).unwrap();
    let sized = |number: usize| rating(number, "0-10", &"t".repeat(if number % 4 == 1 { 200 } else { 0 }));
    let write = |numbers: std::ops::Range<usize>| {
        let records: Vec<String> = numbers.map(&sized).collect();
        writer.write(0, &records).unwrap();
    };
    let mut running = place.program.start("run", &["run"]).unwrap();
    // Many commits, so that there are many files of rejects.
    for hundred in 0..10 {
        write(hundred * 100..(hundred + 1) * 100);
        place.wait_for_rows(i64::try_from((hundred + 1) * 100).unwrap());
    }
    assert_eq!(place.number("select count(*) from rejects"), Some(250));
    let more = format!("catalog: catalog.yaml\ntime: data\n{LONG}");
    place.configure("corrected.yaml", TOPIC, &brokers(), &more, place.sql, place.http);
    let writing = std::sync::atomic::AtomicBool::new(true);
    let written = std::thread::scope(|scope| {
        let going_on = scope.spawn(|| {
            let mut next = 1000;
            while writing.load(std::sync::atomic::Ordering::SeqCst) {
                write(next..next + 4);
                next += 4;
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            next
        });
        let told_of = replay_rejects(&place, &["--config", "corrected.yaml"]);
        writing.store(false, std::sync::atomic::Ordering::SeqCst);
        assert!(told_of[0].starts_with("text_too_long: ") && told_of[0].contains(" accepted, 0 still"), "{told_of:?}");
        going_on.join().unwrap()
    });
    place.wait_for_rows(i64::try_from(written).unwrap());
    let late = "select count(*) from kpis where revision > 1 and reason = 'late'";
    wait_for("revisions", LIMIT, || place.number(late).filter(|rows| *rows > 0)).unwrap();
    running.signal("TERM").unwrap();
    assert_eq!(running.wait(LIMIT).unwrap(), 0, "{}", running.log());
    // What came after the replay had begun is left for another one.
    replay_rejects(&place, &["--config", "corrected.yaml"]);
    let mut last = place.program.start("last", &["run", "--exit-at-end", "--config", "corrected.yaml"]).unwrap();
    assert_eq!(last.wait(LIMIT).unwrap(), 0, "{}", last.log());
    let produced = Some(i64::try_from(written).unwrap());
    assert_eq!((rows(&place), place.number("select count(*) from events")), ((produced, produced), produced));
    check_audit(&place);
    let fresh = offline(LONG);
    let all = (0..written).map(|number| sized(number) + "\n");
    replay_files(&fresh, &[("all.jsonl".to_owned(), all.collect())]);
    assert_eq!(kpis(&place), kpis(&fresh));
}
