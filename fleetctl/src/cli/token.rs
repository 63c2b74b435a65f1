//! `fleetctl token`.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::remote::duration;
use super::{Remote, Role};

/// Makes, lists and revokes tokens of people and programs.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  fleetctl token create --user anna --role developer --scope web > token
  fleetctl token list
  fleetctl token revoke 3f2a")]
pub(crate) struct Token {
    #[command(flatten)]
    pub(crate) remote: Remote,
    #[command(subcommand)]
    pub(crate) verb: TokenVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenVerb {
    /// Make a token and print it, this once
    Create(NewToken),
    /// List tokens, without their secrets
    #[command(after_help = "Example:\n  fleetctl token list")]
    List,
    /// Revoke a token
    #[command(after_help = "Example:\n  fleetctl token revoke 3f2a")]
    Revoke {
        /// Its id, or the beginning of it where no other's begins so
        id: String,
    },
}

/// A new token.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  fleetctl token create --user anna --role developer --scope web > token
  fleetctl token create --user deploy-bot --role maintainer --scope web/app --ttl 30d
  fleetctl token create --registry --project web/app --name kubernetes")]
pub(crate) struct NewToken {
    /// Whose it is
    #[arg(long, required_unless_present = "registry")]
    pub(crate) user: Option<String>,
    /// What they may do
    #[arg(long, value_enum, required_unless_present = "registry")]
    pub(crate) role: Option<Role>,
    /// Make a deploy token instead: user and password to pull images with, and nothing else
    #[arg(long, conflicts_with_all = ["user", "role"])]
    pub(crate) registry: bool,
    /// Let a deploy token push images, too
    #[arg(long, requires = "registry")]
    pub(crate) push: bool,
    /// The project of a deploy token [default: that of this clone's remote `fleet`]
    #[arg(
        short,
        long,
        value_name = "PATH",
        requires = "registry",
        conflicts_with = "scope"
    )]
    pub(crate) project: Option<String>,
    /// Only in this group or project [default: everywhere]
    #[arg(long, value_name = "PATH")]
    pub(crate) scope: Option<String>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    pub(crate) name: Option<String>,
    /// How long it counts, at most 365d [default: 90d]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) ttl: Option<Duration>,
}
