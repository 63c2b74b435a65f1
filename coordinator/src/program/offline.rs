//! What is done with the store of a coordinator that does not run.

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::path::Path;

use super::failure::Failure;
use crate::audit;
use crate::settings::Serve;
use crate::store::{self, Embedded, Store};

/// Writes a backup of the store to `file`; gives how many records.
pub(super) fn backup(settings: &Serve, file: &Path) -> Result<u64, Failure> {
    let store = settings.store_file();
    if !store.exists() {
        return Err(Failure::failed(format!(
            "there is no store {}: say which with --data-dir or --config",
            store.display()
        )));
    }
    let store = Embedded::open(&store).map_err(Failure::failed)?;
    let snapshot = store.snapshot().map_err(Failure::failed)?;
    store::backup(snapshot, file).map_err(Failure::failed)
}

/// Fills the data folder's empty store from the backup `file`; gives how many
/// records. A store that root makes belongs to whom the folder belongs to.
pub(super) fn restore(settings: &Serve, file: &Path) -> Result<u64, Failure> {
    let (folder, path) = (&settings.data_dir, settings.store_file());
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| {
            Failure::failed(format!(
                "cannot make the data folder {}: {error}",
                folder.display()
            ))
        })?;
    let mut store = Embedded::open(&path).map_err(Failure::failed)?;
    if rustix::process::geteuid().is_root() {
        let owned = std::fs::metadata(folder)
            .and_then(|about| chown(&path, Some(about.uid()), Some(about.gid())));
        owned.map_err(|error| {
            Failure::failed(error).context("cannot give the store to its owner")
        })?;
    }
    store::restore(file, &mut store).map_err(Failure::failed)
}

/// Checks the audit log `file`; what is to be said of it.
pub(super) fn verify_audit(file: &Path) -> Result<String, Failure> {
    let unreadable = |error| {
        let text = format!("cannot read the audit log {}: {error}", file.display());
        Failure::failed(text)
    };
    let log = std::fs::File::open(file).map_err(unreadable)?;
    let checked = audit::verify(log).map_err(unreadable)?;
    match checked.broken {
        None => Ok(format!(
            "{} entries, sha256 of the last {}\n",
            checked.entries, checked.head
        )),
        Some(broken) => Err(Failure::failed(format!("{}: {broken}", file.display()))),
    }
}
