//! Copies of remote files, for includes that say how old one may be.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};

/// A folder of them, by the hash of their addresses.
#[derive(Clone, Debug)]
pub(crate) struct Copies {
    folder: PathBuf,
}

impl Copies {
    pub(crate) fn new(folder: PathBuf) -> Copies {
        Copies { folder }
    }

    /// The copy, if there is one that is not older than `age`.
    pub(crate) fn get(&self, url: &str, age: Duration) -> Option<Vec<u8>> {
        let path = self.path(url);
        is_fresh(&path, age).then(|| fs::read(path).ok()).flatten()
    }

    /// Keeps a copy.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn put(&self, url: &str, content: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let path = self.path(url);
        let part = path.with_extension(format!("{}.part", std::process::id()));
        fs::write(&part, content)?;
        fs::rename(part, path)
    }

    fn path(&self, url: &str) -> PathBuf {
        self.folder.join(name(url))
    }
}

/// A name for anything, as long as any other.
pub(crate) fn name(of: &str) -> String {
    let digest = Sha256::digest(of.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a file was written within the time. One from the future was not: a clock was
/// wrong.
pub(crate) fn is_fresh(path: &Path, age: Duration) -> bool {
    let written = fs::metadata(path).and_then(|found| found.modified());
    written.is_ok_and(|written| {
        let elapsed = SystemTime::now().duration_since(written);
        elapsed.is_ok_and(|it| it <= age)
    })
}
