//! Tokens of logins: a name and an end, under a key that the process makes at its start.
//!
//! Nothing is kept of a login, so that nobody's logins crowd out another's, and no number of them
//! takes memory. With the process its key ends, and with it every token.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac::{HMAC_SHA256, Key, sign, verify};
use ring::rand::SystemRandom;

/// Makes tokens and knows them again.
pub(crate) struct Tokens {
    key: Key,
    start: Instant,
    lifetime: Duration,
}

impl Tokens {
    /// `None` when the system has no random numbers.
    pub(crate) fn new(lifetime: Duration) -> Option<Tokens> {
        let key = Key::generate(HMAC_SHA256, &SystemRandom::new()).ok()?;
        Some(Tokens { key, start: Instant::now(), lifetime })
    }

    pub(crate) fn issue(&self, user: &str) -> String {
        self.issue_at(user, self.start.elapsed())
    }

    fn issue_at(&self, user: &str, now: Duration) -> String {
        let end = (now + self.lifetime).as_millis();
        let content = format!("{end}:{user}");
        let proof = sign(&self.key, content.as_bytes());
        format!("{}.{}", URL_SAFE_NO_PAD.encode(content), URL_SAFE_NO_PAD.encode(proof))
    }

    /// The user whom a token was made for, unless it has ended.
    pub(crate) fn user(&self, token: &str) -> Option<String> {
        self.user_at(token, self.start.elapsed())
    }

    fn user_at(&self, token: &str, now: Duration) -> Option<String> {
        let (content, proof) = token.split_once('.')?;
        let content = URL_SAFE_NO_PAD.decode(content).ok()?;
        verify(&self.key, &content, &URL_SAFE_NO_PAD.decode(proof).ok()?).ok()?;
        let content = String::from_utf8(content).ok()?;
        let (end, user) = content.split_once(':')?;
        (now.as_millis() < end.parse().ok()?).then(|| user.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_user_and_its_time() {
        let tokens = Tokens::new(Duration::from_secs(10)).unwrap();
        let at = Duration::from_secs;
        let token = tokens.issue_at("a:nn", at(5));
        assert_eq!(tokens.user_at(&token, at(14)), Some("a:nn".to_owned()));
        assert_eq!(tokens.user_at(&token, at(15)), None);
    }

    #[test]
    fn what_this_process_has_not_made_is_no_token() {
        let tokens = Tokens::new(Duration::from_secs(10)).unwrap();
        let token = tokens.issue("ann");
        let (content, proof) = token.split_once('.').unwrap();
        let other = URL_SAFE_NO_PAD.encode("99999999999:ann");
        let foreign = Tokens::new(Duration::from_secs(10)).unwrap().issue("ann");
        for wrong in [format!("{other}.{proof}"), format!("{content}."), content.to_owned(), foreign, String::new()] {
            assert_eq!(tokens.user(&wrong), None, "{wrong}");
        }
        assert_eq!(tokens.user(&token), Some("ann".to_owned()));
    }
}
