//! Jobs: shown, explained, their logs and artifacts read, cancelled, retried,
//! played.

use std::pin::Pin;

use bytes::Bytes;
use fleet_model::JobId;
use fleet_proto::v1::job_service_server::JobService;
use fleet_proto::{CHUNK_BYTES, v1};
use fleet_queue::{CancelMode, Input};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::caller::Caller;
use super::pipeline::limit;
use super::{Api, caller, error, explain, show, stream};
use crate::catalog::Project;
use crate::core::{JobInfo, LogSource};

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl JobService for Api {
    type ReadLogStream = Answers<v1::LogChunk>;
    type ReadArtifactStream = Answers<v1::ArtifactChunk>;

    async fn list_jobs(
        &self,
        request: Request<v1::ListJobsRequest>,
    ) -> Result<Response<v1::ListJobsResponse>, Status> {
        let caller = caller(&request)?;
        let mut wanted = request.into_inner();
        if !wanted.project.is_empty() {
            // As it is spelled: people may write it in another case.
            wanted.project = caller.on_project(&wanted.project)?.path;
        }
        let limit = limit(wanted.limit);
        let found = self
            .look(move |core| {
                let fits = |info: &JobInfo| {
                    (wanted.project.is_empty() || info.project_path == wanted.project)
                        && (wanted.pipeline == 0 || info.view.pipeline.0 == wanted.pipeline)
                        && show::has_status(&wanted.status, info.view.state)
                        && caller.sees(&info.project_path)
                };
                core.jobs(fits, limit)
            })
            .await?;
        let jobs = found.into_iter().map(show::job).collect();
        Ok(Response::new(v1::ListJobsResponse { jobs }))
    }

    async fn get_job(
        &self,
        request: Request<v1::GetJobRequest>,
    ) -> Result<Response<v1::Job>, Status> {
        let id = self.allowed(&request, request.get_ref().id).await?;
        self.shown_job(id).await
    }

    async fn read_log(
        &self,
        request: Request<v1::ReadLogRequest>,
    ) -> Result<Response<Self::ReadLogStream>, Status> {
        let caller = caller(&request)?;
        let (id, project) = self.found(&caller, request.get_ref().job).await?;
        let wanted = request.into_inner();
        let source = self.look(move |core| core.log(id, wanted.attempt)).await?;
        let (chunks, answer) = mpsc::channel(4);
        match source {
            Some(source) => {
                let work = read_log(source, wanted.offset, wanted.follow, chunks.clone());
                stream::answer(caller, project.path, chunks, work);
            }
            // No attempt yet: an empty log, which is not an error to look at.
            None if wanted.attempt == 0 => {}
            None => {
                return Err(Status::not_found(format!(
                    "job {id} has no attempt {}",
                    wanted.attempt
                )));
            }
        }
        Ok(Response::new(Box::pin(ReceiverStream::new(answer))))
    }

    async fn explain_job(
        &self,
        request: Request<v1::ExplainJobRequest>,
    ) -> Result<Response<v1::Explanation>, Status> {
        let id = self.allowed(&request, request.get_ref().id).await?;
        let explained = self
            .look(move |core| {
                let name = |job| Some(core.job(job)?.view.name);
                Some(explain::explain(core.explain(id)?, name))
            })
            .await?;
        explained
            .map(Response::new)
            .ok_or_else(|| Status::not_found(format!("there is no job {id}")))
    }

    async fn cancel_job(
        &self,
        request: Request<v1::CancelJobRequest>,
    ) -> Result<Response<v1::Job>, Status> {
        let job = self.allowed(&request, request.get_ref().id).await?;
        let mode = match request.get_ref().force {
            true => CancelMode::Forced,
            false => CancelMode::Graceful,
        };
        self.change_job(job, Input::CancelJob { job, mode }).await
    }

    async fn retry_job(
        &self,
        request: Request<v1::RetryJobRequest>,
    ) -> Result<Response<v1::Job>, Status> {
        let caller = caller(&request)?;
        let job = self.allowed(&request, request.get_ref().id).await?;
        self.start_job(&caller, job, Input::RetryJob { job }).await
    }

    async fn play_job(
        &self,
        request: Request<v1::PlayJobRequest>,
    ) -> Result<Response<v1::Job>, Status> {
        let caller = caller(&request)?;
        let job = self.allowed(&request, request.get_ref().id).await?;
        self.start_job(&caller, job, Input::PlayJob { job }).await
    }

    async fn read_artifact(
        &self,
        request: Request<v1::ReadArtifactRequest>,
    ) -> Result<Response<Self::ReadArtifactStream>, Status> {
        let caller = caller(&request)?;
        let (id, project) = self.found(&caller, request.get_ref().job).await?;
        let kind = request.into_inner().r#type;
        let found = self.look(move |core| core.artifact(id, &kind)).await?;
        let (stored, path) = found.ok_or_else(|| {
            Status::not_found(format!("job {id} has no such artifacts (any more)"))
        })?;
        let file = File::open(&path).await.map_err(|error| {
            tracing::error!(path = %path.display(), %error, "an artifact cannot be read");
            Status::not_found(format!("the artifacts of job {id} are gone"))
        })?;
        let (chunks, answer) = mpsc::channel(4);
        let work = read_artifact(file, show::artifact(&stored), chunks.clone());
        stream::answer(caller, project.path, chunks, work);
        Ok(Response::new(Box::pin(ReceiverStream::new(answer))))
    }
}

impl Api {
    /// The job of a request, if the caller may do there what it asks.
    async fn allowed<T>(&self, request: &Request<T>, id: u64) -> Result<JobId, Status> {
        let (id, _) = self.found(&caller(request)?, id).await?;
        Ok(id)
    }

    /// The same, with its project.
    async fn found(&self, caller: &Caller, id: u64) -> Result<(JobId, Project), Status> {
        let id = JobId(id);
        let project = self.look(move |core| core.project_of_job(id)).await?;
        let project = caller.on_project_of("job", id.0, project.as_ref())?;
        Ok((id, project))
    }

    /// Has a job run for the caller.
    async fn start_job(
        &self,
        caller: &Caller,
        id: JobId,
        input: Input,
    ) -> Result<Response<v1::Job>, Status> {
        self.may_start(caller, id).await?;
        let changed = self.core.change_for(caller.asker(), input).await;
        changed.map_err(error::of_core)?;
        self.shown_job(id).await
    }

    async fn change_job(&self, id: JobId, input: Input) -> Result<Response<v1::Job>, Status> {
        self.core.change(input).await.map_err(error::of_core)?;
        self.shown_job(id).await
    }

    async fn shown_job(&self, id: JobId) -> Result<Response<v1::Job>, Status> {
        let info = self.look(move |core| core.job(id)).await?;
        info.map(|info| Response::new(show::job(info)))
            .ok_or_else(|| Status::not_found(format!("there is no job {id}")))
    }
}

/// Sends a log from `offset` on; with `follow` until it is closed.
async fn read_log(
    source: LogSource,
    mut offset: u64,
    follow: bool,
    chunks: mpsc::Sender<Result<v1::LogChunk, Status>>,
) {
    let LogSource { path, mut grows } = source;
    loop {
        match send_log(&path, &mut offset, &chunks).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "a log cannot be read");
                let status = Status::data_loss("the log cannot be read");
                // Then nobody reads.
                let _ = chunks.send(Err(status)).await;
                return;
            }
        }
        let Some(grown) = grows.as_mut().filter(|_| follow) else {
            return;
        };
        let more = tokio::select! {
            more = grown.wait_for(|size| *size > offset) => more.is_ok(),
            () = chunks.closed() => return,
        };
        if !more {
            // Closed; what came last is still to be sent.
            grows = None;
        }
    }
}

/// Sends what there is from `offset` on; false when nobody reads any more.
async fn send_log(
    path: &std::path::Path,
    offset: &mut u64,
    chunks: &mpsc::Sender<Result<v1::LogChunk, Status>>,
) -> std::io::Result<bool> {
    let mut file = match File::open(path).await {
        Ok(file) => file,
        // It is made with its first byte.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
    };
    file.seek(std::io::SeekFrom::Start(*offset)).await?;
    loop {
        let mut data = Vec::new();
        (&mut file)
            .take(CHUNK_BYTES as u64)
            .read_to_end(&mut data)
            .await?;
        if data.is_empty() {
            return Ok(true);
        }
        let chunk = v1::LogChunk {
            offset: *offset,
            data: Bytes::from(data),
        };
        *offset += chunk.data.len() as u64;
        if chunks.send(Ok(chunk)).await.is_err() {
            return Ok(false);
        }
    }
}

async fn read_artifact(
    mut file: File,
    stored: v1::ArtifactFile,
    chunks: mpsc::Sender<Result<v1::ArtifactChunk, Status>>,
) {
    let head = v1::ArtifactChunk {
        file: Some(stored),
        ..Default::default()
    };
    if chunks.send(Ok(head)).await.is_err() {
        return;
    }
    loop {
        let mut data = Vec::with_capacity(CHUNK_BYTES);
        let read = (&mut file)
            .take(CHUNK_BYTES as u64)
            .read_to_end(&mut data)
            .await;
        let chunk = match read {
            Ok(0) => return,
            Ok(_) => Ok(v1::ArtifactChunk {
                data: Bytes::from(data),
                ..Default::default()
            }),
            Err(error) => Err(Status::data_loss(format!("read the artifact: {error}"))),
        };
        let last = chunk.is_err();
        if chunks.send(chunk).await.is_err() || last {
            return;
        }
    }
}
