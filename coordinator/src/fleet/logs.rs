//! The logs of the leases that are under way, so that log bytes need not pass
//! through the coordinator's one owner of state.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use fleet_model::{Fence, JobId};

use crate::blob::{Appended, LogFile};
use crate::watch;

/// All of them, by fence.
#[derive(Clone, Default)]
pub(crate) struct LeaseLogs {
    open: Arc<Mutex<BTreeMap<Fence, Arc<tokio::sync::Mutex<LeaseLog>>>>>,
}

/// One lease's log.
pub(crate) struct LeaseLog {
    pub(crate) file: LogFile,
    pub(crate) job: JobId,
    pub(crate) attempt: u32,
    pub(crate) watch: Arc<watch::Sender>,
}

impl LeaseLogs {
    /// Takes the log of a new lease in.
    pub(crate) fn insert(&self, fence: Fence, log: LeaseLog) {
        self.open().insert(fence, Arc::new(tokio::sync::Mutex::new(log)));
    }

    /// Ends it: nothing is written to it any more.
    pub(crate) fn close(&self, fence: Fence) {
        self.open().remove(&fence);
    }

    /// Writes what is new of `data` and tells watchers; returns the log's end,
    /// or none if there is no such lease.
    ///
    /// # Errors
    /// It cannot be stored; the end stays where it was.
    pub(crate) async fn append(
        &self,
        fence: Fence,
        offset: u64,
        data: &Bytes,
    ) -> io::Result<Option<u64>> {
        let Some(log) = self.open().get(&fence).cloned() else { return Ok(None) };
        let mut log = log.lock().await;
        if let Appended::New { offset, data } = log.file.append(offset, data)? {
            log.watch.log(log.job, log.attempt, offset, data).await;
        }
        Ok(Some(log.file.end()))
    }

    /// Bytes taken so far; none if there is no such lease.
    pub(crate) async fn end(&self, fence: Fence) -> Option<u64> {
        let log = self.open().get(&fence).cloned()?;
        let end = log.lock().await.file.end();
        Some(end)
    }

    /// The map is never left half-changed, so a panic elsewhere does not matter.
    fn open(
        &self,
    ) -> std::sync::MutexGuard<'_, BTreeMap<Fence, Arc<tokio::sync::Mutex<LeaseLog>>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
