//! What other pipelines give a job, found when it starts: artifacts of their jobs
//! (`needs:pipeline:job`, `needs:project`), or their status (`needs:pipeline`).

use fleet_language::variables::Bridge;
use fleet_model::{CrossNeed, CrossSource, Dependency, JobId, JobState, PipelineId, Variable};

use super::Core;
use super::downstream::Refusal;
use crate::catalog::{Catalog, Project};
use crate::pipeline::{Pipeline, dependency};

impl Core {
    /// The jobs of other pipelines that a job gets artifacts of.
    ///
    /// # Errors
    /// What is missing that may not be, or the project's variables cannot be read.
    pub(super) fn cross_jobs(&self, job: JobId) -> Result<Vec<JobId>, Refusal> {
        let Some((pipeline, index)) = self.find(job) else {
            return Ok(Vec::new());
        };
        let needs = &pipeline.request.plan.jobs[index].cross_needs;
        if needs.is_empty() {
            return Ok(Vec::new());
        }
        let known = self.bridge(pipeline, index)?;
        let mut jobs = Vec::new();
        for need in needs {
            match self.cross_job(pipeline, index, need, &known) {
                Ok(job) => jobs.push(job),
                Err(_) if need.optional => {}
                Err(words) => return Err(Refusal::new("missing_dependency_failure", words)),
            }
        }
        Ok(jobs)
    }

    fn cross_job(
        &self,
        pipeline: &Pipeline,
        index: usize,
        need: &CrossNeed,
        known: &Bridge,
    ) -> Result<JobId, String> {
        let job = known.expand(&need.job);
        let (of, wanted) = match &need.source {
            CrossSource::Pipeline(text) => {
                let id = known.expand(text);
                let of = format!("job {job} of pipeline {id}");
                let found = id.trim().parse().ok().map(PipelineId);
                let found = found.and_then(|id| self.pipelines.get(&id));
                // What others of the project made is none of its business.
                let family = |other: &&Pipeline| {
                    other.request.project == pipeline.request.project
                        && self.root(other).id == self.root(pipeline).id
                };
                (of, found.filter(family))
            }
            CrossSource::Project { path, reference } => {
                let (path, reference) = (known.expand(path), known.expand(reference));
                let of =
                    format!("job {job} of the last successful pipeline of {path} at {reference}");
                (of, self.last_success(pipeline, index, &path, &reference))
            }
        };
        let missing =
            || format!("{of}, whose artifacts this job needs, is not there or has no artifacts");
        let wanted = wanted.ok_or_else(missing)?;
        let mut jobs = wanted.request.plan.jobs.iter();
        let index = jobs
            .position(|planned| planned.name == job)
            .ok_or_else(missing)?;
        let ended = self.queue.job(wanted.job_id(index));
        let ended = ended.is_none_or(|view| view.state.is_completed());
        if !ended || wanted.jobs[index].artifacts.is_empty() {
            return Err(missing());
        }
        Ok(wanted.job_id(index))
    }

    /// The last successful pipeline of a ref of a project that whoever the job runs for
    /// may see.
    fn last_success(
        &self,
        pipeline: &Pipeline,
        index: usize,
        path: &str,
        reference: &str,
    ) -> Option<&Pipeline> {
        let project = self.visible(pipeline, index, path)?;
        self.pipelines.values().rev().find(|other| {
            let view = self.queue.pipeline(other.id);
            other.request.project == project.id
                && other.request.about.reference == reference
                && !other.is_child()
                && view.is_some_and(|view| view.status == JobState::Success)
        })
    }

    /// The newest pipeline on the default branch of a project: it is what a job is to
    /// have the status of.
    ///
    /// # Errors
    /// There is none, for whoever the job runs for; or it follows this one.
    pub(super) fn newest(
        &self,
        pipeline: &Pipeline,
        index: usize,
        path: &str,
    ) -> Result<PipelineId, Refusal> {
        let not_found = |words| Refusal::new("upstream_bridge_project_not_found", words);
        if self.server.is_none() {
            let words = "the pipelines of other projects are known to a server alone";
            return Err(not_found(words.to_owned()));
        }
        let project = self.visible(pipeline, index, path).ok_or_else(|| {
            let user = pipeline.asker(index).user;
            let path = crate::source::visible(path);
            not_found(format!(
                "there is no project `{path}`, or {user} may not see it"
            ))
        })?;
        let newest = self.pipelines.values().rev().find(|other| {
            let about = &other.request.about;
            other.request.project == project.id
                && other.id != pipeline.id
                && !about.tag
                && about.reference == project.default_branch
                && !other.is_child()
        });
        let newest = newest.ok_or_else(|| {
            let Project {
                path,
                default_branch,
                ..
            } = &project;
            not_found(format!(
                "{path} has no pipeline on {default_branch}, its default branch, to have the \
                 status of"
            ))
        })?;
        if self.queue.leads_to(newest.id, pipeline.id) {
            return Err(Refusal::new(
                "pipeline_loop_detected",
                format!(
                    "pipeline {} of {} waits for this one in its turn",
                    newest.id, project.path
                ),
            ));
        }
        Ok(newest.id)
    }

    /// A project that whoever the job runs for may see.
    fn visible(&self, pipeline: &Pipeline, index: usize, path: &str) -> Option<Project> {
        let catalog = &self.server.as_ref()?.catalog;
        let project = catalog.project(path)?;
        let token = pipeline.asker(index).token?;
        Catalog::role(&catalog.principal_of_token(&token)?, &project)?;
        Some(project)
    }

    /// The first of all that led to a pipeline, in its own project.
    fn root<'a>(&'a self, pipeline: &'a Pipeline) -> &'a Pipeline {
        self.ancestors(pipeline)
            .take_while(|it| it.request.project == pipeline.request.project)
            .last()
            .unwrap_or(pipeline)
    }

    /// What is given of such jobs: archives, and what they reported with dotenv.
    pub(super) fn cross_given(&self, jobs: &[JobId]) -> (Vec<Dependency>, Vec<Variable>) {
        let (mut archives, mut variables) = (Vec::new(), Vec::new());
        for (pipeline, index) in jobs.iter().filter_map(|job| self.find(*job)) {
            archives.extend(dependency(pipeline, index));
            let artifacts = &pipeline.jobs[index].artifacts;
            variables.extend(artifacts.iter().flat_map(|it| it.variables.iter().cloned()));
        }
        (archives, variables)
    }
}
