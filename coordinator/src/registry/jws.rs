//! Signed tokens in their compact form (JWS, RFC 7515), with ES256.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use fleet_tls::signing::{SigningKey, Unusable};
use serde::Serialize;

/// The head of a token. Registries of version 2 and 3 take the certificate; the
/// key's id is for those that look it up by that.
#[derive(Serialize)]
struct Head {
    typ: &'static str,
    alg: &'static str,
    kid: String,
    x5c: [String; 1],
}

/// The token that says `claims`.
///
/// # Errors
/// It cannot be signed.
pub(super) fn compact(key: &SigningKey, claims: &impl Serialize) -> Result<String, Unusable> {
    let head = Head {
        typ: "JWT",
        alg: "ES256",
        kid: key_id(key.public_hash()),
        // Unlike all the rest of a token, with padding (RFC 7515, 4.1.6).
        x5c: [STANDARD.encode(key.certificate_der())],
    };
    let signed = format!("{}.{}", part(&head), part(claims));
    let signature = key.sign(signed.as_bytes())?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

fn part(value: &impl Serialize) -> String {
    let text = serde_json::to_vec(value).expect("plain structs of texts and numbers");
    URL_SAFE_NO_PAD.encode(text)
}

/// The id that registries know a key by: of the SHA-256 of its SubjectPublicKeyInfo
/// the first 30 bytes in base32, in groups of 4 with colons (libtrust's).
fn key_id(hash: &[u8; 32]) -> String {
    const DIGITS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut id = String::new();
    let mut places = 0;
    // 5 bytes are 8 digits, so 30 are 48.
    for bytes in hash[..30].chunks_exact(5) {
        let bits = bytes
            .iter()
            .fold(0_u64, |bits, &b| bits << 8 | u64::from(b));
        for shift in (0..8).rev() {
            if places > 0 && places % 4 == 0 {
                id.push(':');
            }
            id.push(char::from(DIGITS[(bits >> (5 * shift)) as usize & 31]));
            places += 1;
        }
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_id_is_48_digits_of_base32_in_groups_of_four() {
        let mut hash = [0; 32];
        // RFC 4648: "foobar" is MZXW6YTBOI======.
        hash[..6].copy_from_slice(b"foobar");
        let id = key_id(&hash);
        assert_eq!(id.split(':').count(), 12);
        assert!(id.split(':').all(|group| group.len() == 4), "{id}");
        assert!(id.starts_with("MZXW:6YTB:OIAA:AAAA"), "{id}");
        assert_eq!(key_id(&[0xff; 32]).replace(':', ""), "7".repeat(48));
    }
}
