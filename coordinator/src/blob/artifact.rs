//! Artifacts: written beside their final place, then renamed into it, so that a
//! broken upload leaves nothing that could be taken for whole.

use std::io;
use std::path::PathBuf;

use fleet_model::{Fence, Timestamp, Variable};
use serde::{Deserialize, Serialize};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use super::{Blobs, about};

/// An artifact that is stored whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stored {
    /// `archive`, `junit` ...
    pub(crate) kind: String,
    /// The name people see.
    pub(crate) filename: String,
    /// Bytes.
    pub(crate) size: u64,
    /// Its file in the folder of artifacts.
    pub(crate) file: String,
    /// When it may go; none: it is kept.
    pub(crate) expires: Option<Timestamp>,
    /// What a dotenv report says.
    #[serde(default)]
    pub(crate) variables: Vec<Variable>,
}

impl Stored {
    /// Where its bytes lie.
    pub(crate) fn path(&self, blobs: &Blobs) -> PathBuf {
        blobs.root.join("artifacts").join(&self.file)
    }
}

/// An artifact that is being written.
#[derive(Debug)]
pub(crate) struct Incoming {
    file: File,
    partial: PathBuf,
    name: String,
    size: u64,
    durable: bool,
}

impl Incoming {
    /// Begins an upload of a lease.
    ///
    /// # Errors
    /// The folder or file cannot be made.
    pub(crate) async fn create(blobs: &Blobs, fence: Fence) -> io::Result<Incoming> {
        let folder = blobs.folder("artifacts")?;
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        // A lease may upload one thing twice, when an answer was lost.
        let name = format!("{fence}-{:016x}", u64::from_be_bytes(random));
        let partial = folder.join(&name).with_extension("part");
        let file = File::create_new(&partial)
            .await
            .map_err(about("create", &partial))?;
        Ok(Incoming {
            file,
            partial,
            name,
            size: 0,
            durable: blobs.durable,
        })
    }

    /// Bytes written so far.
    pub(crate) fn size(&self) -> u64 {
        self.size
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
    pub(crate) async fn finish(mut self, kind: String, filename: String) -> io::Result<Stored> {
        let written = async {
            self.file.flush().await?;
            if self.durable {
                self.file.sync_all().await?;
            }
            tokio::fs::rename(&self.partial, self.partial.with_extension("")).await?;
            if let Some(folder) = self.partial.parent().filter(|_| self.durable) {
                File::open(folder).await?.sync_all().await?;
            }
            Ok(())
        };
        written.await.map_err(about("write", &self.partial))?;
        Ok(Stored {
            kind,
            filename,
            size: self.size,
            file: std::mem::take(&mut self.name),
            expires: None,
            variables: Vec::new(),
        })
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // Gone already once the upload finished; a leftover goes at the next start.
        let _ = std::fs::remove_file(&self.partial);
    }
}
