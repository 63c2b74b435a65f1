//! A job's own network: nobody else's containers are on it.

use std::collections::HashMap;

use bollard::Docker;
use bollard::errors::Error as Failed;
use bollard::models::NetworkCreateRequest;

use super::build;
use super::engine;
use crate::executor::Error;

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
    let options = mtu.map(|mtu| HashMap::from([("com.docker.network.driver.mtu".to_owned(), mtu)]));
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
