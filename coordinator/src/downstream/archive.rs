//! One file out of a job's artifacts.

use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::path::Path;

use zip::ZipArchive;
use zip::result::ZipError;

/// Why a file cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the archive cannot be read")]
    Archive(#[source] ZipError),
    #[error("the archive cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("there is no such file")]
    Missing,
    #[error("the file is larger than {0} MiB")]
    TooLarge(u64),
}

/// The bytes of the file at `path`, at most `most`. Blocking.
///
/// # Errors
/// [`Error`]. Whatever the archive says of sizes: no more is read.
pub(super) fn file(archive: &Path, path: &str, most: u64) -> Result<Vec<u8>, Error> {
    let archive = File::open(archive)?;
    let mut archive = ZipArchive::new(BufReader::new(archive)).map_err(Error::Archive)?;
    let path = path.trim_start_matches("./").trim_start_matches('/');
    let entry = match archive.by_name(path) {
        Ok(entry) if entry.is_file() => entry,
        Ok(_) | Err(ZipError::FileNotFound) => return Err(Error::Missing),
        Err(error) => return Err(Error::Archive(error)),
    };
    let mut content = Vec::new();
    entry.take(most + 1).read_to_end(&mut content)?;
    if content.len() as u64 > most {
        return Err(Error::TooLarge(most >> 20));
    }
    Ok(content)
}
