//! `fleetctl pipeline`.

use std::num::NonZeroU32;

use clap::{Args, Subcommand};

use super::{InProject, Pair, Remote};

/// Starts, shows, watches, cancels and retries pipelines.
///
/// A pipeline is named by its number; `last` is the latest one of the project.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  fleetctl pipeline watch                 the latest one of this clone's project
  fleetctl pipeline create --ref main
  fleetctl pipeline list -p web/app
  fleetctl pipeline retry last")]
pub(crate) struct Pipeline {
    #[command(flatten)]
    pub(crate) remote: Remote,
    #[command(flatten)]
    pub(crate) project: InProject,
    #[command(subcommand)]
    pub(crate) verb: PipelineVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PipelineVerb {
    /// Start a pipeline of a branch or tag
    Create(NewPipeline),
    /// List pipelines, the latest first
    List(ListPipelines),
    /// Show a pipeline and its jobs
    #[command(after_help = "Example:\n  fleetctl pipeline show 12")]
    Show {
        /// Its number, or `last`
        #[arg(default_value = "last")]
        id: PipelineRef,
    },
    /// Watch a pipeline to its end; the exit code tells how it ended
    ///
    /// While the coordinator is away, it is tried again until --timeout. Ctrl-C ends the watching,
    /// not the pipeline.
    #[command(
        after_help = "Examples:\n  fleetctl pipeline watch\n  fleetctl pipeline watch 12 --timeout 30m\n  fleetctl pipeline watch 12 -o json"
    )]
    Watch {
        /// Its number, or `last`
        #[arg(default_value = "last")]
        id: PipelineRef,
    },
    /// Cancel what is left of a pipeline
    #[command(after_help = "Example:\n  fleetctl pipeline cancel 12")]
    Cancel {
        /// Its number, or `last`
        id: PipelineRef,
    },
    /// Run all failed and canceled jobs of a pipeline again
    #[command(after_help = "Example:\n  fleetctl pipeline retry last")]
    Retry {
        /// Its number, or `last`
        id: PipelineRef,
    },
}

/// A new pipeline.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  fleetctl pipeline create --ref main --watch
  fleetctl pipeline create --ref v1.0 --variable DEPLOY=yes --input target=eu")]
pub(crate) struct NewPipeline {
    /// The branch or tag
    #[arg(long = "ref", value_name = "REF")]
    pub(crate) reference: String,
    /// A variable of this pipeline; may be given more than once
    #[arg(long = "variable", value_name = "KEY=VALUE")]
    pub(crate) variables: Vec<Pair>,
    /// A value for an input that its configuration's header declares; may be given more than once
    #[arg(long = "input", value_name = "NAME=VALUE")]
    pub(crate) inputs: Vec<Pair>,
    /// Watch it to its end
    #[arg(short, long)]
    pub(crate) watch: bool,
}

/// Which pipelines.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  fleetctl pipeline list --status failed --limit 5
  fleetctl pipeline list --all --watch")]
pub(crate) struct ListPipelines {
    /// Of all projects, whatever --project says
    #[arg(long)]
    pub(crate) all: bool,
    /// Only of this branch or tag
    #[arg(long = "ref", value_name = "REF")]
    pub(crate) reference: Option<String>,
    /// Only those in this state, by GitLab's word: running, failed, success ...
    #[arg(long, value_name = "STATUS")]
    pub(crate) status: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value = "20")]
    pub(crate) limit: NonZeroU32,
    /// Show it again whenever it changes
    #[arg(short, long)]
    pub(crate) watch: bool,
}

/// How people name a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PipelineRef {
    /// The latest one of the project.
    Last,
    /// By its number.
    Id(u64),
}

impl std::str::FromStr for PipelineRef {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<PipelineRef, Self::Err> {
        if text == "last" {
            return Ok(PipelineRef::Last);
        }
        match text.trim_start_matches('#').parse() {
            Ok(id) if id > 0 => Ok(PipelineRef::Id(id)),
            _ => Err("expected a pipeline's number, or `last`"),
        }
    }
}
