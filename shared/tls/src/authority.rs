//! A certificate authority.

mod operator;
mod template;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{Issuer, KeyPair};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{CertificateError, RootCertStore};
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::certificate::{self, Leaf, Role, certificates};
use crate::pin::Pin;
use crate::provider::provider;
use crate::request::{Key, Request};

pub use operator::Operator;

/// How far back certificates of agents begin: a host's clock may be behind by this.
pub const BACKDATED: Duration = Duration::from_secs(5 * 60);

/// How far back a coordinator's certificates begin. An agent whose clock is wrong
/// by less than this gets far enough to be told so in words.
const COORDINATORS_BACKDATED: Duration = Duration::from_secs(24 * 3600);

/// An authority as it is kept: PEM texts. The keys are secrets.
pub struct Parts {
    /// The fleet's id.
    pub instance: String,
    /// What everybody trusts.
    pub root: String,
    /// The root's key; none if the root is the operator's own.
    pub root_key: Option<String>,
    /// What signs agents.
    pub agents: String,
    /// Its key.
    pub agents_key: String,
    /// What signs coordinators.
    pub coordinators: String,
    /// Its key.
    pub coordinators_key: String,
}

/// Signs certificates, and knows its own. It needs no root key: that signed what
/// it signs with.
pub struct Authority {
    instance: String,
    root: CertificateDer<'static>,
    bundle: String,
    agents: Intermediate,
    coordinators: Intermediate,
    agents_check: Arc<dyn ClientCertVerifier>,
}

/// A server's certificate with its key, as PEM.
pub struct Issued {
    /// The certificate, and all up to the root.
    pub chain: String,
    /// Its private key.
    pub key: String,
}

/// From when until when a certificate counts.
#[derive(Clone, Copy, Debug)]
pub struct Validity {
    /// The first moment.
    pub from: SystemTime,
    /// The last; cut to what the authority's own certificates allow.
    pub until: SystemTime,
}

/// Why there is no authority, or no certificate of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A certificate of it cannot be read.
    #[error("read the certificate of {whose}: {source}")]
    Certificate {
        /// Whose.
        whose: &'static str,
        /// Why.
        source: certificate::Error,
    },
    /// A key of it cannot be read.
    #[error(
        "read the key of {whose}: it must be one private key in PEM and PKCS#8 (`openssl pkcs8 -topk8 -nodes` converts others)"
    )]
    Key {
        /// Whose.
        whose: &'static str,
    },
    /// A key belongs to another certificate.
    #[error("the key of {whose} does not belong to its certificate")]
    Mismatch {
        /// Whose.
        whose: &'static str,
    },
    /// The operator's own authority cannot have what Fleet needs below it.
    #[error("the CA certificate cannot be used: {0}")]
    Unfit(String),
    /// A name cannot stand in a certificate.
    #[error("{0:?} cannot stand in a certificate: a DNS name or an IP address is needed")]
    Name(String),
    /// Signing failed.
    #[error("sign a certificate for {whose}: {why}")]
    Sign {
        /// For whom.
        whose: String,
        /// Why.
        why: String,
    },
}

/// Why a certificate is none of an agent that counts now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// No certificate of any fleet's agent.
    NoAgent,
    /// Signed by somebody else.
    Foreign,
    /// Its time is over.
    Expired(Leaf),
    /// Its time has not begun.
    NotYetValid(Leaf),
}

impl Parts {
    /// Makes the authority of a new fleet: a root for ten years and what is below
    /// it. `instance` is the fleet's id, a [name](certificate::is_name).
    ///
    /// # Errors
    /// [`Error::Sign`]: the system gave no randomness.
    pub fn create(instance: &str, now: SystemTime) -> Result<Parts, Error> {
        let key = new_key("the root")?;
        let params = template::root(instance, now);
        let root = params
            .self_signed(key.pair())
            .map_err(|error| not_signed("the root", &error))?;
        let root_key = Some(key.pem());
        let issuer = Issuer::new(params, key.pair());
        Parts::below(
            instance,
            &issuer,
            root.pem(),
            root_key,
            template::ca_validity(now),
        )
    }

    /// Makes the authority of a new fleet under the operator's own CA, whose key
    /// is used this once.
    ///
    /// # Errors
    /// As [`Parts::create`].
    pub fn under(operator: &Operator, instance: &str, now: SystemTime) -> Result<Parts, Error> {
        let mut validity = template::ca_validity(now);
        validity.until = validity.until.min(operator.not_after());
        let root = operator.pem();
        Parts::below(instance, operator.issuer(), root, None, validity)
    }

    fn below(
        instance: &str,
        issuer: &Issuer<'_, impl rcgen::SigningKey>,
        root: String,
        root_key: Option<String>,
        validity: Validity,
    ) -> Result<Parts, Error> {
        let sign = |role| {
            let key = new_key(whose(role))?;
            let certificate = template::intermediate(instance, role, validity)
                .signed_by(key.pair(), issuer)
                .map_err(|error| not_signed(whose(role), &error))?;
            Ok((certificate.pem(), key.pem()))
        };
        let (agents, agents_key) = sign(Role::Agent)?;
        let (coordinators, coordinators_key) = sign(Role::Coordinator)?;
        Ok(Parts {
            instance: instance.to_owned(),
            root,
            root_key,
            agents,
            agents_key,
            coordinators,
            coordinators_key,
        })
    }
}

impl Authority {
    /// Takes an authority up again.
    ///
    /// # Errors
    /// Its parts cannot be read, or do not belong together.
    pub fn load(parts: &Parts) -> Result<Authority, Error> {
        let root = one_certificate(&parts.root, "the root")?;
        let agents = Intermediate::load(&parts.agents, &parts.agents_key, Role::Agent)?;
        let coordinators = Intermediate::load(
            &parts.coordinators,
            &parts.coordinators_key,
            Role::Coordinator,
        )?;
        // The agents' intermediate itself is the anchor: whatever else the root
        // signed, an operator's own above all, makes no agent.
        let mut anchors = RootCertStore::empty();
        anchors
            .add(agents.certificate.clone())
            .map_err(|_| unreadable(whose(Role::Agent)))?;
        let agents_check =
            WebPkiClientVerifier::builder_with_provider(Arc::new(anchors), provider())
                .build()
                .map_err(|_| unreadable(whose(Role::Agent)))?;
        Ok(Authority {
            instance: parts.instance.clone(),
            root,
            bundle: parts.root.clone(),
            agents,
            coordinators,
            agents_check,
        })
    }

    /// The fleet's id.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// What agents trust: the root, as PEM.
    #[must_use]
    pub fn bundle(&self) -> &str {
        &self.bundle
    }

    /// The pin of the root.
    ///
    /// # Panics
    /// Never: the root was read before.
    #[must_use]
    pub fn pin(&self) -> Pin {
        Pin::of_certificate(&self.root).expect("the root was read when it was loaded")
    }

    /// Makes a key and a certificate for the coordinator `node`, which is reached
    /// under `names`: DNS names and IP addresses. It begins a day ago and lasts
    /// `lifetime` from `now`.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Sign`].
    pub fn issue_coordinator(
        &self,
        node: &str,
        names: &[String],
        now: SystemTime,
        lifetime: Duration,
    ) -> Result<Issued, Error> {
        let key = new_key(node)?;
        let validity = Validity {
            from: now - COORDINATORS_BACKDATED,
            until: (now + lifetime).min(self.coordinators.not_after),
        };
        let leaf = template::coordinator(&self.instance, node, names, validity)?
            .signed_by(key.pair(), &self.coordinators.issuer)
            .map_err(|error| not_signed(node, &error))?;
        Ok(Issued {
            chain: leaf.pem() + &self.coordinators.pem + &self.bundle,
            key: key.pem(),
        })
    }

    /// Signs an agent's request: a certificate with the intermediate behind it, as
    /// PEM. `name` is a [name](certificate::is_name), its owner's business.
    ///
    /// # Errors
    /// [`Error::Sign`].
    pub fn issue_agent(
        &self,
        name: &str,
        request: &Request,
        validity: Validity,
    ) -> Result<String, Error> {
        let validity = Validity {
            from: validity.from,
            until: validity.until.min(self.agents.not_after),
        };
        let leaf = template::agent(&self.instance, name, validity)?
            .signed_by(request.key(), &self.agents.issuer)
            .map_err(|error| not_signed(name, &error))?;
        Ok(leaf.pem() + &self.agents.pem)
    }

    /// Whose certificate `leaf` (DER) is, if this authority signed it for an agent
    /// and it counts at `now`. Whether its sender has the key is for the handshake,
    /// whether the agent is still wanted for the caller.
    ///
    /// # Errors
    /// [`Rejected`]; what it names was signed by this authority.
    pub fn check_agent(&self, leaf: &[u8], now: SystemTime) -> Result<Leaf, Rejected> {
        let parsed = Leaf::from_der(leaf);
        let signed = match (self.check(leaf, now), &parsed) {
            (Err(Timing::TooLate), Ok(parsed)) => {
                // Expiry is looked at before signatures.
                self.check(leaf, parsed.not_after)
                    .map_err(|_| Rejected::Foreign)?;
                return Err(Rejected::Expired(parsed.clone()));
            }
            (Err(Timing::TooEarly), Ok(parsed)) => {
                self.check(leaf, parsed.not_before)
                    .map_err(|_| Rejected::Foreign)?;
                return Err(Rejected::NotYetValid(parsed.clone()));
            }
            (signed, _) => signed.is_ok(),
        };
        match parsed {
            Ok(leaf) if leaf.role == Role::Agent && leaf.instance == self.instance && signed => {
                Ok(leaf)
            }
            Ok(leaf) if leaf.role == Role::Agent => Err(Rejected::Foreign),
            _ => Err(Rejected::NoAgent),
        }
    }

    fn check(&self, leaf: &[u8], at: SystemTime) -> Result<(), Timing> {
        let at = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let verified = self.agents_check.verify_client_cert(
            &CertificateDer::from(leaf),
            &[],
            UnixTime::since_unix_epoch(at),
        );
        match verified {
            Ok(_) => Ok(()),
            Err(rustls::Error::InvalidCertificate(error)) => Err(match error {
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    Timing::TooLate
                }
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    Timing::TooEarly
                }
                _ => Timing::Never,
            }),
            Err(_) => Err(Timing::Never),
        }
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Authority")
            .field("instance", &self.instance)
            .finish_non_exhaustive()
    }
}

/// When a certificate that does not count now would.
enum Timing {
    TooLate,
    TooEarly,
    Never,
}

struct Intermediate {
    certificate: CertificateDer<'static>,
    pem: String,
    not_after: SystemTime,
    issuer: Issuer<'static, KeyPair>,
}

impl Intermediate {
    fn load(pem: &str, key: &str, role: Role) -> Result<Intermediate, Error> {
        let whose = whose(role);
        let certificate = one_certificate(pem, whose)?;
        let key = key_pair(key, whose)?;
        belong_together(&certificate, &key, whose)?;
        let not_after = not_after(&certificate, whose)?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(|_| unreadable(whose))?;
        Ok(Intermediate {
            certificate,
            pem: pem.to_owned(),
            not_after,
            issuer,
        })
    }
}

fn whose(role: Role) -> &'static str {
    match role {
        Role::Agent => "the agents' intermediate",
        Role::Coordinator => "the coordinators' intermediate",
    }
}

fn new_key(whose: &str) -> Result<Key, Error> {
    Key::generate().map_err(|error| Error::Sign {
        whose: whose.to_owned(),
        why: error.to_string(),
    })
}

fn not_signed(whose: &str, error: &rcgen::Error) -> Error {
    Error::Sign {
        whose: whose.to_owned(),
        why: error.to_string(),
    }
}

fn unreadable(whose: &'static str) -> Error {
    let source = certificate::Error::Malformed;
    Error::Certificate { whose, source }
}

fn one_certificate(pem: &str, whose: &'static str) -> Result<CertificateDer<'static>, Error> {
    let wrong = |source| Error::Certificate { whose, source };
    let first = certificates(pem).map_err(wrong)?.swap_remove(0);
    certificate::parse(&first).map_err(wrong)?;
    Ok(first)
}

fn key_pair(pem: &str, whose: &'static str) -> Result<KeyPair, Error> {
    KeyPair::from_pem(pem).map_err(|_| Error::Key { whose })
}

fn belong_together(
    certificate: &CertificateDer<'_>,
    key: &KeyPair,
    whose: &'static str,
) -> Result<(), Error> {
    let parsed = certificate::parse(certificate).map_err(|_| unreadable(whose))?;
    if parsed.public_key().subject_public_key.as_ref() == key.public_key_raw() {
        Ok(())
    } else {
        Err(Error::Mismatch { whose })
    }
}

fn not_after(certificate: &CertificateDer<'_>, whose: &'static str) -> Result<SystemTime, Error> {
    let parsed = certificate::parse(certificate).map_err(|_| unreadable(whose))?;
    Ok(certificate::time(parsed.validity().not_after.timestamp()))
}

#[cfg(test)]
mod tests;
