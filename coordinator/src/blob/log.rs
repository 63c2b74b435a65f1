//! The log of one attempt: bytes by offset, no gap and no repeat.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use bytes::Bytes;
use fleet_model::Fence;

use super::{Blobs, about};

/// An attempt's log while it is written.
///
/// A job must not hang because its log cannot be kept: after the first error
/// the file ends where it is, bytes are counted on, and our own log says so.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    /// None once it could not be written.
    file: Option<File>,
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
    /// Begins the log of a lease.
    ///
    /// # Errors
    /// The folder or file cannot be made.
    pub(crate) fn create(blobs: &Blobs, fence: Fence) -> io::Result<LogFile> {
        let path = blobs.folder("logs")?.join(format!("{fence}.log"));
        let file = File::create(&path).map_err(about("create the log", &path))?;
        Ok(LogFile {
            path,
            file: Some(file),
            end: 0,
        })
    }

    /// Bytes taken so far.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Takes the part of `data` that is new.
    pub(crate) fn append(&mut self, offset: u64, data: &Bytes) -> Appended {
        let known = self
            .end
            .checked_sub(offset)
            .and_then(|known| usize::try_from(known).ok());
        let Some(known) = known.filter(|known| *known < data.len()) else {
            return Appended::Nothing;
        };
        let new = data.slice(known..);
        if let Some(file) = &mut self.file
            && let Err(error) = file.write_all(&new)
        {
            tracing::error!(path = %self.path.display(), %error, "a log cannot be written; the rest of it is lost");
            self.file = None;
        }
        let offset = self.end;
        self.end += new.len() as u64;
        Appended::New { offset, data: new }
    }
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
        let mut log = LogFile::create(&Blobs::new(dir.path().into()), Fence(7)).unwrap();
        let mut append = |offset, data: &'static [u8]| {
            let took = log.append(offset, &Bytes::from_static(data));
            (took, log.end())
        };
        assert_eq!(append(0, b"abc"), (new(0, b"abc"), 3));
        assert_eq!(append(0, b"abc"), (Appended::Nothing, 3));
        assert_eq!(append(1, b"bcde"), (new(3, b"de"), 5));
        assert_eq!(append(6, b"gap"), (Appended::Nothing, 5));
        assert_eq!(append(u64::MAX, b"far"), (Appended::Nothing, 5));
        assert_eq!(
            std::fs::read(dir.path().join("logs/7.log")).unwrap(),
            b"abcde"
        );
    }

    #[test]
    fn log_that_cannot_be_written_is_counted_on_so_that_its_job_can_end() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut log = LogFile {
            path: "/dev/full".into(),
            file: Some(full),
            end: 0,
        };
        assert_eq!(log.append(0, &Bytes::from_static(b"abc")), new(0, b"abc"));
        assert_eq!(log.append(3, &Bytes::from_static(b"de")), new(3, b"de"));
        assert_eq!(log.end(), 5);
    }
}
