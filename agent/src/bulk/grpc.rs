//! Artifacts over gRPC, each in a call of its own.

use std::path::Path;

use fleet_model::{Fence, JobId};
use fleet_proto::v1::agent_service_client::AgentServiceClient;
use fleet_proto::{CHUNK_BYTES, v1};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use super::{Bulk, Error, UploadHeader};

/// What one leased job may send and fetch.
#[derive(Clone)]
pub(crate) struct GrpcBulk {
    client: AgentServiceClient<Channel>,
    fence: Fence,
}

impl GrpcBulk {
    pub(crate) fn new(channel: Channel, fence: Fence) -> GrpcBulk {
        GrpcBulk {
            client: AgentServiceClient::new(channel),
            fence,
        }
    }

    fn header(&self, header: UploadHeader) -> v1::UploadArtifactRequest {
        let header = v1::UploadArtifactHeader {
            fence: self.fence.0,
            filename: header.filename,
            r#type: header.kind,
            format: v1::ArtifactFormat::from(header.format).into(),
            expire_in: header.expire_in.unwrap_or_default(),
            size: header.size,
        };
        part(v1::upload_artifact_request::Part::Header(header))
    }
}

impl Bulk for GrpcBulk {
    async fn upload(&self, file: &Path, header: UploadHeader) -> Result<(), Error> {
        let mut file = File::open(file).await?;
        // A few pieces ahead of the network are enough; the rest waits on disk.
        let (pieces, body) = mpsc::channel(4);
        let header = self.header(header);
        let read = async move {
            if pieces.send(header).await.is_err() {
                return Ok(());
            }
            loop {
                let mut data = Vec::with_capacity(CHUNK_BYTES);
                (&mut file)
                    .take(CHUNK_BYTES as u64)
                    .read_to_end(&mut data)
                    .await?;
                if data.is_empty() {
                    return Ok::<(), std::io::Error>(());
                }
                let piece = part(v1::upload_artifact_request::Part::Data(data.into()));
                if pieces.send(piece).await.is_err() {
                    // The call has ended; its status says why.
                    return Ok(());
                }
            }
        };
        let mut client = self.client.clone();
        let (read, sent) = tokio::join!(read, client.upload_artifact(ReceiverStream::new(body)));
        read?;
        sent.map(drop).map_err(Error::from)
    }

    async fn download(&self, job: JobId, to: &Path) -> Result<(), Error> {
        let request = v1::DownloadArtifactRequest {
            fence: self.fence.0,
            job_id: job.0,
        };
        let mut pieces = self
            .client
            .clone()
            .download_artifact(request)
            .await?
            .into_inner();
        let mut file = File::create(to).await?;
        while let Some(piece) = pieces.message().await? {
            file.write_all(&piece.data).await?;
        }
        file.flush().await?;
        Ok(())
    }
}

fn part(part: v1::upload_artifact_request::Part) -> v1::UploadArtifactRequest {
    v1::UploadArtifactRequest { part: Some(part) }
}
