//! The snapshots' own object store: a bare repository under `.fleet/` that
//! borrows the objects of the user's repository and never writes there.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::Compression;
use flate2::write::ZlibEncoder;
use sha1::{Digest, Sha1};
use sha2::Sha256;

use crate::repository::{Repository, quote};

/// Emptied when one of the 256 object folders holds more than this, about
/// 10,000 objects: a run makes few, and what a later one needs it makes again.
const OBJECTS_PER_FOLDER: usize = 40;
/// The same for packs, which git makes of very large files.
const PACKS: usize = 20;

/// The opened store. While it lives no other run empties it.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) path: PathBuf,
    /// Hashes are SHA-256, as in the user's repository.
    pub(super) sha256: bool,
    _in_use: File,
}

/// An object's name in bytes.
pub(super) type Hash = Vec<u8>;

impl Store {
    /// Opens or makes the store for `repository`; for a plain folder: of its own.
    pub(super) fn open(path: &Path, repository: Option<&Repository>) -> io::Result<Store> {
        fs::create_dir_all(path)?;
        let lock = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path.join("fleet.lock"))?;
        let sha256 = repository.is_some_and(Repository::is_sha256);
        // Whoever gets the lock for itself is alone: nothing in the store is in
        // use, and what killed runs left goes.
        match lock.try_lock() {
            Ok(()) => {
                remove(&path.join("fleet"))?;
                if is_overgrown(path) || written_format(path).is_some_and(|old| old != sha256) {
                    for part in ["objects", "added", "refs", "config", "index"] {
                        remove(&path.join(part))?;
                    }
                }
                lock.unlock()?;
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
        lock.lock_shared()?;
        let store = Store {
            path: path.to_owned(),
            sha256,
            _in_use: lock,
        };
        store.lay_out()?;
        match repository {
            Some(repository) => {
                store.borrow_from(&repository.object_stores())?;
                store.copy_shallow(repository)?;
            }
            None => store.borrow_from(&[])?,
        }
        Ok(store)
    }

    /// What `git init --bare` would make, without the process.
    fn lay_out(&self) -> io::Result<()> {
        for folder in [
            "added/pack",
            "objects/info",
            "objects/pack",
            "refs/snapshots",
            "fleet",
        ] {
            fs::create_dir_all(self.path.join(folder))?;
        }
        let format = if self.sha256 {
            "[core]\n\trepositoryformatversion = 1\n\tbare = true\n[extensions]\n\tobjectformat = sha256\n"
        } else {
            "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"
        };
        // A job may fetch any commit of it: there is nothing here that its
        // owner's jobs may not see.
        let config = format!("{format}[uploadpack]\n\tallowAnySHA1InWant = true\n");
        self.write("config", config.as_bytes())?;
        self.write("HEAD", b"ref: refs/heads/none\n")
    }

    /// Where `git add` writes. It is a store of its own that borrows from none: git
    /// sets the time of an object that it finds in a borrowed store when it would
    /// have written it, and the user's objects are not to be touched.
    pub(super) fn added(&self) -> PathBuf {
        self.path.join("added")
    }

    /// Adds object stores to those that this one reads from.
    pub(super) fn borrow_from(&self, stores: &[PathBuf]) -> io::Result<()> {
        let old = fs::read(self.path.join("objects/info/alternates")).unwrap_or_default();
        let mut lines: Vec<Vec<u8>> = old
            .split(|byte| *byte == b'\n')
            .filter(|line| line.starts_with(b"\"") || Path::new(OsStr::from_bytes(line)).is_dir())
            .map(<[u8]>::to_vec)
            .collect();
        for line in std::iter::once(&self.added())
            .chain(stores)
            .map(|store| quote(store))
        {
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        let mut text = lines.join(&b'\n');
        text.push(b'\n');
        self.write("objects/info/alternates", &text)
    }

    /// A shallow clone's missing history is missing here too.
    fn copy_shallow(&self, repository: &Repository) -> io::Result<()> {
        match fs::read(repository.common_dir.join("shallow")) {
            Ok(text) => self.write("shallow", &text),
            Err(_) => remove(&self.path.join("shallow")),
        }
    }

    /// Writes a file whole or not at all, and only if it differs.
    pub(super) fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let path = self.path.join(name);
        if fs::read(&path).is_ok_and(|old| old == content) {
            return Ok(());
        }
        let scratch = self.scratch("file");
        fs::write(&scratch, content)?;
        fs::rename(scratch, path)
    }

    /// A name for a file of this run alone.
    pub(super) fn scratch(&self, kind: &str) -> PathBuf {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        self.path
            .join("fleet")
            .join(format!("{kind}-{}-{number}", std::process::id()))
    }

    /// Stores an object of a kind (`tree`, `commit`) and returns its hash.
    pub(super) fn write_object(&self, kind: &str, content: &[u8]) -> io::Result<Hash> {
        let header = format!("{kind} {}\0", content.len());
        let hash = if self.sha256 {
            digest::<Sha256>(&header, content)
        } else {
            digest::<Sha1>(&header, content)
        };
        let name = hex(&hash);
        let (folder, name) = name.split_at(2);
        let folder = self.path.join("objects").join(folder);
        let path = folder.join(name);
        if !path.exists() {
            fs::create_dir_all(&folder)?;
            let scratch = self.scratch("object");
            let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
            zlib.write_all(header.as_bytes())?;
            zlib.write_all(content)?;
            fs::write(&scratch, zlib.finish()?)?;
            fs::rename(scratch, path)?;
        }
        Ok(hash)
    }

    /// Makes `refs/snapshots/<sha>`, by which jobs fetch a snapshot.
    pub(super) fn write_ref(&self, sha: &str) -> io::Result<String> {
        let name = format!("refs/snapshots/{sha}");
        self.write(&name, format!("{sha}\n").as_bytes())?;
        Ok(name)
    }
}

fn digest<D: Digest>(header: &str, content: &[u8]) -> Hash {
    let mut digest = D::new();
    digest.update(header.as_bytes());
    digest.update(content);
    digest.finalize().to_vec()
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Whether the store was laid out for SHA-256; none: it is new.
fn written_format(path: &Path) -> Option<bool> {
    let config = fs::read_to_string(path.join("config")).ok()?;
    Some(config.contains("sha256"))
}

fn is_overgrown(path: &Path) -> bool {
    let count = |folder: &str| fs::read_dir(path.join(folder)).map_or(0, Iterator::count);
    // Hashes spread evenly: one folder tells the number in all, as in `git gc --auto`.
    count("objects/17") + count("added/17") > OBJECTS_PER_FOLDER || count("added/pack") > PACKS
}

fn remove(path: &Path) -> io::Result<()> {
    let gone = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match gone {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
