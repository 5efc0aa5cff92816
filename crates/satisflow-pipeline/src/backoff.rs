//! Pauses between the attempts of a commit.

use std::time::Duration;

use satisflow_lake::CommitError;

/// Attempts after the first.
const ATTEMPTS_MAX: u32 = 6;
/// Doubled before each attempt.
const PAUSE: Duration = Duration::from_millis(250);

/// How often a commit was tried again. The same commit has to be tried: one whose
/// reply was lost finds itself.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// Waits until the commit is to be tried again.
    ///
    /// # Errors
    /// The error, when another attempt can't mend it or has been made too often.
    pub(crate) async fn wait(&mut self, error: CommitError) -> Result<(), CommitError> {
        if !matches!(error, CommitError::Lake(_)) || self.attempts == ATTEMPTS_MAX {
            return Err(error);
        }
        self.attempts += 1;
        tracing::warn!(%error, attempts = self.attempts, "the commit failed and is tried again");
        tokio::time::sleep(PAUSE * 2u32.pow(self.attempts)).await;
        Ok(())
    }
}
