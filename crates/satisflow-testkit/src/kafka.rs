//! Apache Kafka, one node in KRaft mode.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::secured::{self, Login};
use crate::{free_port, script, wait_for};

const START_LIMIT: Duration = Duration::from_secs(90);

/// A running broker with a data folder of its own.
#[derive(Debug)]
pub struct Kafka {
    folder: TempDir,
    lib: String,
    port: u16,
    secured_port: Option<u16>,
    process: Option<Child>,
}

impl Kafka {
    /// Starts a broker on free ports and waits until it answers.
    ///
    /// # Errors
    /// When Kafka can't be fetched or does not start.
    pub fn start() -> Result<Kafka> {
        Kafka::start_with(None)
    }

    /// The same with a second listener, for TLS and one login (SASL PLAIN and
    /// SCRAM-SHA-256), with a key made here.
    ///
    /// # Errors
    /// When Kafka can't be fetched or does not start, or there is no `openssl`.
    pub fn start_secured(login: &Login) -> Result<Kafka> {
        Kafka::start_with(Some(login))
    }

    fn start_with(login: Option<&Login>) -> Result<Kafka> {
        let lib = format!("{}/lib/*", script("fetch-kafka.sh")?);
        let folder = tempfile::tempdir()?;
        let (port, controller) = (free_port()?, free_port()?);
        let secured_port = login.map(|_| free_port()).transpose()?;
        let secured = secured_port.zip(login);
        std::fs::write(folder.path().join("server.properties"), properties(folder.path(), port, controller, secured))?;
        if login.is_some() {
            secured::make_key(folder.path())?;
        }
        let mut kafka = Kafka { folder, lib, port, secured_port, process: None };
        kafka.format(login)?;
        kafka.launch()?;
        Ok(kafka)
    }

    /// `host:port`.
    pub fn brokers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `host:port` of the listener that asks for TLS and a login, if there is one.
    pub fn secured_brokers(&self) -> Option<String> {
        self.secured_port.map(|port| format!("127.0.0.1:{port}"))
    }

    /// The certificate to trust, for the secured listener.
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join(secured::CERTIFICATE)
    }

    /// Starts the broker again on the same data.
    ///
    /// # Errors
    /// When it does not start.
    pub fn launch(&mut self) -> Result<()> {
        let log = std::fs::File::create(self.folder.path().join("log.txt"))?;
        let child = self
            .java(&["kafka.Kafka"])
            .arg(self.folder.path().join("server.properties"))
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        end_with_this_process(child.id())?;
        self.process = Some(child);
        wait_for("Kafka answers", START_LIMIT, || TcpStream::connect(self.brokers()).ok()).map(drop)
    }

    /// Sends the broker a signal by its name, such as STOP or CONT.
    ///
    /// # Errors
    /// When it does not run.
    pub fn signal(&self, name: &str) -> Result<()> {
        let id = self.process.as_ref().context("the broker does not run")?.id();
        let sent = Command::new("kill").arg(format!("-{name}")).arg(id.to_string()).status()?;
        if sent.success() { Ok(()) } else { bail!("signal {name} could not be sent") }
    }

    /// Ends the broker at once, as a crash does.
    ///
    /// # Errors
    /// When it can't be ended.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill()?;
            process.wait()?;
        }
        Ok(())
    }

    fn java(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("java");
        command.args(["-Xms256m", "-Xmx512m", "-cp", &self.lib]).args(arguments).stdin(Stdio::null());
        command
    }

    fn format(&self, login: Option<&Login>) -> Result<()> {
        let id = self.java(&["kafka.tools.StorageTool", "random-uuid"]).output().context("java")?;
        let id = String::from_utf8_lossy(&id.stdout).lines().last().unwrap_or_default().to_owned();
        let config = self.folder.path().join("server.properties");
        let mut format = self.java(&["kafka.tools.StorageTool", "format", "-t", &id, "-c"]);
        format.arg(&config).args(login.into_iter().flat_map(Login::format_arguments));
        let formatted = format.output()?;
        if !formatted.status.success() {
            bail!("formatting Kafka's storage: {}", String::from_utf8_lossy(&formatted.stderr));
        }
        Ok(())
    }
}

/// A server that all tests share is never dropped: a watcher ends it with them.
pub(crate) fn end_with_this_process(broker: u32) -> Result<()> {
    let test = std::process::id();
    let watch = format!("while kill -0 {test} && kill -0 {broker}; do sleep 1; done; kill -9 {broker}");
    Command::new("sh").args(["-c", &watch]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    Ok(())
}

impl Drop for Kafka {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("Kafka could not be ended: {error}");
        }
    }
}

fn properties(folder: &Path, port: u16, controller: u16, secured: Option<(u16, &Login)>) -> String {
    let listener = secured.map(|(port, _)| format!(",{}://127.0.0.1:{port}", secured::LISTENER)).unwrap_or_default();
    let more = secured.map(|(_, login)| login.properties(folder)).unwrap_or_default();
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}{listener}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}{listener}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,{}:SASL_SSL
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={}
num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
{more}",
        secured::LISTENER,
        folder.join("data").display()
    )
}
