//! Secrets at rest: values sealed under a key that is never in the store.
//!
//! XChaCha20-Poly1305 with a random nonce; what the record is goes into the seal,
//! so that values cannot be swapped between records.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use sha2::{Digest as _, Sha256};

use crate::store::{Batch, Error as StoreError, Journal, Records};

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
/// A value that opens with the right key alone.
const CHECK: &str = "meta/secret-key";

/// A value that only the [`Sealer`] can read, as it stands in a record: the key's
/// id, nonce and ciphertext, in base64.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub(crate) struct Sealed(String);

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[sealed]")
    }
}

/// Seals and opens values; cheap to clone.
#[derive(Clone)]
pub(crate) struct Sealer {
    cipher: Arc<XChaCha20Poly1305>,
    /// The start of the key's hash: tells keys apart.
    id: String,
}

/// A value that cannot be opened: another key, or not the record it was made for.
#[derive(Debug, thiserror::Error)]
#[error("a sealed value of {about} cannot be opened: wrong key, or the record was tampered with")]
pub(crate) struct Unreadable {
    about: String,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The file cannot be read or made.
    #[error("read or make the secret key {}", path.display())]
    File {
        path: PathBuf,
        source: std::io::Error,
    },
    /// Others could read it.
    #[error("the secret key {} can be read by others: chmod 600 {}", path.display(), path.display())]
    Open { path: PathBuf },
    /// It is no key.
    #[error("{whence} is no key: 32 bytes in base64 are needed (openssl rand -base64 32)")]
    NoKey { whence: String },
    /// Another key sealed what is in the store.
    #[error(
        "the secret key is not the one this store was written with: give the right one; nothing was changed"
    )]
    Wrong,
    /// The store's check value cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Sealer {
    /// Takes the key from `file`, else from the text `given`, else from `own`, which
    /// is made if it is not there.
    ///
    /// # Errors
    /// [`Error`]: there is no key to be had there.
    pub(crate) fn load(
        file: Option<&Path>,
        given: Option<&str>,
        own: &Path,
    ) -> Result<Sealer, Error> {
        match (file, given) {
            (Some(file), _) => read(file),
            (None, Some(text)) => parse(text, "FLEET_SECRET_KEY"),
            (None, None) if own.exists() => read(own),
            (None, None) => make(own),
        }
    }

    fn new(key: &[u8; KEY_BYTES]) -> Sealer {
        let hash = Sha256::digest(key);
        Sealer {
            cipher: Arc::new(XChaCha20Poly1305::new(&(*key).into())),
            id: hash
                .iter()
                .take(4)
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        }
    }

    /// Refuses a key that is not the store's; a store without one takes this.
    ///
    /// # Errors
    /// [`Error::Wrong`].
    pub(crate) fn check(&self, records: &mut Records, journal: &Journal) -> Result<(), Error> {
        match records.take::<Sealed>(CHECK)?.pop() {
            Some((_, sealed)) => self
                .open(CHECK, &sealed)
                .map(drop)
                .map_err(|_| Error::Wrong),
            None => {
                let mut batch = Batch::default();
                batch.put(CHECK, &self.seal(CHECK, b"fleet"));
                journal.submit(batch);
                Ok(())
            }
        }
    }

    /// Seals `value` so that it opens only with the same `about`: what the record
    /// is, so that values cannot be swapped between records.
    ///
    /// # Panics
    /// The system gives no randomness.
    pub(crate) fn seal(&self, about: &str, value: &[u8]) -> Sealed {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).expect("the system gives randomness once it is up");
        let payload = Payload {
            msg: value,
            aad: about.as_bytes(),
        };
        let sealed = self
            .cipher
            .encrypt(&XNonce::from(nonce), payload)
            .expect("values are far smaller than the cipher's limit");
        let body = STANDARD.encode([&nonce[..], &sealed].concat());
        Sealed(format!("{}:{body}", self.id))
    }

    /// Opens a value.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub(crate) fn open(&self, about: &str, sealed: &Sealed) -> Result<Vec<u8>, Unreadable> {
        let opened = || {
            let (_, body) = sealed.0.split_once(':')?;
            let body = STANDARD.decode(body).ok()?;
            let (nonce, text) = body.split_at_checked(NONCE_BYTES)?;
            let nonce: [u8; NONCE_BYTES] = nonce.try_into().ok()?;
            let payload = Payload {
                msg: text,
                aad: about.as_bytes(),
            };
            self.cipher.decrypt(&XNonce::from(nonce), payload).ok()
        };
        opened().ok_or_else(|| Unreadable {
            about: about.to_owned(),
        })
    }

    /// One for tests, and for stores that keep nothing.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Sealer {
        Sealer::new(&[7; KEY_BYTES])
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").field("id", &self.id).finish()
    }
}

fn read(path: &Path) -> Result<Sealer, Error> {
    let failed = |source| Error::File {
        path: path.to_owned(),
        source,
    };
    let mode = fs::metadata(path).map_err(failed)?.mode();
    // Readable by the group is how Kubernetes mounts secrets.
    if mode & 0o007 != 0 {
        return Err(Error::Open {
            path: path.to_owned(),
        });
    }
    let text = fs::read_to_string(path).map_err(failed)?;
    parse(&text, &path.display().to_string())
}

fn parse(text: &str, whence: &str) -> Result<Sealer, Error> {
    let key = STANDARD.decode(text.trim()).ok();
    let key: Option<[u8; KEY_BYTES]> = key.and_then(|key| key.try_into().ok());
    key.map(|key| Sealer::new(&key))
        .ok_or_else(|| Error::NoKey {
            whence: whence.to_owned(),
        })
}

fn make(path: &Path) -> Result<Sealer, Error> {
    let failed = |source| Error::File {
        path: path.to_owned(),
        source,
    };
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key).map_err(|error| failed(std::io::Error::other(error)))?;
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| {
            file.write_all(STANDARD.encode(key).as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()
        });
    written.map_err(failed)?;
    Ok(Sealer::new(&key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_open_as_what_they_were_sealed_for_and_show_nothing() {
        let sealer = Sealer::for_tests();
        let sealed = sealer.seal("variable/1/A", b"s3cret");
        assert_eq!(sealer.open("variable/1/A", &sealed).unwrap(), b"s3cret");
        assert!(sealer.open("variable/1/B", &sealed).is_err());
        assert!(!format!("{sealed:?}{}", sealed.0).contains("s3cret"));
        // The same value twice is not seen to be the same.
        assert_ne!(sealed, sealer.seal("variable/1/A", b"s3cret"));
        let other = Sealer::new(&[8; KEY_BYTES]);
        assert!(other.open("variable/1/A", &sealed).is_err());
        assert!(sealer.open("variable/1/A", &Sealed("x:!".into())).is_err());
    }

    #[test]
    fn key_is_made_once_for_its_owner_alone_and_taken_up_again() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("secret.key");
        let first = Sealer::load(None, None, &own).unwrap();
        assert_eq!(fs::metadata(&own).unwrap().mode() & 0o777, 0o600);
        let sealed = first.seal("a", b"b");
        let again = Sealer::load(None, None, &own).unwrap();
        assert_eq!(again.open("a", &sealed).unwrap(), b"b");
        fs::set_permissions(&own, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        let refused = Sealer::load(Some(&own), None, &own).unwrap_err();
        assert!(refused.to_string().contains("chmod 600"), "{refused}");
        assert!(Sealer::load(None, Some("short"), &own).is_err());
    }

    #[test]
    fn another_key_than_the_stores_is_refused() {
        let journal = Journal::volatile();
        let (sealer, other) = (Sealer::for_tests(), Sealer::new(&[8; KEY_BYTES]));
        let mut records = Records::default();
        let check = serde_json::to_vec(&sealer.seal(CHECK, b"fleet")).unwrap();
        records.0.insert(CHECK.to_owned(), check);
        assert!(sealer.check(&mut records.clone(), &journal).is_ok());
        assert!(matches!(
            other.check(&mut records, &journal),
            Err(Error::Wrong)
        ));
    }
}
