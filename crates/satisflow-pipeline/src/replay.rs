//! Files of JSON lines through the very same pipeline: data time, no broker.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Instant;

use arrow::array::{Array, AsArray};
use satisflow_model::{Decoder, Record};

use crate::collector::Collector;
use crate::error::PipelineError;
use crate::scorer::Scorer;
use crate::service::ServiceParts;

/// Topics of files have this prefix.
pub(crate) const FILE_TOPIC: &str = "file:";
/// Lines decoded at once, at most.
const LINES_MAX: usize = 8192;
/// Bytes of them, about.
const BATCH_BYTES_MAX: usize = 8 << 20;
/// Longer lines end the replay: no limit of records allows them.
const LINE_BYTES_MAX: u64 = 64 << 20;

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
    /// The source that they are read as.
    pub source: String,
    /// Told of the bytes read.
    pub progress: Box<dyn Fn(u64) + Send>,
}

/// A file, its topic, and where it is read.
struct Lines {
    path: String,
    topic: String,
    reader: BufReader<File>,
    /// The next line, from 0: its offset.
    next: i64,
}

/// Consecutive lines and the offset of the first.
struct Chunk {
    first: i64,
    lines: Vec<Vec<u8>>,
}

impl Replay {
    /// Takes every line not taken before, then closes every window.
    ///
    /// A file is a topic of its own, `file:<name>`, a line an offset: the same
    /// file again adds nothing but the lines appended to it.
    ///
    /// # Errors
    /// When a file can't be read, or is another one than was replayed under its
    /// name, or the lake can't be written.
    pub async fn run(self) -> Result<ReplayReport, PipelineError> {
        let mut scorer = self.parts.scorer()?;
        scorer.take_over().await?;
        let mut report = ReplayReport::default();
        for path in &self.files {
            self.file(Lines::open(path)?, &mut report, &mut scorer).await?;
        }
        scorer.finish(true, (self.parts.clock)()).await?;
        Ok(report)
    }

    async fn file(&self, mut file: Lines, report: &mut ReplayReport, scorer: &mut Scorer) -> Result<(), PipelineError> {
        let no_source = || PipelineError::Source(format!("there is no source `{}`", self.source));
        let mut collector = self.parts.collector_like(&file.topic, &self.source).ok_or_else(no_source)?;
        let from = collector.assign(&file.topic, 0).await?.unwrap_or(0);
        while let Some(chunk) = file.read()? {
            (self.progress)(chunk.bytes());
            if let Some(line) = chunk.line(from - 1) {
                self.is_the_same(&file, from - 1, line).await?;
            }
            let (skipped, taken) = chunk.records(from);
            report.skipped += skipped;
            report.records += taken.len() as u64;
            let records = taken.iter().map(|(offset, line)| record(&file.topic, *offset, line));
            collector.take(records, None, (self.parts.clock)()).await?;
            if collector.due().is_some_and(|due| due <= Instant::now()) {
                flush(&mut collector, scorer, (self.parts.clock)()).await?;
            }
        }
        if file.next < from {
            return Err(file.is_another(format!("it has {} lines, and {from} of it were taken before", file.next)));
        }
        flush(&mut collector, scorer, (self.parts.clock)()).await
    }

    /// The line that was taken last has to be what the lake has of it.
    async fn is_the_same(&self, file: &Lines, offset: i64, line: &[u8]) -> Result<(), PipelineError> {
        let rows = self.parts.lake.record_at(&file.topic, 0, offset).await?;
        let Some(row) = rows.first() else { return Ok(()) };
        let (id, raw) = (row["event_id"].as_string::<i32>(), row["raw"].as_binary::<i32>());
        let now = self.parts.decoders().get(&self.source).and_then(|decoder| event_id(decoder, &file.topic, line));
        let differs = match (id.is_valid(0), raw.is_valid(0)) {
            (true, _) => now.is_some_and(|now| now != id.value(0)),
            (false, true) => !line.starts_with(raw.value(0)),
            (false, false) => false,
        };
        if differs {
            let line = offset + 1;
            return Err(file.is_another(format!("line {line} is not the record that the lake has of line {line}")));
        }
        Ok(())
    }
}

impl Lines {
    fn open(path: &Path) -> Result<Lines, PipelineError> {
        let topic = format!("{FILE_TOPIC}{}", path.file_name().unwrap_or_default().to_string_lossy());
        let path_text = path.display().to_string();
        match File::open(path) {
            Ok(file) => Ok(Lines { path: path_text, topic, reader: BufReader::new(file), next: 0 }),
            Err(source) => Err(PipelineError::File { path: path_text, source }),
        }
    }

    /// The next lines, without the white space around each; `None` at the end.
    fn read(&mut self) -> Result<Option<Chunk>, PipelineError> {
        let mut chunk = Chunk { first: self.next, lines: Vec::new() };
        let mut bytes = 0;
        while chunk.lines.len() < LINES_MAX && bytes < BATCH_BYTES_MAX {
            let mut line = Vec::new();
            let read = self.reader.by_ref().take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut line);
            match read.map_err(|source| PipelineError::File { path: self.path.clone(), source })? {
                0 => break,
                read if read as u64 > LINE_BYTES_MAX => {
                    let (path, line) = (self.path.clone(), self.next + 1);
                    return Err(PipelineError::LineTooLong { path, line, bytes_max: LINE_BYTES_MAX });
                }
                read => bytes += read,
            }
            chunk.lines.push(line);
            self.next += 1;
        }
        Ok((!chunk.lines.is_empty()).then_some(chunk))
    }

    fn is_another(&self, what: String) -> PipelineError {
        PipelineError::AnotherFile { path: self.path.clone(), topic: self.topic.clone(), what }
    }
}

impl Chunk {
    fn bytes(&self) -> u64 {
        self.lines.iter().map(|line| line.len() as u64).sum()
    }

    fn line(&self, offset: i64) -> Option<&[u8]> {
        let index = usize::try_from(offset - self.first).ok()?;
        self.lines.get(index).map(|line| line.trim_ascii())
    }

    /// How many lines before `from` say something, and those from there on.
    fn records(&self, from: i64) -> (u64, Vec<(i64, &[u8])>) {
        let lines = (self.first..).zip(self.lines.iter().map(|line| line.trim_ascii()));
        let (skipped, taken): (Vec<_>, Vec<_>) =
            lines.filter(|(_, line)| !line.is_empty()).partition(|(offset, _)| *offset < from);
        (skipped.len() as u64, taken)
    }
}

fn record<'a>(topic: &'a str, offset: i64, line: &'a [u8]) -> Record<'a> {
    Record { topic, partition: 0, offset, timestamp_ms: None, payload: Some(line), headers: &[] }
}

fn event_id(decoder: &Decoder, topic: &str, line: &[u8]) -> Option<String> {
    decoder.decode(&record(topic, 0, line), None).ok().map(|event| event.event_id().to_owned())
}

async fn flush(collector: &mut Collector, scorer: &mut Scorer, clock: i64) -> Result<(), PipelineError> {
    if let Some(committed) = collector.flush().await? {
        scorer.remember(committed.version, committed.accepted);
        scorer.take_in(clock).await?;
    }
    Ok(())
}
