//! A folder with a configuration, and the broker that all tests share.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use anyhow::Result;
use satisflow_testkit::{Kafka, Program, Running, free_port, wait_for};
use tempfile::TempDir;

pub const LIMIT: Duration = Duration::from_secs(180);

static KAFKA: LazyLock<Mutex<Kafka>> = LazyLock::new(|| Mutex::new(Kafka::start().unwrap()));

pub fn brokers() -> String {
    KAFKA.lock().unwrap().brokers()
}

/// A place of commands that need no broker.
pub fn offline(more: &str) -> Place {
    Place::with("feedback", "127.0.0.1:1", more)
}

/// What a service says to Prometheus; `None` while it does not answer.
pub fn scrape(port: u16) -> Option<String> {
    reqwest::blocking::get(format!("http://127.0.0.1:{port}/metrics")).ok()?.text().ok()
}

/// A metric of a scrape, summed over its labels; `None` if it has none.
pub fn value_of(scrape: &str, name: &str) -> Option<f64> {
    let of_name = |line: &&str| line.split(['{', ' ']).next() == Some(name);
    let values = scrape.lines().filter(of_name).map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap());
    values.reduce(|a, b| a + b)
}

/// The value of a series, whose labels are given as they are written.
pub fn series_of(scrape: &str, series: &str) -> Option<f64> {
    scrape.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
}

/// Whether a service says of itself that it publishes KPIs and has caught up.
pub fn publishes(scrape: &str) -> bool {
    value_of(scrape, "satisflow_kpi_complete") == Some(1.0)
}

/// What a program of Python says that is run with these arguments.
pub fn python(arguments: &[&str]) -> String {
    let python = satisflow_testkit::script("python-env.sh").unwrap();
    let done = Command::new(python).args(arguments).output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr)).trim().to_owned()
}

/// A folder of its own for one test.
pub struct Place {
    pub folder: TempDir,
    pub program: Program,
    /// Local folder or URL of the lake.
    pub lake: String,
    pub sql: u16,
    pub http: u16,
    /// For Flight SQL, which a configuration has to ask for.
    pub flight: u16,
}

impl Drop for Place {
    /// What a failed test has left is kept, to be looked at.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.folder.disable_cleanup(true);
            eprintln!("kept: {}", self.path().display());
        }
    }
}

impl Place {
    /// With a configuration of one topic in data time.
    pub fn new(topic: &str) -> Place {
        Place::with(topic, &brokers(), "time: data")
    }

    pub fn with(topic: &str, brokers: &str, more: &str) -> Place {
        Place::with_lake("lake", &[], topic, brokers, more)
    }

    /// With a lake elsewhere, and environment variables to reach it.
    pub fn with_lake(lake: &str, environment: &[(&str, String)], topic: &str, brokers: &str, more: &str) -> Place {
        let folder = tempfile::tempdir().unwrap();
        let program = Program::new(folder.path()).unwrap().with_environment(environment);
        let (sql, http, flight) = (free_port().unwrap(), free_port().unwrap(), free_port().unwrap());
        let place = Place { folder, program, lake: lake.to_owned(), sql, http, flight };
        place.configure("satisflow.yaml", topic, brokers, more, place.sql, place.http);
        place
    }

    pub fn configure(&self, file: &str, topic: &str, brokers: &str, more: &str, sql: u16, http: u16) {
        let text = format!(
            "version: 1\nlake: {{ url: '{}', flush_interval_ms: 200, snapshot_interval_secs: 1 }}\n\
             kafka: {{ brokers: '{brokers}', group_id: {topic}, properties: {{ session.timeout.ms: 6000 }} }}\n\
             sources: [{{ topic: {topic} }}]\nidle_after_ms: 2000\nsql: {{ listen: '127.0.0.1:{sql}' }}\n\
             http: {{ listen: '127.0.0.1:{http}' }}\n{more}\n",
            self.lake
        );
        std::fs::write(self.path().join(file), text).unwrap();
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Produces a seeded stream; the truth goes to `truth.jsonl`.
    pub fn generate(&self, topic: &str, events: u32, more: &[&str]) -> Result<Running> {
        let (brokers, events) = (brokers(), events.to_string());
        let mut arguments = vec!["generate", "--events", &events, "--brokers", &brokers, "--topic", topic];
        arguments.extend(["--truth", "truth.jsonl"]);
        arguments.extend(more);
        self.program.start("generate", &arguments)
    }

    pub fn generate_all(&self, topic: &str, events: u32, more: &[&str]) {
        let mut generating = self.generate(topic, events, more).unwrap();
        assert_eq!(generating.wait(LIMIT).unwrap(), 0, "{}", generating.log());
    }

    /// One number from the lake; `None` while there is no lake.
    pub fn number(&self, query: &str) -> Option<i64> {
        let done =
            self.program.run(&["--log", "error", "sql", "--lake", &self.lake, "--format", "csv", query]).unwrap();
        done.out.lines().nth(1).and_then(|line| line.parse().ok())
    }

    pub fn wait_for_rows(&self, at_least: i64) {
        let query =
            "select (select count(*) from events) + (select count(*) from rejects) + (select count(*) from duplicates)";
        wait_for("rows in the lake", LIMIT, || self.number(query).filter(|n| *n >= at_least)).unwrap();
    }

    /// Records by class, from the truth.
    pub fn truth(&self) -> BTreeMap<String, i64> {
        let text = std::fs::read_to_string(self.path().join("truth.jsonl")).unwrap();
        let mut classes = BTreeMap::new();
        for line in text.lines() {
            let truth: serde_json::Value = serde_json::from_str(line).unwrap();
            *classes.entry(truth["class"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        classes
    }

    /// Runs to the end of the topic and closes every window.
    pub fn run_to_the_end(&self) {
        let mut running = self.program.start("last", &["run", "--exit-at-end"]).unwrap();
        assert_eq!(running.wait(LIMIT).unwrap(), 0, "{}", running.log());
    }

    /// What a program of psycopg says; its arguments are the port, and these.
    pub fn psycopg(&self, program: &str, more: &[&str]) -> String {
        let mut arguments = vec!["-c", program];
        let port = self.sql.to_string();
        arguments.push(&port);
        arguments.extend(more);
        python(&arguments)
    }

    /// A metric of the service, summed over its labels.
    pub fn metric(&self, name: &str) -> Option<f64> {
        value_of(&scrape(self.http)?, name)
    }

    /// Stops the processes in order, then as [`Place::check_at_the_end`].
    pub fn stop_and_check(&self, processes: [&mut Running; 2]) {
        for process in processes {
            process.signal("TERM").unwrap();
            assert_eq!(process.wait(LIMIT).unwrap(), 0, "{}", process.log());
        }
        self.check_at_the_end();
    }

    /// Takes in what is left, and holds every table against the truth, the audit and the oracle.
    pub fn check_at_the_end(&self) {
        self.run_to_the_end();
        self.check_conservation();
        self.check_audit();
        self.check_oracle();
    }

    /// Conservation: what the lake holds is what was produced, by class.
    pub fn check_conservation(&self) {
        let truth = self.truth();
        for (class, view) in [("accepted", "events"), ("duplicate", "duplicates"), ("rejected", "rejects")] {
            let expected = truth.get(class).copied().unwrap_or(0);
            assert_eq!(self.number(&format!("select count(*) from {view}")), Some(expected), "{class}");
        }
    }

    pub fn check_audit(&self) {
        let done = self.program.run(&["--log", "error", "audit"]).unwrap();
        assert_eq!(done.code, 0, "{}{}", done.out, done.err);
        assert!(done.out.trim_end().ends_with(" 0 differences") && !done.out.starts_with("0 KPI rows"), "{}", done.out);
    }

    /// Current KPI rows, sorted, without what tells when they were computed.
    pub fn kpis(&self) -> String {
        let query = "select kpi, window_name, grouping_set, channel, department, product, region, segment, window_end, \
                     value, numerator, denominator, n, sum_w, sum_wx, sum_w2, sum_w2x, sum_w2x2, n_eff, se, ci_low, \
                     ci_high, status from kpi_current \
                     order by 1, 2, 3, 4, 5, 6, 7, 8, 9";
        self.program.succeed(&["--log", "error", "sql", "--lake", &self.lake, "--format", "csv", query]).unwrap()
    }

    /// Compares every row with the oracle, which reads the truth alone.
    pub fn check_oracle(&self) {
        std::fs::write(self.path().join("kpis.csv"), self.kpis()).unwrap();
        let oracle = satisflow_testkit::repository().join("tests/oracle/compare.py");
        let done = std::process::Command::new("python3")
            .arg(oracle)
            .arg(self.path().join("truth.jsonl"))
            .arg(self.path().join("kpis.csv"))
            .output()
            .unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success(), "{text}");
    }
}
