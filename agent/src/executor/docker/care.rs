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

/// A job whose lease this agent holds.
pub(crate) struct Alive {
    pub(crate) mark: Mark,
    pub(crate) slot: u32,
}

/// Removes what jobs of the agent with the state folder `state` have in the engine
/// but those that `alive` names, which is asked after the engine was: a job writes
/// down what it is before it makes anything. The networks of slots from `slots` on go
/// with it, where no job is. Returns how many jobs had left something.
///
/// # Errors
/// The engine's; or `alive` cannot say, and nothing is removed.
pub(crate) async fn sweep(
    docker: &crate::Docker,
    state: &Path,
    slots: u32,
    alive: impl FnOnce() -> io::Result<Vec<Alive>>,
) -> Result<usize, Error> {
    const WHAT: &str = "look for what jobs left in the Docker engine";
    let engine = engine::connect(&docker.socket)?;
    let system = system_id(state);
    let (found, networks) = tokio::join!(
        remove::marks(&engine, &system),
        remove::slots(&engine, &system)
    );
    let mut found = found.map_err(|error| engine::failed(WHAT, error))?;
    let mut networks = networks.map_err(|error| engine::failed(WHAT, error))?;
    let alive = alive().map_err(|error| Error::Engine(format!("{WHAT}: {error}")))?;
    networks.retain(|(_, slot)| *slot >= slots);
    for job in alive {
        found.remove(job.mark.id());
        networks.retain(|(_, slot)| *slot != job.slot);
    }
    let failed = |error| engine::failed("remove what a job left in the Docker engine", error);
    for mark in &found {
        remove::all_of(&engine, mark).await.map_err(failed)?;
    }
    let networks = networks.into_iter().map(|(id, _)| id);
    let removed = remove::slot_networks(&engine, networks).await;
    removed.map_err(failed)?;
    Ok(found.len())
}

/// Removes the networks of the slots of an agent that has no job.
///
/// # Errors
/// The engine's; then some may be left.
pub(crate) async fn leave(docker: &crate::Docker, state: &Path) -> Result<(), Error> {
    let engine = engine::connect(&docker.socket)?;
    let failed = |error| engine::failed("remove the agent's networks", error);
    let networks = remove::slots(&engine, &system_id(state)).await;
    let networks = networks.map_err(failed)?.into_iter().map(|(id, _)| id);
    remove::slot_networks(&engine, networks)
        .await
        .map_err(failed)
}
