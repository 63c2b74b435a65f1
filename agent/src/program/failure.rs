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
    Failed(Box<dyn Error + Send + Sync>),
}

impl Failure {
    pub(super) fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> Failure {
        Failure::Failed(error.into())
    }

    /// What is wrong, on one line, for a log.
    pub(super) fn line(&self) -> String {
        match self {
            Failure::Clap(error) => {
                let text = error.to_string();
                text.lines().next().unwrap_or_default().to_owned()
            }
            Failure::Usage(what) => what.clone(),
            Failure::Failed(error) => chain(error.as_ref()),
        }
    }

    /// Says it on stderr; what the program ends with.
    pub(super) fn report(&self) -> ExitCode {
        match self {
            Failure::Clap(error) => {
                // A closed pipe is no news.
                let _ = error.print();
                ExitCode::from(if error.use_stderr() { 2 } else { 0 })
            }
            Failure::Usage(what) => {
                eprintln!("fleet-agent: {what}");
                ExitCode::from(2)
            }
            Failure::Failed(error) => {
                eprintln!("fleet-agent: {}", chain(error.as_ref()));
                ExitCode::from(1)
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
            error => Failure::Usage(chain(&error)),
        }
    }
}

/// An error and its causes, on one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
