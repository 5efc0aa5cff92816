//! What clients ask, in numbers: connections, statements and how long they take.

use std::sync::Arc;
use std::time::Instant;

use datafusion::common::DataFusionError;
use pgwire::error::PgWireError;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, core::Collector, exponential_buckets,
};

use crate::error::{SqlError, first_line};
use crate::interrupt::CANCELLED;
use crate::sqlstate;

/// Where a statement comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listener {
    Postgres,
    Http,
    Flight,
}

impl Listener {
    fn as_str(self) -> &'static str {
        match self {
            Listener::Postgres => "postgres",
            Listener::Http => "http",
            Listener::Flight => "flight",
        }
    }
}

/// What became of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was answered to its end.
    Ok,
    /// It does not plan, or fails.
    Error,
    /// Its client ended it, went away, or read no further.
    Cancelled,
    /// It ran for longer than it may.
    Timeout,
    /// It would change something, is not published to whoever asks, or is too long.
    Refused,
}

impl Outcome {
    const ALL: [Outcome; 5] = [Outcome::Ok, Outcome::Error, Outcome::Cancelled, Outcome::Timeout, Outcome::Refused];

    fn as_str(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Error => "error",
            Outcome::Cancelled => "cancelled",
            Outcome::Timeout => "timeout",
            Outcome::Refused => "refused",
        }
    }

    /// Of a statement that fails in the engine.
    pub(crate) fn of(error: &SqlError) -> Outcome {
        match error {
            SqlError::Refused(_) | SqlError::TooLong(_) => Outcome::Refused,
            SqlError::Timeout(_) => Outcome::Timeout,
            SqlError::Query(_) => Outcome::told(&error.to_string()),
            SqlError::Threads(_) | SqlError::Memory(_) => Outcome::Error,
        }
    }

    /// Of one that fails while its rows are read.
    pub(crate) fn of_engine(error: &DataFusionError) -> Outcome {
        Outcome::told(&first_line(error))
    }

    /// Of one that fails in PostgreSQL's protocol.
    pub(crate) fn of_postgres(error: &PgWireError) -> Outcome {
        let translated = sqlstate::translated(error);
        match translated.as_ref().unwrap_or(error) {
            PgWireError::QueryCanceled => Outcome::Cancelled,
            PgWireError::UserError(told) => match told.code.as_str() {
                "25006" | "42501" | "54000" => Outcome::Refused,
                "57014" => Outcome::told(&told.message),
                _ => Outcome::Error,
            },
            _ => Outcome::Error,
        }
    }

    fn told(message: &str) -> Outcome {
        if message.contains("statement timeout") {
            Outcome::Timeout
        } else if message.contains(CANCELLED) {
            Outcome::Cancelled
        } else {
            Outcome::Error
        }
    }
}

/// Metrics of all listeners.
#[derive(Debug, Clone)]
pub struct SqlMetrics {
    connections: IntGaugeVec,
    refused: IntCounterVec,
    running: IntGaugeVec,
    statements: IntCounterVec,
    seconds: HistogramVec,
}

impl SqlMetrics {
    /// Registers all metrics.
    ///
    /// # Errors
    /// When a name is taken on the registry.
    pub fn new(registry: &Registry) -> Result<SqlMetrics, prometheus::Error> {
        // 1 ms to 65 s: beyond is the default timeout.
        let buckets = exponential_buckets(0.001, 4.0, 9)?;
        let seconds = HistogramOpts::new("satisflow_sql_statement_seconds", "Duration of statements until their end.");
        let gauges = |name: &str, help: &str| IntGaugeVec::new(Opts::new(name, help), &["listener"]);
        let metrics = SqlMetrics {
            connections: gauges("satisflow_sql_connections", "Open connections.")?,
            refused: IntCounterVec::new(
                Opts::new("satisflow_sql_connections_refused_total", "Connections refused at the limit."),
                &["listener"],
            )?,
            running: gauges("satisflow_sql_statements_running", "Statements that are planned or run.")?,
            statements: IntCounterVec::new(
                Opts::new("satisflow_sql_statements_total", "Statements by what became of them."),
                &["listener", "outcome"],
            )?,
            seconds: HistogramVec::new(seconds.buckets(buckets), &["listener"])?,
        };
        let all: [Box<dyn Collector>; 5] = [
            Box::new(metrics.connections.clone()),
            Box::new(metrics.refused.clone()),
            Box::new(metrics.running.clone()),
            Box::new(metrics.statements.clone()),
            Box::new(metrics.seconds.clone()),
        ];
        all.into_iter().try_for_each(|one| registry.register(one))?;
        metrics.show_all();
        Ok(metrics)
    }

    /// What has not happened yet is 0, and not absent.
    fn show_all(&self) {
        for listener in [Listener::Postgres, Listener::Http, Listener::Flight] {
            let name = listener.as_str();
            for outcome in Outcome::ALL {
                self.statements.with_label_values(&[name, outcome.as_str()]);
            }
            self.running.with_label_values(&[name]);
            self.seconds.with_label_values(&[name]);
            self.connections.with_label_values(&[name]);
            self.refused.with_label_values(&[name]);
        }
    }

    /// A connection over HTTP, which serves more than SQL, until what is given is dropped.
    pub fn http_connection(&self) -> impl Send + Unpin + use<> {
        self.connection(Listener::Http)
    }

    /// A connection over HTTP too many.
    pub fn refuse_http(&self) {
        self.refuse(Listener::Http);
    }

    /// A connection, until it is dropped.
    pub(crate) fn connection(&self, listener: Listener) -> Connection {
        let open = self.connections.with_label_values(&[listener.as_str()]);
        open.inc();
        Connection(open)
    }

    /// A connection too many.
    pub(crate) fn refuse(&self, listener: Listener) {
        self.refused.with_label_values(&[listener.as_str()]).inc();
    }

    /// A statement, until it is dropped or said to have ended.
    pub(crate) fn begin(self: &Arc<Self>, listener: Listener) -> Run {
        self.running.with_label_values(&[listener.as_str()]).inc();
        Run { metrics: Arc::clone(self), listener, started: Instant::now(), outcome: Outcome::Cancelled }
    }
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct Connection(prometheus::IntGauge);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A statement that runs. Whoever drops it without a word has lost interest.
#[derive(Debug)]
pub(crate) struct Run {
    metrics: Arc<SqlMetrics>,
    listener: Listener,
    started: Instant,
    outcome: Outcome,
}

impl Run {
    pub(crate) fn end(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let SqlMetrics { running, statements, seconds, .. } = &*self.metrics;
        let listener = self.listener.as_str();
        running.with_label_values(&[listener]).dec();
        statements.with_label_values(&[listener, self.outcome.as_str()]).inc();
        seconds.with_label_values(&[listener]).observe(self.started.elapsed().as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_counted_once_however_it_ends() {
        let metrics = Arc::new(SqlMetrics::new(&Registry::new()).unwrap());
        let run = metrics.begin(Listener::Http);
        let running = metrics.running.with_label_values(&["http"]);
        assert_eq!(running.get(), 1);
        run.end(Outcome::Ok);
        drop(metrics.begin(Listener::Http));
        let count = |outcome: &str| metrics.statements.with_label_values(&["http", outcome]).get();
        assert_eq!((running.get(), count("ok"), count("cancelled"), count("error")), (0, 1, 1, 0));
        assert_eq!(metrics.seconds.with_label_values(&["http"]).get_sample_count(), 2);
    }
}
