//! Removing a folder whatever a job made of it.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Removes `path` and all below it. Blocking; asks `go_on` between files and
/// stops early, with an error, when that says no.
///
/// Depth costs nothing: a folder in a folder is first moved to the top, so a
/// job cannot make a tree too deep to be removed. Links are removed, not
/// followed. Folders closed to their owner are opened.
///
/// # Errors
/// The first failure.
pub fn remove_tree(path: &Path, go_on: &dyn Fn() -> bool) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(found) if !found.is_dir() => return fs::remove_file(path),
        Ok(_) => empty_tree(path, go_on)?,
    }
    fs::remove_dir(path)
}

/// As [`remove_tree`], but a folder itself stays.
///
/// # Errors
/// The first failure.
pub(super) fn empty_tree(path: &Path, go_on: &dyn Fn() -> bool) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.is_dir() {
        return fs::remove_file(path);
    }
    open(path)?;
    let mut moved = 0u64;
    loop {
        let mut empty = true;
        for entry in fs::read_dir(path)? {
            empty = false;
            if !go_on() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                remove_flat(&entry.path(), path, &mut moved)?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        if empty {
            return Ok(());
        }
    }
}

/// Removes a folder; folders in it are moved to `top`, to be met there later.
fn remove_flat(folder: &Path, top: &Path, moved: &mut u64) -> io::Result<()> {
    open(folder)?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            fs::remove_file(entry.path())?;
            continue;
        }
        open(&entry.path())?;
        // Most folders are leaves: no need to move those that are empty.
        if fs::remove_dir(entry.path()).is_ok() {
            continue;
        }
        loop {
            *moved += 1;
            let target = top.join(format!(".fleet-{moved}"));
            if fs::symlink_metadata(&target).is_err() {
                fs::rename(entry.path(), target)?;
                break;
            }
        }
    }
    fs::remove_dir(folder)
}

fn open(folder: &Path) -> io::Result<()> {
    let mode = fs::symlink_metadata(folder)?.permissions().mode();
    if mode & 0o700 != 0o700 {
        fs::set_permissions(folder, Permissions::from_mode(mode | 0o700))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn trees_deeper_than_any_path_are_removed() {
        let folder = TempDir::new().unwrap();
        let top = folder.path().join("top");
        fs::create_dir(&top).unwrap();
        // Built from below: no path could name the lowest.
        let name = "d".repeat(250);
        for _ in 0..100 {
            let above = folder.path().join("above");
            fs::create_dir(&above).unwrap();
            fs::rename(&top, above.join(&name)).unwrap();
            fs::rename(&above, &top).unwrap();
        }
        remove_tree(&top, &|| true).unwrap();
        assert!(!top.exists());
    }

    #[test]
    fn links_are_removed_and_not_followed() {
        let folder = TempDir::new().unwrap();
        let (kept, top) = (folder.path().join("kept"), folder.path().join("top"));
        fs::create_dir_all(top.join("a/b")).unwrap();
        fs::create_dir(&kept).unwrap();
        fs::write(kept.join("file"), "x").unwrap();
        std::os::unix::fs::symlink(&kept, top.join("a/link")).unwrap();
        std::os::unix::fs::symlink(&kept, top.join("a/b/link")).unwrap();
        fs::set_permissions(top.join("a/b"), Permissions::from_mode(0o000)).unwrap();
        remove_tree(&top, &|| true).unwrap();
        assert!(!top.exists() && kept.join("file").exists());
        std::os::unix::fs::symlink(&kept, &top).unwrap();
        remove_tree(&top, &|| true).unwrap();
        assert!(top.symlink_metadata().is_err() && kept.join("file").exists());
    }

    #[test]
    fn it_stops_when_told_to() {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("file"), "x").unwrap();
        assert!(remove_tree(folder.path(), &|| false).is_err());
        assert!(folder.path().join("file").exists());
    }
}
