//! What ends a response before its last row.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::channel::oneshot::Receiver;
use futures::future::Shared;
use futures::{FutureExt, Stream, StreamExt};
use pgwire::api::results::{QueryResponse, Response};
use pgwire::api::{ClientInfo, ConnectionHandle};
use pgwire::error::{PgWireError, PgWireResult};
use tokio::task::JoinSet;

use super::idle::Activity;
use crate::error::SqlError;
use crate::interrupt::Wanted;
use crate::metrics::{Outcome, Run};
use crate::sqlstate::user_error;

/// SQLSTATE query_canceled.
fn timed_out(timeout: Duration) -> PgWireError {
    user_error("57014", SqlError::Timeout(timeout).to_string())
}

/// The library listens for cancel requests while a statement is planned; from
/// then on they come here.
pub(super) async fn cancel_requests<C: ClientInfo>(client: &C) -> Option<Shared<Receiver<()>>> {
    let connection = client.session_extensions().get::<Arc<ConnectionHandle>>()?;
    Some(connection.start_query().await.shared())
}

pub(super) async fn in_time<T>(timeout: Duration, work: impl Future<Output = PgWireResult<T>>) -> PgWireResult<T> {
    tokio::time::timeout(timeout, work).await.map_err(|_| timed_out(timeout))?
}

/// What a statement gives, and its run goes on; or it has ended by an error.
pub(super) fn ended_by<T>(answered: PgWireResult<T>, run: Run) -> PgWireResult<(T, Run)> {
    match answered {
        Ok(answered) => Ok((answered, run)),
        Err(error) => {
            run.end(Outcome::of_postgres(&error));
            Err(error)
        }
    }
}

type Rows<T> = Pin<Box<dyn Stream<Item = PgWireResult<T>> + Send>>;

/// What ends a response before its last row.
pub(super) struct Ends {
    pub(super) timeout: Duration,
    pub(super) wanted: Arc<Wanted>,
    pub(super) cancelled: Option<Shared<Receiver<()>>>,
    pub(super) activity: Arc<Activity>,
}

impl Ends {
    /// Waits for a cancel request; for ever when there can be none.
    pub(super) async fn cancelled(cancelled: Option<Shared<Receiver<()>>>) {
        let asked = match cancelled {
            Some(cancelled) => cancelled.await.is_ok(),
            None => false,
        };
        if !asked {
            std::future::pending::<()>().await;
        }
    }

    /// The response, its rows ending with an error at the timeout or when its
    /// client cancels, also while nobody reads them. Once they are dropped, the statement ends.
    pub(super) fn limit(&self, response: Response, run: Run) -> Response {
        match response {
            Response::Query(query) => {
                let QueryResponse { command_tag, row_schema, data_rows, .. } = query;
                let mut limited = QueryResponse::new(row_schema, self.rows(data_rows, run));
                limited.set_command_tag(&command_tag);
                Response::Query(limited)
            }
            Response::CopyOut(mut copy) => {
                let rows = std::mem::replace(&mut copy.data_stream, Box::pin(futures::stream::empty()));
                copy.data_stream = Box::pin(self.rows(rows, run));
                Response::CopyOut(copy)
            }
            other => {
                run.end(Outcome::Ok);
                other
            }
        }
    }

    fn rows<T: Send + 'static>(&self, rows: Rows<T>, run: Run) -> impl Stream<Item = PgWireResult<T>> + Send + use<T> {
        let running = Running { rows, run, _wanted: Arc::clone(&self.wanted), reader: None };
        let held = Arc::new(Mutex::new(Held::Running(running)));
        let (cancelled, timeout, watched) = (self.cancelled.clone(), self.timeout, Arc::downgrade(&held));
        let deadline = tokio::time::Instant::now() + timeout;
        // While a client does not read, nobody asks for its rows. Dropped, the set ends its task.
        let mut watch = JoinSet::new();
        watch.spawn(async move {
            let cause = tokio::select! {
                () = Ends::cancelled(cancelled) => PgWireError::QueryCanceled,
                () = tokio::time::sleep_until(deadline) => timed_out(timeout),
            };
            if let Some(held) = watched.upgrade() {
                let outcome = Outcome::of_postgres(&cause);
                locked(&held).end(outcome, Some(cause));
            }
        });
        let (activity, mut busy) = (Arc::clone(&self.activity), None);
        futures::stream::poll_fn(move |context| {
            let _until_the_stream_is_dropped = &watch;
            busy.get_or_insert_with(|| activity.begin());
            let polled = locked(&held).poll(context);
            if polled.is_ready() {
                busy = None;
            }
            polled
        })
    }
}

/// The rows of a statement, until it has ended; then what its client is still to be told.
enum Held<T> {
    Running(Running<T>),
    Ended(Option<PgWireError>),
}

struct Running<T> {
    rows: Rows<T>,
    run: Run,
    _wanted: Arc<Wanted>,
    /// Who waits for a row.
    reader: Option<Waker>,
}

fn locked<T>(held: &Mutex<Held<T>>) -> MutexGuard<'_, Held<T>> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Held<T> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<PgWireResult<T>>> {
        let running = match self {
            Held::Running(running) => running,
            Held::Ended(cause) => return Poll::Ready(cause.take().map(Err)),
        };
        let polled = running.rows.poll_next_unpin(context);
        match &polled {
            Poll::Pending => running.reader = Some(context.waker().clone()),
            Poll::Ready(Some(Ok(_))) => {}
            Poll::Ready(Some(Err(error))) => self.end(Outcome::of_postgres(error), None),
            Poll::Ready(None) => self.end(Outcome::Ok, None),
        }
        polled
    }

    /// Ends the statement, if it still runs: what it holds is free.
    fn end(&mut self, outcome: Outcome, cause: Option<PgWireError>) {
        if let Held::Running(_) = self
            && let Held::Running(running) = std::mem::replace(self, Held::Ended(cause))
        {
            running.run.end(outcome);
            running.reader.into_iter().for_each(Waker::wake);
        }
    }
}
