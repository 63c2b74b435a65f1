//! What one job has in the engine.

use std::collections::HashMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use bollard::Docker as Engine;
use bollard::models::{
    ContainerCreateBody, EndpointSettings, HostConfig, NetworkingConfig, RestartPolicy,
    RestartPolicyNameEnum, VolumeCreateRequest,
};
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use super::build::{self, Started};
use super::labels::{Kind, Labels};
use super::names::Names;
use super::{engine, network};
use crate::executor::Error;

/// One job's place in the engine.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) engine: Engine,
    pub(super) names: Names,
    pub(super) labels: Labels,
    /// Bytes; none: the engine's own.
    pub(super) mtu: Option<u32>,
    pub(super) whose: network::Whose,
    /// The slot's number.
    pub(super) slot: u32,
    /// The id of its network, once it is made.
    pub(super) network: OnceCell<String>,
    /// What is being made: it is made to the end, so that it is found and removed.
    pub(super) under_way: TaskTracker,
}

/// What a container is to be, but for what all of a job have in common.
#[derive(Clone, Debug)]
pub(super) struct Blueprint {
    pub(super) name: String,
    /// As the job has it, for messages.
    pub(super) image: String,
    /// None: the engine's own.
    pub(super) platform: Option<String>,
    /// The names it has on the job's network.
    pub(super) aliases: Vec<String>,
    pub(super) body: ContainerCreateBody,
}

impl Site {
    /// Makes something in the engine, also when nobody waits for it any more.
    pub(super) fn make<T: Send + 'static>(
        &self,
        what: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.under_way.spawn(what)
    }

    /// Returns when nothing is being made, and nothing should be any more.
    pub(super) async fn made(&self) {
        self.under_way.close();
        self.under_way.wait().await;
    }

    /// The id of the job's network, which is made when it is first asked for.
    pub(super) async fn network(&self) -> Result<&str, Error> {
        let made = self.network.get_or_try_init(|| self.make_network());
        made.await.map(String::as_str)
    }

    async fn make_network(&self) -> Result<String, Error> {
        let kept = match self.whose {
            network::Whose::Engines => Some(network::ENGINES.to_owned()),
            network::Whose::Slots => {
                let wanted = network::Wanted {
                    name: self.names.slot_network(self.slot),
                    labels: self.labels.of_slot(self.slot),
                    mtu: self.mtu,
                };
                network::of_slot(&self.engine, wanted).await?
            }
            network::Whose::Jobs => None,
        };
        if let Some(kept) = kept {
            return Ok(kept);
        }
        let wanted = network::Wanted {
            name: self.names.network(),
            labels: self.labels.of(Kind::Network, &[]),
            mtu: self.mtu,
        };
        network::create(&self.engine, wanted).await
    }

    /// Makes a container on the job's network; returns its id.
    async fn create(&self, blueprint: &Blueprint) -> Result<String, Error> {
        let network = self.network().await?;
        let mut body = blueprint.body.clone();
        let host = body.host_config.get_or_insert_with(HostConfig::default);
        host.network_mode = Some(network.to_owned());
        host.restart_policy = Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            ..RestartPolicy::default()
        });
        if self.whose != network::Whose::Engines {
            let endpoint = EndpointSettings {
                aliases: Some(blueprint.aliases.clone()),
                ..EndpointSettings::default()
            };
            body.networking_config = Some(NetworkingConfig {
                endpoints_config: Some(HashMap::from([(network.to_owned(), endpoint)])),
            });
        }
        let platform = blueprint.platform.as_deref();
        build::create(
            &self.engine,
            &blueprint.name,
            &blueprint.image,
            platform,
            body,
        )
        .await
    }

    /// Makes the volume at `path` that later jobs of the project find again, if it is
    /// not there; any user of a container may write to it.
    pub(super) async fn make_volume(&self, name: &str, path: &str) -> Result<(), Error> {
        let more = [("destination", path), ("reusable", "true")];
        let wanted = VolumeCreateRequest {
            name: Some(name.to_owned()),
            labels: Some(self.labels.of(Kind::Cache, &more)),
            ..VolumeCreateRequest::default()
        };
        let made = self.engine.create_volume(wanted).await;
        let made =
            made.map_err(|error| engine::failed(format_args!("make a volume for {path}"), error))?;
        // The engine's folder is only root's to open.
        let open = Permissions::from_mode(0o777);
        if let Err(error) = std::fs::set_permissions(&made.mountpoint, open) {
            tracing::debug!(%error, name, "a new volume is for root alone");
        }
        Ok(())
    }

    /// Makes and starts a container for the job's commands.
    pub(super) fn start_build(
        self: &Arc<Self>,
        blueprint: &Arc<Blueprint>,
    ) -> JoinHandle<Result<Started, Error>> {
        let (site, blueprint) = (Arc::clone(self), Arc::clone(blueprint));
        self.make(async move {
            let id = site.create(&blueprint).await?;
            build::start(&site.engine, id, &blueprint.image).await
        })
    }

    /// Makes and starts another container; returns its id.
    pub(super) async fn start(self: &Arc<Self>, blueprint: Blueprint) -> Result<String, Error> {
        let site = Arc::clone(self);
        let started = self.make(async move {
            let id = site.create(&blueprint).await?;
            match site.engine.start_container(&id, None).await {
                Ok(()) => Ok(id),
                Err(error) => Err(build::not_started(&blueprint.image, &error)),
            }
        });
        started.await.map_err(broken)?
    }
}

/// What was to be made broke inside the agent.
pub(super) fn broken(error: tokio::task::JoinError) -> Error {
    Error::Engine(format!("start a container: {error}"))
}
