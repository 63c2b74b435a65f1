//! `fleetctl environment`.

use clap::{Args, Subcommand};

use super::{InProject, Remote};

/// Lists, shows, stops and rolls back environments.
///
/// A job with `environment:` deploys to one; who may is said with `fleetctl project
/// protect-environment`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  fleetctl environment list
  fleetctl environment show production
  fleetctl environment rollback production")]
pub(crate) struct Environment {
    #[command(flatten)]
    pub(crate) remote: Remote,
    #[command(flatten)]
    pub(crate) project: InProject,
    #[command(subcommand)]
    pub(crate) verb: EnvironmentVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum EnvironmentVerb {
    /// List the environments of a project
    #[command(after_help = "Example:\n  fleetctl environment list -o wide")]
    List,
    /// Show an environment with its latest deployments
    #[command(after_help = "Example:\n  fleetctl environment show review/login")]
    Show {
        /// Its name, or the beginning of it
        name: String,
    },
    /// Stop an environment: starts the job that does, if it has one
    #[command(after_help = "Example:\n  fleetctl environment stop review/login")]
    Stop {
        /// Its name, or the beginning of it
        name: String,
    },
    /// Deploy again what was there before: runs the job of the last but one good deployment
    #[command(after_help = "Example:\n  fleetctl environment rollback production")]
    Rollback {
        /// Its name, or the beginning of it
        name: String,
    },
}
