//! Jobs with an environment: who may run them, and what they make of it.
//!
//! The queue asks before each try of such a job ([`Core::admission`]), and the answer is
//! looked at once more when it is handed out: a role may be gone by then. What counts is
//! the token of whoever started the pipeline, or played or retried the job, as it is at
//! that moment.

use std::collections::BTreeMap;

use fleet_language::variables::{self, Unknown};
use fleet_model::{EnvironmentAction, FailureReason, JobId, JobState, PipelineId, ProjectId};
use fleet_queue::{Input, Rejected};

use super::Core;
use crate::audit::{Entry, Verdict};
use crate::catalog::Catalog;
use crate::environment::{
    Deployed, Ended, Environment, EnvironmentId, NewDeployment, State, Status, StopJob,
};
use crate::pipeline::{Asker, Pipeline, reported};

/// GitLab's name for it.
const REFUSED: &str = "protected_environment_failure";

/// Somebody wants jobs to run.
pub(super) struct Asking {
    pub(super) asker: Asker,
    /// The job they play.
    played: Option<JobId>,
}

impl Asking {
    /// Whether a job that gets this state runs for them from now on: what they play or
    /// retry, and what was skipped and gets another chance for that, as in GitLab.
    pub(super) fn is_about(&self, job: JobId, state: JobState) -> bool {
        state == JobState::Created || self.played == Some(job)
    }
}

/// What became of the wish to stop an environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopAnswer {
    /// There is none of this name.
    Unknown,
    /// It is stopped; nothing runs for it.
    Stopped,
    /// This job stops it.
    By(JobId),
}

/// What a job deploys to, and from where.
#[derive(Clone, Debug)]
pub(crate) struct Deploys {
    pub(crate) environment: String,
    /// `refs/heads/main`.
    pub(crate) reference: String,
}

/// Why a job may not run.
struct Refusal {
    /// For whom it was to.
    user: String,
    project_path: String,
    words: String,
}

impl Core {
    /// Carries out a wish; jobs that run because of it run for `asker`.
    pub(super) fn step_for(&mut self, asker: Option<Asker>, input: Input) -> Result<(), Rejected> {
        let played = match &input {
            Input::PlayJob { job } => Some(*job),
            _ => None,
        };
        self.asking = asker.map(|asker| Asking { asker, played });
        let result = self.step(input);
        self.asking = None;
        result
    }

    /// The answer to whether a job may start.
    pub(super) fn admission(&mut self, job: JobId) -> Input {
        self.refusal(job).unwrap_or(Input::AdmitJob { job })
    }

    /// What the queue is to be told of a job that may not start; none: it may. From then
    /// on the words for people are with the job, and a line is in the audit log.
    pub(super) fn refusal(&mut self, job: JobId) -> Option<Input> {
        let refusal = self.why_not(job)?;
        if let Some((pipeline, index)) = self.find_mut(job) {
            pipeline.jobs[index].refusal = Some(refusal.words.clone());
            self.dirty.insert(job);
        }
        self.note_refusal(refusal, job);
        let reason = FailureReason::new(REFUSED);
        Some(Input::RefuseJob { job, reason })
    }

    fn why_not(&self, job: JobId) -> Option<Refusal> {
        let catalog = &self.server.as_ref()?.catalog;
        let Deploys {
            environment,
            reference,
        } = self.deploys(job)?;
        let (pipeline, index) = self.find(job)?;
        let Asker { user, token } = pipeline.asker(index);
        let project_path = pipeline.request.project_path.clone();
        let Some(project) = catalog.project_by_id(pipeline.request.project) else {
            return Some(Refusal {
                words: format!("project {project_path} was deleted"),
                user,
                project_path,
            });
        };
        let role = token.and_then(|token| catalog.role_of_token(&token, &project.path));
        let barrier = Catalog::barrier(&project, &reference, &environment, role)?;
        let has = match role {
            Some(role) => format!("has the role {role}"),
            None => "has no role here any more: the token was revoked or has expired".to_owned(),
        };
        let mend = match barrier.needed {
            Some(_) => format!("; whoever has it can run the job: fleetctl job retry {job}"),
            None => String::new(),
        };
        let rule = barrier.in_words();
        Some(Refusal {
            words: format!("{rule}, and {user}, for whom this job was to run, {has}{mend}"),
            user,
            project_path,
        })
    }

    /// Writes a refusal into the audit log, once it is durable here.
    fn note_refusal(&mut self, refusal: Refusal, job: JobId) {
        let Some(server) = &self.server else {
            return;
        };
        let audit = server.audit.clone();
        let write = move || {
            let entry = Entry {
                actor: &format!("user:{}", refusal.user),
                action: "deploy",
                object: &format!("project:{}", refusal.project_path),
                verdict: Verdict::Denied,
                reason: &format!("job {job}: {}", refusal.words),
                from: None,
            };
            if let Err(error) = audit.log(entry) {
                tracing::error!(%error, "a refusal cannot be written to the audit log");
            }
        };
        self.releases.run(Box::new(move || {
            // A slow disk holds up nobody.
            tokio::task::spawn_blocking(write);
        }));
    }

    /// What a job deploys to and from where; none: it has no environment.
    pub(crate) fn deploys(&self, job: JobId) -> Option<Deploys> {
        let (pipeline, index) = self.find(job)?;
        let planned = pipeline.request.plan.jobs[index].environment.as_ref()?;
        let about = &pipeline.request.about;
        let folder = if about.tag { "tags" } else { "heads" };
        Some(Deploys {
            environment: planned.name.clone(),
            reference: format!("refs/{folder}/{}", about.reference),
        })
    }

    /// The environment of a job that is handed out.
    pub(super) fn environment_of(&mut self, job: JobId) -> Option<EnvironmentId> {
        self.server.as_ref()?;
        let now = self.now();
        let (pipeline, index) = self.find(job)?;
        let project = pipeline.request.project;
        let planned = pipeline.request.plan.jobs[index].environment.clone()?;
        let (book, batch) = (&mut self.environments, &mut self.batch);
        Some(book.ensure(project, &planned, now, batch))
    }

    /// What a job's new state makes of its environment.
    pub(super) fn note_in_environment(&mut self, id: PipelineId, index: usize, state: JobState) {
        use EnvironmentAction::{Start, Stop};
        let now = self.now();
        let Some(pipeline) = self.pipelines.get(&id) else {
            return;
        };
        let Some(planned) = &pipeline.request.plan.jobs[index].environment else {
            return;
        };
        if self.server.is_none() {
            return;
        }
        let (book, batch) = (&mut self.environments, &mut self.batch);
        let (project, name) = (pipeline.request.project, planned.name.as_str());
        match (planned.action, state) {
            (Start, JobState::Running) => {
                let new = new_deployment(pipeline, index);
                book.begin(project, planned, new, now, batch);
            }
            (Start, JobState::Success | JobState::Failed | JobState::Canceled) => {
                book.end(project, name, ended(pipeline, index, state), now, batch);
            }
            (Stop, JobState::Running) => book.set(project, name, State::Stopping, now, batch),
            (Stop, JobState::Success) => book.set(project, name, State::Stopped, now, batch),
            (Stop, JobState::Failed | JobState::Canceled) => {
                let environment = book.get(project, name);
                if environment.is_some_and(|it| it.state == State::Stopping) {
                    book.set(project, name, State::Available, now, batch);
                }
            }
            _ => {}
        }
    }

    /// Stops an environment: by its job, or, where it has none, by saying so.
    pub(super) fn stop_environment(
        &mut self,
        project: ProjectId,
        name: &str,
        asker: Asker,
    ) -> Result<StopAnswer, Rejected> {
        let Some(environment) = self.environments.get(project, name) else {
            return Ok(StopAnswer::Unknown);
        };
        if environment.state == State::Stopped {
            return Ok(StopAnswer::Stopped);
        }
        let Some((job, state)) = self.stop_job(environment) else {
            self.set_environment(project, name, State::Stopped);
            return Ok(StopAnswer::Stopped);
        };
        let again = matches!(
            state,
            JobState::Success | JobState::Failed | JobState::Canceled
        );
        let input = match again {
            true => Input::RetryJob { job },
            false => Input::PlayJob { job },
        };
        self.step_for(Some(asker), input)?;
        let view = self.queue.job(job);
        if view.is_some_and(|view| !view.state.is_completed()) {
            self.set_environment(project, name, State::Stopping);
        }
        Ok(StopAnswer::By(job))
    }

    fn set_environment(&mut self, project: ProjectId, name: &str, state: State) {
        let now = self.now();
        let (book, batch) = (&mut self.environments, &mut self.batch);
        book.set(project, name, state, now, batch);
    }

    /// The job that stops an environment, as long as its pipeline is kept, and its state.
    pub(crate) fn stop_job(&self, environment: &Environment) -> Option<(JobId, JobState)> {
        let job = environment.on_stop.as_ref()?.job;
        Some((job, self.queue.job(job)?.state))
    }

    /// Environments of a project, by their names.
    pub(crate) fn environments(&self, project: ProjectId) -> Vec<Environment> {
        self.environments.of(project).cloned().collect()
    }

    /// An environment of a project.
    pub(crate) fn environment(&self, project: ProjectId, name: &str) -> Option<Environment> {
        self.environments.get(project, name).cloned()
    }
}

fn new_deployment(pipeline: &Pipeline, index: usize) -> NewDeployment {
    let about = &pipeline.request.about;
    NewDeployment {
        sha: about.sha.clone(),
        reference: about.reference.clone(),
        pipeline: pipeline.id,
        job: pipeline.job_id(index),
        job_name: pipeline.request.plan.jobs[index].name.clone(),
        user: pipeline.asker(index).user,
    }
}

fn ended(pipeline: &Pipeline, index: usize, state: JobState) -> Ended {
    let status = match state {
        JobState::Success => Status::Success,
        JobState::Canceled => Status::Canceled,
        _ => Status::Failed,
    };
    Ended {
        job: pipeline.job_id(index),
        status,
        deployed: (status == Status::Success).then(|| deployed(pipeline, index)),
    }
}

/// What a job that ended well says of its environment.
fn deployed(pipeline: &Pipeline, index: usize) -> Deployed {
    let plan = &pipeline.request.plan;
    let job = &plan.jobs[index];
    let Some(planned) = &job.environment else {
        return Deployed::default();
    };
    let own = pipeline.jobs[index].artifacts.iter();
    let own = own.flat_map(|stored| stored.variables.clone());
    // What it reported itself stands over what it got from others.
    let known: BTreeMap<String, String> = reported(pipeline, job)
        .into_iter()
        .chain(own)
        .map(|variable| (variable.key, variable.value))
        .collect();
    let expand = |url: &String| {
        let value = |name: &str| known.get(name).map(String::as_str);
        variables::expand(url, Unknown::Empty, value)
    };
    let on_stop = planned.on_stop.as_ref().and_then(|name| {
        let index = plan.jobs.iter().position(|job| job.name == *name)?;
        Some(StopJob {
            job: pipeline.job_id(index),
            name: name.clone(),
        })
    });
    Deployed {
        url: planned.url.as_ref().map(expand),
        on_stop,
        auto_stop_in: planned.auto_stop_in.clone(),
    }
}
