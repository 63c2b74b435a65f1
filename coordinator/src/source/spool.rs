//! A push on its way in: a file that git reads as its stdin.
//!
//! The file is locked for as long as any process has it open. So it can be told
//! whether a git still works on it, also when the coordinator that started that git
//! is gone: it may still move refs then.

use std::fs::{self, File};
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use crate::store::number;

/// How the names of such files end.
pub(super) const ENDING: &str = ".incoming";
/// A git that nobody waits for any more has this long to end.
const OUTLIVING: Duration = Duration::from_secs(60);
/// Between two looks at whether it has.
const LOOK: Duration = Duration::from_millis(20);

/// The file; removed when this is dropped.
pub(super) struct Spool {
    file: File,
    place: Place,
}

struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "a file of a push stays for now");
        }
    }
}

impl Spool {
    /// An empty one in the folder `root`. No other has this number.
    pub(super) fn make(root: &Path, id: u64) -> io::Result<Spool> {
        let path = root.join(format!("{}{ENDING}", number(id)));
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        let place = Place(path);
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Spool { file, place })
    }

    /// Its end, to write to.
    pub(super) fn writer(&self) -> io::Result<tokio::fs::File> {
        Ok(tokio::fs::File::from_std(self.file.try_clone()?))
    }

    /// All of it, to be read once.
    pub(super) fn stdin(&self) -> io::Result<Stdio> {
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(0))?;
        Ok(Stdio::from(file))
    }

    /// Returns when no process reads it any more.
    ///
    /// # Errors
    /// One does not end.
    pub(super) async fn ended(self) -> io::Result<()> {
        let Spool { file, place } = self;
        drop(file);
        let file = File::open(&place.0)?;
        let since = Instant::now();
        while is_in_use(&file, &place.0, since)? {
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }
}

/// Removes what an earlier process left at `path` when no git of it works on it any
/// more.
///
/// # Errors
/// One does not end, or the file cannot be removed.
pub(super) fn remove_left(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    let since = Instant::now();
    while is_in_use(&file, path, since)? {
        std::thread::sleep(LOOK);
    }
    fs::remove_file(path)
}

fn is_in_use(file: &File, path: &Path, since: Instant) -> io::Result<bool> {
    if flock(file, FlockOperation::NonBlockingLockExclusive).is_ok() {
        return Ok(false);
    }
    if since.elapsed() > OUTLIVING {
        return Err(io::Error::other(format!(
            "a git that nobody waits for any more still reads {}: end it",
            path.display()
        )));
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_git_that_goes_on_alone_is_waited_for() {
        let root = tempfile::tempdir().unwrap();
        let spool = Spool::make(root.path(), 1).unwrap();
        let mut git = std::process::Command::new("sh")
            .args(["-c", "read line; echo moved > moved"])
            .current_dir(root.path())
            .stdin(Stdio::piped())
            .stderr(spool.stdin().unwrap())
            .spawn()
            .unwrap();
        // As if this process had been killed: what it left stays where it is.
        let Spool { file, place } = spool;
        let path = place.0.clone();
        drop(file);
        std::mem::forget(place);
        let left = path.clone();
        let waiting = tokio::task::spawn_blocking(move || remove_left(&left));
        assert!(!waiting.is_finished());
        assert!(path.exists());
        drop(git.stdin.take());
        waiting.await.unwrap().unwrap();
        assert!(root.path().join("moved").exists());
        assert!(!path.exists());
        git.wait().unwrap();
    }
}
