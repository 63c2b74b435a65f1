//! The logs of the leases that are under way, so that log bytes need not pass
//! through the coordinator's one owner of state.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use fleet_model::{AgentName, Fence, JobId};

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
    watch: Arc<watch::Sender>,
}

/// Who writes a log.
pub(crate) struct LogWriter {
    pub(crate) agent: AgentName,
    pub(crate) job: JobId,
    pub(crate) attempt: u32,
}

impl LeaseLog {
    /// A log of `writer` alone, told to `watch`.
    pub(crate) fn new(file: LogFile, writer: LogWriter, watch: Arc<watch::Sender>) -> LeaseLog {
        LeaseLog {
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

    /// Writes what is new of `data` and tells watchers; returns the log's end,
    /// or none if `agent` has no such lease. Waits while a watcher is far behind.
    ///
    /// Dropping the future leaves `data` taken or not, and the watchers told of
    /// what was.
    pub(crate) async fn append(
        &self,
        agent: &AgentName,
        fence: Fence,
        offset: u64,
        data: &Bytes,
    ) -> Option<u64> {
        self.of(agent, fence)?.watch.room().await;
        // Meanwhile it may have been closed.
        let log = self.of(agent, fence)?;
        let mut file = whole(&log.file);
        if let Appended::New { offset, data } = file.append(offset, data) {
            log.watch
                .log(log.writer.job, log.writer.attempt, offset, data);
        }
        Some(file.end())
    }

    /// Bytes taken so far; none if `agent` has no such lease.
    pub(crate) fn end(&self, agent: &AgentName, fence: Fence) -> Option<u64> {
        Some(whole(&self.of(agent, fence)?.file).end())
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
