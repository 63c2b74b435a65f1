//! `fleetctl context`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::Output;
use super::remote::duration;

/// Says which coordinator to talk to, and as whom.
///
/// A context is a server, its certificate authority and a token, under a name. FLEET_CONTEXT or
/// --context choose one; where FLEET_SERVER and FLEET_TOKEN are set (and FLEET_CA_FILE for a server
/// of a private authority), as in other CI systems, none is needed.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  fleetctl context add work --server https://fleet.example.org:8443 --token-file token \\
      --ca-pin sha256:5f1e…
  fleetctl context use work
  fleetctl context list")]
pub(crate) struct Context {
    #[command(subcommand)]
    pub(crate) verb: ContextVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ContextVerb {
    /// Add a context, or replace it, and tell git of its server
    ///
    /// Asks the server who the token's owner is before anything is saved. git is told, for this
    /// server alone, the certificate authority and how to get the token; the token itself is not in
    /// git's configuration.
    Add(AddContext),
    /// Make a context the current one
    #[command(after_help = "Example:\n  fleetctl context use work")]
    Use {
        /// Its name
        name: String,
    },
    /// List the contexts
    #[command(after_help = "Example:\n  fleetctl context list -o json")]
    List {
        /// How to print
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// Remove a context and what it told git
    #[command(after_help = "Example:\n  fleetctl context remove work")]
    Remove {
        /// Its name
        name: String,
    },
    /// Give git the credentials of a context's server; git calls this
    #[command(
        hide = true,
        after_help = "Example:\n  echo url=https://fleet.example.org:8443 | fleetctl context git-credential work get"
    )]
    GitCredential {
        /// The context
        name: String,
        /// What git wants
        operation: CredentialOperation,
    },
}

/// What git asks of a credential helper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CredentialOperation {
    /// The credentials
    Get,
    /// To keep what was accepted: nothing is to be done
    Store,
    /// To forget what was refused
    Erase,
}

/// A new context.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  fleetctl context add work --server https://fleet.example.org:8443 --token-file token \\
      --ca-pin sha256:5f1e…
  fleet-coordinator token create --role admin | fleetctl context add work \\
      --server https://fleet.example.org:8443 --token-file - --ca-file ca.pem")]
pub(crate) struct AddContext {
    /// Its name: letters, digits, dots, dashes and underscores
    pub(crate) name: String,
    /// The coordinator's address for people
    #[arg(long, value_name = "URL")]
    pub(crate) server: String,
    /// A file with the token that others cannot read, or - for stdin
    #[arg(long, value_name = "FILE|-")]
    pub(crate) token_file: PathBuf,
    /// The hash of the server's root key [default: the system's authorities are trusted]
    #[arg(long, value_name = "sha256:HEX", conflicts_with = "ca_file")]
    pub(crate) ca_pin: Option<String>,
    /// The server's root certificate as PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Give up after this time, as 30s or 5m [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
}
