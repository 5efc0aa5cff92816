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
    /// It needs more memory than there is for queries.
    #[error("{OUT_OF_MEMORY} ({0})")]
    Memory(String),
    /// It does not plan or run.
    #[error("{}", first_line(.0))]
    Query(DataFusionError),
}

/// What a statement is told that got no memory.
pub(crate) const OUT_OF_MEMORY: &str = "out of memory: all queries together have `sql.memory_bytes_max`; narrow the \
     statement, wait for others to end, or raise the limit";

impl From<DataFusionError> for SqlError {
    fn from(error: DataFusionError) -> SqlError {
        match error.find_root() {
            DataFusionError::ResourcesExhausted(_) => SqlError::Memory(first_line(&error)),
            _ => SqlError::Query(error),
        }
    }
}

/// The first line of what went wrong first: not of the steps that it went wrong in.
pub(crate) fn first_line(error: &DataFusionError) -> String {
    error.find_root().strip_backtrace().lines().next().unwrap_or_default().to_owned()
}
