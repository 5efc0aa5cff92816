//! Alerts, from the catalog to whoever is told, by the real Prometheus and Alertmanager.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use satisflow_testkit::{Admin, Writer, free_port, wait_for};
use serde_json::Value;

use crate::place::{LIMIT, Place, brokers, offline, scrape, value_of};

const CATALOG: &str = "version: 1
dimensions: { department: department }
windows: { 5m: { length: 5m, step: 1m } }
measures: { satisfaction: { kinds: [rating], value: 'csat_0_100(score, scale)' } }
metrics:
  csat:
    description: Mean satisfaction.
    unit: points
    mean: satisfaction
    grouping_sets: [[], [department]]
    alerts:
      - { window: 5m, grouping_set: [department], below: 60, clear: 65, n_min: 30, for: 0s }
      - { window: 5m, above: 99.5, severity: warn }
";

/// What `promtool` says of a file.
pub fn promtool(place: &Place, arguments: &[&str]) -> String {
    let done = Command::new("promtool").args(arguments).current_dir(place.path()).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{arguments:?}: {text}");
    text
}

pub fn rules(place: &Place, more: &[&str]) -> String {
    place.program.succeed(&[&["rules", "--catalog", "catalog.yaml"], more].concat()).unwrap()
}

#[test]
fn bounds_of_the_catalog_are_rules_that_pass_their_tests() {
    let place = offline("");
    std::fs::write(place.path().join("catalog.yaml"), CATALOG).unwrap();
    std::fs::write(place.path().join("rules.yml"), rules(&place, &[])).unwrap();
    std::fs::write(place.path().join("tests.yml"), rules(&place, &["--tests", "rules.yml"])).unwrap();
    assert!(promtool(&place, &["check", "rules", "rules.yml"]).contains("SUCCESS: 13 rules found"));
    promtool(&place, &["test", "rules", "tests.yml"]);
}

#[test]
fn bounds_that_can_not_be_meant_are_told_with_their_places() {
    let place = offline("");
    for (good, bad, told) in [
        ("window: 5m, above", "window: 5h, above", "13:11: `csat` has no window `5h`"),
        ("grouping_set: [department], below", "grouping_set: [region], below", "there is no dimension `region`"),
        ("clear: 65", "clear: 55", "end at 55 before it begins at 60"),
        ("above: 99.5,", "above: 99.5, below: 3,", "an alert has one bound"),
        ("for: 0s", "for: soon", "`soon` is not a duration"),
        ("severity: warn", "severity: wake", "wake"),
        ("above: 99.5, severity: warn", "grouping_set: [department], below: 50", "there is such an alert"),
        ("[[], [department]]", "[[]]", "`csat` is not grouped by [department]"),
    ] {
        refuses(&place, CATALOG, (good, bad), told);
    }
}

/// A catalog with something bad in the place of something good is refused, and this is told.
pub fn refuses(place: &Place, catalog: &str, (good, bad): (&str, &str), told: &str) {
    assert!(catalog.contains(good), "{good}");
    std::fs::write(place.path().join("catalog.yaml"), catalog.replace(good, bad)).unwrap();
    let done = place.program.run(&["check", "--catalog", "catalog.yaml"]).unwrap();
    assert!(done.code == 1 && done.err.contains(told), "{bad}: {}", done.err);
}

/// Ends with the test.
pub struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn start(place: &Place, program: &str, arguments: &[String]) -> Process {
    let log = std::fs::File::create(place.path().join(format!("{program}.log"))).unwrap();
    let mut command = Command::new(program);
    Process(command.args(arguments).current_dir(place.path()).stdout(Stdio::null()).stderr(log).spawn().unwrap())
}

/// A webhook, and what it is told.
pub fn webhook() -> (u16, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let mut reader = BufReader::new(socket.unwrap());
            let (mut line, mut length) = (String::new(), 0);
            while reader.read_line(&mut line).unwrap() > 2 {
                let header = line.to_lowercase();
                if let Some(value) = header.strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                line.clear();
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
            if sender.send(serde_json::from_slice(&body).unwrap()).is_err() {
                return;
            }
        }
    });
    (port, receiver)
}

/// Prometheus, which looks at the service each second, and Alertmanager, which tells the webhook of pages.
pub fn watch(place: &Place, webhook: u16) -> (u16, [Process; 2]) {
    let (prometheus, alertmanager) = (free_port().unwrap(), free_port().unwrap());
    let scraped = format!(
        "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [rules.yml]\n\
         alerting: {{ alertmanagers: [{{ static_configs: [{{ targets: ['127.0.0.1:{alertmanager}'] }}] }}] }}\n\
         scrape_configs: [{{ job_name: satisflow, static_configs: [{{ targets: ['127.0.0.1:{}'] }}] }}]\n",
        place.http
    );
    let told = format!(
        "route: {{ receiver: nobody, routes: [{{ receiver: hook, matchers: ['severity=\"page\"'],\n  \
         group_by: [alertname, department], group_wait: 1s, group_interval: 1s, repeat_interval: 1h }}] }}\n\
         receivers: [{{ name: nobody }}, {{ name: hook, webhook_configs: [{{ url: 'http://127.0.0.1:{webhook}/' }}] }}]\n"
    );
    std::fs::write(place.path().join("prometheus.yml"), scraped).unwrap();
    std::fs::write(place.path().join("alertmanager.yml"), told).unwrap();
    let watching = start(
        place,
        "prometheus",
        &[
            "--config.file=prometheus.yml".to_owned(),
            "--storage.tsdb.path=tsdb".to_owned(),
            format!("--web.listen-address=127.0.0.1:{prometheus}"),
        ],
    );
    let telling = start(
        place,
        "prometheus-alertmanager",
        &[
            "--config.file=alertmanager.yml".to_owned(),
            "--storage.path=silences".to_owned(),
            "--cluster.listen-address=".to_owned(),
            format!("--web.listen-address=127.0.0.1:{alertmanager}"),
        ],
    );
    (prometheus, [watching, telling])
}

/// Ratings of a department, so many a minute of each minute of a range, the last at its end.
fn ratings(minutes: std::ops::Range<u32>, department: &str, score: u32, per_minute: u32) -> Vec<String> {
    let of = |minute: u32| {
        (1..=per_minute).map(move |index| {
            let second = 60 * index / per_minute - 1;
            format!(
                r#"{{"event_id":"{department}-{minute}-{index}","kind":"rating","event_time":"2026-05-05T10:{minute:02}:{second:02}Z","score":{score},"scale":"1-5","department":"{department}"}}"#
            )
        })
    };
    minutes.flat_map(of).collect()
}

/// What Prometheus answers to a query; `None` while it does not.
pub fn answer(prometheus: u16, query: &str) -> Option<Value> {
    let url = format!("http://127.0.0.1:{prometheus}/api/v1/query");
    let answer = reqwest::blocking::Client::new().get(url).query(&[("query", query)]).send().ok()?;
    serde_json::from_str(&answer.text().ok()?).ok()
}

/// A number that Prometheus answers.
pub fn asked(prometheus: u16, query: &str) -> Option<f64> {
    answer(prometheus, query)?["data"]["result"][0]["value"][1].as_str()?.parse().ok()
}

/// Waits until the rules have been evaluated so many times more.
pub fn evaluations(prometheus: u16, more: f64) {
    let done = || value_of(&scrape(prometheus)?, "prometheus_rule_group_iterations_total");
    let before = wait_for("Prometheus answers", LIMIT, done).unwrap();
    wait_for("the rules are evaluated", LIMIT, || done().filter(|now| *now >= before + more)).unwrap();
}

#[test]
fn a_drop_is_told_once_and_its_end_once() {
    const TOPIC: &str = "alerts";
    Admin::new(&brokers()).unwrap().create_topic(TOPIC, 1, &[]).unwrap();
    let place = Place::with(TOPIC, &brokers(), "time: data\nallowed_lateness_ms: 0\ncatalog: catalog.yaml");
    std::fs::write(place.path().join("catalog.yaml"), CATALOG).unwrap();
    std::fs::write(place.path().join("rules.yml"), rules(&place, &[])).unwrap();
    let writer = Writer::new(&brokers(), TOPIC).unwrap();
    // In order of time, as windows close by it.
    let produce = |minutes: std::ops::Range<u32>, toys: u32| {
        for minute in minutes {
            let one = minute..minute + 1;
            let all = [
                ratings(one.clone(), "Toys", toys, 20),
                ratings(one.clone(), "Books", 5, 20),
                ratings(one, "Few", 1 + 2 * (minute % 2), 2),
            ];
            writer.write(0, &all.concat()).unwrap();
        }
    };
    let mut running = place.program.start("run", &["run"]).unwrap();
    let (port, told) = webhook();
    let (prometheus, processes) = watch(&place, port);
    produce(0..10, 1);
    let first = told.recv_timeout(LIMIT).unwrap();
    let alert = &first["alerts"][0];
    assert_eq!((first["status"].as_str(), first["alerts"].as_array().unwrap().len()), (Some("firing"), 1), "{first}");
    assert_eq!([&alert["labels"]["kpi"], &alert["labels"]["department"]], ["csat", "Toys"], "{first}");
    let text = alert["annotations"]["description"].as_str().unwrap();
    // 5 minutes of 20 ratings: all of the worst score, so that the interval is a point.
    assert!(text.starts_with("Mean satisfaction. ") && text.contains(" events, 95 % interval 0 to "), "{first}");
    assert_eq!(alert["annotations"]["summary"], "csat of Toys is 0 points, below 60", "{first}");
    assert!(alert["generatorURL"].as_str().unwrap().starts_with("http"), "{first}");
    evaluations(prometheus, 30.0);
    assert!(told.try_recv().is_err(), "it was told more than once");
    let few = || asked(prometheus, "satisflow_kpi_value{department=\"Few\",state=\"final\"}");
    assert!(wait_for("the value of few", LIMIT, few).unwrap() < 60.0);
    produce(10..20, 5);
    let second = told.recv_timeout(LIMIT).unwrap();
    assert_eq!((&second["status"], &second["alerts"][0]["labels"]["department"]), (&"resolved".into(), &"Toys".into()));
    evaluations(prometheus, 30.0);
    assert!(told.try_recv().is_err(), "its end was told more than once");
    std::fs::write(place.path().join("metrics.txt"), scrape(place.http).unwrap()).unwrap();
    let metrics = std::fs::File::open(place.path().join("metrics.txt")).unwrap();
    let checked = Command::new("promtool").args(["check", "metrics"]).stdin(metrics).output().unwrap();
    assert!(checked.status.success() && checked.stderr.is_empty(), "{}", String::from_utf8_lossy(&checked.stderr));
    drop(processes);
    running.signal("TERM").unwrap();
    assert_eq!(running.wait(LIMIT).unwrap(), 0, "{}", running.log());
}
