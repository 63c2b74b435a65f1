//! What people type: each noun or command with its flags and an example.

mod catalog;
mod context;
mod environment;
mod fleet;
mod job;
mod lazy;
mod local;
mod pipeline;
mod registry;
mod remote;
mod token;
mod variable;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

pub(crate) use catalog::{Group, GroupVerb, NewProject, Project, ProjectVerb, Protect};
pub(crate) use context::{AddContext, Context, ContextVerb, CredentialOperation};
pub(crate) use environment::{Environment, EnvironmentVerb};
pub(crate) use fleet::{Agent, AgentVerb, Audit, JoinToken, Queue, Status};
pub(crate) use job::{Job, JobRef, JobVerb, ListJobs, ReadLog};
pub(crate) use lazy::Lazy;
pub(crate) use local::{
    Compile, CompileOutput, Event, EventKind, Executor, Graph, GraphOutput, Includes, Lint,
    LintOutput, Place, Pull, Run, TextOrJson,
};
pub(crate) use pipeline::{ListPipelines, NewPipeline, Pipeline, PipelineRef, PipelineVerb};
pub(crate) use registry::{AddRegistry, Registry, RegistryVerb, TrustPart};
pub(crate) use remote::{InProject, Output, Pair, Remote, Role};
pub(crate) use token::{NewToken, Token, TokenVerb};
pub(crate) use variable::{Kind, Secret, SecretVerb, Value, Variable, VariableScope, VariableVerb};

/// Runs .gitlab-ci.yml pipelines: here and now, or on a fleet's build hosts.
#[derive(Debug, Parser)]
#[command(
    name = "fleetctl",
    version,
    disable_version_flag = true,
    max_term_width = 100
)]
#[command(
    after_help = "Without a server: run, lint, graph, compile. The others need a context: \
`fleetctl context add`.

Exit codes: 0 done or passed, 1 the pipeline, job or operation failed, 2 wrong usage or invalid \
file, 3 canceled, 4 not found, 5 not allowed, 6 server unreachable, 7 timed out, 130 interrupted."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// In help, flags of many commands stand under those of one.
const COMMON: &str = "Common options";

/// Flags of every command.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Global {
    /// Show less: no logs of jobs, no hints; of what was made, its id alone
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = COMMON)]
    pub(crate) quiet: bool,
    /// Show more: also what the agent does around the scripts
    #[arg(short, long, global = true, help_heading = COMMON)]
    pub(crate) verbose: bool,
    /// No colours; NO_COLOR does the same
    #[arg(long, global = true, help_heading = COMMON)]
    pub(crate) no_color: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the pipeline of the working tree as it is on disk
    Run(Run),
    /// Check pipeline files
    Lint(Lint),
    /// Show which jobs run, and what they wait for
    Graph(Graph),
    /// Show the configuration with includes, extends and references resolved
    Compile(Compile),
    /// Say which coordinator to talk to, and as whom
    Context(Lazy<Context>),
    #[command(flatten)]
    Server(Noun),
    /// Print a completion script for a shell
    #[command(
        after_help = "Example:\n  fleetctl completion bash > ~/.local/share/bash-completion/completions/fleetctl"
    )]
    Completion {
        /// The shell
        shell: Shell,
    },
    /// Print the version
    #[command(after_help = "Example:\n  fleetctl version")]
    Version,
}

/// What a coordinator is asked.
#[derive(Debug, Subcommand)]
pub(crate) enum Noun {
    /// Make, list and delete groups of projects
    Group(Lazy<Group>),
    /// Make, show, change and delete projects
    Project(Lazy<Project>),
    /// Set, list and delete variables of jobs
    Variable(Lazy<Variable>),
    /// Set, list and delete variables whose value nobody can read again
    Secret(Lazy<Secret>),
    /// Say what jobs log in to container registries with
    Registry(Lazy<Registry>),
    /// Start, show, watch, cancel and retry pipelines
    Pipeline(Lazy<Pipeline>),
    /// Show, explain, cancel, retry and start jobs; read logs and artifacts
    Job(Lazy<Job>),
    /// List, show, stop and roll back environments
    Environment(Lazy<Environment>),
    /// List the jobs that wait, each with its reason
    Queue(Lazy<Queue>),
    /// List, drain, resume and revoke agents; let new ones join
    Agent(Lazy<Agent>),
    /// Make, list and revoke tokens of people and programs
    Token(Lazy<Token>),
    /// Show the fleet at a glance
    Status(Lazy<Status>),
    /// List who did what
    Audit(Lazy<Audit>),
}

#[cfg(test)]
mod tests;
