//! The Docker executor's settings on their way to a supervisor.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::Duration;

use fleet_model::PullPolicy;
use fleet_proto::v1;

use crate::settings::Docker;

pub(super) fn to_wire(docker: &Docker) -> v1::Docker {
    let names = |policies: &[PullPolicy]| policies.iter().map(ToString::to_string).collect();
    v1::Docker {
        socket: docker.socket.as_os_str().as_bytes().to_vec().into(),
        image: docker.image.clone().unwrap_or_default(),
        pull_policy: names(&docker.pull_policy),
        allowed_pull_policies: names(&docker.allowed_pull_policies),
        shared_images: docker.shared_images.clone(),
        pull_timeout_ms: millis(docker.pull_timeout),
        allowed_images: docker.allowed_images.clone(),
        allowed_services: docker.allowed_services.clone(),
        volumes: docker.volumes.clone(),
        gives_socket: docker.gives_socket,
        privileged: docker.privileged,
        memory_bytes: docker.memory.unwrap_or_default(),
        nano_cpus: docker.nano_cpus.unwrap_or_default(),
        network_mtu: docker.network_mtu.unwrap_or_default(),
        wait_for_services_ms: docker.wait_for_services.map_or(0, millis),
    }
}

pub(super) fn from_wire(docker: v1::Docker) -> Docker {
    let wait = Duration::from_millis(docker.wait_for_services_ms);
    Docker {
        image: Some(docker.image).filter(|image| !image.is_empty()),
        pull_policy: policies(&docker.pull_policy),
        allowed_pull_policies: policies(&docker.allowed_pull_policies),
        shared_images: docker.shared_images,
        one_user: false,
        pull_timeout: Duration::from_millis(docker.pull_timeout_ms),
        allowed_images: docker.allowed_images,
        allowed_services: docker.allowed_services,
        volumes: docker.volumes,
        gives_socket: docker.gives_socket,
        privileged: docker.privileged,
        memory: Some(docker.memory_bytes).filter(|bytes| *bytes > 0),
        nano_cpus: Some(docker.nano_cpus).filter(|cpus| *cpus > 0),
        network_mtu: Some(docker.network_mtu).filter(|mtu| *mtu > 0),
        wait_for_services: (!wait.is_zero()).then_some(wait),
        ..Docker::of_socket(OsString::from_vec(docker.socket.to_vec()))
    }
}

fn policies(names: &[String]) -> Vec<PullPolicy> {
    let all = [
        PullPolicy::Always,
        PullPolicy::IfNotPresent,
        PullPolicy::Never,
    ];
    names
        .iter()
        .filter_map(|name| all.into_iter().find(|policy| policy.to_string() == *name))
        .collect()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_the_way_to_a_supervisor() {
        let mut docker = Docker::of_socket("/run/d.sock");
        assert_eq!(from_wire(to_wire(&docker)), docker);
        docker.image = Some("debian:bookworm".to_owned());
        docker.pull_policy = vec![PullPolicy::IfNotPresent, PullPolicy::Always];
        docker.allowed_pull_policies = vec![PullPolicy::Never];
        docker.shared_images = vec!["a".to_owned()];
        docker.allowed_images = vec!["b".to_owned()];
        docker.allowed_services = vec!["c".to_owned()];
        docker.volumes = vec!["/cache".to_owned()];
        docker.gives_socket = true;
        docker.privileged = true;
        docker.memory = Some(1 << 30);
        docker.nano_cpus = Some(1_500_000_000);
        docker.network_mtu = Some(1400);
        docker.wait_for_services = None;
        assert_eq!(from_wire(to_wire(&docker)), docker);
    }
}
