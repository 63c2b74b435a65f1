//! What one job has in the engine.

use std::collections::HashMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use bollard::Docker as Engine;
use bollard::models::{
    ContainerCreateBody, EndpointSettings, HostConfig, NetworkingConfig, RestartPolicy,
    RestartPolicyNameEnum, VolumeCreateRequest,
};
use tokio::sync::OnceCell;

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
    /// The id of its network, once it is made.
    network: OnceCell<String>,
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
    pub(super) fn new(engine: Engine, names: Names, labels: Labels, mtu: Option<u32>) -> Site {
        Site {
            engine,
            names,
            labels,
            mtu,
            network: OnceCell::new(),
        }
    }

    /// The id of the job's network, which is made when it is first asked for.
    pub(super) async fn network(&self) -> Result<&str, Error> {
        let made = self.network.get_or_try_init(|| {
            let wanted = network::Wanted {
                name: self.names.network(),
                labels: self.labels.of(Kind::Network, &[]),
                mtu: self.mtu,
            };
            network::create(&self.engine, wanted)
        });
        made.await.map(String::as_str)
    }

    /// Makes a container on the job's network; returns its id.
    pub(super) async fn create(&self, blueprint: &Blueprint) -> Result<String, Error> {
        let network = self.network().await?;
        let mut body = blueprint.body.clone();
        let host = body.host_config.get_or_insert_with(HostConfig::default);
        host.network_mode = Some(network.to_owned());
        host.restart_policy = Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            ..RestartPolicy::default()
        });
        let endpoint = EndpointSettings {
            aliases: Some(blueprint.aliases.clone()),
            ..EndpointSettings::default()
        };
        body.networking_config = Some(NetworkingConfig {
            endpoints_config: Some(HashMap::from([(network.to_owned(), endpoint)])),
        });
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
    pub(super) async fn start(&self, blueprint: &Blueprint) -> Result<Started, Error> {
        let id = self.create(blueprint).await?;
        build::start(&self.engine, id, &blueprint.image).await
    }
}
