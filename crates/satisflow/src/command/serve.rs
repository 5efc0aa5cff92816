//! The listeners of a running service.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use datafusion::catalog::TableProvider;
use prometheus::Registry;
use satisflow_config::{Config, UserSettings};
use satisflow_pipeline::ServiceParts;
use satisflow_sql::{Access, FlightLimits, HttpDoor, HttpLogins, SqlLimits, SqlMetrics, SqlService, Tables, User};
use satisflow_web::{Changes, Reach, Readiness, Routes, WebState};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::page;

/// How long open connections may take to end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Bound listeners; binding comes first, so that a port in use stops the start.
pub(crate) struct Listeners {
    sql: TcpListener,
    http: TcpListener,
    /// Where Flight SQL is wanted.
    flight: Option<TcpListener>,
}

impl Listeners {
    pub(crate) async fn bind(config: &Config) -> Result<Listeners> {
        let bind = async |what: &str, address: std::net::SocketAddr| {
            let hint = format!("`{what}.listen` {address} can't be used: is another service running there?");
            TcpListener::bind(address).await.context(hint)
        };
        let (sql, http) = (bind("sql", config.sql_listen).await, bind("http", config.http.listen).await);
        let flight = match config.flight.listen {
            Some(address) => bind("flight", address).await.map(Some),
            None => Ok(None),
        };
        match (sql, http, flight) {
            (Ok(sql), Ok(http), Ok(flight)) => Ok(Listeners { sql, http, flight }),
            (sql, http, flight) => {
                let errors = [sql.err(), http.err(), flight.err()].into_iter().flatten();
                anyhow::bail!(errors.map(|error| format!("{error:#}")).collect::<Vec<_>>().join("; "))
            }
        }
    }

    /// Where Flight SQL is served, if it is.
    pub(crate) fn flight_address(&self) -> Result<Option<std::net::SocketAddr>> {
        Ok(self.flight.as_ref().map(TcpListener::local_addr).transpose()?)
    }

    pub(crate) fn addresses(&self) -> Result<(std::net::SocketAddr, std::net::SocketAddr)> {
        Ok((self.sql.local_addr()?, self.http.local_addr()?))
    }
}

/// Running listeners.
pub(crate) struct Serving {
    tasks: JoinSet<Result<()>>,
    stop: CancellationToken,
}

impl Serving {
    pub(crate) fn start(listeners: Listeners, parts: &ServiceParts, registry: &Registry) -> Result<Serving> {
        let config = &parts.config;
        let limits = SqlLimits {
            connections_max: config.connections_max,
            statement_timeout: config.statement_timeout,
            idle_timeout: config.idle_timeout,
            memory_bytes_max: config.query_memory_bytes_max,
            rows_max: config.http.rows_max,
            ..SqlLimits::default()
        };
        let tables = Tables {
            records: parts.lake.live_records(),
            kpis: parts.lake.kpis_provider(),
            alerts: parts.lake.alerts_provider().map(|alerts| alerts as Arc<dyn TableProvider>),
            kpi_live: Some(Arc::new(parts.live_kpis())),
        };
        let access = Arc::new(access(config)?);
        let sql = SqlService::new(&tables, limits, SqlMetrics::new(registry)?, access.callers())?;
        let stop = CancellationToken::new();
        let Routes { open, counts, metrics } = web(parts, registry, stop.clone())?;
        let door = HttpDoor::new(Arc::clone(&access), logins(config))?;
        let router = open.merge(door.guard_counts(counts)).merge(door.guard_metrics(metrics)).merge(door.sessions());
        let router = router.merge(satisflow_sql::http_router(Arc::clone(&sql), &door));
        let mut tasks = JoinSet::new();
        let (pg_stop, http_stop) = (stop.clone(), stop.clone());
        if let Some(listener) = listeners.flight {
            let (sql, access, limits, stop) = (Arc::clone(&sql), Arc::clone(&access), flight(config), stop.clone());
            tasks.spawn(async move { Ok(satisflow_sql::serve_flight(listener, sql, access, limits, stop).await?) });
        }
        let (reach, of_opened, of_refused) = (reach(config), sql.metrics(), sql.metrics());
        let (opened, refused) = (move || of_opened.http_connection(), move || of_refused.refuse_http());
        tasks.spawn(async move { Ok(satisflow_sql::serve_pg(listeners.sql, sql, access, pg_stop).await?) });
        tasks.spawn(satisflow_web::serve(listeners.http, router, reach, opened, refused, http_stop));
        Ok(Serving { tasks, stop })
    }

    /// Ends serving; connections that do not end in time are dropped.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(CLOSE_TIMEOUT, async {
            while let Some(task) = self.tasks.join_next().await {
                if let Ok(Err(error)) = task {
                    tracing::error!("serving has ended: {error:#}");
                }
            }
        });
        if ended.await.is_err() {
            tracing::warn!("open connections were dropped");
        }
    }
}

/// Everything over HTTP but SQL.
fn web(parts: &ServiceParts, registry: &Registry, stop: CancellationToken) -> Result<Routes> {
    let gauges = parts.gauges(registry)?;
    let (shared, metrics) = (parts.shared.clone(), parts.metrics.clone());
    let state = WebState {
        registry: registry.clone(),
        before_scrape: Arc::new(move || gauges.refresh()),
        readiness: Arc::new(move || match shared.look(|_| ()) {
            Some(()) => Readiness::ready(),
            None => Readiness::waiting("the engine is being built, or another process publishes the KPIs"),
        }),
        catalog: Arc::new(page::catalog(&parts.catalog)),
        pipeline: Arc::new(move || page::pipeline(&metrics)),
        changes: Changes {
            records: parts.lake.live_records().changes(),
            kpis: parts.lake.kpis_provider().changes(),
            alerts: parts.lake.alerts_provider().map(|alerts| alerts.changes()),
        },
    };
    Ok(satisflow_web::routes(state, stop))
}

fn logins(config: &Config) -> HttpLogins {
    let http = &config.http;
    HttpLogins {
        secure: http.is_secure(),
        session_lifetime: http.session_lifetime,
        counts_open: http.is_local,
        metrics_open: http.metrics_open,
        metrics_tokens: http.metrics_tokens.clone(),
    }
}

fn reach(config: &Config) -> Reach {
    let http = &config.http;
    Reach {
        tls: http.tls.clone(),
        names: http.hosts.clone(),
        network: !config.users.is_empty() && http.is_secure(),
        connections_max: http.connections_max,
        idle_timeout: http.idle_timeout,
    }
}

fn flight(config: &Config) -> FlightLimits {
    let settings = &config.flight;
    FlightLimits {
        connections_max: settings.connections_max,
        streams_max: settings.streams_max,
        rows_max: settings.rows_max,
        token_lifetime: settings.token_lifetime,
    }
}

fn access(config: &Config) -> Result<Access> {
    let user = |settings: &UserSettings| {
        let UserSettings { verifier, raw_data, tokens } = settings.clone();
        User { verifier, raw_data, tokens }
    };
    let users = config.users.iter().map(|(name, settings)| (name.clone(), user(settings)));
    Ok(Access::new(users.collect(), config.tls.clone())?)
}
