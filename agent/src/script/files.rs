//! The files of file variables.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::executor::Users;
use crate::expand::ResolvedVariable;

/// Writes the value of each file variable to `<temporary>/<KEY>`, byte for
/// byte, readable by those who run the job's scripts.
///
/// Something already at such a path is replaced, never written through: an
/// earlier job may have left a link there. Blocking.
///
/// # Errors
/// Whatever the file system says, with the path in the text.
pub fn write_file_variables(
    temporary: &Path,
    variables: &[ResolvedVariable],
    users: Users,
) -> io::Result<()> {
    let mut files = variables
        .iter()
        .filter_map(|v| Some((v, v.content.as_deref()?)))
        .peekable();
    if files.peek().is_none() {
        return Ok(());
    }
    in_path(temporary, folder(temporary))?;
    for (variable, content) in files {
        let path = temporary.join(&variable.key);
        in_path(&path, replace(&path, content.as_bytes(), users))?;
    }
    Ok(())
}

/// Deletes the files of `variables` and the `GITLAB_ENV` file, as far as they
/// exist. Blocking.
///
/// # Errors
/// The first failure, after everything has been tried.
pub fn remove_file_variables(temporary: &Path, variables: &[ResolvedVariable]) -> io::Result<()> {
    let keys = variables
        .iter()
        .filter(|v| v.content.is_some())
        .map(|v| v.key.as_str());
    let mut result = Ok(());
    for name in keys.chain(["gitlab_runner_env"]) {
        let path = temporary.join(name);
        result = result.and(in_path(&path, remove(&path)));
    }
    result
}

fn folder(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path).is_ok_and(|found| !found.is_dir()) {
        fs::remove_file(path)?;
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

fn replace(path: &Path, content: &[u8], users: Users) -> io::Result<()> {
    remove(path)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    if users == Users::Containers {
        // Whatever the agent's umask.
        file.set_permissions(Permissions::from_mode(0o666))?;
    }
    file.write_all(content)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn in_path<T>(path: &Path, result: io::Result<T>) -> io::Result<T> {
    result.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}
