//! What ends a response before its last row.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::oneshot::Receiver;
use futures::future::Shared;
use futures::{FutureExt, Stream, StreamExt};
use pgwire::api::results::{QueryResponse, Response};
use pgwire::api::{ClientInfo, ConnectionHandle};
use pgwire::error::{PgWireError, PgWireResult};

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
    async fn cancelled(cancelled: Option<Shared<Receiver<()>>>) {
        let asked = match cancelled {
            Some(cancelled) => cancelled.await.is_ok(),
            None => false,
        };
        if !asked {
            std::future::pending::<()>().await;
        }
    }

    /// The response, its rows ending with an error at the timeout or when its
    /// client cancels. Once nobody reads them, the statement ends.
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
        let timeout = self.timeout;
        let deadline = tokio::time::Instant::now() + timeout;
        let (cancelled, activity) = (self.cancelled.clone(), Arc::clone(&self.activity));
        futures::stream::unfold(Some((rows, Arc::clone(&self.wanted), run)), move |state| {
            let (cancelled, busy) = (cancelled.clone(), activity.begin());
            async move {
                let _busy = busy;
                let (mut rows, wanted, run) = state?;
                let row = tokio::select! {
                    biased;
                    () = Ends::cancelled(cancelled) => Some(Err(PgWireError::QueryCanceled)),
                    row = tokio::time::timeout_at(deadline, rows.next()) => {
                        row.unwrap_or_else(|_| Some(Err(timed_out(timeout))))
                    }
                };
                match row {
                    Some(Ok(row)) => Some((Ok(row), Some((rows, wanted, run)))),
                    Some(Err(error)) => {
                        run.end(Outcome::of_postgres(&error));
                        Some((Err(error), None))
                    }
                    None => {
                        run.end(Outcome::Ok);
                        None
                    }
                }
            }
        })
    }
}
