//! Queries of a dashboard by the service, beside DuckDB with the same text on
//! the same Parquet files, results compared.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use satisflow_testkit::{free_port, wait_for};

use crate::recovery::{CATALOG, fill};

#[derive(Debug, Args)]
pub(crate) struct QueriesArgs {
    /// Events of the lake.
    #[arg(long, default_value_t = 20_000_000)]
    events: u64,
    /// Days that event times are spread over.
    #[arg(long, default_value_t = 180)]
    days: u32,
    /// Folder of the lake: one that is there is asked as it is; a temporary one by default.
    #[arg(long)]
    folder: Option<PathBuf>,
}

const START_LIMIT: Duration = Duration::from_secs(600);
const COMPARED: &str = include_str!("queries.py");

/// The service, ended when dropped.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn queries(args: &QueriesArgs) -> Result<()> {
    let own = tempfile::tempdir()?;
    let folder = args.folder.as_deref().unwrap_or(own.path());
    std::fs::write(folder.join("catalog.yaml"), CATALOG)?;
    let (sql, http) = (free_port()?, free_port()?);
    std::fs::write(folder.join("satisflow.yaml"), configuration(sql, http))?;
    if !folder.join("lake").exists() {
        fill(args.events, args.days, folder)?;
    }
    let _service = start(folder, http)?;
    let python = satisflow_testkit::script("python-env.sh")?;
    let done = Command::new(python).args(["-c", COMPARED, &http.to_string()]).arg(folder.join("lake")).status()?;
    ensure!(done.success(), "the comparison ended with {done}");
    Ok(())
}

/// No broker: what is asked is the lake.
fn configuration(sql: u16, http: u16) -> String {
    format!(
        "version: 1
lake: {{ url: lake }}
kafka: {{ brokers: \"127.0.0.1:1\", group_id: bench }}
sources: [{{ topic: feedback }}]
catalog: catalog.yaml
time: data
sql: {{ listen: \"127.0.0.1:{sql}\", memory_bytes_max: 2147483648 }}
http: {{ listen: \"127.0.0.1:{http}\" }}
"
    )
}

fn start(folder: &Path, http: u16) -> Result<Service> {
    let mut command = Command::new(satisflow_testkit::binary()?);
    command.args(["--log", "error", "run"]).current_dir(folder);
    let log = std::fs::File::create(folder.join("run.log"))?;
    let service = Service(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?);
    wait_for("the service", START_LIMIT, || std::net::TcpStream::connect(("127.0.0.1", http)).ok())?;
    Ok(service)
}
