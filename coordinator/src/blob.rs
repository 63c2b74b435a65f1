//! Bulk data: logs and artifacts, as files of a folder.

mod artifact;
mod log;

pub(crate) use artifact::{Incoming, Stored};
pub(crate) use log::{Appended, LogFile, path as log_path};

use std::io;
use std::path::{Path, PathBuf};

use fleet_model::Fence;

/// The folder that holds them.
#[derive(Clone, Debug)]
pub(crate) struct Blobs {
    root: PathBuf,
    /// Whether they are to survive the machine's end, not only the process's.
    durable: bool,
}

impl Blobs {
    /// Uses a folder, made on first use, for as long as this process lives.
    pub(crate) fn new(root: PathBuf) -> Blobs {
        Blobs {
            root,
            durable: false,
        }
    }

    /// Uses a folder whose files are kept: what is stored is synced to the disk.
    pub(crate) fn durable(root: PathBuf) -> Blobs {
        Blobs {
            root,
            durable: true,
        }
    }

    pub(crate) fn is_durable(&self) -> bool {
        self.durable
    }

    /// The folder of one kind of blob, made if it is not there.
    fn folder(&self, kind: &str) -> io::Result<PathBuf> {
        let folder = self.root.join(kind);
        std::fs::create_dir_all(&folder).map_err(about("make", &folder))?;
        Ok(folder)
    }

    /// Removes what of a lease's log there is.
    pub(crate) fn remove_log(&self, fence: Fence) {
        remove(&log_path(self, fence));
    }

    /// Removes an artifact's bytes.
    pub(crate) fn remove_artifact(&self, stored: &Stored) {
        remove(&stored.path(self));
    }

    /// Removes the artifacts that no record knows: of uploads that broke off.
    pub(crate) fn sweep(&self, known: impl Fn(&str) -> bool) {
        let entries = std::fs::read_dir(self.root.join("artifacts"));
        for entry in entries.into_iter().flatten().flatten() {
            if entry.file_name().to_str().is_none_or(|name| !known(name)) {
                remove(&entry.path());
            }
        }
    }
}

fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "a blob could not be removed");
    }
}

/// Adds what was attempted on what to an I/O error.
fn about(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    move |cause| io::Error::new(cause.kind(), format!("{doing} {}: {cause}", path.display()))
}
