//! `fleetctl group` and `fleetctl project`.

use clap::{Args, Subcommand};

use super::{Pair, Remote, Role};

/// Makes, lists and deletes groups of projects.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  fleetctl group create web
  fleetctl group list")]
pub(crate) struct Group {
    #[command(flatten)]
    pub(crate) remote: Remote,
    #[command(subcommand)]
    pub(crate) verb: GroupVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GroupVerb {
    /// Make a group
    #[command(after_help = "Example:\n  fleetctl group create web/shop")]
    Create {
        /// Its path: its name after those of the groups it is in
        path: String,
    },
    /// List the groups
    #[command(after_help = "Example:\n  fleetctl group list")]
    List,
    /// Delete a group that nothing is in
    #[command(after_help = "Example:\n  fleetctl group delete web/shop")]
    Delete {
        /// Its path
        path: String,
    },
}

/// Makes, shows, changes and deletes projects.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  fleetctl project create web/app
  fleetctl project protect main --push maintainer --deploy maintainer
  fleetctl project show web/app")]
pub(crate) struct Project {
    #[command(flatten)]
    pub(crate) remote: Remote,
    #[command(subcommand)]
    pub(crate) verb: ProjectVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProjectVerb {
    /// Make a project that is pushed to, or mirrored, and print how to push to it
    Create(NewProject),
    /// List the projects
    #[command(after_help = "Example:\n  fleetctl project list -o wide")]
    List,
    /// Show a project with its settings and protected refs
    #[command(after_help = "Example:\n  fleetctl project show web/app")]
    Show {
        #[command(flatten)]
        project: ProjectPath,
    },
    /// Change settings; an empty value restores the default
    #[command(
        after_help = "Example:\n  fleetctl project set --project web/app default_branch=trunk"
    )]
    Set {
        /// Settings
        #[arg(value_name = "KEY=VALUE", required = true)]
        settings: Vec<Pair>,
        #[command(flatten)]
        project: super::InProject,
    },
    /// Delete a project with its repository, variables, pipelines, logs and artifacts
    #[command(after_help = "Example:\n  fleetctl project delete web/app")]
    Delete {
        /// Its path
        path: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Say who may push to and deploy from a branch or tag
    Protect(Protect),
    /// Protect a branch or tag no longer
    #[command(after_help = "Example:\n  fleetctl project unprotect 'release/*'")]
    Unprotect {
        /// Its name or pattern, as it was protected
        #[arg(value_name = "REF")]
        pattern: String,
        #[command(flatten)]
        project: super::InProject,
    },
    /// Say who may deploy to an environment
    ProtectEnvironment(ProtectEnvironment),
    /// Protect an environment no longer
    #[command(after_help = "Example:\n  fleetctl project unprotect-environment production")]
    UnprotectEnvironment {
        /// Its name or pattern, as it was protected
        #[arg(value_name = "NAME")]
        pattern: String,
        #[command(flatten)]
        project: super::InProject,
    },
}

/// Who may deploy to environments of a name.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  fleetctl project protect-environment production --deploy maintainer
  fleetctl project protect-environment 'review/*' --deploy developer")]
pub(crate) struct ProtectEnvironment {
    /// Its name, or a pattern in which `*` stands for anything; of several that fit the
    /// most specific counts
    #[arg(value_name = "NAME")]
    pub(crate) pattern: String,
    /// The lowest role that may run its jobs [default: nobody may]
    #[arg(long, value_name = "ROLE", hide_possible_values = true)]
    pub(crate) deploy: Option<Role>,
    #[command(flatten)]
    pub(crate) project: super::InProject,
}

/// Which project, where it is all that is asked.
#[derive(Args, Debug)]
pub(crate) struct ProjectPath {
    /// Its path [default: that of this clone's remote `fleet`]
    pub(crate) path: Option<String>,
}

/// A new project.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  fleetctl project create web/app
  fleetctl project create web/app --mirror https://forge.example.org/web/app.git")]
pub(crate) struct NewProject {
    /// Its path: its name after those of the groups it is in
    pub(crate) path: String,
    /// Fetch it from here instead of being pushed to
    #[arg(long, value_name = "URL")]
    pub(crate) mirror: Option<String>,
    /// Its default branch [default: main]
    #[arg(long, value_name = "BRANCH")]
    pub(crate) default_branch: Option<String>,
}

/// Who may do what with a branch or tag.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  fleetctl project protect main --push maintainer --deploy maintainer
  fleetctl project protect 'release/*' --deploy admin")]
pub(crate) struct Protect {
    /// Its name, or a pattern in which `*` stands for anything
    #[arg(value_name = "REF")]
    pub(crate) pattern: String,
    /// The lowest role that may push [default: nobody may]
    #[arg(long, value_name = "ROLE", hide_possible_values = true)]
    pub(crate) push: Option<Role>,
    /// The lowest role that may deploy [default: nobody may]
    #[arg(long, value_name = "ROLE", hide_possible_values = true)]
    pub(crate) deploy: Option<Role>,
    #[command(flatten)]
    pub(crate) project: super::InProject,
}
