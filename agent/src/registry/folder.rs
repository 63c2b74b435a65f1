//! A job's own Docker configuration: `DOCKER_CONFIG`.
//!
//! Every job has a folder of its own with its project's logins and nothing of the
//! host's; what `docker login` writes goes there, and with the job.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};

use super::Credentials;
use crate::source::remove_tree;

/// No file variable that a shell could export has such a name.
const NAME: &str = ".docker";

/// Who uses the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// The agent's own user.
    Owner,
    /// Whoever a container runs as.
    Everyone,
}

/// Where the folder is, beside a job's file variables in `temporary`.
pub(crate) fn path(temporary: &str) -> String {
    format!("{temporary}/{NAME}")
}

/// Makes the folder in `temporary`, which exists, anew. Blocking.
///
/// What an earlier job left in its place is removed, and links are not followed:
/// a job's container may write there as root.
///
/// # Errors
/// Whatever the file system says, with the path in the text.
pub(crate) fn write(temporary: &Path, credentials: &Credentials, access: Access) -> io::Result<()> {
    let folder = temporary.join(NAME);
    in_path(&folder, make(&folder, credentials, access))
}

fn make(folder: &Path, credentials: &Credentials, access: Access) -> io::Result<()> {
    remove_tree(folder, &|| true)?;
    DirBuilder::new().mode(0o700).create(folder)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = File::from(rustix::fs::openat(CWD, folder, flags, Mode::empty())?);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(0o600);
    let file = rustix::fs::openat(&folder, "config.json", flags, mode)?;
    let mut file = File::from(file);
    file.write_all(credentials.config_json().as_bytes())?;
    if access == Access::Everyone {
        // Not by the mode they are made with: the agent's mask would count.
        file.set_permissions(Permissions::from_mode(0o666))?;
        folder.set_permissions(Permissions::from_mode(0o777))?;
    }
    Ok(())
}

/// Removes the folder, as far as there is one. Blocking.
///
/// # Errors
/// As for [`write`]. The logins are gone also where something else stays.
pub(crate) fn remove(temporary: &Path) -> io::Result<()> {
    let folder = temporary.join(NAME);
    let removed = remove_tree(&folder, &|| true);
    if removed.is_err() && fs::symlink_metadata(&folder).is_ok_and(|found| found.is_dir()) {
        // Something of another user's is in the way.
        let _as_far_as_possible = fs::remove_file(folder.join("config.json"));
    }
    in_path(&folder, removed)
}

fn in_path<T>(path: &Path, result: io::Result<T>) -> io::Result<T> {
    result.map_err(|error| {
        let path: PathBuf = path.to_owned();
        io::Error::new(error.kind(), format!("{}: {error}", path.display()))
    })
}
