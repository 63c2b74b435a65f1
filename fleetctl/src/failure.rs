//! How a command ends, and its exit code.

use std::fmt;
use std::process::ExitCode;

/// How a command ended; the same codes everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, or passed.
    Done,
    /// The pipeline, job or operation failed, or could not be begun.
    Failed,
    /// Wrong usage, or an invalid file.
    Usage,
    /// The pipeline was canceled.
    Canceled,
    /// What was named is not there.
    NotFound,
    /// Whoever asks may not.
    Denied,
    /// The server cannot be reached.
    Unreachable,
    /// It did not happen in the time given.
    TimedOut,
    /// Somebody pressed Ctrl-C.
    Interrupted,
}

impl Exit {
    /// The number the program ends with.
    pub(crate) fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Canceled => 3,
            Exit::NotFound => 4,
            Exit::Denied => 5,
            Exit::Unreachable => 6,
            Exit::TimedOut => 7,
            Exit::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// Why a command could not do what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    error: anyhow::Error,
}

impl Failure {
    /// A failure of its own kind.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Failure {
        Failure {
            exit,
            error: anyhow::Error::msg(message.into()),
        }
    }

    /// The person can mend it: a wrong argument, an invalid file.
    pub(crate) fn usage(message: impl Into<String>) -> Failure {
        Failure::new(Exit::Usage, message)
    }

    /// What was named is not there.
    pub(crate) fn not_found(message: impl Into<String>) -> Failure {
        Failure::new(Exit::NotFound, message)
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
