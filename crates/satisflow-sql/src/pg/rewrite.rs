//! What PostgreSQL's clients write and the engine does not read.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, Expr, FunctionArguments, Ident, Query, SelectItem, SetExpr, Statement, TableAlias, TableFactor, Value,
    VisitMut, VisitorMut, visit_expressions, visit_expressions_mut,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

/// Arrays of what a catalog without options, roles and policies does not hold.
const NEVER_HELD: &[&str] =
    &["unnest(", "pg_roles", "pg_auth_members", "pg_policy", "attacl", "contypid", "pg_options_to_table", "pg_enum"];
/// Tables of the catalog that say nothing of what is published.
const SILENT: &[&str] = &["pg_attrdef", "pg_sequence", "pg_collation", "pg_constraint", "pg_index", "pg_inherits"];

/// Rewrites a statement in place.
pub(super) fn for_the_engine(statement: &mut Statement) {
    let _ = statement.visit(&mut OwnSettings);
    let _ = visit_expressions_mut(statement, |expression| {
        if let Some(new) = array_of_query(expression).or_else(|| other(expression)) {
            *expression = new;
        }
        ControlFlow::<()>::Continue(())
    });
}

/// Lets `pg_settings` show the values of the connection, and a table have no partitions.
struct OwnSettings;

impl VisitorMut for OwnSettings {
    type Break = ();

    fn post_visit_table_factor(&mut self, table: &mut TableFactor) -> ControlFlow<()> {
        const OWN: &str = "SELECT name, current_setting(name) AS setting, unit, category, short_desc, extra_desc, \
             context, vartype, source, min_val, max_val, enumvals, reset_val AS boot_val, reset_val, sourcefile, \
             sourceline, pending_restart FROM pg_catalog.pg_settings";
        const NO_PARTITION: &str = "SELECT CAST(NULL AS INT) AS relid, CAST(NULL AS INT) AS parentrelid, \
             false AS isleaf, 0 AS level WHERE false";
        let TableFactor::Table { name, alias, .. } = table else { return ControlFlow::Continue(()) };
        let text = name.to_string();
        let text = text.strip_prefix("pg_catalog.").unwrap_or(&text);
        let instead = match text {
            "pg_settings" => OWN,
            "pg_partition_tree" => NO_PARTITION,
            _ => return ControlFlow::Continue(()),
        };
        if let Some(Expr::Subquery(subquery)) = parsed(&format!("({instead})")) {
            let named = || TableAlias { explicit: true, name: Ident::new(text), columns: Vec::new(), at: None };
            let alias = Some(alias.take().unwrap_or_else(named));
            *table = TableFactor::Derived { lateral: false, subquery, alias, sample: None };
        }
        ControlFlow::Continue(())
    }
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
        return parsed("CAST(NULL AS TEXT[])");
    }
    let rewritten = format!("(SELECT array_agg(element) FROM ({text}) AS elements(element))");
    parsed(&rewritten)
}

/// What else is written for tables with composite types and indexes, which are not here.
fn other(expression: &Expr) -> Option<Expr> {
    match expression {
        Expr::Subquery(query) => of_query(query),
        Expr::Function(function) if function.name.to_string().eq_ignore_ascii_case("generate_subscripts") => {
            let FunctionArguments::List(list) = &function.args else { return None };
            let [array, dimension] = list.args.as_slice() else { return None };
            let text = format!("unnest(generate_series(1, array_length({array}, {dimension})))");
            parsed(&text)
        }
        // The elements of an index's columns, for pgjdbc: a table has none.
        Expr::Function(function) if function.name.to_string().to_ascii_lowercase().ends_with("_pg_expandarray") => {
            parsed("named_struct('x', CAST(NULL AS SMALLINT), 'n', CAST(NULL AS INT))")
        }
        // Comments, of which there are none, of a table whose name is put together: Metabase asks so.
        Expr::Function(function) if function.name.to_string().to_ascii_lowercase().ends_with("col_description") => {
            let is_named = function.args.to_string().to_ascii_lowercase().contains("format(");
            if is_named { parsed("CAST(NULL AS TEXT)") } else { None }
        }
        Expr::CompoundFieldAccess { root, access_chain } => match access_chain.as_slice() {
            [AccessExpr::Dot(Expr::Identifier(name))] => parsed(&format!("get_field({root}, '{}')", name.value)),
            _ => None,
        },
        // The catalog that a row is of, for comments: there are none.
        Expr::CompoundIdentifier(parts) if parts.last().is_some_and(|last| last.value == "tableoid") => {
            parsed("CAST(NULL AS INT)")
        }
        // The engine knows no other sign than the backslash: SQLAlchemy takes `/`.
        Expr::Like { negated, any: false, expr, pattern, escape_char: Some(sign) } => {
            let Value::SingleQuotedString(sign) = &sign.value else { return None };
            let escaped = escaped_by_backslash(pattern, sign)?;
            Some(Expr::Like {
                negated: *negated,
                any: false,
                expr: expr.clone(),
                pattern: Box::new(escaped),
                escape_char: None,
            })
        }
        _ => None,
    }
}

/// A query as a value, over the catalog: the engine plans no such query that depends on the row.
fn of_query(query: &Query) -> Option<Expr> {
    let SetExpr::Select(select) = &*query.body else { return None };
    let names = select.from.iter().filter_map(|from| match &from.relation {
        TableFactor::Table { name, .. } => Some(name.to_string()),
        _ => None,
    });
    let names: Vec<String> =
        names.map(|name| name.strip_prefix("pg_catalog.").map_or(name.clone(), str::to_owned)).collect();
    if names.iter().any(|name| SILENT.contains(&name.as_str())) {
        return parsed(&nothing(query));
    }
    let ([table], 1) = (names.as_slice(), select.from.len()) else { return None };
    // psql asks so whether a type is that of a table.
    if table == "pg_class" && query.to_string().contains("relkind = 'c'") {
        return Some(Expr::Value(Value::Boolean(false).into()));
    }
    // So does the library write `'name'::regproc`, and shows functions by their names.
    if table == "pg_proc" {
        let condition = select.selection.as_ref()?.to_string();
        let name = condition.split("proname = '").nth(1)?.split('\'').next()?;
        return Some(Expr::Value(Value::SingleQuotedString(name.to_owned()).into()));
    }
    match select.projection.as_slice() {
        [SelectItem::UnnamedExpr(column @ Expr::CompoundIdentifier(_))] if table.starts_with("pg_") => {
            let mut query = query.clone();
            let SetExpr::Select(select) = &mut *query.body else { return None };
            select.projection = vec![SelectItem::UnnamedExpr(parsed(&format!("max({column})"))?)];
            query.limit_clause = None;
            Some(Expr::Subquery(Box::new(query)))
        }
        _ => None,
    }
}

/// NULL, with the parameters of the query: clients send a value for each.
fn nothing(query: &Query) -> String {
    let mut parameters = Vec::new();
    let _ = visit_expressions(query, |expression| {
        match expression {
            Expr::Value(value) if matches!(value.value, Value::Placeholder(_)) => {
                parameters.push(format!("CAST({value} AS TEXT)"));
            }
            _ => {}
        }
        ControlFlow::<()>::Continue(())
    });
    match parameters.as_slice() {
        [] => "CAST(NULL AS TEXT)".to_owned(),
        some => format!("nullif(concat({0}), concat({0}))", some.join(", ")),
    }
}

fn parsed(text: &str) -> Option<Expr> {
    Parser::new(&PostgreSqlDialect {}).try_with_sql(text).ok()?.parse_expr().ok()
}

/// The pattern with `\` before what had `sign` before it.
fn escaped_by_backslash(pattern: &Expr, sign: &str) -> Option<Expr> {
    if sign == "\\" {
        return None;
    }
    let text = format!("replace(replace({pattern}, '\\', '\\\\'), '{}', '\\')", sign.replace('\'', "''"));
    parsed(&text)
}
