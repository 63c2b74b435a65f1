//! Why a job does not succeed, and what is said and reported of it.

use std::fmt;
use std::time::Duration;

use fleet_model::{FailureReason, Outcome};

use crate::duration::Span;
use crate::executor;

/// Why a job does not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// A script, or a tool of the agent's, ended with a code that the executor
    /// calls so.
    Exit { code: i32, called: &'static str },
    /// As well; something in its container had been killed for want of memory.
    OutOfMemory(i32),
    /// A script was killed, not by the agent.
    Signal,
    /// The job's clock of this length ran out.
    JobClock(Duration),
    /// The clock of a part of the job ran out.
    Clock(&'static str),
    /// Told so.
    Canceled,
    /// Told to end at once.
    Aborted,
    /// The job asks for what this agent refuses.
    Configuration(String),
    /// The agent could not do its part.
    System(String),
    /// The executor knows why.
    Other {
        reason: FailureReason,
        message: String,
    },
}

impl Failure {
    /// What the coordinator is told.
    pub(super) fn outcome(&self) -> Outcome {
        let (reason, exit_code) = match self {
            Failure::Exit { code, .. } | Failure::OutOfMemory(code) => {
                (FailureReason::SCRIPT_FAILURE, *code)
            }
            Failure::Signal => (FailureReason::SCRIPT_FAILURE, -1),
            Failure::JobClock(_) | Failure::Clock(_) => (FailureReason::JOB_EXECUTION_TIMEOUT, 0),
            Failure::Canceled => return Outcome::Canceled,
            Failure::Aborted => (FailureReason::RUNNER_INTERRUPTED, 0),
            Failure::Configuration(_) => (FailureReason::RUNNER_CONFIGURATION_ERROR, 0),
            Failure::System(_) => (FailureReason::RUNNER_SYSTEM_FAILURE, 0),
            Failure::Other { reason, .. } => (reason.clone(), 0),
        };
        Outcome::Failed { reason, exit_code }
    }

    /// The last line of the log.
    pub(super) fn last_line(&self) -> String {
        match self {
            Failure::System(_) => format!("Job failed (system failure): {self}"),
            Failure::Other { reason, .. } if *reason == FailureReason::RUNNER_SYSTEM_FAILURE => {
                format!("Job failed (system failure): {self}")
            }
            _ => format!("Job failed: {self}"),
        }
    }

    /// `CI_JOB_STATUS` for what runs after it.
    pub(super) fn job_status(&self) -> &'static str {
        match self {
            Failure::Canceled | Failure::Aborted => "canceled",
            Failure::JobClock(_) | Failure::Clock(_) => "timedout",
            _ => "failed",
        }
    }

    /// Whether a clock ran out.
    pub(super) fn is_timeout(&self) -> bool {
        matches!(self, Failure::JobClock(_) | Failure::Clock(_))
    }

    /// Whether nothing of the job runs after it but its cleaning up.
    pub(super) fn ends_all(&self) -> bool {
        matches!(self, Failure::Aborted | Failure::JobClock(_))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Exit { code, called } => write!(f, "{called} {code}"),
            Failure::OutOfMemory(code) => {
                write!(f, "exit code {code}: the job's container ran out of memory")
            }
            Failure::Signal => f.write_str("signal: killed"),
            // The odd wording is gitlab-runner's, and people search for it.
            Failure::JobClock(length) => {
                write!(
                    f,
                    "execution took longer than {} seconds",
                    Span::from(*length)
                )
            }
            Failure::Clock(part) => write!(f, "{part} timeout: context deadline exceeded"),
            Failure::Canceled => f.write_str("canceled"),
            Failure::Aborted => f.write_str("aborted: terminated"),
            Failure::Configuration(text)
            | Failure::System(text)
            | Failure::Other { message: text, .. } => f.write_str(text),
        }
    }
}

impl From<executor::Error> for Failure {
    fn from(error: executor::Error) -> Failure {
        match error {
            executor::Error::Final { reason, message } => Failure::Other { reason, message },
            error => Failure::System(error.to_string()),
        }
    }
}
