//! A program with its arguments, before it runs.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// A program that an [`Environment`](super::Environment) is to run.
///
/// It gets the agent's own environment but for what names a git repository of
/// the agent's caller and the agent's own settings.
#[derive(Clone, Debug)]
pub struct Command {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<OsString>,
    pub(super) variables: Vec<(OsString, OsString)>,
    pub(super) hidden: fn(&OsStr) -> bool,
    pub(super) cwd: PathBuf,
}

impl Command {
    /// `program`, found in `PATH` unless it is a path, run in `cwd`.
    pub fn new(program: impl Into<PathBuf>, cwd: impl Into<PathBuf>) -> Command {
        Command {
            program: program.into(),
            arguments: Vec::new(),
            variables: Vec::new(),
            hidden: hidden_from_jobs,
            cwd: cwd.into(),
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Command {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Command {
        self.arguments
            .extend(arguments.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// Has `program` run it, as its last arguments.
    #[must_use]
    pub(super) fn after<A: AsRef<OsStr>>(
        mut self,
        program: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        let own = std::mem::replace(&mut self.program, program.into());
        let own = std::iter::once(own.into_os_string()).chain(self.arguments);
        let before = arguments.into_iter().map(|a| a.as_ref().to_owned());
        self.arguments = before.chain(own).collect();
        self
    }

    /// Sets a variable of its environment; the last of a name wins.
    #[must_use]
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Command {
        self.variables
            .push((key.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Also keeps the agent's own variables from it for which `hidden` is true.
    #[must_use]
    pub fn hide(mut self, hidden: fn(&OsStr) -> bool) -> Command {
        self.hidden = hidden;
        self
    }

    /// Its name, for messages.
    pub(super) fn name(&self) -> String {
        Path::new(&self.program).display().to_string()
    }
}

/// What no job sees of the agent's environment: the agent's settings, which may
/// hold its credentials, and what points git at a repository of the caller (an
/// agent started from a git hook has these set).
pub(super) fn hidden_from_jobs(name: &OsStr) -> bool {
    const REPOSITORY: [&str; 14] = [
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_COMMON_DIR",
        "GIT_CONFIG",
        "GIT_CONFIG_COUNT",
        "GIT_CONFIG_PARAMETERS",
        "GIT_DIR",
        "GIT_GRAFT_FILE",
        "GIT_IMPLICIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_NO_REPLACE_OBJECTS",
        "GIT_OBJECT_DIRECTORY",
        "GIT_PREFIX",
        "GIT_SHALLOW_FILE",
        "GIT_WORK_TREE",
    ];
    name.to_str()
        .is_some_and(|name| name.starts_with("FLEET_") || REPOSITORY.contains(&name))
}
