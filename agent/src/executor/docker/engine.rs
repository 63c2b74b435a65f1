//! The connection to the container engine, and what its errors are to a job.

use std::path::Path;

use bollard::Docker;
use bollard::errors::Error as Failed;
use fleet_model::FailureReason;

use crate::executor::Error;

/// Seconds until the head of an answer is there.
const ANSWERED_WITHIN: u64 = 120;

/// A connection to the engine that listens at `socket`. Nothing of the agent's
/// environment has a say in it.
///
/// # Errors
/// There is no such socket.
pub(super) fn connect(socket: &Path) -> Result<Docker, Error> {
    let path = socket.to_string_lossy();
    Docker::connect_with_unix(&path, ANSWERED_WITHIN, bollard::API_DEFAULT_VERSION).map_err(
        |error| {
            failed(
                format_args!("connect to the Docker engine at {path}"),
                error,
            )
        },
    )
}

/// Whether the engine is there and can run jobs; its version.
///
/// # Errors
/// It is not, or it cannot.
pub(super) async fn check(engine: &Docker) -> Result<String, Error> {
    let version = engine.version().await;
    let version =
        version.map_err(|error| failed("ask the Docker engine for its version", error))?;
    match version.os.as_deref() {
        Some("linux") | None => Ok(version.version.unwrap_or_default()),
        Some(other) => Err(Error::Final {
            reason: FailureReason::RUNNER_SYSTEM_FAILURE,
            message: format!(
                "the Docker engine runs containers of {other}: this agent needs linux"
            ),
        }),
    }
}

/// What became of an attempt to do `what`.
pub(super) fn failed(what: impl std::fmt::Display, error: Failed) -> Error {
    Error::Engine(format!("{what}: {}", words(&error)))
}

/// The engine's error in words for the job's log.
pub(super) fn words(error: &Failed) -> String {
    match error {
        Failed::DockerResponseServerError { message, .. } => {
            let message = message.trim();
            if message.contains("no space left on device") {
                format!("{message}: the disk of the Docker engine is full")
            } else {
                message.to_owned()
            }
        }
        error if is_gone(error) => format!(
            "the Docker engine does not answer ({}): is it running?",
            with_causes(error)
        ),
        error => with_causes(error),
    }
}

/// The status of the engine's answer, where it gave one.
pub(super) fn status(error: &Failed) -> Option<u16> {
    match error {
        Failed::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// Whether there is no engine to answer, or no more.
pub(super) fn is_gone(error: &Failed) -> bool {
    matches!(
        error,
        Failed::SocketNotFoundError(_)
            | Failed::IOError { .. }
            | Failed::HyperResponseError { .. }
            | Failed::HyperLegacyError { .. }
            | Failed::RequestTimeoutError
    )
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(&format!(": {more}"));
        }
        cause = error.source();
    }
    text
}
