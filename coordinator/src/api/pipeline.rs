//! Pipelines: created, shown, watched, cancelled, retried.

use std::pin::Pin;

use fleet_model::{JobState, PipelineId};
use fleet_proto::v1;
use fleet_proto::v1::pipeline_service_server::PipelineService;
use fleet_queue::{CancelMode, Input};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::caller::Caller;
use super::{Api, caller, error, show, stream};
use crate::core::{Handle, PipelineInfo};
use crate::source::NewPipeline;

/// Pipelines or jobs of one answer, where the caller does not say.
pub(super) const LIMIT: u32 = 50;
const MOST: u32 = 1000;

#[tonic::async_trait]
impl PipelineService for Api {
    type WatchPipelineStream =
        Pin<Box<dyn Stream<Item = Result<v1::PipelineEvent, Status>> + Send>>;

    async fn create_pipeline(
        &self,
        request: Request<v1::CreatePipelineRequest>,
    ) -> Result<Response<v1::Pipeline>, Status> {
        let caller = caller(&request)?;
        let v1::CreatePipelineRequest {
            project,
            reference,
            variables,
            inputs,
        } = request.into_inner();
        caller.on_project(&project)?;
        let wanted = NewPipeline {
            project,
            reference,
            variables,
            inputs,
        };
        let created = self.sources.create_pipeline(wanted, caller.principal());
        let created = created.await;
        let id = created.map_err(error::of_event)?;
        self.shown(id).await
    }

    async fn list_pipelines(
        &self,
        request: Request<v1::ListPipelinesRequest>,
    ) -> Result<Response<v1::ListPipelinesResponse>, Status> {
        let caller = caller(&request)?;
        let mut wanted = request.into_inner();
        if !wanted.project.is_empty() {
            // As it is spelled: people may write it in another case.
            wanted.project = caller.on_project(&wanted.project)?.path;
        }
        let limit = limit(wanted.limit);
        let found = self
            .look(move |core| {
                let fits = |info: &PipelineInfo| {
                    (wanted.project.is_empty() || info.project_path == wanted.project)
                        && (wanted.reference.is_empty() || info.about.reference == wanted.reference)
                        && show::has_status(&wanted.status, info.status)
                        && caller.sees(&info.project_path)
                        // As in GitLab; they are shown with their parents.
                        && !info.is_child()
                };
                core.pipelines(fits, limit)
            })
            .await?;
        let pipelines = found
            .into_iter()
            .map(|info| show::pipeline(info, Vec::new()))
            .collect();
        Ok(Response::new(v1::ListPipelinesResponse { pipelines }))
    }

    async fn get_pipeline(
        &self,
        request: Request<v1::GetPipelineRequest>,
    ) -> Result<Response<v1::Pipeline>, Status> {
        let caller = caller(&request)?;
        let wanted = request.into_inner();
        let id = match wanted.id {
            0 => {
                let project = caller.on_project(&wanted.project)?.path;
                let newest = self
                    .look(move |core| {
                        let own =
                            |info: &PipelineInfo| info.project_path == project && !info.is_child();
                        core.pipelines(own, 1)
                    })
                    .await?;
                let newest = newest.first().map(|info| info.id);
                newest.ok_or_else(|| {
                    Status::not_found(format!("project {} has no pipeline yet", wanted.project))
                })?
            }
            id => PipelineId(id),
        };
        let info = self.pipeline_info(id).await?;
        caller.on_project_of("pipeline", id.0, info.as_ref().map(|it| &it.project_path))?;
        self.shown(id).await
    }

    async fn watch_pipeline(
        &self,
        request: Request<v1::WatchPipelineRequest>,
    ) -> Result<Response<Self::WatchPipelineStream>, Status> {
        let caller = caller(&request)?;
        let id = PipelineId(request.into_inner().id);
        let info = self.pipeline_info(id).await?;
        let project =
            caller.on_project_of("pipeline", id.0, info.as_ref().map(|it| &it.project_path))?;
        let (events, answer) = mpsc::channel(64);
        let work = watch(self.core.clone(), id, events.clone());
        stream::answer(caller, project.path, events, work);
        Ok(Response::new(Box::pin(ReceiverStream::new(answer))))
    }

    async fn cancel_pipeline(
        &self,
        request: Request<v1::CancelPipelineRequest>,
    ) -> Result<Response<v1::Pipeline>, Status> {
        let id = PipelineId(request.get_ref().id);
        self.on_pipeline(&request, id).await?;
        let mode = CancelMode::Graceful;
        let input = Input::CancelPipeline { pipeline: id, mode };
        self.core.change(input).await.map_err(error::of_core)?;
        self.shown(id).await
    }

    async fn retry_pipeline(
        &self,
        request: Request<v1::RetryPipelineRequest>,
    ) -> Result<Response<v1::Pipeline>, Status> {
        let id = PipelineId(request.get_ref().id);
        let caller = self.on_pipeline(&request, id).await?;
        let input = Input::RetryPipeline { pipeline: id };
        let changed = self.core.change_for(caller.asker(), input).await;
        changed.map_err(error::of_core)?;
        self.shown(id).await
    }
}

impl Api {
    /// The caller, who may do with the pipeline what they ask.
    async fn on_pipeline<T>(&self, request: &Request<T>, id: PipelineId) -> Result<Caller, Status> {
        let caller = caller(request)?;
        let info = self.pipeline_info(id).await?;
        caller.on_project_of("pipeline", id.0, info.as_ref().map(|it| &it.project_path))?;
        Ok(caller)
    }

    async fn pipeline_info(&self, id: PipelineId) -> Result<Option<PipelineInfo>, Status> {
        self.look(move |core| core.pipeline(id)).await
    }

    async fn shown(&self, id: PipelineId) -> Result<Response<v1::Pipeline>, Status> {
        let shown = whole(&self.core, id).await;
        shown
            .map(Response::new)
            .ok_or_else(|| Status::not_found(format!("there is no pipeline {id}")))
    }
}

/// How many entries an answer has.
pub(super) fn limit(wanted: u32) -> usize {
    let limit = if wanted == 0 { LIMIT } else { wanted.min(MOST) };
    limit as usize
}

/// A pipeline with its jobs.
async fn whole(core: &Handle, id: PipelineId) -> Option<v1::Pipeline> {
    let (info, jobs) = core
        .look(move |core| {
            let info = core.pipeline(id)?;
            let jobs: Vec<_> = info.jobs.iter().filter_map(|job| core.job(*job)).collect();
            Some((info, jobs))
        })
        .await
        .flatten()?;
    let jobs = jobs.into_iter().map(show::job).collect();
    Some(show::pipeline(info, jobs))
}

/// Sends what is true of a pipeline, then all changes, until it has ended. What
/// a watcher is sent is looked up when news come, so news may be lost.
async fn watch(
    core: Handle,
    id: PipelineId,
    events: mpsc::Sender<Result<v1::PipelineEvent, Status>>,
) {
    use v1::pipeline_event::Event;
    let mut news = core.news();
    let mut all = true;
    loop {
        if all {
            let Some(pipeline) = whole(&core, id).await else {
                return;
            };
            all = false;
            let ended = is_over(&pipeline.status);
            if send(&events, Event::Pipeline(pipeline)).await.is_none() || ended {
                return;
            }
        }
        let changed = tokio::select! {
            changed = news.recv() => changed,
            () = events.closed() => return,
        };
        match changed {
            Ok((pipeline, _)) if pipeline != id => {}
            Ok((_, Some(job))) => {
                let Some(job) = core.look(move |core| core.job(job)).await.flatten() else {
                    return;
                };
                if send(&events, Event::Job(show::job(job))).await.is_none() {
                    return;
                }
            }
            Ok((_, None)) => {
                let Some(info) = core.look(move |core| core.pipeline(id)).await.flatten() else {
                    return;
                };
                let status = show::pipeline_status(&info);
                let ended = info.status.is_completed();
                if send(&events, Event::Status(status)).await.is_none() || ended {
                    return;
                }
            }
            Err(RecvError::Lagged(_)) => all = true,
            Err(RecvError::Closed) => return,
        }
    }
}

fn is_over(status: &str) -> bool {
    [
        JobState::Success,
        JobState::Failed,
        JobState::Canceled,
        JobState::Skipped,
    ]
    .iter()
    .any(|state| state.to_string() == status)
}

async fn send(
    events: &mpsc::Sender<Result<v1::PipelineEvent, Status>>,
    event: v1::pipeline_event::Event,
) -> Option<()> {
    let event = v1::PipelineEvent { event: Some(event) };
    events.send(Ok(event)).await.ok()
}
