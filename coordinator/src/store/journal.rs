//! The way to the store: batches in, marks of durability out.
//!
//! One thread owns the store. It takes what waits, commits it as one group, and
//! moves the durable mark on; what is handed in meanwhile is the next group. So
//! groups are as large as the disk is slow, and a batch that comes alone never
//! waits for company.

mod thread;

use std::collections::VecDeque;
use std::future::pending;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::space::{Space, bytes};
use super::{Batch, Change, Error, Snapshot, Store};

/// The place of a batch in the order of all; later is greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark(pub(crate) u64);

/// Hands batches to the store's own thread; cheap to clone. The thread ends, once
/// all is durable, when the last clone is gone or after [`Journal::close`].
#[derive(Clone)]
pub(crate) struct Journal {
    shared: Arc<Shared>,
    _last: Arc<Last>,
}

/// There is no room for new work.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NoRoom(pub(crate) String);

/// The store stopped for good; nothing is durable any more.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the store stopped; whatever was not durable by then is undone")]
pub(crate) struct Failure {
    source: Arc<Error>,
}

/// When new work is refused, and what a full disk is met with.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Changes in memory that are not durable yet, in bytes.
    pub(crate) backlog_bytes: usize,
    /// The disk that is to keep a reserve; none: that is not looked at.
    pub(crate) space: Option<Space>,
    /// Between two tries to write to a disk that is full.
    pub(crate) full_retry: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            backlog_bytes: 64 << 20,
            space: None,
            full_retry: Duration::from_millis(500),
        }
    }
}

/// How large the store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// On disk.
    pub(crate) store_bytes: u64,
    /// In memory, not durable yet.
    pub(crate) backlog_bytes: usize,
    /// Free on the disk; none: not known.
    pub(crate) free_bytes: Option<u64>,
}

impl Journal {
    /// Gives the store to a thread of its own.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(crate) fn start(store: impl Store + 'static, limits: Limits) -> std::io::Result<Journal> {
        let journal = Journal::new(limits, true);
        thread::start(store, journal.shared.clone())?;
        Ok(journal)
    }

    /// A journal that keeps nothing: every batch counts as durable at once.
    pub(crate) fn volatile() -> Journal {
        Journal::new(Limits::default(), false)
    }

    fn new(limits: Limits, kept: bool) -> Journal {
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue {
                open: true,
                ..Queue::default()
            }),
            changed: Condvar::new(),
            durable: watch::Sender::new(Mark(0)),
            failure: watch::Sender::new(None),
            ended: CancellationToken::new(),
            store_bytes: AtomicU64::new(0),
            limits,
            kept,
        });
        Journal {
            _last: Arc::new(Last(shared.clone())),
            shared,
        }
    }

    /// Hands a batch in; never waits. All batches become durable in this order.
    ///
    /// After the store stopped, or after [`Journal::close`], it is dropped and its
    /// mark is never durable.
    pub(crate) fn submit(&self, batch: Batch) -> Mark {
        let mut queue = self.shared.lock();
        queue.last = Mark(queue.last.0 + 1);
        let mark = queue.last;
        if !self.shared.kept {
            self.shared.durable.send_replace(mark);
        } else if queue.open {
            let changes = batch.into_changes();
            queue.backlog_bytes += changes.iter().map(weight).sum::<usize>();
            queue.waiting.push_back((mark, changes));
            self.shared.changed.notify_one();
        }
        mark
    }

    /// Returns once all up to `mark` is durable. If the store breaks it never does:
    /// the process ends then.
    pub(crate) async fn durable(&self, mark: Mark) {
        let reached = self
            .marks()
            .wait_for(|durable| *durable >= mark)
            .await
            .is_ok();
        if !reached {
            pending().await
        }
    }

    /// All up to here is durable.
    pub(crate) fn durable_mark(&self) -> Mark {
        *self.shared.durable.borrow()
    }

    /// Changes whenever more is durable.
    pub(crate) fn marks(&self) -> watch::Receiver<Mark> {
        self.shared.durable.subscribe()
    }

    /// Whether new work may be taken in: there is room on the disk, and the store
    /// keeps up.
    ///
    /// # Errors
    /// [`NoRoom`], in words for whoever asked.
    pub(crate) fn accepts_work(&self) -> Result<(), NoRoom> {
        let queue = self.shared.lock();
        if let Some(trouble) = &queue.trouble {
            return Err(NoRoom(trouble.clone()));
        }
        let (backlog, most) = (queue.backlog_bytes, self.shared.limits.backlog_bytes);
        drop(queue);
        if backlog > most {
            return Err(NoRoom(format!(
                "the coordinator's store does not keep up: {} are not on disk yet; try again in a while",
                bytes(backlog as u64),
            )));
        }
        match &self.shared.limits.space {
            Some(space) => space.check().map_err(NoRoom),
            None => Ok(()),
        }
    }

    /// Returns when the store stopped for good, with the reason: the process has to
    /// end, for what it holds in memory will never be durable.
    pub(crate) async fn failed(&self) -> Failure {
        let mut failure = self.shared.failure.subscribe();
        match failure.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(failure)) => failure.clone(),
            _ => pending().await,
        }
    }

    /// All records that are durable; later changes do not show.
    ///
    /// # Errors
    /// They cannot be read: [`Error::Away`] while the disk is full, and after the
    /// store stopped.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot, Error> {
        let (reply, answer) = oneshot::channel();
        {
            let mut queue = self.shared.lock();
            if !self.shared.kept || !queue.open {
                return Err(Error::Away);
            }
            queue.readers.push(reply);
            self.shared.changed.notify_one();
        }
        answer.await.unwrap_or(Err(Error::Away))
    }

    /// How large the store is now.
    pub(crate) fn sizes(&self) -> Sizes {
        let space = self.shared.limits.space.as_ref();
        Sizes {
            store_bytes: self.shared.store_bytes.load(Ordering::Relaxed),
            backlog_bytes: self.shared.lock().backlog_bytes,
            free_bytes: space.and_then(|space| space.free().ok()),
        }
    }

    /// Returns when all that was handed in is durable (unless the store stopped, or
    /// its disk is full) and the store is closed. Later batches are dropped.
    pub(crate) async fn close(&self) {
        self.shared.shut();
        if self.shared.kept {
            self.shared.ended.cancelled().await;
        }
    }
}

/// What the handles and the thread share.
struct Shared {
    queue: Mutex<Queue>,
    /// Something waits, or nothing more will come.
    changed: Condvar,
    durable: watch::Sender<Mark>,
    failure: watch::Sender<Option<Failure>>,
    ended: CancellationToken,
    store_bytes: AtomicU64,
    limits: Limits,
    kept: bool,
}

#[derive(Default)]
struct Queue {
    last: Mark,
    waiting: VecDeque<(Mark, Vec<Change>)>,
    /// Who wants to read the store.
    readers: Vec<oneshot::Sender<Result<Snapshot, Error>>>,
    /// Of what waits and of the group that is being committed.
    backlog_bytes: usize,
    /// Why no new work may be taken in: the disk is full, or the store stopped.
    trouble: Option<String>,
    open: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nobody leaves the queue half changed, so a holder's panic spoils nothing.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shut(&self) {
        self.lock().open = false;
        self.changed.notify_all();
    }
}

/// Goes with the last handle.
struct Last(Arc<Shared>);

impl Drop for Last {
    fn drop(&mut self) {
        self.0.shut();
    }
}

/// What a change weighs in memory.
fn weight((key, value): &Change) -> usize {
    key.len() + value.as_ref().map_or(0, Vec::len) + 64
}
