//! All environments with their deployments, and how they change.

use std::collections::BTreeMap;

use fleet_model::{ProjectId, Timestamp};

use super::{
    Deployment, DeploymentId, Ended, Environment, EnvironmentId, KEPT, LONGEST_URL, MOST,
    NewDeployment, State, Status,
};
use crate::store::{Batch, Error, Records, number};

const NEXT_ENVIRONMENT: &str = "meta/next-environment";
const NEXT_DEPLOYMENT: &str = "meta/next-deployment";

/// All environments. Each change goes into the batch it is handed.
pub(crate) struct Book {
    projects: BTreeMap<ProjectId, BTreeMap<String, Environment>>,
    next_environment: EnvironmentId,
    next_deployment: DeploymentId,
}

impl Default for Book {
    fn default() -> Book {
        Book {
            projects: BTreeMap::new(),
            next_environment: EnvironmentId(1),
            next_deployment: DeploymentId(1),
        }
    }
}

impl Book {
    /// Takes its records out of `records`.
    ///
    /// # Errors
    /// A record cannot be read.
    pub(crate) fn load(records: &mut Records) -> Result<Book, Error> {
        let mut book = Book::default();
        for (_, next) in records.take(NEXT_ENVIRONMENT)? {
            book.next_environment = next;
        }
        for (_, next) in records.take(NEXT_DEPLOYMENT)? {
            book.next_deployment = next;
        }
        let mut deployments: BTreeMap<EnvironmentId, Vec<Deployment>> = BTreeMap::new();
        for (_, deployment) in records.take::<Deployment>("deployment/")? {
            let of = deployments.entry(deployment.environment).or_default();
            of.push(deployment);
        }
        for (_, mut environment) in records.take::<Environment>("environment/")? {
            // By their keys they are in order.
            let own = deployments.remove(&environment.id).unwrap_or_default();
            environment.deployments = own.into();
            let project = book.projects.entry(environment.project).or_default();
            project.insert(environment.name.clone(), environment);
        }
        Ok(book)
    }

    /// Leaves out as many numbers: those given after the backup that this is of.
    pub(crate) fn skip_ids(&mut self, ids: u64, batch: &mut Batch) {
        self.next_environment.0 += ids;
        self.next_deployment.0 += ids;
        batch.put(NEXT_ENVIRONMENT, &self.next_environment);
        batch.put(NEXT_DEPLOYMENT, &self.next_deployment);
    }

    /// The projects that have environments.
    pub(crate) fn projects(&self) -> Vec<ProjectId> {
        self.projects.keys().copied().collect()
    }

    /// Those of a project, by their names.
    pub(crate) fn of(&self, project: ProjectId) -> impl Iterator<Item = &Environment> {
        self.projects
            .get(&project)
            .into_iter()
            .flat_map(BTreeMap::values)
    }

    pub(crate) fn get(&self, project: ProjectId, name: &str) -> Option<&Environment> {
        self.projects.get(&project)?.get(name)
    }

    /// The environment that a job names, made if it is not there.
    pub(crate) fn ensure(
        &mut self,
        project: ProjectId,
        planned: &fleet_model::Environment,
        now: Timestamp,
        batch: &mut Batch,
    ) -> EnvironmentId {
        if let Some(known) = self.get(project, &planned.name) {
            return known.id;
        }
        self.make_room(project, batch);
        let id = self.next_environment;
        self.next_environment.0 += 1;
        batch.put(NEXT_ENVIRONMENT, &self.next_environment);
        let environment = Environment {
            id,
            project,
            name: planned.name.clone(),
            slug: planned.slug.clone(),
            tier: planned.deployment_tier.clone(),
            state: State::Available,
            url: None,
            on_stop: None,
            auto_stop_in: None,
            created_at: now,
            updated_at: now,
            deployments: std::collections::VecDeque::new(),
        };
        put(&environment, batch);
        let of = self.projects.entry(project).or_default();
        of.insert(environment.name.clone(), environment);
        id
    }

    /// A job that deploys begins. The environment was made when the job was handed out;
    /// one that is gone since stays so.
    pub(crate) fn begin(
        &mut self,
        project: ProjectId,
        planned: &fleet_model::Environment,
        new: NewDeployment,
        now: Timestamp,
        batch: &mut Batch,
    ) {
        let id = self.next_deployment;
        let Some(environment) = self.get_mut(project, &planned.name) else {
            return;
        };
        let deployment = Deployment {
            id,
            environment: environment.id,
            sha: new.sha,
            reference: new.reference,
            pipeline: new.pipeline,
            job: new.job,
            job_name: new.job_name,
            user: new.user,
            status: Status::Running,
            created_at: now,
            finished_at: None,
        };
        batch.put(key(&deployment), &deployment);
        environment.deployments.push_back(deployment);
        environment.tier.clone_from(&planned.deployment_tier);
        environment.updated_at = now;
        while environment.deployments.len() > KEPT {
            if let Some(oldest) = environment.deployments.pop_front() {
                batch.delete(key(&oldest));
            }
        }
        put(environment, batch);
        self.next_deployment.0 += 1;
        batch.put(NEXT_DEPLOYMENT, &self.next_deployment);
    }

    /// The try of a job that deploys has ended.
    pub(crate) fn end(
        &mut self,
        project: ProjectId,
        name: &str,
        ended: Ended,
        now: Timestamp,
        batch: &mut Batch,
    ) {
        let Some(environment) = self.get_mut(project, name) else {
            return;
        };
        let mut newest = environment.deployments.iter_mut().rev();
        let open = newest.find(|it| it.job == ended.job && it.status == Status::Running);
        // It was given up before it began.
        let Some(deployment) = open else {
            return;
        };
        deployment.status = ended.status;
        deployment.finished_at = Some(now);
        batch.put(key(deployment), &*deployment);
        environment.updated_at = now;
        if let Some(deployed) = ended.deployed {
            environment.state = State::Available;
            environment.on_stop = deployed.on_stop;
            // A job that says nothing of these takes nothing back, as in GitLab.
            if let Some(url) = deployed.url.filter(|url| is_shown(url)) {
                environment.url = Some(url);
            }
            if deployed.auto_stop_in.is_some() {
                environment.auto_stop_in = deployed.auto_stop_in;
            }
        }
        put(environment, batch);
    }

    /// An environment gets a new state.
    pub(crate) fn set(
        &mut self,
        project: ProjectId,
        name: &str,
        state: State,
        now: Timestamp,
        batch: &mut Batch,
    ) {
        if let Some(environment) = self.get_mut(project, name)
            && environment.state != state
        {
            environment.state = state;
            environment.updated_at = now;
            put(environment, batch);
        }
    }

    /// Removes all environments of a project.
    pub(crate) fn remove_project(&mut self, project: ProjectId, batch: &mut Batch) {
        for environment in self.projects.remove(&project).unwrap_or_default().values() {
            delete(environment, batch);
        }
    }

    /// Lets go of one environment where a project has as many as are kept: of one that
    /// was stopped if there is one, and else of the one nothing happened to for longest.
    fn make_room(&mut self, project: ProjectId, batch: &mut Batch) {
        let Some(of) = self.projects.get_mut(&project) else {
            return;
        };
        while of.len() >= MOST {
            let all = of.values();
            let goes = all.min_by_key(|it| (it.state != State::Stopped, it.updated_at, it.id));
            let Some(name) = goes.map(|it| it.name.clone()) else {
                return;
            };
            if let Some(gone) = of.remove(&name) {
                delete(&gone, batch);
            }
        }
    }

    fn get_mut(&mut self, project: ProjectId, name: &str) -> Option<&mut Environment> {
        self.projects.get_mut(&project)?.get_mut(name)
    }
}

/// Whether an address can be one: jobs write it.
fn is_shown(url: &str) -> bool {
    !url.is_empty() && url.len() <= LONGEST_URL && !url.contains(char::is_control)
}

fn put(environment: &Environment, batch: &mut Batch) {
    batch.put(environment_key(environment), environment);
}

fn delete(environment: &Environment, batch: &mut Batch) {
    batch.delete(environment_key(environment));
    for deployment in &environment.deployments {
        batch.delete(key(deployment));
    }
}

fn environment_key(environment: &Environment) -> String {
    let (project, id) = (environment.project.0, environment.id.0);
    format!("environment/{}/{}", number(project), number(id))
}

fn key(deployment: &Deployment) -> String {
    let (environment, id) = (deployment.environment.0, deployment.id.0);
    format!("deployment/{}/{}", number(environment), number(id))
}
