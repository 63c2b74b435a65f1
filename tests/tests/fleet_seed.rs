//! The pipeline of the talk that Fleet is made for, byte for byte, on two hosts
//! that share nothing but two registries.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fleet_tests::docker::{Account, Gate, Login, Registry, TOOLS};
use fleet_tests::fleet::{Checkout, Fleet, JobView, Person, PipelineView, Setup};
use fleet_tests::repository;

const PROJECT: &str = "adtech/gotthard";
/// As the file names it; nothing of that name is ever pulled.
const DEPLOYER: &str = "apgsga-registry.githost.io/adtech/kubernetes-deployer:1.1";
const PASSWORD: &str = "{\"type\":\"service_account\",\"private_key\":\"MIIEvQIBADAN\"}";
const LONG: Duration = Duration::from_secs(120);

/// Where jobs wait: in `docker build`, and in the app's tests.
const BUILD_GATE: u16 = 7001;
const TEST_GATE: u16 = 7002;

/// A registry with a password, one that trusts the coordinator, and who may what.
struct World<'a> {
    fleet: &'a mut Fleet,
    /// Its password is a variable of the project.
    cloud: Registry,
    /// The fleet's own.
    _own: Registry,
    building: Gate,
    testing: Gate,
    admin: Person,
    maintainer: Person,
}

/// Runs a test in the talk's world: two hosts with the deployer's image.
fn world(test: impl FnOnce(&mut World<'_>) -> Result<()>) -> Result<()> {
    Setup::hosts(2)
        .docker()
        .agent("FLEET_DOCKER_SOCKET", "true")
        .agent("FLEET_DOCKER_SOCKET_SHARED", "true")
        .agent("FLEET_DOCKER_PULL_POLICY", "if-not-present")
        .agent("FLEET_DOCKER_SHARED_IMAGES", DEPLOYER)
        .coordinator(&["--registry", "10.213.0.1:5001"])
        .run(|fleet| test(&mut World::new(fleet)?))
}

fn seed(path: &str) -> PathBuf {
    repository().join("tests/seed").join(path)
}

impl World<'_> {
    fn new(fleet: &mut Fleet) -> Result<World<'_>> {
        let passwords = Login::Passwords(vec![Account::new("_json_key", PASSWORD)]);
        let cloud = fleet.registry(5000, &passwords)?;
        let admin = fleet.admin()?;
        let trust = admin.json(&["registry", "trust"])?;
        let own = fleet.registry(5001, &Login::try_from(&trust)?)?;
        for host in &fleet.hosts {
            let engine = host.docker()?;
            engine.load(&TOOLS)?;
            let deployer = seed("deployer").display().to_string();
            engine.ok(&["build", "--quiet", "--tag", DEPLOYER, &deployer])?;
        }
        fleet.project(PROJECT)?;
        let set = |words: &[&str]| {
            let all = [&["variable", "set"], words, &["--project", PROJECT]].concat();
            admin.ok(&all)
        };
        set(&["REGISTRY_HOST", "--value", &cloud.host()])?;
        set(&["GOOGLE_PROJECT_ID", "--value", "adtech-1234"])?;
        set(&[
            "GOOGLE_REGISTRY_TOKEN",
            "--value",
            PASSWORD,
            "--masked",
            "--raw",
        ])?;
        admin.ok(&[
            "project",
            "protect",
            "production",
            "--push",
            "maintainer",
            "--deploy",
            "maintainer",
            "--project",
            PROJECT,
        ])?;
        Ok(World {
            cloud,
            _own: own,
            building: fleet.gate(BUILD_GATE)?,
            testing: fleet.gate(TEST_GATE)?,
            admin,
            maintainer: fleet.person("mia", "maintainer")?,
            fleet,
        })
    }

    /// Pushes the app with the talk's file.
    fn push(&self, branch: &str) -> Result<PipelineView> {
        let sha = commit(&self.maintainer.clone_of(PROJECT)?, branch)?;
        self.maintainer.wait_pipeline(PROJECT, &sha)
    }

    /// From now on jobs start on this host alone.
    fn only(&self, host: usize) -> Result<()> {
        let names = ["h1", "h2"];
        self.admin.ok(&["agent", "drain", names[1 - host]])?;
        self.admin.ok(&["agent", "resume", names[host]])?;
        Ok(())
    }

    /// Removes all images of the project from a host.
    fn forget(&self, host: usize) -> Result<()> {
        let engine = self.fleet.hosts[host].docker()?;
        let images = engine.images()?;
        for image in images
            .iter()
            .filter(|name| name.starts_with(&self.cloud.host()))
        {
            engine.ok(&["rmi", "--force", image])?;
        }
        Ok(())
    }

    /// The name of the app's image.
    fn image(&self) -> String {
        format!("{}/{}", self.cloud.host(), repository_of(""))
    }

    /// The host a job ran on, in words of the job itself too.
    fn job(&self, pipeline: &PipelineView, name: &str, host: &str) -> Result<JobView> {
        let job = self.maintainer.job(pipeline, name)?;
        ensure!(job.of_attempts("agent")? == [host], "{job:?}");
        Ok(job)
    }
}

/// The app's repository in the registry with the password.
fn repository_of(suffix: &str) -> String {
    format!("adtech-1234/gotthard/gotthard{suffix}")
}

fn commit(clone: &Checkout, branch: &str) -> Result<String> {
    for name in [
        ".gitlab-ci.yml",
        "app/Dockerfile",
        "app/coverage",
        "app/manage.py",
    ] {
        let file = seed(name);
        let to = clone.dir().join(file.file_name().context("a name")?);
        fs::copy(&file, &to).with_context(|| format!("copy {}", file.display()))?;
    }
    let sha = clone.commit("the app")?;
    clone.git(&["push", "--quiet", "fleet", &format!("HEAD:{branch}")])?;
    Ok(sha)
}

#[test]
fn each_stage_may_run_on_another_host() -> Result<()> {
    world(|world| {
        world.only(0)?;
        let pipeline = world.push("master")?;
        world
            .building
            .wait(&world.maintainer, &pipeline, "build image")?;
        world.admin.ok(&["agent", "drain", "h1"])?;
        world.building.open();
        world
            .maintainer
            .wait_job(&pipeline, "build image", &["success"])?;
        world.forget(0)?;
        world.testing.open();
        world.only(1)?;

        let ended = world.maintainer.wait_end(&pipeline, LONG)?;
        ensure!(ended.status == "success", "{ended:#?}");
        let names: Vec<&str> = ended.jobs.iter().map(|job| job.name.as_str()).collect();
        ensure!(
            names == ["build image", "test image", "deploy to staging"],
            "{names:?}"
        );
        for (name, host) in [
            ("build image", "h1"),
            ("test image", "h2"),
            ("deploy to staging", "h2"),
        ] {
            let log = world.maintainer.log(&world.job(&ended, name, host)?)?;
            ensure!(log.matches("Login Succeeded").count() == 2, "{log}");
            ensure!(!log.contains("MIIEvQIBADAN"), "{log}");
        }
        let tested = world
            .maintainer
            .log(&world.maintainer.job(&ended, "test image")?)?;
        ensure!(
            tested.contains("ran test --noinput --settings=gotthard.settings.test"),
            "{tested}"
        );
        ensure!(tested.contains("TOTAL 100%"), "{tested}");

        // What the registry has is what runs.
        let mut tags = vec![ended.sha.clone(), "latest".into()];
        tags.sort();
        ensure!(world.cloud.tags(&repository_of(""))? == tags);
        ensure!(world.cloud.tags(&repository_of("-staging"))? == [ended.sha.as_str()]);
        let image = format!("{}-staging:{}", world.image(), ended.sha);
        deployed(world, 1, "staging", &image)?;

        let shown =
            world
                .maintainer
                .json(&["environment", "show", "staging", "--project", PROJECT])?;
        ensure!(shown["state"] == "available", "{shown}");
        ensure!(shown["current"]["sha"] == ended.sha.as_str(), "{shown}");
        ensure!(shown["current"]["pipeline"] == ended.id, "{shown}");

        production(world)
    })
}

/// Only a maintainer gets to production.
fn production(world: &mut World<'_>) -> Result<()> {
    let developer = world.fleet.person("dev", "developer")?;
    let clone = developer.clone_of(PROJECT)?;
    clone.write("README.md", "mine\n")?;
    clone.commit("to production")?;
    let refused = clone.try_git(&["push", "fleet", "HEAD:production"])?;
    ensure!(!refused.status.success());
    for text in ["protected", "production", "maintainer"] {
        refused.expect_text(text)?;
    }

    let pipeline = world.push("production")?;
    let ended = world.maintainer.wait_end(&pipeline, LONG)?;
    ensure!(ended.status == "success", "{ended:#?}");
    let names: Vec<&str> = ended.jobs.iter().map(|job| job.name.as_str()).collect();
    ensure!(
        names == ["build image", "test image", "deploy to production"],
        "{names:?}"
    );
    let image = format!("{}-production:{}", world.image(), ended.sha);
    deployed(world, 1, "production", &image)
}

/// Both containers of an environment run this image on a host.
fn deployed(world: &World<'_>, host: usize, environment: &str, image: &str) -> Result<()> {
    let engine = world.fleet.hosts[host].docker()?;
    for kind in ["worker", "server"] {
        let name = format!("gotthard-{environment}-{kind}");
        let format = "{{.State.Running}} {{.Config.Image}}";
        let shown = engine.ok(&["inspect", "--format", format, &name])?;
        ensure!(shown.trim() == format!("true {image}"), "{name}: {shown}");
    }
    Ok(())
}

#[test]
fn only_warned_deployment_on_another_host_fails_as_people_know_it() -> Result<()> {
    world(|world| {
        world
            .admin
            .ok(&["project", "set", "host-coupling=warn", "--project", PROJECT])?;
        world.building.open();
        world.only(0)?;
        let pipeline = world.push("master")?;
        world
            .testing
            .wait(&world.maintainer, &pipeline, "test image")?;
        world.only(1)?;
        world.testing.open();

        let ended = world.maintainer.wait_end(&pipeline, LONG)?;
        ensure!(ended.status == "failed", "{ended:#?}");
        world.job(&ended, "test image", "h1")?;
        let deploy = world.job(&ended, "deploy to staging", "h2")?;
        ensure!(
            deploy.all["failure_reason"] == "script_failure",
            "{deploy:?}"
        );
        let log = world.maintainer.log(&deploy)?;
        ensure!(log.contains("No such image"), "{log}");
        ensure!(world.cloud.tags(&repository_of("-staging"))?.is_empty());
        Ok(())
    })
}

#[test]
fn denied_coupling_is_told_with_its_line_and_the_mend() -> Result<()> {
    Setup::hosts(0).run(|fleet| {
        fleet.project(PROJECT)?;
        let admin = fleet.admin()?;
        admin.ok(&["project", "set", "host-coupling=deny", "--project", PROJECT])?;
        let clone = admin.clone_of(PROJECT)?;
        let text = fs::read_to_string(seed(".gitlab-ci.yml"))?;
        clone.write(".gitlab-ci.yml", &text)?;
        clone.commit("the app")?;
        let pushed = clone.try_git(&["push", "fleet", "HEAD:master"])?;
        pushed.expect_exit(0)?;
        let line = 1 + text
            .lines()
            .position(|line| line.contains("docker tag") && line.contains("SLUG"))
            .context("the line that counts on the host")?;
        pushed.expect_text(&format!(".gitlab-ci.yml:{line}:"))?;
        pushed.expect_text("docker pull")?;
        pushed.expect_text("build image")?;
        Ok(())
    })
}
