//! From a planned job to the spec of one attempt: what only exists now is added.

use std::time::Duration;

use fleet_language::variables::{self, predefined};
use fleet_model::{Dependency, JobSpec, PlannedJob, Source, Step, Token, Variable};

use super::Pipeline;

/// What is known only when a job is leased.
pub(crate) struct Attempt<'a> {
    /// The number of the try, from 1.
    pub(crate) number: u32,
    /// The job's own credential for this attempt.
    pub(crate) token: String,
    /// The job's clock.
    pub(crate) timeout: Duration,
    /// ISO 8601, UTC.
    pub(crate) started_at: String,
    /// What its `CI_*_URL` begin with.
    pub(crate) server_url: &'a str,
    /// Who runs it.
    pub(crate) agent: &'a str,
    /// What that agent offers.
    pub(crate) agent_tags: &'a [String],
}

/// Makes the spec of an attempt of the job at `index` of the plan.
///
/// # Errors
/// Its variables cannot be expanded.
pub(crate) fn job_spec(
    pipeline: &Pipeline,
    index: usize,
    attempt: Attempt<'_>,
) -> Result<JobSpec, variables::Error> {
    let job = &pipeline.request.plan.jobs[index];
    let id = pipeline.jobs[index].id;
    let facts = predefined::LeaseFacts {
        pipeline: pipeline.id,
        job: id,
        token: &attempt.token,
        server_url: attempt.server_url,
        project_path: &pipeline.request.project_path,
        repository_url: match &pipeline.request.source {
            Source::Git { repository, .. } => Some(repository),
            Source::Folder { .. } => None,
        },
        started_at: &attempt.started_at,
        timeout_seconds: attempt.timeout.as_secs(),
        agent_name: attempt.agent,
        agent_tags: attempt.agent_tags,
    };
    let all = predefined::for_attempt(&facts, &job.variables, reported(pipeline, job));
    Ok(JobSpec {
        id,
        attempt: attempt.number,
        name: job.name.clone(),
        stage: pipeline.request.plan.stages[job.stage].clone(),
        pipeline: pipeline.id,
        project: pipeline.request.project,
        project_path: pipeline.request.project_path.clone(),
        token: Token(attempt.token),
        timeout: attempt.timeout,
        source: pipeline.request.source.clone(),
        variables: variables::expand_for_job(all)?,
        steps: steps(job),
        image: job.image.clone(),
        services: job.services.clone(),
        artifacts: job.artifacts.clone(),
        caches: job.caches.clone(),
        dependencies: dependencies(pipeline, job),
        hooks: job.hooks.clone(),
    })
}

fn steps(job: &PlannedJob) -> Vec<Step> {
    [("script", &job.script), ("after_script", &job.after_script)]
        .into_iter()
        .filter(|(_, script)| !script.is_empty())
        .map(|(name, script)| Step {
            name: name.to_owned(),
            script: script.clone(),
        })
        .collect()
}

/// The archives of the jobs it takes artifacts from, as far as they left one.
fn dependencies(pipeline: &Pipeline, job: &PlannedJob) -> Vec<Dependency> {
    job.artifacts_from
        .iter()
        .filter_map(|from| {
            let archive = pipeline.jobs[*from]
                .artifacts
                .iter()
                .find(|stored| stored.kind == "archive")?;
            Some(Dependency {
                job: archive.job,
                name: pipeline.request.plan.jobs[*from].name.clone(),
                filename: archive.filename.clone(),
                size: archive.size,
            })
        })
        .collect()
}

/// What the jobs it takes artifacts from reported with dotenv.
fn reported(pipeline: &Pipeline, job: &PlannedJob) -> Vec<Variable> {
    job.artifacts_from
        .iter()
        .flat_map(|from| &pipeline.jobs[*from].artifacts)
        .flat_map(|stored| stored.variables.iter().cloned())
        .collect()
}
