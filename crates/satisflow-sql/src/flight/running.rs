//! Statements that run: how many, and which a client may end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::access::Identity;

/// What names a result: nobody can guess that of another.
pub(super) type Id = [u8; 16];

/// Who runs it, and how it is ended.
type Runs = HashMap<Id, (Identity, CancellationToken)>;

pub(super) struct Running {
    permits: Arc<Semaphore>,
    limit: usize,
    runs: Arc<Mutex<Runs>>,
}

/// A place among those that run.
#[derive(Debug)]
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    listed: Option<(Id, Arc<Mutex<Runs>>)>,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((id, runs)) = &self.listed {
            runs.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        }
    }
}

impl Running {
    pub(super) fn new(limit: usize) -> Running {
        Running { permits: Arc::new(Semaphore::new(limit)), limit, runs: Arc::default() }
    }

    /// A place for planning a statement.
    pub(super) fn place(&self) -> Result<Place, Status> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().map_err(|_| {
            tracing::warn!(limit = self.limit, "too many Flight SQL statements at the same time: one was refused");
            Status::resource_exhausted("too many statements at the same time: raise `flight.streams_max`")
        })?;
        Ok(Place { _permit: permit, listed: None })
    }

    /// A place for running a statement, which can be cancelled by its id.
    pub(super) fn run(&self, id: Id, identity: &Identity) -> Result<(Place, CancellationToken), Status> {
        let mut place = self.place()?;
        let cancelled = CancellationToken::new();
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        // Of a result that is read twice at the same time, the first is the one that can be cancelled.
        if let std::collections::hash_map::Entry::Vacant(entry) = runs.entry(id) {
            entry.insert((identity.clone(), cancelled.clone()));
            place.listed = Some((id, Arc::clone(&self.runs)));
        }
        Ok((place, cancelled))
    }

    /// Ends a statement of the one who asks; false: none such is running.
    pub(super) fn cancel(&self, id: &Id, identity: &Identity) -> bool {
        let runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        let own = runs.get(id).filter(|(owner, _)| owner == identity);
        own.inspect(|(_, cancelled)| cancelled.cancel()).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Caller;

    fn identity(user: &str) -> Identity {
        Identity { user: user.into(), caller: Caller::ALL }
    }

    #[test]
    fn only_so_many_run_and_each_is_ended_by_its_own_user() {
        let running = Running::new(2);
        let (place, cancelled) = running.run([1; 16], &identity("ann")).unwrap();
        assert!(!running.cancel(&[1; 16], &identity("bob")) && !running.cancel(&[2; 16], &identity("ann")));
        assert!(!cancelled.is_cancelled());
        assert!(running.cancel(&[1; 16], &identity("ann")) && cancelled.is_cancelled());
        let (_second, _) = running.run([2; 16], &identity("bob")).unwrap();
        assert!(running.place().is_err());
        drop(place);
        assert!(running.place().is_ok());
        assert!(!running.cancel(&[1; 16], &identity("ann")), "it is over");
    }
}
