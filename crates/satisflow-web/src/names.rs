//! Whom requests are sent to, and from which page.
//!
//! A web page elsewhere can make a browser send requests here, even under a name of its own that points to this
//! machine (DNS rebinding). No page can have an address for its name that is not its own.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

const REFUSAL: &str = "this name is none of the service's, or the page that asks is another's: beside localhost it \
                       answers to the names of `http.hosts` and of `http.external_url`\n";

/// Names that the service answers to.
pub(crate) struct Names {
    /// Beside this machine's.
    more: BTreeSet<String>,
    /// Whether any address is one, as the service is reached by those of its machine.
    addresses: bool,
}

impl Names {
    pub(crate) fn new(more: &BTreeSet<String>, addresses: bool) -> Names {
        Names { more: more.iter().map(|name| name.to_ascii_lowercase()).collect(), addresses }
    }

    fn has(&self, authority: &str) -> bool {
        let name = name(authority);
        is_this_machine(&name) || self.more.contains(&name)
    }

    /// Whether a request is sent to the service, and not by a page of another origin.
    fn are_meant(&self, headers: &HeaderMap) -> bool {
        let host = text(headers, header::HOST);
        let origin = text(headers, header::ORIGIN);
        let origin = origin.map(|origin| origin.split_once("://").map_or(origin, |(_, authority)| authority));
        let same = |origin: &str| host.is_some_and(|host| host.eq_ignore_ascii_case(origin));
        host.is_none_or(|host| self.has(host) || (self.addresses && address(&name(host)).is_some()))
            && origin.is_none_or(|origin| self.has(origin) || same(origin))
    }
}

/// What can't be read is there all the same.
fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).map(|value| value.to_str().unwrap_or_default())
}

/// Of `name:port`, as names are compared.
fn name(authority: &str) -> String {
    let name = match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => authority,
    };
    name.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase()
}

fn address(name: &str) -> Option<IpAddr> {
    name.parse().ok()
}

fn is_this_machine(name: &str) -> bool {
    name == "localhost" || address(name).is_some_and(|address| address.is_loopback())
}

/// Answers requests that are meant for the service, and no others.
pub(crate) async fn only_own(State(names): State<Arc<Names>>, request: Request, next: Next) -> Response {
    if names.are_meant(request.headers()) {
        next.run(request).await
    } else {
        (StatusCode::FORBIDDEN, [(header::X_CONTENT_TYPE_OPTIONS, "nosniff")], REFUSAL).into_response()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn are_meant(names: &Names, host: &str, origin: Option<&str>) -> bool {
        let headers = [(header::HOST, Some(host)), (header::ORIGIN, origin)];
        let given = headers.into_iter().filter_map(|(name, value)| Some((name, HeaderValue::from_str(value?).ok()?)));
        names.are_meant(&given.collect())
    }

    fn names(more: &[&str], addresses: bool) -> Names {
        Names::new(&more.iter().map(|name| (*name).to_owned()).collect(), addresses)
    }

    #[test]
    fn without_names_only_this_machine_is_meant() {
        let own = names(&[], false);
        for host in ["localhost", "LOCALHOST:8080", "127.0.0.1:80", "[::1]:8080", "[::1]"] {
            assert!(are_meant(&own, host, None), "{host}");
            assert!(are_meant(&own, host, Some(&format!("http://{host}"))), "{host}");
        }
        for other in ["evil.example", "evil.example:8080", "localhost.evil.example", "10.0.0.1:80", "null", ""] {
            assert!(!are_meant(&own, other, None), "{other}");
            assert!(!are_meant(&own, "localhost", Some(&format!("http://{other}"))), "{other}");
        }
        assert!(!are_meant(&own, "localhost", Some("null")));
        assert!(own.are_meant(&HeaderMap::new()), "HTTP/1.0 names nobody");
    }

    #[test]
    fn names_are_the_given_ones_and_a_networks_addresses() {
        let own = names(&["Satisflow.example"], true);
        for (host, origin) in [
            ("satisflow.example", "https://satisflow.example"),
            ("SATISFLOW.example:8443", "https://satisflow.example:8443"),
            ("10.0.0.1:8443", "https://10.0.0.1:8443"),
            ("[fe80::1]:8443", "https://[fe80::1]:8443"),
            // A proxy that puts in a name of its own.
            ("127.0.0.1:8080", "https://satisflow.example"),
        ] {
            assert!(are_meant(&own, host, Some(origin)), "{host} {origin}");
        }
        for (host, origin) in [
            ("evil.example", "https://evil.example"),
            ("satisflow.example.evil.example", "https://satisflow.example"),
            ("satisflow.example", "https://evil.example"),
            ("10.0.0.1:8443", "https://6.6.6.6:8443"),
            ("10.0.0.1:8443", "https://10.0.0.1"),
        ] {
            assert!(!are_meant(&own, host, Some(origin)), "{host} {origin}");
        }
        assert!(!are_meant(&names(&["satisflow.example"], false), "10.0.0.1", None));
    }

    #[test]
    fn what_cannot_be_read_is_no_name() {
        let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_bytes(b"\xff").unwrap())]);
        assert!(!names(&[], true).are_meant(&headers));
    }
}
