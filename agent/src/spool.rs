//! The log of one attempt on the agent's disk, until the coordinator has it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::log::{Room, Sink};

/// The log's name in the folder of its lease.
pub(crate) const LOG: &str = "log";

/// Bytes the coordinator may lack before the job's output is held up.
pub(crate) const UNSENT_LIMIT_BYTES: u64 = 256 << 20;

const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);

/// How much of a log there is, and whether more will come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Bytes written.
    pub(crate) size: u64,
    /// The writer is gone.
    pub(crate) closed: bool,
}

/// Makes the folder of a lease, which only its owner may look into, and its
/// empty log.
///
/// # Errors
/// They cannot be made.
pub(crate) fn create(folder: &Path) -> io::Result<File> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700).create(folder)?;
    OpenOptions::new()
        .create(true)
        .truncate(true)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(folder.join(LOG))
}

/// Where the job's masked log goes.
///
/// While the disk is full, what comes waits in memory and the job's output is held
/// up. A job must not fail because its log cannot be kept: after any other error
/// the log ends where it is, and the agent's own log says so.
pub(crate) struct Writer {
    file: Arc<File>,
    size: u64,
    /// What the disk has no room for.
    waiting: Vec<u8>,
    failed: bool,
    /// Bytes the coordinator has; none: as many as come may wait.
    taken: Option<watch::Receiver<u64>>,
    extent: watch::Sender<Extent>,
}

impl Writer {
    /// Writes to `file`, which is empty. With `taken`, bytes that the coordinator
    /// has, what it lacks is bounded.
    pub(crate) fn new(file: Arc<File>, taken: Option<watch::Receiver<u64>>) -> Writer {
        Writer {
            file,
            size: 0,
            waiting: Vec::new(),
            failed: false,
            taken,
            extent: watch::Sender::new(Extent::default()),
        }
    }

    /// How much there is.
    pub(crate) fn grown(&self) -> watch::Receiver<Extent> {
        self.extent.subscribe()
    }

    /// Brings to the disk what waits for it, if it takes long also after
    /// `give_up`: then the end of the log is lost.
    pub(crate) async fn settle(&mut self, give_up: impl Future<Output = ()>) {
        tokio::select! {
            biased;
            () = self.flushed() => {}
            () = give_up => {
                tracing::error!("the disk is full: the end of a job's log is lost");
                self.waiting.clear();
            }
        }
    }

    /// Returns once the log is on the disk itself.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn flush(&mut self) {
        if self.failed || self.waiting.is_empty() {
            return;
        }
        match self.file.write_all_at(&self.waiting, self.size) {
            Ok(()) => {
                self.size += self.waiting.len() as u64;
                self.waiting.clear();
                let size = self.size;
                self.extent.send_modify(|extent| extent.size = size);
            }
            Err(error) if is_full(&error) => {}
            Err(error) => {
                tracing::error!(%error, "a job's log cannot be written; the rest of it is lost");
                self.failed = true;
                self.waiting.clear();
            }
        }
    }

    async fn flushed(&mut self) {
        let mut pause = FIRST_RETRY;
        self.flush();
        while !self.waiting.is_empty() {
            sleep(pause).await;
            pause = (pause * 2).min(LAST_RETRY);
            self.flush();
        }
    }

    async fn wait_for_room(&mut self) {
        self.flushed().await;
        let size = self.size;
        if let Some(taken) = &mut self.taken {
            // Nobody who could take more: the job's end must not wait for it.
            let _gone = taken.wait_for(|taken| has_room(size, *taken)).await;
        }
    }
}

impl Sink for &mut Writer {
    /// Adds to the log; readers see it at once.
    fn append(&mut self, bytes: &[u8]) {
        if !self.failed {
            self.waiting.extend_from_slice(bytes);
            self.flush();
        }
    }

    fn room(&mut self) -> Option<Room<'_>> {
        let taken = self.taken.as_ref();
        let bounded = taken.is_some_and(|taken| !has_room(self.size, *taken.borrow()));
        (bounded || !self.waiting.is_empty()).then(|| Box::pin(self.wait_for_room()) as Room<'_>)
    }
}

fn has_room(size: u64, taken: u64) -> bool {
    size.saturating_sub(taken) <= UNSENT_LIMIT_BYTES
}

/// Whether it may pass when somebody makes room.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded
    )
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.extent.send_modify(|extent| extent.closed = true);
    }
}

/// Reads the log while it is written; each stream reads for itself.
#[derive(Clone)]
pub(crate) struct Reader {
    file: Arc<File>,
    grown: watch::Receiver<Extent>,
}

impl Reader {
    /// Reads from `file`, of which `grown` says how much there is.
    pub(crate) fn new(file: Arc<File>, grown: watch::Receiver<Extent>) -> Reader {
        Reader { file, grown }
    }

    /// The next piece from `offset` on, at most `limit` bytes; waits for it. None
    /// when the log is closed and ends at or before `offset`.
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) async fn next(&mut self, offset: u64, limit: usize) -> io::Result<Option<Bytes>> {
        // The sender lives with the writer; when it is gone the last extent stays.
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
    pub(crate) fn extent(&self) -> Extent {
        *self.grown.borrow()
    }
}

#[cfg(test)]
mod tests;
