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
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::shell::{Host, Shell};
use super::{
    Command, Ended, Environment, Error, Executor, Mark, Output, Place, Request, Say, Stop, Users,
};
use crate::{Settings, expand};
use build::Started;
use labels::{Kind, Labels};
use names::{Names, Protection};
use program::{End, Manners};
use site::{Blueprint, Site};
use volumes::Volume;

/// Whether an entry of the setting `docker-volumes` can be used.
///
/// # Errors
/// What is wrong with it, in words.
pub fn check_volume(text: &str) -> Result<(), String> {
    Volume::parse(text).map(drop)
}

/// How long an engine that went away is waited for, so that nothing is left in it.
const BACK_WITHIN: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Runs its arguments so that everybody may write to what they make.
const OPENED: &str = "umask 0000; exec \"$@\"";
/// Where containers find the engine, if they may.
const SOCKET: &str = "/var/run/docker.sock";

/// Prepares the environment of one job in containers.
#[derive(Clone, Debug)]
pub struct Docker {
    settings: crate::Docker,
    agent: String,
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
        site: &Site,
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
        let site = Arc::clone(site);
        let starting = tokio::spawn(async move { site.start(&blueprint).await });
        containers.build = Build::Starting(starting);
        Ok(())
    }
}

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

/// The environment of the job's own container.
fn environment(all: &expand::Environment) -> Vec<String> {
    let all = all.variables().iter();
    all.filter_map(|variable| assignment(&variable.key, &variable.value))
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
        engine::check(&engine).await?;
        make_open(request.project)?;
        make_open(request.temporary)?;
        let (names, labels) = (self.names(request)?, self.labels(request));
        let way = if (request.flag)("FF_USE_NATIVE_CONTAINER_STOP") {
            stop::Way::Native
        } else {
            stop::Way::Each
        };
        let mut containers = Containers {
            site: Arc::new(Site::new(engine, names, labels, self.settings.network_mtu)),
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
        match self.furnish(&mut containers, request, say).await {
            Ok(()) => Ok(containers),
            Err(error) => {
                let _first_error_counts = containers.destroy().await;
                Err(error)
            }
        }
    }
}

/// The containers of one job, and the host beside them.
#[derive(Debug)]
pub struct Containers {
    site: Arc<Site>,
    mark: Mark,
    /// None: all is over.
    host: Option<Host>,
    umask: Umask,
    manners: Manners,
    /// None: not known yet.
    blueprint: Option<Arc<Blueprint>>,
    build: Build,
    /// What containers see of the host and may have written to.
    folders: [PathBuf; 2],
    /// Whether what has run stays when the job is over.
    keep: bool,
}

/// Who may write to what the agent's tools make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Umask {
    /// As the agent's own umask has it.
    Agents,
    /// Everybody: a job's container may run as any user.
    Open,
}

/// The container of the user's commands.
#[derive(Debug)]
enum Build {
    /// There is none.
    None,
    /// It is on its way, or waits for its program.
    Starting(JoinHandle<Result<Started, Error>>),
    /// It has run, and can again.
    Stopped(String),
}

impl Containers {
    /// A container that waits for its program.
    async fn started(&mut self) -> Result<Started, Error> {
        let blueprint = self.blueprint.as_ref().ok_or_else(nothing)?;
        match std::mem::replace(&mut self.build, Build::None) {
            Build::Starting(starting) => starting
                .await
                .map_err(|error| Error::Engine(format!("start the job's container: {error}")))?,
            Build::Stopped(id) => build::start(&self.site.engine, id, &blueprint.image).await,
            Build::None => self.site.start(blueprint).await,
        }
    }
}

fn nothing() -> Error {
    Error::Engine("the job has no containers".to_owned())
}

impl Environment for Containers {
    /// The user's commands run in the job's own container, whatever they are for.
    async fn script<S: Stop>(
        &mut self,
        _place: Place,
        program: &[u8],
        output: Output<'_>,
        stop: &mut S,
    ) -> Result<Ended, Error> {
        let started = self.started().await?;
        let id = started.id.clone();
        let engine = &self.site.engine;
        let ended = program::run(engine, started, program, self.manners, output, stop).await?;
        match ended {
            End::Exited(code) => {
                let out_of_memory = code != 0 && build::out_of_memory(engine, &id).await;
                self.build = Build::Stopped(id);
                Ok(match out_of_memory {
                    true => Ended::OutOfMemory(code),
                    false => Ended::Exited(code),
                })
            }
            End::Stopped => {
                let removed = build::remove(engine, &id).await;
                removed.map_err(|error| engine::failed("remove the job's container", error))?;
                Ok(Ended::Stopped)
            }
        }
    }

    /// The agent's own tools run on the host: no image need have them.
    async fn command<S: Stop>(
        &mut self,
        command: &Command,
        output: Output<'_>,
        stop: &mut S,
    ) -> Result<Ended, Error> {
        let host = self.host.as_mut().ok_or_else(nothing)?;
        match self.umask {
            Umask::Agents => host.command(command, output, stop).await,
            Umask::Open => {
                let opened = command.clone().after("sh", ["-c", OPENED, "sh"]);
                host.command(&opened, output, stop).await
            }
        }
    }

    fn host_name(&self) -> Option<String> {
        Some(self.site.names.unique())
    }

    async fn destroy(mut self) -> Result<(), Error> {
        let build = std::mem::replace(&mut self.build, Build::None);
        let host = self.host.take();
        if let Some(blueprint) = &self.blueprint
            && let Err(error) = own::take_back(&self.site, blueprint, &self.folders).await
        {
            // The next job says what it cannot remove.
            tracing::warn!(%error, "files of a job are left");
        }
        let removed = match build {
            Build::Stopped(_) if self.keep => Ok(()),
            build => remove(&self.site, &self.mark, build).await,
        };
        if let Some(host) = host {
            host.destroy().await?;
        }
        removed
    }
}

async fn remove(site: &Site, mark: &Mark, build: Build) -> Result<(), Error> {
    // Given up halfway, it might make something after all was removed.
    if let Build::Starting(starting) = build {
        let _removed_next = starting.await;
    }
    let until = Instant::now() + BACK_WITHIN;
    loop {
        match remove::all_of(&site.engine, mark.id()).await {
            Ok(()) => return Ok(()),
            // It is being restarted.
            Err(error) if engine::is_gone(&error) && Instant::now() < until => {
                sleep(LOOK_AGAIN).await;
            }
            Err(error) => {
                let what = "remove what the job had in the Docker engine";
                return Err(engine::failed(what, error));
            }
        }
    }
}

impl Drop for Containers {
    /// Removes all of it, without waiting for it.
    fn drop(&mut self) {
        let (Some(_host), Ok(runtime)) = (self.host.take(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        let build = std::mem::replace(&mut self.build, Build::None);
        let (site, mark) = (Arc::clone(&self.site), self.mark.clone());
        runtime.spawn(async move {
            if let Err(error) = remove(&site, &mark, build).await {
                tracing::error!(%error, "something of a job may be left in the Docker engine");
            }
        });
    }
}
