//! Who agents are: the certificate authority, join tokens, and the agents'
//! certificates.
//!
//! A handshake takes any certificate whose key its sender has; what it is worth is
//! found out here, at every call and every few seconds of a stream, so that a
//! refusal can be said in words on both sides.

mod authority;
mod join;
mod limit;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fleet_model::{ProjectId, Timestamp};
use fleet_tls::authority::{Authority, Rejected};
use serde::{Deserialize, Serialize};

use crate::audit::{Audit, Entry, Verdict};
use crate::store::{Batch, Journal, Mark};

pub(crate) use authority::{Error, Setup};
use join::JoinToken;
pub(crate) use join::Wish;
use limit::Limit;

/// A wall clock this far off is refused.
const MOST_SKEW: Duration = Duration::from_secs(10 * 60);
/// The certificate before the newest counts this long.
const GRACE: Duration = Duration::from_secs(15 * 60);

/// An agent as its verified certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Its name.
    pub(crate) agent: String,
    /// SHA-256 of its public key, in hex.
    pub(crate) key: String,
}

/// What an agent may serve; comes with its join token, never from the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Grant {
    pub(crate) tags: Vec<String>,
    pub(crate) run_untagged: bool,
    pub(crate) protected_only: bool,
    /// The projects whose jobs alone it takes, also those that were deleted since, so
    /// that it never takes others for them; none: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) projects: Option<BTreeSet<ProjectId>>,
}

/// An agent was refused; the text is for both sides.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// No certificate, or none that counts here.
    #[error("{0}")]
    Unauthenticated(String),
    /// It was revoked: what it holds is void.
    #[error("{0}")]
    Revoked(String),
    /// It may not do this.
    #[error("{0}")]
    Denied(String),
    /// Its clock, its name ... must be mended first.
    #[error("{0}")]
    Precondition(String),
    /// Too many tries.
    #[error("{0}")]
    TooMany(String),
    /// The coordinator cannot do its part.
    #[error("{0}")]
    Internal(String),
}

/// An agent of the fleet, for people.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) grant: Grant,
    pub(crate) joined_at: Timestamp,
    pub(crate) certificate_expires_at: Timestamp,
    /// `revoked` or `locked`; none: it may serve.
    pub(crate) excluded: Option<String>,
}

/// An agent as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Record {
    name: String,
    grant: Grant,
    joined_at: u64,
    generation: u64,
    /// SHA-256 of its public key, in hex.
    key: String,
    expires_at: u64,
    /// The key before, and until when it counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<(String, u64)>,
    #[serde(default)]
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    #[default]
    Active,
    /// An operator took it out.
    Revoked,
    /// Two seem to use its key.
    Locked,
}

/// The fleet's certificate authority and its agents; cheap to clone.
#[derive(Clone)]
pub(crate) struct Identity {
    shared: Arc<Shared>,
}

struct Shared {
    authority: Authority,
    state: Mutex<Known>,
    journal: Journal,
    audit: Audit,
    lifetime: Duration,
}

struct Known {
    agents: BTreeMap<String, Record>,
    tokens: BTreeMap<String, JoinToken>,
    failures: Limit,
    refusals: Limit,
}

impl Identity {
    /// Who holds these certificates (DER, the leaf first), if it still may call.
    pub(crate) fn peer(
        &self,
        chain: &[Vec<u8>],
        from: Option<SocketAddr>,
    ) -> Result<Peer, Refused> {
        let Some(leaf) = chain.first() else {
            return Err(Refused::Unauthenticated(
                "no certificate was shown: an agent joins first (fleet-agent join)".to_owned(),
            ));
        };
        let leaf = match self.shared.authority.check_agent(leaf, SystemTime::now()) {
            Ok(leaf) => leaf,
            Err(rejected) => return Err(self.reject(&rejected, from)),
        };
        let known = self.known();
        let refused = match known.agents.get(&leaf.name) {
            None => Some("is not known here any more"),
            Some(record) if record.state == State::Revoked => Some("was revoked"),
            Some(record) if record.state == State::Locked => {
                Some("is locked: two processes seem to use its key")
            }
            Some(record) if record.accepts(&leaf.key) => None,
            Some(_) => Some("has a newer certificate than the one that was shown"),
        };
        let record = known.agents.get(&leaf.name);
        let is_revoked = record.is_some_and(|record| record.state == State::Revoked);
        drop(known);
        match refused {
            None => Ok(Peer {
                agent: leaf.name,
                key: leaf.key,
            }),
            Some(why) => {
                let text = format!(
                    "agent {} {why}: to use this host, join it anew (fleetctl agent join-token, \
                     fleet-agent join)",
                    leaf.name
                );
                self.note_refusal(&format!("agent:{}", leaf.name), &text, from);
                Err(if is_revoked {
                    Refused::Revoked(text)
                } else {
                    Refused::Unauthenticated(text)
                })
            }
        }
    }

    fn reject(&self, rejected: &Rejected, from: Option<SocketAddr>) -> Refused {
        let (who, why) = match rejected {
            Rejected::NoAgent => ("unknown".to_owned(), "the certificate is none of an agent"),
            Rejected::Foreign => (
                "unknown".to_owned(),
                "the certificate was signed by another authority than this fleet's",
            ),
            Rejected::Expired(leaf) => (leaf.name.clone(), "the certificate has expired"),
            Rejected::NotYetValid(leaf) => (
                leaf.name.clone(),
                "the certificate does not count yet: is a clock wrong?",
            ),
        };
        let text =
            format!("{why}: join this host anew (fleetctl agent join-token, fleet-agent join)");
        self.note_refusal(&format!("agent:{who}"), &text, from);
        Refused::Unauthenticated(text)
    }

    /// Writes a refusal into the audit log; of one address not more than a few a
    /// minute.
    fn note_refusal(&self, actor: &str, reason: &str, from: Option<SocketAddr>) {
        if self.known().refusals.take(from.map(|from| from.ip())) {
            self.note(actor, "agent.refused", actor, Verdict::Denied, reason, from);
        }
    }

    fn note(
        &self,
        actor: &str,
        action: &'static str,
        object: &str,
        verdict: Verdict,
        reason: &str,
        from: Option<SocketAddr>,
    ) {
        let entry = Entry {
            actor,
            action,
            object,
            verdict,
            reason,
            from,
        };
        if let Err(error) = self.shared.audit.log(entry) {
            tracing::error!(%error, actor, action, reason, "the audit log cannot be written");
        }
    }

    /// What an agent may serve now.
    pub(crate) fn grant(&self, agent: &str) -> Option<Grant> {
        let known = self.known();
        let record = known.agents.get(agent)?;
        (record.state == State::Active).then(|| record.grant.clone())
    }

    /// Refuses an agent whose wall clock is far off.
    pub(crate) fn check_clock(
        &self,
        agent: &str,
        clock_unix_ms: u64,
        from: Option<SocketAddr>,
    ) -> Result<(), Refused> {
        let ours = now_ms();
        let off = Duration::from_millis(ours.abs_diff(clock_unix_ms));
        if off <= MOST_SKEW {
            return Ok(());
        }
        let side = if clock_unix_ms < ours {
            "behind"
        } else {
            "ahead of"
        };
        let text = format!(
            "the clock of this host is {} min {side} the coordinator's: set it right (timedatectl \
             set-ntp true)",
            (off.as_secs() + 30) / 60
        );
        self.note_refusal(&format!("agent:{agent}"), &text, from);
        Err(Refused::Precondition(text))
    }

    /// All agents that ever joined, by name.
    pub(crate) fn members(&self) -> Vec<Member> {
        self.known().agents.values().map(Record::member).collect()
    }

    pub(crate) fn member(&self, name: &str) -> Option<Member> {
        self.known().agents.get(name).map(Record::member)
    }

    /// Takes an agent out: its certificates count no more.
    ///
    /// # Errors
    /// There is no such agent.
    pub(crate) fn revoke(&self, name: &str) -> Result<Mark, Refused> {
        let mut known = self.known();
        let Some(record) = known.agents.get_mut(name) else {
            return Err(Refused::Precondition(format!("there is no agent {name:?}")));
        };
        record.state = State::Revoked;
        Ok(self.keep(record))
    }

    /// The pin of the fleet's root: `sha256:<hex>`.
    pub(crate) fn ca_pin(&self) -> String {
        self.shared.authority.pin().to_string()
    }

    /// What everybody trusts: the root, as PEM.
    pub(crate) fn bundle(&self) -> &str {
        self.shared.authority.bundle()
    }

    fn keep(&self, record: &Record) -> Mark {
        let mut batch = Batch::default();
        batch.put(format!("agent/{}", record.name), record);
        self.shared.journal.submit(batch)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // What it guards is never left half-changed.
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    fn accepts(&self, key: &str) -> bool {
        let before = self.before.as_ref();
        self.key == key || before.is_some_and(|(old, until)| old == key && now_ms() < *until)
    }

    fn member(&self) -> Member {
        Member {
            name: self.name.clone(),
            grant: self.grant.clone(),
            joined_at: Timestamp(self.joined_at),
            certificate_expires_at: Timestamp(self.expires_at),
            excluded: match self.state {
                State::Active => None,
                State::Revoked => Some("revoked".to_owned()),
                State::Locked => Some("locked".to_owned()),
            },
        }
    }
}

/// Wall-clock time, in milliseconds since 1970.
fn now_ms() -> u64 {
    unix_ms(SystemTime::now())
}

fn unix_ms(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
