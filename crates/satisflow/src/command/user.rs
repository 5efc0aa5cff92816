//! `satisflow user`.

use std::io::{BufRead, IsTerminal};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use satisflow_scram::{TokenHash, Verifier};

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Print what `users` in the configuration keeps of a password.
    #[command(after_help = "The password is asked for, or is the first line of standard input. What is printed is
the text that PostgreSQL stores (SCRAM-SHA-256): it proves the password, and can't be used to log in.

Examples:
  satisflow user hash
  satisflow user hash < password.txt")]
    Hash,
    /// Make a bearer token for SQL over HTTP.
    #[command(
        after_help = "The first line is the token, for the client; it is shown this once. The second is its hash,
for `users.<name>.tokens` in the configuration.

Examples:
  satisflow user token
  curl -H \"Authorization: Bearer $TOKEN\" -H 'content-type: application/sql' -d 'select 1' http://127.0.0.1:8080/sql"
    )]
    Token,
}

pub(crate) fn user(command: &UserCommand) -> Result<ExitCode> {
    match command {
        UserCommand::Hash => hash(),
        UserCommand::Token => token(),
    }
}

/// Prints what the configuration keeps of a password.
fn hash() -> Result<ExitCode> {
    let password = if std::io::stdin().is_terminal() { asked()? } else { read(std::io::stdin().lock())? };
    super::say(&Verifier::generate(&password)?.to_string())?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a new token, and what the configuration keeps of it.
fn token() -> Result<ExitCode> {
    let (token, hash) = TokenHash::generate().context("no random numbers from the system")?;
    super::say(&format!("{token}\n{hash}"))?;
    Ok(ExitCode::SUCCESS)
}

/// Twice, as nobody sees what is typed.
fn asked() -> Result<String> {
    let password = rpassword::prompt_password("Password: ")?;
    if password != rpassword::prompt_password("Again: ")? {
        bail!("the passwords differ");
    }
    Ok(password)
}

fn read(mut input: impl BufRead) -> Result<String> {
    let mut line = String::new();
    input.read_line(&mut line).context("the password is read from standard input")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_the_first_line() {
        for (input, password) in [("pencil\n", "pencil"), ("pencil\r\nmore\n", "pencil"), (" a b ", " a b "), ("", "")]
        {
            assert_eq!(read(input.as_bytes()).unwrap(), password);
        }
    }
}
