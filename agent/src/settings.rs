//! What an agent is told by its owner.

use std::path::PathBuf;
use std::time::Duration;

use fleet_model::AgentName;

/// An agent's settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its name in the fleet.
    pub name: AgentName,
    /// Jobs it runs at once.
    pub slots: u32,
    /// What it offers to jobs that ask.
    pub tags: Vec<String>,
    /// Whether it takes jobs that ask for no tags.
    pub run_untagged: bool,
    /// Absolute; where projects are checked out (`CI_BUILDS_DIR`).
    pub builds_dir: PathBuf,
    /// Absolute; the agent's own state: one folder per lease with its log spool.
    pub state_dir: PathBuf,
    /// The shell of the shell executor.
    pub shell: Shell,
    /// Between SIGTERM and SIGKILL when a job is stopped.
    pub graceful_kill: Duration,
    /// Bytes of log kept before only the end is (100 MiB unless said).
    pub output_limit: u64,
    /// What its jobs' supervisors log.
    pub log: Log,
}

/// What a program writes into its own log, and how.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// A level, or levels by part of the program; empty: `info`.
    pub filter: String,
    /// A JSON object a line, and not text.
    pub json: bool,
}

/// Which shell runs scripts on the host.
#[derive(Clone, Debug)]
pub struct Shell {
    /// `bash` or `sh`, or a path.
    pub program: PathBuf,
    /// Whether it reads the user's profile first, as gitlab-runner's does.
    pub login: bool,
}
