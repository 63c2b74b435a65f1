//! `fleetctl variable` and `fleetctl secret`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::Remote;

/// Sets, lists and deletes variables that jobs get.
///
/// They belong to a project, to a group and all projects in it, or to the whole instance.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  fleetctl variable set LOG_LEVEL --value debug
  fleetctl variable set REGION --value eu --group web --environment 'review/*'
  fleetctl variable list")]
pub(crate) struct Variable {
    #[command(flatten)]
    pub(crate) remote: Remote,
    #[command(flatten)]
    pub(crate) scope: VariableScope,
    #[command(subcommand)]
    pub(crate) verb: VariableVerb,
}

/// Sets, lists and deletes variables whose value nobody can read again.
///
/// Jobs get them as they get variables; in logs they are masked, unless --no-mask.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  fleetctl secret set DEPLOY_TOKEN - < token
  fleetctl secret set KUBECONFIG --file ~/.kube/config --type file --no-mask
  fleetctl secret list")]
pub(crate) struct Secret {
    #[command(flatten)]
    pub(crate) remote: Remote,
    #[command(flatten)]
    pub(crate) scope: VariableScope,
    #[command(subcommand)]
    pub(crate) verb: SecretVerb,
}

/// Whose variables.
#[derive(Args, Clone, Debug)]
pub(crate) struct VariableScope {
    #[command(flatten)]
    pub(crate) project: super::InProject,
    /// Of this group, for all projects in it
    #[arg(long, value_name = "PATH", global = true)]
    pub(crate) group: Option<String>,
    /// Of the whole instance
    #[arg(long, global = true)]
    pub(crate) instance: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum VariableVerb {
    /// Set a variable; one of the same name and environment is replaced
    Set(SetVariable),
    /// List variables with their values
    #[command(after_help = "Example:\n  fleetctl variable list --group web")]
    List,
    /// Delete a variable
    #[command(after_help = "Example:\n  fleetctl variable delete LOG_LEVEL")]
    Delete {
        #[command(flatten)]
        which: WhichVariable,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SecretVerb {
    /// Set a secret; one of the same name and environment is replaced
    Set(SetSecret),
    /// List secrets, without their values
    #[command(after_help = "Example:\n  fleetctl secret list --group web")]
    List,
    /// Delete a secret
    #[command(after_help = "Example:\n  fleetctl secret delete DEPLOY_TOKEN")]
    Delete {
        #[command(flatten)]
        which: WhichVariable,
    },
}

/// What a variable is set to.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  fleetctl variable set LOG_LEVEL --value debug
  fleetctl variable set CONFIG --file config.ini --type file --protected")]
pub(crate) struct SetVariable {
    #[command(flatten)]
    pub(crate) value: Value,
    /// Hide it in logs
    #[arg(long)]
    pub(crate) masked: bool,
}

/// What a secret is set to.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  fleetctl secret set DEPLOY_TOKEN - < token
  fleetctl secret set DEPLOY_TOKEN --file token --protected --environment production")]
pub(crate) struct SetSecret {
    #[command(flatten)]
    pub(crate) value: Value,
    /// Hide it in logs: so it is, unless --no-mask
    #[arg(long)]
    pub(crate) masked: bool,
    /// Let logs show it: what has spaces, more than one line or few letters cannot be hidden
    #[arg(long, conflicts_with = "masked")]
    pub(crate) no_mask: bool,
}

/// A variable's name and value, and which jobs get it how.
#[derive(Args, Debug)]
#[group(skip)]
pub(crate) struct Value {
    /// Its name
    pub(crate) name: String,
    /// Take the value from stdin, without its last line's end
    #[arg(value_name = "-", value_parser = ["-"], hide_possible_values = true, conflicts_with_all = ["value", "file"])]
    pub(crate) stdin: Option<String>,
    /// The value; shells remember it, so rather not of a secret
    #[arg(long, value_name = "VALUE", conflicts_with = "file")]
    pub(crate) value: Option<String>,
    /// A file whose text is the value, to the last byte
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Only for pipelines of protected branches and tags
    #[arg(long)]
    pub(crate) protected: bool,
    /// Never expand `$NAME` in it
    #[arg(long)]
    pub(crate) raw: bool,
    /// Only for jobs of this environment, or of a pattern with `*`
    #[arg(long, value_name = "NAME", default_value = "*")]
    pub(crate) environment: String,
    /// What jobs get
    #[arg(
        long = "type",
        id = "kind",
        value_name = "TYPE",
        value_enum,
        default_value_t
    )]
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// The value
    #[default]
    Env,
    /// The path of a file with the value
    File,
}

/// Which variable.
#[derive(Args, Debug)]
pub(crate) struct WhichVariable {
    /// Its name
    pub(crate) name: String,
    /// The environment it was set for
    #[arg(long, value_name = "NAME", default_value = "*")]
    pub(crate) environment: String,
}
