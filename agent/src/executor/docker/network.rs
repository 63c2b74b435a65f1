//! The network of a job: nobody else's containers are on it while the job lasts.
//!
//! Making a network and removing it takes an engine as long as a container does. So an
//! agent's slots keep theirs: a slot has one job at a time, and a job begins on its
//! slot's network only if nothing is on it. An engine forgets what it knew of a
//! container's address and names when that leaves its network.

use std::collections::HashMap;

use bollard::Docker;
use bollard::errors::Error as Failed;
use bollard::models::NetworkCreateRequest;

use super::build;
use super::engine;
use super::labels::{SLOT, SYSTEM};
use crate::executor::Error;

/// Where an engine puts a container of which nobody says more.
pub(super) const ENGINES: &str = "bridge";
const MTU: &str = "com.docker.network.driver.mtu";

/// Which network a job has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// The one all of the engine's users share; there are no names on it.
    Engines,
    /// Its slot's.
    Slots,
    /// One of its own, which goes with it.
    Jobs,
}

/// What a network is to be.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) labels: HashMap<String, String>,
    /// Bytes; none: the engine's own.
    pub(super) mtu: Option<u32>,
}

/// Makes a network; returns its id.
pub(super) async fn create(engine: &Docker, wanted: Wanted) -> Result<String, Error> {
    let mtu = wanted.mtu.map(|mtu| mtu.to_string());
    let options = mtu.map(|mtu| HashMap::from([(MTU.to_owned(), mtu)]));
    let request = NetworkCreateRequest {
        name: wanted.name,
        driver: Some("bridge".to_owned()),
        labels: Some(wanted.labels),
        options,
        ..NetworkCreateRequest::default()
    };
    match engine.create_network(request).await {
        Ok(created) => Ok(created.id),
        Err(error) => {
            let mut words = engine::words(&error);
            // Its own words for this are hard to understand.
            if words.contains("could not find an available") {
                words.push_str(
                    ": the engine has no addresses left for one more network; give it more \
                     (default-address-pools in its daemon.json) or the agent fewer slots",
                );
            }
            Err(Error::Engine(format!("make the job's network: {words}")))
        }
    }
}

/// Removes a network, with all containers that are on it: those that the job made
/// there by other ways than the agent's are the job's, too.
pub(super) async fn remove(engine: &Docker, id: &str) -> Result<(), Failed> {
    const TRIES: u32 = 5;
    for _ in 1..TRIES {
        match engine.remove_network(id).await {
            Ok(()) => return Ok(()),
            Err(error) if engine::status(&error) == Some(404) => return Ok(()),
            // It is in use.
            Err(error) if engine::status(&error) == Some(403) => {}
            Err(error) => return Err(error),
        }
        let network = match engine.inspect_network(id, None).await {
            Ok(network) => network,
            Err(error) if engine::status(&error) == Some(404) => return Ok(()),
            Err(error) => return Err(error),
        };
        for container in network.containers.unwrap_or_default().into_keys() {
            build::remove(engine, &container).await?;
        }
    }
    engine.remove_network(id).await
}

/// The id of a slot's network, which is made where it is not there; none: somebody
/// else has put something on it, or made one of that name.
pub(super) async fn of_slot(engine: &Docker, wanted: Wanted) -> Result<Option<String>, Error> {
    let found = match engine.inspect_network(&wanted.name, None).await {
        Ok(found) => found,
        Err(error) if engine::status(&error) == Some(404) => {
            return create(engine, wanted).await.map(Some);
        }
        // There are several.
        Err(error) if engine::status(&error).is_some() => return Ok(None),
        Err(error) => return Err(engine::failed("look for the job's network", error)),
    };
    let label = |name: &str| found.labels.as_ref().and_then(|labels| labels.get(name));
    let is_slots = [SLOT, SYSTEM]
        .iter()
        .all(|name| label(name).is_some_and(|value| wanted.labels.get(*name) == Some(value)));
    let is_empty = found.containers.is_none_or(|all| all.is_empty());
    if !is_slots || !is_empty {
        return Ok(None);
    }
    let Some(id) = found.id else { return Ok(None) };
    let mtu = found.options.unwrap_or_default().remove(MTU);
    if mtu == wanted.mtu.map(|mtu| mtu.to_string()) {
        return Ok(Some(id));
    }
    match engine.remove_network(&id).await {
        Ok(()) => create(engine, wanted).await.map(Some),
        Err(error) if engine::status(&error).is_some() => Ok(None),
        Err(error) => Err(engine::failed("remove a slot's network", error)),
    }
}
