//! `satisflow generate`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use satisflow_generate::{GenerateConfig, Generated, Generator};
use satisflow_kafka::{Producer, ensure_topic};
use tokio_util::sync::CancellationToken;

#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    /// Number of records.
    #[arg(long, default_value_t = 10_000)]
    events: u64,
    /// Same seed, same events.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Records a second; without it as fast as it goes. To files as to Kafka.
    #[arg(long)]
    rate: Option<u64>,
    /// Size of a payload, about.
    #[arg(long, default_value_t = 0)]
    bytes: usize,
    /// Days that event times are spread over.
    #[arg(long, default_value_t = 30)]
    days: u32,
    /// Time of the first event, RFC 3339; without it 2026-09-21T14:13:20Z.
    #[arg(long)]
    start: Option<jiff::Timestamp>,
    /// Number of departments.
    #[arg(long, default_value_t = 8)]
    departments: usize,
    /// Good events only: no duplicates, late or malformed ones.
    #[arg(long)]
    clean: bool,
    /// Kafka's `host:port`; without it lines go to standard output.
    #[arg(long, requires = "topic")]
    brokers: Option<String>,
    /// Setting of the Kafka client, as in `kafka.properties`; may be said several times.
    #[arg(long = "property", short = 'X', value_name = "KEY=VALUE", value_parser = property, requires = "brokers")]
    properties: Vec<(String, String)>,
    /// Topic; created with `--partitions` if it is not there.
    #[arg(long)]
    topic: Option<String>,
    /// Number of partitions.
    #[arg(long, default_value_t = 4)]
    partitions: i32,
    /// File for the truth about each record: one JSON line each.
    #[arg(long)]
    truth: Option<PathBuf>,
}

impl GenerateArgs {
    fn config(&self) -> GenerateConfig {
        let default = GenerateConfig::new(self.seed, self.events);
        let config = GenerateConfig {
            start_micros: self.start.map_or(default.start_micros, jiff::Timestamp::as_microsecond),
            partitions: self.partitions.max(1),
            span_micros: i64::from(self.days) * 86_400_000_000,
            departments: self.departments,
            bytes: self.bytes,
            ..default
        };
        if self.clean { config.clean() } else { config }
    }
}

pub(crate) async fn generate(args: GenerateArgs) -> Result<ExitCode> {
    match (&args.brokers, &args.topic) {
        (Some(brokers), Some(topic)) => to_kafka(&args, brokers, topic).await?,
        _ => to_stdout(&args).await?,
    }
    Ok(ExitCode::SUCCESS)
}

fn property(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("such as security.protocol=SASL_SSL")?;
    Ok((key.to_owned(), value.to_owned()))
}

async fn to_stdout(args: &GenerateArgs) -> Result<()> {
    // A file is one partition.
    let config = GenerateConfig { partitions: 1, ..args.config() };
    let mut truth = truth_file(args)?;
    let stop = CancellationToken::new();
    satisflow_runtime::stop_on_signal(stop.clone())?;
    let started = Instant::now();
    for (number, record) in (0u64..).zip(Generator::new(config)) {
        write_line(&record.payload)?;
        write_truth(&mut truth, &record, "file", 0, i64::try_from(number)?)?;
        stop.run_until_cancelled(pace(args.rate, number + 1, started)).await;
        if stop.is_cancelled() {
            break;
        }
    }
    Ok(())
}

/// The bytes as they are: some records are no UTF-8 on purpose.
fn write_line(payload: &[u8]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(payload).and_then(|()| out.write_all(b"\n")) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        written => Ok(written?),
    }
}

async fn to_kafka(args: &GenerateArgs, brokers: &str, topic: &str) -> Result<()> {
    const KEPT_FOR_TRUTH: usize = 50_000;
    let properties: BTreeMap<String, String> = args.properties.iter().cloned().collect();
    let there = ensure_topic(brokers, topic, args.partitions, &properties).await?;
    let needed = usize::try_from(args.partitions).unwrap_or(0);
    if let Some(there) = there.filter(|there| args.events > 0 && *there < needed) {
        bail!(
            "topic `{topic}` is there already and has {there} partitions, and `--partitions` is {}: say \
             `--partitions {there}`, or give the topic more partitions",
            args.partitions
        );
    }
    let producer = Producer::new(brokers, topic, &properties)?;
    let mut truth = truth_file(args)?;
    let mut kept: BTreeMap<u64, Generated> = BTreeMap::new();
    let stop = CancellationToken::new();
    satisflow_runtime::stop_on_signal(stop.clone())?;
    let (started, mut sent) = (Instant::now(), 0);
    for (number, record) in (0u64..).zip(Generator::new(args.config())) {
        producer.send(number, Some(record.partition), Some(&record.payload))?;
        if truth.is_some() {
            kept.insert(number, record);
        }
        if kept.len() >= KEPT_FOR_TRUTH {
            settle(&producer, &mut kept, &mut truth, topic)?;
        }
        sent = number + 1;
        stop.run_until_cancelled(pace(args.rate, sent, started)).await;
        if stop.is_cancelled() {
            break;
        }
    }
    settle(&producer, &mut kept, &mut truth, topic)?;
    eprintln!("{sent} records produced to {topic}");
    Ok(())
}

async fn pace(rate: Option<u64>, sent: u64, started: Instant) {
    let Some(rate) = rate.filter(|rate| *rate > 0) else { return };
    let due = Duration::from_micros(sent.saturating_mul(1_000_000) / rate);
    let ahead = due.saturating_sub(started.elapsed());
    if ahead > Duration::from_millis(5) {
        tokio::time::sleep(ahead).await;
    }
}

fn settle(
    producer: &Producer,
    kept: &mut BTreeMap<u64, Generated>,
    truth: &mut Option<std::io::BufWriter<std::fs::File>>,
    topic: &str,
) -> Result<()> {
    for (number, partition, offset) in producer.flush()? {
        if let Some(record) = kept.remove(&number) {
            write_truth(truth, &record, topic, partition, offset)?;
        }
    }
    Ok(())
}

fn truth_file(args: &GenerateArgs) -> Result<Option<std::io::BufWriter<std::fs::File>>> {
    let open = |path: &PathBuf| {
        let file = std::fs::File::create(path).with_context(|| path.display().to_string())?;
        Ok(std::io::BufWriter::new(file))
    };
    args.truth.as_ref().map(open).transpose()
}

fn write_truth(
    truth: &mut Option<std::io::BufWriter<std::fs::File>>,
    record: &Generated,
    topic: &str,
    partition: i32,
    offset: i64,
) -> Result<()> {
    match truth {
        Some(file) => Ok(writeln!(file, "{}", record.truth_line(topic, partition, offset))?),
        None => Ok(()),
    }
}
