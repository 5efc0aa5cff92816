//! Which process publishes.
//!
//! - Every commit of a scorer expects the sequence where it left it: two can't
//!   both commit, whatever they believe.
//! - The active one moves the sequence at least every third of the takeover
//!   time, also while it builds its engine: a standby need only watch it.
//! - A standby that took over from one that was merely slow waits twice as long
//!   the next time, so that two can't take over from each other for ever.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use satisflow_kpi::Identities;
use satisflow_lake::{CommitError, KpisCommit};

use super::Scorer;
use crate::backoff::{Backoff, asked};
use crate::error::PipelineError;

/// Transaction of `kpis` that every scorer's commit moves by one.
const SEQUENCE: &str = "satisflow/score/sequence";
/// Takeovers tried while another process publishes.
const CLAIMS_MAX: u32 = 20;
/// A standby waits at most this many times as long as it is told to.
const PATIENCE_MAX: u32 = 32;
/// Signs of life of the active process within the time after which it is given up.
const RENEWALS: u32 = 3;

/// Whether this process publishes.
#[derive(Debug)]
pub(super) enum Role {
    Active,
    Standby { sequence: Option<i64>, since: Instant },
}

/// How long a standby waits for the active one's next sign of life.
#[derive(Debug)]
pub(super) struct Patience {
    least: Duration,
    now: Duration,
    took_over: Option<Instant>,
}

impl Patience {
    pub(super) fn new(least: Duration) -> Patience {
        Patience { least, now: least, took_over: None }
    }

    fn superseded(&mut self, now: Instant) {
        let soon = |at: Instant| now.duration_since(at) < self.now * 10;
        let hasty = self.took_over.take().is_some_and(soon);
        self.now = if hasty { (self.now * 2).min(self.least * PATIENCE_MAX) } else { self.least };
    }
}

impl Scorer {
    pub(super) fn is_active(&self) -> bool {
        matches!(self.role, Role::Active)
    }

    /// Takes over publishing, then builds the engine: whoever published before
    /// finds the sequence moved, so that nothing changes under the build.
    pub(crate) async fn take_over(&mut self) -> Result<(), PipelineError> {
        let done = self.claim_and_rebuild().await;
        self.unless_superseded(done)
    }

    async fn claim_and_rebuild(&mut self) -> Result<(), PipelineError> {
        for _ in 0..CLAIMS_MAX {
            self.sequence = self.lake.kpi_transaction(SEQUENCE).await?;
            match self.commit_next(Vec::new(), BTreeMap::new()).await {
                Ok(()) => return self.rebuild().await,
                // The other one has published in between: it does not know yet.
                Err(PipelineError::Superseded) => {}
                Err(error) => return Err(error),
            }
        }
        Err(PipelineError::Superseded)
    }

    /// Commits, if no other process has since the last time.
    pub(super) async fn commit_next(
        &mut self,
        batches: Vec<RecordBatch>,
        mut transactions: BTreeMap<String, i64>,
    ) -> Result<(), PipelineError> {
        let next = self.sequence.unwrap_or(0) + 1;
        transactions.insert(SEQUENCE.to_owned(), next);
        let commit = KpisCommit {
            commit_id: uuid::Uuid::new_v4().to_string(),
            batches,
            transactions,
            expect: BTreeMap::from([(SEQUENCE.to_owned(), self.sequence)]),
        };
        let mut backoff = Backoff::default();
        loop {
            match self.lake.commit_kpis(commit.clone()).await {
                Ok(_) => break,
                Err(CommitError::Fenced { .. }) => return Err(PipelineError::Superseded),
                Err(error) => backoff.wait(error).await?,
            }
        }
        self.sequence = Some(next);
        self.renewed = Instant::now();
        Ok(())
    }

    /// Shows standbys that this process works, when nothing else has for long.
    pub(super) async fn renew(&mut self) -> Result<(), PipelineError> {
        if self.renewed.elapsed() < self.patience.least / RENEWALS {
            return Ok(());
        }
        self.commit_next(Vec::new(), BTreeMap::new()).await
    }

    pub(super) async fn check_claim(&mut self) -> Result<(), PipelineError> {
        let found = asked(|| self.lake.kpi_transaction(SEQUENCE)).await?;
        if found == self.sequence { Ok(()) } else { Err(PipelineError::Superseded) }
    }

    /// Stands by where another process has taken over.
    pub(super) fn unless_superseded(&mut self, done: Result<(), PipelineError>) -> Result<(), PipelineError> {
        if !matches!(done, Err(PipelineError::Superseded)) {
            return done;
        }
        tracing::warn!("another process publishes the KPIs now; this one stands by");
        self.shared.set(None);
        self.own.clear();
        self.identities = Identities::new(self.memory.identities);
        self.metrics.complete.set(0);
        self.patience.superseded(Instant::now());
        self.role = Role::Standby { sequence: None, since: Instant::now() };
        Ok(())
    }

    /// A standby looks whether the active scorer still works, and takes over if not.
    pub(super) async fn watch(&mut self) -> Result<(), PipelineError> {
        let found = asked(|| self.lake.kpi_transaction(SEQUENCE)).await?;
        let Role::Standby { sequence, since } = &mut self.role else { return Ok(()) };
        if *sequence != found {
            (*sequence, *since) = (found, Instant::now());
        } else if since.elapsed() >= self.patience.now {
            self.patience.took_over = Some(Instant::now());
            tracing::warn!(silent = ?since.elapsed(), "nobody publishes the KPIs: this process takes over");
            self.take_over().await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: Duration = Duration::from_secs(10);

    #[test]
    fn who_took_over_from_a_slow_process_waits_longer_the_next_time() {
        let mut patience = Patience::new(LEAST);
        let mut now = Instant::now();
        for times in [2, 4, 8, 16, 32, 32] {
            patience.took_over = Some(now);
            now += LEAST;
            patience.superseded(now);
            assert_eq!(patience.now, LEAST * times);
        }
        patience.took_over = Some(now);
        patience.superseded(now + LEAST * 320);
        assert_eq!(patience.now, LEAST, "it had worked for long");
    }

    #[test]
    fn who_is_followed_by_one_that_starts_waits_no_longer() {
        let mut patience = Patience::new(LEAST);
        patience.superseded(Instant::now());
        assert_eq!(patience.now, LEAST);
    }
}
