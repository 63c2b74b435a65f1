//! A key that signs what is no certificate, as tokens, and the self-signed
//! certificate others know it by.

use std::fmt;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, KeyUsagePurpose};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use sha2::{Digest as _, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// The certificate counts from a day before it was made, so that a clock that is
/// behind does not matter, for ten years.
const LIFETIME: Duration = DAY.saturating_mul(3650);

/// A key as it is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Parts {
    /// Its self-signed certificate, as PEM.
    pub certificate: String,
    /// The private key: PKCS#8 in base64. A secret.
    pub key: String,
}

/// A P-256 key (ES256) with its certificate.
pub struct SigningKey {
    certificate: String,
    der: Vec<u8>,
    public_hash: [u8; 32],
    key: EcdsaKeyPair,
    random: SystemRandom,
}

/// A key or its certificate cannot be made or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a signing key cannot be used: {0}")]
pub struct Unusable(String);

impl Parts {
    /// Makes a key, and a certificate of this common name.
    ///
    /// # Errors
    /// The name cannot stand in a certificate, or there is no randomness.
    pub fn create(name: &str, now: SystemTime) -> Result<Parts, Unusable> {
        let unusable = |error: rcgen::Error| Unusable(error.to_string());
        let key = KeyPair::generate().map_err(unusable)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = (now - DAY).into();
        params.not_after = (now + LIFETIME).into();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let certificate = params.self_signed(&key).map_err(unusable)?;
        Ok(Parts {
            certificate: certificate.pem(),
            key: STANDARD.encode(key.serialize_der()),
        })
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Takes a key up.
    ///
    /// # Errors
    /// It is none, or belongs to another certificate.
    pub fn load(parts: &Parts) -> Result<SigningKey, Unusable> {
        let wrong = |what: &str| Unusable(what.to_owned());
        let pkcs8 = STANDARD
            .decode(&parts.key)
            .map_err(|_| wrong("the key is no base64"))?;
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8, &random)
            .map_err(|error| Unusable(error.to_string()))?;
        let der = CertificateDer::from_pem_slice(parts.certificate.as_bytes())
            .map_err(|_| wrong("the certificate is no PEM"))?;
        let (_, certificate) = X509Certificate::from_der(&der)
            .map_err(|_| wrong("the certificate is no X.509 certificate"))?;
        let public = certificate.public_key();
        if public.subject_public_key.data.as_ref() != ring_public(&key) {
            return Err(wrong("it does not belong to its certificate"));
        }
        Ok(SigningKey {
            certificate: parts.certificate.clone(),
            public_hash: Sha256::digest(public.raw).into(),
            der: der.to_vec(),
            key,
            random,
        })
    }

    /// Its certificate, as PEM.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Its certificate, in DER.
    #[must_use]
    pub fn certificate_der(&self) -> &[u8] {
        &self.der
    }

    /// SHA-256 of its public key (SubjectPublicKeyInfo in DER).
    #[must_use]
    pub fn public_hash(&self) -> &[u8; 32] {
        &self.public_hash
    }

    /// Signs as ES256 does: ECDSA with SHA-256, `r` and `s` of 32 bytes each.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Unusable> {
        let signature = self.key.sign(&self.random, message);
        signature
            .map(|signature| signature.as_ref().to_vec())
            .map_err(|_| Unusable("the system gives no randomness".to_owned()))
    }
}

fn ring_public(key: &EcdsaKeyPair) -> &[u8] {
    use ring::signature::KeyPair as _;
    key.public_key().as_ref()
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    use super::*;

    #[test]
    fn signature_is_verified_by_the_certificate_alone() {
        let parts = Parts::create("fleet registry tokens", SystemTime::now()).unwrap();
        let key = SigningKey::load(&parts).unwrap();
        let signature = key.sign(b"message").unwrap();
        assert_eq!(signature.len(), 64);
        let (_, certificate) = X509Certificate::from_der(key.certificate_der()).unwrap();
        certificate.verify_signature(None).unwrap();
        let public = certificate.public_key();
        let verifier =
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &public.subject_public_key.data);
        assert!(verifier.verify(b"message", &signature).is_ok());
        assert!(verifier.verify(b"another", &signature).is_err());
        let years = Duration::from_secs(9 * 365 * 24 * 3600);
        let until = certificate.validity().not_after.timestamp();
        let later = (SystemTime::now() + years).duration_since(SystemTime::UNIX_EPOCH);
        assert!(until > i64::try_from(later.unwrap().as_secs()).unwrap());
    }

    #[test]
    fn key_of_another_certificate_is_refused_and_none_is_shown() {
        let parts = Parts::create("one", SystemTime::now()).unwrap();
        let other = Parts::create("other", SystemTime::now()).unwrap();
        let mixed = Parts {
            key: other.key.clone(),
            ..parts.clone()
        };
        let refused = SigningKey::load(&mixed).unwrap_err().to_string();
        assert!(refused.contains("does not belong"), "{refused}");
        let none = Parts {
            key: "!".into(),
            ..parts.clone()
        };
        assert!(SigningKey::load(&none).is_err());
        assert!(!format!("{parts:?}").contains(&parts.key));
    }
}
