//! `fleetctl queue`, `agent`, `status` and `audit`.

use std::num::NonZeroU32;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::Remote;
use super::remote::duration;

/// Lists the jobs that wait, each with its place and its first reason.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  fleetctl queue
  fleetctl queue -p web/app --watch")]
pub(crate) struct Queue {
    #[command(flatten)]
    pub(crate) remote: Remote,
    /// Only of this project
    #[arg(short, long, value_name = "PATH", env = "FLEET_PROJECT")]
    pub(crate) project: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value = "50")]
    pub(crate) limit: NonZeroU32,
    /// Show it again whenever it changes
    #[arg(short, long)]
    pub(crate) watch: bool,
}

/// Lists, drains, resumes and revokes agents; lets new ones join.
///
/// The beginning of an agent's name is enough where no other's begins so; confirm-dead and revoke
/// take whole names only.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  fleetctl agent list
  fleetctl agent join-token --tags linux,docker
  fleetctl agent drain b3 --wait")]
pub(crate) struct Agent {
    #[command(flatten)]
    pub(crate) remote: Remote,
    #[command(subcommand)]
    pub(crate) verb: AgentVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AgentVerb {
    /// List the agents
    #[command(after_help = "Example:\n  fleetctl agent list -o wide --watch")]
    List {
        /// Show it again whenever it changes
        #[arg(short, long)]
        watch: bool,
    },
    /// Show an agent
    #[command(after_help = "Example:\n  fleetctl agent show b3")]
    Show {
        /// Its name
        name: String,
    },
    /// Make a token with which one agent can join, and print the command for its host
    ///
    /// What the agent may serve comes with the token, never from the agent.
    JoinToken(JoinToken),
    /// Give an agent no new jobs; those it has go on
    #[command(after_help = "Example:\n  fleetctl agent drain b3 --wait --timeout 1h")]
    Drain {
        /// Its name
        name: String,
        /// Until its last job has ended
        #[arg(long)]
        wait: bool,
    },
    /// Give a drained agent jobs again
    #[command(after_help = "Example:\n  fleetctl agent resume b3")]
    Resume {
        /// Its name
        name: String,
    },
    /// Say that an agent's host is dead for certain: its jobs are lost now, not at their deadline
    #[command(after_help = "Example:\n  fleetctl agent confirm-dead b3")]
    ConfirmDead {
        /// Its whole name
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Trust an agent no longer: its jobs are stopped and its certificate counts no more
    #[command(after_help = "Example:\n  fleetctl agent revoke b3")]
    Revoke {
        /// Its whole name
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// What the agent that joins may serve.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  fleetctl agent join-token
  fleetctl agent join-token --tags linux,docker --ttl 1h --name b3
  fleetctl agent join-token --project group/app --project group/lib")]
pub(crate) struct JoinToken {
    /// The agent's tags, with commas between
    #[arg(long, value_name = "TAG,…", value_delimiter = ',')]
    pub(crate) tags: Vec<String>,
    /// How long it can be used, at most 24h [default: 15m]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) ttl: Option<Duration>,
    /// The one name the agent may take [default: any]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// No jobs without tags for it
    #[arg(long)]
    pub(crate) no_untagged: bool,
    /// Only jobs of protected branches and tags for it
    #[arg(long)]
    pub(crate) protected_only: bool,
    /// Only jobs of this project for it; may be given more than once [default: all]
    #[arg(short, long = "project", value_name = "PATH")]
    pub(crate) projects: Vec<String>,
}

/// Shows the fleet at a glance: agents, jobs, what is wrong and which settings weaken it.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  fleetctl status --watch")]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) remote: Remote,
    /// Show it again whenever it changes
    #[arg(short, long)]
    pub(crate) watch: bool,
}

/// Lists who did what, the latest last.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  fleetctl audit --limit 100 -o wide\n  fleetctl audit --verify")]
pub(crate) struct Audit {
    #[command(flatten)]
    pub(crate) remote: Remote,
    /// At most so many
    #[arg(long, value_name = "N", default_value = "20")]
    pub(crate) limit: NonZeroU32,
    /// Check instead that the log is as it was written; ends with 1 if it is not
    #[arg(long, conflicts_with = "limit")]
    pub(crate) verify: bool,
}
