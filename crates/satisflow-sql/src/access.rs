//! Who may ask, and what they see.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pgwire::tokio::tokio_rustls::TlsAcceptor;
use pgwire::tokio::tokio_rustls::rustls::ServerConfig;
use satisflow_scram::{TokenHash, Verifier, server_nonce};

use crate::error::SqlError;

/// A refusal waits, so that guessing passwords takes long.
pub(crate) const REFUSAL_PAUSE: Duration = Duration::from_millis(500);

/// A user of SQL.
#[derive(Debug, Clone)]
pub struct User {
    /// Of the password.
    pub verifier: Verifier,
    /// Whether raw records and free text are shown.
    pub raw_data: bool,
    /// Of the bearer tokens that stand for the user over HTTP.
    pub tokens: Vec<TokenHash>,
}

/// Who may ask. Without users everyone who reaches the listener may.
pub struct Access {
    users: BTreeMap<String, User>,
    tls: Option<Arc<ServerConfig>>,
    /// Makes the salts of users who do not exist.
    secret: String,
}

/// Someone who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Caller {
    pub(crate) raw_data: bool,
}

impl Caller {
    /// Sees everything: whoever runs the program on a lake, and anyone where there are no users.
    pub const ALL: Caller = Caller { raw_data: true };
}

impl Access {
    /// Access of these users, by name.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn new(users: BTreeMap<String, User>, tls: Option<Arc<ServerConfig>>) -> Result<Access, SqlError> {
        let secret = server_nonce().ok_or_else(|| SqlError::Threads("no random numbers from the system".to_owned()))?;
        Ok(Access { users, tls, secret })
    }

    /// Everyone there can be, each kind once.
    pub fn callers(&self) -> BTreeSet<Caller> {
        let users = self.users.values().map(|user| Caller { raw_data: user.raw_data });
        if self.is_open() { BTreeSet::from([Caller::ALL]) } else { users.collect() }
    }

    /// Whether no one has to log in.
    pub(crate) fn is_open(&self) -> bool {
        self.users.is_empty()
    }

    /// Whether a listener of it may face a network.
    pub(crate) fn can_face_a_network(&self) -> bool {
        !self.is_open() && self.has_tls()
    }

    pub(crate) fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    pub(crate) fn tls(&self) -> Option<TlsAcceptor> {
        self.tls.clone().map(TlsAcceptor::from)
    }

    /// A verifier for any name, so that nobody learns which ones exist.
    pub(crate) fn verifier(&self, user: &str) -> Verifier {
        let known = self.users.get(user).map(|user| user.verifier.clone());
        known.unwrap_or_else(|| Verifier::of_nobody(self.secret.as_bytes(), user))
    }

    /// What a user sees who has proved the password.
    pub(crate) fn proved(&self, user: &str) -> Option<Caller> {
        self.users.get(user).map(|user| Caller { raw_data: user.raw_data })
    }

    /// Who sends an HTTP header `Authorization: Bearer` (RFC 6750) with a token, or `Basic`
    /// (RFC 7617) with the password; `None`: nobody known.
    pub(crate) fn caller(&self, authorization: Option<&str>) -> Option<Caller> {
        if self.is_open() {
            return Some(Caller::ALL);
        }
        let (scheme, credentials) = authorization?.split_once(' ')?;
        let credentials = credentials.trim();
        if scheme.eq_ignore_ascii_case("bearer") { self.bearer(credentials) } else { self.basic(scheme, credentials) }
    }

    fn bearer(&self, token: &str) -> Option<Caller> {
        let of = |user: &&User| user.tokens.iter().any(|hash| hash.is_of(token));
        self.users.values().find(of).map(|user| Caller { raw_data: user.raw_data })
    }

    fn basic(&self, scheme: &str, credentials: &str) -> Option<Caller> {
        let text = String::from_utf8(STANDARD.decode(credentials).ok()?).ok()?;
        let (user, password) = text.split_once(':').filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
        self.proved(user).filter(|_| self.verifier(user).is_of(password))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access() -> Access {
        let user = |raw_data| {
            let tokens = if raw_data { vec![] } else { vec![TokenHash::of("one"), TokenHash::of("two")] };
            User { verifier: Verifier::generate("pa:ss").unwrap(), raw_data, tokens }
        };
        Access::new(BTreeMap::from([("ann".to_owned(), user(true)), ("bob".to_owned(), user(false))]), None).unwrap()
    }

    fn basic(text: &str) -> Option<Caller> {
        access().caller(Some(&format!("Basic {}", STANDARD.encode(text))))
    }

    #[test]
    fn users_are_known_by_their_passwords_alone() {
        assert_eq!(basic("ann:pa:ss"), Some(Caller { raw_data: true }));
        assert_eq!(basic("bob:pa:ss"), Some(Caller { raw_data: false }));
        for wrong in ["ann:pass", "ann:", "ann", "eve:pa:ss", ":pa:ss", "Ann:pa:ss"] {
            assert_eq!(basic(wrong), None, "{wrong}");
        }
        let encoded = STANDARD.encode("ann:pa:ss");
        for header in [encoded.clone(), format!("Bearer {encoded}"), "Basic !".to_owned(), String::new()] {
            assert_eq!(access().caller(Some(&header)), None, "{header}");
        }
        assert_eq!(access().caller(None), None);
        let bearer = |token: &str| access().caller(Some(&format!("bearer {token}")));
        assert_eq!(bearer("two"), Some(Caller { raw_data: false }));
        for wrong in ["three", "", "pa:ss", "one two", &TokenHash::of("one").to_string()] {
            assert_eq!(bearer(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn without_users_everyone_may_ask_and_no_network_is_faced() {
        let open = Access::new(BTreeMap::new(), None).unwrap();
        assert_eq!(open.caller(None), Some(Caller::ALL));
        assert!(!open.can_face_a_network() && !access().can_face_a_network(), "there is no TLS");
    }
}
