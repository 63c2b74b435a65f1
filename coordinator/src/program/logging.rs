//! The log, on stderr.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

use super::failure::Failure;
use crate::settings::{LogFormat, Serve};

/// Starts logging as the settings say.
pub(super) fn start(settings: &Serve) -> Result<(), Failure> {
    let filter =
        EnvFilter::try_new(&settings.log).map_err(|error| Failure::usage(error.to_string()))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(stderr().is_terminal())
        // Whoever read stderr may be gone; that is no reason to end.
        .log_internal_errors(false)
        .with_writer(stderr);
    let started = match settings.log_format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().try_init(),
    };
    started.map_err(|error| Failure::failed(error).context("cannot start the log"))
}
