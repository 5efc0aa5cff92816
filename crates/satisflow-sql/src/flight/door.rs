//! Who asks: every request says so, and is refused before it is read.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::Response;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::access::{Access, Identity, REFUSAL_PAUSE};
use crate::pg::idle::{Activity, Busy};
use crate::token::Tokens;

/// How long a connection may take until it has proved who it is.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(60);

/// What all requests pass.
pub(super) struct Door {
    access: Arc<Access>,
    tokens: Tokens,
}

impl Door {
    /// `None` when the system has no random numbers.
    pub(super) fn new(access: Arc<Access>, token_lifetime: Duration) -> Option<Door> {
        Some(Door { access, tokens: Tokens::new(token_lifetime)? })
    }

    /// What a client sends from now on in place of its password.
    pub(super) fn token(&self, identity: &Identity) -> String {
        format!("Bearer {}", self.tokens.issue(&identity.user))
    }

    fn identity(&self, authorization: Option<&str>) -> Option<Identity> {
        if self.access.is_open() {
            return Some(Identity::nobody());
        }
        let authorization = authorization?;
        match self.logged_in(authorization) {
            Some(user) => self.access.identity(&user),
            None => self.access.identity(self.access.user(authorization)?),
        }
    }

    fn logged_in(&self, authorization: &str) -> Option<String> {
        let (scheme, token) = authorization.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| self.tokens.user(token.trim())).flatten()
    }
}

/// One connection.
#[derive(Debug, Clone)]
pub(super) struct Line {
    activity: Arc<Activity>,
    known: CancellationToken,
}

impl Line {
    pub(super) fn new() -> Line {
        Line { activity: Activity::new(), known: CancellationToken::new() }
    }

    /// It is not idle while there is one.
    pub(super) fn begin(&self) -> Busy {
        self.activity.begin()
    }

    /// Waits until it has been idle for too long, or has not said who it is for.
    pub(super) async fn idle(&self, timeout: Option<Duration>) {
        if tokio::time::timeout(LOGIN_TIMEOUT, self.known.cancelled()).await.is_ok() {
            self.activity.idle(timeout).await;
        }
    }
}

/// Lets a request through that says who sends it.
pub(super) async fn admit(
    State(door): State<Arc<Door>>,
    Extension(line): Extension<Line>,
    mut request: Request,
    next: Next,
) -> Response {
    let _busy = line.begin();
    let authorization = request.headers().get(AUTHORIZATION).map(|value| value.to_str().unwrap_or_default());
    match door.identity(authorization) {
        Some(identity) => {
            line.known.cancel();
            request.extensions_mut().insert(identity);
            next.run(request).await
        }
        None => refused(authorization.is_some()).await,
    }
}

/// Who sends no password is told at once that one is wanted; who sends a wrong one waits.
async fn refused(wrong: bool) -> Response {
    if wrong {
        tracing::warn!("a Flight SQL request with a wrong token or password, or an unknown name, was refused");
        tokio::time::sleep(REFUSAL_PAUSE).await;
    }
    let message = "log in with a name and password (the handshake with Basic), or send a token of `users` \
                   (Authorization: Bearer ...); the token of a login has an end, and ends with the service";
    Status::unauthenticated(message).into_http::<Body>()
}
