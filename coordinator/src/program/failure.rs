//! How a command that is not done ends.

use std::error::Error;
use std::process::ExitCode;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(super) enum Failure {
    /// Wrong usage or an invalid file, in words.
    Usage(String),
    /// clap's own words; help among them.
    Clap(clap::Error),
    /// It could not be done.
    Failed {
        /// What was tried, where the error does not say.
        context: Option<&'static str>,
        error: Box<dyn Error + Send + Sync>,
    },
}

impl Failure {
    pub(super) fn usage(what: String) -> Failure {
        Failure::Usage(what)
    }

    pub(super) fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> Failure {
        Failure::Failed {
            context: None,
            error: error.into(),
        }
    }

    /// Says what was tried.
    pub(super) fn context(self, what: &'static str) -> Failure {
        match self {
            Failure::Failed { error, .. } => Failure::Failed {
                context: Some(what),
                error,
            },
            other => other,
        }
    }

    /// One line on stderr; what the program ends with.
    pub(super) fn report(&self) -> ExitCode {
        match self {
            Failure::Clap(error) => {
                // A closed pipe is no news.
                let _ = error.print();
                ExitCode::from(if error.use_stderr() { 2 } else { 0 })
            }
            Failure::Usage(what) => {
                eprintln!("fleet-coordinator: {}", one_line(what));
                ExitCode::from(2)
            }
            Failure::Failed { .. } => {
                eprintln!("fleet-coordinator: {}", one_line(&self.to_string()));
                ExitCode::from(1)
            }
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Usage(what) => formatter.write_str(what),
            Failure::Clap(error) => error.fmt(formatter),
            Failure::Failed { context, error } => {
                if let Some(context) = context {
                    write!(formatter, "{context}: ")?;
                }
                write!(formatter, "{error}")?;
                let mut cause = error.source();
                while let Some(error) = cause {
                    write!(formatter, ": {error}")?;
                    cause = error.source();
                }
                Ok(())
            }
        }
    }
}

impl From<clap::Error> for Failure {
    fn from(error: clap::Error) -> Failure {
        Failure::Clap(error)
    }
}

impl From<fleet_settings::Error> for Failure {
    fn from(error: fleet_settings::Error) -> Failure {
        match error {
            fleet_settings::Error::Usage(error) => Failure::Clap(error),
            error => {
                let cause = error.source().map(|cause| format!(": {cause}"));
                Failure::Usage(format!("{error}{}", cause.unwrap_or_default()))
            }
        }
    }
}

fn one_line(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    lines.join(" ")
}
