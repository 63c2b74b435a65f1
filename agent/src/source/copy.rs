//! Copying a folder as it is.

use std::fs::{self, File, FileTimes, Permissions};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Copies the folder `from` to `to`, which does not exist or is empty: files with modes and
/// times, links as links. Returns what was left out: sockets, pipes, devices.
/// Blocking; asks `go_on` between files.
///
/// `skipped`, where it lies in `from`, is not copied: the copy may be in there.
///
/// # Errors
/// The first failure.
pub(super) fn tree(
    from: &Path,
    to: &Path,
    skipped: &Path,
    go_on: &dyn Fn() -> bool,
) -> io::Result<Vec<PathBuf>> {
    let mut odd = Vec::new();
    let mut folders: Vec<(PathBuf, Permissions)> = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(below) = open.pop() {
        let (source, target) = (from.join(&below), to.join(&below));
        match fs::create_dir(&target) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        folders.push((target, fs::metadata(&source)?.permissions()));
        for entry in fs::read_dir(&source)? {
            if !go_on() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let entry = entry?;
            let (kind, below) = (entry.file_type()?, below.join(entry.file_name()));
            if entry.path() == skipped {
                continue;
            }
            if kind.is_dir() {
                open.push(below);
            } else if kind.is_symlink() {
                symlink(fs::read_link(entry.path())?, to.join(below))?;
            } else if kind.is_file() {
                file(&entry.path(), &to.join(below))?;
            } else {
                odd.push(below);
            }
        }
    }
    // Last, since a folder may be closed for writing; lower ones first.
    for (folder, permissions) in folders.into_iter().rev() {
        fs::set_permissions(folder, permissions)?;
    }
    odd.sort();
    Ok(odd)
}

/// The time is kept, so that `make` sees what it would see in the original.
fn file(from: &Path, to: &Path) -> io::Result<()> {
    fs::copy(from, to)?;
    let modified = fs::metadata(from)?.modified()?;
    // A file closed for writing can be opened for reading, which is enough.
    File::open(to).and_then(|file| file.set_times(FileTimes::new().set_modified(modified)))
}
