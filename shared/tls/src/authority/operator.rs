//! The operator's own authority.

use std::fmt;
use std::time::SystemTime;

use rcgen::{Issuer, KeyPair};
use rustls_pki_types::CertificateDer;

use super::{Error, belong_together, key_pair, not_after, one_certificate, unreadable};
use crate::certificate;

const WHOSE: &str = "the operator's CA";

/// A certificate and key that Fleet's own authority is to stand under.
pub struct Operator {
    pem: String,
    not_after: SystemTime,
    issuer: Issuer<'static, KeyPair>,
}

impl Operator {
    /// Reads both from PEM.
    ///
    /// # Errors
    /// They cannot be read, do not belong together, or the certificate may not
    /// sign an authority below it at `now`.
    pub fn load(pem: &str, key: &str, now: SystemTime) -> Result<Operator, Error> {
        let certificate = one_certificate(pem, WHOSE)?;
        let key = key_pair(key, WHOSE)?;
        belong_together(&certificate, &key, WHOSE)?;
        fit(&certificate, now)?;
        let not_after = not_after(&certificate, WHOSE)?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(|_| unreadable(WHOSE))?;
        Ok(Operator {
            pem: certificate::pem(&certificate),
            not_after,
            issuer,
        })
    }

    /// The certificate alone, as PEM: a file of a CA often holds the chain above it
    /// too, and what is trusted is it alone.
    #[must_use]
    pub fn pem(&self) -> String {
        self.pem.clone()
    }

    pub(super) fn not_after(&self) -> SystemTime {
        self.not_after
    }

    pub(super) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }
}

impl fmt::Debug for Operator {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Operator").finish_non_exhaustive()
    }
}

/// Whether a certificate may sign an authority that signs others.
fn fit(certificate: &CertificateDer<'_>, now: SystemTime) -> Result<(), Error> {
    let parsed = certificate::parse(certificate).map_err(|_| unreadable(WHOSE))?;
    let unfit = |why: &str| Err(Error::Unfit(why.to_owned()));
    let Ok(Some(constraints)) = parsed.basic_constraints() else {
        return unfit("it is of no CA (basicConstraints is missing)");
    };
    if !constraints.value.ca {
        return unfit("it is of no CA (basicConstraints says CA:FALSE)");
    }
    if constraints.value.path_len_constraint == Some(0) {
        return unfit("it may sign no CA below it (pathlen:0); Fleet needs two");
    }
    if let Ok(Some(usage)) = parsed.key_usage()
        && !usage.value.key_cert_sign()
    {
        return unfit("its key may not sign certificates (keyUsage lacks keyCertSign)");
    }
    let (from, until) = (
        certificate::time(parsed.validity().not_before.timestamp()),
        certificate::time(parsed.validity().not_after.timestamp()),
    );
    if now < from {
        return unfit("it is not valid yet; is this host's clock right?");
    }
    if now >= until {
        return unfit("it has expired");
    }
    Ok(())
}
