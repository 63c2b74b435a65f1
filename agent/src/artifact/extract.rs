//! From a downloaded archive into a job's folder.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT};
use rustix::io::Errno;
use zip::ZipArchive;
use zip::extra_fields::ExtraField;
use zip::read::ZipFile;
use zip::result::ZipError;

use super::Report;
use super::beneath::{Missing, Root};
use super::date::{self, Date};
use super::select::{in_git_folder, warn_of_git_folder};
use crate::log::Line;

/// Longest name of an entry, and longest target of a link, in bytes.
const NAME: usize = 4096;

/// How much an archive may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Entries.
    pub entries: usize,
    /// Bytes of all files together, unpacked.
    pub bytes: u64,
}

/// Why an archive is not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// The project folder cannot be opened.
    #[error("open {path}")]
    Folder {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no archive, or contradicts itself.
    #[error("read the archive")]
    Archive(#[from] ZipError),
    /// An entry would land outside of the project folder, or its name is none.
    #[error("the archive holds an entry with an unsafe name: {0:?}")]
    Name(String),
    /// The archive is larger than allowed.
    #[error("the archive holds more than {0}")]
    TooLarge(String),
    /// An entry cannot be written.
    #[error("unpack {path}")]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Unpacks a zip into `project`; returns how many entries it had. Blocking.
///
/// Names and sizes are checked before anything is written. Files and links
/// that are in the way are replaced, folders are kept; links are made after
/// all files, so that none of them is written through. A link made by an
/// earlier archive is followed only as long as it stays inside.
///
/// # Errors
/// [`ExtractError`]. After [`ExtractError::File`], and if sizes turn out to be
/// lies, some entries have been written.
pub fn extract(
    archive: File,
    project: &Path,
    limits: Limits,
    report: Report<'_>,
) -> Result<usize, ExtractError> {
    let root = Root::open(project).map_err(|source| ExtractError::Folder {
        path: project.to_owned(),
        source,
    })?;
    let mut zip = ZipArchive::new(io::BufReader::new(archive))?;
    let paths = check(&mut zip, limits)?;
    if paths.iter().any(|path| in_git_folder(path)) {
        warn_of_git_folder("extract", report);
    }
    let mut left = limits.bytes;
    let mut links = Vec::new();
    for (index, path) in paths.iter().enumerate() {
        let mut entry = zip.by_index(index)?;
        let failed = |source| ExtractError::File {
            path: path.clone(),
            source,
        };
        match Kind::of(&entry) {
            Kind::Folder => {
                root.folder(path, Missing::Create).map_err(failed)?;
            }
            Kind::Link => links.push((path, target(&mut entry).map_err(failed)?)),
            Kind::File => {
                let written = write(&root, path, &mut entry, left).map_err(failed)?;
                left = left
                    .checked_sub(written)
                    .ok_or_else(|| too_many_bytes(limits))?;
            }
            Kind::Other => report(Line::Warning(format!("File ignored: {}", path.display()))),
        }
    }
    for (path, target) in links {
        link(&root, path, &target).map_err(|source| ExtractError::File {
            path: path.clone(),
            source,
        })?;
    }
    Ok(paths.len())
}

/// Checks all that can be known without writing; returns where each entry
/// goes.
fn check<R: Read + io::Seek>(
    zip: &mut ZipArchive<R>,
    limits: Limits,
) -> Result<Vec<PathBuf>, ExtractError> {
    if zip.len() > limits.entries {
        return Err(ExtractError::TooLarge(format!(
            "{} entries",
            limits.entries
        )));
    }
    let mut paths = Vec::new();
    let mut bytes = 0u64;
    for index in 0..zip.len() {
        let entry = zip.by_index_data(index)?;
        let unsafe_name = || ExtractError::Name(String::from_utf8_lossy(entry.name_raw()).into());
        paths.push(inside(entry.name_raw()).ok_or_else(unsafe_name)?);
        bytes = bytes.saturating_add(entry.size());
    }
    if bytes > limits.bytes {
        return Err(too_many_bytes(limits));
    }
    zip.validate_header_consistency()?;
    Ok(paths)
}

fn too_many_bytes(limits: Limits) -> ExtractError {
    ExtractError::TooLarge(format!("{} bytes", limits.bytes))
}

/// The path of an entry; `None` unless it lies inside the folder, also for a
/// reader that takes `\` for `/` or knows drive letters.
fn inside(name: &[u8]) -> Option<PathBuf> {
    let drive = matches!(name, [letter, b':', ..] if letter.is_ascii_alphabetic());
    let leads_out = name
        .split(|byte| matches!(byte, b'/' | b'\\'))
        .any(|part| part == b"..");
    let absolute = matches!(name.first(), None | Some(b'/' | b'\\'));
    if drive || leads_out || absolute || name.contains(&0) || name.len() > NAME {
        return None;
    }
    let path = Path::new(OsStr::from_bytes(name));
    Some(
        path.components()
            .filter(|part| matches!(part, Component::Normal(_)))
            .collect(),
    )
}

enum Kind {
    File,
    Folder,
    Link,
    Other,
}

impl Kind {
    fn of<R: Read>(entry: &ZipFile<'_, R>) -> Kind {
        match entry.unix_mode().unwrap_or(0) & 0o170_000 {
            0o120_000 => Kind::Link,
            0o040_000 => Kind::Folder,
            0 | 0o100_000 if entry.name_raw().ends_with(b"/") => Kind::Folder,
            0 | 0o100_000 => Kind::File,
            _ => Kind::Other,
        }
    }
}

/// Writes one file; reads at most one byte more than `left`.
fn write<R: Read>(
    root: &Root,
    path: &Path,
    entry: &mut ZipFile<'_, R>,
    left: u64,
) -> io::Result<u64> {
    let (folder, name) = root.parent(path, Missing::Create)?;
    remove(&folder, name)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(&folder, name, flags, Mode::from_raw_mode(0o666))?;
    let mut file = File::from(fd);
    let written = io::copy(&mut entry.take(left.saturating_add(1)), &mut file)?;
    if let Some(mode) = entry.unix_mode() {
        // Never setuid, setgid or sticky.
        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode & 0o777))?;
    }
    if let Some(seconds) = modified(entry) {
        let times = Timestamps {
            last_access: Timespec {
                tv_sec: 0,
                tv_nsec: UTIME_OMIT,
            },
            last_modification: Timespec {
                tv_sec: seconds,
                tv_nsec: 0,
            },
        };
        rustix::fs::futimens(&file, &times)?;
    }
    Ok(written)
}

/// The exact time where the entry has one, else the old form as UTC.
fn modified<R: Read>(entry: &ZipFile<'_, R>) -> Option<i64> {
    let exact = entry.extra_data_fields().find_map(|field| match field {
        ExtraField::ExtendedTimestamp(times) => times.mod_time(),
        _ => None,
    });
    exact.map(i64::from).or_else(|| {
        let time = entry.last_modified()?;
        Some(date::to_unix(Date {
            year: time.year(),
            month: time.month(),
            day: time.day(),
            hour: time.hour(),
            minute: time.minute(),
            second: time.second(),
        }))
    })
}

fn target<R: Read>(entry: &mut ZipFile<'_, R>) -> io::Result<Vec<u8>> {
    let mut target = Vec::new();
    entry.take(NAME as u64 + 1).read_to_end(&mut target)?;
    if target.is_empty() || target.len() > NAME || target.contains(&0) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the link has no usable target",
        ));
    }
    Ok(target)
}

fn link(root: &Root, path: &Path, target: &[u8]) -> io::Result<()> {
    let (folder, name) = root.parent(path, Missing::Create)?;
    remove(&folder, name)?;
    Ok(rustix::fs::symlinkat(
        OsStr::from_bytes(target),
        &folder,
        name,
    )?)
}

/// Takes away a file or link; a folder stays and the caller fails on it.
fn remove(folder: &impl std::os::fd::AsFd, name: &OsStr) -> io::Result<()> {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT | Errno::ISDIR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
