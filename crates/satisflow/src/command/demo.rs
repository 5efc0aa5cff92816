//! `satisflow demo`: broker, generator, service and listeners in one process.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use prometheus::Registry;
use satisflow_generate::{GenerateConfig, Generator};
use satisflow_kafka::{EmbeddedBroker, Producer};
use satisflow_pipeline::Board;
use tokio_util::sync::CancellationToken;

use super::run::serve_and_collect;
use super::say;
use super::serve::Listeners;
use crate::setup;

/// Of a lake that has been there before, with the time behind it: each start has a broker of its own, whose offsets
/// begin at 0.
const TOPIC: &str = "feedback";
const PARTITIONS: i32 = 4;
/// The drop begins this long after the start.
const DIP_AFTER: Duration = Duration::from_secs(20);
const WINDOW: &str = "1m";
const CATALOG: &str = include_str!("../../../../catalogs/demo/catalog.yaml");

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// End by itself after this long, such as 30s or 5m.
    #[arg(long = "for", value_parser = duration)]
    duration: Option<Duration>,
    /// Events a second.
    #[arg(long, default_value_t = 200)]
    rate: u32,
    /// Keep the lake in this folder, or go on with the one that is there; without it a temporary one is used and
    /// removed.
    #[arg(long)]
    lake: Option<PathBuf>,
    /// SQL listener.
    #[arg(long, default_value = "127.0.0.1:5433")]
    sql_listen: String,
    /// HTTP listener.
    #[arg(long, default_value = "127.0.0.1:8080")]
    http_listen: String,
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed: jiff::SignedDuration = text.parse().map_err(|_| "such as 30s or 5m".to_owned())?;
    Duration::try_from(parsed).map_err(|_| "a duration is not negative".to_owned())
}

/// A folder of the demo's own, removed with it.
struct Folder {
    path: PathBuf,
}

impl Folder {
    fn create() -> Result<Folder> {
        let path = std::env::temp_dir().join(format!("satisflow-demo-{}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        Ok(Folder { path })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "the demo's folder could not be removed");
        }
    }
}

pub(crate) async fn demo(args: DemoArgs) -> Result<ExitCode> {
    // First of all: whoever stops it while it starts leaves no folder behind.
    let stop = CancellationToken::new();
    satisflow_runtime::stop_on_signal(stop.clone())?;
    let folder = Folder::create()?;
    let topic = topic(args.lake.as_deref());
    let broker = EmbeddedBroker::start(&topic, PARTITIONS)?;
    let config = write_config(&folder.path, &args, &topic, &broker.brokers())?;
    let checked = setup::load(&config)?;
    let listeners = Listeners::bind(&checked.config).await?;
    let (sql, http) = listeners.addresses()?;
    let registry = Registry::new();
    let Some(parts) = stop.run_until_cancelled(setup::parts(&checked, &registry)).await else {
        return Ok(ExitCode::SUCCESS);
    };
    let parts = parts?;
    let kafka = checked.config.kafka.clone().context("the demo's configuration names its broker")?;
    let producing = tokio::spawn(produce(broker.brokers(), topic, args.rate, stop.clone()));
    let board = tokio::spawn(show(Board::new(parts.shared.clone(), WINDOW), hints(sql, http), stop.clone()));
    if let Some(duration) = args.duration {
        let stop = stop.clone();
        tokio::spawn(async move {
            tokio::time::sleep(duration).await;
            stop.cancel();
        });
    }
    let served = serve_and_collect(listeners, parts, registry, kafka, stop.clone(), false).await;
    stop.cancel();
    board.await??;
    producing.await??;
    served?;
    say("The demo has ended; everything accepted was committed.")?;
    Ok(ExitCode::SUCCESS)
}

fn hints(sql: std::net::SocketAddr, http: std::net::SocketAddr) -> String {
    format!(
        "Open http://{http}/ in a browser, or try:\n  psql -h {} -p {} -d satisflow -c \"select * from kpi_latest where window_name = '{WINDOW}'\"\n  \
         curl -s http://{http}/metrics | grep satisflow_kpi_value\n  \
         curl -s http://{http}/sql -H 'content-type: application/json' -d '{{\"query\": \"select kind, count(*) from events group by kind\"}}'",
        sql.ip(),
        sql.port()
    )
}

fn topic(lake: Option<&Path>) -> String {
    if lake.is_some_and(|lake| lake.join("records").exists()) {
        format!("{TOPIC}-{}", satisflow_runtime::now_micros() / 1_000_000)
    } else {
        TOPIC.to_owned()
    }
}

fn write_config(folder: &Path, args: &DemoArgs, topic: &str, brokers: &str) -> Result<PathBuf> {
    let lake = match &args.lake {
        Some(path) => std::path::absolute(path)?,
        None => folder.join("lake"),
    };
    let text = format!(
        "version: 1\nlake: {{ url: {lake:?}, flush_interval_ms: 500 }}\nkafka: {{ brokers: {brokers:?}, group_id: satisflow-demo }}\n\
         sources: [{{ topic: {topic} }}]\ncatalog: catalog.yaml\nallowed_lateness_ms: 2000\nidle_after_ms: 5000\n\
         sql: {{ listen: {:?} }}\nhttp: {{ listen: {:?} }}\n",
        args.sql_listen, args.http_listen
    );
    std::fs::write(folder.join("catalog.yaml"), CATALOG)?;
    let path = folder.join("satisflow.yaml");
    std::fs::write(&path, text)?;
    Ok(path)
}

/// A bounded rate of events of this moment, with a drop in one department.
async fn produce(brokers: String, topic: String, rate: u32, stop: CancellationToken) -> Result<()> {
    const TICK: Duration = Duration::from_millis(50);
    let producer = Producer::new(&brokers, &topic, &BTreeMap::new())?;
    let config = GenerateConfig { partitions: PARTITIONS, late: 0.0, ..GenerateConfig::new(7, u64::MAX) };
    let mut generator = Generator::new(config);
    let started = Instant::now();
    let mut sent = 0u64;
    while !stop.is_cancelled() {
        generator.set_dip(started.elapsed() >= DIP_AFTER);
        let due = (started.elapsed().as_secs_f64() * f64::from(rate)) as u64 + u64::from(rate / 4);
        while sent < due {
            let record = generator.next_at(satisflow_runtime::now_micros());
            producer.send(sent, Some(record.partition), Some(&record.payload))?;
            sent += 1;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(TICK) => {}
        }
    }
    producer.flush()?;
    Ok(())
}

/// In place on a terminal, plain lines elsewhere.
async fn show(board: Board, hints: String, stop: CancellationToken) -> Result<()> {
    let terminal = std::io::stdout().is_terminal();
    let every = if terminal { Duration::from_secs(1) } else { Duration::from_secs(2) };
    let mut said_hints = false;
    loop {
        let table = table(&board);
        match (terminal, table) {
            (true, Some(table)) => say(&format!(
                "\x1b[H\x1b[2JSatisflow demo: the last minute, live. Ctrl-C ends it.\n\n{table}\n{hints}"
            ))?,
            (false, Some(table)) => {
                say(&table)?;
                if !said_hints {
                    say(&hints)?;
                    said_hints = true;
                }
            }
            (_, None) => {}
        }
        let wait = if said_hints || terminal { every } else { Duration::from_millis(200) };
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(wait) => {}
        }
    }
}

fn table(board: &Board) -> Option<String> {
    let rows = board.rows(satisflow_runtime::now_micros());
    let shown: Vec<_> = rows.iter().filter(|row| row.figures.n > 0).collect();
    if shown.is_empty() {
        return None;
    }
    let mut text =
        format!("{:<20} {:<16} {:>10} {:>7} {:>23}  status\n", "KPI", "group", "value", "n", "95 % interval");
    for row in shown {
        let value = row.figures.value_f64().map_or("-".to_owned(), |v| format!("{v:.3}"));
        let interval = row.figures.interval.map_or(String::new(), |i| format!("[{:.3}, {:.3}]", i.low, i.high));
        text += &format!(
            "{:<20} {:<16} {value:>10} {:>7} {interval:>23}  {}\n",
            row.kpi,
            row.group,
            row.figures.n,
            row.figures.status.as_str()
        );
    }
    Some(text)
}
