//! `fleetctl job`.

use std::convert::Infallible;
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{InProject, PipelineRef, Remote};

/// Shows, explains, cancels, retries and starts jobs; reads their logs and artifacts.
///
/// A job is named by its number, or by its name in the latest pipeline of the project; the beginning
/// of a name is enough where no other job's begins so.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  fleetctl job log unit -f                the job `unit` of the latest pipeline
  fleetctl job explain 812
  fleetctl job list --status failed
  fleetctl job artifacts 812 -d out")]
pub(crate) struct Job {
    #[command(flatten)]
    pub(crate) remote: Remote,
    #[command(flatten)]
    pub(crate) project: InProject,
    #[command(subcommand)]
    pub(crate) verb: JobVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum JobVerb {
    /// List jobs, the latest first
    List(ListJobs),
    /// Show a job with its attempts and artifacts
    #[command(after_help = "Example:\n  fleetctl job show 812")]
    Show {
        /// Its number or name
        #[arg(value_name = "JOB")]
        id: JobRef,
    },
    /// Print what a job wrote
    ///
    /// Of what steers a terminal only colours pass, and section marks are left out, unless --raw.
    Log(ReadLog),
    /// Say why a job is where it is, and what would move it
    #[command(after_help = "Example:\n  fleetctl job explain 812")]
    Explain {
        /// Its number or name
        #[arg(value_name = "JOB")]
        id: JobRef,
    },
    /// Cancel a job
    #[command(after_help = "Example:\n  fleetctl job cancel 812")]
    Cancel {
        /// Its number or name
        #[arg(value_name = "JOB")]
        id: JobRef,
        /// At once, without its after_script
        #[arg(long)]
        force: bool,
    },
    /// Run a job that has ended again
    #[command(after_help = "Example:\n  fleetctl job retry unit")]
    Retry {
        /// Its number or name
        #[arg(value_name = "JOB")]
        id: JobRef,
    },
    /// Start a manual job, or a delayed one before its time
    #[command(after_help = "Example:\n  fleetctl job play deploy")]
    Play {
        /// Its number or name
        #[arg(value_name = "JOB")]
        id: JobRef,
    },
    /// Fetch a job's artifacts
    #[command(
        after_help = "Examples:\n  fleetctl job artifacts build -d out\n  fleetctl job artifacts unit --type junit"
    )]
    Artifacts {
        /// Its number or name
        #[arg(value_name = "JOB")]
        id: JobRef,
        /// The folder they are put into [default: artifacts-NUMBER]
        #[arg(short, long, value_name = "DIR")]
        dir: Option<PathBuf>,
        /// Another file than the archive, which is unpacked: junit, dotenv ...
        #[arg(long = "type", value_name = "TYPE")]
        kind: Option<String>,
    },
}

/// Which jobs.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  fleetctl job list --pipeline last
  fleetctl job list --all --status running --watch")]
pub(crate) struct ListJobs {
    /// Only of this pipeline: its number, or `last`
    #[arg(long, value_name = "PIPELINE")]
    pub(crate) pipeline: Option<PipelineRef>,
    /// Of all projects, whatever --project says
    #[arg(long, conflicts_with = "pipeline")]
    pub(crate) all: bool,
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

/// Which log, and how.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  fleetctl job log unit -f
  fleetctl job log 812 --attempt 1
  fleetctl job log 812 --raw > 812.log")]
pub(crate) struct ReadLog {
    /// Its number or name
    #[arg(value_name = "JOB")]
    pub(crate) id: JobRef,
    /// Go on until the job has ended, also while the coordinator is away
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Byte for byte
    #[arg(long)]
    pub(crate) raw: bool,
    /// Which try, from 1 [default: the latest]
    #[arg(long, value_name = "N")]
    pub(crate) attempt: Option<NonZeroU32>,
}

/// How people name a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum JobRef {
    /// By its number.
    Id(u64),
    /// By its name, or the beginning of it, in the latest pipeline.
    Name(String),
}

impl std::str::FromStr for JobRef {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<JobRef, Infallible> {
        Ok(match text.trim_start_matches('#').parse() {
            Ok(id) if id > 0 => JobRef::Id(id),
            _ => JobRef::Name(text.to_owned()),
        })
    }
}
