//! Who asks over HTTP: a token or a password with each request, or the session that a login of the page has given.
//!
//! - A session is a cookie that no script can read, that the page alone can send, and that has an end. As with the
//!   logins of Flight SQL nothing is kept of it.
//! - Of a body nothing is read before it is known who sends it, but for the few bytes of a login.
//! - Passwords are checked one after another: each takes milliseconds of a processor, which PostgreSQL's protocol
//!   leaves to the client. Guesses in bulk slow each other, and nothing else.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use satisflow_scram::TokenHash;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::failure::{Failure, failed, received};
use crate::access::{Access, Identity, REFUSAL_PAUSE};
use crate::error::SqlError;
use crate::token::Tokens;

/// A name and a password.
const LOGIN_BYTES_MAX: usize = 4 << 10;
/// What a browser says of who sends a request, and what for.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

const WANTED: &str = "log in on the page, or send a token of `users` (Authorization: Bearer ...), or a name and \
                      password (curl --user NAME)";
const WRONG: &str = "there is no such user with this password";

/// How people and programs log in over HTTP.
#[derive(Debug, Clone)]
pub struct HttpLogins {
    /// Whether browsers come by TLS, which ends here or at a proxy: cookies are sent no other way then.
    pub secure: bool,
    /// How long the login of a page is good for.
    pub session_lifetime: Duration,
    /// Whether definitions and counts (`/api`) ask for nothing.
    pub counts_open: bool,
    /// Whether /metrics asks for nothing.
    pub metrics_open: bool,
    /// Of the bearer tokens that show /metrics, and nothing else.
    pub metrics_tokens: Vec<TokenHash>,
}

/// What requests over HTTP pass.
pub struct HttpDoor {
    access: Arc<Access>,
    tokens: Tokens,
    logins: HttpLogins,
    /// The one place where a password is checked.
    check: Arc<Semaphore>,
}

/// What the page's login sends.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    user: String,
    password: String,
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).map(|value| value.to_str().unwrap_or_default())
}

/// The token that is sent as `Authorization: Bearer`.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = text(headers, header::AUTHORIZATION)?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

impl HttpDoor {
    /// A door for these users.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn new(access: Arc<Access>, logins: HttpLogins) -> Result<Arc<HttpDoor>, SqlError> {
        let tokens = Tokens::new(logins.session_lifetime);
        let tokens = tokens.ok_or_else(|| SqlError::Threads("no random numbers from the system".to_owned()))?;
        Ok(Arc::new(HttpDoor { access, tokens, logins, check: Arc::new(Semaphore::new(1)) }))
    }

    /// Routes that are for those alone who have logged in, where there are users.
    pub fn guard(self: &Arc<Self>, routes: Router) -> Router {
        routes.route_layer(from_fn_with_state(Arc::clone(self), admit))
    }

    /// Routes that hold definitions and counts, which may be open.
    pub fn guard_counts(self: &Arc<Self>, routes: Router) -> Router {
        if self.logins.counts_open { routes } else { self.guard(routes) }
    }

    /// The route of metrics, which may have tokens of its own, or be open.
    pub fn guard_metrics(self: &Arc<Self>, routes: Router) -> Router {
        routes.route_layer(from_fn_with_state(Arc::clone(self), admit_metrics))
    }

    /// `/api/session`: who is logged in (GET), logging in (POST) and out (DELETE).
    pub fn sessions(self: &Arc<Self>) -> Router {
        let session = get(shown).post(log_in).delete(log_out).layer(DefaultBodyLimit::max(LOGIN_BYTES_MAX));
        Router::new().route("/api/session", session).with_state(Arc::clone(self))
    }

    async fn identity(&self, headers: &HeaderMap) -> Option<Identity> {
        if self.access.is_open() {
            return Some(Identity::nobody());
        }
        let Some(authorization) = text(headers, header::AUTHORIZATION) else {
            return self.access.identity(&self.session(headers)?);
        };
        if bearer(headers).is_some() {
            return self.access.identity(self.access.user(authorization)?);
        }
        let authorization = authorization.to_owned();
        self.checked(move |access| access.identity(access.user(&authorization)?)).await
    }

    async fn proved(&self, Credentials { user, password }: Credentials) -> Option<Identity> {
        if self.access.is_open() {
            return Some(Identity::nobody());
        }
        self.checked(move |access| access.identity(access.with_password(&user, &password)?)).await
    }

    /// What a check of a password says, once it is its turn.
    async fn checked(&self, check: impl FnOnce(&Access) -> Option<Identity> + Send + 'static) -> Option<Identity> {
        let place = Arc::clone(&self.check).acquire_owned().await.ok()?;
        let access = Arc::clone(&self.access);
        let checking = tokio::task::spawn_blocking(move || {
            // Until it has ended, whether or not somebody still waits for it.
            let _place = place;
            check(&access)
        });
        checking.await.ok().flatten()
    }

    /// The user of a session's cookie.
    fn session(&self, headers: &HeaderMap) -> Option<String> {
        // A page of another origin of the same site has the cookie sent along: its browser says so.
        if text(headers, FETCH_SITE).is_some_and(|site| !["same-origin", "none"].contains(&site)) {
            return None;
        }
        let lines = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let cookies = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let mut own = cookies.filter(|(name, _)| *name == self.cookie_name());
        own.find_map(|(_, token)| self.tokens.user(token))
    }

    /// A browser keeps a name that begins with `__Host-` only if it came by TLS, and for this host alone.
    fn cookie_name(&self) -> &'static str {
        if self.logins.secure { "__Host-satisflow" } else { "satisflow" }
    }

    fn cookie(&self, value: &str, lifetime: Duration) -> String {
        let secure = if self.logins.secure { "; Secure" } else { "" };
        let (name, seconds) = (self.cookie_name(), lifetime.as_secs());
        format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
    }

    async fn shows_metrics(&self, headers: &HeaderMap) -> bool {
        let is_known = |token: &str| self.logins.metrics_tokens.iter().any(|hash| hash.is_of(token));
        self.logins.metrics_open || bearer(headers).is_some_and(is_known) || self.identity(headers).await.is_some()
    }
}

/// Lets a request through that says who sends it; the answer is for nobody else.
async fn admit(State(door): State<Arc<HttpDoor>>, mut request: Request, next: Next) -> Response {
    let Some(identity) = door.identity(request.headers()).await else { return refused(request.headers()).await };
    request.extensions_mut().insert(identity);
    let mut response = next.run(request).await;
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

async fn admit_metrics(State(door): State<Arc<HttpDoor>>, request: Request, next: Next) -> Response {
    if door.shows_metrics(request.headers()).await { next.run(request).await } else { refused(request.headers()).await }
}

/// Who sends no password is told at once that one is wanted; who sends a wrong one waits.
async fn refused(headers: &HeaderMap) -> Response {
    if headers.contains_key(header::AUTHORIZATION) {
        tracing::warn!("an HTTP request with a wrong token or password, or an unknown name, was refused");
        tokio::time::sleep(REFUSAL_PAUSE).await;
    }
    unauthorized(headers, WANTED)
}

/// Says what can be sent. To the scripts of a page not that a password can be: its browser would ask for one by itself.
fn unauthorized(headers: &HeaderMap, message: &str) -> Response {
    let mut refused = failed((StatusCode::UNAUTHORIZED, "unauthorized", message.to_owned()));
    let by_script = text(headers, FETCH_MODE).is_some_and(|mode| mode != "navigate");
    let basic = (!by_script).then_some("Basic realm=\"satisflow\", charset=\"UTF-8\"");
    for wanted in ["Bearer realm=\"satisflow\""].into_iter().chain(basic) {
        refused.headers_mut().append(header::WWW_AUTHENTICATE, HeaderValue::from_static(wanted));
    }
    refused
}

/// What is told of somebody: no name where nobody logs in.
fn told(identity: &Identity) -> Json<Value> {
    let user = (!identity.user.is_empty()).then_some(&*identity.user);
    Json(json!({"user": user, "raw_data": identity.caller.raw_data}))
}

const NOT_KEPT: [(HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];

async fn shown(State(door): State<Arc<HttpDoor>>, headers: HeaderMap) -> Response {
    match door.identity(&headers).await {
        Some(identity) => (NOT_KEPT, told(&identity)).into_response(),
        None => refused(&headers).await,
    }
}

async fn log_in(State(door): State<Arc<HttpDoor>>, request: Request) -> Response {
    let headers = request.headers().clone();
    let credentials = match credentials(request).await {
        Ok(credentials) => credentials,
        Err(failure) => return failed(failure),
    };
    let user = credentials.user.clone();
    let Some(identity) = door.proved(credentials).await else {
        tracing::warn!(user, "a login with a wrong password or an unknown name was refused");
        tokio::time::sleep(REFUSAL_PAUSE).await;
        return unauthorized(&headers, WRONG);
    };
    let known = (NOT_KEPT, told(&identity)).into_response();
    if identity.user.is_empty() {
        return known;
    }
    let cookie = door.cookie(&door.tokens.issue(&identity.user), door.logins.session_lifetime);
    ([(header::SET_COOKIE, cookie)], known).into_response()
}

/// Only as JSON, which no form of a foreign page can send.
async fn credentials(request: Request) -> Result<Credentials, Failure> {
    let kind = text(request.headers(), header::CONTENT_TYPE).unwrap_or_default();
    if !kind.starts_with("application/json") {
        let message = "send application/json {\"user\": \"...\", \"password\": \"...\"}".to_owned();
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message));
    }
    let body = received(request).await?;
    // What is wrong is not told: it may be the password.
    serde_json::from_slice(&body).map_err(|_| {
        let message = "not of the form {\"user\": \"...\", \"password\": \"...\"}".to_owned();
        (StatusCode::BAD_REQUEST, "bad_request", message)
    })
}

async fn log_out(State(door): State<Arc<HttpDoor>>) -> Response {
    (StatusCode::NO_CONTENT, [(header::SET_COOKIE, door.cookie("", Duration::ZERO))]).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use satisflow_scram::Verifier;

    use super::*;
    use crate::access::User;

    fn door(secure: bool, lifetime_secs: u64) -> Arc<HttpDoor> {
        let user = User { verifier: Verifier::generate("pass").unwrap(), raw_data: false, tokens: vec![] };
        let access = Access::new(BTreeMap::from([("ann".to_owned(), user)]), None).unwrap();
        let logins = HttpLogins {
            secure,
            session_lifetime: Duration::from_secs(lifetime_secs),
            counts_open: false,
            metrics_open: false,
            metrics_tokens: vec![TokenHash::of("scrape")],
        };
        HttpDoor::new(Arc::new(access), logins).unwrap()
    }

    fn with(headers: &[(HeaderName, String)]) -> HeaderMap {
        headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    async fn user(door: &HttpDoor, headers: &[(HeaderName, String)]) -> Option<String> {
        door.identity(&with(headers)).await.map(|identity| identity.user.to_string())
    }

    #[tokio::test]
    async fn a_session_is_the_pages_alone_and_has_an_end() {
        let door = door(true, 60);
        let token = door.tokens.issue("ann");
        let cookie = (header::COOKIE, format!("other=1; __Host-satisflow={token}; more=2"));
        assert_eq!(user(&door, std::slice::from_ref(&cookie)).await, Some("ann".to_owned()));
        for (site, known) in [("same-origin", true), ("none", true), ("same-site", false), ("cross-site", false)] {
            let sent = [cookie.clone(), (FETCH_SITE, site.to_owned())];
            assert_eq!(user(&door, &sent).await.is_some(), known, "{site}");
        }
        // A name that plain HTTP could have set is none; nor is a token that was cut, or another process's.
        let foreign = super::tests::door(true, 60).tokens.issue("ann");
        for wrong in [
            format!("satisflow={token}"),
            format!("__Host-satisflow={}", &token[1..]),
            format!("__Host-satisflow={foreign}"),
            "__Host-satisflow=".to_owned(),
        ] {
            assert_eq!(user(&door, &[(header::COOKIE, wrong.clone())]).await, None, "{wrong}");
        }
        let over = super::tests::door(true, 0);
        let cookie = format!("__Host-satisflow={}", over.tokens.issue("ann"));
        assert_eq!(user(&over, &[(header::COOKIE, cookie)]).await, None, "it is over at once");
    }

    #[test]
    fn a_cookie_is_read_by_no_script_and_sent_by_no_other_page() {
        let lifetime = Duration::from_secs(60);
        let told = "__Host-satisflow=x; Path=/; Max-Age=60; HttpOnly; SameSite=Strict; Secure";
        assert_eq!(door(true, 60).cookie("x", lifetime), told);
        assert_eq!(
            door(false, 60).cookie("", Duration::ZERO),
            "satisflow=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict"
        );
    }

    #[tokio::test]
    async fn a_token_of_metrics_shows_nothing_else() {
        let door = door(true, 60);
        let with = |text: &str| with(&[(header::AUTHORIZATION, text.to_owned())]);
        for right in ["Bearer scrape", "Basic YW5uOnBhc3M="] {
            assert!(door.shows_metrics(&with(right)).await, "{right}");
        }
        assert_eq!(door.identity(&with("Bearer scrape")).await, None);
        for wrong in ["Bearer x", "Bearer ", "Basic scrape", ""] {
            assert!(!door.shows_metrics(&with(wrong)).await, "{wrong}");
        }
        assert!(!door.shows_metrics(&HeaderMap::new()).await);
    }

    #[test]
    fn a_browser_asks_for_no_password_where_the_page_does() {
        let schemes = |mode: Option<&str>| {
            let headers: Vec<_> = mode.map(|mode| (FETCH_MODE, mode.to_owned())).into_iter().collect();
            unauthorized(&with(&headers), "").headers().get_all(header::WWW_AUTHENTICATE).iter().count()
        };
        assert_eq!([schemes(None), schemes(Some("navigate")), schemes(Some("cors"))], [2, 2, 1]);
    }
}
