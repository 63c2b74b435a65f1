//! The snapshot of last resort, on a machine without git: a copy of the folder.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use sha1::{Digest, Sha1};

use super::store::hex;

/// A copied folder; gone when dropped.
#[derive(Debug)]
pub(super) struct Copy {
    /// Where it is, absolute.
    pub(super) path: PathBuf,
    /// A hash of all names and contents, as long as a commit's.
    pub(super) sha: String,
}

/// Copies the files of `dir` to `target`, all but `.git` and `.fleet`.
pub(super) fn copy(dir: &Path, target: PathBuf) -> io::Result<Copy> {
    let mut hash = Sha1::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        fs::create_dir_all(target.join(&folder))?;
        let mut entries = fs::read_dir(dir.join(&folder))?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = folder.join(entry.file_name());
            if path == Path::new(".git") || path == Path::new(".fleet") {
                continue;
            }
            let kind = entry.file_type()?;
            hash.update(path.as_os_str().as_bytes());
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_symlink() {
                let link = fs::read_link(entry.path())?;
                hash.update([0, b'l', 0]);
                hash.update(link.as_os_str().as_bytes());
                symlink(link, target.join(&path))?;
            } else if kind.is_file() {
                hash.update([0, b'f', 0]);
                fs::copy(entry.path(), target.join(&path))?;
                let mut copied = fs::File::open(target.join(&path))?;
                io::copy(&mut copied, &mut HashWriter(&mut hash))?;
            }
            hash.update([0]);
        }
    }
    Ok(Copy {
        sha: hex(&hash.finalize()),
        path: target,
    })
}

impl Drop for Copy {
    fn drop(&mut self) {
        // What stays is removed by the next run.
        let _ = fs::remove_dir_all(&self.path);
    }
}

struct HashWriter<'a>(&'a mut Sha1);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
