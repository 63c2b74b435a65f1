//! What `fleet-agent run` can be told; see `fleet-settings`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use fleet_settings::{duration, size};

use super::containers::Containers;

/// Jobs a host runs at once unless its owner says so.
pub(super) const SLOTS: &str = "1";
/// Where an agent keeps what it must not lose.
pub(super) const STATE_DIR: &str = "/var/lib/fleet-agent";

/// What `fleet-agent run` can be told.
#[derive(Args, Clone, Debug)]
pub(super) struct Run {
    /// Folder of the agent's identity, its settings, and the jobs it holds
    #[arg(long, env = "FLEET_STATE_DIR", value_name = "FOLDER", default_value = STATE_DIR)]
    pub(super) state_dir: PathBuf,

    /// Where the coordinator is: https://HOST:PORT. Without: where this host joined
    #[arg(long, env = "FLEET_SERVER", value_name = "URL")]
    pub(super) server: Option<String>,

    /// Jobs this host runs at once
    #[arg(
        long,
        env = "FLEET_SLOTS",
        value_name = "NUMBER",
        value_parser = clap::value_parser!(u32).range(1..=1000),
        default_value = SLOTS
    )]
    pub(super) slots: u32,

    /// Where projects are checked out. Without: builds in the state folder
    #[arg(long, env = "FLEET_BUILDS_DIR", value_name = "FOLDER")]
    pub(super) builds_dir: Option<PathBuf>,

    /// The shell that runs scripts
    #[arg(
        long,
        env = "FLEET_SHELL",
        value_name = "PROGRAM",
        default_value = "bash"
    )]
    pub(super) shell: PathBuf,

    /// Whether the shell reads the user's profile first
    #[arg(
        long,
        env = "FLEET_LOGIN_SHELL",
        value_name = "BOOL",
        action = clap::ArgAction::Set,
        default_value = "true"
    )]
    pub(super) login_shell: bool,

    #[command(flatten)]
    pub(super) containers: Containers,

    /// Between SIGTERM and SIGKILL when a job is stopped
    #[arg(
        long,
        env = "FLEET_GRACEFUL_KILL",
        value_name = "DURATION",
        value_parser = duration,
        default_value = "30s"
    )]
    pub(super) graceful_kill: Duration,

    /// A job's log is kept up to this size, and the end of what is over it
    #[arg(
        long,
        env = "FLEET_OUTPUT_LIMIT",
        value_name = "SIZE",
        value_parser = size,
        default_value = "100MiB"
    )]
    pub(super) output_limit: u64,

    /// What is logged: a level, or levels by part of the program
    #[arg(long, env = "FLEET_LOG", value_name = "FILTER", default_value = "info")]
    pub(super) log: String,

    /// How it is logged
    #[arg(
        long,
        env = "FLEET_LOG_FORMAT",
        value_name = "FORMAT",
        value_enum,
        default_value = "text"
    )]
    pub(super) log_format: LogFormat,
}

impl Run {
    /// Whether something differs from `other` that a running agent cannot change.
    pub(super) fn is_elsewhere(&self, other: &Run) -> bool {
        (&self.state_dir, &self.server, self.log_format)
            != (&other.state_dir, &other.server, other.log_format)
    }
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// A line for people.
    Text,
    /// A JSON object a line.
    Json,
}
