//! The Docker executor: scripts run in containers, everything else on the host.
//!
//! A job has a network of its own, a container for its commands, and one for each
//! of its services. The container waits for its program from early on, while the
//! sources are fetched; it stays, stopped, between stages, and a script that was
//! stopped costs it: the next stage has a new one. The project's folder and the one
//! beside it are all that the containers see of the host, at the host's own paths.
//! Everything carries labels by which others find it when this process is killed.

mod allowed;
mod build;
mod care;
mod containers;
mod engine;
mod image;
mod labels;
mod names;
mod network;
mod own;
mod program;
mod ready;
mod remove;
mod service;
mod site;
mod stop;
mod volumes;

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bollard::models::{ContainerCreateBody, HostConfig};
use fleet_model::FailureReason;
use tokio::sync::OnceCell;
use tokio_util::task::TaskTracker;

use super::shell::Shell;
use super::{Environment, Error, Executor, Mark, Request, Say, Users};
use crate::{Settings, expand};
pub(crate) use care::{Alive, leave, look, remove_left, sweep};
pub(super) use containers::Containers;
use containers::{Build, Umask};
use labels::{Kind, Labels};
use names::{Names, Protection};
use network::Whose;
use program::Manners;
use site::{Blueprint, Site};
use volumes::Volume;

/// Whether an entry of the setting `docker-volumes` can be used.
///
/// # Errors
/// What is wrong with it, in words.
pub fn check_volume(text: &str) -> Result<(), String> {
    Volume::parse(text).map(drop)
}

/// Where containers find the engine, if they may.
const SOCKET: &str = "/var/run/docker.sock";

/// Prepares the environment of one job in containers.
#[derive(Clone, Debug)]
pub struct Docker {
    settings: crate::Docker,
    agent: String,
    /// How many slots the agent has.
    slots: u32,
    system: String,
    /// Where it is recorded who may use which image on the host.
    grants: PathBuf,
    grace: Duration,
    mark: Mark,
    tools: Shell,
}

impl Docker {
    /// The executor of an agent with these settings, for the job whose processes
    /// and containers have this mark.
    #[must_use]
    pub fn new(settings: &Settings, docker: &crate::Docker, mark: Mark) -> Docker {
        Docker {
            settings: docker.clone(),
            agent: settings.name.0.clone(),
            slots: settings.slots,
            system: system_id(&settings.state_dir),
            grants: settings.state_dir.join("images"),
            grace: settings.graceful_kill,
            mark: mark.clone(),
            tools: Shell::new(settings, mark),
        }
    }

    fn names(&self, request: &Request<'_>) -> Result<Names, Error> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| Error::Engine(error.to_string()))?;
        Ok(Names::new(
            &self.agent,
            &self.system,
            request.spec.project.0,
            request.project_slot,
            request.spec.id.0,
            random,
        ))
    }

    fn labels(&self, request: &Request<'_>) -> Labels {
        Labels::new(&labels::Of {
            spec: request.spec,
            variables: request.variables,
            agent: &self.agent,
            system: &self.system,
            mark: &self.mark,
            slot: request.slot,
            project_slot: request.project_slot,
        })
    }

    fn whose_network(&self, request: &Request<'_>) -> Whose {
        if self.settings.one_user && request.spec.services.is_empty() {
            Whose::Engines
        } else if self.settings.one_user || self.settings.gives_socket {
            // With the engine a job may bring to its network what outlives it.
            Whose::Jobs
        } else if request.slot < self.slots {
            Whose::Slots
        } else {
            // While another job of the slot is not yet removed.
            Whose::Jobs
        }
    }

    /// The container of the user's commands.
    fn build(
        &self,
        request: &Request<'_>,
        site: &Site,
        image: &fleet_model::Image,
        name: &str,
        found: &image::Obtained,
        binds: Vec<String>,
    ) -> Result<Blueprint, Error> {
        let variables = request.variables;
        let container = site.names.build();
        Ok(Blueprint {
            image: name.to_owned(),
            platform: expanded(variables, image.platform.as_ref())?,
            aliases: vec!["build".to_owned(), container.clone()],
            name: container,
            body: ContainerCreateBody {
                image: Some(found.reference.clone()),
                hostname: Some(site.names.unique()),
                cmd: Some(build::probe()),
                entrypoint: image.entrypoint.clone().filter(|words| !words.is_empty()),
                env: Some(environment(variables)),
                labels: Some(site.labels.of(Kind::Build, &[])),
                user: expanded(variables, image.user.as_ref())?,
                tty: Some(false),
                open_stdin: Some(true),
                stdin_once: Some(true),
                attach_stdin: Some(true),
                attach_stdout: Some(true),
                attach_stderr: Some(true),
                host_config: Some(HostConfig {
                    memory: self.settings.memory.and_then(|bytes| bytes.try_into().ok()),
                    nano_cpus: self.settings.nano_cpus,
                    ..self.host(request, binds)
                }),
                ..ContainerCreateBody::default()
            },
        })
    }

    /// What all containers of the job have in common.
    fn host(&self, request: &Request<'_>, binds: Vec<String>) -> HostConfig {
        HostConfig {
            binds: Some(binds),
            extra_hosts: Some(self.settings.extra_hosts.clone()),
            privileged: Some(self.settings.privileged),
            init: (request.flag)("FF_USE_INIT_WITH_DOCKER_EXECUTOR").then_some(true),
            ..HostConfig::default()
        }
    }

    /// What the containers see of the host.
    async fn binds(&self, request: &Request<'_>, site: &Site) -> Result<Vec<String>, Error> {
        let here = |folder: &Path| format!("{0}:{0}", folder.display());
        let mut binds = vec![here(request.project), here(request.temporary)];
        if self.settings.gives_socket {
            binds.push(format!("{}:{SOCKET}", self.settings.socket.display()));
        }
        for text in &self.settings.volumes {
            let refused = |why| Error::Final {
                reason: FailureReason::RUNNER_CONFIGURATION_ERROR,
                message: format!("docker-volumes of this agent: {text}: {why}"),
            };
            let volume = Volume::parse(text).map_err(refused)?;
            let mut own = None;
            let bind = volume.bind(request.variables, |path| {
                let name = site.names.cache_volume(path, protection(request));
                own = Some((name.clone(), path.to_owned()));
                name
            });
            if let Some((name, path)) = own {
                site.make_volume(&name, &path).await?;
            }
            binds.push(bind.map_err(refused)?);
        }
        Ok(binds)
    }

    async fn start_services(
        &self,
        request: &Request<'_>,
        site: &Arc<Site>,
        binds: &[String],
        say: &mut dyn Say,
    ) -> Result<(), Error> {
        let mut starter = service::Starter::new(self, site, request);
        for (index, service) in request.spec.services.iter().enumerate() {
            let host = self.host(request, binds.to_vec());
            starter.start(index, service, host, say).await?;
        }
        let running = starter.finish();
        if let Some(within) = self.settings.wait_for_services
            && !running.is_empty()
        {
            ready::wait(&site.engine, &running, within, say).await;
        }
        Ok(())
    }

    /// Makes sure that an image is on the host and that the job may use it.
    async fn obtain(
        &self,
        request: &Request<'_>,
        site: &Site,
        image: &fleet_model::Image,
        name: &str,
        say: &mut dyn Say,
    ) -> Result<image::Obtained, Error> {
        let platform = expanded(request.variables, image.platform.as_ref())?;
        let wanted = image::Wanted {
            name,
            platform: platform.as_deref(),
            policies: &image.pull_policy,
            agent_policies: &self.settings.pull_policy,
            allowed_policies: &self.settings.allowed_pull_policies,
            credentials: request.credentials,
            user_config: self.settings.user_config.as_deref(),
            presence: match self.settings.one_user {
                true => image::Presence::All,
                false => image::Presence::Granted {
                    folder: &self.grants,
                    project: request.spec.project,
                    shared: &self.settings.shared_images,
                    gives_socket: self.settings.gives_socket,
                },
            },
            pull_timeout: self.settings.pull_timeout,
        };
        image::obtain(&site.engine, &wanted, say).await
    }

    /// Fills the job's place in the engine; what is not needed at once is done when
    /// this has returned.
    async fn furnish(
        &self,
        containers: &mut Containers,
        request: &Request<'_>,
        say: &mut dyn Say,
    ) -> Result<(), Error> {
        let default;
        let image = match (&request.spec.image, &self.settings.image) {
            (Some(image), _) => image,
            (None, Some(name)) => {
                say.info("Using default image");
                default = fleet_model::Image {
                    name: name.clone(),
                    ..fleet_model::Image::default()
                };
                &default
            }
            (None, None) => {
                return Err(Error::Final {
                    reason: FailureReason::RUNNER_SYSTEM_FAILURE,
                    message: "no Docker image specified to run the build in: the job has no \
                              image:, and this agent no default one (docker-image)"
                        .to_owned(),
                });
            }
        };
        let name = expand(request.variables, &image.name)?;
        say.plain(&format!("Using Docker executor with image {name} ..."));
        if request.spec.image.is_some() && Some(&name) != self.settings.image.as_ref() {
            allowed::check(&name, &self.settings.allowed_images, "images", say)?;
        }
        let site = &containers.site;
        // Whoever needs it first waits for it, and is told what is wrong with it.
        let making = Arc::clone(site);
        site.make(async move { making.network().await.map(drop) });
        let binds = self.binds(request, site).await?;
        self.start_services(request, site, &binds, say).await?;
        let found = self.obtain(request, site, image, &name, say).await?;
        let blueprint = Arc::new(self.build(request, site, image, &name, &found, binds)?);
        if self.settings.keep {
            let name = &blueprint.name;
            say.warning(&format!(
                "the container {name} stays when the job is over; docker rm -f {name} removes it"
            ));
        }
        containers.blueprint = Some(Arc::clone(&blueprint));
        containers.build = Build::Starting(site.start_build(&blueprint));
        Ok(())
    }
}

/// What tells the objects of one agent in an engine from all others': of another
/// host, or another state folder.
fn system_id(state: &Path) -> String {
    use sha2::{Digest as _, Sha256};
    let machine = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    let mut hash = Sha256::new();
    hash.update(machine.trim());
    hash.update(state.as_os_str().as_encoded_bytes());
    format!("s_{}", &names::hex(&hash.finalize())[..12])
}

fn expand(variables: &expand::Environment, text: &str) -> Result<String, Error> {
    variables.expand(text).map_err(|error| Error::Final {
        reason: FailureReason::RUNNER_CONFIGURATION_ERROR,
        message: error.to_string(),
    })
}

fn expanded(
    variables: &expand::Environment,
    text: Option<&String>,
) -> Result<Option<String>, Error> {
    text.map(|text| expand(variables, text)).transpose()
}

/// Whether the job's ref is protected, as the coordinator says.
fn protection(request: &Request<'_>) -> Protection {
    match request.variables.get("CI_COMMIT_REF_PROTECTED") {
        Some("true") => Protection::Protected,
        _ => Protection::Unprotected,
    }
}

/// The environment of the job's own container, which its engine tells whoever may ask
/// it: without secrets. The job's program sets all variables itself.
fn environment(all: &expand::Environment) -> Vec<String> {
    // Shorter ones are in too much that is none.
    const SHORTEST: usize = 8;
    let (public, secret): (Vec<_>, Vec<_>) =
        all.variables().iter().partition(|variable| variable.public);
    let secret = |value: &str| {
        let mut secrets = secret.iter().map(|variable| variable.value.as_str());
        secrets.any(|it| it.len() >= SHORTEST && value.contains(it))
    };
    let public = public.into_iter().filter(|it| !secret(&it.value));
    public
        .filter_map(|variable| assignment(&variable.key, &variable.value))
        .collect()
}

/// A variable as an engine takes it; none where no process can have it.
fn assignment(key: &str, value: &str) -> Option<String> {
    let possible = !key.is_empty() && !key.contains(['=', '\0']) && !value.contains('\0');
    possible.then(|| format!("{key}={value}"))
}

/// Makes a folder in which every user of a container may write; those above it are
/// the agent's alone, so that no other user of the host comes there.
fn make_open(folder: &Path) -> Result<(), Error> {
    let made = || -> io::Result<()> {
        if let Some(parent) = folder.parent() {
            let mut parents = DirBuilder::new();
            parents.recursive(true).mode(0o700).create(parent)?;
        }
        match std::fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        // Whatever an earlier job made of it: git works in its owner's folders only.
        let own = rustix::process::geteuid().as_raw();
        if std::fs::symlink_metadata(folder)?.uid() != own {
            std::os::unix::fs::lchown(folder, Some(own), None)?;
        }
        std::fs::set_permissions(folder, Permissions::from_mode(0o777))
    };
    made().map_err(|error| Error::Engine(format!("make the folder {}: {error}", folder.display())))
}

impl Executor for Docker {
    type Environment = Containers;

    const NAME: &'static str = "docker";
    const EXIT: &'static str = "exit code";
    const USERS: Users = Users::Containers;

    async fn prepare(&self, request: &Request<'_>, say: &mut dyn Say) -> Result<Containers, Error> {
        let engine = engine::connect(&self.settings.socket)?;
        make_open(request.project)?;
        make_open(request.temporary)?;
        let (names, labels) = (self.names(request)?, self.labels(request));
        let way = if (request.flag)("FF_USE_NATIVE_CONTAINER_STOP") {
            stop::Way::Native
        } else {
            stop::Way::Each
        };
        let mut containers = Containers {
            site: Arc::new(Site {
                engine,
                names,
                labels,
                mtu: self.settings.network_mtu,
                whose: self.whose_network(request),
                slot: request.slot,
                network: OnceCell::new(),
                under_way: TaskTracker::new(),
            }),
            mark: self.mark.clone(),
            host: Some(self.tools.host()),
            umask: if (request.flag)("FF_DISABLE_UMASK_FOR_DOCKER_EXECUTOR") {
                Umask::Agents
            } else {
                Umask::Open
            },
            manners: Manners {
                grace: self.grace,
                way,
            },
            blueprint: None,
            build: Build::None,
            folders: [request.project.to_owned(), request.temporary.to_owned()],
            keep: self.settings.keep,
        };
        let engine = containers.site.engine.clone();
        // Whether it can run the job shows while it is asked for more.
        let (checked, furnished) = tokio::join!(
            engine::check(&engine),
            self.furnish(&mut containers, request, say)
        );
        match checked.and(furnished) {
            Ok(()) => Ok(containers),
            Err(error) => {
                let _first_error_counts = containers.destroy().await;
                Err(error)
            }
        }
    }
}
