use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom, SystemRandom};

use crate::verifier::{Verifier, key};

/// Bytes of a client's message: ours are below 200, and PostgreSQL's nonces are 24 characters.
const MESSAGE_BYTES_MAX: usize = 2048;
const NONCE_BYTES: usize = 18;

/// Why an exchange ends. What the peer is told is the caller's choice.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScramError {
    /// The message is not one of SCRAM.
    #[error("malformed SCRAM message: {0}")]
    Malformed(&'static str),
    /// Wrong password, or no such user: nobody may tell them apart.
    #[error("password authentication failed")]
    Refused,
}

/// A login between the server's first message and the client's proof.
#[derive(Debug)]
pub struct Exchange {
    verifier: Verifier,
    nonce: String,
    /// The client's GS2 header, which its proof repeats.
    header: String,
    client_first_bare: String,
    server_first: String,
}

/// The server's part of a nonce: 24 printable characters; none if the system has no random numbers.
pub fn server_nonce() -> Option<String> {
    let mut bytes = [0; NONCE_BYTES];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(STANDARD.encode(bytes))
}

impl Exchange {
    /// Answers the client's first message: the exchange, and the server's first message.
    ///
    /// The user name in the message is ignored, as in PostgreSQL: that of the start-up packet counts.
    pub fn start(client_first: &[u8], verifier: Verifier, server_nonce: &str) -> Result<(Self, String), ScramError> {
        let message = text(client_first)?;
        let header = header(message)?;
        let bare = &message[header.len()..];
        let nonce = format!("{}{server_nonce}", client_nonce(bare)?);
        let server_first = format!("r={nonce},s={},i={}", STANDARD.encode(&verifier.salt), verifier.iterations);
        let (header, client_first_bare) = (header.to_owned(), bare.to_owned());
        Ok((Self { verifier, nonce, header, client_first_bare, server_first: server_first.clone() }, server_first))
    }

    /// Checks the client's proof: the server's last message, or [`ScramError::Refused`]. One try only.
    pub fn finish(self, client_final: &[u8]) -> Result<String, ScramError> {
        let (unproved, proof) = text(client_final)?.rsplit_once(",p=").ok_or(ScramError::Malformed("no proof"))?;
        let proof = key(proof).ok_or(ScramError::Malformed("a proof has 32 bytes in base64"))?;
        self.check_unproved(unproved)?;
        let auth_message = format!("{},{},{unproved}", self.client_first_bare, self.server_first);
        if !self.verifier.proves(auth_message.as_bytes(), &proof) {
            return Err(ScramError::Refused);
        }
        Ok(format!("v={}", STANDARD.encode(self.verifier.server_signature(auth_message.as_bytes()))))
    }

    fn check_unproved(&self, unproved: &str) -> Result<(), ScramError> {
        let mut fields = unproved.split(',');
        if fields.next().and_then(|f| f.strip_prefix("c=")) != Some(STANDARD.encode(&self.header).as_str()) {
            return Err(ScramError::Malformed("another channel binding than at first"));
        }
        if fields.next().and_then(|f| f.strip_prefix("r=")) != Some(self.nonce.as_str()) {
            return Err(ScramError::Malformed("another nonce"));
        }
        Ok(())
    }
}

fn text(message: &[u8]) -> Result<&str, ScramError> {
    if message.len() > MESSAGE_BYTES_MAX {
        return Err(ScramError::Malformed("too long"));
    }
    std::str::from_utf8(message).map_err(|_| ScramError::Malformed("not UTF-8"))
}

fn header(message: &str) -> Result<&'static str, ScramError> {
    let known = ["n,,", "y,,"].into_iter().find(|header| message.starts_with(header));
    known.ok_or(ScramError::Malformed("channel binding and other identities are not supported"))
}

fn client_nonce(bare: &str) -> Result<&str, ScramError> {
    let mut fields = bare.split(',');
    if !fields.next().is_some_and(|f| f.starts_with("n=")) {
        return Err(ScramError::Malformed("no user name"));
    }
    let nonce = fields.next().and_then(|f| f.strip_prefix("r="));
    let printable = |nonce: &&str| !nonce.is_empty() && nonce.bytes().all(|b| b.is_ascii_graphic());
    nonce.filter(printable).ok_or(ScramError::Malformed("no nonce"))
}
