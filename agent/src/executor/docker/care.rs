//! What an agent asks of its engine beside its jobs: whether it can run them, and
//! what they left in it.

use std::io;
use std::path::Path;

use super::super::{Error, Mark};
use super::{engine, remove, system_id};

/// What an engine says of itself.
pub(crate) struct Looked {
    pub(crate) version: String,
    /// What jobs will miss, and what to mend.
    pub(crate) missing: Vec<&'static str>,
}

/// Looks whether the engine can run jobs.
///
/// # Errors
/// It is not there, or cannot.
pub(crate) async fn look(docker: &crate::Docker) -> Result<Looked, Error> {
    let engine = engine::connect(&docker.socket)?;
    let version = engine::check(&engine).await?;
    let info = engine.info().await;
    let info = info.map_err(|error| engine::failed("ask the Docker engine about itself", error))?;
    let mut missing = Vec::new();
    if docker.memory.is_some() && info.memory_limit == Some(false) {
        missing.push("its kernel has no limits of memory, which docker-memory needs");
    }
    if docker.nano_cpus.is_some() && info.cpu_cfs_quota == Some(false) {
        missing.push("its kernel has no limits of processors, which docker-cpus needs");
    }
    if !rustix::process::geteuid().is_root() {
        missing.push(
            "the agent is not root: what jobs' containers write as other users it can neither \
             check out over nor remove",
        );
    }
    Ok(Looked { version, missing })
}

/// Removes what the job with this mark has in the engine.
///
/// # Errors
/// The engine's; then something may be left.
pub(crate) async fn remove_left(docker: &crate::Docker, mark: &Mark) -> Result<(), Error> {
    let engine = engine::connect(&docker.socket)?;
    let removed = remove::all_of(&engine, mark.id()).await;
    removed.map_err(|error| engine::failed("remove what a job left in the Docker engine", error))
}

/// Removes what jobs of the agent with the state folder `state` have in the engine
/// but those that `alive` names, which is asked after the engine was: a job writes
/// its mark down before it makes anything. Returns how many jobs had left something.
///
/// # Errors
/// The engine's; or `alive` cannot say, and nothing is removed.
pub(crate) async fn sweep(
    docker: &crate::Docker,
    state: &Path,
    alive: impl FnOnce() -> io::Result<Vec<Mark>>,
) -> Result<usize, Error> {
    const WHAT: &str = "look for what jobs left in the Docker engine";
    let engine = engine::connect(&docker.socket)?;
    let found = remove::marks(&engine, &system_id(state)).await;
    let mut found = found.map_err(|error| engine::failed(WHAT, error))?;
    let alive = alive().map_err(|error| Error::Engine(format!("{WHAT}: {error}")))?;
    for mark in alive {
        found.remove(mark.id());
    }
    for mark in &found {
        let removed = remove::all_of(&engine, mark).await;
        removed.map_err(|error| {
            engine::failed("remove what a job left in the Docker engine", error)
        })?;
    }
    Ok(found.len())
}
