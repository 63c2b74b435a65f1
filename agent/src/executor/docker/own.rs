//! What containers wrote as other users, given back to an agent that is not root.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bollard::models::ContainerCreateBody;
use tokio_stream::StreamExt as _;

use super::engine;
use super::site::{Blueprint, Site};
use crate::executor::Error;

/// Makes all below `folders`, which containers of `blueprint` see, the agent's own
/// user's: it could not remove it otherwise. Nothing to do for root, nor where all is
/// its own anyway.
///
/// # Errors
/// The engine's; or the image has no `chown`.
pub(super) async fn take_back(
    site: &Arc<Site>,
    blueprint: &Blueprint,
    folders: &[PathBuf; 2],
) -> Result<(), Error> {
    let own = rustix::process::geteuid();
    if own.is_root()
        || !folders
            .iter()
            .any(|folder| holds_foreign(folder, own.as_raw()))
    {
        return Ok(());
    }
    const WHAT: &str = "take back what the job's containers wrote as other users";
    let whose = format!("{}:{}", own.as_raw(), rustix::process::getegid().as_raw());
    let folders = folders.iter().map(|folder| folder.display().to_string());
    let container = Blueprint {
        name: format!("{}-own", blueprint.name),
        aliases: Vec::new(),
        body: ContainerCreateBody {
            entrypoint: Some(vec!["chown".to_owned()]),
            cmd: Some(
                ["-Rh".to_owned(), whose]
                    .into_iter()
                    .chain(folders)
                    .collect(),
            ),
            user: Some("0:0".to_owned()),
            open_stdin: Some(false),
            env: None,
            ..blueprint.body.clone()
        },
        ..blueprint.clone()
    };
    let id = site.start(container).await?;
    let failed = |error| engine::failed(WHAT, error);
    // Removed with the rest of the job's.
    let mut ended = site.engine.wait_container(&id, None);
    match ended.next().await {
        Some(Err(error)) => Err(failed(error)),
        _ => Ok(()),
    }
}

/// Whether anything below `folder` belongs to somebody else, or cannot be looked at.
fn holds_foreign(folder: &Path, own: u32) -> bool {
    let mut todo = vec![folder.to_owned()];
    while let Some(folder) = todo.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            // One that is not there is nobody's.
            if folder.symlink_metadata().is_ok() {
                return true;
            }
            continue;
        };
        for entry in entries {
            let Some((entry, found)) = entry.ok().and_then(|entry| {
                let found = entry.metadata().ok()?;
                Some((entry, found))
            }) else {
                return true;
            };
            if found.uid() != own {
                return true;
            }
            if found.is_dir() {
                todo.push(entry.path());
            }
        }
    }
    false
}
