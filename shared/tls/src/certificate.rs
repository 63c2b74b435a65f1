//! What a certificate says.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use crate::pin::Pin;

/// The most certificates that one PEM text may hold.
const MOST_CERTIFICATES: usize = 64;

/// What the owner of a certificate is in the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It runs jobs.
    Agent,
    /// It leases them.
    Coordinator,
}

/// An agent's or a coordinator's certificate. Nothing of it counts before its
/// signature was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The fleet's id.
    pub instance: String,
    /// What its owner is.
    pub role: Role,
    /// Its owner's name.
    pub name: String,
    /// SHA-256 of its public key (SubjectPublicKeyInfo), in hex.
    pub key: String,
    /// When it begins to count.
    pub not_before: SystemTime,
    /// When it ends.
    pub not_after: SystemTime,
}

/// Why something is no certificate, or none of a fleet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is none at all.
    #[error("this is no X.509 certificate")]
    Malformed,
    /// It is none of a coordinator or agent.
    #[error("the certificate names no coordinator or agent of a fleet")]
    NotOfAFleet,
    /// The text holds none.
    #[error("the text holds no certificate in PEM (`-----BEGIN CERTIFICATE-----`)")]
    NoPem,
}

impl Leaf {
    /// Reads a certificate in DER.
    ///
    /// # Errors
    /// It is no certificate, or names not exactly one coordinator or agent.
    pub fn from_der(der: &[u8]) -> Result<Leaf, Error> {
        let parsed = parse(der)?;
        let names = parsed
            .subject_alternative_name()
            .map_err(|_| Error::Malformed)?
            .ok_or(Error::NotOfAFleet)?;
        let mut uris = names
            .value
            .general_names
            .iter()
            .filter_map(|name| match name {
                GeneralName::URI(uri) => Some(*uri),
                _ => None,
            });
        let (Some(uri), None) = (uris.next(), uris.next()) else {
            return Err(Error::NotOfAFleet);
        };
        let (instance, role, name) = owner(uri).ok_or(Error::NotOfAFleet)?;
        if role == Role::Agent && names.value.general_names.len() != 1 {
            return Err(Error::NotOfAFleet);
        }
        let validity = parsed.validity();
        Ok(Leaf {
            instance: instance.to_owned(),
            role,
            name: name.to_owned(),
            key: Pin::of_key(parsed.public_key().raw).hex(),
            not_before: time(validity.not_before.timestamp()),
            not_after: time(validity.not_after.timestamp()),
        })
    }

    /// Reads the first certificate of a PEM text.
    ///
    /// # Errors
    /// As [`Leaf::from_der`]; or there is none.
    pub fn from_pem(text: &str) -> Result<Leaf, Error> {
        Leaf::from_der(certificates(text)?.first().ok_or(Error::NoPem)?)
    }
}

/// Whether something can be the name of an agent or coordinator: 1 to 63 letters
/// and digits of ASCII, `.`, `_` and `-`, a letter or digit first.
#[must_use]
pub fn is_name(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// The one URI name of a certificate.
pub(crate) fn uri(instance: &str, role: Role, name: &str) -> String {
    let role = match role {
        Role::Agent => "agent",
        Role::Coordinator => "coordinator",
    };
    format!("spiffe://fleet.{instance}/{role}/{name}")
}

/// Instance, role and name of an URI.
fn owner(uri: &str) -> Option<(&str, Role, &str)> {
    let (instance, path) = uri.strip_prefix("spiffe://fleet.")?.split_once('/')?;
    let (role, name) = path.split_once('/')?;
    let role = match role {
        "agent" => Role::Agent,
        "coordinator" => Role::Coordinator,
        _ => return None,
    };
    (is_name(instance) && is_name(name)).then_some((instance, role, name))
}

/// A certificate in DER, with nothing behind it.
pub(crate) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, Error> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(Error::Malformed),
    }
}

/// All certificates of a PEM text, at least one.
pub(crate) fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let all: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes())
        .take(MOST_CERTIFICATES)
        .collect::<Result<_, _>>()
        .map_err(|_| Error::NoPem)?;
    if all.is_empty() {
        return Err(Error::NoPem);
    }
    Ok(all)
}

/// A certificate as PEM.
pub(crate) fn pem(der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    let mut text = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for line in encoded.as_bytes().chunks(64) {
        text.push_str(std::str::from_utf8(line).expect("base64 is ASCII"));
        text.push('\n');
    }
    text + "-----END CERTIFICATE-----\n"
}

/// Seconds since 1970, as certificates have them; before 1970 is 1970.
pub(crate) fn time(seconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_names_of_a_fleet_are_read() {
        let read = owner("spiffe://fleet.4f/agent/b3");
        assert_eq!(read, Some(("4f", Role::Agent, "b3")));
        assert_eq!(
            owner(&uri("4f", Role::Coordinator, "c1")),
            Some(("4f", Role::Coordinator, "c1"))
        );
        for wrong in [
            "",
            "spiffe://fleet.4f",
            "spiffe://fleet.4f/",
            "spiffe://fleet.4f/agent",
            "spiffe://fleet.4f/agent/",
            "spiffe://fleet.4f/agent/b3/x",
            "spiffe://fleet.4f/agent/../coordinator/c1",
            "spiffe://fleet.4f/user/ann",
            "spiffe://fleet./agent/b3",
            "spiffe://other.4f/agent/b3",
            "https://fleet.4f/agent/b3",
            "spiffe://fleet.4f/agent/b3?x",
        ] {
            assert_eq!(owner(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn names_are_short_and_plain() {
        assert!(is_name("build-3.example_net"));
        assert!(is_name(&"a".repeat(63)));
        for wrong in ["", "-a", ".a", "a/b", "a b", "ä", "a\n", &"a".repeat(64)] {
            assert!(!is_name(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        assert_eq!(Leaf::from_der(b""), Err(Error::Malformed));
        assert_eq!(Leaf::from_der(&[0x30; 400]), Err(Error::Malformed));
        assert_eq!(Leaf::from_pem("hello"), Err(Error::NoPem));
    }
}
