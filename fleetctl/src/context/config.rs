//! The file contexts are kept in:
//!
//! ```toml
//! current = "work"
//!
//! [contexts.work]
//! server = "https://fleet.example.org:8443"
//! token = "glpat-…"
//! ca_file = "/home/anna/.config/fleet/work.pem"
//! user = "anna"
//! ```

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::Failure;

/// All contexts of a person.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    /// The one that counts where none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) current: Option<String>,
    #[serde(default)]
    pub(super) contexts: BTreeMap<String, Context>,
}

/// One of them.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Context {
    pub(super) server: String,
    pub(super) token: String,
    /// None: the system's authorities are trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ca_file: Option<PathBuf>,
    /// Whose token it is, as the server said.
    #[serde(default)]
    pub(super) user: String,
}

impl Config {
    /// Reads the file in `dir`; empty where there is none.
    ///
    /// # Errors
    /// Others can read it, or it is no such file.
    pub(super) fn load(dir: &Path) -> Result<Config, Failure> {
        let path = file_in(dir);
        let text = match read_private(&path) {
            Ok(text) => text,
            Err(PrivateError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Config::default());
            }
            Err(error) => return Err(Failure::usage(error.about(&path))),
        };
        toml::from_str(&text)
            .map_err(|error| Failure::usage(format!("{}: {}", path.display(), error.message())))
    }

    /// Writes the file in `dir`, whole or not at all; only its owner can read it.
    pub(super) fn save(&self, dir: &Path) -> Result<(), Failure> {
        let text = toml::to_string(self).context("write the contexts as TOML")?;
        let path = file_in(dir);
        write_private(&path, text.as_bytes())
            .with_context(|| format!("write {}", path.display()))?;
        Ok(())
    }

    /// The context of this name, or the current one.
    pub(super) fn get(&self, name: Option<&str>) -> Result<(&str, &Context), Failure> {
        let Some(name) = name.or(self.current.as_deref()) else {
            return Err(Failure::usage(if self.contexts.is_empty() {
                "no server is known. Try: fleetctl context add NAME --server URL --token-file FILE"
            } else {
                "no context is the current one. Try: fleetctl context use NAME"
            }));
        };
        match self.contexts.get_key_value(name) {
            Some((name, context)) => Ok((name, context)),
            None => Err(self.unknown(name)),
        }
    }

    /// The failure where there is no context of this name.
    pub(super) fn unknown(&self, name: &str) -> Failure {
        let known: Vec<&str> = self.contexts.keys().map(String::as_str).collect();
        let known = if known.is_empty() {
            "there is none yet".to_owned()
        } else {
            format!("there is {}", known.join(", "))
        };
        Failure::not_found(format!(
            "there is no context `{name}`; {known}. Try: fleetctl context add {name} --server URL --token-file FILE"
        ))
    }
}

/// The file in its folder.
pub(super) fn file_in(dir: &Path) -> PathBuf {
    dir.join("config.toml")
}

/// Why a file with a secret is not read.
#[derive(Debug)]
pub(super) enum PrivateError {
    /// It cannot be.
    Io(io::Error),
    /// Others can read it too.
    Open,
}

impl PrivateError {
    /// What to tell of the file.
    pub(super) fn about(&self, path: &Path) -> String {
        let shown = path.display();
        match self {
            PrivateError::Io(error) => format!("cannot read {shown}: {error}"),
            PrivateError::Open => {
                format!("{shown} holds a secret and others can read it. Try: chmod 600 {shown}")
            }
        }
    }
}

/// Reads a file with a secret, if only its owner can.
pub(super) fn read_private(path: &Path) -> Result<String, PrivateError> {
    let mut file = File::open(path).map_err(PrivateError::Io)?;
    let meta = file.metadata().map_err(PrivateError::Io)?;
    // A pipe (`<(…)`) is nobody else's; its mode says nothing.
    if meta.is_file() && meta.permissions().mode() & 0o077 != 0 {
        return Err(PrivateError::Open);
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(PrivateError::Io)?;
    Ok(text)
}

/// Writes a file that only its owner can read, whole or not at all.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let temporary = dir.join(name);
    let _ = fs::remove_file(&temporary);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}
