//! Copies of remote files, for includes that say how old one may be.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};

/// So many copies are kept, the newest: nobody needs old ones, and whoever may push
/// decides of how many addresses there are some.
const KEPT: usize = 1000;

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
        // Others may write the same copy at this moment.
        let mut part = tempfile::NamedTempFile::new_in(&self.folder)?;
        part.write_all(content)?;
        part.persist(self.path(url))?;
        self.prune()
    }

    /// Removes the oldest where there are too many.
    fn prune(&self) -> io::Result<()> {
        let copies = fs::read_dir(&self.folder)?.flatten().filter_map(|entry| {
            let written = entry.metadata().ok()?.modified().ok()?;
            Some((written, entry.path()))
        });
        let mut copies: Vec<(SystemTime, PathBuf)> = copies.collect();
        copies.sort();
        let surplus = copies.len().saturating_sub(KEPT);
        for (_, path) in copies.drain(..surplus) {
            fs::remove_file(path)?;
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_copies_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let copies = Copies::new(folder.path().join("remote"));
        for number in 0..KEPT + 3 {
            copies
                .put(&format!("https://example.com/{number}"), b"x")
                .unwrap();
        }
        let all = fs::read_dir(folder.path().join("remote")).unwrap();
        assert_eq!(all.count(), KEPT);
        let newest = format!("https://example.com/{}", KEPT + 2);
        assert!(copies.get(&newest, Duration::from_secs(60)).is_some());
    }
}
