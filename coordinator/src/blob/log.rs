//! The log of one attempt: bytes by offset, no gap and no repeat.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use fleet_model::Fence;

use super::{Blobs, about};

/// An attempt's log while it is written.
///
/// It stands in a file of its own, made with its first byte; what the file holds
/// is what was taken, also after a restart.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    /// None before the first byte.
    file: Option<Arc<File>>,
    end: u64,
}

/// What became of an append.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Appended {
    /// These bytes were new; they stand at this offset.
    New {
        /// Bytes before `data`.
        offset: u64,
        /// What was not there before.
        data: Bytes,
    },
    /// All of it was there already, or it leaves a gap: the writer goes on from
    /// the end.
    Nothing,
}

impl LogFile {
    /// The log of a lease, with what was taken of it before.
    ///
    /// # Errors
    /// The file is there and cannot be opened.
    pub(crate) fn open(blobs: &Blobs, fence: Fence) -> io::Result<LogFile> {
        let path = path(blobs, fence);
        let file = match File::options().read(true).write(true).open(&path) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(about("open the log", &path)(error)),
        };
        let end = match &file {
            Some(file) => file.metadata().map_err(about("open the log", &path))?.len(),
            None => 0,
        };
        Ok(LogFile {
            path,
            file: file.map(Arc::new),
            end,
        })
    }

    /// The log of a lease that was only just given: there is nothing of it yet.
    pub(crate) fn new(blobs: &Blobs, fence: Fence) -> LogFile {
        LogFile {
            path: path(blobs, fence),
            file: None,
            end: 0,
        }
    }

    /// Bytes taken so far.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// What is to be synced before the log counts as kept; none while it is empty.
    pub(crate) fn file(&self) -> Option<Arc<File>> {
        self.file.clone()
    }

    /// Takes the part of `data` that is new.
    ///
    /// # Errors
    /// It cannot be written; nothing of it was taken.
    pub(crate) fn append(&mut self, offset: u64, data: &Bytes) -> io::Result<Appended> {
        let known = self
            .end
            .checked_sub(offset)
            .and_then(|known| usize::try_from(known).ok());
        let Some(known) = known.filter(|known| *known < data.len()) else {
            return Ok(Appended::Nothing);
        };
        let new = data.slice(known..);
        // By offset: what a write that failed left behind is written over.
        self.opened()?
            .write_all_at(&new, self.end)
            .map_err(about("write the log", &self.path))?;
        let offset = self.end;
        self.end += new.len() as u64;
        Ok(Appended::New { offset, data: new })
    }

    fn opened(&mut self) -> io::Result<Arc<File>> {
        if let Some(file) = &self.file {
            return Ok(Arc::clone(file));
        }
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder).map_err(about("make", folder))?;
        }
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&self.path)
            .map_err(about("create the log", &self.path))?;
        let file = Arc::new(file);
        self.file = Some(Arc::clone(&file));
        Ok(file)
    }
}

/// Where the log of a lease lies once it has a first byte.
pub(crate) fn path(blobs: &Blobs, fence: Fence) -> PathBuf {
    blobs.root.join("logs").join(format!("{fence}.log"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(offset: u64, data: &'static [u8]) -> Appended {
        Appended::New {
            offset,
            data: Bytes::from_static(data),
        }
    }

    #[test]
    fn repeated_and_overlapping_appends_leave_each_byte_once_and_a_gap_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::new(dir.path().into());
        let mut log = LogFile::new(&blobs, Fence(7));
        let mut append = |offset, data: &'static [u8]| {
            let took = log.append(offset, &Bytes::from_static(data)).unwrap();
            (took, log.end())
        };
        assert_eq!(append(0, b"abc"), (new(0, b"abc"), 3));
        assert_eq!(append(0, b"abc"), (Appended::Nothing, 3));
        assert_eq!(append(1, b"bcde"), (new(3, b"de"), 5));
        assert_eq!(append(6, b"g"), (Appended::Nothing, 5));
        assert_eq!(append(5, b""), (Appended::Nothing, 5));
        assert_eq!(append(0, b"abcdef"), (new(5, b"f"), 6));
        let text = std::fs::read(dir.path().join("logs/7.log")).unwrap();
        assert_eq!(text, b"abcdef");
        let mut log = LogFile::open(&blobs, Fence(7)).unwrap();
        assert_eq!(log.end(), 6);
        let took = log.append(4, &Bytes::from_static(b"efg")).unwrap();
        assert_eq!((took, log.end()), (new(6, b"g"), 7));
    }

    #[test]
    fn log_that_cannot_be_written_takes_nothing_and_goes_on_when_it_can() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::new(dir.path().join("blobs"));
        // A file where the folder should be.
        std::fs::write(dir.path().join("blobs"), "").unwrap();
        let mut log = LogFile::new(&blobs, Fence(7));
        assert!(log.append(0, &Bytes::from_static(b"ab")).is_err());
        assert_eq!(log.end(), 0);
        std::fs::remove_file(dir.path().join("blobs")).unwrap();
        let took = log.append(0, &Bytes::from_static(b"ab")).unwrap();
        assert_eq!(took, new(0, b"ab"));
    }
}
