//! The engine's state as an object in the lake: a cache, so that a start need
//! not read every event again. Whatever is wrong with one, it is ignored, and
//! the engine is built from the events.
//!
//! A snapshot says which version of `records` it has scored and which commit of
//! `kpis` it knows. What was committed since is applied on top.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use satisflow_kpi::{Engine, Identities, Plan, SnapshotError};
use serde::{Deserialize, Serialize};

use super::Scorer;
use crate::error::PipelineError;

/// To be raised whenever the layout below changes.
const FORMAT: u32 = 3;
/// The last ones are kept: one may be damaged.
const KEPT: usize = 2;
/// Writing one may take this part of the time, so that a large state is written less often.
const SHARE_OF_TIME: u32 = 20;
const ZSTD_LEVEL: i32 = 1;

/// What a snapshot belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    format: u32,
    /// Version of `records` that is scored.
    pub(super) scored: u64,
    /// The last commit of `kpis` that it knows.
    pub(super) sequence: i64,
    /// When the last of its rows were computed, µs.
    pub(super) computed: i64,
    /// Latest event time of each partition, µs.
    pub(super) latest: Vec<(String, i32, i64)>,
}

/// When the next snapshot is due.
#[derive(Debug)]
pub(super) struct Schedule {
    interval: Option<Duration>,
    due: Instant,
    scored: u64,
}

impl Schedule {
    pub(super) fn new(interval: Option<Duration>) -> Schedule {
        Schedule { interval, due: Instant::now() + interval.unwrap_or_default(), scored: 0 }
    }

    /// Notes that a state was written, or taken up.
    fn noted(&mut self, scored: u64, took: Duration) {
        let wait = self.interval.unwrap_or_default().max(took * SHARE_OF_TIME);
        (self.due, self.scored) = (Instant::now() + wait, scored);
    }
}

impl Scorer {
    /// Writes a snapshot if one is due, or at the end of the work; a failure costs nothing but the next start's time.
    pub(crate) async fn save(&mut self, at_end: bool) {
        let news = self.schedule.interval.is_some() && self.scored > self.schedule.scored;
        if !self.is_active() || !news || !(at_end || Instant::now() >= self.schedule.due) {
            return;
        }
        let started = Instant::now();
        let saved = self.save_now().await;
        self.schedule.noted(self.scored, started.elapsed());
        match saved {
            Ok(bytes) => {
                self.metrics.snapshot_seconds.observe(started.elapsed().as_secs_f64());
                self.metrics.snapshot_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
                tracing::debug!(version = self.scored, bytes, elapsed = ?started.elapsed(), "snapshot written");
            }
            Err(error) => tracing::warn!(%error, "no snapshot could be written; the next start reads the events"),
        }
    }

    async fn save_now(&self) -> Result<usize, PipelineError> {
        let head = Head {
            format: FORMAT,
            scored: self.scored,
            sequence: self.sequence.unwrap_or(0),
            computed: self.last_computed,
            latest: self.watermarks.latest(),
        };
        let bytes = self.shared.with(|engine| write(&head, &self.identities, engine))?;
        let (number, size) = (head.sequence.unsigned_abs(), bytes.len());
        self.lake.write_snapshot(number, bytes.into()).await?;
        for old in self.lake.snapshots().await?.into_iter().filter(|other| *other < number).skip(KEPT - 1) {
            self.lake.delete_snapshot(old).await?;
        }
        Ok(size)
    }

    /// Takes up the newest snapshot that knows a definition of this catalog, is
    /// whole, and not ahead of the lake; gives what it belongs to.
    pub(super) async fn load(&mut self) -> Result<Option<Head>, PipelineError> {
        if self.schedule.interval.is_none() {
            return Ok(None);
        }
        let newest = self.lake.records_version().await?;
        for number in self.lake.snapshots().await? {
            let bytes = self.lake.read_snapshot(number).await?;
            let read =
                read(&bytes, &self.catalog.plan, self.memory.identities).and_then(|found| self.fits(found, newest));
            match read {
                Ok((head, identities, engine)) => {
                    self.take_up(&head, identities, engine);
                    return Ok(Some(head));
                }
                Err(error) => tracing::warn!(number, %error, "this snapshot is not used"),
            }
        }
        Ok(None)
    }

    fn fits(&self, found: Found, newest: u64) -> Result<Found, SnapshotError> {
        let (head, ..) = &found;
        let ahead = head.scored > newest || head.sequence > self.sequence.unwrap_or(0);
        if ahead { Err(SnapshotError::Foreign) } else { Ok(found) }
    }

    fn take_up(&mut self, head: &Head, identities: Identities, engine: Engine) {
        let now = Instant::now();
        for (topic, partition, latest) in &head.latest {
            self.watermarks.observe(topic, *partition, *latest, now);
        }
        self.identities = identities;
        self.scored = head.scored;
        self.shared.set(Some(engine));
        self.schedule.noted(head.scored, Duration::ZERO);
    }
}

type Found = (Head, Identities, Engine);

fn damaged(error: impl std::fmt::Display) -> SnapshotError {
    SnapshotError::Damaged(error.to_string())
}

/// Frames, each after its length, in one compressed stream with a checksum.
fn write(head: &Head, identities: &Identities, engine: &Engine) -> Result<Vec<u8>, SnapshotError> {
    let mut out = zstd::Encoder::new(Vec::new(), ZSTD_LEVEL).map_err(damaged)?;
    out.include_checksum(true).map_err(damaged)?;
    let head = postcard::to_stdvec(head).map_err(damaged);
    for frame in [head, identities.frame()].into_iter().chain(engine.frames()) {
        let frame = frame?;
        out.write_all(&(frame.len() as u64).to_le_bytes()).map_err(damaged)?;
        out.write_all(&frame).map_err(damaged)?;
    }
    out.finish().map_err(damaged)
}

fn read(bytes: &[u8], plan: &Plan, identities_max: usize) -> Result<Found, SnapshotError> {
    let mut stream = zstd::Decoder::with_buffer(bytes).map_err(damaged)?;
    let head: Head = postcard::from_bytes(&next_frame(&mut stream)?).map_err(damaged)?;
    if head.format != FORMAT {
        return Err(SnapshotError::Foreign);
    }
    let identities = Identities::from_frame(&next_frame(&mut stream)?, identities_max)?;
    let engine = Engine::from_frames(plan.clone(), || next_frame(&mut stream))?;
    // The checksum stands at the end: nothing counts before it is read.
    let rest = std::io::copy(&mut stream, &mut std::io::sink()).map_err(damaged)?;
    if rest > 0 {
        return Err(damaged(format!("{rest} bytes too many")));
    }
    Ok((head, identities, engine))
}

fn next_frame(stream: &mut impl Read) -> Result<Vec<u8>, SnapshotError> {
    let mut length = [0; 8];
    stream.read_exact(&mut length).map_err(damaged)?;
    let length = u64::from_le_bytes(length);
    let mut frame = Vec::new();
    // What is there is read, whatever length a damaged one claims.
    let found = stream.by_ref().take(length).read_to_end(&mut frame).map_err(damaged)?;
    if found as u64 == length { Ok(frame) } else { Err(damaged("it ends in the middle")) }
}

#[cfg(test)]
mod tests {
    use satisflow_kpi::{Definition, Metric};

    use super::*;

    const IDENTITIES: usize = 10;

    fn head() -> Head {
        let latest = vec![("feedback".to_owned(), 3, 17)];
        Head { format: FORMAT, scored: 5, sequence: 7, computed: 9, latest }
    }

    fn snapshot() -> Vec<u8> {
        write(&head(), &Identities::new(IDENTITIES), &Engine::new(Plan::default())).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let (head, ..) = read(&snapshot(), &Plan::default(), IDENTITIES).unwrap();
        assert_eq!((head.scored, head.sequence, head.latest.len()), (5, 7, 1));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let whole = snapshot();
        for at in 0..whole.len() {
            assert!(read(&whole[..at], &Plan::default(), IDENTITIES).is_err(), "cut at {at}");
            for bit in 0..8 {
                let mut flipped = whole.clone();
                flipped[at] ^= 1 << bit;
                let read = read(&flipped, &Plan::default(), IDENTITIES);
                // A bit of the header may say the same in another way; never anything else.
                let same = |(head, ..): Found| head == self::head();
                assert!(read.map_or(true, same), "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn another_layout_is_refused() {
        let head = Head { format: FORMAT - 1, ..head() };
        let older = write(&head, &Identities::new(IDENTITIES), &Engine::new(Plan::default())).unwrap();
        assert_eq!(read(&older, &Plan::default(), IDENTITIES).unwrap_err(), SnapshotError::Foreign);
    }

    #[test]
    fn a_catalog_without_any_of_its_definitions_is_refused() {
        let definition = Definition {
            name: "csat".into(),
            fingerprint: "0123".into(),
            metric: Metric::Mean(0),
            compared: None,
            windows: Vec::new(),
            grouping_sets: Vec::new(),
            groups_max: 1,
            topics: None,
            n_min: 1,
            validity: satisflow_kpi::Validity::default(),
        };
        let plan = Plan { measures: 1, definitions: vec![definition], ..Plan::default() };
        assert_eq!(read(&snapshot(), &plan, IDENTITIES).unwrap_err(), SnapshotError::Foreign);
    }
}
