//! Commands, most of them without a broker.

use expect_test::{Expect, expect};
use satisflow_testkit::{Admin, wait_for};

use crate::place::{LIMIT, Place, brokers, offline};

fn check(place: &Place, arguments: &[&str], expected: Expect) {
    let done = place.program.run(arguments).unwrap();
    expected.assert_eq(&format!("{}{}exit {}\n", done.out, done.err, done.code));
}

#[test]
fn three_mistakes_are_three_problems() {
    let place = offline("");
    let text = "version: 1\nlake: { url: lake, flush_interval_msec: 5 }\nsources: [{ topic: a, mapping: { event_id: id } }]\nsql: { listen: '0.0.0.0:1' }\n";
    std::fs::write(place.path().join("satisflow.yaml"), text).unwrap();
    let done = place.program.run(&["check"]).unwrap();
    assert_eq!(done.code, 1);
    for (line, hint) in
        [(2, "did you mean `flush_interval_ms`"), (3, "such as `/order/id`"), (4, "listen on 127.0.0.1")]
    {
        let told = |text: &&str| text.starts_with(&format!("satisflow.yaml:{line}:")) && text.contains(hint);
        assert!(done.err.lines().any(|text| told(&text)), "{line} {hint}: {}", done.err);
    }
    assert!(done.err.ends_with("\n3 problems\n"), "{}", done.err);
}

/// A mistake in each of two files is two problems, and each says what to do.
#[test]
fn the_catalog_is_checked_although_the_configuration_does_not_hold() {
    let place = offline("");
    std::fs::write(place.path().join("catalog.yaml"), "version: 1\nmeasures: { m: {} }\nmetrics: { k: { sum: n } }\n")
        .unwrap();
    let text = "version: 1\nlake: { url: lake }\nsources: [{ topic: a }]\ncatalog: catalog.yaml\ntimes: data\n";
    std::fs::write(place.path().join("satisflow.yaml"), text).unwrap();
    let done = place.program.run(&["check"]).unwrap();
    let lines: Vec<&str> = done.err.lines().collect();
    let [catalog, config, "2 problems"] = lines[..] else { panic!("{}", done.err) };
    assert!(catalog.starts_with("catalog.yaml:3:") && catalog.contains("(the measures are m)"), "{catalog}");
    assert!(config.starts_with("satisflow.yaml:5:") && config.contains("did you mean `time`"), "{config}");
    let absent = place.program.run(&["check", "--config", "nothing.yaml"]).unwrap();
    assert!(absent.code == 1 && absent.err.contains("(is the path right?"), "{}", absent.err);
}

/// Files of one name are one topic, and another file of that name is no more of it.
#[test]
fn a_file_of_other_events_under_a_name_that_was_replayed_is_refused_and_not_skipped() {
    let place = offline("time: data");
    let event = |id: &str| {
        format!("{{\"event_id\":\"{id}\",\"kind\":\"survey_response\",\"event_time\":\"2026-05-01T00:00:00Z\"}}\n")
    };
    for folder in ["a", "b"] {
        std::fs::create_dir(place.path().join(folder)).unwrap();
        std::fs::write(place.path().join(folder).join("e.jsonl"), event(folder)).unwrap();
    }
    let both = place.program.run(&["--log", "error", "replay", "a/e.jsonl", "b/e.jsonl"]).unwrap();
    assert!(both.code == 1 && both.err.contains("b/e.jsonl: line 1 is not the record"), "{}", both.err);
    let again = place.program.run(&["--log", "error", "replay", "a/e.jsonl"]).unwrap();
    assert!(again.code == 0 && again.err.starts_with("0 records taken, 1 taken before"), "{}", again.err);
    std::fs::write(place.path().join("a/e.jsonl"), event("a") + &event("more")).unwrap();
    let grown = place.program.run(&["--log", "error", "replay", "a/e.jsonl"]).unwrap();
    assert!(grown.code == 0 && grown.err.starts_with("1 records taken, 1 taken before"), "{}", grown.err);
    std::fs::write(place.path().join("a/e.jsonl"), event("a")).unwrap();
    let shorter = place.program.run(&["--log", "error", "replay", "a/e.jsonl"]).unwrap();
    assert!(shorter.code == 1 && shorter.err.contains("it has 1 lines, and 2 of it were taken"), "{}", shorter.err);
    assert_eq!(place.number("select count(*) from events"), Some(2));
}

/// A file has the mapping of a source, and of several somebody has to say which.
#[test]
fn of_several_sources_the_mapping_of_a_file_has_to_be_named() {
    let place = offline("time: data");
    let mapped = "{ topic: z, mapping: { event_id: /no, event_time: /at, kind: { const: survey_response } } }";
    let text = format!("version: 1\nlake: {{ url: lake }}\ntime: data\nsources: [{{ topic: a }}, {mapped}]\n");
    std::fs::write(place.path().join("satisflow.yaml"), text).unwrap();
    std::fs::write(place.path().join("e.jsonl"), "{\"no\":\"7\",\"at\":\"2026-05-01T00:00:00Z\"}\n").unwrap();
    let silent = place.program.run(&["--log", "error", "replay", "e.jsonl"]).unwrap();
    assert!(silent.code == 1 && silent.err.contains("say `--source TOPIC`"), "{}", silent.err);
    let unknown = place.program.run(&["--log", "error", "replay", "--source", "y", "e.jsonl"]).unwrap();
    assert!(unknown.code == 1 && unknown.err.contains("has the sources a, z"), "{}", unknown.err);
    let done = place.program.run(&["--log", "error", "replay", "--source", "z", "e.jsonl"]).unwrap();
    assert_eq!(done.code, 0, "{}", done.err);
    assert_eq!(place.number("select count(*) from events where event_id = '7'"), Some(1));
}

#[test]
fn a_catalog_that_does_not_plan_is_an_error_with_its_line() {
    let place = offline("");
    let text = "version: 1\nmeasures:\n  m:\n    value: scoer\n  k:\n    kinds: [riddle]\n    weight: department\nmetrics:\n  x: { mean: nothing }\n  y: { ratio: { numerator: m, denominator: k, per: 0 } }\n";
    std::fs::write(place.path().join("catalog.yaml"), text).unwrap();
    let done = place.program.run(&["check", "--catalog", "catalog.yaml"]).unwrap();
    assert_eq!(done.code, 1);
    for line in ["catalog.yaml:4:", "catalog.yaml:6:", "catalog.yaml:7:", "catalog.yaml:9:", "catalog.yaml:10:"] {
        assert!(done.err.contains(line), "{line}\n{}", done.err);
    }
}

#[test]
fn a_kpi_of_ones_own_is_replayed_audited_and_queried() {
    let place = offline("time: data\ncatalog: catalog.yaml");
    let catalog = "version: 1\nzone: America/New_York\ndimensions: { shop: store }\nwindows:\n  2h: { length: 2h, step: 30m }\n  day: { calendar: day }\n\
        measures:\n  hugs: { kinds: [rating], filter: score > 2, value: score * 2 }\nmetrics:\n  hug_index: { sum: hugs, grouping_sets: [[], [shop]], n_min: 1 }\n";
    std::fs::write(place.path().join("catalog.yaml"), catalog).unwrap();
    let event = |id: u32, time: &str, store: &str, score: u32| {
        format!(
            r#"{{"event_id":"{id}","kind":"rating","event_time":"{time}","store":"{store}","score":{score},"scale":"1-5"}}"#
        )
    };
    let lines = [
        event(1, "2026-03-08T06:30:00Z", "a", 5),
        event(2, "2026-03-08T07:10:00Z", "b", 3),
        event(3, "2026-03-08T07:20:00Z", "b", 1),
    ];
    std::fs::write(place.path().join("events.jsonl"), lines.join("\n")).unwrap();
    place.program.succeed(&["replay", "events.jsonl"]).unwrap();
    check(
        &place,
        &[
            "--log",
            "error",
            "sql",
            "--format",
            "csv",
            "select window_name, shop, window_end, value, n from kpi_current order by 1, 2, 3",
        ],
        expect![[r#"
            window_name,shop,window_end,value,n
            2h,a,2026-03-08T07:00:00Z,10.000000000000,1
            2h,b,2026-03-08T07:30:00Z,6.000000000000,1
            2h,,2026-03-08T07:00:00Z,10.000000000000,1
            2h,,2026-03-08T07:30:00Z,16.000000000000,2
            day,a,2026-03-09T04:00:00Z,10.000000000000,1
            day,b,2026-03-09T04:00:00Z,6.000000000000,1
            day,,2026-03-09T04:00:00Z,16.000000000000,2
            exit 0
        "#]],
    );
    place.check_audit();
    // The same file again adds nothing.
    let again = place.program.run(&["--log", "error", "replay", "events.jsonl"]).unwrap();
    assert!(again.err.contains("0 records taken, 3 taken before; 0 KPI rows"), "{}", again.err);
}

#[test]
fn a_doctored_lake_is_found_by_the_audit() {
    let place = offline("time: data");
    let events = place.program.succeed(&["generate", "--events", "300", "--clean"]).unwrap();
    std::fs::write(place.path().join("events.jsonl"), events).unwrap();
    place.program.succeed(&["replay", "events.jsonl"]).unwrap();
    place.check_audit();
    // One more event, behind the scorer's back: the KPI rows of another lake.
    let other = offline("time: data");
    let events = other.program.succeed(&["generate", "--events", "300", "--clean", "--seed", "2"]).unwrap();
    std::fs::write(other.path().join("events.jsonl"), events).unwrap();
    other.program.succeed(&["replay", "events.jsonl"]).unwrap();
    std::fs::remove_dir_all(place.path().join("lake/kpis")).unwrap();
    std::fs::rename(other.path().join("lake/kpis"), place.path().join("lake/kpis")).unwrap();
    let done = place.program.run(&["--log", "error", "audit", "--kpi", "csat"]).unwrap();
    assert_eq!(done.code, 1, "{}", done.out);
}

#[test]
fn a_late_file_restates_and_history_is_kept() {
    let place = offline("time: data");
    let event = |id: u32, time: &str, score: u32| {
        format!(r#"{{"event_id":"{id}","kind":"rating","event_time":"{time}","score":{score},"scale":"1-5"}}"#)
    };
    std::fs::write(place.path().join("one.jsonl"), event(1, "2026-05-05T10:00:00Z", 5)).unwrap();
    std::fs::write(place.path().join("two.jsonl"), event(2, "2026-05-05T09:00:00Z", 1)).unwrap();
    place.program.succeed(&["replay", "one.jsonl"]).unwrap();
    let then = "select max(computed_at) from kpis";
    let then = place.program.succeed(&["--log", "error", "sql", "--format", "csv", then]).unwrap();
    let then = then.lines().nth(1).unwrap().to_owned();
    place.program.succeed(&["replay", "two.jsonl"]).unwrap();
    let day = "where kpi = 'csat' and window_name = 'day' and grouping_set = ''";
    check(
        &place,
        &[
            "--log",
            "error",
            "sql",
            "--format",
            "csv",
            &format!("select value, n, revision, reason from kpi_current {day}"),
        ],
        expect![[r#"
            value,n,revision,reason
            50.000000000000,2,2,late
            exit 0
        "#]],
    );
    check(
        &place,
        &[
            "--log",
            "error",
            "sql",
            "--format",
            "csv",
            &format!("select value, n, revision from kpi_as_of('{then}') {day}"),
        ],
        expect![[r#"
            value,n,revision
            100.000000000000,1,1
            exit 0
        "#]],
    );
    place.check_audit();
}

/// A catalog whose limit of groups is reached by some windows and not by others.
const NARROW: &str = "version: 1
zone: UTC
dimensions: { department: department, channel: channel }
windows:
  12h: { length: 12h, step: 3h }
  day: { calendar: day }
  all: { all: true }
measures:
  satisfaction: { kinds: [rating], value: 'csat_0_100(score, scale)', weight: weight }
  complaints: { kinds: [complaint_opened], first_per: case_id }
  units: { kinds: [sale], value: units }
  promoters: { kinds: [rating], value: 'case when score >= 5 then 1 when score <= 3 then -1 else 0 end', weight: weight }
defaults: { grouping_sets: [[], [department], [department, channel]], groups_max: 3, n_min: 2 }
metrics:
  csat: { mean: satisfaction }
  complaint_rate: { ratio: { numerator: complaints, denominator: units, per: 1000 } }
  nps: { balance: promoters }
";

#[test]
fn rows_over_the_limit_of_groups_come_and_go_and_the_audit_knows_it() {
    let lake_of = |replays: &[&[&str]]| {
        let place = offline("time: data\ncatalog: catalog.yaml");
        std::fs::write(place.path().join("catalog.yaml"), NARROW).unwrap();
        let events = place.program.run(&["generate", "--events", "400", "--days", "20"]).unwrap().out;
        for (file, rest) in [("even.jsonl", 0), ("odd.jsonl", 1)] {
            let lines = events.lines().enumerate().filter(|(number, _)| number % 2 == rest).map(|(_, line)| line);
            std::fs::write(place.path().join(file), lines.collect::<Vec<_>>().join("\n")).unwrap();
        }
        for files in replays {
            place.program.succeed(&[&["replay"], *files].concat()).unwrap();
        }
        place.check_audit();
        place
    };
    let rows = |place: &Place| {
        let query = "select kpi, window_name, grouping_set, department, channel, window_end, value, n, sum_w2x2, status \
                     from kpi_current order by 1, 2, 3, 4, 5, 6";
        place.program.succeed(&["--log", "error", "sql", "--format", "csv", query]).unwrap()
    };
    let (at_once, in_two) = (lake_of(&[&["even.jsonl", "odd.jsonl"]]), lake_of(&[&["even.jsonl"], &["odd.jsonl"]]));
    assert_eq!(rows(&at_once), rows(&in_two));
    assert!(rows(&in_two).contains("over_limit") && rows(&in_two).contains(",ok"), "{}", rows(&in_two));
    let withdrawn = in_two.number("select count(*) from kpis where reason = 'withdrawn'");
    assert!(withdrawn > Some(0), "{withdrawn:?}");
}

#[test]
fn the_demo_ends_by_itself() {
    let place = offline("");
    let ports = [place.sql, place.http].map(|port| format!("127.0.0.1:{port}"));
    let done =
        place.program.run(&["demo", "--for", "10s", "--sql-listen", &ports[0], "--http-listen", &ports[1]]).unwrap();
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(done.out.contains("csat") && done.out.contains("psql -h"), "{}", done.out);
}

/// Each start has a broker of its own, whose offsets begin at 0.
#[test]
fn the_demo_goes_on_with_its_lake() {
    let place = offline("");
    let ports = [place.sql, place.http].map(|port| format!("127.0.0.1:{port}"));
    let arguments = ["demo", "--for", "12s", "--lake", "kept", "--sql-listen", &ports[0], "--http-listen", &ports[1]]
        .map(str::to_owned);
    let sql =
        |query: &str| place.program.succeed(&["--log", "error", "sql", "--lake", "kept", "--format", "csv", query]);
    let mut events = Vec::new();
    for _ in 0..2 {
        let done = place.program.run(&arguments.each_ref().map(String::as_str)).unwrap();
        assert_eq!(done.code, 0, "{}", done.err);
        events
            .push(sql("select count(*) from events_distinct").unwrap().lines().nth(1).unwrap().parse::<u32>().unwrap());
    }
    assert!(events[0] > 200 && events[1] > events[0] + 200, "{events:?}");
    assert_eq!(sql("select count(distinct topic) from events").unwrap().lines().nth(1), Some("2"));
}

#[test]
fn a_topic_of_fewer_partitions_is_told_with_the_way_out() {
    Admin::new(&brokers()).unwrap().create_topic("narrow", 2, &[]).unwrap();
    let place = offline("");
    let to = |partitions: &str| {
        let to =
            ["generate", "--events", "20", "--brokers", &brokers(), "--topic", "narrow", "--partitions", partitions];
        place.program.run(&to).unwrap()
    };
    let done = to("4");
    let told = "topic `narrow` is there already and has 2 partitions, and `--partitions` is 4: say `--partitions 2`";
    assert!(done.code == 1 && done.err.contains(told), "{}", done.err);
    assert_eq!(to("2").code, 0);
}

#[test]
fn the_published_schemas_are_those_of_the_code() {
    let place = offline("");
    for name in ["event", "records", "config", "catalog", "openapi"] {
        let file = satisflow_testkit::repository().join(format!("schemas/{name}.json"));
        let fresh = place.program.succeed(&["schema", name]).unwrap();
        if std::env::var_os("UPDATE_SCHEMAS").is_some() {
            std::fs::write(&file, &fresh).unwrap();
        }
        let published = std::fs::read_to_string(&file).unwrap();
        assert!(published == fresh, "{} is stale: UPDATE_SCHEMAS=1 writes it anew", file.display());
    }
}

/// Whether a process does something of its own about SIGTERM.
fn minds_sigterm(pid: u32) -> Option<()> {
    const SIGTERM_BIT: u64 = 1 << 14;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
    (u64::from_str_radix(caught.trim(), 16).ok()? & SIGTERM_BIT != 0).then_some(())
}

#[test]
fn a_service_that_is_stopped_while_it_starts_ends_in_order() {
    let nowhere = [
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1".to_owned()),
        ("AWS_ALLOW_HTTP", "true".to_owned()),
        ("AWS_ACCESS_KEY_ID", "a".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "b".to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
    ];
    let place = Place::with_lake("s3://nowhere/lake", &nowhere, "feedback", "127.0.0.1:1", "time: data");
    let mut running = place.program.start("run", &["run"]).unwrap();
    wait_for("it minds SIGTERM", LIMIT, || minds_sigterm(running.id())).unwrap();
    running.signal("TERM").unwrap();
    assert_eq!(running.wait(LIMIT).unwrap(), 0, "{}", running.log());
}

#[test]
fn results_rejects_and_the_audits_sql_come_in_every_form() {
    let place = offline("time: data");
    let events = place.program.succeed(&["generate", "--events", "300", "--bytes", "500"]).unwrap();
    let plain: Vec<&str> = events.lines().filter(|line| line.starts_with('{') && line.ends_with('}')).collect();
    let bytes = plain.iter().map(|line| line.len()).sum::<usize>() / plain.len();
    assert!((450..600).contains(&bytes), "{bytes} bytes a record");
    std::fs::write(place.path().join("e.jsonl"), events + "no JSON\n").unwrap();
    let replayed = place.program.run(&["--log", "error", "replay", "e.jsonl"]).unwrap();
    assert_eq!(replayed.code, 0, "{}", replayed.err);
    let form = |form: &str| {
        let query = "select reason, count(*) as n from rejects where reason = 'malformed_json' group by reason";
        place.program.succeed(&["--log", "error", "sql", "--format", form, query]).unwrap()
    };
    let lines: Vec<String> = form("csv").lines().map(str::to_owned).collect();
    let [heading, row] = &lines[..] else { panic!("{lines:?}") };
    let n = row.strip_prefix("malformed_json,").unwrap();
    assert_eq!(heading, "reason,n");
    assert_eq!(form("json"), format!("{{\"reason\":\"malformed_json\",\"n\":{n}}}\n"));
    let table = form("table");
    assert!(table.starts_with("+-") && table.contains(&format!("| malformed_json | {n} ")), "{table}");
    let export = ["--log", "error", "rejects", "export", "--reason", "malformed_json"];
    let exported = place.program.succeed(&export).unwrap();
    assert_eq!(exported.lines().count().to_string(), n);
    assert!(exported.lines().any(|line| line == "no JSON"), "{exported}");
    let listed = place.program.succeed(&["--log", "error", "rejects", "list"]).unwrap();
    assert!(listed.contains("malformed_json"), "{listed}");
    let sql = place.program.succeed(&["--log", "error", "audit", "--print-sql", "--kpi", "csat"]).unwrap();
    assert!(sql.contains("CREATE TABLE resolved AS") && sql.contains("kpi = 'csat'"), "{sql}");
    assert!(!sql.contains("complaint_rate"), "only one KPI was asked for");
}
