//! The folder of one lease: what the agent and the job's supervisor have in common,
//! and all that is left of the job when both were killed.
//!
//! | file | what |
//! |---|---|
//! | `log` | the job's masked log, as far as it was written |
//! | `lock` | locked as long as the supervisor lives; holds its process number, for people |
//! | `socket` | where the supervisor listens |
//! | `record` | written before the job began: whose it is, how its processes are known |
//! | `result` | written when the job was over |
//!
//! Records hold the checksum of what follows it.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use flate2::Crc;
use fleet_proto::v1;
use prost::Message;
use rustix::fs::{FlockOperation, flock};
use tokio::net::{UnixListener, UnixStream};

const LOCK: &str = "lock";
const SOCKET: &str = "socket";
const RECORD: &str = "record";
const RESULT: &str = "result";
/// No record is nearly as large.
const MOST_BYTES: u64 = 1 << 20;

/// The folder of one lease.
#[derive(Clone, Debug)]
pub(crate) struct Folder(PathBuf);

/// Whoever has it is the lease's supervisor, or does what is left to do after it.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "the file is locked while it is open")] File);

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    /// It is not what was written.
    #[error("{0} is damaged")]
    Damaged(PathBuf),
    /// The disk's.
    #[error(transparent)]
    File(#[from] io::Error),
}

/// Whether a file is to survive the host.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Safe {
    OnDisk,
    InMemory,
}

impl Folder {
    pub(crate) fn new(path: impl Into<PathBuf>) -> Folder {
        Folder(path.into())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Takes the lock; none if another process has it, or if the folder was
    /// removed meanwhile.
    ///
    /// # Errors
    /// The lock file cannot be made.
    pub(crate) fn lock(&self) -> io::Result<Option<Lock>> {
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(self.0.join(LOCK))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        // Whoever had the lock before may have removed it with all the rest.
        if file.metadata()?.nlink() == 0 {
            return Ok(None);
        }
        let id = std::process::id().to_string();
        // On a full disk people do without; the lock counts all the same.
        let _for_people = file.set_len(0).and_then(|()| file.write_all(id.as_bytes()));
        Ok(Some(Lock(file)))
    }

    /// The process that has the lock, or had it last.
    pub(crate) fn owner(&self) -> Option<u32> {
        fs::read_to_string(self.0.join(LOCK)).ok()?.parse().ok()
    }

    /// Whether a process has the lock.
    ///
    /// # Errors
    /// The lock file cannot be looked at.
    pub(crate) fn is_locked(&self) -> io::Result<bool> {
        let file = File::open(self.0.join(LOCK))?;
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(false),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// # Errors
    /// The disk's.
    pub(crate) fn write_record(&self, record: &v1::LeaseRecord) -> io::Result<()> {
        // After a crash of the host nobody looks at it any more.
        self.write(RECORD, record, Safe::InMemory)
    }

    /// Nothing of the job is left.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn remove_record(&self) -> io::Result<()> {
        match fs::remove_file(self.0.join(RECORD)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// What the supervisor wrote down before its job began; none if it did not
    /// come so far.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub(crate) fn record(&self) -> Result<Option<v1::LeaseRecord>, Unreadable> {
        self.read(RECORD)
    }

    /// Returns when the result is on the disk itself.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn write_result(&self, result: &v1::JobResult) -> io::Result<()> {
        self.write(RESULT, result, Safe::OnDisk)
    }

    /// How the job ended; none if it did not, or nobody could say.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub(crate) fn result(&self) -> Result<Option<v1::JobResult>, Unreadable> {
        self.read(RESULT)
    }

    /// Listens where [`Folder::connect`] connects to.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn listen(&self) -> io::Result<UnixListener> {
        let listener = self.with_short_path(|path| UnixListener::bind(path))?;
        fs::set_permissions(self.0.join(SOCKET), Permissions::from_mode(0o600))?;
        Ok(listener)
    }

    /// Connects to the supervisor.
    ///
    /// # Errors
    /// It does not listen.
    pub(crate) fn connect(&self) -> io::Result<UnixStream> {
        let stream = self.with_short_path(std::os::unix::net::UnixStream::connect)?;
        stream.set_nonblocking(true)?;
        UnixStream::from_std(stream)
    }

    /// A socket's path has room for about a hundred bytes, whatever the length of
    /// the folder's.
    fn with_short_path<T>(&self, with: impl FnOnce(PathBuf) -> io::Result<T>) -> io::Result<T> {
        let folder = File::open(&self.0)?;
        with(Path::new("/proc/self/fd").join(format!("{}/{SOCKET}", folder.as_raw_fd())))
    }

    fn write(&self, name: &str, record: &impl Message, safe: Safe) -> io::Result<()> {
        let payload = record.encode_to_vec();
        let path = self.0.join(name);
        let new = self.0.join(format!("{name}.new"));
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(&checksum(&payload).to_be_bytes())?;
        file.write_all(&payload)?;
        if safe == Safe::OnDisk {
            file.sync_all()?;
        }
        fs::rename(&new, &path)?;
        if safe == Safe::OnDisk {
            File::open(&self.0)?.sync_all()?;
        }
        Ok(())
    }

    fn read<M: Message + Default>(&self, name: &str) -> Result<Option<M>, Unreadable> {
        let path = self.0.join(name);
        let mut bytes = Vec::new();
        match File::open(&path) {
            Ok(file) => file.take(MOST_BYTES).read_to_end(&mut bytes)?,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let whole = bytes
            .split_first_chunk()
            .filter(|(sum, payload)| u32::from_be_bytes(**sum) == checksum(payload))
            .and_then(|(_, payload)| M::decode(payload).ok());
        whole.map(Some).ok_or(Unreadable::Damaged(path))
    }
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path().join("leases/7"));
        fs::create_dir_all(folder.path()).unwrap();
        (dir, folder)
    }

    fn result() -> v1::JobResult {
        v1::JobResult {
            fence: 7,
            message: "job succeeded".into(),
            ..Default::default()
        }
    }

    #[test]
    fn one_process_at_a_time_has_the_lock() {
        let (_dir, folder) = folder();
        let lock = folder.lock().unwrap();
        assert!(lock.is_some());
        assert!(folder.lock().unwrap().is_none());
        assert!(folder.is_locked().unwrap());
        assert_eq!(folder.owner(), Some(std::process::id()));
        drop(lock);
        assert!(folder.lock().unwrap().is_some());
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let (_dir, folder) = folder();
        assert!(folder.result().unwrap().is_none());
        folder.write_result(&result()).unwrap();
        assert_eq!(folder.result().unwrap(), Some(result()));
    }

    #[test]
    fn every_damage_of_a_record_is_seen() {
        let (_dir, folder) = folder();
        folder.write_result(&result()).unwrap();
        let path = folder.path().join(RESULT);
        let whole = fs::read(&path).unwrap();
        let damaged = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            matches!(folder.result(), Err(Unreadable::Damaged(_)))
        };
        for cut in 0..whole.len() {
            assert!(damaged(&whole[..cut]), "{cut}");
        }
        for at in 0..whole.len() {
            let mut other = whole.clone();
            other[at] ^= 1;
            assert!(damaged(&other), "{at}");
        }
    }

    #[tokio::test]
    async fn a_long_path_does_not_keep_a_socket_from_being_found() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path().join("x".repeat(200)));
        fs::create_dir(folder.path()).unwrap();
        assert!(folder.connect().is_err());
        let listener = folder.listen().unwrap();
        let (accepted, connected) = tokio::join!(listener.accept(), async { folder.connect() });
        accepted.unwrap();
        connected.unwrap();
    }
}
