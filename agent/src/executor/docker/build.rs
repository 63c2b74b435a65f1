//! The container of the user's commands.

use std::pin::Pin;

use bollard::Docker;
use bollard::container::AttachContainerResults;
use bollard::errors::Error as Failed;
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptions, RemoveContainerOptionsBuilder,
};
use fleet_model::FailureReason;

use super::engine;
use crate::executor::Error;

/// The first of these shells that an image has reads the program.
const SHELLS: [&str; 7] = [
    "/usr/local/bin/bash",
    "/usr/bin/bash",
    "/bin/bash",
    "/usr/local/bin/sh",
    "/usr/bin/sh",
    "/bin/sh",
    "/busybox/sh",
];

/// A container that runs and waits for its program.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) id: String,
    pub(super) attached: AttachContainerResults,
}

/// What a container of the user's commands runs: the first shell there is.
pub(super) fn probe() -> Vec<String> {
    let mut script = String::new();
    for shell in SHELLS {
        script.push_str(&format!("[ -x {shell} ] && exec {shell}\n"));
    }
    script.push_str("echo shell not found\nexit 1\n");
    vec!["sh".to_owned(), "-c".to_owned(), script]
}

/// Makes a container of `image`; returns its id.
pub(super) async fn create(
    engine: &Docker,
    name: &str,
    image: &str,
    platform: Option<&str>,
    body: ContainerCreateBody,
) -> Result<String, Error> {
    let mut again = true;
    loop {
        let options = CreateContainerOptions {
            name: Some(name.to_owned()),
            platform: platform.unwrap_or_default().to_owned(),
        };
        match engine.create_container(Some(options), body.clone()).await {
            Ok(created) => return Ok(created.id),
            // An earlier try of the same job, whose answer was lost.
            Err(error) if again && engine::status(&error) == Some(409) => {
                again = false;
                let _reason_follows = remove(engine, name).await;
            }
            Err(error) => return Err(not_made(image, error)),
        }
    }
}

fn not_made(image: &str, error: Failed) -> Error {
    let what = format!("make a container of image {image}");
    match engine::status(&error) {
        // It is what the job asks for: a platform, a user, an environment too large.
        Some(400 | 404) => Error::Final {
            reason: FailureReason::RUNNER_CONFIGURATION_ERROR,
            message: format!("{what}: {}", engine::words(&error)),
        },
        _ => engine::failed(what, error),
    }
}

/// Starts a container that was made, or has run, with its input and output at hand.
pub(super) async fn start(engine: &Docker, id: String, image: &str) -> Result<Started, Error> {
    let options = AttachContainerOptionsBuilder::new()
        .stream(true)
        .stdin(true)
        .stdout(true)
        .stderr(true)
        .build();
    let attached = engine.attach_container(&id, Some(options)).await;
    let attached = attached
        .map_err(|error| engine::failed(format_args!("attach to a container of {image}"), error))?;
    match engine.start_container(&id, None).await {
        Ok(()) => Ok(Started { id, attached }),
        Err(error) => Err(not_started(image, &error)),
    }
}

/// Why a container of `image` did not start.
pub(super) fn not_started(image: &str, error: &Failed) -> Error {
    let words = engine::words(error);
    let what = format!("start a container of image {image}");
    let shell = words.contains("exec: \"sh\"");
    let of_the_job = match engine::status(error) {
        _ if shell => {
            return Error::Final {
                reason: FailureReason::RUNNER_SYSTEM_FAILURE,
                message: format!(
                    "image {image} has no shell: a job's image needs sh, or bash, in its PATH \
                     ({words})"
                ),
            };
        }
        Some(400) => true,
        _ if words.contains("OCI runtime create failed") && words.contains("exec: ") => true,
        _ => words.contains("unable to find user") || words.contains("no matching entries"),
    };
    match of_the_job {
        true => Error::Final {
            reason: FailureReason::RUNNER_CONFIGURATION_ERROR,
            message: format!("{what}: {words}"),
        },
        false => Error::Engine(format!("{what}: {words}")),
    }
}

/// Whether something in a container that has ended was killed for want of memory.
pub(super) async fn out_of_memory(engine: &Docker, id: &str) -> bool {
    let found = engine.inspect_container(id, None).await;
    let state = found.ok().and_then(|found| found.state);
    state.and_then(|state| state.oom_killed).unwrap_or(false)
}

/// Removes a container with all that is in it, running or not. One that is not
/// there is removed.
pub(super) async fn remove(engine: &Docker, id: &str) -> Result<(), Failed> {
    loop {
        let force = RemoveContainerOptionsBuilder::new().force(true).v(true);
        match engine.remove_container(id, Some(force.build())).await {
            Ok(()) => return Ok(()),
            Err(error) if engine::status(&error) == Some(404) => return Ok(()),
            // Somebody else removes it: it is gone when they are done.
            Err(error) if engine::status(&error) == Some(409) => {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// What a program reads.
pub(super) type Input = Pin<Box<dyn tokio::io::AsyncWrite + Send>>;
