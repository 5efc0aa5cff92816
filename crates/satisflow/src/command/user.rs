//! `satisflow user`.

use std::io::{BufRead, IsTerminal};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use satisflow_scram::{TokenHash, Verifier};

/// Prints what the configuration keeps of a password.
pub(crate) fn hash() -> Result<ExitCode> {
    let password = if std::io::stdin().is_terminal() { asked()? } else { read(std::io::stdin().lock())? };
    super::say(&Verifier::generate(&password)?.to_string())?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a new token, and what the configuration keeps of it.
pub(crate) fn token() -> Result<ExitCode> {
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
