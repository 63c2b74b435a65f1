//! How artifacts leave and reach a job.

mod grpc;
mod identity;

use std::future::Future;
use std::io;
use std::path::Path;
use std::time::Duration;

use fleet_model::{ArtifactFormat, JobId};
use tonic::{Code, Status};

pub(crate) use grpc::GrpcBulk;
pub(crate) use identity::IdentityBulk;

/// Sends and fetches the artifacts of one leased job.
pub trait Bulk: Send + Sync {
    /// Sends `file`; stored when this returns.
    ///
    /// # Errors
    /// [`Error`]; nothing is stored then.
    fn upload(
        &self,
        file: &Path,
        header: UploadHeader,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Fetches the archive of `job`, one of the lease's dependencies, into the
    /// file `to`, which is made or emptied.
    ///
    /// # Errors
    /// [`Error`]; `to` may be incomplete then.
    fn download(&self, job: JobId, to: &Path) -> impl Future<Output = Result<(), Error>> + Send;

    /// How long a transfer is tried again while the coordinator is not there.
    fn waits(&self) -> Duration {
        Duration::from_secs(15)
    }
}

/// What the coordinator is told of an artifact before its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadHeader {
    /// What it is called where people download it.
    pub filename: String,
    /// `archive`, `junit`, `dotenv` ...
    pub kind: String,
    /// How it is packed.
    pub format: ArtifactFormat,
    /// As written; none: the coordinator's default.
    pub expire_in: Option<String>,
    /// Bytes.
    pub size: u64,
}

/// Why a transfer failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such artifact (any more).
    #[error("file does not exist")]
    Missing,
    /// This job has no right to it.
    #[error("permission denied")]
    Denied,
    /// It is over the coordinator's limit.
    #[error("too large")]
    TooLarge,
    /// The coordinator refuses it as it is; the text says why.
    #[error("{0}")]
    Refused(String),
    /// The coordinator is not there at the moment.
    #[error("the coordinator is unavailable: {0}")]
    Unavailable(String),
    /// The transfer broke.
    #[error("transfer: {0}")]
    Broken(String),
    /// The local file cannot be read or written.
    #[error(transparent)]
    File(#[from] io::Error),
}

impl Error {
    /// Whether a transfer that fails like this may succeed when it is tried again.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Error::Missing | Error::Denied | Error::TooLarge | Error::Refused(_) => false,
            Error::File(_) => false,
            Error::Unavailable(_) | Error::Broken(_) => true,
        }
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Error {
        let message = status.message().to_owned();
        match status.code() {
            Code::NotFound => Error::Missing,
            Code::PermissionDenied | Code::Unauthenticated => Error::Denied,
            Code::ResourceExhausted | Code::OutOfRange => Error::TooLarge,
            Code::InvalidArgument | Code::FailedPrecondition => Error::Refused(message),
            Code::Unavailable => Error::Unavailable(message),
            _ => Error::Broken(message),
        }
    }
}
