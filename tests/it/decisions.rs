//! Alerts that the service decides: from events to the table, Prometheus, Alertmanager and webhooks.

use std::ops::Range;
use std::process::{Command, Stdio};

use satisflow_testkit::{Admin, Writer, wait_for};
use serde_json::Value;

use crate::alerts::{asked, evaluations, promtool, refuses, rules, watch, webhook};
use crate::place::{LIMIT, Place, brokers, offline, scrape};
use crate::receiver::{Answer, Listening, Told};

const CATALOG: &str = "version: 1
dimensions: { department: department }
windows: { 1m: { length: 1m, step: 1m }, 5m: { length: 5m, step: 1m } }
measures: { satisfaction: { kinds: [rating], value: 'csat_0_100(score, scale)' } }
metrics:
  csat:
    description: Mean satisfaction.
    unit: points
    mean: satisfaction
    grouping_sets: [[], [department]]
    alerts:
      - { window: 1m, grouping_set: [department], drop: { baseline: 10 }, clear_after: 2 }
      - { window: 5m, below: 30, burn: { slow: 1m }, severity: warn }
      - { window: 1m, chart: {}, severity: warn }
      - { window: 1m, ewma: {}, severity: warn }
      - { window: 1m, cusum: { over: 5 }, side: above, severity: warn }
      - { window: 1m, rise: { by: 5 }, severity: warn, n_min: 50 }
";

/// A usual minute: 4.2 of 5 in the mean, and some of everything.
const USUAL: [u32; 10] = [5, 5, 5, 5, 4, 4, 4, 4, 3, 3];
const BAD: [u32; 10] = [5, 4, 3, 2, 2, 2, 1, 1, 1, 1];

fn rating(department: &str, minute: u32, index: u32, of: u32, score: u32) -> String {
    let second = 60 * index / of - 1;
    format!(
        r#"{{"event_id":"{department}-{minute}-{index}","kind":"rating","event_time":"2026-05-05T10:{minute:02}:{second:02}Z","score":{score},"scale":"1-5","department":"{department}"}}"#
    )
}

/// A minute of three departments: one that may be bad, one that is not, one with few answers that wobbles.
fn minute(minute: u32, toys: &[u32; 10]) -> Vec<String> {
    let of = |department: &'static str, scores: &[u32; 10]| -> Vec<String> {
        (1..=40).map(|index| rating(department, minute, index, 40, scores[index as usize % 10])).collect()
    };
    let few = (1..=2).map(|index| rating("Few", minute, index, 2, 1 + 4 * (minute % 2)));
    of("Toys", toys).into_iter().chain(of("Books", &USUAL)).chain(few).collect()
}

fn lines(minutes: Range<u32>, toys: &[u32; 10]) -> Vec<String> {
    minutes.flat_map(|at| minute(at, toys)).collect()
}

fn sql(place: &Place, query: &str) -> String {
    place.program.succeed(&["--log", "error", "sql", "--lake", "lake", "--format", "csv", query]).unwrap()
}

/// The rows of `alerts`, without what tells when they were computed.
fn changes(place: &Place, more: &str) -> String {
    let columns = "alert_sequence, alert_name, alert_severity, department, alert_state, alert_cause, \
                   alert_opened_end, window_end, value, n, ci_low, ci_high, alert_statistic, alert_threshold, \
                   alert_p, alert_p_max, alert_groups, baseline_value, baseline_n";
    sql(place, &format!("select {columns} from alerts {more} order by alert_sequence"))
}

fn audit_alerts(place: &Place) -> String {
    let done = place.program.run(&["--log", "error", "audit", "--alerts"]).unwrap();
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
    done.out.trim().to_owned()
}

#[test]
fn decisions_are_rules_that_pass_their_tests() {
    let place = offline("");
    std::fs::write(place.path().join("catalog.yaml"), CATALOG).unwrap();
    let url = ["--external-url", "https://kpis.example/"];
    std::fs::write(place.path().join("rules.yml"), rules(&place, &url)).unwrap();
    std::fs::write(place.path().join("tests.yml"), rules(&place, &["--tests", "rules.yml"])).unwrap();
    assert!(promtool(&place, &["check", "rules", "rules.yml"]).contains("SUCCESS: 17 rules found"));
    promtool(&place, &["test", "rules", "tests.yml"]);
    // They can fail.
    let text = std::fs::read_to_string(place.path().join("rules.yml")).unwrap();
    let broken = text.replace("satisflow_alert_active{", "satisflow_alert_inactive{");
    assert_ne!(text, broken);
    std::fs::write(place.path().join("rules.yml"), broken).unwrap();
    let arguments = ["test", "rules", "tests.yml"];
    let done = Command::new("promtool").args(arguments).current_dir(place.path()).output().unwrap();
    assert!(!done.status.success());
}

#[test]
fn tests_that_can_not_be_meant_are_told_with_their_places() {
    let place = offline("");
    for (good, bad, told) in [
        ("drop: { baseline: 10 }", "drop: { baseline: 1 }", "12:59: `baseline` is 1"),
        ("drop: { baseline: 10 }", "drop: { baseline: 10, p_max: 1 }", "`p_max` is 1"),
        ("drop: { baseline: 10 }", "drop: {}, rise: {}", "an alert is one of drop, rise"),
        ("drop: { baseline: 10 }", "drop: {}, below: 3", "`below` is of a bound, and the alert is a `drop`"),
        ("drop: { baseline: 10 }", "drop: {}, side: above", "`drop` and `rise` say the side"),
        ("drop: { baseline: 10 }", "drop: { baseline: 6000 }", "rows of each group would be held"),
        ("clear_after: 2", "clear_after: 0", "`clear_after` is 0"),
        ("clear_after: 2", "q: 1.5", "`q` is 1.5"),
        ("burn: { slow: 1m }", "burn: { slow: 5m }", "`csat` has no other window `5m`"),
        ("burn: { slow: 1m }", "burn: { slow: 1m }, for: 5m", "`for` does nothing"),
        ("below: 30, burn: { slow: 1m }", "below: 30, q: 0.1", "`q` does nothing for a bound"),
        ("over: 5", "over: 0", "`over` is 0"),
        ("ewma: {}", "ewma: { lambda: 1.5 }", "`lambda` is 1.5"),
        ("chart: {}", "chart: { sigmas: 0 }", "`sigmas` is 0"),
        ("window: 1m, chart", "window: 2m, chart", "`csat` has no window `2m`"),
        ("ewma: {}", "chart: {}", "there is such an alert"),
        ("mean: satisfaction", "count: satisfaction", "`csat` has no error by which a change could be told"),
        ("1m: { length: 1m, step: 1m }", "1m: { all: true }", "the window `1m` holds everything"),
        ("{ department: department }", "{ alert_name: department }", "the name of a column of `alerts`"),
        ("{ department: department }", "{ alert_name: department }", "such as `own_alert_name`"),
    ] {
        refuses(&place, CATALOG, (good, bad), told);
    }
}

/// Words that alerts, their rules and metrics have of their own, and people for their groups.
#[test]
fn dimensions_may_have_the_words_of_alerts() {
    let place = offline("time: data\nallowed_lateness_ms: 0\ncatalog: catalog.yaml");
    let catalog = CATALOG
        .replace("{ department: department }", "{ state: department, severity: \"'high'\", window: \"'x'\" }")
        .replace("[department]", "[state, severity, window]");
    std::fs::write(place.path().join("catalog.yaml"), catalog).unwrap();
    std::fs::write(place.path().join("rules.yml"), rules(&place, &["--external-url", "https://kpis.example"])).unwrap();
    std::fs::write(place.path().join("tests.yml"), rules(&place, &["--tests", "rules.yml"])).unwrap();
    promtool(&place, &["check", "rules", "rules.yml"]);
    promtool(&place, &["test", "rules", "tests.yml"]);
    let story = [lines(0..15, &USUAL), lines(15..18, &BAD)].concat();
    std::fs::write(place.path().join("ratings.jsonl"), story.join("\n") + "\n").unwrap();
    place.program.succeed(&["replay", "ratings.jsonl"]).unwrap();
    let open = "select alert_severity, severity, alert_state, state, \"window\", window_name from alerts_open \
                where alert_name = 'SatisflowCsatDrop'";
    assert_eq!(sql(&place, open).lines().nth(1), Some("page,high,open,Toys,x,1m"));
    let mut running = place.program.start("run", &["run"]).unwrap();
    let labels = "dimension_state=\"Toys\"";
    let is_shown = |metric: &str| {
        let line =
            |line: &&str| line.starts_with(metric) && line.contains(labels) && line.contains("severity=\"high\"");
        wait_for("the group is labelled", LIMIT, || scrape(place.http)?.lines().find(line).map(str::to_owned)).unwrap();
    };
    is_shown("satisflow_kpi_value{");
    is_shown("satisflow_alert_active{");
    metrics_are_clean(&place);
    running.signal("TERM").unwrap();
    assert_eq!(running.wait(LIMIT).unwrap(), 0, "{}", running.log());
}

fn with_catalog(more: &str) -> Place {
    let place = offline(&format!("time: data\nallowed_lateness_ms: 0\ncatalog: catalog.yaml\n{more}"));
    std::fs::write(place.path().join("catalog.yaml"), CATALOG).unwrap();
    let story = [lines(0..15, &USUAL), lines(15..18, &BAD), lines(18..24, &USUAL)].concat();
    std::fs::write(place.path().join("ratings.jsonl"), story.join("\n") + "\n").unwrap();
    place
}

#[test]
#[cfg_attr(not(feature = "failpoints"), ignore = "needs `--features failpoints`, which `make test` gives")]
fn each_change_is_there_once_whatever_is_killed_in_between() {
    let golden = with_catalog("");
    golden.program.succeed(&["replay", "ratings.jsonl"]).unwrap();
    let expected = changes(&golden, "");
    assert!(expected.contains("SatisflowCsatDrop,page,Toys,open,decided,"), "{expected}");
    assert!(expected.contains("SatisflowCsatDrop,page,Toys,clear,decided,"), "{expected}");
    assert!(!expected.contains("Few"), "{expected}");
    for step in
        ["kpis-after-log-entry:1", "alerts-before-log-entry:0", "alerts-before-log-entry:1", "alerts-after-log-entry:1"]
    {
        let place = with_catalog("");
        let killing = [("SATISFLOW_FAILPOINT", step.to_owned()), ("SATISFLOW_FAILPOINT_HIT", "hit".to_owned())];
        let mut command = Command::new(place.program.binary());
        command.args(["replay", "ratings.jsonl"]).current_dir(place.path()).stderr(Stdio::null());
        let killed = command.stdout(Stdio::null()).envs(killing).status().unwrap();
        let hit = std::fs::read_to_string(place.path().join("hit")).unwrap_or_default();
        assert!(killed.code().is_none() && step.starts_with(hit.trim()) && !hit.is_empty(), "{step}: {killed}, {hit}");
        place.program.succeed(&["replay", "ratings.jsonl"]).unwrap();
        assert_eq!(changes(&place, ""), expected, "{step}");
        assert!(audit_alerts(&place).ends_with(" 0 differences"));
    }
    // The audit can find something.
    let audited = audit_alerts(&golden);
    assert!(audited.ends_with(" 0 differences") && !audited.starts_with("0 "), "{audited}");
    let other = CATALOG.replace("baseline: 10", "baseline: 10, p_max: 0.000000000001, by: 60");
    let other = other.replace("p_max: 0.000000000001, ", "");
    std::fs::write(golden.path().join("catalog.yaml"), other).unwrap();
    let done = golden.program.run(&["--log", "error", "audit", "--alerts"]).unwrap();
    assert!(done.code == 1 && done.out.contains("does not follow from `kpis`"), "{}", done.out);
}

#[test]
fn late_events_change_alerts_and_a_catalog_without_them_ends_them() {
    let place = with_catalog("");
    let story = [lines(0..15, &USUAL), lines(15..20, &BAD)].concat();
    std::fs::write(place.path().join("ratings.jsonl"), story.join("\n") + "\n").unwrap();
    place.program.succeed(&["replay", "ratings.jsonl"]).unwrap();
    let open = "select alert_name, department, alert_state, alert_cause, n from alerts_open \
                where alert_name = 'SatisflowCsatDrop'";
    assert_eq!(sql(&place, open).lines().nth(1).unwrap(), "SatisflowCsatDrop,Toys,open,decided,40");
    // Late, and of the window that opened it.
    let late: Vec<String> = (41..=50).map(|index| rating("Toys", 15, index, 60, 1)).collect();
    std::fs::write(place.path().join("late.jsonl"), late.join("\n") + "\n").unwrap();
    place.program.succeed(&["replay", "late.jsonl"]).unwrap();
    assert_eq!(sql(&place, open).lines().nth(1).unwrap(), "SatisflowCsatDrop,Toys,update,restated,50");
    assert!(audit_alerts(&place).ends_with(" 0 differences"));
    let start = CATALOG.find("    alerts:").unwrap();
    std::fs::write(place.path().join("catalog.yaml"), &CATALOG[..start]).unwrap();
    place.program.succeed(&["replay", "late.jsonl"]).unwrap();
    assert_eq!(sql(&place, open), "");
    let last = changes(&place, "where alert_name = 'SatisflowCsatDrop'");
    assert!(last.lines().last().unwrap().contains("Toys,clear,removed,"), "{last}");
}

fn signed(told: &Told, secret: &str) {
    let (time, sent) = told.headers["satisflow-signature"].split_once(",v1=").unwrap();
    let seconds = time.strip_prefix("t=").unwrap();
    let signed = format!("{seconds}.{}", told.body);
    let mut command = Command::new("openssl");
    command.args(["dgst", "-sha256", "-hmac", secret]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), signed.as_bytes()).unwrap();
    let said = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(said.trim().rsplit(' ').next(), Some(sent));
}

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn is_a_drop_of_toys(told: &Value, kind: &str) {
    assert_eq!([&told["type"], &told["kpi"], &told["group"]["department"]], [kind, "csat", "Toys"], "{told}");
    assert_eq!((&told["alert_name"], &told["n"]), (&"SatisflowCsatDrop".into(), &40.into()), "{told}");
}

#[test]
fn a_drop_reaches_alertmanager_and_webhooks_once_whatever_fails() {
    const TOPIC: &str = "decisions";
    Admin::new(&brokers()).unwrap().create_topic(TOPIC, 1, &[]).unwrap();
    let receiver = Listening::start();
    let hook = format!(
        "webhooks: {{ desk: {{ url: 'http://127.0.0.1:{}/hook', secret: {SECRET}, timeout_ms: 5000, \
         headers: {{ X-Team: quality }} }} }}",
        receiver.port
    );
    let more = format!("time: data\nallowed_lateness_ms: 0\ncatalog: catalog.yaml\n{hook}");
    let place = Place::with(TOPIC, &brokers(), &more);
    let only_drops: Vec<&str> = CATALOG.lines().filter(|line| !line.contains("severity: warn")).collect();
    std::fs::write(place.path().join("catalog.yaml"), only_drops.join("\n") + "\n").unwrap();
    let url = ["--external-url", "https://kpis.example"];
    std::fs::write(place.path().join("rules.yml"), rules(&place, &url)).unwrap();
    let writer = Writer::new(&brokers(), TOPIC).unwrap();
    let produce = |minutes: Range<u32>, toys: &[u32; 10]| {
        minutes.for_each(|at| writer.write(0, &minute(at, toys)).unwrap());
    };
    let mut running = place.program.start("run", &["run"]).unwrap();
    let (port, pages) = webhook();
    let (prometheus, processes) = watch(&place, port);
    receiver.answer(&[Answer::Status(503), Answer::Silence], Answer::Status(204));
    produce(0..15, &USUAL);
    produce(15..18, &BAD);

    let first = pages.recv_timeout(LIMIT).unwrap();
    let alert = &first["alerts"][0];
    assert_eq!((first["status"].as_str(), first["alerts"].as_array().unwrap().len()), (Some("firing"), 1), "{first}");
    let [kpi, department, name] = ["kpi", "department", "alertname"].map(|label| &alert["labels"][label]);
    assert_eq!([kpi, department, name], ["csat", "Toys", "SatisflowCsatDrop"], "{first}");
    let text = alert["annotations"]["description"].as_str().unwrap();
    assert!(text.contains(" 40 events, 95 % interval ") && text.contains(" to "), "{first}");
    let link = "https://kpis.example/#/trend?kpi=csat&window=1m&by=department&group=Toys";
    assert_eq!(alert["annotations"]["link"], link, "{first}");

    // The receiver fails, is silent, and takes it at last: the same change each time.
    let tries = [receiver.next(), receiver.next(), receiver.next()];
    let answers = tries.each_ref().map(|told| told.answer);
    assert_eq!(answers, [Answer::Status(503), Answer::Silence, Answer::Status(204)]);
    for told in &tries {
        signed(told, SECRET);
        is_a_drop_of_toys(&told.json(), "alert.open");
        assert_eq!((told.key(), told.headers["x-team"].as_str()), (tries[0].key(), "quality"));
        assert_eq!((told.json()["alert_id"].as_str(), told.json()["link"].is_null()), (Some(tries[0].key()), true));
    }
    evaluations(prometheus, 20.0);
    assert!(pages.try_recv().is_err() && receiver.is_quiet(), "it was told more than once");
    let few = || asked(prometheus, "count(satisflow_alert_active{department=\"Few\"} == 0)");
    wait_for("no alert of few", LIMIT, || few().filter(|few| (few - 1.0).abs() < 0.5)).unwrap();

    // While nobody takes its end, the service is killed.
    receiver.answer(&[], Answer::Status(500));
    produce(18..24, &USUAL);
    let refused = receiver.next();
    is_a_drop_of_toys(&refused.json(), "alert.clear");
    running.signal("KILL").unwrap();
    running.wait(LIMIT).unwrap();
    receiver.answer(&[], Answer::Status(204));
    let mut again = place.program.start("again", &["run"]).unwrap();
    let taken = receiver.next_with(Answer::Status(204));
    assert_eq!((taken.key(), taken.json()), (refused.key(), refused.json()));
    assert_ne!(taken.key(), tries[0].key());
    let second = pages.recv_timeout(LIMIT).unwrap();
    assert_eq!((&second["status"], &second["alerts"][0]["labels"]["department"]), (&"resolved".into(), &"Toys".into()));
    let sent = || place.metric("satisflow_webhook_sent_total");
    wait_for("what was told is on record", LIMIT, || sent().filter(|sent| *sent >= 1.0)).unwrap();
    evaluations(prometheus, 20.0);
    assert!(pages.try_recv().is_err() && receiver.is_quiet(), "its end was told more than once");
    metrics_are_clean(&place);
    drop(processes);
    again.signal("TERM").unwrap();
    assert_eq!(again.wait(LIMIT).unwrap(), 0, "{}", again.log());
    assert_eq!(sql(&place, "select count(*) from alerts").lines().nth(1), Some("2"));
    assert_eq!(audit_alerts(&place), "2 alert rows compared, 0 differences");
}

fn metrics_are_clean(place: &Place) {
    std::fs::write(place.path().join("metrics.txt"), scrape(place.http).unwrap()).unwrap();
    let metrics = std::fs::File::open(place.path().join("metrics.txt")).unwrap();
    let checked = Command::new("promtool").args(["check", "metrics"]).stdin(metrics).output().unwrap();
    assert!(checked.status.success() && checked.stderr.is_empty(), "{}", String::from_utf8_lossy(&checked.stderr));
}
