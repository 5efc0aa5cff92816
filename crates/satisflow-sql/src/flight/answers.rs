//! The answers to each request of Flight SQL.

use std::pin::Pin;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::server::{FlightSqlService, PeekableFlightDataStream};
use arrow_flight::sql::{
    ActionBeginTransactionRequest, ActionBeginTransactionResult, ActionCancelQueryRequest, ActionCancelQueryResult,
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult,
    Any, CommandGetCatalogs, CommandGetCrossReference, CommandGetDbSchemas, CommandGetExportedKeys,
    CommandGetImportedKeys, CommandGetPrimaryKeys, CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables,
    CommandGetXdbcTypeInfo, CommandPreparedStatementQuery, CommandPreparedStatementUpdate, CommandStatementIngest,
    CommandStatementQuery, CommandStatementUpdate, DoPutPreparedStatementResult, ProstMessageExt, SqlInfo,
    TicketStatementQuery,
};
use arrow_flight::{
    Action, ActionType, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightData, FlightDescriptor,
    FlightEndpoint, FlightInfo, HandshakeRequest, HandshakeResponse, IpcMessage, SchemaAsIpc, Ticket,
};
use async_trait::async_trait;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::prelude::SessionContext;
use futures::{Stream, StreamExt, TryStreamExt};
use prost::Message;
use prost::bytes::Bytes;
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status, Streaming};

use super::FlightLimits;
use super::door::{Door, Line};
use super::handle::Handle;
use super::metadata;
use super::running::Running;
use super::status;
use crate::access::Identity;
use crate::catalog::CATALOG;
use crate::metrics::Listener;
use crate::service::{Described, Query, SqlService};

const CANCEL: &str = "CancelFlightInfo";
const READ_ONLY: &str = "SQL is read-only here: nothing can be changed, added or ingested";

type Answer<T> = Result<Response<T>, Status>;
type Sent<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What Flight SQL asks the service.
pub(super) struct Answers {
    service: Arc<SqlService>,
    door: Arc<Door>,
    running: Running,
    limits: FlightLimits,
}

/// Who sends a request, over which connection.
fn who<T>(request: &Request<T>) -> Result<(Identity, Line), Status> {
    let (identity, line) = (request.extensions().get::<Identity>(), request.extensions().get::<Line>());
    let known = identity.cloned().zip(line.cloned());
    known.ok_or_else(|| Status::unauthenticated("nobody has logged in"))
}

impl Answers {
    pub(super) fn new(service: Arc<SqlService>, door: Arc<Door>, limits: FlightLimits) -> Answers {
        Answers { service, door, running: Running::new(limits.streams_max), limits }
    }

    fn context(&self, identity: &Identity) -> Result<&Arc<SessionContext>, Status> {
        let context = self.service.contexts().get(&identity.caller);
        context.ok_or_else(|| Status::permission_denied("nothing is published to you"))
    }

    async fn describe(&self, handle: &Handle, identity: &Identity) -> Result<Described, Status> {
        let query = Query {
            parameters: handle.values().await?,
            held: Box::new(self.running.place()?),
            ..Query::new(&handle.sql, Listener::Flight)
        };
        self.service.describe(query, identity.caller).await.map_err(status::of)
    }

    /// Where the result of a statement is to be had.
    async fn ticket(&self, handle: Handle, request: Request<FlightDescriptor>) -> Answer<FlightInfo> {
        let (identity, _) = who(&request)?;
        let described = self.describe(&handle, &identity).await?;
        let ticket = TicketStatementQuery { statement_handle: handle.bytes() };
        info(&ticket, &metadata::shown(&described.schema), request)
    }

    async fn run(&self, handle: &[u8], request: &Request<Ticket>) -> Answer<Sent<FlightData>> {
        let (identity, line) = who(request)?;
        let handle = Handle::read(handle)?;
        let (place, cancelled) = self.running.run(handle.id()?, &identity)?;
        let (parameters, held) = (handle.values().await?, Box::new((place, line.begin())));
        let query = Query { sql: handle.sql, listener: Listener::Flight, parameters, cancelled, held };
        let batches = self.service.run(query, identity.caller).await.map_err(status::of)?;
        Ok(Response::new(result(batches, self.limits.rows_max)))
    }

    fn cancel(&self, info: &FlightInfo, identity: &Identity) -> bool {
        let tickets = info.endpoint.iter().filter_map(|endpoint| endpoint.ticket.as_ref());
        let ids = tickets.filter_map(|ticket| {
            let any = Any::decode(&*ticket.ticket).ok()?;
            let statement: TicketStatementQuery = any.unpack().ok()??;
            Handle::read(&statement.statement_handle).ok()?.id().ok()
        });
        ids.filter(|id| self.running.cancel(id, identity)).count() > 0
    }
}

/// The rows of a statement, as they are read.
fn result(batches: SendableRecordBatchStream, rows_max: usize) -> Sent<FlightData> {
    let schema = metadata::shown(&batches.schema());
    let (shown, mut rows) = (Arc::clone(&schema), 0);
    let batches = batches.map(move |batch| {
        let batch = batch.map_err(status::of_batch)?;
        rows += batch.num_rows();
        if rows > rows_max {
            let message =
                format!("the result has more than {rows_max} rows: narrow it, add a LIMIT, or raise `flight.rows_max`");
            return Err(FlightError::from(Status::out_of_range(message)));
        }
        metadata::show(&batch, &shown).map_err(FlightError::Arrow)
    });
    encoded(schema, batches)
}

fn encoded(
    schema: SchemaRef,
    batches: impl Stream<Item = Result<RecordBatch, FlightError>> + Send + 'static,
) -> Sent<FlightData> {
    Box::pin(FlightDataEncoderBuilder::new().with_schema(schema).build(batches).map_err(Status::from))
}

fn one(batch: Result<RecordBatch, impl std::fmt::Display>) -> Answer<Sent<FlightData>> {
    let batch = batch.map_err(status::internal)?;
    Ok(Response::new(encoded(batch.schema(), futures::stream::iter([Ok(batch)]))))
}

fn none(schema: SchemaRef) -> Answer<Sent<FlightData>> {
    Ok(Response::new(encoded(schema, futures::stream::empty())))
}

fn info(ticket: &impl ProstMessageExt, schema: &Schema, request: Request<FlightDescriptor>) -> Answer<FlightInfo> {
    let endpoint = FlightEndpoint::new().with_ticket(Ticket::new(ticket.as_any().encode_to_vec()));
    let info = FlightInfo::new().try_with_schema(schema).map_err(status::internal)?;
    Ok(Response::new(info.with_endpoint(endpoint).with_descriptor(request.into_inner())))
}

fn written(schema: &Schema) -> Result<Bytes, Status> {
    let message = IpcMessage::try_from(SchemaAsIpc::new(schema, &IpcWriteOptions::default()));
    message.map(|IpcMessage(bytes)| bytes).map_err(|error: ArrowError| status::internal(error))
}

/// Columns of the parameters; a type that nothing tells is that of NULL.
fn parameters(types: Vec<Option<DataType>>) -> Schema {
    let field = |(index, kind): (usize, Option<DataType>)| {
        Field::new(format!("${}", index + 1), kind.unwrap_or(DataType::Null), true)
    };
    Schema::new(types.into_iter().enumerate().map(field).collect::<Vec<_>>())
}

fn cancel_status(cancelled: bool) -> CancelStatus {
    if cancelled { CancelStatus::Cancelled } else { CancelStatus::NotCancellable }
}

fn read_only<T>() -> Result<T, Status> {
    Err(Status::permission_denied(READ_ONLY))
}

#[async_trait]
impl FlightSqlService for Answers {
    type FlightService = Answers;

    async fn do_handshake(&self, request: Request<Streaming<HandshakeRequest>>) -> Answer<Sent<HandshakeResponse>> {
        let (identity, _) = who(&request)?;
        let token = self.door.token(&identity);
        let value = MetadataValue::try_from(token.as_str()).map_err(status::internal)?;
        let said = HandshakeResponse { protocol_version: 0, payload: token.into() };
        let mut response = Response::new(Box::pin(futures::stream::iter([Ok(said)])) as Sent<_>);
        response.metadata_mut().insert("authorization", value);
        Ok(response)
    }

    async fn get_flight_info_statement(
        &self,
        query: CommandStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Answer<FlightInfo> {
        self.ticket(Handle::new(query.query)?, request).await
    }

    async fn do_get_statement(
        &self,
        ticket: TicketStatementQuery,
        request: Request<Ticket>,
    ) -> Answer<Sent<FlightData>> {
        self.run(&ticket.statement_handle, &request).await
    }

    async fn do_action_create_prepared_statement(
        &self,
        query: ActionCreatePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        let (identity, _) = who(&request)?;
        let handle = Handle::new(query.query)?;
        let described = self.describe(&handle, &identity).await?;
        Ok(ActionCreatePreparedStatementResult {
            prepared_statement_handle: handle.bytes(),
            dataset_schema: written(&metadata::shown(&described.schema))?,
            parameter_schema: written(&parameters(described.parameters))?,
        })
    }

    /// There is nothing to close.
    async fn do_action_close_prepared_statement(
        &self,
        _query: ActionClosePreparedStatementRequest,
        _request: Request<Action>,
    ) -> Result<(), Status> {
        Ok(())
    }

    async fn do_put_prepared_statement_query(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<DoPutPreparedStatementResult, Status> {
        let timeout = self.service.limits.statement_timeout;
        let bound = Handle::read(&query.prepared_statement_handle)?.bound(request.into_inner());
        let bound = tokio::time::timeout(timeout, bound).await;
        let handle = bound.map_err(|_| Status::deadline_exceeded("the parameters did not come in time"))??;
        Ok(DoPutPreparedStatementResult { prepared_statement_handle: Some(handle.bytes()) })
    }

    async fn get_flight_info_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Answer<FlightInfo> {
        self.ticket(Handle::read(&query.prepared_statement_handle)?.renamed()?, request).await
    }

    async fn do_get_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<Ticket>,
    ) -> Answer<Sent<FlightData>> {
        self.run(&query.prepared_statement_handle, &request).await
    }

    async fn do_action_cancel_query(
        &self,
        query: ActionCancelQueryRequest,
        request: Request<Action>,
    ) -> Result<ActionCancelQueryResult, Status> {
        let (identity, _) = who(&request)?;
        let info = FlightInfo::decode(query.info).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let cancelled = self.cancel(&info, &identity);
        // The older action's results have the same numbers.
        Ok(ActionCancelQueryResult { result: cancel_status(cancelled) as i32 })
    }

    async fn do_action_fallback(&self, request: Request<Action>) -> Answer<<Self as FlightService>::DoActionStream> {
        let (identity, _) = who(&request)?;
        let action = request.into_inner();
        if action.r#type != CANCEL {
            return Err(Status::unimplemented(format!("there is no action `{}` here", action.r#type)));
        }
        let asked = CancelFlightInfoRequest::decode(action.body);
        let asked = asked.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let cancelled = asked.info.is_some_and(|info| self.cancel(&info, &identity));
        let body = CancelFlightInfoResult::new(cancel_status(cancelled)).encode_to_vec();
        let result = arrow_flight::Result::new(body);
        Ok(Response::new(Box::pin(futures::stream::iter([Ok(result)]))))
    }

    async fn list_custom_actions(&self) -> Option<Vec<Result<ActionType, Status>>> {
        let description = "Ends a running statement: CancelFlightInfoRequest, CancelFlightInfoResult".to_owned();
        Some(vec![Ok(ActionType { r#type: CANCEL.to_owned(), description })])
    }

    async fn get_flight_info_catalogs(
        &self,
        query: CommandGetCatalogs,
        request: Request<FlightDescriptor>,
    ) -> Answer<FlightInfo> {
        info(&query, &query.into_builder().schema(), request)
    }

    async fn do_get_catalogs(&self, query: CommandGetCatalogs, _request: Request<Ticket>) -> Answer<Sent<FlightData>> {
        let mut builder = query.into_builder();
        builder.append(CATALOG);
        one(builder.build())
    }

    async fn get_flight_info_schemas(
        &self,
        query: CommandGetDbSchemas,
        request: Request<FlightDescriptor>,
    ) -> Answer<FlightInfo> {
        info(&query, &query.clone().into_builder().schema(), request)
    }

    async fn do_get_schemas(&self, query: CommandGetDbSchemas, _request: Request<Ticket>) -> Answer<Sent<FlightData>> {
        let mut builder = query.into_builder();
        builder.append(CATALOG, metadata::SCHEMA);
        one(builder.build())
    }

    async fn get_flight_info_tables(
        &self,
        query: CommandGetTables,
        request: Request<FlightDescriptor>,
    ) -> Answer<FlightInfo> {
        info(&query, &query.clone().into_builder().schema(), request)
    }

    async fn do_get_tables(&self, query: CommandGetTables, request: Request<Ticket>) -> Answer<Sent<FlightData>> {
        let (identity, _) = who(&request)?;
        let mut builder = query.into_builder();
        metadata::tables(&mut builder, self.context(&identity)?).await?;
        one(builder.build())
    }

    async fn get_flight_info_table_types(
        &self,
        query: CommandGetTableTypes,
        request: Request<FlightDescriptor>,
    ) -> Answer<FlightInfo> {
        info(&query, &query.into_builder().schema(), request)
    }

    async fn do_get_table_types(
        &self,
        query: CommandGetTableTypes,
        _request: Request<Ticket>,
    ) -> Answer<Sent<FlightData>> {
        let mut builder = query.into_builder();
        metadata::TABLE_TYPES.iter().for_each(|kind| builder.append(kind));
        one(builder.build())
    }

    async fn get_flight_info_sql_info(
        &self,
        query: CommandGetSqlInfo,
        request: Request<FlightDescriptor>,
    ) -> Answer<FlightInfo> {
        info(&query, &query.clone().into_builder(metadata::sql_info()?).schema(), request)
    }

    async fn do_get_sql_info(&self, query: CommandGetSqlInfo, _request: Request<Ticket>) -> Answer<Sent<FlightData>> {
        one(query.into_builder(metadata::sql_info()?).build())
    }

    async fn get_flight_info_xdbc_type_info(
        &self,
        query: CommandGetXdbcTypeInfo,
        request: Request<FlightDescriptor>,
    ) -> Answer<FlightInfo> {
        info(&query, &query.into_builder(metadata::xdbc_info()?).schema(), request)
    }

    async fn do_get_xdbc_type_info(
        &self,
        query: CommandGetXdbcTypeInfo,
        _request: Request<Ticket>,
    ) -> Answer<Sent<FlightData>> {
        one(query.into_builder(metadata::xdbc_info()?).build())
    }

    async fn get_flight_info_primary_keys(
        &self,
        query: CommandGetPrimaryKeys,
        request: Request<FlightDescriptor>,
    ) -> Answer<FlightInfo> {
        info(&query, &metadata::primary_keys(), request)
    }

    async fn do_get_primary_keys(
        &self,
        _query: CommandGetPrimaryKeys,
        _request: Request<Ticket>,
    ) -> Answer<Sent<FlightData>> {
        none(metadata::primary_keys())
    }

    async fn get_flight_info_exported_keys(
        &self,
        query: CommandGetExportedKeys,
        request: Request<FlightDescriptor>,
    ) -> Answer<FlightInfo> {
        info(&query, &metadata::foreign_keys(), request)
    }

    async fn do_get_exported_keys(
        &self,
        _query: CommandGetExportedKeys,
        _request: Request<Ticket>,
    ) -> Answer<Sent<FlightData>> {
        none(metadata::foreign_keys())
    }

    async fn get_flight_info_imported_keys(
        &self,
        query: CommandGetImportedKeys,
        request: Request<FlightDescriptor>,
    ) -> Answer<FlightInfo> {
        info(&query, &metadata::foreign_keys(), request)
    }

    async fn do_get_imported_keys(
        &self,
        _query: CommandGetImportedKeys,
        _request: Request<Ticket>,
    ) -> Answer<Sent<FlightData>> {
        none(metadata::foreign_keys())
    }

    async fn get_flight_info_cross_reference(
        &self,
        query: CommandGetCrossReference,
        request: Request<FlightDescriptor>,
    ) -> Answer<FlightInfo> {
        info(&query, &metadata::foreign_keys(), request)
    }

    async fn do_get_cross_reference(
        &self,
        _query: CommandGetCrossReference,
        _request: Request<Ticket>,
    ) -> Answer<Sent<FlightData>> {
        none(metadata::foreign_keys())
    }

    async fn do_put_statement_update(
        &self,
        _query: CommandStatementUpdate,
        _request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        read_only()
    }

    async fn do_put_prepared_statement_update(
        &self,
        _query: CommandPreparedStatementUpdate,
        _request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        read_only()
    }

    async fn do_put_statement_ingest(
        &self,
        _query: CommandStatementIngest,
        _request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        read_only()
    }

    async fn do_action_begin_transaction(
        &self,
        _query: ActionBeginTransactionRequest,
        _request: Request<Action>,
    ) -> Result<ActionBeginTransactionResult, Status> {
        Err(Status::unimplemented("there are no transactions: each statement sees what is there when it starts"))
    }

    /// What this server says of itself is known from the start.
    async fn register_sql_info(&self, _id: i32, _result: &SqlInfo) {}
}
