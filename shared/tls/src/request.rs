//! An agent's key, and its request for a certificate.

use rcgen::{
    CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519,
    PublicKeyData as _, SubjectPublicKeyInfo,
};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;

use crate::pin::Pin;

/// The largest request that is read, in bytes; one of P-256 has about 200.
const MOST_BYTES: usize = 4096;

/// A private key, P-256; never leaves the host it was made on.
pub struct Key {
    pair: KeyPair,
}

/// A request whose sender has shown to have the key. Its names count for nothing:
/// what a certificate says, its issuer decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    key: SubjectPublicKeyInfo,
}

/// Why there is no key or request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The system gave no randomness.
    #[error("no key could be made: {0}")]
    NotMade(String),
    /// The text holds none that can be used.
    #[error("the text holds no private key in PEM and PKCS#8 (`-----BEGIN PRIVATE KEY-----`)")]
    NoKey,
    /// It is not PKCS#10.
    #[error("the request for a certificate is not PKCS#10")]
    Malformed,
    /// Its signature is wrong.
    #[error("the request for a certificate is not signed with the key it is for")]
    NotProven,
    /// Other keys are refused.
    #[error("the request for a certificate has a key other than P-256 or Ed25519")]
    KeyType,
}

impl Key {
    /// Makes a new key.
    ///
    /// # Errors
    /// [`Error::NotMade`].
    pub fn generate() -> Result<Key, Error> {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
            .map_err(|error| Error::NotMade(error.to_string()))?;
        Ok(Key { pair })
    }

    /// Reads a key that [`Key::pem`] wrote.
    ///
    /// # Errors
    /// [`Error::NoKey`].
    pub fn from_pem(text: &str) -> Result<Key, Error> {
        let pair = KeyPair::from_pem(text).map_err(|_| Error::NoKey)?;
        Ok(Key { pair })
    }

    /// The key itself, as PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.pair.serialize_pem()
    }

    /// SHA-256 of the public key (SubjectPublicKeyInfo), in hex.
    #[must_use]
    pub fn hash(&self) -> String {
        Pin::of_key(&self.pair.subject_public_key_info()).hex()
    }

    /// A request for a certificate, PKCS#10 in DER, without names.
    ///
    /// # Errors
    /// [`Error::NotMade`].
    pub fn request(&self) -> Result<Vec<u8>, Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let request = params
            .serialize_request(&self.pair)
            .map_err(|error| Error::NotMade(error.to_string()))?;
        Ok(request.der().to_vec())
    }

    pub(crate) fn pair(&self) -> &KeyPair {
        &self.pair
    }
}

impl Request {
    /// Reads and checks a request, PKCS#10 in DER.
    ///
    /// # Errors
    /// It is none, its sender has not the key, or the key's type is refused.
    pub fn from_der(der: &[u8]) -> Result<Request, Error> {
        if der.len() > MOST_BYTES {
            return Err(Error::Malformed);
        }
        let Ok(([], request)) = X509CertificationRequest::from_der(der) else {
            return Err(Error::Malformed);
        };
        let key = request.certification_request_info.subject_pki.raw;
        let key = SubjectPublicKeyInfo::from_der(key).map_err(|_| Error::KeyType)?;
        if ![&PKCS_ECDSA_P256_SHA256, &PKCS_ED25519].contains(&key.algorithm()) {
            return Err(Error::KeyType);
        }
        request.verify_signature().map_err(|_| Error::NotProven)?;
        Ok(Request { key })
    }

    /// SHA-256 of the public key (SubjectPublicKeyInfo), in hex.
    #[must_use]
    pub fn key_hash(&self) -> String {
        Pin::of_key(&self.key.subject_public_key_info()).hex()
    }

    pub(crate) fn key(&self) -> &SubjectPublicKeyInfo {
        &self.key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_proves_its_key_and_a_changed_one_does_not() {
        let key = Key::generate().unwrap();
        let mut der = key.request().unwrap();
        assert_eq!(Request::from_der(&der).unwrap().key_hash(), key.hash());
        let last = der.len() - 1;
        der[last] ^= 1;
        assert_eq!(Request::from_der(&der), Err(Error::NotProven));
    }

    #[test]
    fn a_key_is_the_same_after_it_was_written() {
        let key = Key::generate().unwrap();
        assert_eq!(Key::from_pem(&key.pem()).unwrap().hash(), key.hash());
        assert!(Key::from_pem("-----BEGIN PRIVATE KEY-----").is_err());
    }

    #[test]
    fn ed25519_is_taken_and_p384_refused() {
        for (algorithm, taken) in [
            (&PKCS_ED25519, true),
            (&rcgen::PKCS_ECDSA_P384_SHA384, false),
        ] {
            let pair = KeyPair::generate_for(algorithm).unwrap();
            let der = Key { pair }.request().unwrap();
            assert_eq!(Request::from_der(&der).is_ok(), taken);
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let whole = Key::generate().unwrap().request().unwrap();
        for wrong in [&[][..], &[0x30; 5000], &whole[..whole.len() - 1]] {
            assert_eq!(Request::from_der(wrong), Err(Error::Malformed));
        }
        let behind = [&whole[..], &[0]].concat();
        assert_eq!(Request::from_der(&behind), Err(Error::Malformed));
    }
}
