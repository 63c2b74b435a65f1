//! The store's own thread.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::{Failure, Mark, Queue, Shared, weight};
use crate::failpoint;
use crate::store::{Change, Error, Snapshot, Store};

/// The most records of one group.
const GROUP_RECORDS: usize = 4096;

/// The most bytes of one group, but for one batch that is larger alone.
const GROUP_BYTES: usize = 1 << 20;

pub(super) fn start(store: impl Store + 'static, shared: Arc<Shared>) -> std::io::Result<()> {
    shared.store_bytes.store(store.bytes(), Ordering::Relaxed);
    std::thread::Builder::new()
        .name("store".to_owned())
        .spawn(move || {
            let run = AssertUnwindSafe(|| run(store, &shared));
            let ended = catch_unwind(run).unwrap_or_else(|_| Err(Error::Stopped));
            if let Err(error) = ended {
                fail(&shared, error);
            }
            shared.ended.cancel();
        })
        .map(drop)
}

fn run(mut store: impl Store, shared: &Shared) -> Result<(), Error> {
    while let Some(Work { group, readers }) = next(shared) {
        for reader in readers {
            // Whoever asked may have gone.
            let _ = reader.send(store.snapshot());
        }
        let Some(group) = group else { continue };
        failpoint::reach("journal.group");
        if !commit(&mut store, &group.changes, shared)? {
            return Ok(());
        }
        shared.lock().backlog_bytes -= group.bytes;
        shared.store_bytes.store(store.bytes(), Ordering::Relaxed);
        failpoint::reach("journal.committed");
        shared.durable.send_replace(group.mark);
    }
    Ok(())
}

/// What is to be done next.
struct Work {
    readers: Vec<oneshot::Sender<Result<Snapshot, Error>>>,
    group: Option<Group>,
}

/// Batches that are committed together.
struct Group {
    /// In order of keys, the last change of each.
    changes: Vec<Change>,
    /// Of its last batch.
    mark: Mark,
    /// Of all its batches.
    bytes: usize,
}

/// Waits for something to do; none: no more will come.
fn next(shared: &Shared) -> Option<Work> {
    let mut queue = shared.lock();
    while queue.waiting.is_empty() && queue.readers.is_empty() {
        if !queue.open {
            return None;
        }
        queue = shared
            .changed
            .wait(queue)
            .unwrap_or_else(PoisonError::into_inner);
    }
    Some(Work {
        readers: std::mem::take(&mut queue.readers),
        group: take_group(&mut queue),
    })
}

/// Takes the first batch, and with it what else is there.
fn take_group(queue: &mut Queue) -> Option<Group> {
    let mut merged = BTreeMap::new();
    let (mut mark, mut records, mut bytes) = (Mark(0), 0, 0);
    while let Some((_, changes)) = queue.waiting.front() {
        let more: usize = changes.iter().map(weight).sum();
        let fits = records + changes.len() <= GROUP_RECORDS && bytes + more <= GROUP_BYTES;
        if mark > Mark(0) && !fits {
            break;
        }
        let (last, changes) = queue.waiting.pop_front().expect("it was there just now");
        (mark, records, bytes) = (last, records + changes.len(), bytes + more);
        merged.extend(changes);
    }
    (mark > Mark(0)).then(|| Group {
        changes: merged.into_iter().collect(),
        mark,
        bytes,
    })
}

/// Commits, however long the disk is full. Says whether it did: not if the journal
/// was closed while there was no room.
fn commit(store: &mut impl Store, changes: &[Change], shared: &Shared) -> Result<bool, Error> {
    let mut was_full = false;
    loop {
        match store.commit(changes) {
            Ok(()) => break,
            Err(full) if full.is_full() => {
                if !was_full {
                    error!(error = %chain(&full), "no new work is taken in");
                    was_full = true;
                }
                let mut queue = shared.lock();
                queue.trouble = Some(full.to_string());
                queue.readers.clear();
            }
            Err(error) => return Err(error),
        }
        let queue = shared.lock();
        if !queue.open {
            warn!("the disk is full at shutdown: what was not durable is undone");
            return Ok(false);
        }
        let closed = shared
            .changed
            .wait_timeout_while(queue, shared.limits.full_retry, |queue| queue.open);
        drop(closed);
    }
    if was_full {
        shared.lock().trouble = None;
        info!("the store's disk has room again");
    }
    Ok(true)
}

fn fail(shared: &Shared, error: Error) {
    error!(error = %chain(&error), "the store stopped");
    let mut queue = shared.lock();
    queue.open = false;
    queue.waiting.clear();
    queue.readers.clear();
    queue.backlog_bytes = 0;
    queue.trouble = Some(format!("the coordinator's store stopped: {error}"));
    drop(queue);
    shared.failure.send_replace(Some(Failure {
        source: Arc::new(error),
    }));
}

fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
