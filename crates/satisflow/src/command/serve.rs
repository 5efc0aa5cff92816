//! The listeners of a running service.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use prometheus::Registry;
use satisflow_config::{Config, UserSettings};
use satisflow_pipeline::ServiceParts;
use satisflow_sql::{Access, SqlLimits, SqlService, Tables, User};
use satisflow_web::{Changes, Readiness, WebState};
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
}

impl Listeners {
    pub(crate) async fn bind(config: &Config) -> Result<Listeners> {
        let bind = async |what: &str, address: std::net::SocketAddr| {
            let hint = format!("`{what}.listen` {address} can't be used: is another service running there?");
            TcpListener::bind(address).await.context(hint)
        };
        let (sql, http) = (bind("sql", config.sql_listen).await, bind("http", config.http_listen).await);
        match (sql, http) {
            (Err(sql), Err(http)) => anyhow::bail!("{sql:#}; {http:#}"),
            (sql, http) => Ok(Listeners { sql: sql?, http: http? }),
        }
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
            rows_max: config.http_rows_max,
            ..SqlLimits::default()
        };
        let tables = Tables {
            records: parts.lake.live_records(),
            kpis: parts.lake.kpis_provider(),
            kpi_live: Some(Arc::new(parts.live_kpis())),
        };
        let access = Arc::new(access(config)?);
        let sql = SqlService::new(&tables, limits, access.callers())?;
        let stop = CancellationToken::new();
        let web = web(parts, registry, stop.clone())?;
        let mut tasks = JoinSet::new();
        let router = web.merge(satisflow_sql::http_router(Arc::clone(&sql), Arc::clone(&access)));
        let (pg_stop, http_stop) = (stop.clone(), stop.clone());
        tasks.spawn(async move { Ok(satisflow_sql::serve_pg(listeners.sql, sql, access, pg_stop).await?) });
        tasks.spawn(async move { satisflow_web::serve(listeners.http, router, http_stop).await });
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
fn web(parts: &ServiceParts, registry: &Registry, stop: CancellationToken) -> Result<Router> {
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
        changes: Changes { records: parts.lake.live_records().changes(), kpis: parts.lake.kpis_provider().changes() },
    };
    Ok(satisflow_web::router(state, stop))
}

fn access(config: &Config) -> Result<Access> {
    let user = |settings: &UserSettings| {
        let UserSettings { verifier, raw_data, tokens } = settings.clone();
        User { verifier, raw_data, tokens }
    };
    let users = config.users.iter().map(|(name, settings)| (name.clone(), user(settings)));
    Ok(Access::new(users.collect(), config.tls.clone())?)
}
