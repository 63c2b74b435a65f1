//! Pipelines that trigger jobs start: of the same commit, or of another project.
//!
//! Whoever a trigger job runs for is who creates the pipeline, with the token they
//! started or played it with, as it is at that moment.

use super::{Error, Sources, find, rules};
use crate::Request;
use crate::audit::{Entry, Verdict};
use crate::catalog::{Catalog, Principal, Project, Role};
use crate::core::Refusal;
use crate::downstream::{Failed, Order, Target, creation_failed, read};
use crate::event::{ChildEvent, Event, Inputs, Kind};

impl Sources {
    /// Makes the request of a trigger job's pipeline.
    ///
    /// # Errors
    /// There can be none, or not now.
    pub(crate) async fn downstream(&self, order: &Order) -> Result<Request, Failed> {
        let token = order.asker.token.as_deref();
        let principal = token.and_then(|token| self.0.catalog.principal_of_token(token));
        let principal = principal.ok_or_else(|| {
            insufficient(format!(
                "{}, for whom this job runs, has no token here any more: it was revoked or has \
                 expired",
                order.asker.user
            ))
        })?;
        match &order.target {
            Target::Child {
                configuration,
                files,
            } => {
                let child = ChildEvent {
                    before: order.about.before.clone(),
                    name: format!("{}:trigger:include", order.bridge),
                    configuration: configuration.clone(),
                    files: read(files).await?,
                };
                self.child(order, child, &principal).await
            }
            Target::Project {
                path,
                branch,
                inputs,
            } => {
                let inputs = read_inputs(inputs.as_deref())?;
                let branch = branch.as_deref().unwrap_or_default();
                let made = self.other(order, (path, branch, inputs), &principal).await;
                self.note(order, path, &made).await;
                made
            }
        }
    }

    /// Writes into the audit log that a job of one project starts, or may not, what
    /// runs in another.
    async fn note(&self, order: &Order, path: &str, made: &Result<Request, Failed>) {
        let (verdict, reason) = match made {
            Ok(_) => (Verdict::Ok, String::new()),
            Err(Failed::Refused(refusal)) => (Verdict::Denied, format!(": {}", refusal.words)),
            // It is tried again.
            Err(Failed::NoRoom) => return,
        };
        let upstream = order.upstream;
        let actor = format!("user:{}", order.asker.user);
        let object = format!("project:{}", super::visible(path));
        let reason = format!(
            "job {} of pipeline {} starts a pipeline{reason}",
            upstream.job, upstream.pipeline
        );
        let audit = self.0.audit.clone();
        let write = move || {
            audit.log(Entry {
                actor: &actor,
                action: "trigger",
                object: &object,
                verdict,
                reason: &reason,
                from: None,
            })
        };
        if let Ok(Err(error)) = tokio::task::spawn_blocking(write).await {
            tracing::error!(%error, "a trigger cannot be written to the audit log");
        }
    }

    async fn child(
        &self,
        order: &Order,
        child: ChildEvent,
        principal: &Principal,
    ) -> Result<Request, Failed> {
        let project = self.0.catalog.project_by_id(order.upstream.project);
        let project = project.ok_or_else(|| creation_failed("its project was deleted"))?;
        let about = &order.about;
        let folder = if about.tag { "tags" } else { "heads" };
        let reference = format!("refs/{folder}/{}", about.reference);
        let role = may_create(&project, principal)?;
        // Who started the pipeline could; who plays a job of it has to, too.
        if order.asked {
            let who = format!("{} is", principal.user);
            rules::may_create(&project, &reference, role, false, &who).map_err(insufficient)?;
        }
        let event = Event {
            reference,
            object: about.sha.clone(),
            ..event(
                order,
                project,
                principal,
                (Inputs::new(), Some(Box::new(child))),
            )
        };
        let repository = self.repository(&event.project).await;
        let repository = repository.map_err(|error| failed(&error))?;
        self.0.events.downstream(&repository, &event).await
    }

    async fn other(
        &self,
        order: &Order,
        (path, branch, inputs): (&str, &str, Inputs),
        principal: &Principal,
    ) -> Result<Request, Failed> {
        let not_found = || {
            Refusal::new(
                "downstream_bridge_project_not_found",
                format!(
                    "there is no project `{}`, or {} may not see it",
                    super::visible(path),
                    principal.user
                ),
            )
        };
        let (project, role) = self.visible(path, principal).map_err(|_| not_found())?;
        if role < Role::Developer {
            may_create(&project, principal)?;
        }
        let repository = self.repository(&project).await;
        let repository = repository.map_err(|error| failed(&error))?;
        if let Some(address) = &project.mirror {
            let fetched = self.0.mirrors.fetch(project.id, &repository, address).await;
            fetched.map_err(creation_failed)?;
        }
        let found = find(&project, &repository, branch).await;
        let found = found.map_err(|error| failed(&error))?;
        let who = format!("{} is", principal.user);
        let sets_variables = !order.variables.is_empty();
        rules::may_create(&project, &found.name, role, sets_variables, &who)
            .map_err(insufficient)?;
        let event = Event {
            reference: found.name,
            object: found.object,
            ..event(order, project, principal, (inputs, None))
        };
        self.0.events.downstream(&repository, &event).await
    }
}

fn read_inputs(json: Option<&str>) -> Result<Inputs, Refusal> {
    let Some(json) = json else {
        return Ok(Inputs::new());
    };
    let map: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(json).map_err(|error| creation_failed(error.to_string()))?;
    Ok(map.into_iter().collect())
}

fn event(
    order: &Order,
    project: Project,
    principal: &Principal,
    (inputs, child): (Inputs, Option<Box<ChildEvent>>),
) -> Event {
    Event {
        project,
        reference: String::new(),
        object: String::new(),
        kind: Kind::Downstream {
            upstream: order.upstream,
            child,
        },
        user: principal.user.clone(),
        user_id: principal.user_id,
        token: principal.token.clone(),
        variables: order.variables.clone(),
        inputs,
    }
}

/// The role of somebody who may create pipelines in a project.
fn may_create(project: &Project, principal: &Principal) -> Result<Role, Refusal> {
    match Catalog::role(principal, project) {
        Some(role) if role >= Role::Developer => Ok(role),
        role => {
            let has = match role {
                Some(role) => format!("{} is {role}", principal.user),
                None => format!("{} has none", principal.user),
            };
            let path = &project.path;
            Err(insufficient(format!(
                "to create a pipeline in {path} takes the role developer, and {has}"
            )))
        }
    }
}

/// GitLab's reason for somebody who may not.
fn insufficient(words: String) -> Refusal {
    Refusal::new("insufficient_bridge_permissions", words)
}

fn failed(error: &Error) -> Refusal {
    creation_failed(error.to_string())
}
