//! The token server for container registries: who may pull and push which images.
//!
//! A registry that is set up with `auth: token` and this coordinator's certificate
//! sends its clients here (`/jwt/auth` on the people's listener, the distribution
//! token protocol). They show a user and password - of a job, a deploy token, a
//! person - and get a token that says what they may do with which repository, for a
//! minute or a few. The registry believes its signature and asks nobody.
//!
//! `group/project` and all repositories below it are the project's.

mod access;
mod endpoint;
mod jws;
mod key;
mod scope;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use axum::Router;
use fleet_model::{ProjectId, RegistryLogin, Token, Variable};
use fleet_tls::signing::SigningKey;

use crate::api::caller::Denials;
use crate::audit::Audit;
use crate::catalog::Catalog;
use crate::core::Handle;
use crate::login;
use crate::secret::Unreadable;

pub(crate) use key::{Error, load as load_key};

/// `aud` of all tokens, and what registries call themselves.
pub(crate) const SERVICE: &str = "fleet-registry";
/// `iss` of all tokens.
pub(crate) const ISSUER: &str = "fleet";
/// Where tokens are had, below the URL for people.
const PATH: &str = "/jwt/auth";

/// The token server; cheap to clone.
#[derive(Clone)]
pub(crate) struct Registry(Arc<Shared>);

struct Shared {
    catalog: Catalog,
    core: Handle,
    audit: Audit,
    key: Arc<SigningKey>,
    denials: Denials,
}

impl Registry {
    pub(crate) fn new(
        catalog: Catalog,
        core: Handle,
        audit: Audit,
        key: Arc<SigningKey>,
    ) -> Registry {
        Registry(Arc::new(Shared {
            catalog,
            core,
            audit,
            key,
            denials: Denials::default(),
        }))
    }

    /// What is served beside people's other services.
    pub(crate) fn router(&self) -> Router {
        Router::new()
            .route(PATH, axum::routing::any(endpoint::answer))
            .with_state(self.clone())
    }
}

/// What registries and engines are told to trust; nothing of it is a secret.
#[derive(Clone, Debug)]
pub(crate) struct Trust {
    /// The coordinator's own registry: `host[:port]`.
    pub(crate) host: Option<String>,
    /// Where tokens are had.
    pub(crate) realm: String,
    /// The certificate of the key that signs them, as PEM.
    pub(crate) certificate: String,
    /// The certificates (PEM) by which the realm is trusted; empty: it is behind an
    /// ingress, whose own are not known here.
    pub(crate) authority: String,
}

impl Trust {
    /// `url` is what people reach the coordinator by.
    pub(crate) fn new(
        host: Option<String>,
        url: &str,
        key: &SigningKey,
        authority: String,
    ) -> Trust {
        Trust {
            host,
            realm: format!("{}{PATH}", url.trim_end_matches('/')),
            certificate: key.certificate().to_owned(),
            authority,
        }
    }
}

/// What the jobs of a project log in to registries with: those of the project, its
/// groups and the instance, and in the coordinator's own registry (`host`) each with
/// its token. The first of a registry counts.
///
/// # Errors
/// A password cannot be opened.
pub(crate) fn logins(
    catalog: &Catalog,
    host: Option<&str>,
    project: ProjectId,
    protected: bool,
    token: &str,
) -> Result<Vec<RegistryLogin>, Unreadable> {
    let mut logins = catalog.registry_logins(project, protected)?;
    if let Some(host) = host
        && logins.iter().all(|login| login.registry != host)
    {
        logins.push(RegistryLogin {
            registry: host.to_owned(),
            username: login::JOB.to_owned(),
            password: Token(token.to_owned()),
        });
    }
    Ok(logins)
}

/// `CI_REGISTRY` and `CI_REGISTRY_IMAGE` of a project's pipelines.
pub(crate) fn variables(host: &str, project: &str) -> [Variable; 2] {
    let image = format!("{host}/{}", project.to_ascii_lowercase());
    [
        Variable::new("CI_REGISTRY", host),
        Variable::new("CI_REGISTRY_IMAGE", image),
    ]
}
