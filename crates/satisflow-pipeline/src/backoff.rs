//! Pauses between the attempts of a commit, or of a look at the lake.

use std::fmt::Display;
use std::time::Duration;

use satisflow_lake::{CommitError, LakeError};

/// Attempts after the first.
const ATTEMPTS_MAX: u32 = 6;
/// Doubled before each attempt.
const PAUSE: Duration = Duration::from_millis(250);

/// How often something was tried again. The same commit has to be tried: one whose
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
        let again =
            matches!(error, CommitError::Lake(_)) && self.pause(&error, "the commit failed and is tried again").await;
        if again { Ok(()) } else { Err(error) }
    }

    /// Waits, and says what for; whether there is another attempt.
    async fn pause(&mut self, error: &(impl Display + Sync), what: &str) -> bool {
        if self.attempts == ATTEMPTS_MAX {
            return false;
        }
        self.attempts += 1;
        tracing::warn!(%error, attempts = self.attempts, "{what}");
        tokio::time::sleep(PAUSE * 2u32.pow(self.attempts)).await;
        true
    }
}

/// What is asked of a lake while the service runs. Where it has no answer it is asked again a few times: a disk or a
/// store that is out of reach for some seconds, or a process that is out of files, ends nothing.
///
/// # Errors
/// The last answer, when there is none after half a minute: a damaged file does not mend itself.
pub(crate) async fn asked<T, A: Future<Output = Result<T, LakeError>>>(ask: impl Fn() -> A) -> Result<T, LakeError> {
    let mut backoff = Backoff::default();
    loop {
        let error = match ask().await {
            Err(error) if may_pass(&error) => error,
            answer => return answer,
        };
        if !backoff.pause(&error, "the lake has no answer and is asked again").await {
            return Err(error);
        }
    }
}

fn may_pass(error: &LakeError) -> bool {
    matches!(error, LakeError::Delta { .. } | LakeError::Read { .. })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// How often a lake is asked that gives these answers one after the other, and what comes of it.
    async fn check(answers: &[fn() -> Result<u8, LakeError>]) -> (usize, Result<u8, LakeError>) {
        let next = Cell::new(0);
        let ask = || {
            let answer = answers[next.get()]();
            next.set(next.get() + 1);
            std::future::ready(answer)
        };
        let found = asked(ask).await;
        (next.get(), found)
    }

    fn out_of_files() -> Result<u8, LakeError> {
        Err(LakeError::Read { table: "kpis", message: "too many open files".to_owned() })
    }

    #[tokio::test]
    async fn a_lake_that_has_no_answer_now_is_asked_again() {
        let (times, found) = check(&[out_of_files, out_of_files, || Ok(7)]).await;
        assert_eq!((times, found.ok()), (3, Some(7)));
    }

    #[tokio::test]
    async fn what_asking_again_does_not_mend_is_said_at_once() {
        let gone = || Err(LakeError::EntryGone { table: "kpis", version: 3 });
        let (times, found) = check(&[gone]).await;
        assert!(times == 1 && matches!(found, Err(LakeError::EntryGone { version: 3, .. })), "{found:?}");
        // A snapshot from before a vacuum: the engine is built from the events instead.
        let (times, found) = check(&[|| Err(LakeError::FileGone { table: "records", file: "f".to_owned() })]).await;
        assert!(times == 1 && matches!(found, Err(LakeError::FileGone { .. })), "{found:?}");
    }
}
