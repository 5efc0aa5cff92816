//! MinIO, an S3 server in one process.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Result, bail};
use tempfile::TempDir;

use crate::kafka::end_with_this_process;
use crate::{free_port, script, wait_for};

const START_LIMIT: Duration = Duration::from_secs(60);
const USER: &str = "satisflow";
const PASSWORD: &str = "not-a-secret";
/// The bucket that is there from the start.
const BUCKET: &str = "lakes";

/// A server with one bucket; it is ended when dropped.
#[derive(Debug)]
pub struct Minio {
    folder: TempDir,
    port: u16,
    process: Option<Child>,
}

impl Minio {
    /// Starts a server on a free port and waits until it answers.
    ///
    /// # Errors
    /// When MinIO can't be built or does not start.
    pub fn start() -> Result<Minio> {
        let folder = tempfile::tempdir()?;
        std::fs::create_dir_all(folder.path().join("data").join(BUCKET))?;
        let mut minio = Minio { folder, port: free_port()?, process: None };
        minio.launch()?;
        Ok(minio)
    }

    /// Starts the server again on the same data.
    ///
    /// # Errors
    /// When it does not start.
    pub fn launch(&mut self) -> Result<()> {
        let binary = script("fetch-minio.sh")?;
        let log = std::fs::File::create(self.folder.path().join("log.txt"))?;
        let child = Command::new(binary)
            .args(["server", "--address", &self.address(), "--console-address", "127.0.0.1:0"])
            .arg(self.folder.path().join("data"))
            .envs([("MINIO_ROOT_USER", USER), ("MINIO_ROOT_PASSWORD", PASSWORD), ("MINIO_BROWSER", "off")])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        end_with_this_process(child.id())?;
        self.process = Some(child);
        wait_for("MinIO answers", START_LIMIT, || self.is_ready().then_some(()))
    }

    /// Ends the server at once, as a crash does.
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

    /// `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The place of a lake in the bucket.
    pub fn lake(&self, name: &str) -> String {
        format!("s3://{BUCKET}/{name}/lake")
    }

    /// Environment of a program that reaches this server at an address, its own or a proxy's.
    pub fn environment(address: &str) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL", format!("http://{address}")),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_ACCESS_KEY_ID", USER.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", PASSWORD.to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
        ]
    }

    fn is_ready(&self) -> bool {
        self.ask("/minio/health/ready").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    fn ask(&self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect(self.address())?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        if answer.is_empty() { bail!("no answer") } else { Ok(answer) }
    }
}

impl Drop for Minio {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("MinIO could not be ended: {error}");
        }
    }
}
