//! From a planned job to the spec of one attempt: what only exists now is added.

use std::time::Duration;

use fleet_language::variables::{self, predefined};
use fleet_model::{Dependency, JobSpec, PlannedJob, RegistryLogin, Source, Step, Token, Variable};

use super::{Pipeline, source};
use crate::environment::EnvironmentId;

/// What is known only when a job is leased.
pub(crate) struct Facts<'a> {
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
    /// The certificates its programs need to reach the coordinator, as PEM.
    pub(crate) authority: Option<&'a str>,
    /// Variables of project and pipeline, lowest precedence first.
    pub(crate) settings: Vec<Variable>,
    /// What its project logs in to registries with.
    pub(crate) registries: Vec<RegistryLogin>,
    /// The environment it names.
    pub(crate) environment: Option<EnvironmentId>,
    /// Archives of jobs of other pipelines.
    pub(crate) cross: Vec<Dependency>,
    /// What those jobs reported with dotenv.
    pub(crate) cross_reported: Vec<Variable>,
    /// User and password of its project's deploy token for jobs.
    pub(crate) deploy_login: Option<(String, String)>,
}

/// Makes the spec of an attempt of the job at `index` of the plan.
///
/// # Errors
/// Its variables cannot be expanded.
pub(crate) fn job_spec(
    pipeline: &Pipeline,
    index: usize,
    facts: Facts<'_>,
) -> Result<JobSpec, variables::Error> {
    let plan = &pipeline.request.plan;
    let job = &plan.jobs[index];
    let id = pipeline.job_id(index);
    let lease = predefined::LeaseFacts {
        pipeline: pipeline.id,
        job: id,
        token: &facts.token,
        server_url: facts.server_url,
        project_path: &pipeline.request.project_path,
        repository_url: match &pipeline.request.source {
            Source::Git { repository, .. } => Some(repository),
            Source::Folder { .. } => None,
        },
        started_at: &facts.started_at,
        timeout_seconds: facts.timeout.as_secs(),
        agent_name: facts.agent,
        agent_tags: facts.agent_tags,
    };
    let mut dotenv = reported(pipeline, job);
    dotenv.extend(facts.cross_reported);
    let mut all = predefined::for_attempt(&lease, plan, job, dotenv, facts.settings);
    if let Some(EnvironmentId(id)) = facts.environment {
        all.insert(0, Variable::new("CI_ENVIRONMENT_ID", id.to_string()));
    }
    if let Some((user, password)) = facts.deploy_login {
        let password = Variable::new("CI_DEPLOY_PASSWORD", password).raw().masked();
        let user = Variable::new("CI_DEPLOY_USER", user).raw();
        all.splice(0..0, [user, password]);
    }
    if let Some(authority) = facts.authority {
        // As gitlab-runner does; git and the job's own tools read the file.
        let mut variable = Variable::new("CI_SERVER_TLS_CA_FILE", authority).raw();
        variable.file = true;
        all.insert(0, variable);
    }
    let variables = variables::expand_for_job(&all)?;
    let request = &pipeline.request;
    Ok(JobSpec {
        id,
        attempt: facts.number,
        name: job.name.clone(),
        stage: plan.stages[job.stage].clone(),
        pipeline: pipeline.id,
        project: pipeline.request.project,
        project_path: pipeline.request.project_path.clone(),
        token: Token(facts.token),
        timeout: facts.timeout,
        source: source::of_job(&request.source, &request.about, &variables),
        variables,
        steps: steps(job),
        image: job.image.clone(),
        services: job.services.clone(),
        artifacts: job.artifacts.clone(),
        caches: job.caches.clone(),
        dependencies: {
            let mut all = dependencies(pipeline, job);
            all.extend(facts.cross);
            all
        },
        hooks: job.hooks.clone(),
        registries: facts.registries,
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
pub(crate) fn dependencies(pipeline: &Pipeline, job: &PlannedJob) -> Vec<Dependency> {
    job.artifacts_from
        .iter()
        .filter_map(|from| dependency(pipeline, *from))
        .collect()
}

/// The archive of the job at `index`, if it left one.
pub(crate) fn dependency(pipeline: &Pipeline, index: usize) -> Option<Dependency> {
    let mut artifacts = pipeline.jobs[index].artifacts.iter();
    let archive = artifacts.find(|stored| stored.kind == "archive")?;
    Some(Dependency {
        job: pipeline.job_id(index),
        name: pipeline.request.plan.jobs[index].name.clone(),
        filename: archive.filename.clone(),
        size: archive.size,
    })
}

/// What the jobs it takes artifacts from reported with dotenv.
pub(crate) fn reported(pipeline: &Pipeline, job: &PlannedJob) -> Vec<Variable> {
    job.artifacts_from
        .iter()
        .flat_map(|from| &pipeline.jobs[*from].artifacts)
        .flat_map(|stored| stored.variables.iter().cloned())
        .collect()
}
