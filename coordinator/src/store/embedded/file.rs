//! The store's file, and what went wrong with it.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::ops::Bound;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

use crate::store::folder;

/// Opens or makes the file, for its owner alone; it is in its folder for good when
/// this returns.
pub(super) fn open(path: &Path) -> io::Result<Box<dyn StorageBackend>> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    File::open(folder(path))?.sync_all()?;
    match FileBackend::new(file) {
        Ok(backend) => Ok(Box::new(backend)),
        Err(error) => Err(io::Error::other(error)),
    }
}

/// The errors of a file since it was opened.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<Errors>);

#[derive(Debug, Default)]
struct Errors {
    /// The first that says there is no room.
    full: Option<io::Error>,
    /// The first other one. Any error of a flush is one: pages that could not be
    /// written then may count as written afterwards, so nobody can try again.
    other: Option<io::Error>,
}

impl Seen {
    /// The reason, if all that happened is that there was no room.
    pub(super) fn only_full(&self) -> Option<io::Error> {
        let errors = self.errors();
        match (&errors.full, &errors.other) {
            (Some(full), None) => Some(again(full)),
            _ => None,
        }
    }

    /// The first error that is more than a lack of room.
    pub(super) fn first(&self) -> Option<io::Error> {
        self.errors().other.as_ref().map(again)
    }

    pub(super) fn forget(&self) {
        *self.errors() = Errors::default();
    }

    fn errors(&self) -> MutexGuard<'_, Errors> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, operation: Operation, error: &io::Error) {
        let mut errors = self.errors();
        let place = if operation == Operation::Write && is_full(error) {
            &mut errors.full
        } else {
            &mut errors.other
        };
        place.get_or_insert_with(|| again(error));
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Read,
    Write,
    Flush,
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded
    )
}

/// An error of the same kind and text.
fn again(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

/// A file whose errors are seen: redb does not say what it was doing.
#[derive(Debug)]
pub(super) struct Observed {
    file: Box<dyn StorageBackend>,
    seen: Arc<Seen>,
}

impl Observed {
    pub(super) fn new(file: Box<dyn StorageBackend>, seen: Arc<Seen>) -> Observed {
        Observed { file, seen }
    }

    fn note<T>(&self, operation: Operation, result: io::Result<T>) -> io::Result<T> {
        result.inspect_err(|error| self.seen.note(operation, error))
    }
}

impl StorageBackend for Observed {
    fn len(&self) -> io::Result<u64> {
        self.note(Operation::Read, self.file.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.note(Operation::Read, self.file.read(offset, out))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.note(Operation::Write, self.file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.note(Operation::Flush, self.file.sync_data())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.note(Operation::Write, self.file.write(offset, data))
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}
