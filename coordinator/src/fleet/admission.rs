//! Which agents may be served.

use fleet_model::AgentName;
use fleet_proto::{refusal, v1};
use tonic::{Request, Status};

use super::session::Caller;
use crate::audit::Audit;
use crate::catalog::Catalog;
use crate::identity::{Grant, Identity, Refused};

/// Who agents are, and where that is known from.
#[derive(Clone)]
pub(crate) enum Admission {
    /// The agent is part of this process: it is who it says.
    InProcess,
    /// Their certificates say.
    Certificates {
        identity: Identity,
        audit: Audit,
        catalog: Catalog,
    },
}

impl Admission {
    /// Checks a hello against its connection, and puts the agent's true name into
    /// it; returns what the agent may serve.
    pub(super) fn admit(
        &self,
        hello: &mut v1::Hello,
        caller: &Caller,
    ) -> Result<Option<Grant>, Status> {
        let Admission::Certificates { identity, .. } = self else {
            return Ok(None);
        };
        let peer = identity
            .peer(&caller.chain, caller.from)
            .map_err(|refused| status(&refused))?;
        if !hello.agent.is_empty() && hello.agent != peer.agent {
            return Err(Status::permission_denied(format!(
                "the hello is of agent {:?}, the certificate of {:?}",
                hello.agent, peer.agent
            )));
        }
        identity
            .check_clock(&peer.agent, hello.clock_unix_ms, caller.from)
            .map_err(|refused| status(&refused))?;
        let grant = identity.grant(&peer.agent);
        hello.agent = peer.agent;
        grant
            .map(Some)
            .ok_or_else(|| Status::unauthenticated("the agent is not known here any more"))
    }

    /// The paths of the projects that an agent serves alone; empty: it serves all.
    pub(super) fn projects(&self, grant: Option<&Grant>) -> Vec<String> {
        let projects = grant.and_then(|grant| grant.projects.as_ref());
        match (self, projects) {
            (Admission::Certificates { catalog, .. }, Some(projects)) => catalog.paths_of(projects),
            _ => Vec::new(),
        }
    }

    /// Whether whoever opened a stream may still be there.
    pub(super) fn check(&self, caller: &Caller) -> Result<(), Status> {
        match self {
            Admission::InProcess => Ok(()),
            Admission::Certificates { identity, .. } => identity
                .peer(&caller.chain, caller.from)
                .map(drop)
                .map_err(|refused| status(&refused)),
        }
    }

    /// The agent that makes a call; none: it is part of this process.
    pub(super) fn agent(&self, caller: &Caller) -> Result<Option<AgentName>, Status> {
        match self {
            Admission::InProcess => Ok(None),
            Admission::Certificates { identity, .. } => identity
                .peer(&caller.chain, caller.from)
                .map(|peer| Some(AgentName(peer.agent)))
                .map_err(|refused| status(&refused)),
        }
    }
}

/// Who makes a call, as far as its connection tells.
pub(super) fn caller<T>(request: &Request<T>) -> Caller {
    let chain = request.peer_certs();
    Caller {
        chain: chain.map_or_else(Vec::new, |chain| {
            chain.iter().map(|der| der.as_ref().to_vec()).collect()
        }),
        from: request.remote_addr(),
    }
}

/// What a refusal is on the wire.
pub(super) fn status(refused: &Refused) -> Status {
    let text = refused.to_string();
    match refused {
        Refused::Unauthenticated(_) => Status::unauthenticated(text),
        Refused::Revoked(_) => {
            refusal::with_word(Status::unauthenticated(text), refusal::AGENT_REVOKED)
        }
        Refused::Denied(_) => Status::permission_denied(text),
        Refused::Precondition(_) => Status::failed_precondition(text),
        Refused::TooMany(_) => Status::resource_exhausted(text),
        Refused::Internal(_) => Status::internal(text),
    }
}
