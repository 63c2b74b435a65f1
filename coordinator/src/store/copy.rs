//! Copies of all records as JSON lines: a backup, and what a store is restored
//! from. It is also how somebody looks into a store.
//!
//! The first line says what the file is, the last how many records it holds; each
//! between is `{"key":…,"value":…}`. Secrets stand in it as sealed as in the store:
//! it is of no use without the key they are sealed under.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::{Batch, Snapshot, Store, embedded, folder};

/// The record that says when the store was restored, in milliseconds since 1970:
/// what was handed out after the backup is not known any more.
pub(crate) const RESTORED_AT: &str = "meta/restored-at";

/// The most bytes of one line: a record is one entity.
const MOST_LINE: u64 = 64 << 20;

/// Why there is no backup, or nothing was restored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The copy cannot be read or written.
    #[error("cannot {task} the backup {}", path.display())]
    File {
        task: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// The copy is not one, or not whole.
    #[error("{}:{line}: {what}", path.display())]
    Line {
        path: PathBuf,
        line: u64,
        what: String,
    },
    /// There is something already where it should be restored to.
    #[error("the store has records already: restore into an empty data folder")]
    NotEmpty,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] super::Error),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    fleet_backup: u64,
    written_at: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    key: String,
    value: serde_json::Value,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Footer {
    records: u64,
}

/// Writes all records of `snapshot` to the file `path`, for its owner alone; gives
/// how many. A file of that name is replaced once the new one is whole and on disk.
///
/// # Errors
/// A record cannot be read, or the file not be written; an older one is as it was.
pub(crate) fn backup(snapshot: Snapshot, path: &Path) -> Result<u64, Error> {
    save(path, |out| write(snapshot, out))
}

/// Writes all records of `snapshot`; gives how many.
///
/// # Errors
/// [`Unsent::Store`]: a record cannot be read; [`Unsent::Out`]: `out` takes no more.
pub(crate) fn write(snapshot: Snapshot, out: &mut impl Write) -> Result<u64, Unsent> {
    let header = Header {
        fleet_backup: embedded::FORMAT,
        written_at: unix_ms(),
    };
    write_line(out, &header)?;
    let mut records = 0;
    for record in snapshot {
        let (key, value) = record?;
        let value = match serde_json::from_slice(&value) {
            Ok(value) => value,
            Err(source) => return Err(super::Error::Corrupt { key, source }.into()),
        };
        write_line(out, &Line { key, value })?;
        records += 1;
    }
    write_line(out, &Footer { records })?;
    Ok(records)
}

/// As [`backup`], of the lines that somebody else wrote with [`write()`].
///
/// # Errors
/// They do not end as they should, or the file cannot be written.
pub(crate) fn receive(lines: impl BufRead, path: &Path) -> Result<u64, Error> {
    save(path, |out| {
        let mut lines = lines;
        let (mut line, mut number) = (Vec::new(), 0);
        loop {
            line.clear();
            io::Read::take(&mut lines, MOST_LINE).read_until(b'\n', &mut line)?;
            out.write_all(&line)?;
            if let Ok(footer) = serde_json::from_slice::<Footer>(&line)
                && footer.records + 1 == number
            {
                return Ok(footer.records);
            }
            if let Ok(Refusal { error }) = serde_json::from_slice(&line) {
                return Err(Unsent::Out(io::Error::other(error)));
            }
            if line.is_empty() {
                let ended = "the coordinator ended before its last record";
                return Err(Unsent::Out(io::Error::other(ended)));
            }
            number += 1;
        }
    })
}

/// Why records were not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unsent {
    /// They cannot be read.
    #[error(transparent)]
    Store(#[from] super::Error),
    /// Where they go takes no more.
    #[error(transparent)]
    Out(#[from] io::Error),
}

/// What may come in the place of a line.
#[derive(Deserialize)]
struct Refusal {
    error: String,
}

fn save(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<u64, Unsent>,
) -> Result<u64, Error> {
    // A device would be replaced by the file, not written to.
    if fs::symlink_metadata(path).is_ok_and(|about| !about.is_file()) {
        let source = io::Error::other("it is there already, and no regular file");
        return Err(Error::File {
            task: "write",
            path: path.to_owned(),
            source,
        });
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let partial = path.with_file_name(name);
    let written = write_whole(&partial, write).and_then(|records| {
        fs::rename(&partial, path)?;
        File::open(folder(path))?.sync_all()?;
        Ok(records)
    });
    written.map_err(|error| {
        let _ = fs::remove_file(&partial);
        match error {
            Unsent::Store(error) => error.into(),
            Unsent::Out(source) => Error::File {
                task: "write",
                path: path.to_owned(),
                source,
            },
        }
    })
}

fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<u64, Unsent>,
) -> Result<u64, Unsent> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    let mut out = BufWriter::new(file);
    let records = write(&mut out)?;
    out.into_inner()
        .map_err(|error| error.into_error())?
        .sync_all()?;
    Ok(records)
}

/// Puts all records of the backup `path` into `store`; gives how many. All of it
/// is done or nothing.
///
/// # Errors
/// The store is not empty, or the backup not whole; nothing changed.
pub(crate) fn restore(path: &Path, store: &mut impl Store) -> Result<u64, Error> {
    if store.snapshot()?.next().transpose()?.is_some() {
        return Err(Error::NotEmpty);
    }
    let mut lines = Lines::open(path)?;
    let header: Header = lines.next("this is no backup of Fleet")?;
    if !(1..=embedded::FORMAT).contains(&header.fleet_backup) {
        let (found, known) = (header.fleet_backup, embedded::FORMAT);
        return Err(lines.wrong(format!(
            "the backup has format {found}, this version reads up to {known}: use a newer version"
        )));
    }
    let mut batch = Batch::default();
    let mut records = 0;
    let footer = loop {
        let value: serde_json::Value = lines.next("this is no record")?;
        if let Ok(footer) = Footer::deserialize(&value) {
            break footer;
        }
        let Line { key, value } =
            serde_json::from_value(value).map_err(|error| lines.wrong(error.to_string()))?;
        batch.put(key, &value);
        records += 1;
    };
    if footer.records != records || !lines.at_end()? {
        return Err(lines.wrong(format!(
            "the backup is not whole: its last line should be this one, after {} records",
            footer.records
        )));
    }
    batch.put(RESTORED_AT, &unix_ms());
    store.commit(&batch.into_changes())?;
    Ok(records)
}

/// A backup being read.
struct Lines {
    path: PathBuf,
    file: BufReader<File>,
    number: u64,
}

impl Lines {
    fn open(path: &Path) -> Result<Lines, Error> {
        let file = File::open(path).map_err(|source| Error::File {
            task: "read",
            path: path.to_owned(),
            source,
        })?;
        Ok(Lines {
            path: path.to_owned(),
            file: BufReader::new(file),
            number: 0,
        })
    }

    fn next<T: for<'de> Deserialize<'de>>(&mut self, otherwise: &str) -> Result<T, Error> {
        self.number += 1;
        let mut line = Vec::new();
        io::Read::take(&mut self.file, MOST_LINE)
            .read_until(b'\n', &mut line)
            .map_err(|source| self.unreadable(source))?;
        if line.is_empty() {
            return Err(self.wrong("the backup is not whole: it ends here".to_owned()));
        }
        serde_json::from_slice(&line).map_err(|error| self.wrong(format!("{otherwise}: {error}")))
    }

    fn at_end(&mut self) -> Result<bool, Error> {
        match self.file.fill_buf() {
            Ok(rest) => Ok(rest.is_empty()),
            Err(source) => Err(self.unreadable(source)),
        }
    }

    fn unreadable(&self, source: io::Error) -> Error {
        Error::File {
            task: "read",
            path: self.path.clone(),
            source,
        }
    }

    fn wrong(&self, what: String) -> Error {
        Error::Line {
            path: self.path.clone(),
            line: self.number,
            what,
        }
    }
}

fn write_line(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
