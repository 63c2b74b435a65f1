//! Who calls, and whether they may.

use std::net::SocketAddr;

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::{Service, text};
use crate::audit::{Entry, Verdict};
use crate::catalog::{Catalog, Principal, Project, Role};
use crate::core::JobTokenOwner;
use crate::login::{self, Credentials};
use crate::source::{Sources, git};

/// Somebody with a token that counts.
pub(super) enum Caller {
    Person(Principal),
    /// A job that runs now.
    Job(JobTokenOwner),
}

impl Caller {
    fn actor(&self) -> String {
        match self {
            Caller::Person(principal) => format!("user:{}", principal.user),
            Caller::Job(owner) => format!("job:{}", owner.job),
        }
    }
}

impl Sources {
    /// Who calls.
    pub(super) async fn caller(&self, headers: &HeaderMap) -> Result<Caller, Response> {
        if headers.get_all(AUTHORIZATION).iter().count() != 1 {
            return Err(text(
                StatusCode::UNAUTHORIZED,
                "Fleet takes a token: any user name, and the token as the password",
            ));
        }
        let known = match login::credentials(headers) {
            Some(Credentials { user, token }) if user.as_deref() == Some(login::JOB) => {
                self.job(&token).await
            }
            Some(Credentials { token, .. }) => match self.0.catalog.authenticate(&token) {
                Some(principal) => Some(Caller::Person(principal)),
                None => self.job(&token).await,
            },
            None => None,
        };
        known.ok_or_else(|| {
            text(
                StatusCode::UNAUTHORIZED,
                "The token does not count: it is wrong, has ended, or is of a job that does not \
                 run. Make another: fleetctl token create",
            )
        })
    }

    async fn job(&self, token: &str) -> Option<Caller> {
        let owner = self.0.core.job_token(token).await?;
        Some(Caller::Job(owner))
    }

    /// The project of this path, if the caller may do there what they want.
    pub(super) async fn admitted(
        &self,
        caller: Caller,
        path: &str,
        service: Service,
        from: Option<SocketAddr>,
    ) -> Result<(Project, Caller), Response> {
        let found = self.0.catalog.project(path).and_then(|project| {
            let role = match &caller {
                Caller::Person(principal) => Catalog::role(principal, &project)?,
                Caller::Job(owner) => (owner.project == project.id).then_some(Role::Viewer)?,
            };
            Some((project, role))
        });
        let Some((project, role)) = found else {
            let path = git::visible(path);
            let words = format!("there is no project {path}, or your token may not see it");
            return Err(text(StatusCode::NOT_FOUND, &words));
        };
        if service == Service::UploadPack {
            return Ok((project, caller));
        }
        let refused = if matches!(caller, Caller::Job(_)) {
            Some(job_pushes())
        } else if role < Role::Developer {
            Some(text(
                StatusCode::FORBIDDEN,
                &format!(
                    "You may not push to {}: that takes the role developer, and you are {role}.",
                    project.path
                ),
            ))
        } else {
            project.mirror.as_ref().map(|address| {
                let words = format!(
                    "{} mirrors {}: push there.",
                    project.path,
                    without_credentials(address)
                );
                text(StatusCode::FORBIDDEN, &words)
            })
        };
        let Some(refused) = refused else {
            return Ok((project, caller));
        };
        let (audit, actor) = (self.0.audit.clone(), caller.actor());
        let object = format!("project:{}", project.path);
        let write = move || {
            audit.log(Entry {
                actor: &actor,
                action: "push",
                object: &object,
                verdict: Verdict::Denied,
                reason: "not allowed to push to the project",
                from,
            })
        };
        // It is refused whether that could be written down or not.
        let _logged = tokio::task::spawn_blocking(write).await;
        Err(refused)
    }
}

pub(super) fn job_pushes() -> Response {
    text(
        StatusCode::FORBIDDEN,
        "A job's token may read its own project only: push with a token of a person.",
    )
}

/// An address as everybody may read it.
fn without_credentials(address: &str) -> String {
    match address.split_once("://") {
        Some((scheme, rest)) => {
            let host = rest.split_once('@').map_or(rest, |(_, host)| host);
            format!("{scheme}://{host}")
        }
        None => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_credentials() {
        assert_eq!(without_credentials("ssh://git@h/p"), "ssh://h/p");
        assert_eq!(without_credentials("https://h/p"), "https://h/p");
    }
}
