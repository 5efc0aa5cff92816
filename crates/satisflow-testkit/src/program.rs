//! The program, as a process of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::wait_for;

/// A folder that the program runs in.
#[derive(Debug, Clone)]
pub struct Program {
    folder: PathBuf,
    binary: PathBuf,
    environment: Vec<(String, String)>,
}

/// What a run of the program has left.
#[derive(Debug)]
pub struct Finished {
    /// Exit status; -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// A process in the background; it is killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    err: PathBuf,
}

/// The program as it was built with what runs, in the same profile: beside `deps`, the folder of tests, or beside a
/// benchmark.
///
/// # Errors
/// When it is not built.
pub fn binary() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let beside = own.ancestors().skip(1).find(|folder| folder.file_name() != Some("deps".as_ref()));
    let binary = beside.context("this runs from no folder")?.join("satisflow");
    if !binary.exists() {
        bail!("{} is not built: run `make test` or `make bench`, or build its binaries first", binary.display());
    }
    Ok(binary)
}

/// The folder that cargo builds into, from where this runs: cargo marks it.
pub(crate) fn target_folder() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let marked = own.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists());
    marked.map(Path::to_owned).context("this does not run from cargo's folder")
}

impl Program {
    /// The program in a folder.
    ///
    /// # Errors
    /// When it is not built.
    pub fn new(folder: &Path) -> Result<Program> {
        Ok(Program { folder: folder.to_owned(), binary: binary()?, environment: Vec::new() })
    }

    /// The program's file.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// The same with more environment variables.
    pub fn with_environment(mut self, variables: &[(&str, String)]) -> Program {
        self.environment.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        self
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(arguments).current_dir(&self.folder).stdin(Stdio::null()).env_remove("RUST_LOG");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn run(&self, arguments: &[&str]) -> Result<Finished> {
        let output = self.command(arguments).output()?;
        Ok(Finished {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs to the end and expects success; gives standard output.
    ///
    /// # Errors
    /// When it fails.
    pub fn succeed(&self, arguments: &[&str]) -> Result<String> {
        let finished = self.run(arguments)?;
        if finished.code != 0 {
            bail!("satisflow {arguments:?} ended with {}:\n{}\n{}", finished.code, finished.out, finished.err);
        }
        Ok(finished.out)
    }

    /// Starts in the background; its logs go to `<name>.log` in the folder.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start(&self, name: &str, arguments: &[&str]) -> Result<Running> {
        let err = self.folder.join(format!("{name}.log"));
        let log = std::fs::File::create(&err)?;
        let child = self.command(arguments).stdout(Stdio::null()).stderr(log).spawn()?;
        Ok(Running { child, err })
    }
}

impl Running {
    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.err).unwrap_or_default()
    }

    /// The number of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name, such as TERM or STOP.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn signal(&self, name: &str) -> Result<()> {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status()?;
        if sent.success() { Ok(()) } else { bail!("signal {name} could not be sent") }
    }

    /// Waits for its end; gives the exit status, -1 after a signal.
    ///
    /// # Errors
    /// When it does not end within `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<i32> {
        let child = &mut self.child;
        let ended = wait_for("the program ends", limit, || child.try_wait().ok().flatten());
        let status = ended.with_context(|| self.log())?;
        Ok(status.code().unwrap_or(-1))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
