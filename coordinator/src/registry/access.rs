//! Who may do what with which repository: the rules, and nothing else.

use serde::Serialize;

use super::scope::{Scope, is_repository};
use crate::catalog::{Catalog, Deployer, Images, Principal, Project, Role};
use crate::core::JobTokenOwner;

/// Somebody with a user and password that count.
pub(super) enum Client {
    /// A job that runs now.
    Job(JobTokenOwner),
    Person(Principal),
    Deployer(Deployer),
}

/// What somebody may do with one thing, as it stands in a token.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Access {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) actions: Vec<String>,
}

/// Of what is asked, what is allowed; an unknown thing is as one that nothing may be
/// done with.
pub(super) fn grant(catalog: &Catalog, client: &Client, asked: Scope) -> Access {
    let allowed = allowed(catalog, client, &asked);
    let mut actions = asked.actions;
    actions.retain(|action| allowed.contains(&action.as_str()));
    Access {
        kind: asked.kind,
        name: asked.name,
        actions,
    }
}

const NOTHING: &[&str] = &[];
const PULL: &[&str] = &["pull"];
const PUSH: &[&str] = &["pull", "push"];
/// `*` is what deleting was called before.
const DELETE: &[&str] = &["pull", "push", "delete", "*"];

fn allowed(catalog: &Catalog, client: &Client, asked: &Scope) -> &'static [&'static str] {
    match (asked.kind.as_str(), asked.name.as_str()) {
        // The list of all repositories is of all projects.
        ("registry", "catalog") => match client {
            Client::Person(person) if person.role_on_instance() == Some(Role::Admin) => &["*"],
            _ => NOTHING,
        },
        ("repository", name) if is_repository(name) => catalog
            .project_above(name)
            .map_or(NOTHING, |project| on_project(catalog, client, &project)),
        _ => NOTHING,
    }
}

fn on_project(catalog: &Catalog, client: &Client, project: &Project) -> &'static [&'static str] {
    match client {
        Client::Person(person) => match Catalog::role(person, project) {
            None => NOTHING,
            Some(Role::Viewer) => PULL,
            Some(Role::Developer) => PUSH,
            Some(Role::Maintainer | Role::Admin) => DELETE,
        },
        Client::Deployer(deployer) => {
            let rest = project.path.strip_prefix(deployer.scope.as_str());
            match rest {
                Some(rest) if rest.is_empty() || rest.starts_with('/') => match deployer.images {
                    Images::Pull => PULL,
                    Images::Push => PUSH,
                },
                _ => NOTHING,
            }
        }
        Client::Job(job) if job.project == project.id => PUSH,
        Client::Job(job) => match catalog.project_by_id(job.project) {
            Some(own) if project.grants_pull(&own.path) => PULL,
            _ => NOTHING,
        },
    }
}
