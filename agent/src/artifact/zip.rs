//! Archives: one zip of files, folders and links.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::path::Path;

use flate2::Compression;
use rustix::fs::{FileType, Stat};
use zip::result::ZipError;
use zip::write::{FullFileOptions, ZipWriter};
use zip::{CompressionMethod, DateTime};

use super::Report;
use super::beneath::{Root, kind};
use super::pack::{PackError, regular};
use crate::log::Line;

/// Owner and group of a file.
const UNIX_OWNER: u16 = 0x7875;

/// Files from here on are written with 64-bit sizes; some room below 4 GiB
/// for a file that still grows.
const LARGE: u64 = 0xF000_0000;

/// Writes `files` in their order.
///
/// Folders end in `/`, also empty ones; a link's data is its target. What is
/// neither file, folder nor link is left out with a warning.
pub(super) fn write(
    root: &Root,
    files: &BTreeSet<OsString>,
    level: Option<Compression>,
    out: &mut File,
    report: Report<'_>,
) -> Result<(), PackError> {
    let mut zip = ZipWriter::new(BufWriter::new(out));
    for path in files {
        let path = Path::new(path);
        add(&mut zip, root, path, level, report).map_err(|source| PackError::File {
            path: path.to_owned(),
            source,
        })?;
    }
    zip.finish()
        .map_err(broken)
        .and_then(|mut out| out.flush())
        .map_err(|source| PackError::File {
            path: "zip".into(),
            source,
        })
}

fn add<W: Write + Seek>(
    zip: &mut ZipWriter<W>,
    root: &Root,
    path: &Path,
    level: Option<Compression>,
    report: Report<'_>,
) -> io::Result<()> {
    let name = path.to_string_lossy();
    if path.to_str().is_none() {
        report(Line::Warning(format!(
            "File name is not UTF-8, stored as: {name}"
        )));
    }
    let stat = root.stat(path)?;
    let options = options(&stat, level).map_err(broken)?;
    match kind(&stat) {
        FileType::Directory => zip.add_directory(name, options).map_err(broken),
        FileType::Symlink => {
            let target = root.read_link(path)?;
            zip.add_symlink(name, target.to_string_lossy(), options)
                .map_err(broken)
        }
        FileType::RegularFile => {
            let (_, mut file) = regular(root, path).map_err(io::Error::other)?;
            zip.start_file(name, options).map_err(broken)?;
            io::copy(&mut file, zip)?;
            Ok(())
        }
        _ => {
            report(Line::Warning(format!("File ignored: {name}")));
            Ok(())
        }
    }
}

fn options(
    stat: &Stat,
    level: Option<Compression>,
) -> Result<FullFileOptions<'static, 'static>, ZipError> {
    let mut options = FullFileOptions::default()
        .unix_permissions(stat.st_mode & 0o7777)
        .last_modified_time(dos_time(stat.st_mtime))
        .large_file(u64::try_from(stat.st_size).is_ok_and(|size| size >= LARGE));
    options = match level {
        None => options.compression_method(CompressionMethod::Stored),
        Some(level) => options
            .compression_method(CompressionMethod::Deflated)
            .compression_level(Some(i64::from(level.level()))),
    };
    if let Ok(seconds) = u32::try_from(stat.st_mtime) {
        options = options.with_extended_timestamp(Some(seconds), None, None)?;
    }
    let mut owner = vec![1, 4];
    owner.extend(stat.st_uid.to_le_bytes());
    owner.push(4);
    owner.extend(stat.st_gid.to_le_bytes());
    options.add_extra_field(UNIX_OWNER, owner, false)?;
    Ok(options)
}

/// The time in the old form, in UTC; what it cannot hold becomes its first
/// day, and readers use the exact field anyway.
fn dos_time(seconds: i64) -> DateTime {
    let date = super::date::from_unix(seconds);
    DateTime::from_date_and_time(
        date.year,
        date.month,
        date.day,
        date.hour,
        date.minute,
        date.second,
    )
    .unwrap_or_default()
}

fn broken(error: ZipError) -> io::Error {
    match error {
        ZipError::Io(error) => error,
        error => io::Error::other(error),
    }
}
