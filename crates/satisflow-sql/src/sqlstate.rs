//! What went wrong, as PostgreSQL's clients know it.

use datafusion::common::{DataFusionError, SchemaError};
use datafusion::sql::sqlparser::parser::ParserError;
use pgwire::error::{ErrorInfo, PgWireError};

use crate::error::{OUT_OF_MEMORY, first_line};

/// An error with its SQLSTATE.
pub(crate) fn user_error(code: &str, message: String) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new("ERROR".to_owned(), code.to_owned(), message)))
}

/// An error of the engine as one of PostgreSQL's; others stay as they are.
pub(crate) fn translated(error: &PgWireError) -> Option<PgWireError> {
    let PgWireError::ApiError(source) = error else { return None };
    if let Some(syntax) = source.downcast_ref::<ParserError>() {
        return Some(user_error("42601", syntax.to_string()));
    }
    let source = source.downcast_ref::<DataFusionError>()?;
    let message = match source.find_root() {
        DataFusionError::ResourcesExhausted(_) => format!("{OUT_OF_MEMORY} ({})", first_line(source)),
        _ => first_line(source),
    };
    Some(user_error(code(source, &source.strip_backtrace()), message))
}

fn code(error: &DataFusionError, message: &str) -> &'static str {
    let root = error.find_root();
    let says = |text: &str| message.contains(text);
    match root {
        _ if says("the statement timeout") || says("the statement was cancelled") => "57014",
        DataFusionError::SQL(..) => "42601",
        DataFusionError::SchemaError(cause, _) => match **cause {
            SchemaError::AmbiguousReference { .. } => "42702",
            _ => "42703",
        },
        DataFusionError::ResourcesExhausted(_) => "53200",
        DataFusionError::NotImplemented(_) => "0A000",
        _ if says("table '") && says("not found") => "42P01",
        _ if says("Invalid function") => "42883",
        _ if says("Divide by zero") => "22012",
        _ if says("Cannot cast") || says("Cast error") || says("Error parsing") => "22P02",
        _ if says("Overflow") || says("overflow") => "22003",
        DataFusionError::Plan(_) => "42000",
        _ => "XX000",
    }
}
