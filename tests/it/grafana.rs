//! The dashboards of docker/grafana: every query of them, as Grafana sends it, finds something.

use std::collections::BTreeMap;
use std::process::Command;

use jiff::{SignedDuration, Timestamp};
use satisflow_testkit::{Writer, free_port, repository, wait_for};
use serde_json::{Value, json};

use crate::alerts::{Process, answer, asked, start};
use crate::deploy::yaml;
use crate::place::{LIMIT, Place, brokers, publishes, scrape};

const TOPIC: &str = "grafana";

fn dashboards() -> Vec<Value> {
    let folder = repository().join("docker/grafana/provisioning/dashboards");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let of_json = files.filter(|path| path.extension().is_some_and(|end| end == "json"));
    of_json.map(|path| serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()).collect()
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn catalog() -> String {
    std::fs::read_to_string(repository().join("docker/catalog.yaml")).unwrap()
}

#[test]
fn the_dashboards_are_those_that_the_script_writes() {
    let script = repository().join("docker/grafana/dashboards.py");
    let done = Command::new("python3").arg(script).arg("--check").output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn every_panel_says_what_it_shows_and_draws_the_bounds_of_the_catalog() {
    let sources = yaml("docker/grafana/provisioning/datasources/satisflow.yaml").remove(0);
    let known: Vec<_> =
        list(&sources, "/datasources").iter().map(|one| (text(one, "/type"), text(one, "/uid"))).collect();
    let catalog = yaml("docker/catalog.yaml").remove(0);
    let all = dashboards();
    assert_eq!(all.len(), 6);
    for dashboard in &all {
        assert!(!list(dashboard, "/templating/list").is_empty(), "what is shown can be chosen: {}", dashboard["uid"]);
        assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 39);
        assert_eq!((text(dashboard, "/time/from"), text(dashboard, "/time/to")), ("now-24h", "now"));
        for panel in list(dashboard, "/panels") {
            for pointer in ["/title", "/description", "/fieldConfig/defaults/unit"] {
                assert!(!text(panel, pointer).is_empty(), "{pointer}: {panel}");
            }
            assert!(!list(panel, "/fieldConfig/defaults/thresholds/steps").is_empty(), "{panel}");
            for asks in list(panel, "/targets").iter().chain([panel]).chain(list(dashboard, "/templating/list")) {
                let source = (text(asks, "/datasource/type"), text(asks, "/datasource/uid"));
                assert!(known.contains(&source), "{source:?}: {asks}");
            }
            check_bounds(panel, &catalog);
        }
    }
}

/// A panel of values of one KPI has a colour for each of its bounds.
fn check_bounds(panel: &Value, catalog: &Value) {
    let steps = list(panel, "/fieldConfig/defaults/thresholds/steps");
    let unit = text(panel, "/fieldConfig/defaults/unit");
    for (kpi, of_values) in [("csat", "suffix: points"), ("complaint_rate", "percentunit")] {
        let queries: String = list(panel, "/targets").iter().map(|one| one.to_string().replace('"', "'")).collect();
        let of_kpi = queries.contains(&format!("kpi = '{kpi}'")) || queries.contains(&format!("kpi=\\'{kpi}\\'"));
        if !of_kpi || unit != of_values {
            continue;
        }
        let alerts = list(catalog, &format!("/metrics/{kpi}/alerts")).to_vec();
        assert!(!alerts.is_empty());
        for bound in alerts.iter().flat_map(|alert| [&alert["below"], &alert["above"], &alert["clear"]]) {
            let drawn = |step: &Value| step["value"].as_f64() == bound.as_f64();
            assert!(bound.is_null() || steps.iter().any(drawn), "{kpi} {bound}: {panel}");
        }
    }
}

/// Seconds of an interval such as `5m`.
fn seconds(interval: &str) -> u32 {
    let (number, unit) = interval.split_at(interval.len() - 1);
    number.parse::<u32>().unwrap()
        * [("s", 1), ("m", 60), ("h", 3600), ("d", 86400)].iter().find(|of| of.0 == unit).unwrap().1
}

/// A macro of SQL as Grafana expands it: `pkg/tsdb/grafana-postgresql-datasource/macros.go` of
/// github.com/grafana/grafana at 0577088076c3920f31aa0ca03cf8ac62e08f4d5b.
fn expanded(name: &str, arguments: &[&str], [from, to]: &[String; 2]) -> String {
    match (name, arguments) {
        ("timeFilter", [column]) => format!("{column} BETWEEN '{from}' AND '{to}'"),
        ("timeFrom", _) => format!("'{from}'"),
        ("timeTo", _) => format!("'{to}'"),
        ("timeGroup", [column, every]) => {
            let every = seconds(every.trim_matches('\''));
            format!("floor(extract(epoch from {column})/{every})*{every}")
        }
        ("timeGroupAlias", _) => {
            format!("{} AS \"time\"", expanded("timeGroup", arguments, &[from.clone(), to.clone()]))
        }
        _ => panic!("Grafana does not know $__{name}({arguments:?})"),
    }
}

/// A query of SQL as it is sent: first variables, by the browser, then macros.
fn sql_as_sent(query: &str, variables: &BTreeMap<String, Vec<String>>, range: &[String; 2]) -> String {
    let mut query = query.to_owned();
    for (name, values) in variables {
        let quoted: Vec<_> = values.iter().map(|value| format!("'{}'", value.replace('\'', "''"))).collect();
        query = query.replace(&format!("${{{name}:sqlstring}}"), &quoted.join(","));
    }
    while let Some(begin) = query.find("$__") {
        let (open, close) = (query[begin..].find('(').unwrap() + begin, query[begin..].find(')').unwrap() + begin);
        let arguments: Vec<_> = query[open + 1..close].split(',').map(str::trim).collect();
        let with = expanded(&query[begin + 3..open], &arguments, range);
        query.replace_range(begin..=close, &with);
    }
    assert!(!query.contains('$'), "something was not expanded: {query}");
    query
}

/// Rows of SQL without an empty column.
fn complete_rows(place: &Place, query: &str) -> Result<Vec<String>, String> {
    let port = place.sql.to_string();
    let options = ["-h", "127.0.0.1", "-p", &port, "-U", "grafana", "-d", "satisflow", "-v", "ON_ERROR_STOP=1"];
    let done = Command::new("psql").args(options).args(["-At", "-F", "\u{1f}", "-c", query]).output().unwrap();
    if !done.status.success() {
        return Err(String::from_utf8_lossy(&done.stderr).into_owned());
    }
    let rows = String::from_utf8_lossy(&done.stdout);
    let complete = |row: &&str| !row.is_empty() && row.split('\u{1f}').all(|field| !field.is_empty());
    Ok(rows.lines().filter(complete).map(str::to_owned).collect())
}

/// The answers of Prometheus that are numbers.
fn numbers(prometheus: u16, query: &str) -> Result<usize, String> {
    let answer = answer(prometheus, query).unwrap();
    if answer["status"] != "success" {
        return Err(answer.to_string());
    }
    Ok(list(&answer, "/data/result").iter().filter(|one| one["value"][1] != "NaN").count())
}

/// The shipped Prometheus, but for ports, and looking each second.
fn watch(place: &Place) -> (u16, Process) {
    let port = free_port().unwrap();
    let shipped = std::fs::read_to_string(repository().join("docker/prometheus/prometheus.yml")).unwrap();
    let mut ours = shipped.clone();
    for (theirs, here) in [
        ("scrape_interval: 5s", "scrape_interval: 1s"),
        ("evaluation_interval: 15s", "evaluation_interval: 1s"),
        ("/etc/prometheus/rules/", ""),
        // How the shipped one comes in is tried with the rest of compose: `deploy.rs`.
        ("    scheme: https\n    tls_config: { ca_file: /etc/prometheus/secrets/tls.crt }\n", ""),
        ("    authorization: { credentials_file: /etc/prometheus/secrets/metrics.token }\n", ""),
        ("satisflow:8443", &format!("127.0.0.1:{}", place.http)),
        ("127.0.0.1:9090", &format!("127.0.0.1:{port}")),
    ] {
        assert!(ours.contains(theirs), "{theirs}");
        ours = ours.replace(theirs, here);
    }
    std::fs::write(place.path().join("prometheus.yml"), ours).unwrap();
    let rules = place.program.succeed(&["rules", "--catalog", "catalog.yaml"]).unwrap();
    std::fs::write(place.path().join("rules.yml"), rules).unwrap();
    let listen = format!("--web.listen-address=127.0.0.1:{port}");
    let arguments = ["--config.file=prometheus.yml", "--storage.tsdb.path=tsdb", &listen].map(str::to_owned);
    (port, start(place, "prometheus", &arguments))
}

/// What the generator does not make: invitations, times of answering, a solved complaint, and a
/// department that is told to be bad.
fn rare_events(now: Timestamp) -> Vec<String> {
    let at = |minutes: i64| (now - SignedDuration::from_mins(minutes)).to_string();
    let mut events = vec![
        json!({"kind": "survey_invited", "event_time": at(90), "invitation_id": "i1"}),
        json!({"kind": "survey_response", "event_time": at(80), "invitation_id": "i1", "overall": 4, "scale": "1-5",
               "started_at": at(84), "submitted_at": at(80), "department": "Sales"}),
        json!({"kind": "complaint_opened", "event_time": at(600), "case_id": "c1", "department": "Sales"}),
        json!({"kind": "complaint_resolved", "event_time": at(300), "case_id": "c1", "department": "Sales"}),
    ];
    // Beyond its bound at one end of a window, and still at the next.
    for minutes in [20, 12] {
        let bad =
            json!({"kind": "rating", "event_time": at(minutes), "score": 1, "scale": "1-5", "department": "Toys"});
        events.extend(std::iter::repeat_n(bad, 40));
    }
    let numbered = events.into_iter().enumerate().map(|(number, mut event)| {
        event["event_id"] = format!("rare-{number}").into();
        event.to_string()
    });
    numbered.collect()
}

/// Values of `label_values(METRIC, LABEL)`, as Grafana asks Prometheus for them.
fn label_values(prometheus: u16, query: &str) -> Vec<String> {
    let arguments = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')).unwrap();
    let (metric, label) = arguments.split_once(", ").unwrap();
    let url = format!("http://127.0.0.1:{prometheus}/api/v1/label/{label}/values");
    let answer = reqwest::blocking::Client::new().get(url).query(&[("match[]", metric)]).send().unwrap();
    let answer: Value = answer.json().unwrap();
    list(&answer, "/data").iter().map(|value| value.as_str().unwrap().to_owned()).collect()
}

/// What a variable stands for: all answers of its query, or its own value, which has to be one of them.
fn values_of(place: &Place, prometheus: u16, variable: &Value) -> Vec<String> {
    let answers = match text(variable, "/datasource/type") {
        "prometheus" => label_values(prometheus, text(variable, "/query/query")),
        _ => complete_rows(place, text(variable, "/query")).unwrap(),
    };
    assert!(!answers.is_empty(), "{variable}");
    let Some(value) = variable["current"]["value"].as_str() else { return answers };
    assert!(answers.iter().any(|answer| answer == value), "{value} of {answers:?}");
    vec![value.to_owned()]
}

/// What is wrong with a panel's query; `None` once it finds something.
fn trouble(
    place: &Place,
    prometheus: u16,
    target: &Value,
    variables: &BTreeMap<String, Vec<String>>,
) -> Option<String> {
    let (query, found) = if text(target, "/datasource/type") == "prometheus" {
        // As long as Grafana takes for a day on a panel of 1,440 points: an interval is then a minute.
        let mut query = text(target, "/expr").replace("$__rate_interval", "1m");
        for (name, values) in variables {
            query = query.replace(&format!("${name}"), &values.join("|"));
        }
        let found = numbers(prometheus, &query);
        (query, found)
    } else {
        let now = Timestamp::now();
        let range = [now - SignedDuration::from_hours(24), now].map(|time| time.to_string());
        let query = sql_as_sent(text(target, "/rawSql"), variables, &range);
        let found = complete_rows(place, &query).map(|rows| rows.len());
        (query, found)
    };
    match found {
        Ok(0) => Some(format!("finds nothing: {query}")),
        Ok(_) => None,
        Err(error) => panic!("{error}: {query}"),
    }
}

#[test]
fn every_query_of_every_dashboard_finds_something() {
    let place = Place::with(TOPIC, &brokers(), "catalog: catalog.yaml");
    std::fs::write(place.path().join("catalog.yaml"), catalog()).unwrap();
    let begin = (Timestamp::now() - SignedDuration::from_hours(24)).to_string();
    place.generate_all(TOPIC, 20_000, &["--days", "1", "--start", &begin, "--partitions", "2"]);
    let mut running = place.program.start("run", &["run"]).unwrap();
    wait_for("all is published", LIMIT, || scrape(place.http).filter(|metrics| publishes(metrics))).unwrap();
    let (prometheus, watching) = watch(&place);
    let seen = || asked(prometheus, "satisflow_kpi_value{window=\"1h\", state=\"final\"}");
    wait_for("Prometheus has seen it", LIMIT, seen).unwrap();
    Writer::new(&brokers(), TOPIC).unwrap().write(0, &rare_events(Timestamp::now())).unwrap();
    // Variables are filled once, as when a dashboard is opened.
    let is_there = || complete_rows(&place, "select 1 from kpi_current where department = 'Toys'").ok();
    wait_for("the new department", LIMIT, || is_there().filter(|rows| !rows.is_empty())).unwrap();
    let (mut queries, mut panels) = (0, 0);
    for dashboard in dashboards() {
        let templates = list(&dashboard, "/templating/list");
        let variables: BTreeMap<_, _> =
            templates.iter().map(|one| (text(one, "/name").to_owned(), values_of(&place, prometheus, one))).collect();
        for panel in list(&dashboard, "/panels") {
            panels += 1;
            for target in list(panel, "/targets") {
                queries += 1;
                let mut last = None;
                let done = wait_for("a panel", LIMIT, || {
                    last = trouble(&place, prometheus, target, &variables);
                    last.is_none().then_some(())
                });
                assert!(done.is_ok(), "{}: {}: {last:?}", text(&dashboard, "/title"), text(panel, "/title"));
            }
        }
    }
    assert!(panels >= 40 && queries > panels, "{panels} panels, {queries} queries");
    drop(watching);
    running.signal("TERM").unwrap();
    assert_eq!(running.wait(LIMIT).unwrap(), 0, "{}", running.log());
}
