//! What goes wrong with a statement.

use std::time::Duration;

use datafusion::common::DataFusionError;

/// Why a statement is refused or fails.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    /// It would change something, or reach for something not published.
    #[error("{0}")]
    Refused(String),
    /// It is longer than the limit.
    #[error("{0}")]
    TooLong(String),
    /// It has run for too long.
    #[error("the statement was ended after {0:?}, the statement timeout")]
    Timeout(Duration),
    /// There are no threads to run it on.
    #[error("queries have no threads: {0}")]
    Threads(String),
    /// It does not plan or run.
    #[error("{}", first_line(.0))]
    Query(#[from] DataFusionError),
}

/// The first line of what went wrong first: not of the steps that it went wrong in.
pub(crate) fn first_line(error: &DataFusionError) -> String {
    error.find_root().strip_backtrace().lines().next().unwrap_or_default().to_owned()
}
