//! The Docker engine of this machine, for jobs that want one.

use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use fleet_agent::Docker;
use fleet_model::{Plan, PullPolicy};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::cli::{self, Executor};
use crate::view::clean;
use crate::{Exit, Failure};

const DEFAULT: &str = "unix:///var/run/docker.sock";

/// How the jobs of `plan` that run in containers do so; none where no job does.
///
/// # Errors
/// A job wants a container and there is no engine, or `docker` is asked for and a
/// job names no image. Nothing was run.
pub(super) fn choose(plan: &mut Plan, arguments: &cli::Run) -> Result<Option<Docker>, Failure> {
    if arguments.executor == Executor::Docker
        && let Some(job) = without_image(plan)
    {
        return Err(no_image(job));
    }
    let wants = wants(plan).filter(|_| arguments.executor != Executor::Shell);
    // What a child pipeline wants is known only when it starts.
    let may_want = plan.jobs.iter().any(|job| job.trigger.is_some());
    let socket = match (wants, Endpoint::of_user().check()) {
        (Some(_), Ok(socket)) => socket,
        (None, Ok(socket)) if may_want && arguments.executor != Executor::Shell => socket,
        (None, _) => return Ok(None),
        (Some((job, image)), Err(why)) => {
            return Err(Failure::new(
                Exit::Failed,
                format!(
                    "the job {} wants the image {}, and {why}. Try: --executor shell, which runs \
                     all scripts in this machine's shell",
                    clean(&job),
                    clean(&image)
                ),
            ));
        }
    };
    pull_as(plan, arguments.pull);
    let user = UserFolder::find();
    Ok(Some(Docker {
        pull_policy: vec![PullPolicy::IfNotPresent],
        allowed_pull_policies: vec![
            PullPolicy::IfNotPresent,
            PullPolicy::Always,
            PullPolicy::Never,
        ],
        // Whatever is on this machine is its user's own, and so are the logins.
        one_user: true,
        user_config: user.map(|folder| folder.0.join("config.json")),
        volumes: arguments.volumes.clone(),
        extra_hosts: arguments.hosts.clone(),
        keep: arguments.keep,
        shell_without_image: true,
        ..Docker::of_socket(socket)
    }))
}

/// Whether the jobs of a child pipeline can run as they want, where `engine` says
/// whether there is an engine for them.
///
/// # Errors
/// In words, why they cannot.
pub(super) fn choose_child(
    plan: &mut Plan,
    arguments: &cli::Run,
    engine: bool,
) -> Result<(), String> {
    if arguments.executor == Executor::Docker
        && let Some(job) = without_image(plan)
    {
        return Err(no_image(job).to_string());
    }
    if let Some((job, image)) = wants(plan)
        && arguments.executor != Executor::Shell
        && !engine
    {
        return Err(format!(
            "the job {job} wants the image {image}, and there is no Docker engine. Try: \
             --executor shell, which runs all scripts in this machine's shell"
        ));
    }
    pull_as(plan, arguments.pull);
    Ok(())
}

/// A job with an image, and that.
fn wants(plan: &Plan) -> Option<(String, String)> {
    let mut jobs = plan.jobs.iter();
    jobs.find_map(|job| Some((job.name.clone(), job.image.as_ref()?.name.clone())))
}

/// A job that runs a script and names no image.
fn without_image(plan: &Plan) -> Option<&str> {
    let mut jobs = plan.jobs.iter();
    let found = jobs.find(|job| job.image.is_none() && job.trigger.is_none());
    found.map(|job| job.name.as_str())
}

fn pull_as(plan: &mut Plan, pull: Option<cli::Pull>) {
    let Some(policy) = pull.map(PullPolicy::from) else {
        return;
    };
    for job in &mut plan.jobs {
        let services = job.services.iter_mut().map(|service| &mut service.image);
        for image in job.image.iter_mut().chain(services) {
            image.pull_policy = vec![policy];
        }
    }
}

fn no_image(job: &str) -> Failure {
    Failure::usage(format!(
        "the job {} names no image. Try: --executor auto, which runs such jobs in this machine's \
         shell",
        clean(job)
    ))
}

impl From<cli::Pull> for PullPolicy {
    fn from(pull: cli::Pull) -> PullPolicy {
        match pull {
            cli::Pull::Always => PullPolicy::Always,
            cli::Pull::IfNotPresent => PullPolicy::IfNotPresent,
            cli::Pull::Never => PullPolicy::Never,
        }
    }
}

/// Where `docker` would find its engine.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// A URL.
    host: String,
    /// Who says so, for messages.
    from: String,
}

impl Endpoint {
    /// The user's: `DOCKER_HOST`, their context, or where it is by default.
    pub(super) fn of_user() -> Endpoint {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        if let Some(host) = variable("DOCKER_HOST") {
            return Endpoint {
                host,
                from: "DOCKER_HOST".to_owned(),
            };
        }
        let folder = UserFolder::find();
        let context = variable("DOCKER_CONTEXT")
            .or_else(|| folder.as_ref().and_then(UserFolder::current_context));
        if let Some(name) = context.filter(|name| name != "default")
            && let Some(host) = folder.and_then(|folder| folder.host_of(&name))
        {
            return Endpoint {
                host,
                from: format!("the docker context {name}"),
            };
        }
        let rootless = variable("XDG_RUNTIME_DIR").map(|run| format!("{run}/docker.sock"));
        let standard = Path::new(&DEFAULT["unix://".len()..]);
        let host = match rootless {
            Some(own) if !standard.exists() && Path::new(&own).exists() => format!("unix://{own}"),
            _ => DEFAULT.to_owned(),
        };
        Endpoint {
            host,
            from: String::new(),
        }
    }

    /// The engine's socket, if somebody answers there.
    pub(super) fn check(&self) -> Result<PathBuf, String> {
        let from = match self.from.as_str() {
            "" => String::new(),
            from => format!(" (from {from})"),
        };
        let socket = self
            .host
            .strip_prefix("unix://")
            .filter(|path| path.starts_with('/'));
        let Some(socket) = socket else {
            return Err(format!(
                "the Docker engine {}{from} is not this machine's own: jobs' folders are bound \
                 into their containers, so it has to be a unix:// socket",
                self.host
            ));
        };
        match UnixStream::connect(socket) {
            Ok(_) => Ok(socket.into()),
            Err(error) => Err(match error.kind() {
                io::ErrorKind::NotFound => {
                    format!("there is no Docker engine: the socket {socket}{from} does not exist")
                }
                io::ErrorKind::PermissionDenied => format!(
                    "this user may not use the Docker engine at {socket}{from}: whoever is in \
                     the group docker may, after a new login"
                ),
                io::ErrorKind::ConnectionRefused => {
                    format!("the Docker engine does not run: nobody listens at {socket}{from}")
                }
                _ => format!("the Docker engine at {socket}{from} cannot be reached: {error}"),
            }),
        }
    }
}

/// The folder of the user's own Docker client.
struct UserFolder(PathBuf);

impl UserFolder {
    fn find() -> Option<UserFolder> {
        let own = std::env::var_os("DOCKER_CONFIG").filter(|path| !path.is_empty());
        let folder = match own {
            Some(folder) => PathBuf::from(folder),
            None => PathBuf::from(std::env::var_os("HOME")?).join(".docker"),
        };
        folder.is_absolute().then_some(UserFolder(folder))
    }

    fn current_context(&self) -> Option<String> {
        let config = self.read(&self.0.join("config.json"))?;
        Some(config["currentContext"].as_str()?.to_owned())
    }

    fn host_of(&self, context: &str) -> Option<String> {
        let hash = Sha256::digest(context.as_bytes());
        let id: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let meta = self.read(&self.0.join("contexts/meta").join(id).join("meta.json"))?;
        Some(meta["Endpoints"]["docker"]["Host"].as_str()?.to_owned())
    }

    fn read(&self, file: &Path) -> Option<Value> {
        serde_json::from_slice(&fs::read(file).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    fn endpoint(host: &str) -> Endpoint {
        Endpoint {
            host: host.to_owned(),
            from: "DOCKER_HOST".to_owned(),
        }
    }

    #[test]
    fn engines_that_cannot_be_used_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("docker.sock");
        let host = format!("unix://{}", socket.display());
        for host in [
            "tcp://10.0.0.1:2375",
            "ssh://host",
            "unix://relative",
            "nonsense",
        ] {
            let told = endpoint(host).check().unwrap_err();
            assert!(
                told.contains("(from DOCKER_HOST) is not this machine's own"),
                "{told}"
            );
        }
        let told = endpoint(&host).check().unwrap_err();
        assert!(told.contains("does not exist"), "{told}");
        let listener = UnixListener::bind(&socket).unwrap();
        assert_eq!(endpoint(&host).check().unwrap(), socket);
        drop(listener);
        // A process that another test starts at this moment has the listener, too, until
        // it is what it is to be.
        let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
        let told = loop {
            match endpoint(&host).check() {
                Err(told) => break told,
                Ok(_) => assert!(std::time::Instant::now() < until, "it is still listened to"),
            }
        };
        assert!(told.contains("nobody listens"), "{told}");
    }

    #[test]
    fn contexts_are_read_as_dockers_client_keeps_them() {
        let folder = tempfile::tempdir().unwrap();
        let user = UserFolder(folder.path().to_owned());
        assert_eq!(user.current_context(), None);
        fs::write(
            folder.path().join("config.json"),
            r#"{"currentContext": "work"}"#,
        )
        .unwrap();
        assert_eq!(user.current_context().as_deref(), Some("work"));
        // `printf work | sha256sum`
        let id = "00e13ed7af55b27622f1d6eab5bec0147e68efe28dc2b12461117afa1a5ed40e";
        let meta = folder.path().join("contexts/meta").join(id);
        fs::create_dir_all(&meta).unwrap();
        fs::write(
            meta.join("meta.json"),
            r#"{"Name": "work", "Endpoints": {"docker": {"Host": "unix:///run/w.sock"}}}"#,
        )
        .unwrap();
        assert_eq!(user.host_of("work").as_deref(), Some("unix:///run/w.sock"));
        assert_eq!(user.host_of("other"), None);
    }
}
