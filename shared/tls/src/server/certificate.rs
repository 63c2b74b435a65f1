//! The certificate that a server shows.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;

use crate::authority::Issued;
use crate::certificate::{self, certificates};
use crate::provider::provider;

/// A certificate with its key, which can be replaced at any time; connections made
/// before keep theirs.
pub struct Certificate {
    current: RwLock<Arc<CertifiedKey>>,
}

/// A certificate or key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// It is none.
    #[error("read a server's certificate: {0}")]
    Certificate(#[from] certificate::Error),
    /// It is none, or another's.
    #[error("read a server's key: {0}")]
    Key(String),
}

impl Certificate {
    /// Shows `issued` at first.
    ///
    /// # Errors
    /// [`Unusable`].
    pub fn new(issued: &Issued) -> Result<Arc<Certificate>, Unusable> {
        let current = RwLock::new(read(issued)?);
        Ok(Arc::new(Certificate { current }))
    }

    /// Shows `issued` from now on.
    ///
    /// # Errors
    /// [`Unusable`]; the one before stays.
    pub fn replace(&self, issued: &Issued) -> Result<(), Unusable> {
        let next = read(issued)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&current))
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Certificate").finish_non_exhaustive()
    }
}

fn read(issued: &Issued) -> Result<Arc<CertifiedKey>, Unusable> {
    let wrong = |error: &dyn fmt::Display| Unusable::Key(error.to_string());
    let chain = certificates(&issued.chain)?;
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).map_err(|e| wrong(&e))?;
    let certified = CertifiedKey::from_der(chain, key, &provider()).map_err(|e| wrong(&e))?;
    Ok(Arc::new(certified))
}
