//! Bulk data: logs and artifacts, as files of a folder.

mod artifact;
mod log;

pub(crate) use artifact::{Incoming, Stored};
pub(crate) use log::{Appended, LogFile};

use std::io;
use std::path::{Path, PathBuf};

/// The folder that holds them.
#[derive(Clone, Debug)]
pub(crate) struct Blobs {
    root: PathBuf,
}

impl Blobs {
    /// Uses a folder, made on first use.
    pub(crate) fn new(root: PathBuf) -> Blobs {
        Blobs { root }
    }

    /// The folder of one kind of blob, made if it is not there.
    fn folder(&self, kind: &str) -> io::Result<PathBuf> {
        let folder = self.root.join(kind);
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }
}

/// Adds what was attempted on what to an I/O error.
fn about(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    move |cause| io::Error::new(cause.kind(), format!("{doing} {}: {cause}", path.display()))
}
