use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom, SystemRandom};
use ring::{digest, hmac, pbkdf2};
use subtle::ConstantTimeEq;

/// Rounds of PBKDF2 of new verifiers, as PostgreSQL's `scram_iterations`.
pub const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).expect("4096 is not 0");
const SALT_BYTES: usize = 16;
const KEY_BYTES: usize = 32;
const MECHANISM: &str = "SCRAM-SHA-256";

/// What is stored of a password: `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    pub(crate) iterations: NonZeroU32,
    pub(crate) salt: Vec<u8>,
    stored_key: [u8; KEY_BYTES],
    server_key: [u8; KEY_BYTES],
}

/// Why there is no verifier. Never holds the text itself: it is a secret.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifierError {
    /// The text is of another form.
    #[error("not a verifier of the form SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>")]
    Form,
    /// An empty password proves nothing.
    #[error("the password is empty")]
    EmptyPassword,
    /// The system gave no random numbers.
    #[error("no random numbers from the system")]
    Random,
}

impl Verifier {
    /// Verifier of a password with a new random salt and [`ITERATIONS`].
    pub fn generate(password: &str) -> Result<Self, VerifierError> {
        let mut salt = [0; SALT_BYTES];
        SystemRandom::new().fill(&mut salt).map_err(|_| VerifierError::Random)?;
        Self::of_password(password, &salt, ITERATIONS)
    }

    /// Verifier of a password with a given salt.
    pub fn of_password(password: &str, salt: &[u8], iterations: NonZeroU32) -> Result<Self, VerifierError> {
        if password.is_empty() {
            return Err(VerifierError::EmptyPassword);
        }
        // PostgreSQL, too, takes a password as it is where SASLprep forbids it.
        let prepared = stringprep::saslprep(password).unwrap_or(Cow::Borrowed(password));
        let mut salted = [0; KEY_BYTES];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, prepared.as_bytes(), &mut salted);
        Ok(Self {
            iterations,
            salt: salt.to_vec(),
            stored_key: sha256(&hmac_sha256(&salted, b"Client Key")),
            server_key: hmac_sha256(&salted, b"Server Key"),
        })
    }

    /// Verifier for a user who does not exist: the same salt for the same name, and no password fits.
    ///
    /// `secret` stays in the process, so that nobody can tell these salts from real ones.
    pub fn of_nobody(secret: &[u8], user: &str) -> Self {
        let derive = |what: &str| hmac_sha256(secret, format!("{what}:{user}").as_bytes());
        Self {
            iterations: ITERATIONS,
            salt: derive("salt")[..SALT_BYTES].to_vec(),
            stored_key: derive("stored key"),
            server_key: derive("server key"),
        }
    }

    /// Whether it was made of this password.
    pub fn is_of(&self, password: &str) -> bool {
        Self::of_password(password, &self.salt, self.iterations)
            .is_ok_and(|other| other.stored_key.ct_eq(&self.stored_key).into())
    }

    /// Whether the proof over `auth_message` comes from the password.
    pub(crate) fn proves(&self, auth_message: &[u8], proof: &[u8; KEY_BYTES]) -> bool {
        let mut client_key = hmac_sha256(&self.stored_key, auth_message);
        client_key.iter_mut().zip(proof).for_each(|(key, proof)| *key ^= proof);
        sha256(&client_key).ct_eq(&self.stored_key).into()
    }

    pub(crate) fn server_signature(&self, auth_message: &[u8]) -> [u8; KEY_BYTES] {
        hmac_sha256(&self.server_key, auth_message)
    }
}

impl FromStr for Verifier {
    type Err = VerifierError;

    fn from_str(text: &str) -> Result<Self, VerifierError> {
        parse(text).ok_or(VerifierError::Form)
    }
}

fn parse(text: &str) -> Option<Verifier> {
    let rest = text.trim().strip_prefix(MECHANISM)?.strip_prefix('$')?;
    let (head, keys) = rest.split_once('$')?;
    let (iterations, salt) = head.split_once(':')?;
    let (stored_key, server_key) = keys.split_once(':')?;
    let salt = STANDARD.decode(salt).ok().filter(|salt| !salt.is_empty())?;
    Some(Verifier {
        iterations: iterations.parse().ok()?,
        salt,
        stored_key: key(stored_key)?,
        server_key: key(server_key)?,
    })
}

pub(crate) fn key(text: &str) -> Option<[u8; KEY_BYTES]> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

/// The text that is stored. Only for `user hash`: logs get `Debug`, which masks it.
impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [salt, stored, server] =
            [&self.salt[..], &self.stored_key, &self.server_key].map(|bytes| STANDARD.encode(bytes));
        write!(f, "{MECHANISM}${}:{salt}${stored}:{server}", self.iterations)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(***)")
    }
}

fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; KEY_BYTES] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message);
    tag.as_ref().try_into().expect("HMAC-SHA-256 has 32 bytes")
}

fn sha256(bytes: &[u8]) -> [u8; KEY_BYTES] {
    digest::digest(&digest::SHA256, bytes).as_ref().try_into().expect("SHA-256 has 32 bytes")
}
