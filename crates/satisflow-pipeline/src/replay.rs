//! Files of JSON lines through the very same pipeline: data time, no broker.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Instant;

use satisflow_model::Record;

use crate::error::PipelineError;
use crate::service::ServiceParts;

/// Lines decoded at once.
const LINES_MAX: usize = 8192;

/// What a replay has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReplayReport {
    /// Lines taken as records.
    pub records: u64,
    /// Lines that an earlier replay had taken.
    pub skipped: u64,
}

/// Files to replay.
pub struct Replay {
    /// What it runs on.
    pub parts: ServiceParts,
    /// The files, in order.
    pub files: Vec<PathBuf>,
    /// Told of the bytes read.
    pub progress: Box<dyn Fn(u64) + Send>,
}

impl Replay {
    /// Takes every line not taken before, then closes every window.
    ///
    /// A file is a topic of its own, `file:<name>`, a line an offset: the same
    /// file again adds nothing but the lines appended to it.
    ///
    /// # Errors
    /// When a file can't be read, or the lake can't be written.
    pub async fn run(self) -> Result<ReplayReport, PipelineError> {
        let mut scorer = self.parts.scorer()?;
        scorer.take_over().await?;
        let mut report = ReplayReport::default();
        for file in &self.files {
            self.file(file, &mut report, &mut scorer).await?;
        }
        scorer.finish(true, (self.parts.clock)()).await?;
        Ok(report)
    }

    async fn file(
        &self,
        path: &Path,
        report: &mut ReplayReport,
        scorer: &mut crate::scorer::Scorer,
    ) -> Result<(), PipelineError> {
        let topic = format!("file:{}", path.file_name().unwrap_or_default().to_string_lossy());
        let unreadable = |source| PipelineError::File { path: path.display().to_string(), source };
        let mut reader = BufReader::new(std::fs::File::open(path).map_err(unreadable)?);
        let mut collector = self.parts.collector();
        let from = collector.assign(&topic, 0).await?.unwrap_or(0);
        let mut offset = 0i64;
        loop {
            let lines = read_lines(&mut reader).map_err(unreadable)?;
            if lines.is_empty() {
                break;
            }
            (self.progress)(lines.iter().map(|line| line.len() as u64).sum());
            let ingest = (self.parts.clock)();
            let numbered = lines.iter().zip(offset..).filter(|(line, _)| !line.trim_ascii().is_empty());
            let (taken, skipped): (Vec<_>, Vec<_>) = numbered.partition(|(_, at)| *at >= from);
            report.records += taken.len() as u64;
            report.skipped += skipped.len() as u64;
            let record = |(line, offset): (&Vec<u8>, i64)| (line.trim_ascii().to_vec(), offset);
            let owned: Vec<(Vec<u8>, i64)> = taken.into_iter().map(record).collect();
            let records = owned.iter().map(|(line, offset)| Record {
                topic: &topic,
                partition: 0,
                offset: *offset,
                timestamp_ms: None,
                payload: Some(line),
                headers: &[],
            });
            collector.take(records, None, ingest).await?;
            offset += lines.len() as i64;
            if collector.due().is_some_and(|due| due <= Instant::now()) {
                flush(&mut collector, scorer, ingest).await?;
            }
        }
        flush(&mut collector, scorer, (self.parts.clock)()).await
    }
}

async fn flush(
    collector: &mut crate::collector::Collector,
    scorer: &mut crate::scorer::Scorer,
    clock: i64,
) -> Result<(), PipelineError> {
    if let Some(committed) = collector.flush().await? {
        scorer.remember(committed.version, committed.accepted);
        scorer.take_in(clock).await?;
    }
    Ok(())
}

fn read_lines(reader: &mut impl BufRead) -> std::io::Result<Vec<Vec<u8>>> {
    let mut lines = Vec::new();
    while lines.len() < LINES_MAX {
        let mut line = Vec::new();
        if reader.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        lines.push(line);
    }
    Ok(lines)
}
