//! Repositories elsewhere, mirrored on this disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fleet_language::fetch::{Failed, Why};

use crate::copies::{is_fresh, name};
use crate::repository::{Repository, git};

/// A mirror that is not older is taken as it is.
const FRESH: Duration = Duration::from_secs(5 * 60);
/// What git may speak to a mirrored repository.
const TRANSPORTS: &str = "https:ssh:http:file";

/// A folder of mirrors, by the hash of their addresses.
#[derive(Debug)]
pub(crate) struct Mirrors {
    folder: PathBuf,
}

impl Mirrors {
    pub(crate) fn new(folder: PathBuf) -> Mirrors {
        Mirrors { folder }
    }

    /// The mirror of a repository, fetched if it is old, or has not what `has` looks
    /// for.
    ///
    /// # Errors
    /// It cannot be fetched, and there is none from earlier.
    pub(crate) fn get(
        &self,
        url: &str,
        has: impl Fn(&Repository) -> bool,
    ) -> Result<Repository, Failed> {
        let path = self.folder.join(format!("{}.git", name(url)));
        let marker = path.join("fleet-fetched");
        let known = Repository::at(&path);
        if let Some(mirror) = &known
            && is_fresh(&marker, FRESH)
            && has(mirror)
        {
            return Ok(mirror.clone());
        }
        let fetched = match &known {
            Some(_) => self.fetch(&path),
            None => self.clone(url, &path),
        };
        match (fetched, known) {
            (Ok(()), _) => {
                // Without the mark it is fetched again next time.
                let _ = fs::write(marker, url);
            }
            // As it was when it last could be had.
            (Err(_), Some(mirror)) if has(&mirror) => return Ok(mirror),
            (Err(words), _) => return Err(Failed::new(Why::Internal(words))),
        }
        Repository::at(&path)
            .ok_or_else(|| Failed::new(Why::Internal(format!("the mirror of {url} is gone"))))
    }

    fn clone(&self, url: &str, path: &Path) -> Result<(), String> {
        let part = path.with_extension(format!("{}.part", std::process::id()));
        fs::create_dir_all(&self.folder)
            .map_err(|error| format!("create {}: {error}", self.folder.display()))?;
        let _ = fs::remove_dir_all(&part);
        let made = run(git(&self.folder)
            .args(["clone", "--mirror", "--quiet", "--end-of-options", url])
            .arg(&part));
        let made = made.and_then(|()| {
            let moved = fs::rename(&part, path);
            moved.map_err(|error| format!("create {}: {error}", path.display()))
        });
        if made.is_err() {
            let _ = fs::remove_dir_all(&part);
            // Somebody else may have made it at the same time.
            if path.is_dir() {
                return Ok(());
            }
        }
        made
    }

    fn fetch(&self, path: &Path) -> Result<(), String> {
        run(git(path).args(["fetch", "--prune", "--force", "--quiet", "origin"]))
    }
}

fn run(command: &mut std::process::Command) -> Result<(), String> {
    let output = command
        .env("GIT_ALLOW_PROTOCOL", TRANSPORTS)
        .output()
        .map_err(|error| format!("start git: {error}; it must be installed"))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let line = words.lines().rfind(|line| !line.trim().is_empty());
    let line = line.unwrap_or("git failed").trim();
    Err(line.strip_prefix("fatal: ").unwrap_or(line).to_owned())
}
