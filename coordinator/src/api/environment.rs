//! Environments: listed, shown, stopped; and who may run jobs that have one.

use fleet_model::JobId;
use fleet_proto::v1;
use fleet_proto::v1::environment_service_server::EnvironmentService;
use tonic::{Request, Response, Status};

use super::caller::{Caller, Thing};
use super::{Api, caller, error, role_to, show};
use crate::catalog::{Catalog, Project};
use crate::core::{Deploys, StopAnswer};
use crate::environment::Environment;

#[tonic::async_trait]
impl EnvironmentService for Api {
    async fn list_environments(
        &self,
        request: Request<v1::ListEnvironmentsRequest>,
    ) -> Result<Response<v1::ListEnvironmentsResponse>, Status> {
        let project = caller(&request)?.on_project(&request.get_ref().project)?;
        let id = project.id;
        let found = self.look(move |core| core.environments(id)).await?;
        let environments = found.iter().map(|it| show::environment(it, &project, 1));
        let environments = environments.collect();
        Ok(Response::new(v1::ListEnvironmentsResponse { environments }))
    }

    async fn get_environment(
        &self,
        request: Request<v1::GetEnvironmentRequest>,
    ) -> Result<Response<v1::Environment>, Status> {
        let caller = caller(&request)?;
        let v1::GetEnvironmentRequest { project, name } = request.into_inner();
        let project = caller.on_project(&project)?;
        let found = self.environment(&project, &name).await?;
        let shown = show::environment(&found, &project, usize::MAX);
        Ok(Response::new(shown))
    }

    async fn stop_environment(
        &self,
        request: Request<v1::StopEnvironmentRequest>,
    ) -> Result<Response<v1::StopEnvironmentResponse>, Status> {
        let caller = caller(&request)?;
        let v1::StopEnvironmentRequest { project, name } = request.into_inner();
        let project = caller.on_project(&project)?;
        let found = self.environment(&project, &name).await?;
        let thing = Thing::Project(&project.path);
        match found.on_stop.as_ref().map(|stop| stop.job) {
            Some(job) if self.look(move |core| core.deploys(job)).await?.is_some() => {
                self.may_start(&caller, job).await?;
            }
            _ => {
                // From no ref: what its job was of is gone, or there was none.
                let deploys = Deploys {
                    environment: name.clone(),
                    reference: String::new(),
                };
                may_deploy(&caller, &project, &deploys, thing).await?;
            }
        }
        let stopped = self
            .core
            .stop_environment(project.id, name.clone(), caller.asker())
            .await;
        let job = match stopped.map_err(error::of_core)? {
            StopAnswer::Unknown => return Err(unknown(&project, &name)),
            StopAnswer::Stopped => None,
            StopAnswer::By(job) => self.look(move |core| core.job(job)).await?,
        };
        let environment = self.environment(&project, &name).await?;
        Ok(Response::new(v1::StopEnvironmentResponse {
            environment: Some(show::environment(&environment, &project, 1)),
            job: job.map(show::job),
        }))
    }
}

impl Api {
    async fn environment(&self, project: &Project, name: &str) -> Result<Environment, Status> {
        let (id, wanted) = (project.id, name.to_owned());
        let found = self.look(move |core| core.environment(id, &wanted)).await?;
        found.ok_or_else(|| unknown(project, name))
    }

    /// Refuses a caller who may not run a job because of where it deploys to; what is
    /// protected and allowed is noted in the audit log.
    ///
    /// # Errors
    /// `PERMISSION_DENIED`, with what it takes.
    pub(super) async fn may_start(&self, caller: &Caller, job: JobId) -> Result<(), Status> {
        let found = self.look(move |core| Some((core.deploys(job)?, core.project_of_job(job)?)));
        let Some((deploys, path)) = found.await? else {
            return Ok(());
        };
        let project = caller.on_project_of("job", job.0, Some(path))?;
        may_deploy(caller, &project, &deploys, Thing::Numbered("job", job.0)).await
    }
}

async fn may_deploy(
    caller: &Caller,
    project: &Project,
    deploys: &Deploys,
    thing: Thing<'_>,
) -> Result<(), Status> {
    let Deploys {
        environment,
        reference,
    } = deploys;
    let role = Catalog::role(caller.principal(), project);
    if let Some(barrier) = Catalog::barrier(project, reference, environment, role) {
        let user = &caller.principal().user;
        let role = role.map_or("none", |role| role.as_str());
        let rule = barrier.in_words();
        let words = format!("{rule}; {user} has the role {role}. Nothing was changed");
        return Err(caller.deny(thing, words));
    }
    if Catalog::deploys_are_protected(project, reference, environment) {
        let object = format!("project:{}", project.path);
        let reason = format!("{thing}, environment {environment}");
        caller.record("deploy", &object, &reason).await?;
    }
    Ok(())
}

fn unknown(project: &Project, name: &str) -> Status {
    let name = caller::shortened(name);
    error::not_found(format!(
        "environment `{name}` in project `{}`",
        project.path
    ))
}

/// Who may deploy to an environment, on the wire: whether that is said at all, and the
/// lowest role.
pub(super) fn rule(project: &Project, environment: &str) -> (bool, i32) {
    match Catalog::environment_rule(project, environment) {
        Some(rule) => (true, role_to(rule.deploy)),
        None => (false, role_to(None)),
    }
}
