//! `fleet.v1.AgentService`.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use fleet_model::{Fence, JobId};
use fleet_proto::v1::agent_service_server::AgentService;
use fleet_proto::{CHUNK_BYTES, v1};
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};

use super::admission::{caller, status};
use super::{Admission, LeaseLogs, session};
use crate::blob::{Blobs, Incoming};
use crate::core::Handle;
use crate::report;

/// Messages to one agent that wait to be read; one that lets more pile up is
/// disconnected, and told all it has to know when it comes back. A single step
/// of the queue may fill all its slots, or stop all its jobs.
const OUTBOX: usize = 4 * session::MOST_SLOTS as usize;

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The agent-facing service.
pub(crate) struct Service {
    core: Handle,
    logs: LeaseLogs,
    blobs: Blobs,
    admission: Admission,
    heartbeat_interval: Duration,
    /// Whoever ends the coordinator waits for these.
    tasks: TaskTracker,
}

impl Service {
    pub(crate) fn new(
        core: Handle,
        logs: LeaseLogs,
        blobs: Blobs,
        admission: Admission,
        heartbeat_interval: Duration,
        tasks: TaskTracker,
    ) -> Service {
        Service {
            core,
            logs,
            blobs,
            admission,
            heartbeat_interval,
            tasks,
        }
    }
}

#[tonic::async_trait]
impl AgentService for Service {
    type SessionStream = Answers<v1::CoordinatorMessage>;
    type DownloadArtifactStream = Answers<v1::DownloadArtifactResponse>;

    async fn join(
        &self,
        request: Request<v1::JoinRequest>,
    ) -> Result<Response<v1::JoinResponse>, Status> {
        let Admission::Certificates { identity, .. } = &self.admission else {
            return Err(Status::unimplemented(
                "agents of this coordinator do not join",
            ));
        };
        let from = request.remote_addr();
        let joined = identity.join(request.into_inner(), from).await;
        joined
            .map(Response::new)
            .map_err(|refused| status(&refused))
    }

    async fn renew(
        &self,
        request: Request<v1::RenewRequest>,
    ) -> Result<Response<v1::RenewResponse>, Status> {
        let Admission::Certificates { identity, .. } = &self.admission else {
            return Err(Status::unimplemented(
                "agents of this coordinator do not join",
            ));
        };
        let caller = caller(&request);
        let peer = identity.peer(&caller.chain, caller.from);
        let peer = peer.map_err(|refused| status(&refused))?;
        let renewed = identity.renew(&peer, request.into_inner()).await;
        renewed
            .map(Response::new)
            .map_err(|refused| status(&refused))
    }

    async fn session(
        &self,
        request: Request<Streaming<v1::AgentMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let caller = caller(&request);
        self.admission.check(&caller)?;
        let (outbox, answers) = mpsc::channel(OUTBOX);
        let parts = session::Parts {
            core: self.core.clone(),
            logs: self.logs.clone(),
            admission: self.admission.clone(),
            durable: self.blobs.is_durable(),
            heartbeat_interval: self.heartbeat_interval,
        };
        self.tasks
            .spawn(session::serve(request.into_inner(), outbox, caller, parts));
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    async fn upload_artifact(
        &self,
        request: Request<Streaming<v1::UploadArtifactRequest>>,
    ) -> Result<Response<v1::UploadArtifactResponse>, Status> {
        use v1::upload_artifact_request::Part;
        let agent = self.admission.agent(&caller(&request))?;
        let mut parts = request.into_inner();
        let Some(Part::Header(header)) = parts.message().await?.and_then(|first| first.part) else {
            return Err(Status::invalid_argument("an upload begins with its header"));
        };
        let fence = Fence(header.fence);
        let upload = self
            .core
            .begin_upload(agent, fence)
            .await
            .ok_or_else(|| stale(fence))?;
        if header.size > upload.limit_bytes {
            return Err(too_large(upload.limit_bytes));
        }
        let mut incoming = Incoming::create(&self.blobs, fence)
            .await
            .map_err(|error| not_stored(&error))?;
        while let Some(part) = parts.message().await? {
            let Some(Part::Data(data)) = part.part else {
                return Err(Status::invalid_argument(
                    "only data may follow an upload's header",
                ));
            };
            if incoming.size() + data.len() as u64 > header.size {
                return Err(Status::invalid_argument(
                    "an upload is longer than its header says",
                ));
            }
            incoming
                .write(&data)
                .await
                .map_err(|error| not_stored(&error))?;
        }
        if incoming.size() != header.size {
            return Err(Status::aborted(format!(
                "an upload ended after {} of {} bytes",
                incoming.size(),
                header.size
            )));
        }
        let mut stored = incoming
            .finish(header.r#type, header.filename)
            .await
            .map_err(|error| not_stored(&error))?;
        if stored.kind == "dotenv" {
            stored.variables = report::dotenv(&stored.path(&self.blobs))
                .map_err(|error| not_stored(&error))?
                .map_err(|error| Status::invalid_argument(error.to_string()))?;
        }
        let (size, unwanted) = (stored.size, stored.clone());
        if !self.core.stored(fence, stored, header.expire_in).await {
            // Nobody will ever ask for it; left behind, it only takes room.
            self.blobs.remove_artifact(&unwanted);
            return Err(stale(fence));
        }
        Ok(Response::new(v1::UploadArtifactResponse { size }))
    }

    async fn download_artifact(
        &self,
        request: Request<v1::DownloadArtifactRequest>,
    ) -> Result<Response<Self::DownloadArtifactStream>, Status> {
        let agent = self.admission.agent(&caller(&request))?;
        let v1::DownloadArtifactRequest { fence, job_id } = request.into_inner();
        let path = self
            .core
            .archive(agent, Fence(fence), JobId(job_id))
            .await
            .ok_or_else(|| {
                Status::not_found(format!("job {job_id} has no artifacts for this job"))
            })?;
        let file = File::open(&path).await.map_err(|error| {
            tracing::error!(path = %path.display(), %error, "an artifact cannot be read");
            Status::not_found(format!("the artifacts of job {job_id} are gone"))
        })?;
        let (pieces, answer) = mpsc::channel(4);
        self.tasks.spawn(read_out(file, pieces));
        Ok(Response::new(Box::pin(ReceiverStream::new(answer))))
    }
}

/// Sends a file in pieces, as fast as they are read on the other side.
async fn read_out(
    mut file: File,
    pieces: mpsc::Sender<Result<v1::DownloadArtifactResponse, Status>>,
) {
    loop {
        let mut data = Vec::with_capacity(CHUNK_BYTES);
        let read = (&mut file)
            .take(CHUNK_BYTES as u64)
            .read_to_end(&mut data)
            .await;
        let piece = match read {
            Ok(0) => return,
            Ok(_) => Ok(v1::DownloadArtifactResponse {
                data: Bytes::from(data),
            }),
            Err(error) => Err(Status::data_loss(format!("read the artifact: {error}"))),
        };
        let last = piece.is_err();
        if pieces.send(piece).await.is_err() || last {
            return;
        }
    }
}

fn stale(fence: Fence) -> Status {
    Status::failed_precondition(format!("lease {fence} is not held any more"))
}

fn not_stored(error: &std::io::Error) -> Status {
    tracing::error!(%error, "an artifact cannot be stored");
    Status::unavailable("the artifact cannot be stored now")
}

fn too_large(limit_bytes: u64) -> Status {
    Status::resource_exhausted(format!(
        "the artifact is larger than this coordinator takes ({limit_bytes} bytes)"
    ))
}
