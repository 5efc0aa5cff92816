//! What PostgreSQL's clients write and the engine does not read.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArguments, Statement, Value, visit_expressions_mut,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

/// Arrays of what a catalog without options, roles and policies does not hold.
const NEVER_HELD: &[&str] = &["unnest(", "pg_roles", "pg_auth_members", "pg_policy"];

/// Rewrites a statement in place.
pub(super) fn for_the_engine(statement: &mut Statement) {
    let _ = visit_expressions_mut(statement, |expression| {
        if let Some(new) = array_of_query(expression) {
            *expression = new;
        }
        ControlFlow::<()>::Continue(())
    });
}

/// `ARRAY(SELECT ...)` as `(SELECT array_agg(...))`.
fn array_of_query(expression: &Expr) -> Option<Expr> {
    let Expr::Function(function) = expression else { return None };
    let FunctionArguments::Subquery(query) = &function.args else { return None };
    if !function.name.to_string().eq_ignore_ascii_case("array") {
        return None;
    }
    let text = query.to_string();
    if NEVER_HELD.iter().any(|part| text.contains(part)) {
        return Some(Expr::Value(Value::Null.into()));
    }
    let rewritten = format!("(SELECT array_agg(element) FROM ({text}) AS elements(element))");
    Parser::new(&PostgreSqlDialect {}).try_with_sql(&rewritten).ok()?.parse_expr().ok()
}
