//! The job spec: one attempt of one job with all that an agent needs to run it.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{JobId, PipelineId, ProjectId, Variable};

/// What an agent is handed with a lease. It knows nothing of the pipeline
/// beyond this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// The job.
    pub id: JobId,
    /// The number of this try, from 1.
    pub attempt: u32,
    /// Its name.
    pub name: String,
    /// Its stage's name.
    pub stage: String,
    /// Its pipeline.
    pub pipeline: PipelineId,
    /// Its project.
    pub project: ProjectId,
    /// `group/project`; names the build folder.
    pub project_path: String,
    /// The job's own credential; always masked.
    pub token: Token,
    /// The job's clock, counted from when the agent takes the lease.
    pub timeout: Duration,
    /// What is checked out.
    pub source: Source,
    /// The environment, in order, the last of a name wins; already expanded
    /// over the whole set, references that stayed are the agent's to resolve.
    pub variables: Vec<Variable>,
    /// `script`, then `after_script` where there is one.
    pub steps: Vec<Step>,
    /// The image.
    pub image: Option<Image>,
    /// Containers beside it.
    pub services: Vec<Service>,
    /// What to keep, in order.
    pub artifacts: Vec<Artifact>,
    /// Caches.
    pub caches: Vec<Cache>,
    /// Whose artifacts to fetch, in order; a later one overwrites.
    pub dependencies: Vec<Dependency>,
    /// Scripts around the source.
    pub hooks: Vec<Hook>,
    /// What the job's project may log in to registries with, in order of
    /// precedence: the first of a registry counts.
    pub registries: Vec<RegistryLogin>,
}

/// A user and password for a registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryLogin {
    /// `host[:port][/path]`, as the keys of Docker's `auths` are.
    pub registry: String,
    /// Its user; `<token>` where the password is an identity token, as Docker's
    /// own client has it.
    pub username: String,
    /// Its password.
    pub password: Token,
}

/// A job's credential. Its `Debug` form does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(pub String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[MASKED]")
    }
}

/// Where a job's files come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A commit of a git repository.
    Git {
        /// Its URL, or an absolute path on the agent's own host.
        repository: String,
        /// The commit.
        sha: String,
        /// Branch or tag name, shown to people.
        reference: String,
        /// Commits of history; 0 is all.
        depth: u32,
        /// What to fetch.
        refspecs: Vec<String>,
    },
    /// A plain folder on the agent's own host, copied as it is.
    Folder {
        /// Its absolute path.
        path: String,
    },
}

/// A list of commands that share one shell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// `script`, `after_script`, `release` ...
    pub name: String,
    /// The entries, verbatim.
    pub script: Vec<String>,
}

/// A script that runs before or after the source is fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// `pre_get_sources_script` or `post_get_sources_script`.
    pub name: String,
    /// The entries.
    pub script: Vec<String>,
}

/// A container image and how to start it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Its name, unexpanded.
    pub name: String,
    /// Replaces the image's own.
    pub entrypoint: Option<Vec<String>>,
    /// Tried in order; empty: the agent's own.
    pub pull_policy: Vec<PullPolicy>,
    /// `docker:platform`.
    pub platform: Option<String>,
    /// `docker:user`.
    pub user: Option<String>,
}

/// `image:pull_policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PullPolicy {
    /// Ask the registry each time.
    Always,
    /// Only where the host lacks it.
    IfNotPresent,
    /// Never.
    Never,
}

impl fmt::Display for PullPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            PullPolicy::Always => "always",
            PullPolicy::IfNotPresent => "if-not-present",
            PullPolicy::Never => "never",
        })
    }
}

/// A container beside the job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// What runs.
    pub image: Image,
    /// Further host names, separated by spaces or commas.
    pub alias: Option<String>,
    /// Replaces the image's own.
    pub command: Option<Vec<String>>,
    /// For it alone.
    pub variables: Vec<Variable>,
}

/// One upload: the archive, or one report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// File name without extension, unexpanded; none: `artifacts`.
    pub name: Option<String>,
    /// Globs, unexpanded.
    pub paths: Vec<String>,
    /// Globs taken out again.
    pub exclude: Vec<String>,
    /// All that git does not track.
    pub untracked: bool,
    /// After which result.
    pub when: ArtifactWhen,
    /// `archive`, `junit`, `dotenv` ...
    pub kind: String,
    /// How it is packed.
    pub format: ArtifactFormat,
    /// As written; none: the coordinator's default.
    pub expire_in: Option<String>,
}

/// After which result something is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArtifactWhen {
    /// The job succeeded.
    #[default]
    OnSuccess,
    /// It failed.
    OnFailure,
    /// Either.
    Always,
}

/// How an artifact is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArtifactFormat {
    /// One archive.
    Zip,
    /// One gzip member a file.
    Gzip,
    /// One file as it is.
    Raw,
}

/// One cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cache {
    /// Unexpanded.
    pub key: String,
    /// Tried in order when there is nothing under `key`.
    pub fallback_keys: Vec<String>,
    /// Globs.
    pub paths: Vec<String>,
    /// All that git does not track.
    pub untracked: bool,
    /// `pull-push`, `pull`, `push` or a reference.
    pub policy: String,
    /// After which result it is saved.
    pub when: ArtifactWhen,
}

/// A job whose archive is fetched first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// The job.
    pub job: JobId,
    /// Its name.
    pub name: String,
    /// Its archive's file name; empty: it has none.
    pub filename: String,
    /// The archive's size in bytes.
    pub size: u64,
}
