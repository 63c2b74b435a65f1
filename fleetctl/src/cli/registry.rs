//! `fleetctl registry`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{Remote, VariableScope};

/// Says what jobs log in to container registries with.
///
/// A login belongs to a project, to a group and all projects in it, or to the whole instance.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  fleetctl registry add registry.example:5000 --username robot --password-file - < password
  fleetctl registry list
  fleetctl registry trust")]
pub(crate) struct Registry {
    #[command(flatten)]
    pub(crate) remote: Remote,
    #[command(flatten)]
    pub(crate) scope: VariableScope,
    #[command(subcommand)]
    pub(crate) verb: RegistryVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RegistryVerb {
    /// Add a login; one of the same registry is replaced
    Add(AddRegistry),
    /// List logins, without their passwords
    #[command(after_help = "Example:\n  fleetctl registry list --group web")]
    List,
    /// Remove a login
    #[command(after_help = "Example:\n  fleetctl registry remove registry.example:5000")]
    Remove {
        /// The registry, as the list shows it
        registry: String,
    },
    /// Print what a registry and container engines need to trust this coordinator's tokens
    #[command(
        after_help = "Examples:\n  fleetctl registry trust\n  fleetctl registry trust certificate > fleet.pem"
    )]
    Trust {
        /// This alone, for a file [default: all of it, with what to do]
        #[arg(value_enum)]
        part: Option<TrustPart>,
    },
}

/// A login, or several.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  fleetctl registry add registry.example:5000 --username robot --password-file password
  fleetctl registry add registry.example --json-key key.json --protected
  fleetctl registry add --auth-config ~/.docker/config.json --group web")]
pub(crate) struct AddRegistry {
    /// The registry as images name it, with a path where it is for those below alone; Docker Hub
    /// is docker.io
    #[arg(
        value_name = "HOST[:PORT][/PATH]",
        required_unless_present = "auth_config",
        conflicts_with = "auth_config"
    )]
    pub(crate) registry: Option<String>,
    /// The user
    #[arg(
        long,
        value_name = "NAME",
        required_unless_present_any = ["json_key", "auth_config"],
        conflicts_with_all = ["json_key", "auth_config"]
    )]
    pub(crate) username: Option<String>,
    /// A file whose text is the password, without its last line's end; - for stdin
    #[arg(long, value_name = "FILE", requires = "username")]
    pub(crate) password_file: Option<PathBuf>,
    /// A JSON key of a cloud's service account: its user is _json_key
    #[arg(long, value_name = "FILE", conflicts_with = "auth_config")]
    pub(crate) json_key: Option<PathBuf>,
    /// A config.json of Docker: all logins in it
    #[arg(long, value_name = "FILE")]
    pub(crate) auth_config: Option<PathBuf>,
    /// Only for pipelines of protected branches and tags
    #[arg(long)]
    pub(crate) protected: bool,
}

/// A part of what is to be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TrustPart {
    /// The registry's `rootcertbundle`
    Certificate,
    /// The registry's `auth:` settings
    Config,
    /// The engines' certs.d/HOST/ca.crt
    Ca,
}
