//! `integrity: sha256-<base64>` of a remote file.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use sha2::{Digest as _, Sha256};

/// What is wrong with the text of an integrity hash.
pub(super) fn problem(text: &str) -> Option<&'static str> {
    let Some(hash) = text.strip_prefix("sha256-") else {
        return Some("integrity hash must start with 'sha256-'");
    };
    let is_base64 = BASE64_STANDARD.decode(hash).is_ok_and(|it| !it.is_empty());
    (!is_base64).then_some("integrity hash must be base64 encoded")
}

/// Whether a content has the hash.
pub(super) fn holds(text: &str, content: &[u8]) -> bool {
    text.strip_prefix("sha256-") == Some(&BASE64_STANDARD.encode(Sha256::digest(content)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_of_its_content_alone() {
        let hash = "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
        assert!(holds(hash, b"abc"));
        assert!(!holds(hash, b"abd"));
        assert!(!holds(&hash[7..], b"abc"));
        assert_eq!(problem(hash), None);
    }

    #[test]
    fn a_hash_says_what_it_is() {
        let start = Some("integrity hash must start with 'sha256-'");
        let encoding = Some("integrity hash must be base64 encoded");
        assert_eq!(problem("sha512-abcd"), start);
        assert_eq!(problem(""), start);
        for text in [
            "sha256-",
            "sha256-abc",
            "sha256-a===",
            "sha256-ab!d",
            "sha256-=abc",
        ] {
            assert_eq!(problem(text), encoding, "{text}");
        }
    }
}
