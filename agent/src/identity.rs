//! Who the agent is in its fleet: key, certificate, and whom it trusts.
//!
//! All of it is the folder `identity` of the agent's state, which is replaced as a
//! whole.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fleet_tls::certificate::{self, Leaf};
use fleet_tls::client::{self, Trust};
use fleet_tls::request;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::{Deserialize, Serialize};
use tonic::transport::Channel;

const FOLDER: &str = "identity";
const NEW: &str = "identity.new";
const KEY: &str = "key.pem";
const CERTIFICATE: &str = "cert.pem";
const AUTHORITY: &str = "ca.pem";
const ABOUT: &str = "identity.toml";
/// The key of a certificate that was asked for and has not come: asking again with
/// it is no second asking.
const NEXT_KEY: &str = "identity.next-key.pem";

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The host has not joined.
    #[error("{0} holds no identity: this host has not joined a fleet (fleet-agent join)")]
    None(PathBuf),
    /// A file cannot be read or written.
    #[error("use the agent's identity in {path}: {source}")]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// What is in them is of no use.
    #[error(
        "the agent's identity in {0} is damaged: {1}; join this host anew (fleet-agent join --force)"
    )]
    Damaged(PathBuf, String),
    /// No key can be made.
    #[error(transparent)]
    Key(#[from] request::Error),
    /// No channel can be made.
    #[error(transparent)]
    Channel(#[from] client::Error),
}

/// An agent's identity.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// The agent's name in the fleet.
    pub(crate) agent: String,
    /// Grows with every certificate.
    pub(crate) generation: u64,
    /// When its certificate came.
    pub(crate) received: SystemTime,
    /// PEM.
    pub(crate) chain: String,
    /// PEM.
    pub(crate) bundle: String,
    /// PEM.
    pub(crate) key: Secret,
}

/// A private key, which nothing shows.
#[derive(Clone)]
pub(crate) struct Secret(pub(crate) String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Secret")
    }
}

#[derive(Deserialize, Serialize)]
struct About {
    agent: String,
    generation: u64,
}

impl Identity {
    /// Whether there is one in the agent's `state` folder.
    pub(crate) fn exists(state: &Path) -> bool {
        state.join(FOLDER).join(ABOUT).exists()
    }

    /// # Errors
    /// There is none, or it cannot be read.
    pub(crate) fn read(state: &Path) -> Result<Identity, Error> {
        let path = state.join(FOLDER);
        // The folder is opened once: another one may take its name meanwhile.
        let folder = match File::open(&path) {
            Ok(folder) => folder,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::None(state.to_owned()));
            }
            Err(source) => return Err(Error::File { path, source }),
        };
        let read = |name: &str| -> Result<String, Error> {
            let failed = |source| Error::File {
                path: path.join(name),
                source,
            };
            let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
            let file = rustix::fs::openat(&folder, name, flags, rustix::fs::Mode::empty())
                .map_err(|error| failed(error.into()))?;
            io::read_to_string(File::from(file)).map_err(failed)
        };
        let about: About = toml::from_str(&read(ABOUT)?)
            .map_err(|error| Error::Damaged(path.clone(), error.message().to_owned()))?;
        Ok(Identity {
            agent: about.agent,
            generation: about.generation,
            received: written(&folder).unwrap_or_else(|_| SystemTime::now()),
            chain: read(CERTIFICATE)?,
            bundle: read(AUTHORITY)?,
            key: Secret(read(KEY)?),
        })
    }

    /// Writes it, in place of what was there.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn write(&self, state: &Path) -> Result<(), Error> {
        let (path, new) = (state.join(FOLDER), state.join(NEW));
        let about = About {
            agent: self.agent.clone(),
            generation: self.generation,
        };
        let about = toml::to_string(&about)
            .map_err(|error| Error::Damaged(path.clone(), error.to_string()))?;
        let files = [
            (KEY, self.key.0.as_str()),
            (CERTIFICATE, &self.chain),
            (AUTHORITY, &self.bundle),
            (ABOUT, &about),
        ];
        let written = || -> io::Result<()> {
            remove(&new)?;
            DirBuilder::new().mode(0o700).create(&new)?;
            for (name, text) in files {
                write(&new.join(name), text)?;
            }
            File::open(&new)?.sync_all()?;
            if path.exists() {
                renameat_with(CWD, &new, CWD, &path, RenameFlags::EXCHANGE)?;
            } else {
                fs::rename(&new, &path)?;
            }
            File::open(state)?.sync_all()?;
            remove(&new)?;
            match fs::remove_file(state.join(NEXT_KEY)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            }
        };
        written().map_err(|source| Error::File {
            path: path.clone(),
            source,
        })
    }

    /// The key for the next certificate, the same until one was written.
    ///
    /// # Errors
    /// It can be neither read nor made.
    pub(crate) fn next_key(state: &Path) -> Result<request::Key, Error> {
        let path = state.join(NEXT_KEY);
        if let Ok(text) = fs::read_to_string(&path)
            && let Ok(key) = request::Key::from_pem(&text)
        {
            return Ok(key);
        }
        let key = request::Key::generate()?;
        let new = state.join(format!("{NEXT_KEY}.new"));
        write(&new, &key.pem())
            .and_then(|()| fs::rename(&new, &path))
            .map_err(|source| Error::File { path, source })?;
        Ok(key)
    }

    /// A channel to `server` with it.
    ///
    /// # Errors
    /// The URL or the identity is of no use.
    pub(crate) fn channel(&self, server: &str) -> Result<Channel, Error> {
        let identity = client::Identity {
            chain: self.chain.clone(),
            key: self.key.0.clone(),
        };
        let trust = Trust::Bundle(self.bundle.clone());
        Ok(client::channel(server, &trust, Some(&identity))?)
    }

    /// What its certificate says.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn leaf(&self) -> Result<Leaf, certificate::Error> {
        Leaf::from_pem(&self.chain)
    }

    /// When half of the time is over, give or take a tenth, from when its
    /// certificate came to the end of `leaf`, which is that certificate. It may have
    /// begun long before it came.
    pub(crate) fn half_life(&self, leaf: &Leaf) -> SystemTime {
        let life = leaf.not_after.duration_since(self.received);
        // Hosts that joined together do not ask together: each key has its own time.
        let digits = leaf.key.bytes();
        let spread = digits.fold(0, |sum, digit| (sum * 31 + u32::from(digit)) % 201);
        self.received + life.unwrap_or(Duration::ZERO) * (400 + spread) / 1000
    }
}

/// When the folder of an identity was filled.
fn written(folder: &File) -> io::Result<SystemTime> {
    folder.metadata()?.modified()
}

/// Writes a file that only its owner reads, through to the disk.
pub(crate) fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(generation: u64) -> Identity {
        Identity {
            agent: "h1".into(),
            generation,
            received: SystemTime::now(),
            chain: "chain".into(),
            bundle: "bundle".into(),
            key: Secret("key".into()),
        }
    }

    #[test]
    fn an_identity_replaces_the_one_before_and_its_waiting_key() {
        let state = tempfile::tempdir().unwrap();
        let state = state.path();
        assert!(matches!(Identity::read(state), Err(Error::None(_))));
        for generation in 1..3 {
            let key = Identity::next_key(state).unwrap();
            assert_eq!(Identity::next_key(state).unwrap().hash(), key.hash());
            identity(generation).write(state).unwrap();
            assert_eq!(Identity::read(state).unwrap().generation, generation);
            assert_ne!(Identity::next_key(state).unwrap().hash(), key.hash());
        }
        assert!(!state.join(NEW).exists());
    }
}
