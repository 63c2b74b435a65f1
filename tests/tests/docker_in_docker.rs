//! Jobs with an engine of their own, in a privileged service.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use fleet_tests::docker::{ENGINE, Engine, TOOLS};
use fleet_tests::fleet::{Fleet, Setup};
use fleet_tests::wait_for;

const PROJECT: &str = "group/app";
const LONG: Duration = Duration::from_secs(120);

/// Builds an image of what the job's own has, and runs it, once the engine, which has no
/// images yet, answers.
const SCRIPT: &str = "  script:
    - for i in $(seq 300); do docker version > /dev/null 2>&1 && break; sleep 0.1; done
    - docker version --format 'engine {{.Server.Version}}'
    - test -z \"$(docker images --quiet)\"
    - mkdir app && cp /bin/busybox app
    - 'printf \"FROM scratch\\nCOPY busybox /busybox\\nENTRYPOINT [\\\"/busybox\\\"]\\n\" > app/Dockerfile'
    - docker build --quiet --tag inner app
    - docker run --rm inner echo built and run inside
";

fn setup() -> Setup {
    Setup::hosts(1)
        .docker()
        .agent("FLEET_DOCKER_VOLUMES", "/certs/client")
        .agent("FLEET_DOCKER_SHARED_IMAGES", "tools:test,docker:test-dind")
}

/// Nothing is left of jobs but the volumes that the next ones find again.
fn wait_clean(engine: &Engine) -> Result<()> {
    wait_for("an engine with caches alone", || {
        let mut left = [engine.containers()?, engine.networks()?, engine.volumes()?].concat();
        left.retain(|name| !name.contains("-cache-"));
        Ok(left.is_empty().then_some(()))
    })
}

fn run(fleet: &mut Fleet, yaml: &str) -> Result<Vec<(String, String)>> {
    let engine = fleet.hosts[0].engine.as_mut().context("an engine")?;
    engine.stop()?;
    engine.allow_privileged()?;
    engine.start()?;
    engine.load(&ENGINE)?;
    engine.load(&TOOLS)?;
    fleet.project(PROJECT)?;
    let admin = fleet.admin()?;
    let sha = admin.clone_of(PROJECT)?.push_pipeline(yaml)?;
    let pipeline = admin.wait_pipeline(PROJECT, &sha)?;
    let ended = admin.wait_end(&pipeline, LONG)?;
    let jobs = ended.jobs.iter();
    jobs.map(|job| Ok((job.status.clone(), admin.log(job)?)))
        .collect()
}

fn job(name: &str, variables: &str) -> String {
    format!(
        "{name}:
  image: tools:test
  services: [docker:test-dind]
  variables: {{{variables}}}
{SCRIPT}"
    )
}

#[test]
fn job_builds_and_runs_images_on_an_engine_of_its_own() -> Result<()> {
    let setup = setup().agent("FLEET_DOCKER_PRIVILEGED", "true");
    setup.run(|fleet| {
        let tls = "DOCKER_HOST: tcp://docker:2376, DOCKER_TLS_CERTDIR: /certs, \
                   DOCKER_TLS_VERIFY: 1, DOCKER_CERT_PATH: /certs/client";
        let plain = "DOCKER_HOST: tcp://docker:2375, DOCKER_TLS_CERTDIR: ''";
        let yaml = format!("{}{}", job("tls", tls), job("plain", plain));
        for (status, log) in run(fleet, &yaml)? {
            ensure!(status == "success", "{log}");
            ensure!(log.contains("built and run inside"), "{log}");
        }
        let engine = fleet.hosts[0].docker()?;
        wait_clean(engine)?;
        let images = engine.ok(&["images", "--format", "{{.Repository}}"])?;
        ensure!(!images.contains("inner"), "{images}");
        Ok(())
    })
}

#[test]
fn without_the_owners_leave_containers_have_no_such_rights() -> Result<()> {
    setup().run(|fleet| {
        let yaml = "job:
  image: tools:test
  services: [{name: tools:test, alias: side, command: [sh, -c, 'mount -t tmpfs none /tmp; nc -ll -p 7 -e echo $?']}]
  script:
    - if mount -t tmpfs none /tmp; then exit 1; fi
    - until nc side 7 < /dev/null > said; do sleep 0.1; done
    - cat said; grep -v '^0$' said
";
        for (status, log) in run(fleet, yaml)? {
            ensure!(status == "success", "{log}");
        }
        wait_clean(fleet.hosts[0].docker()?)
    })
}
