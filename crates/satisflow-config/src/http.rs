//! The HTTP listener.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use satisflow_scram::TokenHash;
use url::Url;

use crate::raw::RawConfig;
use crate::resolver::{Resolver, seconds, size};

/// The HTTP listener and its limits.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// TLS that it speaks; `None`: in the clear.
    pub tls: Option<Arc<ServerConfig>>,
    /// Whether a proxy in front ends TLS.
    pub tls_by_proxy: bool,
    /// Names that requests may be sent to, beside this machine's.
    pub hosts: BTreeSet<String>,
    /// Whether only this machine's programs come: it is on loopback, and no proxy brings others there.
    pub is_local: bool,
    /// Whether /metrics asks for nothing.
    pub metrics_open: bool,
    /// Hashes of bearer tokens that show /metrics alone.
    pub metrics_tokens: Vec<TokenHash>,
    /// How long a login of the page is good for.
    pub session_lifetime: Duration,
    /// Most connections.
    pub connections_max: usize,
    /// A connection that sends no request, or does not read its answer, is ended after this long.
    pub idle_timeout: Duration,
    /// Most rows of one answer of `POST /sql`.
    pub rows_max: usize,
}

impl HttpSettings {
    /// Whether browsers come by TLS, which ends here or at a proxy.
    pub fn is_secure(&self) -> bool {
        self.tls.is_some() || self.tls_by_proxy
    }
}

impl Resolver<'_> {
    /// HTTP; `tls` is that of the other listeners, which it takes where it has none of its own and faces a network.
    pub(crate) fn http(&mut self, config: &RawConfig, tls: Option<&Arc<ServerConfig>>) -> HttpSettings {
        const SESSION_LIFETIME_SECS_DEFAULT: u32 = 43_200;
        const IDLE_TIMEOUT_SECS_DEFAULT: u32 = 60;
        let raw = &config.http;
        let listen = self.listen("/http/listen", raw.listen.as_deref(), "127.0.0.1:8080");
        self.may_be_reached(config, listen);
        let own = self.tls("/http/tls", raw.tls.as_ref());
        let shared = tls.filter(|_| raw.tls.is_none() && !listen.ip().is_loopback() && !raw.tls_by_proxy);
        let is_local = listen.ip().is_loopback() && !raw.tls_by_proxy;
        HttpSettings {
            listen,
            tls: own.or_else(|| shared.cloned()),
            tls_by_proxy: raw.tls_by_proxy,
            hosts: self.hosts(config),
            is_local,
            metrics_open: raw.metrics_open || is_local,
            metrics_tokens: self.tokens("/http/metrics_tokens", &raw.metrics_tokens),
            session_lifetime: seconds(raw.session_lifetime_secs, SESSION_LIFETIME_SECS_DEFAULT),
            connections_max: size(raw.connections_max, 256),
            idle_timeout: seconds(raw.idle_timeout_secs, IDLE_TIMEOUT_SECS_DEFAULT),
            rows_max: size(raw.rows_max, 10_000_000),
        }
    }

    /// Others come by TLS, which ends here or at a proxy, and log in.
    fn may_be_reached(&mut self, config: &RawConfig, listen: SocketAddr) {
        let (raw, nobody) = (&config.http, config.users.is_empty());
        let encrypted = raw.tls.is_some() || config.tls.is_some() || raw.tls_by_proxy;
        if !listen.ip().is_loopback() && (nobody || !encrypted) {
            let message = format!("{listen} is not a loopback address, and `users` or TLS is missing");
            let hint = "name users and a certificate (`http.tls`, or `tls` for all), or listen on 127.0.0.1; \
                        `http.tls_by_proxy: true` says that a proxy in front ends TLS";
            self.problem("/http/listen", message, hint);
        } else if raw.tls_by_proxy && nobody {
            let message = "`tls_by_proxy` lets others in, and there are no `users`".to_owned();
            self.problem("/http/tls_by_proxy", message, "name users; leave it out where the proxy asks for a login");
        }
        if raw.tls_by_proxy && raw.tls.is_some() {
            let message = "`tls_by_proxy` and `tls`: only one of both can end TLS".to_owned();
            self.problem("/http/tls_by_proxy", message, "leave one of them out");
        }
    }

    fn hosts(&mut self, config: &RawConfig) -> BTreeSet<String> {
        let mut hosts = BTreeSet::new();
        for (index, host) in config.http.hosts.iter().enumerate() {
            if is_host(host) {
                hosts.insert(host.to_ascii_lowercase());
            } else {
                let message = format!("`{host}` is no name of a host");
                let hint = "such as satisflow.example, without scheme and port";
                self.problem(&format!("/http/hosts/{index}"), message, hint);
            }
        }
        let url = config.http.external_url.as_deref().and_then(|url| Url::parse(url).ok());
        hosts.extend(url.and_then(|url| url.host_str().map(bare)));
        hosts
    }
}

/// An address of version 6 without its brackets, as names are compared.
fn bare(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase()
}

fn is_host(text: &str) -> bool {
    let is_name = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    !text.is_empty() && (text.parse::<IpAddr>().is_ok() || is_name(text))
}
