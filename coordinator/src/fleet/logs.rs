//! The logs of the leases that are under way, so that log bytes need not pass
//! through the coordinator's one owner of state.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use fleet_model::{AgentName, Fence, JobId};
use tokio::sync::watch as grown;

use crate::blob::{Appended, LogFile};
use crate::watch;

/// All of them, by fence.
#[derive(Clone, Default)]
pub(crate) struct LeaseLogs {
    open: Arc<Mutex<BTreeMap<Fence, Arc<LeaseLog>>>>,
}

/// One lease's log.
pub(crate) struct LeaseLog {
    file: Mutex<LogFile>,
    writer: LogWriter,
    /// Who started the pipeline and reads along; it may hold the writer back.
    watch: Option<Arc<watch::Sender>>,
    /// Tells readers of the file how long it is; dropped when nothing follows.
    size: grown::Sender<u64>,
}

/// Who writes a log.
pub(crate) struct LogWriter {
    pub(crate) agent: AgentName,
    pub(crate) job: JobId,
    pub(crate) attempt: u32,
}

impl LeaseLog {
    /// A log of `writer` alone, told to `watch`.
    pub(crate) fn new(
        file: LogFile,
        writer: LogWriter,
        watch: Option<Arc<watch::Sender>>,
    ) -> LeaseLog {
        LeaseLog {
            size: grown::Sender::new(file.end()),
            file: Mutex::new(file),
            writer,
            watch,
        }
    }
}

impl LeaseLogs {
    /// Takes the log of a new lease in.
    pub(crate) fn insert(&self, fence: Fence, log: LeaseLog) {
        whole(&self.open).insert(fence, Arc::new(log));
    }

    /// Ends it: nothing is written to it any more.
    pub(crate) fn close(&self, fence: Fence) {
        whole(&self.open).remove(&fence);
    }

    /// Writes what is new of `data` and tells readers; returns the log's end, or
    /// none if `agent` has no such lease. Waits while whoever started the
    /// pipeline is far behind with reading.
    ///
    /// Dropping the future leaves `data` taken or not, and the readers told of
    /// what was.
    ///
    /// # Errors
    /// It cannot be written; nothing of `data` was taken.
    pub(crate) async fn append(
        &self,
        agent: &AgentName,
        fence: Fence,
        offset: u64,
        data: &Bytes,
    ) -> io::Result<Option<u64>> {
        let Some(log) = self.of(agent, fence) else {
            return Ok(None);
        };
        if let Some(watch) = &log.watch {
            watch.room().await;
        }
        // Meanwhile it may have been closed.
        let Some(log) = self.of(agent, fence) else {
            return Ok(None);
        };
        let mut file = whole(&log.file);
        if let Appended::New { offset, data } = file.append(offset, data)? {
            log.size.send_replace(file.end());
            if let Some(watch) = &log.watch {
                watch.log(log.writer.job, log.writer.attempt, offset, data);
            }
        }
        Ok(Some(file.end()))
    }

    /// Bytes taken so far; none if `agent` has no such lease.
    pub(crate) fn end(&self, agent: &AgentName, fence: Fence) -> Option<u64> {
        Some(whole(&self.of(agent, fence)?.file).end())
    }

    /// The same, whoever asks.
    pub(crate) fn size(&self, fence: Fence) -> Option<u64> {
        let log = whole(&self.open).get(&fence).cloned()?;
        Some(*log.size.borrow())
    }

    /// Tells how long a log is while it grows; ends when it is closed. None when
    /// it is closed already.
    pub(crate) fn follow(&self, fence: Fence) -> Option<grown::Receiver<u64>> {
        Some(whole(&self.open).get(&fence)?.size.subscribe())
    }

    /// Returns once all that was taken of a log is on the disk.
    ///
    /// # Errors
    /// It cannot be kept there.
    pub(crate) async fn sync(&self, fence: Fence) -> io::Result<()> {
        let log = whole(&self.open).get(&fence).cloned();
        let Some(file) = log.and_then(|log| whole(&log.file).file()) else {
            return Ok(());
        };
        tokio::task::spawn_blocking(move || file.sync_data())
            .await
            .map_err(io::Error::other)?
    }

    fn of(&self, agent: &AgentName, fence: Fence) -> Option<Arc<LeaseLog>> {
        whole(&self.open)
            .get(&fence)
            .filter(|log| log.writer.agent == *agent)
            .cloned()
    }
}

/// What these locks guard is never left half-changed, so a panic elsewhere does
/// not matter.
fn whole<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
