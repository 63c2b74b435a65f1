//! How a command ends, and its exit code.

use std::fmt;
use std::process::ExitCode;

/// How a command ended; the same codes everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, or passed.
    Done,
    /// The pipeline failed, or could not be run.
    Failed,
    /// Wrong usage, or an invalid file.
    Usage,
    /// The pipeline was canceled.
    Canceled,
    /// Somebody pressed Ctrl-C.
    Interrupted,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Canceled => 3,
            Exit::Interrupted => 130,
        })
    }
}

/// Why a command could not do what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    error: anyhow::Error,
}

impl Failure {
    /// The person can mend it: a wrong argument, an invalid file.
    pub(crate) fn usage(message: impl Into<String>) -> Failure {
        Failure {
            exit: Exit::Usage,
            error: anyhow::Error::msg(message.into()),
        }
    }

    /// The exit code it leads to.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        Failure {
            exit: Exit::Failed,
            error,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // With all causes, in one line.
        write!(f, "{:#}", self.error)
    }
}
