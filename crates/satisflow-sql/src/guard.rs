//! Which statements clients may send: an allow-list over the syntax tree.

use std::ops::ControlFlow;

use async_trait::async_trait;
use datafusion::common::ParamValues;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::ast::{CopySource, CopyTarget, Query, Select, Set, SetExpr, Statement, Visit, Visitor};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use datafusion_postgres::hooks::{HookClient, QueryHook};
use pgwire::api::ClientInfo;
use pgwire::api::results::Response;
use pgwire::error::{ErrorInfo, PgWireError, PgWireResult};

use crate::pg::settings;

/// Longest statement, in tokens: planning recurses over expressions, and a
/// stack has an end.
pub(crate) const TOKENS_MAX: usize = 10_000;

/// Refuses what is too long to be parsed and planned within a thread's stack.
pub(crate) fn check_size(sql: &str, bytes_max: usize) -> Result<(), String> {
    if sql.len() > bytes_max {
        return Err(format!("the statement has {} bytes; the limit is {bytes_max}", sql.len()));
    }
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize().map_err(|error| error.to_string())?;
    let counted = tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_))).count();
    if counted > TOKENS_MAX {
        return Err(format!("the statement has {counted} words and signs; the limit is {TOKENS_MAX}"));
    }
    Ok(())
}

/// Refuses a text that is not exactly one query.
pub(crate) fn only_query(sql: &str) -> Result<(), String> {
    let statements = Parser::parse_sql(&PostgreSqlDialect {}, sql).map_err(|error| error.to_string())?;
    match statements.as_slice() {
        [statement @ (Statement::Query(_) | Statement::Explain { .. } | Statement::ExplainTable { .. })] => {
            check(statement)
        }
        [statement] => Err(refusal(statement)),
        [] => Err("there is no statement".to_owned()),
        _ => Err("one statement at a time".to_owned()),
    }
}

/// Why a statement of the PostgreSQL protocol is refused, if it is.
pub(crate) fn check(statement: &Statement) -> Result<(), String> {
    match statement {
        Statement::Query(_) => reads_only(statement),
        Statement::Explain { statement: inner, .. } => match **inner {
            Statement::Query(_) => reads_only(statement),
            _ => Err(refusal(inner)),
        },
        Statement::ShowVariable { .. }
        | Statement::ShowTables { .. }
        | Statement::ShowColumns { .. }
        | Statement::StartTransaction { .. }
        | Statement::Commit { .. }
        | Statement::Rollback { .. }
        | Statement::Savepoint { .. }
        | Statement::ReleaseSavepoint { .. }
        | Statement::Reset(_)
        | Statement::Discard { .. }
        | Statement::Deallocate { .. }
        | Statement::Close { .. }
        | Statement::UNLISTEN { .. } => Ok(()),
        Statement::Copy { source, to: true, target: CopyTarget::Stdout, .. } => match source {
            CopySource::Query(_) => reads_only(statement),
            CopySource::Table { .. } => Ok(()),
        },
        Statement::Set(set) => settable(set).then_some(()).ok_or_else(|| refusal(statement)),
        _ => Err(refusal(statement)),
    }
}

fn refusal(statement: &Statement) -> String {
    let text = statement.to_string();
    let word = text.split_whitespace().next().unwrap_or_default().to_owned();
    format!("{word} is refused: SQL is read-only here")
}

fn settable(set: &Set) -> bool {
    match set {
        Set::SingleAssignment { hivevar: false, variable, .. } => settings::is_known(&variable.to_string()),
        Set::SetTimeZone { .. } | Set::SetNames { .. } | Set::SetNamesDefault {} | Set::SetTransaction { .. } => true,
        _ => false,
    }
}

/// A query whose every part, however deep, only reads.
fn reads_only(statement: &Statement) -> Result<(), String> {
    struct Readers;
    impl Visitor for Readers {
        type Break = String;
        fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<String> {
            let locks =
                if query.locks.is_empty() { None } else { Some("FOR UPDATE is refused: SQL is read-only here") };
            match locks.or_else(|| writes(&query.body)) {
                Some(reason) => ControlFlow::Break(reason.to_owned()),
                None => ControlFlow::Continue(()),
            }
        }
        fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<String> {
            match select.into {
                Some(_) => ControlFlow::Break("SELECT INTO is refused: SQL is read-only here".to_owned()),
                None => ControlFlow::Continue(()),
            }
        }
    }
    match statement.visit(&mut Readers) {
        ControlFlow::Break(reason) => Err(reason),
        ControlFlow::Continue(()) => Ok(()),
    }
}

fn writes(body: &SetExpr) -> Option<&'static str> {
    match body {
        SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::Values(_) | SetExpr::Table(_) => None,
        SetExpr::SetOperation { left, right, .. } => writes(left).or_else(|| writes(right)),
        _ => Some("a query that writes is refused: SQL is read-only here"),
    }
}

/// Stands before every other hook of the PostgreSQL protocol.
#[derive(Debug)]
pub(crate) struct Guard;

/// SQLSTATE read_only_sql_transaction.
fn refused(reason: String) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new("ERROR".to_owned(), "25006".to_owned(), reason)))
}

#[async_trait]
impl QueryHook for Guard {
    async fn handle_simple_query(
        &self,
        statement: &Statement,
        _context: &SessionContext,
        _client: &mut dyn HookClient,
    ) -> Option<PgWireResult<Response>> {
        check(statement).err().map(|reason| Err(refused(reason)))
    }

    async fn handle_extended_parse_query(
        &self,
        statement: &Statement,
        _context: &SessionContext,
        _client: &(dyn ClientInfo + Send + Sync),
    ) -> Option<PgWireResult<LogicalPlan>> {
        check(statement).err().map(|reason| Err(refused(reason)))
    }

    async fn handle_extended_query(
        &self,
        statement: &Statement,
        _plan: &LogicalPlan,
        _parameters: &ParamValues,
        _context: &SessionContext,
        _client: &mut dyn HookClient,
    ) -> Option<PgWireResult<Response>> {
        check(statement).err().map(|reason| Err(refused(reason)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(sql: &str) -> bool {
        let Ok(statements) = Parser::parse_sql(&PostgreSqlDialect {}, sql) else { return true };
        statements.iter().any(|statement| check(statement).is_err())
    }

    #[test]
    fn what_writes_is_refused_in_every_disguise() {
        for sql in [
            "INSERT INTO kpis VALUES (1)",
            "UPDATE kpis SET n = 1",
            "DELETE FROM kpis",
            "CREATE TABLE x AS SELECT 1",
            "CREATE VIEW x AS SELECT 1",
            "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'",
            "DROP TABLE kpis",
            "ALTER TABLE kpis ADD COLUMN x INT",
            "TRUNCATE kpis",
            "COPY kpis TO '/tmp/x'",
            "COPY (SELECT 1) TO '/tmp/x'",
            "COPY kpis FROM '/tmp/x'",
            "EXPLAIN ANALYZE INSERT INTO kpis VALUES (1)",
            "EXPLAIN COPY kpis TO '/tmp/x'",
            "DECLARE c CURSOR FOR DELETE FROM kpis",
            "DECLARE c CURSOR FOR SELECT 1",
            "WITH x AS (INSERT INTO kpis VALUES (1) RETURNING 1) SELECT * FROM x",
            "WITH x AS (DELETE FROM kpis RETURNING 1) SELECT * FROM x",
            "SELECT * INTO x FROM kpis",
            "SELECT * FROM (SELECT 1 INTO x) y",
            "SELECT 1; DROP TABLE kpis",
            "/* SELECT */ DROP TABLE kpis",
            "SET datafusion.catalog.location = '/etc'",
            "PREPARE p AS DELETE FROM kpis",
            "EXECUTE p",
            "SELECT * FROM kpis FOR UPDATE",
            "VACUUM kpis",
            "CALL x()",
            "LOAD 'x'",
        ] {
            assert!(refused(sql), "{sql}");
        }
    }

    #[test]
    fn what_reads_is_let_through() {
        for sql in [
            "SELECT 1",
            "VALUES (1)",
            "WITH x AS (SELECT 1) SELECT * FROM x UNION ALL SELECT 2",
            "EXPLAIN ANALYZE SELECT 1",
            "BEGIN",
            "COMMIT",
            "SET extra_float_digits = 3",
            "SHOW server_version",
        ] {
            assert!(!refused(sql), "{sql}");
        }
    }

    #[test]
    fn over_http_there_is_one_query_and_nothing_else() {
        assert!(only_query("SELECT 1").is_ok());
        for sql in ["SELECT 1; SELECT 2", "BEGIN", "SET timezone = 'UTC'", "", "SELEC 1"] {
            assert!(only_query(sql).is_err(), "{sql}");
        }
    }
}
