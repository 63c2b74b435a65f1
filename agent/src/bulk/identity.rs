//! Artifacts of a job that may outlive its agent's certificate: every transfer
//! connects with the identity of that moment.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fleet_model::{Fence, JobId};

use super::{Bulk, Error, GrpcBulk, UploadHeader};
use crate::identity::Identity;

/// What one leased job may send and fetch, over connections of its own.
pub(crate) struct IdentityBulk {
    server: String,
    state_dir: PathBuf,
    fence: Fence,
}

impl IdentityBulk {
    /// For the lease `fence` of the agent with this state folder.
    pub(crate) fn new(server: String, state_dir: PathBuf, fence: Fence) -> IdentityBulk {
        IdentityBulk {
            server,
            state_dir,
            fence,
        }
    }

    fn connected(&self) -> Result<GrpcBulk, Error> {
        let channel = Identity::read(&self.state_dir)
            .and_then(|identity| identity.channel(&self.server))
            .map_err(|error| Error::Broken(error.to_string()))?;
        Ok(GrpcBulk::new(channel, self.fence))
    }
}

impl Bulk for IdentityBulk {
    async fn upload(&self, file: &Path, header: UploadHeader) -> Result<(), Error> {
        self.connected()?.upload(file, header).await
    }

    async fn download(&self, job: JobId, to: &Path) -> Result<(), Error> {
        self.connected()?.download(job, to).await
    }

    /// As long as the lease lives: its supervisor ends the job at the orphan deadline,
    /// and the job's own clock runs. Given up before, a job that did its work would
    /// fail, and its result would wait for the same coordinator.
    fn waits(&self) -> Duration {
        Duration::MAX
    }
}
