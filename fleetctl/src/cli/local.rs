//! Commands that need no server.

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use fleet_model::Variable;

use crate::variables;

/// Where the project is.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Place {
    /// The project's folder [default: the nearest with the pipeline file, or the repository's top]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// The pipeline file [default: .gitlab-ci.yml]
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) includes: Includes,
}

/// Where includes come from that are not of the project.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Includes {
    /// Where included projects, templates and addresses are [default: .fleet/includes.toml]
    #[arg(long, value_name = "FILE", env = "FLEET_INCLUDES_FILE")]
    pub(crate) includes: Option<PathBuf>,
}

/// What the pipeline is for.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Event {
    /// What starts the pipeline, as far as rules can tell
    #[arg(long, value_enum, default_value_t)]
    pub(crate) event: EventKind,
    /// The branch or tag [default: the branch that is checked out]
    #[arg(long = "ref", value_name = "REF")]
    pub(crate) reference: Option<String>,
    /// A path that the event changed; may be given more than once [default: what git says]
    #[arg(long = "changed", value_name = "PATH")]
    pub(crate) changed: Vec<String>,
    /// A variable of this pipeline; may be given more than once
    #[arg(long = "variable", value_name = "NAME=VALUE", value_parser = variables::from_flag)]
    pub(crate) variables: Vec<Variable>,
    /// A value for an input that the configuration's header declares; may be given more than once
    #[arg(long = "input", value_name = "NAME=VALUE", value_parser = input)]
    pub(crate) inputs: Vec<(String, serde_json::Value)>,
    /// The project's variables [default: .fleet/variables.toml]
    #[arg(long, value_name = "FILE", env = "FLEET_VARIABLES_FILE")]
    pub(crate) variables_file: Option<PathBuf>,
}

/// Values of other types than text are read from it, as the input's type says.
fn input(text: &str) -> Result<(String, serde_json::Value), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    if name.is_empty() {
        return Err("expected NAME=VALUE".to_owned());
    }
    Ok((name.to_owned(), value.into()))
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum EventKind {
    /// A push to a branch
    #[default]
    Push,
    /// A push of a tag
    Tag,
    /// A person on a web page
    Web,
    /// A timer
    Schedule,
    /// A call of the API
    Api,
    /// A merge request of the branch into the default branch
    Mr,
    /// A trigger token
    Trigger,
    /// A trigger job of another project
    Pipeline,
    /// A trigger job of this project
    Parent,
}

/// Runs the pipeline of the working tree as it is on disk.
///
/// Uncommitted and untracked files are in it, ignored ones are not. Jobs with an environment and
/// manual jobs are left out unless named. A named job brings what it needs: its `needs`, or the
/// earlier jobs whose artifacts it gets.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  fleetctl run                      everything that does not deploy
  fleetctl run test                 one job and what it needs
  fleetctl run --no-needs test      that job alone
  fleetctl run --failed             what failed last time
  fleetctl run --executor shell     without containers, whatever images jobs ask for
  fleetctl run --variable LOG=debug --event schedule")]
pub(crate) struct Run {
    /// Jobs to run, with what they need [default: all]
    #[arg(value_name = "JOB")]
    pub(crate) jobs: Vec<String>,
    /// Run the named jobs alone
    #[arg(long)]
    pub(crate) no_needs: bool,
    /// Also run jobs with an environment and manual jobs
    #[arg(long)]
    pub(crate) deploy: bool,
    /// Run the jobs of one stage, with what they need
    #[arg(long, value_name = "STAGE", conflicts_with = "jobs")]
    pub(crate) stage: Option<String>,
    /// Run what failed last time, with what it needs
    #[arg(long, conflicts_with_all = ["jobs", "stage"])]
    pub(crate) failed: bool,
    /// List the jobs and run none
    #[arg(long)]
    pub(crate) list: bool,
    /// Jobs that run at once [default: the number of CPUs]
    #[arg(long = "jobs", id = "slots", value_name = "N", env = "FLEET_JOBS")]
    pub(crate) slots: Option<NonZeroU32>,
    /// What runs the scripts
    #[arg(long, value_enum, default_value_t, env = "FLEET_EXECUTOR")]
    pub(crate) executor: Executor,
    /// When images are pulled, whatever the pipeline says [default: if-not-present]
    #[arg(long, value_enum, value_name = "POLICY")]
    pub(crate) pull: Option<Pull>,
    /// A volume of all containers; may be given more than once
    #[arg(long = "volume", value_name = "[SOURCE:]TARGET[:ro]", value_parser = volume)]
    pub(crate) volumes: Vec<String>,
    /// A name that all containers know; may be given more than once
    #[arg(long = "add-host", value_name = "NAME:IP", value_parser = host)]
    pub(crate) hosts: Vec<String>,
    /// Leave the containers of jobs, to look into them
    #[arg(long)]
    pub(crate) keep: bool,
    #[command(flatten)]
    pub(crate) event: Event,
    #[command(flatten)]
    pub(crate) place: Place,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: TextOrJson,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Executor {
    /// Containers for jobs with an image, this machine's shell for others
    #[default]
    Auto,
    /// This machine's shell
    Shell,
    /// Containers
    Docker,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pull {
    /// Ask the registry each time
    Always,
    /// Only what this machine lacks
    IfNotPresent,
    /// Never
    Never,
}

fn volume(text: &str) -> Result<String, String> {
    fleet_agent::executor::check_volume(text)?;
    Ok(text.to_owned())
}

fn host(text: &str) -> Result<String, String> {
    let (name, address) = text.split_once(':').ok_or("it is NAME:IP")?;
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err("it begins with a name".to_owned());
    }
    // The engine's own word for the host it runs on.
    if address != "host-gateway" && address.parse::<std::net::IpAddr>().is_err() {
        return Err(format!("{address} is no address"));
    }
    Ok(text.to_owned())
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum TextOrJson {
    /// For people
    #[default]
    Text,
    /// For programs, one document a line
    Json,
}

/// Checks pipeline files: errors and warnings with their places.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  fleetctl lint
  fleetctl lint --strict ci/*.yml
  fleetctl lint -o sarif > findings.sarif
  fleetctl lint --explain unknown-key")]
pub(crate) struct Lint {
    /// The files, `-` for stdin [default: the project's .gitlab-ci.yml]
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Exit with 1 if there are warnings
    #[arg(long)]
    pub(crate) strict: bool,
    /// Print what a code means, with examples; without one all codes
    #[arg(long, value_name = "CODE", conflicts_with_all = ["files", "dir", "output", "strict"])]
    pub(crate) explain: Option<Option<String>>,
    /// The project's folder [default: the nearest with the pipeline file, or the repository's top]
    #[arg(long, value_name = "DIR", conflicts_with = "files")]
    pub(crate) dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) includes: Includes,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: LintOutput,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LintOutput {
    /// For people
    #[default]
    Text,
    /// For programs, one document
    Json,
    /// SARIF 2.1.0, for editors and code review tools
    Sarif,
}

/// Shows which jobs an event starts, and what they wait for.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  fleetctl graph
  fleetctl graph -o dot | dot -Tsvg > pipeline.svg
  fleetctl graph --event tag --ref v1.0")]
pub(crate) struct Graph {
    #[command(flatten)]
    pub(crate) event: Event,
    #[command(flatten)]
    pub(crate) place: Place,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: GraphOutput,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphOutput {
    /// For people
    #[default]
    Text,
    /// For Graphviz
    Dot,
    /// For Markdown pages
    Mermaid,
}

/// Shows the configuration with includes, extends, references and defaults resolved.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  fleetctl compile
  fleetctl compile --job deploy --why
  fleetctl compile --job deploy --why --ref main")]
pub(crate) struct Compile {
    /// Show this job alone
    #[arg(long, value_name = "JOB")]
    pub(crate) job: Option<String>,
    /// Say why the job is in the pipeline, or is not
    #[arg(long, requires = "job")]
    pub(crate) why: bool,
    #[command(flatten)]
    pub(crate) event: Event,
    #[command(flatten)]
    pub(crate) place: Place,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: CompileOutput,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum CompileOutput {
    /// As people write it
    #[default]
    Yaml,
    /// For programs
    Json,
}
