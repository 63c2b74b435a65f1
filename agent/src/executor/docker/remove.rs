//! Removing what jobs have in the engine, by its labels.

use std::collections::{BTreeSet, HashMap};

use bollard::Docker as Engine;
use bollard::errors::Error as Failed;
use bollard::query_parameters::{ListContainersOptionsBuilder, ListNetworksOptionsBuilder};
use tokio::task::JoinSet;

use super::labels::{MARK, SLOT, SYSTEM};
use super::{build, engine, network};

/// The marks of all jobs of the agent `system` that have something in the engine.
///
/// # Errors
/// The engine's.
pub(super) async fn marks(engine: &Engine, system: &str) -> Result<BTreeSet<String>, Failed> {
    let label = vec![format!("{SYSTEM}={system}"), MARK.to_owned()];
    let label = HashMap::from([("label", label)]);
    let containers = ListContainersOptionsBuilder::new()
        .all(true)
        .filters(&label);
    let networks = ListNetworksOptionsBuilder::new().filters(&label);
    let (containers, networks) = tokio::try_join!(
        engine.list_containers(Some(containers.build())),
        engine.list_networks(Some(networks.build())),
    )?;
    let containers = containers.into_iter().filter_map(|found| found.labels);
    let networks = networks.into_iter().filter_map(|found| found.labels);
    let labels = containers.chain(networks);
    Ok(labels
        .filter_map(|mut labels| labels.remove(MARK))
        .collect())
}

/// The networks of the slots of the agent `system`: their ids and the slots' numbers.
///
/// # Errors
/// The engine's.
pub(super) async fn slots(engine: &Engine, system: &str) -> Result<Vec<(String, u32)>, Failed> {
    let label = vec![format!("{SYSTEM}={system}"), SLOT.to_owned()];
    let label = HashMap::from([("label", label)]);
    let networks = ListNetworksOptionsBuilder::new().filters(&label);
    let networks = engine.list_networks(Some(networks.build())).await?;
    let slots = networks.into_iter().filter_map(|found| {
        let slot = found.labels?.get(SLOT)?.parse().ok()?;
        Some((found.id?, slot))
    });
    Ok(slots.collect())
}

/// Removes slots' networks, but for those that something is on.
///
/// # Errors
/// The engine's.
pub(super) async fn slot_networks(
    engine: &Engine,
    ids: impl IntoIterator<Item = String>,
) -> Result<(), Failed> {
    let mut removing = JoinSet::new();
    for id in ids {
        let engine = engine.clone();
        removing.spawn(async move {
            match engine.remove_network(&id).await {
                Err(error) if engine::status(&error).is_none() => Err(error),
                _ => Ok(()),
            }
        });
    }
    let mut result = Ok(());
    while let Some(removed) = removing.join_next().await {
        result = result.and(removed.unwrap_or(Ok(())));
    }
    result
}

/// Removes all containers and networks of the job with this mark, and what else is
/// on its networks.
///
/// # Errors
/// The engine's first; then something may be left.
pub(super) async fn all_of(engine: &Engine, mark: &str) -> Result<(), Failed> {
    let label = HashMap::from([("label", vec![format!("{MARK}={mark}")])]);
    let containers = ListContainersOptionsBuilder::new()
        .all(true)
        .filters(&label);
    let networks = ListNetworksOptionsBuilder::new().filters(&label);
    let (containers, networks) = tokio::join!(
        engine.list_containers(Some(containers.build())),
        engine.list_networks(Some(networks.build())),
    );
    let mut removing = JoinSet::new();
    for id in containers?.into_iter().filter_map(|found| found.id) {
        let engine = engine.clone();
        removing.spawn(async move { build::remove(&engine, &id).await });
    }
    let mut result = Ok(());
    while let Some(removed) = removing.join_next().await {
        result = result.and(removed.unwrap_or(Ok(())));
    }
    for id in networks?.into_iter().filter_map(|found| found.id) {
        result = result.and(network::remove(engine, &id).await);
    }
    result
}
