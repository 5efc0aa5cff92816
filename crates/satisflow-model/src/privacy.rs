//! Customers' ids, hashed with a key before a row exists.

use std::borrow::Cow;
use std::fmt;

use ring::hmac;

use crate::event::Value;

/// The key that customers' ids are hashed with. It is never shown.
#[derive(Clone)]
pub struct CustomerKey(hmac::Key);

impl CustomerKey {
    /// A key of these bytes.
    pub fn new(secret: &[u8]) -> CustomerKey {
        CustomerKey(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// HMAC-SHA-256 of an id, as 64 hexadecimal digits: the same for the same id.
    pub fn pseudonym(&self, id: &str) -> String {
        let tag = hmac::sign(&self.0, id.as_bytes());
        tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Puts the pseudonym in the place of an id.
    pub(crate) fn hide(&self, customer: &mut Value<'_>) {
        if let Value::Text(id) = customer
            && !id.is_empty()
        {
            *id = Cow::Owned(self.pseudonym(id));
        }
    }
}

impl fmt::Debug for CustomerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CustomerKey(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Case 2 of RFC 4231.
    #[test]
    fn a_pseudonym_is_the_hmac_of_rfc_4231() {
        let key = CustomerKey::new(b"Jefe");
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(key.pseudonym("what do ya want for nothing?"), expected);
        assert_eq!(format!("{key:?}"), "CustomerKey(***)");
    }
}
