//! Artifacts: written beside their final place, then renamed into it, so that a
//! broken upload leaves nothing that could be taken for whole.

use std::io;
use std::path::PathBuf;

use fleet_model::{Fence, JobId, Variable};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use super::{Blobs, about};

/// An artifact that is stored whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    /// The job it is of.
    pub(crate) job: JobId,
    /// `archive`, `junit` ...
    pub(crate) kind: String,
    /// The name people see.
    pub(crate) filename: String,
    /// Bytes.
    pub(crate) size: u64,
    /// Where it lies.
    pub(crate) path: PathBuf,
    /// What a dotenv report says.
    pub(crate) variables: Vec<Variable>,
}

/// An artifact that is being written.
#[derive(Debug)]
pub(crate) struct Incoming {
    file: File,
    partial: PathBuf,
    target: PathBuf,
    size: u64,
}

impl Incoming {
    /// Begins an upload. `number` tells the uploads of one lease apart.
    ///
    /// # Errors
    /// The folder or file cannot be made.
    pub(crate) async fn create(blobs: &Blobs, fence: Fence, number: u32) -> io::Result<Incoming> {
        let folder = blobs.folder("artifacts")?;
        let target = folder.join(format!("{fence}-{number}"));
        let partial = target.with_extension("part");
        let file = File::create(&partial)
            .await
            .map_err(about("create", &partial))?;
        Ok(Incoming {
            file,
            partial,
            target,
            size: 0,
        })
    }

    /// Writes the next piece.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) async fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.size += data.len() as u64;
        self.file
            .write_all(data)
            .await
            .map_err(about("write", &self.partial))
    }

    /// Puts it in its place; it counts only from now on.
    ///
    /// # Errors
    /// The file cannot be flushed or renamed.
    pub(crate) async fn finish(
        mut self,
        job: JobId,
        kind: String,
        filename: String,
    ) -> io::Result<Stored> {
        self.file
            .flush()
            .await
            .map_err(about("write", &self.partial))?;
        tokio::fs::rename(&self.partial, &self.target)
            .await
            .map_err(about("rename", &self.partial))?;
        let path = std::mem::take(&mut self.target);
        Ok(Stored {
            job,
            kind,
            filename,
            size: self.size,
            path,
            variables: Vec::new(),
        })
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // Gone already once the upload finished; a leftover is harmless.
        let _ = std::fs::remove_file(&self.partial);
    }
}
