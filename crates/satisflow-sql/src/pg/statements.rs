//! Statements about the connection, and queries in its time zone.
//!
//! Transactions change nothing, since nothing can be changed: each statement sees what
//! is there when it starts. They are there for clients that always open one.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use async_trait::async_trait;
use datafusion::common::{Column, DFSchema, DataFusionError, ParamValues};
use datafusion::functions::datetime::now::NowFunc;
use datafusion::logical_expr::{EmptyRelation, Expr as PlanExpr, LogicalPlan, LogicalPlanBuilder, cast};
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement as PlannedStatement;
use datafusion::sql::sqlparser::ast::{CloseCursor, DiscardObject, Expr, Ident, Reset, Set, Statement};
use datafusion_postgres::arrow_pg::datatypes::df::encode_dataframe;
use datafusion_postgres::hooks::{HookClient, QueryHook};
use pgwire::api::portal::Format;
use pgwire::api::results::{DataRowEncoder, FieldFormat, FieldInfo, QueryResponse, Response, Tag};
use pgwire::api::store::PortalStore;
use pgwire::api::{ClientInfo, Type};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::response::TransactionStatus;
use pgwire::messages::startup::ParameterStatus;
use pgwire::types::format::FormatOptions;

use super::copy;
use super::settings::{self, Refusal, Setting};
use crate::functions;
use crate::sqlstate::user_error;

/// Answers them where a prepared statement is executed.
#[derive(Debug)]
pub(super) struct Statements;

#[async_trait]
impl QueryHook for Statements {
    async fn handle_simple_query(
        &self,
        statement: &Statement,
        context: &SessionContext,
        client: &mut dyn HookClient,
    ) -> Option<PgWireResult<Response>> {
        answer(statement, context, client).await.transpose()
    }

    async fn handle_extended_parse_query(
        &self,
        _statement: &Statement,
        _context: &SessionContext,
        _client: &(dyn ClientInfo + Send + Sync),
    ) -> Option<PgWireResult<LogicalPlan>> {
        None
    }

    async fn handle_extended_query(
        &self,
        statement: &Statement,
        _plan: &LogicalPlan,
        _parameters: &ParamValues,
        context: &SessionContext,
        client: &mut dyn HookClient,
    ) -> Option<PgWireResult<Response>> {
        answer(statement, context, client).await.transpose()
    }
}

/// The answers to statements that were sent together.
pub(super) async fn answers(
    statements: &[Statement],
    context: &SessionContext,
    client: &mut dyn HookClient,
) -> PgWireResult<Vec<Response>> {
    let mut responses = Vec::new();
    for statement in statements {
        match answer(statement, context, client).await? {
            Some(response) => responses.push(response),
            None => {
                let plan = planned(statement, context, client.metadata()).await?;
                let rows = run(plan, &Format::UnifiedText, context, client.metadata()).await?;
                responses.push(Response::Query(rows));
            }
        }
    }
    if responses.is_empty() {
        responses.push(Response::EmptyQuery);
    }
    Ok(responses)
}

/// The plan of a statement, its times in the zone of the connection.
pub(super) async fn planned(
    statement: &Statement,
    context: &SessionContext,
    kept: &settings::Kept,
) -> PgWireResult<LogicalPlan> {
    if let Some(columns) = columns(statement) {
        return stand_in(&columns.map_err(refused)?);
    }
    let planned = PlannedStatement::Statement(Box::new(statement.clone()));
    let plan = context.state().statement_to_plan(planned).await.map_err(failed)?;
    match statement {
        Statement::Query(_) => in_zone(plan, settings::zone(kept)).map_err(failed),
        _ => Ok(plan),
    }
}

fn refused((code, message): Refusal) -> PgWireError {
    user_error(code, message)
}

fn failed(error: DataFusionError) -> PgWireError {
    PgWireError::ApiError(Box::new(error))
}

/// The columns of what such a statement answers; `None`: it is a query.
fn columns(statement: &Statement) -> Option<Result<Vec<&'static str>, Refusal>> {
    match statement {
        Statement::ShowVariable { variable } if is_all(variable) => Some(Ok(vec!["name", "setting", "description"])),
        Statement::ShowVariable { variable } => {
            let none = settings::Kept::new();
            Some(settings::show(&none, &shown(variable)).map(|(setting, _)| vec![setting.shown]))
        }
        Statement::Set(_)
        | Statement::Reset(_)
        | Statement::StartTransaction { .. }
        | Statement::Commit { .. }
        | Statement::Rollback { .. }
        | Statement::Savepoint { .. }
        | Statement::ReleaseSavepoint { .. }
        | Statement::Discard { .. }
        | Statement::Deallocate { .. }
        | Statement::Close { .. }
        | Statement::UNLISTEN { .. }
        | Statement::Copy { .. } => Some(Ok(Vec::new())),
        _ => None,
    }
}

/// A plan that is never run: it says which columns a statement answers.
fn stand_in(columns: &[&str]) -> PgWireResult<LogicalPlan> {
    let fields: Vec<Field> = columns.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect();
    let schema = DFSchema::try_from(Schema::new(fields)).map_err(failed)?;
    Ok(LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: false, schema: Arc::new(schema) }))
}

async fn answer(
    statement: &Statement,
    context: &SessionContext,
    client: &mut dyn HookClient,
) -> PgWireResult<Option<Response>> {
    let ends = matches!(statement, Statement::Commit { .. } | Statement::Rollback { .. });
    if client.transaction_status() == TransactionStatus::Error && !ends {
        let message = "current transaction is aborted, commands ignored until end of transaction block";
        return Err(user_error("25P02", message.to_owned()));
    }
    if let Some(copied) = copy::of(statement) {
        let (query, copy) = copied.map_err(|message| user_error("0A000", message))?;
        return copied_out(&query, copy, context, client).await.map(Some);
    }
    let done = |tag: &str| Ok(Some(Response::Execution(Tag::new(tag))));
    match statement {
        Statement::Set(set) => {
            assign(set, context, client).await?;
            done("SET")
        }
        Statement::Reset(reset) => {
            let name = match &reset.reset {
                Reset::ALL => None,
                Reset::ConfigurationParameter(name) => Some(name.to_string()),
            };
            clear(name.as_deref(), context, client).await?;
            done("RESET")
        }
        Statement::ShowVariable { variable } => show(variable, client).map(Some),
        Statement::Discard { object_type } => {
            if *object_type == DiscardObject::ALL {
                client.portal_store().clear_portals();
                clear(None, context, client).await?;
            }
            done(&format!("DISCARD {object_type}"))
        }
        Statement::Deallocate { name, .. } => {
            client.portal_store().rm_statement(&name.value);
            done("DEALLOCATE")
        }
        Statement::Close { cursor: CloseCursor::Specific { name } } => {
            Err(user_error("34000", format!("cursor \"{}\" does not exist", name.value)))
        }
        Statement::Close { .. } => done("CLOSE CURSOR ALL"),
        Statement::UNLISTEN { .. } => done("UNLISTEN"),
        statement => transaction(statement, context, client).await,
    }
}

async fn transaction(
    statement: &Statement,
    context: &SessionContext,
    client: &mut dyn HookClient,
) -> PgWireResult<Option<Response>> {
    let status = client.transaction_status();
    let outside = || user_error("25P01", "this can only be used in transaction blocks".to_owned());
    let done = |tag: &str| Ok(Some(Response::Execution(Tag::new(tag))));
    match statement {
        Statement::StartTransaction { .. } if status == TransactionStatus::Idle => {
            client.set_transaction_status(TransactionStatus::Transaction);
            Ok(Some(Response::TransactionStart(Tag::new("BEGIN"))))
        }
        Statement::StartTransaction { .. } => done("BEGIN"),
        Statement::Savepoint { .. } | Statement::ReleaseSavepoint { .. } if status == TransactionStatus::Idle => {
            Err(outside())
        }
        Statement::Savepoint { .. } => done("SAVEPOINT"),
        Statement::ReleaseSavepoint { .. } => done("RELEASE"),
        Statement::Rollback { savepoint: Some(_), .. } if status == TransactionStatus::Idle => Err(outside()),
        // The transaction goes on, also after an error in it.
        Statement::Rollback { savepoint: Some(_), .. } => {
            client.set_transaction_status(TransactionStatus::Transaction);
            Ok(Some(Response::TransactionStart(Tag::new("ROLLBACK"))))
        }
        Statement::Commit { .. } | Statement::Rollback { .. } => {
            let changed = settings::end_transaction(client.metadata_mut());
            tell(&changed, context, client).await?;
            client.set_transaction_status(TransactionStatus::Idle);
            let commits = matches!(statement, Statement::Commit { .. }) && status != TransactionStatus::Error;
            let tag = if commits { "COMMIT" } else { "ROLLBACK" };
            Ok(Some(Response::TransactionEnd(Tag::new(tag))))
        }
        _ => Ok(None),
    }
}

async fn copied_out(
    query: &str,
    copy: copy::Copy,
    context: &SessionContext,
    client: &dyn HookClient,
) -> PgWireResult<Response> {
    let plan = context.state().create_logical_plan(query).await.map_err(failed)?;
    let plan = in_zone(plan, settings::zone(client.metadata())).map_err(failed)?;
    let rows = run(plan, &copy.rows(), context, client.metadata()).await?;
    Ok(Response::CopyOut(copy.response(rows)))
}

async fn run(
    plan: LogicalPlan,
    format: &Format,
    context: &SessionContext,
    kept: &settings::Kept,
) -> PgWireResult<QueryResponse> {
    let frame = context.execute_logical_plan(plan).await.map_err(failed)?;
    let options = FormatOptions::from_client_metadata(kept);
    encode_dataframe(frame, format, Some(Arc::new(options))).await
}

/// The plan with its times in a zone: the same instants, written otherwise.
pub(super) fn in_zone(plan: LogicalPlan, zone: &str) -> Result<LogicalPlan, DataFusionError> {
    let other = |kind: &DataType| match kind {
        DataType::Timestamp(unit, Some(own)) if **own != *zone => Some(DataType::Timestamp(*unit, Some(zone.into()))),
        _ => None,
    };
    if plan.schema().fields().iter().all(|field| other(field.data_type()).is_none()) {
        return Ok(plan);
    }
    let columns = plan.schema().iter().map(|(qualifier, field)| {
        let column = PlanExpr::Column(Column::new(qualifier.cloned(), field.name()));
        match other(field.data_type()) {
            Some(kind) => cast(column, kind).alias_qualified(qualifier.cloned(), field.name()),
            None => column,
        }
    });
    let columns: Vec<PlanExpr> = columns.collect();
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

/// Lets plans follow the settings of the connection, whose own context this is.
///
/// # Errors
/// Never in practice: the settings were checked.
pub(super) fn apply(context: &SessionContext, kept: &settings::Kept) -> Result<(), DataFusionError> {
    let zone = settings::zone(kept);
    let state = context.state_ref();
    let now = {
        let mut state = state.write();
        state.config_mut().options_mut().execution.time_zone = Some(zone.to_owned());
        NowFunc::new_with_config(state.config_options())
    };
    context.register_udf(now.into());
    let shown = settings::all(kept).map(|(name, value)| (name.to_ascii_lowercase(), value));
    functions::register_settings(context, shown.collect());
    Ok(())
}

async fn assign(set: &Set, context: &SessionContext, client: &mut dyn HookClient) -> PgWireResult<()> {
    let (name, text, local) = match set {
        Set::SingleAssignment { scope, variable, values, .. } => {
            let local = scope.as_ref().is_some_and(|scope| scope.to_string().trim().eq_ignore_ascii_case("local"));
            (variable.to_string(), text_of(values), local)
        }
        Set::SetTimeZone { local, value } => (settings::ZONE.to_owned(), text_of(std::slice::from_ref(value)), *local),
        Set::SetNames { charset_name, .. } => ("client_encoding".to_owned(), Some(charset_name.value.clone()), false),
        // How transactions are isolated makes no difference to what only reads.
        _ => return Ok(()),
    };
    let setting = match (local, client.transaction_status()) {
        (false, _) => settings::set(client.metadata_mut(), &name, text.as_deref()),
        // As in PostgreSQL, it is over at once.
        (true, TransactionStatus::Idle) => return Ok(()),
        (true, _) => settings::set_local(client.metadata_mut(), &name, text.as_deref()),
    };
    tell(&[setting.map_err(refused)?], context, client).await
}

/// Values as text; `None` for DEFAULT.
fn text_of(values: &[Expr]) -> Option<String> {
    let word = |value: &Expr| match value {
        Expr::Value(value) => value.clone().into_string().unwrap_or_else(|| value.to_string()),
        Expr::Identifier(name) => name.value.clone(),
        other => other.to_string(),
    };
    let text = values.iter().map(word).collect::<Vec<_>>().join(", ");
    (!text.eq_ignore_ascii_case("default")).then_some(text)
}

async fn clear(name: Option<&str>, context: &SessionContext, client: &mut dyn HookClient) -> PgWireResult<()> {
    let changed = match name {
        Some(name) => vec![settings::set(client.metadata_mut(), name, None).map_err(refused)?],
        None => settings::reset_all(client.metadata_mut()),
    };
    tell(&changed, context, client).await
}

/// Tells plans and the client of what has changed.
async fn tell(changed: &[&'static Setting], context: &SessionContext, client: &mut dyn HookClient) -> PgWireResult<()> {
    apply(context, client.metadata()).map_err(failed)?;
    for setting in changed.iter().filter(|setting| setting.reported) {
        let (_, value) = settings::show(client.metadata(), setting.shown).map_err(refused)?;
        let status = ParameterStatus::new(setting.shown.to_owned(), value);
        client.send_message(PgWireBackendMessage::ParameterStatus(status)).await?;
    }
    Ok(())
}

/// What is shown, by its name.
fn shown(variable: &[Ident]) -> String {
    let words: Vec<String> = variable.iter().map(|word| word.value.to_ascii_lowercase()).collect();
    match words.join(" ").as_str() {
        "time zone" => settings::ZONE.to_owned(),
        "transaction isolation level" => "transaction_isolation".to_owned(),
        name => name.to_owned(),
    }
}

fn is_all(variable: &[Ident]) -> bool {
    matches!(variable, [word] if word.value.eq_ignore_ascii_case("all"))
}

fn show(variable: &[Ident], client: &dyn HookClient) -> PgWireResult<Response> {
    let kept = client.metadata();
    let rows = if is_all(variable) {
        settings::all(kept).map(|(name, value)| vec![name.to_owned(), value, String::new()]).collect()
    } else {
        let (_, value) = settings::show(kept, &shown(variable)).map_err(refused)?;
        vec![vec![value]]
    };
    let statement = Statement::ShowVariable { variable: variable.to_vec() };
    let names = columns(&statement).transpose().map_err(refused)?.unwrap_or_default();
    texts(&names, rows).map(Response::Query)
}

/// Rows of texts.
fn texts(names: &[&str], rows: Vec<Vec<String>>) -> PgWireResult<QueryResponse> {
    let field = |name: &&str| FieldInfo::new((*name).to_owned(), None, None, Type::TEXT, FieldFormat::Text);
    let fields = Arc::new(names.iter().map(field).collect::<Vec<_>>());
    let mut encoder = DataRowEncoder::new(Arc::clone(&fields));
    let mut encoded = Vec::new();
    for row in rows {
        row.iter().try_for_each(|text| encoder.encode_field(&Some(text.as_str())))?;
        encoded.push(Ok(encoder.take_row()));
    }
    let mut response = QueryResponse::new(fields, futures::stream::iter(encoded));
    response.set_command_tag("SHOW");
    Ok(response)
}
