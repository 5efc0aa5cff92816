//! Queries of the extended protocol, their rows sent as they come: the library would take the whole result
//! into memory before it sends the first row.

use datafusion::sql::sqlparser::ast::Statement;
use futures::{Sink, SinkExt, StreamExt};
use pgwire::api::portal::{Portal, PortalExecutionState};
use pgwire::api::query::ExtendedQueryHandler;
use pgwire::api::results::{QueryResponse, Response, Tag};
use pgwire::api::store::PortalStore;
use pgwire::api::{ClientInfo, ClientPortalStore, PgWireConnectionState};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::data::DataRow;
use pgwire::messages::extendedquery::PortalSuspended;

use super::Session;
use super::ends::{Ends, cancel_requests};
use crate::sqlstate::user_error;

/// Rows that are taken from a query before they are sent.
const ROWS_AT_ONCE: usize = 256;

/// Portal of a connection.
pub(super) type Open = Portal<<Session as ExtendedQueryHandler>::Statement>;

/// Whether a portal is that of a query, whose rows come here.
pub(super) fn is_query(portal: &Open) -> bool {
    matches!(&portal.statement.statement.1, Some((Statement::Query(_), _)))
}

impl Session {
    /// Runs a query or goes on with it, up to so many rows; 0: all.
    pub(super) async fn send_rows<C>(&self, client: &mut C, portal: &Open, rows_max: usize) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = <Session as ExtendedQueryHandler>::Statement>,
        C::Error: std::fmt::Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        if !matches!(client.state(), PgWireConnectionState::ReadyForQuery) {
            return Err(PgWireError::NotReadyForQuery);
        }
        client.set_state(PgWireConnectionState::QueryInProgress);
        let is_new = matches!(*portal.state().lock().await, PortalExecutionState::Initial);
        if is_new {
            let started = self.started(client, portal, rows_max).await?;
            portal.start(started).await;
        }
        let mut sent = 0;
        let end = loop {
            let rows = if rows_max == 0 { ROWS_AT_ONCE } else { ROWS_AT_ONCE.min(rows_max - sent) };
            if rows == 0 {
                break PgWireBackendMessage::PortalSuspended(PortalSuspended::new());
            }
            let mut fetched = portal.fetch(rows).await?;
            while let Some(row) = fetched.response.data_rows().next().await {
                let row: DataRow = row?;
                client.feed(PgWireBackendMessage::DataRow(row)).await?;
                sent += 1;
            }
            if !fetched.suspended {
                let tag = Tag::new(fetched.response.command_tag()).with_rows(sent);
                break PgWireBackendMessage::CommandComplete(tag.into());
            }
        };
        client.feed(end).await?;
        client.set_state(PgWireConnectionState::ReadyForQuery);
        Ok(())
    }

    /// The rows of a query that begins, unless its client cancels before.
    async fn started<C>(&self, client: &mut C, portal: &Open, rows_max: usize) -> PgWireResult<QueryResponse>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = <Session as ExtendedQueryHandler>::Statement>,
        C::Error: std::fmt::Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let cancelled = cancel_requests(client).await;
        let answered = tokio::select! {
            answered = ExtendedQueryHandler::do_query(self, client, portal, rows_max) => answered?,
            () = Ends::cancelled(cancelled) => return Err(PgWireError::QueryCanceled),
        };
        match answered {
            Response::Query(rows) => Ok(rows),
            _ => Err(user_error("XX000", "a query has answered without rows: please report it".to_owned())),
        }
    }
}
