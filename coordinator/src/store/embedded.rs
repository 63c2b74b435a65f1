//! The store of a coordinator that is alone: one file, one table of records.

mod file;
#[cfg(test)]
mod tests;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{
    Builder, Database, Range, ReadableDatabase, ReadableTableMetadata, StorageBackend,
    TableDefinition, TableError,
};

use super::{Change, Error, Snapshot, Store};
use file::{Observed, Seen};

const TABLE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("records");

/// The record that says which format the others have.
const FORMAT_KEY: &str = "meta/format";

/// What this version writes, and the newest it reads.
pub(super) const FORMAT: u64 = 1;

/// All state is in memory anyway; what redb keeps is for the commits.
const CACHE_BYTES: usize = 64 << 20;

/// Records in a file of redb, locked by the one process that has it open.
pub(crate) struct Embedded {
    path: PathBuf,
    open_file: Box<OpenFile>,
    seen: Arc<Seen>,
    /// None: it was closed when the disk was full; the next commit opens it again,
    /// for redb takes nothing more after an error.
    database: Option<Database>,
}

/// Opens what the records lie in.
type OpenFile = dyn Fn() -> io::Result<Box<dyn StorageBackend>> + Send;

impl Embedded {
    /// Opens the store in the file `path`; makes it if there is none, readable for
    /// its owner alone.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::Newer`], [`Error::Damaged`], [`Error::Full`], or
    /// the file cannot be opened.
    pub(crate) fn open(path: &Path) -> Result<Embedded, Error> {
        let file = path.to_owned();
        Embedded::over(path, move || file::open(&file))
    }

    fn over(
        path: &Path,
        open_file: impl Fn() -> io::Result<Box<dyn StorageBackend>> + Send + 'static,
    ) -> Result<Embedded, Error> {
        let mut store = Embedded {
            path: path.to_owned(),
            open_file: Box::new(open_file),
            seen: Arc::default(),
            database: None,
        };
        // redb trusts the pages of a file that was closed well, and may panic at what
        // something else wrote there.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let database = store.connect(Check::Everything)?;
            Ok((format(&database)?, database))
        }));
        let (format, database) = match opened {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => return Err(store.explain(Task::Open, error)),
            Err(_) => return Err(store.damaged("what lies in it makes no sense")),
        };
        match format {
            Format::Known => {}
            Format::Fresh => begin(&database).map_err(|error| store.explain(Task::Open, error))?,
            Format::Newer(found) => {
                let path = store.path;
                return Err(Error::Newer { path, found });
            }
            Format::Foreign => return Err(store.damaged("it has no records of a coordinator")),
        }
        store.database = Some(database);
        Ok(store)
    }

    fn connect(&self, check: Check) -> Result<Database, redb::Error> {
        self.seen.forget();
        let file = (self.open_file)()?;
        Ok(Builder::new()
            .set_cache_size(CACHE_BYTES)
            .set_check_integrity_on_open(check == Check::Everything)
            .create_with_backend(Observed::new(file, self.seen.clone()))?)
    }

    fn write(&mut self, changes: &[Change]) -> Result<(), redb::Error> {
        if self.database.is_none() {
            // The file says itself that it was not closed well, and is checked for it.
            self.database = Some(self.connect(Check::IfNeeded)?);
        }
        let database = self.database.as_ref().expect("it was opened just now");
        let transaction = database.begin_write()?;
        let mut table = transaction.open_table(TABLE)?;
        for (key, value) in changes {
            match value {
                Some(value) => table.insert(key.as_str(), value.as_slice())?,
                None => table.remove(key.as_str())?,
            };
        }
        drop(table);
        Ok(transaction.commit()?)
    }

    /// What an error means for whoever runs the coordinator.
    fn explain(&self, task: Task, error: redb::Error) -> Error {
        let path = self.path.clone();
        if let Some(source) = self.seen.only_full() {
            return Error::Full { path, source };
        }
        match error {
            redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => {
                Error::InUse { path }
            }
            redb::Error::Corrupted(what) => self.damaged(&what),
            redb::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                self.damaged(&error.to_string())
            }
            source => {
                let source = self.seen.first().map_or(source, redb::Error::Io);
                Error::Broken { task, path, source }
            }
        }
    }

    fn damaged(&self, what: &str) -> Error {
        Error::Damaged {
            path: self.path.clone(),
            what: what.to_owned(),
        }
    }
}

impl Store for Embedded {
    fn snapshot(&self) -> Result<Snapshot, Error> {
        let database = self.database.as_ref().ok_or(Error::Away)?;
        let records = read(database).map_err(|error| self.explain(Task::Read, error))?;
        let path = self.path.clone();
        let records = records.filter_map(move |record| match record {
            Ok((key, _)) if key.value() == FORMAT_KEY => None,
            Ok((key, value)) => Some(Ok((key.value().to_owned(), value.value().to_owned()))),
            Err(source) => Some(Err(Error::Broken {
                task: Task::Read,
                path: path.clone(),
                source: source.into(),
            })),
        });
        Ok(Box::new(records))
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), Error> {
        self.write(changes).map_err(|error| {
            let error = self.explain(Task::Write, error);
            self.database = None;
            error
        })
    }

    fn bytes(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |about| about.len())
    }
}

/// What the store was about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Opening its file.
    Open,
    /// Reading all records.
    Read,
    /// Committing changes.
    Write,
}

impl std::fmt::Display for Task {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Task::Open => "open",
            Task::Read => "read",
            Task::Write => "write to",
        })
    }
}

/// What is checked of a file when it is opened.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Check {
    Everything,
    /// Everything, if it was not closed well.
    IfNeeded,
}

/// What a file holds.
enum Format {
    Fresh,
    Known,
    Newer(u64),
    Foreign,
}

fn format(database: &Database) -> Result<Format, redb::Error> {
    let transaction = database.begin_read()?;
    let table = match transaction.open_table(TABLE) {
        Err(TableError::TableDoesNotExist(_)) => {
            let fresh = transaction.list_tables()?.next().is_none();
            return Ok(if fresh {
                Format::Fresh
            } else {
                Format::Foreign
            });
        }
        table => table?,
    };
    let found = match table.get(FORMAT_KEY)? {
        Some(record) => serde_json::from_slice::<u64>(record.value()).ok(),
        None if table.is_empty()? => return Ok(Format::Fresh),
        None => None,
    };
    Ok(match found {
        Some(found) if found > FORMAT => Format::Newer(found),
        Some(1..=FORMAT) => Format::Known,
        _ => Format::Foreign,
    })
}

fn begin(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    let format = FORMAT.to_string();
    let mut table = transaction.open_table(TABLE)?;
    table.insert(FORMAT_KEY, format.as_bytes())?;
    drop(table);
    Ok(transaction.commit()?)
}

fn read(database: &Database) -> Result<Range<'static, &'static str, &'static [u8]>, redb::Error> {
    let table = database.begin_read()?.open_table(TABLE)?;
    Ok(table.range::<&str>(..)?)
}
