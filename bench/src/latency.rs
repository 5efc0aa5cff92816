//! Time from producing an event until `/metrics` and SQL show it, under load.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use satisflow_testkit::{Kafka, free_port, wait_for};

use crate::process::cpu_time;

const TOPIC: &str = "feedback";
const START_LIMIT: Duration = Duration::from_secs(60);
const SEEN_LIMIT: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(2);

#[derive(Debug, Args)]
pub(crate) struct LatencyArgs {
    /// Records a second beside the probes.
    #[arg(long, default_value_t = 5_000)]
    rate: u64,
    /// Probes of each kind.
    #[arg(long, default_value_t = 200)]
    probes: usize,
}

/// The service and its load; both end when dropped.
struct Bench {
    port: u16,
    producer: BaseProducer,
    service: Child,
    load: Child,
}

impl Drop for Bench {
    fn drop(&mut self) {
        for child in [&mut self.load, &mut self.service] {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

pub(crate) fn latency(args: &LatencyArgs) -> Result<()> {
    let kafka = Kafka::start()?;
    let folder = tempfile::tempdir()?;
    let bench = start(args, &kafka.brokers(), folder.path())?;
    let before = (cpu_time(bench.service.id()).unwrap_or_default(), Instant::now());
    println!("| from an event to | p50, ms | p99, ms | most, ms |");
    println!("|---|---|---|---|");
    print_row("SQL (`events`)", bench.probe(args.probes, "sql", Bench::in_sql)?);
    print_row("`/metrics` (state `live`)", bench.probe(args.probes, "metrics", Bench::in_metrics)?);
    let used = cpu_time(bench.service.id()).unwrap_or_default().saturating_sub(before.0);
    let share = used.as_secs_f64() / before.1.elapsed().as_secs_f64();
    println!("\nThe service used {:.0} % of a core at {} events/s, probes included.", share * 100.0, args.rate);
    Ok(())
}

fn print_row(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)].as_secs_f64() * 1e3;
    println!("| {what} | {:.0} | {:.0} | {:.0} |", at(50), at(99), at(100));
}

fn start(args: &LatencyArgs, brokers: &str, folder: &Path) -> Result<Bench> {
    let mut load = Command::new(satisflow_testkit::binary()?);
    // Event times lie behind the probes', so that the probes are never late.
    load.args(["generate", "--brokers", brokers, "--topic", TOPIC, "--days", "1", "--bytes", "339"]);
    load.args(["--events", "100000000", "--rate", &args.rate.to_string()]);
    let load = load.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let port = free_port()?;
    std::fs::write(folder.join("satisflow.yaml"), configuration(brokers, port))?;
    std::fs::write(folder.join("catalog.yaml"), CATALOG)?;
    let mut service = Command::new(satisflow_testkit::binary()?);
    service.args(["--log", "warn", "run"]).current_dir(folder).stdout(Stdio::null());
    let service = service.stderr(std::fs::File::create(folder.join("run.log"))?).spawn()?;
    let producer = ClientConfig::new().set("bootstrap.servers", brokers).set("linger.ms", "0").create()?;
    let bench = Bench { port, producer, service, load };
    wait_for("the service has caught up", START_LIMIT, || {
        bench.get("/metrics").ok().filter(|text| text.contains("satisflow_kpi_complete 1"))
    })
    .with_context(|| std::fs::read_to_string(folder.join("run.log")).unwrap_or_default())?;
    Ok(bench)
}

impl Bench {
    /// Produces probes one after the other and waits for each to be seen.
    fn probe(&self, count: usize, name: &str, seen: fn(&Bench, &str) -> Result<bool>) -> Result<Vec<Duration>> {
        (0..count).map(|number| self.one(&format!("{name}-{number}"), seen)).collect()
    }

    fn one(&self, id: &str, seen: fn(&Bench, &str) -> Result<bool>) -> Result<Duration> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis();
        let payload = format!(
            "{{\"event_id\":\"{id}\",\"kind\":\"rating\",\"event_time\":{now},\"department\":\"{id}\",\
             \"scale\":\"1-5\",\"score\":5}}"
        );
        let started = Instant::now();
        let record = BaseRecord::<(), str>::to(TOPIC).payload(payload.as_str());
        self.producer.send(record).map_err(|(error, _)| error)?;
        self.producer.flush(SEEN_LIMIT)?;
        while !seen(self, id)? {
            if started.elapsed() > SEEN_LIMIT {
                bail!("probe {id} was not seen within {SEEN_LIMIT:?}");
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(started.elapsed())
    }

    fn in_sql(&self, id: &str) -> Result<bool> {
        let query = format!(
            "select count(*) as n from events where event_id = '{id}' and event_time > now() - interval '1 hour'"
        );
        let body = serde_json::json!({ "query": query }).to_string();
        let answer = self.http(&format!(
            "POST /sql HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            self.port,
            body.len()
        ))?;
        if !answer.contains("200 OK") {
            bail!("{answer}");
        }
        Ok(answer.contains("\"n\":1") || answer.contains("\"n\":\"1\""))
    }

    fn in_metrics(&self, id: &str) -> Result<bool> {
        Ok(self.get("/metrics")?.contains(&format!("department=\"{id}\"")))
    }

    fn get(&self, path: &str) -> Result<String> {
        self.http(&format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n\r\n", self.port))
    }

    fn http(&self, request: &str) -> Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

const CATALOG: &str = "version: 1
dimensions: { department: department, channel: channel }
windows: { 5m: { length: 5m, step: 1m }, 7d: { length: 7d, step: 1h } }
measures:
  satisfaction:
    kinds: [rating, survey_response]
    value: csat_0_100(coalesce(score, overall), scale)
    weight: weight
defaults: { grouping_sets: [[], [department], [channel]] }
metrics:
  csat: { mean: satisfaction }
  response_count: { count: satisfaction }
";

fn configuration(brokers: &str, port: u16) -> String {
    format!(
        "version: 1
lake: {{ url: lake }}
kafka: {{ brokers: \"{brokers}\", group_id: bench }}
sources: [{{ topic: {TOPIC} }}]
catalog: catalog.yaml
sql: {{ listen: \"127.0.0.1:0\" }}
http: {{ listen: \"127.0.0.1:{port}\", metrics_groups_max: 2000 }}
"
    )
}
