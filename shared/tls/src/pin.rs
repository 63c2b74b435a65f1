//! Public keys by their hash.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use crate::certificate;

/// `sha256:<hex>` of a root's public key (SubjectPublicKeyInfo).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin([u8; 32]);

/// A text is no pin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a CA pin is `sha256:` and 64 hexadecimal digits, not {0:?}")]
pub struct NoPin(String);

impl Pin {
    /// The pin of a certificate's key.
    ///
    /// # Errors
    /// `der` is no certificate.
    pub fn of_certificate(der: &[u8]) -> Result<Pin, certificate::Error> {
        Ok(Pin::of_key(certificate::parse(der)?.public_key().raw))
    }

    /// The pin of a SubjectPublicKeyInfo in DER.
    pub(crate) fn of_key(spki: &[u8]) -> Pin {
        Pin(Sha256::digest(spki).into())
    }

    /// The hash alone, in hex.
    #[must_use]
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "sha256:{}", self.hex())
    }
}

impl FromStr for Pin {
    type Err = NoPin;

    fn from_str(text: &str) -> Result<Pin, NoPin> {
        parse(text).ok_or_else(|| NoPin(text.chars().take(100).collect()))
    }
}

fn parse(text: &str) -> Option<Pin> {
    let digits = text.trim().strip_prefix("sha256:")?.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        let (high, low) = (char::from(pair[0]), char::from(pair[1]));
        *byte = u8::try_from(high.to_digit(16)? * 16 + low.to_digit(16)?).ok()?;
    }
    Some(Pin(hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_reads_as_it_is_written() {
        let pin = Pin::of_key(b"a key");
        assert_eq!(pin.to_string().parse(), Ok(pin.clone()));
        let loud = format!("sha256:{}", pin.hex().to_uppercase());
        assert_eq!(loud.parse(), Ok(pin));
    }

    #[test]
    fn what_is_no_pin_is_refused_with_its_shape() {
        let hex = "0".repeat(64);
        for text in [
            "",
            "sha256:",
            &hex,
            &format!("sha1:{hex}"),
            &format!("sha256:{hex}0"),
            &format!("sha256:{}", "ä".repeat(32)),
            &format!("sha256:{}g", &hex[1..]),
        ] {
            let wrong = text.parse::<Pin>().unwrap_err();
            assert!(wrong.to_string().contains("64 hexadecimal"), "{text}");
        }
    }
}
