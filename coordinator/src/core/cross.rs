//! Jobs of other pipelines whose artifacts a job gets (`needs:pipeline:job`,
//! `needs:project`): found when the job is handed out.

use fleet_language::variables::Bridge;
use fleet_model::{
    CrossNeed, CrossSource, Dependency, FailureReason, JobId, JobState, PipelineId, Variable,
};
use fleet_queue::Input;

use super::Core;
use crate::catalog::Catalog;
use crate::pipeline::{Pipeline, dependency, reported};

impl Core {
    /// The jobs of other pipelines that a job gets artifacts of.
    ///
    /// # Errors
    /// In words, what is missing that may not be.
    pub(super) fn cross_jobs(&self, job: JobId) -> Result<Vec<JobId>, String> {
        let (pipeline, index) = self.find(job).ok_or("its pipeline is gone")?;
        let planned = &pipeline.request.plan.jobs[index];
        if planned.cross_needs.is_empty() {
            return Ok(Vec::new());
        }
        let request = &pipeline.request;
        let mut settings = self
            .project_settings(pipeline, index)
            .map_err(|refusal| refusal.words)?;
        settings.extend(request.settings.iter().cloned());
        let known = Bridge::new(
            (
                pipeline.id,
                &self.settings.server_url,
                &request.project_path,
            ),
            &request.plan,
            planned,
            reported(pipeline, planned),
            settings,
        );
        let mut jobs = Vec::new();
        for need in &planned.cross_needs {
            match self.cross_job(pipeline, index, need, &known) {
                Ok(job) => jobs.push(job),
                Err(_) if need.optional => {}
                Err(words) => return Err(words),
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
        let catalog = &self.server.as_ref()?.catalog;
        let project = catalog.project(path)?;
        let token = pipeline.asker(index).token?;
        Catalog::role(&catalog.principal_of_token(&token)?, &project)?;
        self.pipelines.values().rev().find(|other| {
            let view = self.queue.pipeline(other.id);
            other.request.project == project.id
                && other.request.about.reference == reference
                && !other.is_child()
                && view.is_some_and(|view| view.status == JobState::Success)
        })
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

    /// What the queue is to be told of a job that lacks what it needs.
    pub(super) fn missing_dependency(&mut self, job: JobId, words: String) -> Input {
        self.set_refusal(job, words);
        let reason = FailureReason::new("missing_dependency_failure");
        Input::RefuseJob { job, reason }
    }
}
