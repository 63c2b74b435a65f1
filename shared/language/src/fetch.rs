//! Where includes that are not of the repository come from.
//!
//! The compiler asks, in the order of the files; whoever calls it answers. It asks
//! for each thing once in a compilation.

mod version;

use std::{fmt, time::Duration};

use crate::Files;

pub use version::{Version, pick_version};

/// What a configuration may read: its repository, and everything else.
#[derive(Clone, Copy)]
pub struct Reach<'a> {
    /// The repository at the commit.
    pub files: &'a dyn Files,
    /// Other projects, addresses, templates and components.
    pub fetch: &'a dyn Fetch,
}

/// The repository and nothing else.
impl<'a, F: Files> From<&'a F> for Reach<'a> {
    fn from(files: &'a F) -> Reach<'a> {
        Reach {
            files,
            fetch: &Nowhere,
        }
    }
}

impl fmt::Debug for Reach<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reach").finish_non_exhaustive()
    }
}

/// Gets what `include` names outside of the repository.
///
/// Calls block. What they give must not change while one configuration is compiled.
pub trait Fetch {
    /// Opens a project at a ref (branch, tag or commit), or at the head of its
    /// default branch. `path` is in lower case.
    ///
    /// # Errors
    /// [`Failed`]; [`Why::Missing`] for a project that the person who starts the
    /// pipeline must not read, too.
    fn project(&self, path: &str, reference: Option<&str>) -> Result<Opened, Failed>;

    /// Gets a remote file. `cache`: how old a stored copy may be; none: no copy will do.
    ///
    /// # Errors
    /// [`Failed`].
    fn remote(&self, url: &str, cache: Option<Duration>) -> Result<Vec<u8>, Failed>;

    /// Reads a template of the server's set, by its name
    /// (`Jobs/SAST.gitlab-ci.yml`).
    ///
    /// # Errors
    /// [`Failed`].
    fn template(&self, name: &str) -> Result<Template, Failed>;

    /// Opens the project of a component at a version; [`pick_version`] knows what
    /// `~latest` and partial versions mean.
    ///
    /// # Errors
    /// [`Failed`].
    fn component(&self, address: &Address) -> Result<Component, Failed>;
}

/// A project at one commit.
pub struct Opened {
    /// The full hash.
    pub commit: String,
    /// Its files.
    pub files: Box<dyn Files>,
}

/// A file of the template set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// The set's commit, where it has one.
    pub commit: Option<String>,
    /// The whole file.
    pub content: Vec<u8>,
}

/// The project of a component at one commit.
pub struct Component {
    /// The full hash.
    pub commit: String,
    /// The release that was chosen (`1.4.2`); none where the address names a branch or
    /// a commit.
    pub version: Option<String>,
    /// Its files.
    pub files: Box<dyn Files>,
}

/// `<host>/<project>/<name>@<version>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// `gitlab.example`, with a port if it has one; empty where a variable in its place
    /// is not set.
    pub host: String,
    /// `group/project`, as it is written.
    pub project: String,
    /// The component in the project.
    pub name: String,
    /// What stands behind the `@`: commit, tag, branch, `1`, `1.2` or `~latest`.
    pub reference: String,
}

impl Address {
    /// Takes an address apart; none where a part is missing.
    #[must_use]
    pub fn parse(text: &str) -> Option<Address> {
        let (path, reference) = text.split_once('@')?;
        let (host, path) = path.split_once('/')?;
        let (project, name) = path.rsplit_once('/')?;
        let parts = [project, name, reference];
        let is_whole = parts.iter().all(|part| !part.is_empty())
            && project.split('/').all(|part| !part.is_empty());
        is_whole.then(|| Address {
            host: host.to_owned(),
            project: project.to_owned(),
            name: name.to_owned(),
            reference: reference.to_owned(),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Address {
            host,
            project,
            name,
            reference,
        } = self;
        write!(f, "{host}/{project}/{name}@{reference}")
    }
}

/// Why something could not be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The case, which chooses GitLab's sentence.
    pub why: Why,
    /// What to do about it, for the person who reads the sentence.
    pub help: Option<String>,
}

impl Failed {
    /// A case without a hint.
    #[must_use]
    pub fn new(why: Why) -> Failed {
        Failed { why, help: None }
    }

    /// The same with a hint.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Failed {
        Failed {
            help: Some(help.into()),
            ..self
        }
    }
}

/// The cases of [`Failed`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// There is no such project, template or component, or it must not be read.
    Missing,
    /// Nobody said where such a thing is found; it may well exist.
    Unconfigured,
    /// The project has no such branch, tag, commit or version.
    NoReference,
    /// Not an address that is ever fetched.
    Address,
    /// Addresses like this are not fetched here. The reason completes "could not be
    /// fetched because ..." and tells nothing of the network.
    Blocked(String),
    /// The server's answer is no file.
    Status {
        /// The HTTP code.
        code: u16,
        /// Times it was tried.
        attempts: u32,
    },
    /// No answer in time.
    Timeout {
        /// Times it was tried.
        attempts: u32,
    },
    /// No connection, or it broke.
    Socket {
        /// Times it was tried.
        attempts: u32,
    },
    /// An answer that is too large or no HTTP.
    Http,
    /// All includes together took too long.
    Deadline,
    /// Something here is broken, not the configuration. The text is for people.
    Internal(String),
}

impl Why {
    /// Whether it says that the configuration is wrong; else it may be fine elsewhere.
    #[must_use]
    pub fn is_definite(&self) -> bool {
        match self {
            Why::Missing | Why::NoReference | Why::Address => true,
            Why::Status { code, .. } => *code < 500,
            Why::Unconfigured
            | Why::Blocked(_)
            | Why::Timeout { .. }
            | Why::Socket { .. }
            | Why::Http
            | Why::Deadline
            | Why::Internal(_) => false,
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Missing => f.write_str("there is no such thing"),
            Why::Unconfigured => f.write_str("nobody said where it is"),
            Why::NoReference => f.write_str("there is no such reference"),
            Why::Address => f.write_str("this is no address"),
            Why::Blocked(reason) => f.write_str(reason),
            Why::Status { code, .. } => write!(f, "HTTP code `{code}` error"),
            Why::Timeout { .. } => f.write_str("a timeout error"),
            Why::Socket { .. } => f.write_str("a socket error"),
            Why::Http => f.write_str("HTTP error"),
            Why::Deadline => f.write_str("it took too long"),
            Why::Internal(text) => f.write_str(text),
        }
    }
}

/// Has nothing.
#[derive(Clone, Copy, Debug)]
pub struct Nowhere;

impl Fetch for Nowhere {
    fn project(&self, _: &str, _: Option<&str>) -> Result<Opened, Failed> {
        Err(Failed::new(Why::Unconfigured))
    }

    fn remote(&self, _: &str, _: Option<Duration>) -> Result<Vec<u8>, Failed> {
        let reason = "remote files are not allowed here";
        Err(Failed::new(Why::Blocked(reason.to_owned())))
    }

    fn template(&self, _: &str) -> Result<Template, Failed> {
        Err(Failed::new(Why::Unconfigured))
    }

    fn component(&self, _: &Address) -> Result<Component, Failed> {
        Err(Failed::new(Why::Unconfigured))
    }
}
