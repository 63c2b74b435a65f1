//! The authority itself: made at the first start, taken up at every other, and the
//! coordinator's own certificate.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use fleet_tls::authority::{Authority, Operator, Parts};
use fleet_tls::server::Certificate;
use serde::{Deserialize, Serialize};

use super::{Identity, Known, Limit, Record, Shared};
use crate::audit::Audit;
use crate::identity::join::JoinToken;
use crate::secret::{Sealed, Sealer, Unreadable};
use crate::store::{Batch, Error as StoreError, Journal, Records};

/// The coordinator's own certificate lives this long, and is renewed at half of it.
const OWN_LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);
/// Failed joins of one address in a minute.
const MOST_FAILURES: u32 = 10;
/// Refusals of one address in a minute that go into the audit log.
const MOST_REFUSALS: u32 = 10;
const KEY: &str = "identity/authority";

/// What an [`Identity`] is made of.
pub(crate) struct Setup {
    pub(crate) journal: Journal,
    pub(crate) sealer: Sealer,
    pub(crate) audit: Audit,
    /// How long an agent's certificate counts.
    pub(crate) lifetime: Duration,
    /// Certificate and key (PEM) of the operator's own CA.
    pub(crate) operator: Option<(PathBuf, PathBuf)>,
}

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Its records cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its keys cannot be opened.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The authority cannot be made or used.
    #[error("the certificate authority")]
    Authority(#[from] fleet_tls::authority::Error),
    /// The coordinator's own certificate cannot be used.
    #[error("the coordinator's own certificate")]
    Certificate(#[from] fleet_tls::server::Unusable),
    /// The operator's CA cannot be read.
    #[error("read {}", path.display())]
    File {
        path: PathBuf,
        source: std::io::Error,
    },
}

/// An authority as it is kept: keys sealed.
#[derive(Serialize, Deserialize)]
struct Kept {
    instance: String,
    root: String,
    root_key: Option<Sealed>,
    agents: String,
    agents_key: Sealed,
    coordinators: String,
    coordinators_key: Sealed,
}

impl Identity {
    /// Takes its records out of `records`; a new fleet gets an authority now.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn load(records: &mut Records, setup: Setup) -> Result<Identity, Error> {
        let parts = match records.take::<Kept>(KEY)?.pop() {
            Some((_, kept)) => kept.open(&setup.sealer)?,
            None => create(&setup)?,
        };
        let agents = records.take::<Record>("agent/")?;
        let tokens = records.take::<JoinToken>("join-token/")?;
        let known = Known {
            agents: agents.into_iter().collect(),
            tokens: tokens.into_iter().collect(),
            failures: Limit::new(MOST_FAILURES),
            refusals: Limit::new(MOST_REFUSALS),
        };
        Ok(Identity {
            shared: Arc::new(Shared {
                authority: Authority::load(&parts)?,
                state: Mutex::new(known),
                journal: setup.journal,
                audit: setup.audit,
                lifetime: setup.lifetime,
            }),
        })
    }

    /// The coordinator's own certificate for these names and addresses.
    ///
    /// # Errors
    /// A name cannot stand in a certificate.
    pub(crate) fn own_certificate(&self, names: &[String]) -> Result<Arc<Certificate>, Error> {
        let issued = self.issue(names)?;
        Ok(Certificate::new(&issued)?)
    }

    /// Renews the coordinator's own certificate for as long as it is used.
    pub(crate) async fn keep_renewed(&self, own: Arc<Certificate>, names: Vec<String>) {
        loop {
            tokio::time::sleep(OWN_LIFETIME / 2).await;
            let renewed = self.issue(&names).map(|issued| own.replace(&issued));
            match renewed {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(%error, "renew the coordinator's certificate"),
                Err(error) => tracing::error!(%error, "renew the coordinator's certificate"),
            }
        }
    }

    fn issue(&self, names: &[String]) -> Result<fleet_tls::authority::Issued, Error> {
        let mut all = names.to_vec();
        // So that commands on the same machine need no name of it.
        for local in ["localhost", "127.0.0.1"] {
            if !all.iter().any(|name| name == local) {
                all.push(local.to_owned());
            }
        }
        let authority = &self.shared.authority;
        Ok(authority.issue_coordinator("coordinator", &all, SystemTime::now(), OWN_LIFETIME)?)
    }
}

fn create(setup: &Setup) -> Result<Parts, Error> {
    let now = SystemTime::now();
    let instance = super::join::random_text(16).to_lowercase();
    let parts = match &setup.operator {
        None => Parts::create(&instance, now)?,
        Some((certificate, key)) => {
            let read = |path: &PathBuf| {
                std::fs::read_to_string(path).map_err(|source| Error::File {
                    path: path.clone(),
                    source,
                })
            };
            let operator = Operator::load(&read(certificate)?, &read(key)?, now)?;
            Parts::under(&operator, &instance, now)?
        }
    };
    let mut batch = Batch::default();
    batch.put(KEY, &Kept::seal(&parts, &setup.sealer));
    setup.journal.submit(batch);
    Ok(parts)
}

impl Kept {
    fn seal(parts: &Parts, sealer: &Sealer) -> Kept {
        let seal = |what: &str, key: &str| sealer.seal(&format!("{KEY}/{what}"), key.as_bytes());
        Kept {
            instance: parts.instance.clone(),
            root: parts.root.clone(),
            root_key: parts.root_key.as_deref().map(|key| seal("root", key)),
            agents: parts.agents.clone(),
            agents_key: seal("agents", &parts.agents_key),
            coordinators: parts.coordinators.clone(),
            coordinators_key: seal("coordinators", &parts.coordinators_key),
        }
    }

    fn open(self, sealer: &Sealer) -> Result<Parts, Unreadable> {
        let open = |what: &str, key: &Sealed| {
            let opened = sealer.open(&format!("{KEY}/{what}"), key)?;
            Ok(String::from_utf8_lossy(&opened).into_owned())
        };
        Ok(Parts {
            root_key: match &self.root_key {
                Some(key) => Some(open("root", key)?),
                None => None,
            },
            agents_key: open("agents", &self.agents_key)?,
            coordinators_key: open("coordinators", &self.coordinators_key)?,
            instance: self.instance,
            root: self.root,
            agents: self.agents,
            coordinators: self.coordinators,
        })
    }
}
