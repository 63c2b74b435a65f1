//! The text of a token: `glpat-` or `gldt-`, 24 random characters, and 6 that tell a
//! mistyped one without asking anybody. All 30 are of base62.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Whose a token is; GitLab's prefixes tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A person's, or a program's that does what people do.
    Person,
    /// A deploy token.
    Deploy,
}

impl Kind {
    fn prefix(self) -> &'static str {
        match self {
            Kind::Person => "glpat-",
            Kind::Deploy => "gldt-",
        }
    }
}

/// 142 bits.
const RANDOM: usize = 24;
/// The CRC-32 of the random characters.
const CHECK: usize = 6;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// SHA-256 of a token's whole text, in hex: how it is kept.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(in crate::catalog) struct Hash(String);

pub(super) fn hash(secret: &str) -> Hash {
    use std::fmt::Write as _;
    let digest = Sha256::digest(secret.as_bytes());
    Hash(digest.iter().fold(String::new(), |mut hex, byte| {
        let _never_fails = write!(hex, "{byte:02x}");
        hex
    }))
}

/// A new token.
pub(super) fn generate(kind: Kind) -> String {
    let prefix = kind.prefix();
    let mut secret = String::from(prefix);
    let mut bytes = [0_u8; 64];
    while secret.len() < prefix.len() + RANDOM {
        getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
        // Those above the last multiple of 62 would make some digits likelier.
        let even = bytes.iter().filter(|byte| **byte < 248);
        let missing = prefix.len() + RANDOM - secret.len();
        secret.extend(
            even.take(missing)
                .map(|byte| char::from(DIGITS[usize::from(byte % 62)])),
        );
    }
    let check = check(&secret[prefix.len()..]);
    secret.push_str(&check);
    secret
}

/// Whether a text can be a token of this kind at all.
pub(super) fn is_well_formed(kind: Kind, secret: &str) -> bool {
    let Some(rest) = secret.strip_prefix(kind.prefix()) else {
        return false;
    };
    rest.len() == RANDOM + CHECK
        && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && check(&rest[..RANDOM]) == rest[RANDOM..]
}

fn check(random: &str) -> String {
    let mut crc = flate2::Crc::new();
    crc.update(random.as_bytes());
    let mut rest = crc.sum();
    let mut digits = [0_u8; CHECK];
    for place in digits.iter_mut().rev() {
        *place = DIGITS[(rest % 62) as usize];
        rest /= 62;
    }
    digits.map(char::from).iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_token_is_well_formed_and_like_no_other() {
        let (one, other) = (generate(Kind::Person), generate(Kind::Person));
        assert_ne!(one, other);
        assert_eq!(one.len(), 36);
        assert!(is_well_formed(Kind::Person, &one), "{one}");
        assert!(!is_well_formed(Kind::Deploy, &one), "{one}");
        let deploy = generate(Kind::Deploy);
        assert!(deploy.starts_with("gldt-") && is_well_formed(Kind::Deploy, &deploy));
    }

    #[test]
    fn a_mistyped_token_is_told_without_looking() {
        let secret = generate(Kind::Person);
        for place in 0..secret.len() {
            let mut wrong = secret.clone().into_bytes();
            wrong[place] = if wrong[place] == b'x' { b'y' } else { b'x' };
            let wrong = String::from_utf8(wrong).expect("letters");
            assert!(!is_well_formed(Kind::Person, &wrong), "{wrong}");
        }
        assert!(!is_well_formed(Kind::Person, &secret[..35]));
        assert!(!is_well_formed(Kind::Person, ""));
        assert!(!is_well_formed(Kind::Person, "glpat-ééééééééééééééé"));
    }

    #[test]
    fn the_check_is_the_crc_in_base62() {
        // CRC-32 of "123456789" is 0xcbf43926 = 3421780262.
        assert_eq!(check("123456789"), "3jZRME");
    }
}
