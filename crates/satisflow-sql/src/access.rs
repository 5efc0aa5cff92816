//! Who may ask, and what they see.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use pgwire::tokio::tokio_rustls::TlsAcceptor;
use pgwire::tokio::tokio_rustls::rustls::ServerConfig;
use satisflow_scram::{TokenHash, Verifier, server_nonce};

use crate::error::SqlError;

/// A refusal waits, so that guessing passwords takes long.
pub(crate) const REFUSAL_PAUSE: Duration = Duration::from_millis(500);

/// How names and passwords come: Go's client of Flight leaves out the padding.
const BASIC: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

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

/// Who asks, and what they see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Empty where nobody logs in.
    pub(crate) user: Arc<str>,
    pub(crate) caller: Caller,
}

impl Identity {
    /// Anyone, where nobody logs in.
    pub(crate) fn nobody() -> Identity {
        Identity { user: Arc::from(""), caller: Caller::ALL }
    }
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

    /// TLS for another protocol than PostgreSQL's, by the name that clients ask for it with (ALPN).
    pub(crate) fn tls_of(&self, protocol: &[u8]) -> Option<TlsAcceptor> {
        let mut server = ServerConfig::clone(self.tls.as_deref()?);
        server.alpn_protocols = vec![protocol.to_vec()];
        Some(TlsAcceptor::from(Arc::new(server)))
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

    /// A user who has proved who it is; `None`: there is none of that name.
    pub(crate) fn identity(&self, user: &str) -> Option<Identity> {
        self.proved(user).map(|caller| Identity { user: Arc::from(user), caller })
    }

    /// The name of the user who sends an HTTP header `Authorization: Bearer` (RFC 6750) with a token,
    /// or `Basic` (RFC 7617) with the password; `None`: nobody known.
    pub(crate) fn user(&self, authorization: &str) -> Option<&str> {
        let (scheme, credentials) = authorization.split_once(' ')?;
        let credentials = credentials.trim();
        if scheme.eq_ignore_ascii_case("bearer") { self.bearer(credentials) } else { self.basic(scheme, credentials) }
    }

    fn bearer(&self, token: &str) -> Option<&str> {
        let of = |user: &User| user.tokens.iter().any(|hash| hash.is_of(token));
        self.users.iter().find(|(_, user)| of(user)).map(|(name, _)| name.as_str())
    }

    fn basic(&self, scheme: &str, credentials: &str) -> Option<&str> {
        let text = String::from_utf8(BASIC.decode(credentials).ok()?).ok()?;
        let (user, password) = text.split_once(':').filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
        self.with_password(user, password)
    }

    /// The user of this name and password.
    pub(crate) fn with_password(&self, user: &str, password: &str) -> Option<&str> {
        // Of any name, so that refusing an unknown one takes as long.
        let proved = self.verifier(user).is_of(password);
        self.users.get_key_value(user).filter(|_| proved).map(|(name, _)| name.as_str())
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

    fn caller(access: &Access, authorization: &str) -> Option<Caller> {
        access.proved(access.user(authorization)?)
    }

    fn basic(text: &str) -> Option<Caller> {
        caller(&access(), &format!("Basic {}", BASIC.encode(text)))
    }

    #[test]
    fn users_are_known_by_their_passwords_alone() {
        assert_eq!(basic("ann:pa:ss"), Some(Caller { raw_data: true }));
        assert_eq!(basic("bob:pa:ss"), Some(Caller { raw_data: false }));
        for wrong in ["ann:pass", "ann:", "ann", "eve:pa:ss", ":pa:ss", "Ann:pa:ss"] {
            assert_eq!(basic(wrong), None, "{wrong}");
        }
        let encoded = BASIC.encode("ann:pa:ss");
        for header in [encoded.clone(), format!("Bearer {encoded}"), "Basic !".to_owned(), String::new()] {
            assert_eq!(caller(&access(), &header), None, "{header}");
        }
        let bearer = |token: &str| caller(&access(), &format!("bearer {token}"));
        assert_eq!(bearer("two"), Some(Caller { raw_data: false }));
        for wrong in ["three", "", "pa:ss", "one two", &TokenHash::of("one").to_string()] {
            assert_eq!(bearer(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_password_comes_with_its_padding_and_without() {
        let user = User { verifier: Verifier::generate("pass").unwrap(), raw_data: false, tokens: vec![] };
        let access = Access::new(BTreeMap::from([("eve".to_owned(), user)]), None).unwrap();
        let encoded = BASIC.encode("eve:pass");
        assert!(encoded.ends_with('='));
        for encoded in [encoded.as_str(), encoded.trim_end_matches('=')] {
            assert_eq!(caller(&access, &format!("Basic {encoded}")), Some(Caller { raw_data: false }));
        }
    }

    #[test]
    fn without_users_everyone_may_ask_and_no_network_is_faced() {
        let open = Access::new(BTreeMap::new(), None).unwrap();
        assert!(open.is_open() && !open.can_face_a_network() && !access().can_face_a_network(), "there is no TLS");
    }
}
