//! Pipelines and jobs as they stand in the store.

use fleet_model::{JobId, PipelineId, Plan, ProjectId, Source, Timestamp, Variable};
use serde::{Deserialize, Serialize};

use super::{About, Asker, Attempt, Job, NoJobs, Pipeline, Request, Upstream};
use crate::blob::Stored;
use crate::secret::{Sealed, Sealer, Unreadable};

/// What never changes of a pipeline, but for its end.
#[derive(Serialize, Deserialize)]
pub(crate) struct PipelineRecord {
    first_job: JobId,
    project: ProjectId,
    project_path: String,
    protected: bool,
    plan: Plan,
    source: Source,
    /// Values sealed: people pass secrets so, too.
    settings: Vec<(Variable, Sealed)>,
    about: About,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    upstream: Option<Upstream>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    no_jobs: Option<NoJobs>,
    created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    finished_at: Option<Timestamp>,
}

/// What became of a job.
#[derive(Serialize, Deserialize)]
pub(crate) struct JobRecord {
    attempts: Vec<Attempt>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    artifacts: Vec<Stored>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    asker: Option<Asker>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refusal: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    cross: Vec<JobId>,
}

impl PipelineRecord {
    pub(crate) fn of(pipeline: &Pipeline, sealer: &Sealer) -> PipelineRecord {
        let request = &pipeline.request;
        let seal = |(index, variable): (usize, &Variable)| {
            let value = variable.value.as_bytes();
            let sealed = sealer.seal(&about(pipeline.id, index), value);
            let bare = Variable {
                value: String::new(),
                ..variable.clone()
            };
            (bare, sealed)
        };
        PipelineRecord {
            first_job: pipeline.first_job,
            project: request.project,
            project_path: request.project_path.clone(),
            protected: request.protected,
            plan: request.plan.clone(),
            source: request.source.clone(),
            settings: request.settings.iter().enumerate().map(seal).collect(),
            about: request.about.clone(),
            upstream: request.upstream,
            no_jobs: pipeline.no_jobs.clone(),
            created_at: pipeline.created_at,
            finished_at: pipeline.finished_at,
        }
    }

    /// The pipeline, with jobs of which nothing is known yet.
    ///
    /// # Errors
    /// A variable's value cannot be opened.
    pub(crate) fn into_pipeline(
        self,
        id: PipelineId,
        sealer: &Sealer,
    ) -> Result<Pipeline, Unreadable> {
        let mut settings = Vec::with_capacity(self.settings.len());
        for (index, (variable, sealed)) in self.settings.into_iter().enumerate() {
            let value = sealer.open(&about(id, index), &sealed)?;
            settings.push(Variable {
                value: String::from_utf8_lossy(&value).into_owned(),
                ..variable
            });
        }
        let request = Request {
            project: self.project,
            project_path: self.project_path,
            protected: self.protected,
            plan: self.plan,
            source: self.source,
            settings,
            about: self.about,
            upstream: self.upstream,
        };
        Ok(Pipeline {
            no_jobs: self.no_jobs,
            finished_at: self.finished_at,
            ..Pipeline::new(id, self.first_job, request, self.created_at, None)
        })
    }
}

/// What the value of a pipeline's variable is sealed as.
fn about(pipeline: PipelineId, index: usize) -> String {
    format!("pipeline/{pipeline}/variable/{index}")
}

impl From<&Job> for JobRecord {
    fn from(job: &Job) -> JobRecord {
        JobRecord {
            attempts: job.attempts.clone(),
            artifacts: job.artifacts.clone(),
            token: job.token.clone(),
            asker: job.asker.clone(),
            refusal: job.refusal.clone(),
            cross: job.cross.clone(),
        }
    }
}

impl From<JobRecord> for Job {
    fn from(record: JobRecord) -> Job {
        Job {
            attempts: record.attempts,
            artifacts: record.artifacts,
            token: record.token,
            asker: record.asker,
            refusal: record.refusal,
            cross: record.cross,
        }
    }
}
