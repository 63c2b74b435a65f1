//! The log of one attempt on the agent's disk, until the coordinator has it.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

/// How much of a log there is, and whether more will come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extent {
    /// Bytes written.
    pub(super) size: u64,
    /// The writer is gone.
    pub(super) closed: bool,
}

/// Makes the spool of one attempt: its writing and its reading end.
///
/// # Errors
/// The file cannot be made.
pub(super) fn create(folder: &Path) -> io::Result<(Writer, Reader)> {
    std::fs::create_dir_all(folder)?;
    let path = folder.join("log");
    let file = Arc::new(
        File::options()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(&path)?,
    );
    let (extent, grown) = watch::channel(Extent::default());
    let writer = Writer {
        file: Arc::clone(&file),
        failed: false,
        extent,
    };
    Ok((
        writer,
        Reader {
            file,
            grown,
            folder: folder.to_owned(),
        },
    ))
}

/// Where the job's masked log goes.
///
/// A job must not fail because its log cannot be kept: after the first error
/// the log ends where it is, and the agent's own log says so.
pub(super) struct Writer {
    file: Arc<File>,
    failed: bool,
    extent: watch::Sender<Extent>,
}

impl Writer {
    /// Adds to the log; readers see it at once.
    pub(super) fn write(&mut self, data: &[u8]) {
        if self.failed {
            return;
        }
        if let Err(error) = (&*self.file).write_all(data) {
            tracing::error!(%error, "a job's log cannot be written; the rest of it is lost");
            self.failed = true;
            return;
        }
        self.extent.send_modify(|extent| {
            extent.size += data.len() as u64;
        });
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.extent.send_modify(|extent| extent.closed = true);
    }
}

/// Reads the log while it is written; each stream reads for itself.
#[derive(Clone)]
pub(super) struct Reader {
    file: Arc<File>,
    grown: watch::Receiver<Extent>,
    folder: PathBuf,
}

impl Reader {
    /// The next piece from `offset` on, at most `limit` bytes; waits for it. None
    /// when the log is closed and ends at or before `offset`.
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) async fn next(&mut self, offset: u64, limit: usize) -> io::Result<Option<Bytes>> {
        // The sender lives in the writer; when it is gone the last extent stays.
        let _ = self
            .grown
            .wait_for(|extent| extent.size > offset || extent.closed)
            .await;
        let available = self.extent().size.saturating_sub(offset);
        if available == 0 {
            return Ok(None);
        }
        let mut data = vec![0; usize::try_from(available).unwrap_or(limit).min(limit)];
        self.file.read_exact_at(&mut data, offset)?;
        Ok(Some(data.into()))
    }

    /// What is there now.
    pub(super) fn extent(&self) -> Extent {
        *self.grown.borrow()
    }

    /// Removes the spool's folder; who still writes goes on into nothing.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(super) fn remove(&self) -> io::Result<()> {
        std::fs::remove_dir_all(&self.folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn reader_gets_every_byte_in_pieces_and_then_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let (mut writer, mut reader) = create(&dir.path().join("1")).unwrap();
        writer.write(b"hello ");
        writer.write(b"world");
        assert_eq!(
            reader.next(0, 4).await.unwrap(),
            Some(Bytes::from_static(b"hell"))
        );
        assert_eq!(
            reader.next(4, 100).await.unwrap(),
            Some(Bytes::from_static(b"o world"))
        );
        let (next, ()) = tokio::join!(reader.next(11, 100), async {
            writer.write(b"!");
            drop(writer);
        });
        assert_eq!(next.unwrap(), Some(Bytes::from_static(b"!")));
        assert_eq!(reader.next(12, 100).await.unwrap(), None);
        assert_eq!(
            reader.extent(),
            Extent {
                size: 12,
                closed: true
            }
        );
        reader.remove().unwrap();
        assert!(!dir.path().join("1").exists());
    }
}
