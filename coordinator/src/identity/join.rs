//! How agents come in and stay: join tokens, first certificates, renewals.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use fleet_model::{ProjectId, Timestamp};
use fleet_proto::v1;
use fleet_tls::authority::{BACKDATED, Validity};
use fleet_tls::certificate::{Leaf, is_name};
use fleet_tls::request::Request;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{GRACE, Grant, Identity, Peer, Record, Refused, State, now_ms, unix_ms};
use crate::audit::Verdict;
use crate::store::{Batch, Mark};

const DEFAULT_TTL: Duration = Duration::from_secs(15 * 60);
const MOST_TTL: Duration = Duration::from_secs(24 * 3600);
/// An agent that did not hear the answer may ask again this long.
const REPEATED_WITHIN: Duration = Duration::from_secs(10 * 60);
const MOST_TAGS: usize = 50;

/// What a join token is to be good for.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) tags: Vec<String>,
    /// The one agent it is for.
    pub(crate) name: Option<String>,
    pub(crate) run_untagged: bool,
    pub(crate) protected_only: bool,
    /// None: all.
    pub(crate) projects: Option<BTreeSet<ProjectId>>,
    /// None: 15 minutes.
    pub(crate) ttl: Option<Duration>,
}

/// A join token that was made just now.
pub(crate) struct Made {
    pub(crate) id: String,
    /// Shown once.
    pub(crate) secret: String,
    pub(crate) expires_at: Timestamp,
}

/// A join token as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct JoinToken {
    /// SHA-256 of its secret, in hex.
    hash: String,
    name: Option<String>,
    grant: Grant,
    expires_at: u64,
    created_by: String,
    /// Who used it, with which key, and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    used: Option<(String, String, u64)>,
}

impl Identity {
    /// Makes a token with which one agent can join.
    ///
    /// # Errors
    /// What is wished cannot be.
    pub(crate) fn create_join_token(
        &self,
        wish: Wish,
        created_by: &str,
    ) -> Result<(Made, Mark), Refused> {
        let ttl = wish.ttl.unwrap_or(DEFAULT_TTL);
        if ttl > MOST_TTL {
            return Err(Refused::Precondition(
                "a join token lives 24 hours at most".to_owned(),
            ));
        }
        if let Some(name) = wish.name.as_deref().filter(|name| !is_name(name)) {
            return Err(Refused::Precondition(bad_name(name)));
        }
        let fits = |tag: &String| !tag.trim().is_empty() && tag.len() <= 255;
        if wish.tags.len() > MOST_TAGS || !wish.tags.iter().all(fits) {
            return Err(Refused::Precondition(format!(
                "an agent has at most {MOST_TAGS} tags of 1 to 255 bytes"
            )));
        }
        let (id, secret) = (random_text(16), random_text(43));
        let expires_at = now_ms() + u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        let token = JoinToken {
            hash: hash(&secret),
            name: wish.name,
            grant: Grant {
                tags: wish.tags,
                run_untagged: wish.run_untagged,
                protected_only: wish.protected_only,
                projects: wish.projects,
            },
            expires_at,
            created_by: created_by.to_owned(),
            used: None,
        };
        let mut known = self.known();
        let mut batch = Batch::default();
        // Those that nobody can use any more are let go of here.
        let over = |token: &JoinToken| token.expires_at + 3_600_000 < now_ms();
        let old: Vec<String> = known
            .tokens
            .iter()
            .filter(|(_, token)| over(token))
            .map(|(id, _)| id.clone())
            .collect();
        for id in old {
            known.tokens.remove(&id);
            batch.delete(format!("join-token/{id}"));
        }
        batch.put(format!("join-token/{id}"), &token);
        known.tokens.insert(id.clone(), token);
        let mark = self.shared.journal.submit(batch);
        let made = Made {
            secret: format!("fjt_{id}_{secret}"),
            id,
            expires_at: Timestamp(expires_at),
        };
        Ok((made, mark))
    }

    /// The agents' call without a certificate.
    pub(crate) async fn join(
        &self,
        request: v1::JoinRequest,
        from: Option<SocketAddr>,
    ) -> Result<v1::JoinResponse, Refused> {
        if self.known().failures.is_reached(from.map(|from| from.ip())) {
            return Err(Refused::TooMany(
                "too many failed joins from this address: wait a minute".to_owned(),
            ));
        }
        self.check_clock("joining", request.clock_unix_ms, from)?;
        let csr = Request::from_der(&request.csr)
            .map_err(|error| Refused::Precondition(format!("the certificate request: {error}")))?;
        let (response, mark, agent) = match self.admit(&request, &csr) {
            Ok(admitted) => admitted,
            Err(Denial::Token(why)) => {
                self.known().failures.take(from.map(|from| from.ip()));
                self.note(
                    "anonymous",
                    "agent.join",
                    "agent",
                    Verdict::Denied,
                    &why,
                    from,
                );
                // The same for every reason: nobody learns which tokens there are.
                return Err(Refused::Denied(
                    "join_denied: the token is unknown, used, expired or for another agent; make \
                     a new one (fleetctl agent join-token)"
                        .to_owned(),
                ));
            }
            Err(Denial::Said(refused)) => {
                let why = refused.to_string();
                self.note(
                    "anonymous",
                    "agent.join",
                    "agent",
                    Verdict::Denied,
                    &why,
                    from,
                );
                return Err(refused);
            }
        };
        self.shared.journal.durable(mark).await;
        let object = format!("agent:{agent}");
        self.note(&object, "agent.join", &object, Verdict::Ok, "", from);
        Ok(response)
    }

    /// Decides on a join and makes the agent, all under one lock and in one batch.
    fn admit(
        &self,
        request: &v1::JoinRequest,
        csr: &Request,
    ) -> Result<(v1::JoinResponse, Mark, String), Denial> {
        let denied = |why: &str| Denial::Token(why.to_owned());
        let parts = request.token.strip_prefix("fjt_");
        let (id, secret) = parts
            .and_then(|rest| rest.split_once('_'))
            .ok_or_else(|| denied("no join token"))?;
        let key = csr.key_hash();
        let mut known = self.known();
        let token = known.tokens.get(id).cloned();
        let mut token = token.ok_or_else(|| denied("unknown token"))?;
        let same: bool = hash(secret).as_bytes().ct_eq(token.hash.as_bytes()).into();
        if !same {
            return Err(denied("wrong secret of a token"));
        }
        let now = now_ms();
        let repeated = token.used.as_ref().is_some_and(|(_, by, at)| {
            *by == key && now < at + u64::try_from(REPEATED_WITHIN.as_millis()).unwrap_or(0)
        });
        if token.used.is_some() && !repeated {
            return Err(denied("token_used"));
        }
        if !repeated && token.expires_at < now {
            return Err(denied("expired token"));
        }
        let name = match (&token.name, &token.used) {
            (_, Some((name, _, _))) => name.clone(),
            (Some(bound), None) => {
                if !request.name.is_empty() && request.name != *bound {
                    return Err(Denial::Token(format!(
                        "a token for agent {bound} was used for {}",
                        request.name
                    )));
                }
                bound.clone()
            }
            (None, None) => request.name.clone(),
        };
        if !is_name(&name) {
            return Err(Denial::Said(Refused::Precondition(bad_name(&name))));
        }
        let taken = known.agents.get(&name);
        if !repeated && taken.is_some_and(|record| record.state == State::Active) {
            return Err(Denial::Said(Refused::Precondition(format!(
                "an agent {name} is in the fleet already: choose another name (--name), or revoke \
                 it first (fleetctl agent revoke {name})"
            ))));
        }
        let (chain, expires_at) = self.sign(&name, csr).map_err(Denial::Said)?;
        let record = Record {
            name: name.clone(),
            grant: token.grant.clone(),
            joined_at: now,
            generation: 1,
            key: key.clone(),
            expires_at,
            before: None,
            state: State::Active,
        };
        token.used.get_or_insert((name.clone(), key, now));
        let mut batch = Batch::default();
        batch.put(format!("join-token/{id}"), &token);
        batch.put(format!("agent/{name}"), &record);
        let response = v1::JoinResponse {
            agent: name.clone(),
            certificate_chain: chain,
            trust_bundle: self.bundle().to_owned(),
            generation: record.generation,
            tags: record.grant.tags.clone(),
        };
        known.tokens.insert(id.to_owned(), token);
        known.agents.insert(name.clone(), record);
        Ok((response, self.shared.journal.submit(batch), name))
    }

    /// A new certificate over the present one.
    pub(crate) async fn renew(
        &self,
        peer: &Peer,
        request: v1::RenewRequest,
    ) -> Result<v1::RenewResponse, Refused> {
        self.check_clock(&peer.agent, request.clock_unix_ms, None)?;
        let csr = Request::from_der(&request.csr)
            .map_err(|error| Refused::Precondition(format!("the certificate request: {error}")))?;
        let (response, mark) = self.renewed(peer, request.generation, &csr)?;
        self.shared.journal.durable(mark).await;
        Ok(response)
    }

    fn renewed(
        &self,
        peer: &Peer,
        generation: u64,
        csr: &Request,
    ) -> Result<(v1::RenewResponse, Mark), Refused> {
        let key = csr.key_hash();
        let mut known = self.known();
        let Some(record) = known.agents.get_mut(&peer.agent) else {
            return Err(Refused::Unauthenticated(
                "the agent is not known here".to_owned(),
            ));
        };
        // The answer to the same question did not arrive.
        let repeated = record.key == key;
        if !repeated && generation < record.generation {
            record.state = State::Locked;
            let mark = self.keep(record);
            drop(known);
            let text = format!(
                "agent {} renewed its certificate with an older one than it has: two processes \
                 use its key, so both are locked out (possible_agent_clone); revoke it and join \
                 the host anew",
                peer.agent
            );
            let object = format!("agent:{}", peer.agent);
            self.note(
                &object,
                "agent.possible_clone",
                &object,
                Verdict::Denied,
                &text,
                None,
            );
            // Durable with whatever comes next; the refusal need not wait for it.
            let _ = mark;
            return Err(Refused::Denied(text));
        }
        let (chain, expires_at) = self.sign(&peer.agent, csr)?;
        if !repeated {
            let grace = u64::try_from(GRACE.as_millis()).unwrap_or(u64::MAX);
            let until = record.expires_at.min(now_ms() + grace);
            record.before = Some((std::mem::replace(&mut record.key, key), until));
            record.generation += 1;
        }
        record.expires_at = expires_at;
        let response = v1::RenewResponse {
            certificate_chain: chain,
            trust_bundle: self.bundle().to_owned(),
            generation: record.generation,
        };
        let mark = self.keep(record);
        Ok((response, mark))
    }

    fn sign(&self, name: &str, csr: &Request) -> Result<(String, u64), Refused> {
        let now = SystemTime::now();
        let validity = Validity {
            from: now - BACKDATED,
            until: now + self.shared.lifetime,
        };
        let signed = self.shared.authority.issue_agent(name, csr, validity);
        let chain = signed.map_err(|error| {
            tracing::error!(%error, agent = name, "sign a certificate");
            Refused::Internal("the certificate could not be signed".to_owned())
        })?;
        let until = Leaf::from_pem(&chain).map_or(validity.until, |leaf| leaf.not_after);
        Ok((chain, unix_ms(until)))
    }
}

/// Why a join was not granted.
enum Denial {
    /// Something about the token, which only the audit log says.
    Token(String),
    /// Something the agent is told.
    Said(Refused),
}

fn bad_name(name: &str) -> String {
    format!(
        "{name:?} cannot be an agent's name: 1 to 63 letters, digits, `.`, `_` and `-`, a letter \
         or digit first"
    )
}

fn hash(text: &str) -> String {
    let digest = Sha256::digest(text);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Letters and digits, each as likely as the others.
pub(super) fn random_text(length: usize) -> String {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut text = String::with_capacity(length);
    while text.len() < length {
        let mut bytes = [0; 64];
        getrandom::fill(&mut bytes).expect("the system gives randomness once it is up");
        let fair = bytes.iter().filter(|byte| **byte < 248);
        let letters = fair.map(|byte| char::from(ALPHABET[usize::from(*byte % 62)]));
        text.extend(letters.take(length - text.len()));
    }
    text
}
