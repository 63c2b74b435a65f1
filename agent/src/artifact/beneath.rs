//! Files below one folder, whatever links are in it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

/// Links followed, and ways back, on the way to one file.
const TURNS: usize = 40;

/// An open folder that nothing below it leads out of.
///
/// Links are followed as long as they stay inside. The check is made on open
/// folders, not on names, so a folder that is swapped for a link meanwhile
/// changes nothing.
#[derive(Debug)]
pub struct Root {
    top: OwnedFd,
}

/// What happens where a folder does not exist.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// It is an error.
    Fail,
    /// It is made.
    Create,
}

impl Root {
    /// Opens the folder at `path`.
    ///
    /// # Errors
    /// It cannot be opened, or is none.
    pub fn open(path: &Path) -> io::Result<Root> {
        Ok(Root {
            top: rustix::fs::openat(CWD, path, FOLDER, Mode::empty())?,
        })
    }

    /// Opens the folder at `path`, which is relative.
    pub(super) fn folder(&self, path: &Path, missing: Missing) -> io::Result<OwnedFd> {
        let mut here = self.top.try_clone()?;
        let mut names: Vec<OsString> = Vec::new();
        let mut todo = steps(path)?;
        let mut turns = 0;
        while let Some(name) = todo.pop() {
            if name == ".." {
                names.pop().ok_or_else(outside)?;
                todo.extend(names.drain(..).rev());
                here = self.top.try_clone()?;
                turns += 1;
            } else {
                match enter(&here, &name, missing) {
                    Ok(next) => {
                        here = next;
                        names.push(name);
                    }
                    Err(Errno::LOOP | Errno::NOTDIR) => {
                        todo.extend(steps(&link_target(&here, &name)?)?);
                        turns += 1;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            if turns > TURNS {
                return Err(Errno::LOOP.into());
            }
        }
        Ok(here)
    }

    /// The open folder that holds `path`, and its name there.
    pub(super) fn parent<'a>(
        &self,
        path: &'a Path,
        missing: Missing,
    ) -> io::Result<(OwnedFd, &'a OsStr)> {
        match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => Ok((self.folder(parent, missing)?, name)),
            _ => Ok((self.top.try_clone()?, OsStr::new("."))),
        }
    }

    /// What is at `path`; a link is not followed.
    pub(super) fn stat(&self, path: &Path) -> io::Result<Stat> {
        let (folder, name) = self.parent(path, Missing::Fail)?;
        Ok(rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Whether there is something at `path`, also behind a link.
    pub(super) fn leads_somewhere(&self, path: &Path) -> bool {
        self.parent(path, Missing::Fail)
            .is_ok_and(|(folder, name)| rustix::fs::statat(folder, name, AtFlags::empty()).is_ok())
    }

    /// Opens the file at `path` for reading; never waits for a FIFO.
    pub(super) fn open_file(&self, path: &Path) -> io::Result<File> {
        let (folder, name) = self.parent(path, Missing::Fail)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(File::from(rustix::fs::openat(
            folder,
            name,
            flags,
            Mode::empty(),
        )?))
    }

    /// Where the link at `path` points to.
    pub(super) fn read_link(&self, path: &Path) -> io::Result<OsString> {
        let (folder, name) = self.parent(path, Missing::Fail)?;
        Ok(link_target(&folder, name)?.into_os_string())
    }

    /// The names in the folder at `path` and whether each is a folder itself,
    /// in byte order.
    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<(OsString, bool)>> {
        let folder = self.folder(path, Missing::Fail)?;
        let mut all = Vec::new();
        for entry in Dir::read_from(&folder)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            let kind = match entry.file_type() {
                // Some file systems do not say.
                FileType::Unknown => kind(&rustix::fs::statat(
                    &folder,
                    name,
                    AtFlags::SYMLINK_NOFOLLOW,
                )?),
                known => known,
            };
            all.push((name.to_owned(), kind == FileType::Directory));
        }
        all.sort_unstable();
        Ok(all)
    }
}

const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

/// The kind of file that `stat` tells of.
pub(super) fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

fn enter(here: &OwnedFd, name: &OsStr, missing: Missing) -> Result<OwnedFd, Errno> {
    let open = || rustix::fs::openat(here, name, FOLDER | OFlags::NOFOLLOW, Mode::empty());
    match open() {
        Err(Errno::NOENT) if missing == Missing::Create => {
            match rustix::fs::mkdirat(here, name, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => open(),
                Err(error) => Err(error),
            }
        }
        result => result,
    }
}

fn link_target(folder: &OwnedFd, name: &OsStr) -> io::Result<PathBuf> {
    match rustix::fs::readlinkat(folder, name, Vec::new()) {
        Ok(target) => Ok(OsString::from_vec(target.into_bytes()).into()),
        Err(Errno::INVAL) => Err(Errno::NOTDIR.into()),
        Err(error) => Err(error.into()),
    }
}

/// The components of a relative path, the last one first.
fn steps(path: &Path) -> io::Result<Vec<OsString>> {
    let mut steps = Vec::new();
    for component in path.components().rev() {
        match component {
            Component::Normal(name) => steps.push(name.to_owned()),
            Component::ParentDir => steps.push("..".into()),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return Err(outside()),
        }
    }
    Ok(steps)
}

fn outside() -> io::Error {
    io::Error::new(
        io::ErrorKind::PermissionDenied,
        "the path leads out of the project folder",
    )
}
