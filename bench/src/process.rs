//! What a child process has cost, from /proc.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Clock ticks of /proc a second: the kernel's interface fixes it at 100.
const TICKS_PER_SECOND: f64 = 100.0;
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The cost of a process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) cpu: Duration,
    pub(crate) elapsed: Duration,
    pub(crate) memory_bytes_max: u64,
}

/// Runs to the end and expects success. The log goes to a file.
pub(crate) fn measured(command: &mut Command, log: &Path) -> Result<Cost> {
    let started = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(std::fs::File::create(log)?).spawn()?;
    let (mut cpu, mut memory) = (Duration::ZERO, 0);
    loop {
        // A process that has ended and is not waited for still shows its time.
        cpu = cpu.max(cpu_time(child.id()).unwrap_or_default());
        memory = memory.max(memory_bytes_max(child.id()).unwrap_or_default());
        if is_zombie(child.id()) {
            break;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    ended(&mut child, log)?;
    Ok(Cost { cpu, elapsed: started.elapsed(), memory_bytes_max: memory })
}

/// Runs the whole pipeline from an empty lake in a folder to the end of a topic,
/// under a catalog and `more` of a configuration.
pub(crate) fn pipeline(folder: &Path, brokers: &str, topic: &str, catalog: &str, more: &str) -> Result<Cost> {
    std::fs::write(folder.join("catalog.yaml"), catalog)?;
    std::fs::write(folder.join("satisflow.yaml"), configuration(brokers, topic, more))?;
    let mut command = Command::new(satisflow_testkit::binary()?);
    command.args(["--log", "warn", "run", "--exit-at-end"]).current_dir(folder);
    measured(&mut command, &folder.join("run.log"))
}

fn configuration(brokers: &str, topic: &str, more: &str) -> String {
    format!(
        "version: 1
lake: {{ url: lake }}
kafka: {{ brokers: \"{brokers}\", group_id: bench }}
sources: [{{ topic: {topic} }}]
catalog: catalog.yaml
time: data
sql: {{ listen: \"127.0.0.1:0\" }}
http: {{ listen: \"127.0.0.1:0\" }}
{more}"
    )
}

fn ended(child: &mut Child, log: &Path) -> Result<()> {
    let status = child.wait()?;
    if !status.success() {
        bail!("ended with {status}: {}", std::fs::read_to_string(log).unwrap_or_default());
    }
    Ok(())
}

/// The fields of /proc/PID/stat after the name, which may hold anything.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(text.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}

fn is_zombie(pid: u32) -> bool {
    stat(pid).is_none_or(|fields| fields.first().is_some_and(|state| state == "Z"))
}

pub(crate) fn cpu_time(pid: u32) -> Option<Duration> {
    let fields = stat(pid)?;
    let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some(Duration::from_secs_f64(ticks / TICKS_PER_SECOND))
}

fn memory_bytes_max(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
}
