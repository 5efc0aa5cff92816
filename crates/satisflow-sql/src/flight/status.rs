//! What went wrong, as clients of gRPC know it.

use arrow_flight::error::FlightError;
use datafusion::common::DataFusionError;
use tonic::Status;

use crate::error::SqlError;
use crate::interrupt::CANCELLED;

/// An error of a statement.
pub(super) fn of(error: SqlError) -> Status {
    let message = error.to_string();
    tracing::debug!(error = message, "a statement failed");
    match error {
        SqlError::Refused(_) => Status::permission_denied(message),
        SqlError::Timeout(_) => Status::deadline_exceeded(message),
        SqlError::Threads(_) => Status::unavailable(message),
        SqlError::Memory(_) => Status::resource_exhausted(message),
        SqlError::Query(_) if message.contains("statement timeout") => Status::deadline_exceeded(message),
        SqlError::Query(_) if message.contains(CANCELLED) => Status::cancelled(message),
        SqlError::TooLong(_) | SqlError::Query(_) => Status::invalid_argument(message),
    }
}

/// An error in the middle of a result.
pub(super) fn of_batch(error: DataFusionError) -> FlightError {
    FlightError::from(of(SqlError::from(error)))
}

/// An error of what the service itself puts together.
pub(super) fn internal(error: impl std::fmt::Display) -> Status {
    Status::internal(error.to_string())
}
