//! What survives a restart: records under keys, committed in groups.
//!
//! A record is one entity as JSON under a key like `project/0000000000000007`.
//! Owners of state load theirs at the start ([`Records::take`]) and from then on
//! hand in what changed ([`Journal::submit`]); nothing that follows from a change
//! may leave the process before the [`Mark`] of its batch is durable. All batches
//! are committed in the order they were handed in, so what is decided on a change
//! that is not durable yet can never be durable without it.

mod copy;
mod embedded;
mod journal;
mod space;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) use copy::{RESTORED_AT, Unsent, backup, receive, restore, write};
pub(crate) use embedded::{Embedded, Task};
pub(crate) use journal::{Failure, Journal, Limits, Mark, NoRoom};
pub(crate) use space::Space;

/// Keeps records.
pub(crate) trait Store: Send {
    /// All records as they are now, in order of keys; later changes do not show.
    ///
    /// # Errors
    /// They cannot be read.
    fn snapshot(&self) -> Result<Snapshot, Error>;

    /// All records, in memory.
    ///
    /// # Errors
    /// They cannot be read.
    fn load(&self) -> Result<Records, Error> {
        Ok(Records(self.snapshot()?.collect::<Result<_, _>>()?))
    }

    /// Makes changes durable, all or none; in order, if several are of one key.
    ///
    /// # Errors
    /// After [`Error::Full`] nothing is changed, and the same may be tried again.
    /// After any other it is not known what is durable, and nothing more can be.
    fn commit(&mut self, changes: &[Change]) -> Result<(), Error>;

    /// Bytes on disk.
    fn bytes(&self) -> u64;
}

/// Records one by one.
pub(crate) type Snapshot = Box<dyn Iterator<Item = Result<(String, Vec<u8>), Error>> + Send>;

/// One change of a record; no value: it is removed.
pub(crate) type Change = (String, Option<Vec<u8>>);

/// Changes that become durable together or not at all.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    changes: Vec<Change>,
}

impl Batch {
    /// Makes or replaces the record under `key`.
    pub(crate) fn put(&mut self, key: impl Into<String>, value: &impl Serialize) {
        let value = serde_json::to_vec(value).expect("records have text keys and no failing parts");
        self.changes.push((key.into(), Some(value)));
    }

    /// Removes the record under `key`, if there is one.
    pub(crate) fn delete(&mut self, key: impl Into<String>) {
        self.changes.push((key.into(), None));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    pub(crate) fn append(&mut self, mut other: Batch) {
        self.changes.append(&mut other.changes);
    }

    pub(crate) fn into_changes(self) -> Vec<Change> {
        self.changes
    }
}

/// All records, as loaded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Records(pub(crate) BTreeMap<String, Vec<u8>>);

impl Records {
    /// Takes out and reads all records whose key begins with `prefix`; gives each
    /// with the rest of its key, in order of keys.
    ///
    /// # Errors
    /// [`Error::Corrupt`]: one cannot be read.
    pub(crate) fn take<T: DeserializeOwned>(
        &mut self,
        prefix: &str,
    ) -> Result<Vec<(String, T)>, Error> {
        let mut tail = self.0.split_off(prefix);
        let end = tail.keys().find(|key| !key.starts_with(prefix)).cloned();
        if let Some(end) = end {
            self.0.append(&mut tail.split_off(&end));
        }
        tail.into_iter()
            .map(|(key, value)| match serde_json::from_slice(&value) {
                Ok(value) => Ok((key[prefix.len()..].to_owned(), value)),
                Err(source) => Err(Error::Corrupt { key, source }),
            })
            .collect()
    }
}

/// Number keys in an order that is the numbers' own.
pub(crate) fn number(number: u64) -> String {
    format!("{number:016x}")
}

/// Where a file lies.
fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        Some(_) => Path::new("."),
        None => Path::new("/"),
    }
}

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A record is not what this version writes.
    #[error("the record {key} cannot be read")]
    Corrupt {
        /// Which.
        key: String,
        /// Why.
        source: serde_json::Error,
    },
    /// The disk is full; trying again can help.
    #[error("the disk of the coordinator's store is full: free some space on the filesystem of {}; nothing is lost, and work goes on by itself then", path.display())]
    Full {
        /// The store's file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another process has it open.
    #[error("the store {} is in use: a coordinator runs on this folder already", path.display())]
    InUse {
        /// The store's file.
        path: PathBuf,
    },
    /// A later version wrote it.
    #[error("the store {} has format {found}, this version reads up to {}: run a version at least as new as the one that wrote it", path.display(), embedded::FORMAT)]
    Newer {
        /// The store's file.
        path: PathBuf,
        /// Its format.
        found: u64,
    },
    /// What lies there is no store, or not a whole one.
    #[error("{} is damaged, or not a store of Fleet: {what}; put it aside and restore a backup", path.display())]
    Damaged {
        /// The store's file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The system failed at it; for a store in use that is the end.
    #[error("cannot {task} the store {}", path.display())]
    Broken {
        /// What was to be done.
        task: Task,
        /// The store's file.
        path: PathBuf,
        /// Why.
        source: redb::Error,
    },
    /// It cannot be read now.
    #[error("the coordinator's store cannot be read now: its disk is full, or it stopped")]
    Away,
    /// The store's thread ended by a fault of the program.
    #[error("the store's thread ended by a fault of the program")]
    Stopped,
}

impl Error {
    /// Whether the disk is full, and the same may be tried again.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self, Error::Full { .. })
    }
}
