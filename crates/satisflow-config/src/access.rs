//! Users and TLS of the listeners.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use satisflow_document::escape;
use satisflow_model::CustomerKey;
use satisflow_scram::{TokenHash, Verifier};

use crate::raw::{RawConfig, RawProperty, RawTls, RawUser};
use crate::resolver::Resolver;

/// What PostgreSQL's clients call the protocol inside of TLS.
const ALPN: &[u8] = b"postgresql";

/// A user of SQL.
#[derive(Debug, Clone)]
pub struct UserSettings {
    /// Of the password.
    pub verifier: Verifier,
    /// Whether raw records and free text are shown.
    pub raw_data: bool,
    /// Of the bearer tokens.
    pub tokens: Vec<TokenHash>,
}

/// Shortest key that customers' ids are hashed with.
const CUSTOMER_KEY_BYTES_MIN: usize = 16;

impl Resolver<'_> {
    pub(crate) fn users(&mut self, raw: &BTreeMap<String, RawUser>) -> BTreeMap<String, UserSettings> {
        let mut users = BTreeMap::new();
        for (name, user) in raw {
            let at = format!("/users/{}/password", escape(name));
            let before = self.problem_count();
            match self.property(&at, &user.password).parse::<Verifier>() {
                Ok(verifier) => {
                    let tokens = self.tokens(&format!("/users/{}/tokens", escape(name)), &user.tokens);
                    users.insert(name.clone(), UserSettings { verifier, raw_data: user.raw_data, tokens });
                }
                // A file that can't be read was told of.
                Err(_) if self.problem_count() > before => {}
                Err(error) => {
                    self.problem(
                        &at,
                        error.to_string(),
                        "what `satisflow user hash` prints; the password itself is not kept",
                    );
                }
            }
        }
        users
    }

    pub(crate) fn tokens(&mut self, list: &str, raw: &[RawProperty]) -> Vec<TokenHash> {
        let mut tokens = Vec::new();
        for (index, token) in raw.iter().enumerate() {
            let at = format!("{list}/{index}");
            let before = self.problem_count();
            match self.property(&at, token).parse::<TokenHash>() {
                Ok(token) => tokens.push(token),
                Err(_) if self.problem_count() > before => {}
                Err(error) => self.problem(
                    &at,
                    error.to_string(),
                    "the second line that `satisflow user token` prints; the token itself is not kept",
                ),
            }
        }
        tokens
    }

    pub(crate) fn customer_key(&mut self, raw: &RawProperty) -> Option<CustomerKey> {
        let at = "/privacy/customer_key";
        let before = self.problem_count();
        let key = self.property(at, raw);
        if self.problem_count() == before && key.len() < CUSTOMER_KEY_BYTES_MIN {
            let message = format!("the key has {} bytes; at least {CUSTOMER_KEY_BYTES_MIN} are needed", key.len());
            self.problem(at, message, "such as `openssl rand -hex 32` prints");
        }
        (self.problem_count() == before).then(|| CustomerKey::new(key.as_bytes()))
    }

    pub(crate) fn tls(&mut self, at: &str, raw: Option<&RawTls>) -> Option<Arc<ServerConfig>> {
        let raw = raw?;
        let (certificate, key) = (self.folder.join(&raw.certificate), self.folder.join(&raw.key));
        let (of_certificate, of_key) = (format!("{at}/certificate"), format!("{at}/key"));
        let chain = self.or_problem(&of_certificate, &certificate, chain(&certificate));
        let private = self.or_problem(&of_key, &key, PrivateKeyDer::from_pem_file(&key).map_err(|e| e.to_string()));
        let server = server(chain?, private?).map_err(|error| error.to_string());
        self.or_problem(&of_key, &key, server)
    }

    fn or_problem<T>(&mut self, at: &str, file: &Path, read: Result<T, String>) -> Option<T> {
        let told = |error| self.problem(at, format!("{}: {error}", file.display()), "a PEM file, relative to this one");
        read.map_err(told).ok()
    }

    /// Only users behind TLS may come from elsewhere.
    pub(crate) fn may_face_its_network(&mut self, at: &str, raw: &RawConfig, address: std::net::SocketAddr) {
        if address.ip().is_loopback() || (!raw.users.is_empty() && raw.tls.is_some()) {
            return;
        }
        let message = format!("{address} is not a loopback address, and `users` or `tls` is missing");
        self.problem(at, message, "name users and a certificate, or listen on 127.0.0.1");
    }
}

fn chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(chain) if chain.is_empty() => Err("no certificate in it".to_owned()),
        read => read.map_err(|error| error.to_string()),
    }
}

fn server(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut server = builder.with_no_client_auth().with_single_cert(chain, key)?;
    server.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(server))
}
