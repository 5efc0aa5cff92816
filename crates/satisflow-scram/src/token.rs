use std::fmt;
use std::str::FromStr;

use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};
use subtle::ConstantTimeEq;

const TOKEN_BYTES: usize = 32;
const HASH_BYTES: usize = 32;
/// Tokens begin so, which lets scanners for secrets find them.
const TOKEN_PREFIX: &str = "satisflow_";
const HASH_PREFIX: &str = "sha256:";

/// What is stored of a bearer token: its SHA-256. A token is 256 random bits, which nobody
/// guesses, so that one round is enough.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenHash([u8; HASH_BYTES]);

/// Why there is no hash. Never holds the text itself: it may be the token.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the hash of a token of the form sha256:<64 hexadecimal digits>")]
pub struct TokenHashError;

impl TokenHash {
    /// A new token and its hash; `None` when the system has no random numbers.
    pub fn generate() -> Option<(String, TokenHash)> {
        let mut bytes = [0; TOKEN_BYTES];
        SystemRandom::new().fill(&mut bytes).ok()?;
        let token = format!("{TOKEN_PREFIX}{}", hex(&bytes));
        let hash = TokenHash::of(&token);
        Some((token, hash))
    }

    /// The hash of a token.
    pub fn of(token: &str) -> TokenHash {
        let hash = digest::digest(&digest::SHA256, token.as_bytes());
        TokenHash(hash.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }

    /// Whether it was made of this token.
    pub fn is_of(&self, token: &str) -> bool {
        TokenHash::of(token).0.ct_eq(&self.0).into()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl FromStr for TokenHash {
    type Err = TokenHashError;

    fn from_str(text: &str) -> Result<TokenHash, TokenHashError> {
        let digits = text.trim().strip_prefix(HASH_PREFIX).filter(|digits| digits.len() == 2 * HASH_BYTES);
        let digits =
            digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit())).ok_or(TokenHashError)?;
        let mut hash = [0; HASH_BYTES];
        for (byte, pair) in hash.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| TokenHashError)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| TokenHashError)?;
        }
        Ok(TokenHash(hash))
    }
}

/// The text that is stored. Only for `user token`: logs get `Debug`, which masks it.
impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{HASH_PREFIX}{}", hex(&self.0))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_hash_alone() {
        let (token, hash) = TokenHash::generate().unwrap();
        assert!(hash.is_of(&token) && hash.to_string().parse() == Ok(hash.clone()));
        assert!(!hash.is_of(&format!("{token} ")) && !hash.is_of(&hash.to_string()) && !hash.is_of(""));
        assert!(token.starts_with(TOKEN_PREFIX) && TokenHash::generate().unwrap().0 != token);
        assert_eq!(format!("{hash:?}"), "TokenHash(***)");
        let of_nothing = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(TokenHash::of("").to_string(), of_nothing);
        for wrong in ["", "sha256:", &token, &of_nothing[..70], &of_nothing.replace('e', "x"), &of_nothing[7..]] {
            assert_eq!(wrong.parse::<TokenHash>(), Err(TokenHashError), "{wrong}");
        }
    }
}
