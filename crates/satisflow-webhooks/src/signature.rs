//! Signatures, in the form that Stripe made common.

use ring::hmac;

/// `t=SECONDS,v1=HEX`: the HMAC-SHA-256 of `SECONDS.BODY` under the secret. A receiver
/// computes it anew, and refuses times that are far from its own.
pub fn signature(secret: &[u8], seconds: i64, body: &[u8]) -> String {
    let mut signing = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret));
    signing.update(format!("{seconds}.").as_bytes());
    signing.update(body);
    let hex: String = signing.sign().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={seconds},v1={hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac 0123456789abcdef
    #[test]
    fn a_signature_is_what_openssl_computes() {
        let found = signature(b"0123456789abcdef", 1_700_000_000, br#"{"a":1}"#);
        assert_eq!(found, format!("t=1700000000,v1={EXPECTED}"));
    }

    const EXPECTED: &str = "9eb18f493f8ec135d9eb2dad817c369bb4e9cbfa818657897a7437c1cd8c3a23";
}
