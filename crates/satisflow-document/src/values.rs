//! Scalars that keep what was written, or hide it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

/// A decimal number with the digits that were written: `0.8` or `"0.8"`.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(with = "DecimalForm")]
pub struct Decimal(String);

#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
enum DecimalForm {
    Number(serde_json::Number),
    Text(String),
}

impl Decimal {
    /// The text that was written, trimmed.
    pub fn written(&self) -> &str {
        &self.0
    }

    /// The integer of `scale` decimals; `None` when more decimals or digits are
    /// written than fit.
    pub fn scaled(&self, scale: usize) -> Option<i64> {
        let (sign, digits) = match self.0.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, self.0.as_str()),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let fraction = fraction.trim_end_matches('0');
        if whole.is_empty() || fraction.len() > scale {
            return None;
        }
        let all = format!("{whole}{fraction:0<scale$}");
        let plain = all.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| all.parse::<i64>().ok())?.map(|value| sign * value)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
        Ok(Decimal(match DecimalForm::deserialize(deserializer)? {
            DecimalForm::Number(number) => number.to_string(),
            DecimalForm::Text(text) => text.trim().to_owned(),
        }))
    }
}

/// A value that is never shown.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The value itself, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_keep_their_digits() {
        let scaled = |text: &str, scale| serde_json::from_str::<Decimal>(text).unwrap().scaled(scale);
        assert_eq!(scaled("0.8", 4), Some(8_000));
        assert_eq!(scaled("\"-1.2500\"", 2), Some(-125));
        assert_eq!(scaled("100", 4), Some(1_000_000));
        assert_eq!(scaled("0.12345", 4), None);
        assert_eq!(scaled("\"x\"", 4), None);
    }

    #[test]
    fn a_secret_is_masked() {
        let secret: Secret = serde_json::from_str("\"hush\"").unwrap();
        assert_eq!((format!("{secret:?} {secret}"), secret.reveal()), ("*** ***".to_owned(), "hush"));
    }
}
