//! What is let go of: artifacts past their time, old pipelines, projects.

use fleet_model::{PipelineId, ProjectId};
use fleet_queue::{Input, Rejected};

use super::{Core, HandleError};
use crate::store::number;

impl Core {
    /// Lets go of all that is past its time.
    pub(super) fn sweep(&mut self) {
        self.expire_artifacts();
        let now = self.now();
        let Some(kept) = self.settings.pipelines_kept else {
            return;
        };
        let old: Vec<PipelineId> = self
            .pipelines
            .values()
            .filter(|pipeline| pipeline.finished_at.is_some_and(|at| at + kept <= now))
            .map(|pipeline| pipeline.id)
            .collect();
        for id in old {
            // A job of it may still hold its lease; the next time, then.
            let _still_active = self.forget(id);
        }
    }

    fn expire_artifacts(&mut self) {
        let now = self.now();
        let mut expired = Vec::new();
        for pipeline in self.pipelines.values_mut() {
            // A job that is still to run may need them.
            if pipeline.finished_at.is_none() {
                continue;
            }
            for index in 0..pipeline.jobs.len() {
                let id = pipeline.job_id(index);
                let artifacts = &mut pipeline.jobs[index].artifacts;
                let (old, kept): (Vec<_>, Vec<_>) = std::mem::take(artifacts)
                    .into_iter()
                    .partition(|stored| stored.expires.is_some_and(|at| at <= now));
                *artifacts = kept;
                if !old.is_empty() {
                    self.dirty.insert(id);
                    expired.extend(old);
                }
            }
        }
        self.drop_blobs(expired);
    }

    /// Removes all of a project's environments and pipelines.
    pub(super) fn forget_project(&mut self, project: ProjectId) -> Result<(), HandleError> {
        self.environments.remove_project(project, &mut self.batch);
        let ids: Vec<PipelineId> = self
            .pipelines
            .values()
            .filter(|pipeline| pipeline.request.project == project)
            .map(|pipeline| pipeline.id)
            .collect();
        let active = ids.iter().find(|id| {
            let view = self.queue.pipeline(**id);
            view.is_some_and(|view| !view.status.is_completed())
        });
        if let Some(active) = active {
            return Err(HandleError::Rejected(Rejected::PipelineActive(*active)));
        }
        for id in ids {
            self.forget(id).map_err(HandleError::Rejected)?;
        }
        Ok(())
    }

    /// Removes a pipeline with its logs and artifacts.
    fn forget(&mut self, id: PipelineId) -> Result<(), Rejected> {
        if self.queue.pipeline(id).is_some() {
            self.step(Input::ForgetPipeline { pipeline: id })?;
        }
        let Some(pipeline) = self.leave(id) else {
            return Ok(());
        };
        self.batch.delete(format!("pipeline/{}", number(id.0)));
        let mut artifacts = Vec::new();
        let mut logs = Vec::new();
        for (index, job) in pipeline.jobs.into_iter().enumerate() {
            let id = pipeline.first_job.0 + index as u64;
            self.batch.delete(format!("job/{}", number(id)));
            artifacts.extend(job.artifacts);
            logs.extend(job.attempts.into_iter().map(|attempt| attempt.fence));
        }
        self.drop_blobs(artifacts);
        let blobs = self.blobs.clone();
        self.releases.run(Box::new(move || {
            for fence in &logs {
                blobs.remove_log(*fence);
            }
        }));
        Ok(())
    }
}
