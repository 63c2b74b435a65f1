//! Pipelines that a newer one of the same branch makes redundant.

use std::time::Duration;

use fleet_model::{JobState, OnNewCommit, PipelineId};
use fleet_queue::{Input, OnNewCommit as Mode};

use super::Core;

/// Older pipelines are left alone; GitLab's limit.
const OLDEST: Duration = Duration::from_secs(7 * 24 * 3600);

impl Core {
    /// Cancels what may be canceled of older pipelines of the branch of `newer`, as
    /// each of them wants it, if the project does.
    ///
    /// As GitLab's `CancelRedundantPipelinesService`: whatever made them; pipelines of
    /// the same commit are not redundant, and tags do not move on. A child pipeline
    /// makes nothing redundant: its parent did.
    pub(super) fn supersede_older(&mut self, newer: PipelineId) {
        let Some(pipeline) = self.pipelines.get(&newer) else {
            return;
        };
        let (project, about) = (pipeline.request.project, &pipeline.request.about);
        let wanted = self.server.as_ref().and_then(|server| {
            let project = server.catalog.project_by_id(project)?;
            Some(project.auto_cancel_pending())
        });
        if wanted != Some(true) || about.tag || pipeline.is_child() {
            return;
        }
        let since = pipeline.created_at;
        let older: Vec<Input> = self
            .pipelines
            .range(..newer)
            .map(|(_, older)| older)
            .filter(|older| {
                let other = &older.request.about;
                let view = self.queue.pipeline(older.id);
                // One that waits for a person alone is none of GitLab's active ones.
                view.is_some_and(|view| view.status != JobState::Manual)
                    && older.finished_at.is_none()
                    && older.request.project == project
                    && !other.tag
                    && other.reference == about.reference
                    && other.sha != about.sha
                    && since.since(older.created_at) <= OLDEST
            })
            .filter_map(|older| {
                let mode = match older.request.plan.auto_cancel.on_new_commit {
                    OnNewCommit::Conservative => Mode::Conservative,
                    OnNewCommit::Interruptible => Mode::Interruptible,
                    OnNewCommit::None => return None,
                };
                let pipeline = older.id;
                Some(Input::SupersedePipeline { pipeline, mode })
            })
            .collect();
        for input in older {
            self.feed(input);
        }
        self.drop_ended_leases();
    }
}
