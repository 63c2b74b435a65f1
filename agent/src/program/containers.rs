//! What `fleet-agent run` can be told of running jobs in containers.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum};
use fleet_model::PullPolicy;
use fleet_settings::{duration, size};

use crate::settings::Docker;

/// Where a Docker engine listens unless somebody says otherwise.
const HOST: &str = "unix:///var/run/docker.sock";

/// Where jobs run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Executor {
    /// On the host, with its shell, as the agent's user.
    #[default]
    Shell,
    /// In containers of a Docker engine on this host.
    Docker,
}

impl Executor {
    pub(super) fn name(self) -> &'static str {
        match self {
            Executor::Shell => "shell",
            Executor::Docker => "docker",
        }
    }
}

/// How jobs run in containers.
#[derive(Args, Clone, Debug)]
pub(super) struct Containers {
    /// Where jobs run
    #[arg(
        long,
        env = "FLEET_EXECUTOR",
        value_name = "EXECUTOR",
        value_enum,
        default_value = "shell"
    )]
    pub(super) executor: Executor,

    /// The Docker engine's socket, on this host
    #[arg(long, env = "FLEET_DOCKER_HOST", value_name = "unix://PATH", value_parser = host, default_value = HOST)]
    pub(super) docker_host: PathBuf,

    /// The image of jobs that name none
    #[arg(long, env = "FLEET_DOCKER_IMAGE", value_name = "IMAGE")]
    pub(super) docker_image: Option<String>,

    /// How images come to jobs that do not say: always, if-not-present, never; more
    /// than one: tried in order
    #[arg(long, env = "FLEET_DOCKER_PULL_POLICY", value_name = "POLICY", value_delimiter = ',', value_parser = pull_policy, default_value = "always")]
    pub(super) docker_pull_policy: Vec<PullPolicy>,

    /// The pull policies jobs may ask for. Without: those of docker-pull-policy
    #[arg(long, env = "FLEET_DOCKER_ALLOWED_PULL_POLICIES", value_name = "POLICY", value_delimiter = ',', value_parser = pull_policy)]
    pub(super) docker_allowed_pull_policies: Vec<PullPolicy>,

    /// Patterns of images that every job may use as they lie on this host, whoever
    /// they were pulled for
    #[arg(
        long,
        env = "FLEET_DOCKER_SHARED_IMAGES",
        value_name = "PATTERN",
        value_delimiter = ','
    )]
    pub(super) docker_shared_images: Vec<String>,

    /// How long the pull of an image may stand still
    #[arg(long, env = "FLEET_DOCKER_PULL_TIMEOUT", value_name = "DURATION", value_parser = duration, default_value = "5m")]
    pub(super) docker_pull_timeout: Duration,

    /// Patterns of the images jobs may run in, as `ruby:*` or `registry.example/**`.
    /// Without: all
    #[arg(
        long,
        env = "FLEET_DOCKER_ALLOWED_IMAGES",
        value_name = "PATTERN",
        value_delimiter = ','
    )]
    pub(super) docker_allowed_images: Vec<String>,

    /// Patterns of the images services may run. Without: all
    #[arg(
        long,
        env = "FLEET_DOCKER_ALLOWED_SERVICES",
        value_name = "PATTERN",
        value_delimiter = ','
    )]
    pub(super) docker_allowed_services: Vec<String>,

    /// What else containers see, as [SOURCE:]DESTINATION[:MODE]: a path of this host,
    /// a named volume, or, without a source, a volume that the project's jobs have in
    /// common
    #[arg(long, env = "FLEET_DOCKER_VOLUMES", value_name = "VOLUME", value_delimiter = ',', value_parser = volume)]
    pub(super) docker_volumes: Vec<String>,

    /// Whether jobs get the engine's socket, at /var/run/docker.sock: they can do with
    /// this host what they want
    #[arg(long, env = "FLEET_DOCKER_SOCKET", value_name = "BOOL", action = ArgAction::Set, default_value = "false")]
    pub(super) docker_socket: bool,

    /// Whether jobs of all projects that this agent serves may have the socket; join it
    /// for those that may alone, with join-token --project
    #[arg(long, env = "FLEET_DOCKER_SOCKET_SHARED", value_name = "BOOL", action = ArgAction::Set, default_value = "false")]
    pub(super) docker_socket_shared: bool,

    /// Whether containers run privileged, as docker-in-docker needs it: they can do
    /// with this host what they want
    #[arg(long, env = "FLEET_DOCKER_PRIVILEGED", value_name = "BOOL", action = ArgAction::Set, default_value = "false")]
    pub(super) docker_privileged: bool,

    /// Memory a job's container may use. Without: all there is
    #[arg(long, env = "FLEET_DOCKER_MEMORY", value_name = "SIZE", value_parser = memory)]
    pub(super) docker_memory: Option<u64>,

    /// Processors a job's container may use, as 1.5. Without: all there are
    #[arg(long, env = "FLEET_DOCKER_CPUS", value_name = "NUMBER", value_parser = nano_cpus)]
    pub(super) docker_cpus: Option<i64>,

    /// Bytes of a packet on jobs' networks. Without: the engine's own
    #[arg(long, env = "FLEET_DOCKER_NETWORK_MTU", value_name = "BYTES", value_parser = clap::value_parser!(u32).range(68..=65535))]
    pub(super) docker_network_mtu: Option<u32>,

    /// How long a job waits for the ports of its services; 0s: not at all
    #[arg(long, env = "FLEET_WAIT_FOR_SERVICES_TIMEOUT", value_name = "DURATION", value_parser = duration, default_value = "30s")]
    pub(super) wait_for_services_timeout: Duration,
}

impl Containers {
    /// Whether jobs may have the engine's socket: its owner has said of all the projects
    /// that this agent serves that they may.
    ///
    /// # Errors
    /// They may not, and what to do.
    pub(super) fn check_socket(&self) -> Result<(), String> {
        if self.docker_socket && !self.docker_socket_shared {
            return Err(
                "docker-socket gives jobs this host: join this agent for the projects that may \
                 have it (fleetctl agent join-token --project), and say docker-socket-shared"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// The Docker executor's settings; none where jobs do not run in containers.
    pub(super) fn docker(&self) -> Option<Docker> {
        let wait = self.wait_for_services_timeout;
        (self.executor == Executor::Docker).then(|| Docker {
            image: self.docker_image.clone(),
            pull_policy: self.docker_pull_policy.clone(),
            allowed_pull_policies: self.docker_allowed_pull_policies.clone(),
            shared_images: self.docker_shared_images.clone(),
            one_user: false,
            pull_timeout: self.docker_pull_timeout,
            allowed_images: self.docker_allowed_images.clone(),
            allowed_services: self.docker_allowed_services.clone(),
            volumes: self.docker_volumes.clone(),
            gives_socket: self.docker_socket,
            privileged: self.docker_privileged,
            memory: self.docker_memory,
            nano_cpus: self.docker_cpus,
            network_mtu: self.docker_network_mtu,
            wait_for_services: (!wait.is_zero()).then_some(wait),
            ..Docker::of_socket(self.docker_host.clone())
        })
    }
}

fn host(text: &str) -> Result<PathBuf, String> {
    match text.strip_prefix("unix://") {
        Some(path) if path.starts_with('/') => Ok(path.into()),
        _ => Err(
            "expected unix:///PATH: jobs' folders are on this host, so the engine must be, too"
                .to_owned(),
        ),
    }
}

fn pull_policy(text: &str) -> Result<PullPolicy, String> {
    let all = [
        PullPolicy::Always,
        PullPolicy::IfNotPresent,
        PullPolicy::Never,
    ];
    let found = all.into_iter().find(|policy| policy.to_string() == text);
    found.ok_or_else(|| "expected always, if-not-present or never".to_owned())
}

fn volume(text: &str) -> Result<String, String> {
    crate::executor::check_volume(text)?;
    Ok(text.to_owned())
}

fn memory(text: &str) -> Result<u64, String> {
    const LEAST: u64 = 6 << 20;
    match size(text)? {
        bytes if bytes < LEAST => Err("expected at least 6MiB: engines take no less".to_owned()),
        bytes => Ok(bytes),
    }
}

/// Billionths of a processor: exact, as the engine counts them.
fn nano_cpus(text: &str) -> Result<i64, String> {
    const DIGITS: usize = 9;
    let wrong = || "expected a number like 2 or 0.5, with at most nine decimals".to_owned();
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(part) || part.len() > DIGITS {
        return Err(wrong());
    }
    let number: i64 = format!("{whole}{part:0<DIGITS$}")
        .parse()
        .map_err(|_| wrong())?;
    (number > 0).then_some(number).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_counted_exactly() {
        assert_eq!(nano_cpus("2"), Ok(2_000_000_000));
        assert_eq!(nano_cpus("0.5"), Ok(500_000_000));
        assert_eq!(nano_cpus("1.000000001"), Ok(1_000_000_001));
        for text in ["", "0", ".5", "-1", "1.0000000001", "1e3", "99999999999"] {
            assert!(nano_cpus(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_engine_of_another_host_is_refused() {
        assert_eq!(host("unix:///x/y.sock"), Ok("/x/y.sock".into()));
        for text in ["tcp://10.0.0.1:2375", "unix://x", "/var/run/docker.sock"] {
            assert!(host(text).is_err(), "{text}");
        }
    }

    #[test]
    fn pull_policies_have_gitlabs_names() {
        assert_eq!(pull_policy("if-not-present"), Ok(PullPolicy::IfNotPresent));
        assert!(pull_policy("Always").is_err());
    }
}
