//! A listener of Kafka with TLS and a login.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The listener's name in Kafka's properties.
pub(crate) const LISTENER: &str = "SECURED";
/// The broker's certificate, signed by itself: also what clients trust.
/// Name of the certificate that [`make_key`] makes.
pub const CERTIFICATE: &str = "certificate.pem";
/// Name of its key.
pub const KEY: &str = "key.pem";
/// Both, as Kafka reads them.
const KEYSTORE: &str = "keystore.pem";

/// Who may log in. Letters, digits and `-` only: they go into files of several syntaxes.
#[derive(Debug, Clone, Copy)]
pub struct Login {
    /// The user.
    pub user: &'static str,
    /// The password.
    pub password: &'static str,
}

impl Login {
    /// SCRAM's credentials are made when the storage is formatted.
    pub(crate) fn format_arguments(&self) -> [String; 2] {
        let Login { user, password } = self;
        ["--add-scram".to_owned(), format!("SCRAM-SHA-256=[name={user},password={password}]")]
    }

    pub(crate) fn properties(&self, folder: &Path) -> String {
        let Login { user, password } = self;
        let listener = format!("listener.name.{}", LISTENER.to_lowercase());
        let security = "org.apache.kafka.common.security";
        format!(
            "{listener}.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256
{listener}.plain.sasl.jaas.config={security}.plain.PlainLoginModule required user_{user}=\"{password}\";
{listener}.scram-sha-256.sasl.jaas.config={security}.scram.ScramLoginModule required;
{listener}.ssl.keystore.type=PEM
{listener}.ssl.keystore.location={}
",
            folder.join(KEYSTORE).display()
        )
    }
}

/// Makes a key and a certificate of 127.0.0.1 in a folder, by themselves and in one file.
///
/// # Errors
/// When `openssl` fails.
pub fn make_key(folder: &Path) -> Result<()> {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", KEY, "-out", CERTIFICATE])
        .current_dir(folder)
        .output()
        .context("openssl")?;
    if !made.status.success() {
        bail!("openssl: {}", String::from_utf8_lossy(&made.stderr));
    }
    let key = std::fs::read_to_string(folder.join(KEY))?;
    let certificate = std::fs::read_to_string(folder.join(CERTIFICATE))?;
    std::fs::write(folder.join(KEYSTORE), key + &certificate)?;
    Ok(())
}
