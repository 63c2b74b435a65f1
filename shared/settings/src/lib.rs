//! Settings of the daemons: one source for the flags, the environment, the file
//! and what is written about them.
//!
//! A program describes its settings as arguments for clap, with `env`. The keys of
//! its file are the long names of its flags:
//!
//! ```toml
//! listen-people = "0.0.0.0:8443"
//! name = ["fleet.example.org", "10.0.0.5"]
//! heartbeat-interval = "10s"
//! ```
//!
//! The file's values become the flags' defaults. So clap itself sees to the order:
//! flag, then environment, then file, then default. What the file says is checked
//! with the flag's own parser, and an error names file, line and key.

mod file;
mod reference;
mod units;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Command};

pub use reference::reference;
pub use units::{duration, size};

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the settings in {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What the file says is wrong.
    #[error("{}:{line}: {what}", path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong, and how it would be right.
        what: String,
    },
    /// A flag or an environment variable is wrong, or somebody asked for help.
    #[error(transparent)]
    Usage(#[from] clap::Error),
}

/// Reads settings `T` from the command line `argv` (the program's name first), the
/// environment and `file`; `command` says what else there is to know for `--help`.
///
/// # Errors
/// The file cannot be read, or something of what was given is wrong.
pub fn parse<T: Args>(
    command: Command,
    file: Option<PathBuf>,
    argv: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<T, Error> {
    let mut command = T::augment_args(command);
    if let Some(file) = file {
        command = fill(command, &file)?;
    }
    let matches = command.try_get_matches_from_mut(argv)?;
    T::from_arg_matches(&matches).map_err(|error| Error::Usage(error.format(&mut command)))
}

/// Makes what the file `path` says the defaults of the command's flags.
///
/// # Errors
/// [`Error::File`], [`Error::Content`].
pub fn fill(command: Command, path: &Path) -> Result<Command, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::File {
        path: path.to_owned(),
        source,
    })?;
    file::fill(command, &text).map_err(|wrong| Error::Content {
        path: path.to_owned(),
        line: wrong.line,
        what: wrong.what,
    })
}

/// The flags that are settings: not those that say where the settings are, or that
/// only show something.
fn settings(command: &Command) -> impl Iterator<Item = (&clap::Arg, &str)> {
    use clap::ArgAction::{Help, HelpLong, HelpShort, Version};
    command.get_arguments().filter_map(|arg| {
        let name = arg.get_long()?;
        let shows = matches!(arg.get_action(), Help | HelpLong | HelpShort | Version);
        (name != "config" && !shows && !arg.is_hide_set()).then_some((arg, name))
    })
}
