//! Whether a server may be trusted.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::certificate::{Leaf, Role, certificates};
use crate::pin::Pin;
use crate::provider::provider;

/// A refusal in words, for what rustls has none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("it is the certificate of the agent {0}: an agent cannot stand for a coordinator")]
    Agent(String),
    #[error("it is no certificate of a coordinator of Fleet")]
    NoCoordinator,
    #[error(
        "its root has another pin: expected {expected}, it shows {shown}. Is this the right \
         coordinator? Nothing was sent to it"
    )]
    OtherRoot { expected: Pin, shown: String },
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refusal))))
    }
}

/// Trusts what certain certificates signed.
#[derive(Debug)]
pub(super) struct Anchors {
    web: Arc<WebPkiServerVerifier>,
    /// Whether only coordinators are trusted.
    coordinators: bool,
}

impl Anchors {
    /// Coordinators that the certificates of a PEM text signed.
    pub(super) fn bundle(pem: &str) -> Result<Anchors, String> {
        let anchors = certificates(pem).map_err(|error| error.to_string())?;
        Anchors::coordinators(anchors).map_err(|error| error.to_string())
    }

    /// Servers that this system trusts.
    pub(super) fn system() -> Result<Anchors, String> {
        let mut roots = RootCertStore::empty();
        let loaded = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(loaded.certs);
        if roots.is_empty() {
            let why = loaded.errors.first().map(ToString::to_string);
            let why = why.unwrap_or_else(|| "it has none".to_owned());
            return Err(format!("those of this system: {why}"));
        }
        Ok(Anchors {
            web: web(roots).map_err(|error| error.to_string())?,
            coordinators: false,
        })
    }

    fn coordinators(
        anchors: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Result<Anchors, Error> {
        let mut roots = RootCertStore::empty();
        for anchor in anchors {
            roots.add(anchor)?;
        }
        Ok(Anchors {
            web: web(roots)?,
            coordinators: true,
        })
    }
}

fn web(roots: RootCertStore) -> Result<Arc<WebPkiServerVerifier>, Error> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|error| Error::General(error.to_string()))
}

impl ServerCertVerifier for Anchors {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let of = Leaf::from_der(leaf).ok();
        // It would be refused below too, for its purpose; this says it better.
        if let Some(of) = &of
            && of.role == Role::Agent
        {
            return Err(Refusal::Agent(of.name.clone()).into());
        }
        let verified = self
            .web
            .verify_server_cert(leaf, intermediates, name, ocsp, now)?;
        if self.coordinators && of.is_none() {
            return Err(Refusal::NoCoordinator.into());
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.web
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.web
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.web.supported_verify_schemes()
    }
}

/// Trusts coordinators under the root that a pin names, and keeps that root.
pub(super) struct PinnedRoot {
    pin: Pin,
    found: Mutex<Option<CertificateDer<'static>>>,
}

impl PinnedRoot {
    pub(super) fn new(pin: Pin) -> PinnedRoot {
        PinnedRoot {
            pin,
            found: Mutex::new(None),
        }
    }

    /// The root, once a server was trusted.
    pub(super) fn found(&self) -> Option<CertificateDer<'static>> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.clone()
    }
}

impl fmt::Debug for PinnedRoot {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("PinnedRoot").field(&self.pin).finish()
    }
}

impl ServerCertVerifier for PinnedRoot {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let pinned =
            |shown: &&CertificateDer<'_>| Pin::of_certificate(shown).as_ref() == Ok(&self.pin);
        let Some(root) = intermediates.iter().find(pinned) else {
            let last = intermediates.last().unwrap_or(leaf);
            let shown = Pin::of_certificate(last)
                .map_or_else(|_| "none".to_owned(), |shown| shown.to_string());
            return Err(Refusal::OtherRoot {
                expected: self.pin.clone(),
                shown,
            }
            .into());
        };
        let root = root.clone().into_owned();
        let verified = Anchors::coordinators([root.clone()])?.verify_server_cert(
            leaf,
            intermediates,
            name,
            ocsp,
            now,
        )?;
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(root);
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
