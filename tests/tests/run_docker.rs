//! `fleetctl run` with this machine's Docker engine: as people have it.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use fleet_tests::docker::{Account, Alone, BUSYBOX, Engine, Login};
use fleet_tests::{Project, fleetctl, wait_for};
use rustix::process::Signal;

const MIXED: &str = "
stages: [make, use]
in-container:
  stage: make
  image: 127.0.0.1:9/app:1
  script:
    - test ! -e /etc/debian_version
    - echo of the container > made
    - echo in $(hostname)
  artifacts: {paths: [made]}
in-shell:
  stage: use
  script:
    - grep container made
";

fn engine() -> Result<Alone> {
    let alone = Alone::new()?;
    alone.engine.load(&BUSYBOX)?;
    Ok(alone)
}

fn expect_clean(engine: &Engine) -> Result<()> {
    let left = [engine.containers()?, engine.networks()?].concat();
    ensure!(left.is_empty(), "left: {}", left.join(", "));
    Ok(())
}

#[test]
fn jobs_with_an_image_run_in_it_and_others_in_the_shell() -> Result<()> {
    let alone = engine()?;
    // Nobody listens there.
    let image = "127.0.0.1:9/app:1";
    alone.engine.ok(&["tag", BUSYBOX.name, image])?;
    let project = Project::with_pipeline(MIXED)?;
    let before = project.snapshot()?;
    let run = |words: &[&str]| {
        let run = project.run(words)?;
        run.env("DOCKER_HOST", alone.engine.host()).finish()
    };
    for words in [&[][..], &["--pull", "never"]] {
        let finished = run(words)?;
        finished.expect_exit(0)?;
        finished.expect_text("in runner-")?;
        expect_clean(&alone.engine)?;
        project.expect_unchanged(&before)?;
    }
    let finished = run(&["--pull", "always", "in-container"])?;
    finished.expect_exit(1)?;
    finished.expect_text(&format!(
        "failed to pull image \"{image}\" with specified policies [always]"
    ))?;
    finished.expect_text("the registry 127.0.0.1:9 cannot be reached")?;
    expect_clean(&alone.engine)?;
    // One that would need an image has none.
    let finished = run(&["--executor", "docker"])?;
    finished.expect_exit(2)?;
    finished.expect_text("the job in-shell names no image. Try: --executor auto")
}

#[test]
fn containers_know_the_hosts_and_stay_if_that_is_asked_for() -> Result<()> {
    let alone = engine()?;
    let project = Project::with_pipeline(
        "look: {image: 'busybox:test', script: [grep '10.9.8.7.*db.example' /etc/hosts]}\n",
    )?;
    let words = ["--add-host", "db.example:10.9.8.7", "--keep"];
    let run = project.run(&words)?;
    let finished = run.env("DOCKER_HOST", alone.engine.host()).finish()?;
    finished.expect_exit(0)?;
    finished.expect_text("stays when the job is over")?;
    let kept = alone.engine.containers()?;
    ensure!(kept.len() == 1, "{kept:?}");
    finished.expect_text(&kept[0])?;
    alone.engine.ok(&["rm", "--force", &kept[0]])?;
    for (flag, value, told) in [
        ("--add-host", "db.example", "NAME:IP"),
        ("--add-host", "db:not-an-ip", "no address"),
        ("--volume", "x", "volume"),
    ] {
        let finished = project.run(&[flag, value])?.finish()?;
        finished.expect_exit(2)?;
        finished.expect_text(told)?;
    }
    Ok(())
}

#[test]
fn without_an_engine_nothing_is_run_and_it_says_what_to_do() -> Result<()> {
    let project = Project::with_pipeline(
        "first: {script: [touch $MARKS/ran]}\nsecond: {image: 'alpine:3', script: ls}\n",
    )?;
    let missing = project.marks().join("docker.sock");
    let host = format!("unix://{}", missing.display());
    for (host, told) in [
        (host.as_str(), "does not exist"),
        ("tcp://10.0.0.1:2375", "is not this machine's own"),
    ] {
        let finished = project.run(&[])?.env("DOCKER_HOST", host).finish()?;
        finished.expect_exit(1)?;
        finished.expect_text("the job second wants the image alpine:3, and ")?;
        finished.expect_text(told)?;
        finished.expect_text("(from DOCKER_HOST)")?;
        finished.expect_text("--executor shell")?;
        ensure!(!project.marks().join("ran").exists());
    }
    let run = project.run(&["--executor", "shell"])?;
    let finished = run.env("DOCKER_HOST", host).finish()?;
    finished.expect_exit(0)?;
    finished.expect_text("1 of 2 jobs ask for an image and run in this machine's shell instead")
}

#[test]
fn interrupt_leaves_no_container() -> Result<()> {
    let alone = engine()?;
    let project = Project::with_pipeline(
        "waits:
  image: busybox:test
  script:
    - echo it waits
    - sleep 7779
  after_script: [echo after $CI_JOB_STATUS]
",
    )?;
    let run = project.run(&[])?.env("DOCKER_HOST", alone.engine.host());
    let running = run.start()?;
    wait_for("the job to wait", || {
        Ok(running.stdout()?.contains("it waits").then_some(()))
    })?;
    running.signal(Signal::INT)?;
    let finished = running.finish()?;
    finished.expect_exit(130)?;
    finished.expect_text("after canceled")?;
    expect_clean(&alone.engine)?;
    project.expect_nothing_left()
}

#[test]
fn what_a_killed_run_left_is_removed_by_the_next() -> Result<()> {
    let alone = engine()?;
    let project = Project::with_pipeline(
        "in-container:
  image: busybox:test
  script: [echo it waits, sleep 7779]
in-shell:
  script:
    - echo $$ > $MARKS/shell
    - sleep 7779
quick:
  script: 'true'
",
    )?;
    let run = |words: &[&str]| -> Result<_> {
        let run = project.run(words)?;
        Ok(run.env("DOCKER_HOST", alone.engine.host()))
    };
    let running = run(&[])?.start()?;
    wait_for("the jobs to wait", || {
        let both = running.stdout()?.contains("it waits") && project.marks().join("shell").exists();
        Ok(both.then_some(()))
    })?;
    running.signal(Signal::KILL)?;
    running.finish()?;
    ensure!(alone.engine.containers()?.len() == 1);
    ensure!(!project.processes()?.is_empty());

    let finished = run(&["quick"])?.finish()?;
    finished.expect_exit(0)?;
    finished.expect_text("note: run 1 was killed; what its jobs had left is removed")?;
    expect_clean(&alone.engine)?;
    project.expect_nothing_left()?;
    let again = run(&["quick"])?.finish()?;
    ensure!(!again.output().contains("was killed"), "{}", again.output());
    Ok(())
}

#[test]
fn images_are_pulled_with_the_users_own_logins_and_helpers() -> Result<()> {
    const PASSWORD: &str = "pass-of-the-user";
    let alone = engine()?;
    let accounts = vec![Account::new("me", PASSWORD)];
    let registry = alone.registry(5000, &Login::Passwords(accounts))?;
    let host = registry.host();
    let image = format!("{host}/mine/app:1");
    let engine = &alone.engine;
    engine.ok(&["login", "-u", "me", "-p", PASSWORD, &host])?;
    engine.ok(&["tag", BUSYBOX.name, &image])?;
    engine.ok(&["push", "-q", &image])?;

    let yaml = format!("job: {{image: '{image}', script: [echo in the image]}}\n");
    let project = Project::with_pipeline(&yaml)?;
    let folder = project.marks().join("docker");
    fs::create_dir_all(&folder)?;
    let helper = folder.join("docker-credential-test");
    let script = format!(
        "#!/bin/sh\nread server\n[ \"$server\" = {host} ] || {{ echo credentials not found; exit 1; }}\n\
         echo '{{\"ServerURL\":\"{host}\",\"Username\":\"me\",\"Secret\":\"{PASSWORD}\"}}'\n"
    );
    fs::write(&helper, script)?;
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755))?;
    let path = format!("{}:{}", folder.display(), std::env::var("PATH")?);
    let run = |config: &str| -> Result<_> {
        engine.docker(&["rmi", &image])?;
        fs::write(folder.join("config.json"), config)?;
        let run = project.run(&["--verbose"])?;
        run.env("DOCKER_HOST", engine.host())
            .env("DOCKER_CONFIG", &folder)
            .env("PATH", &path)
            .finish()
    };
    let none = run("{}")?;
    none.expect_exit(1)?;
    none.expect_text("wants a login for it, and the job has none")?;
    let shown = |folder: &Path| folder.join("config.json").display().to_string();
    let helped = run(&format!("{{\"credHelpers\": {{\"{host}\": \"test\"}}}}"))?;
    helped.expect_exit(0)?;
    helped.expect_text(&format!(
        "Authenticating with credentials from {} (test)",
        shown(&folder)
    ))?;
    helped.expect_text("in the image")?;
    let broken = run("{\"credsStore\": \"../evil\"}")?;
    broken.expect_exit(1)?;
    broken.expect_text("is no name of a credential helper")?;
    ensure!(!helped.output().contains(PASSWORD));
    Ok(())
}

#[test]
fn people_who_are_not_root_get_their_files_back() -> Result<()> {
    let alone = engine()?;
    let project = Project::with_pipeline(
        "job:
  image: busybox:test
  script:
    - test ! -e made
    - mkdir -p made/deep
    - echo x > made/deep/file
    - chmod 700 made made/deep
    - ln -s /etc/passwd made/deep/link
    - id -u
",
    )?;
    // Somebody of the group that may use the engine.
    let root = project.dir().join("..");
    let given = Command::new("chown")
        .args(["-R", "65534:65534"])
        .arg(&root)
        .status()?;
    ensure!(given.success());
    let socket = alone.engine.socket();
    open_way(&socket)?;
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666))?;
    for _again in 0..2 {
        let run = project.program("setpriv".as_ref()).args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
        ]);
        let run = run.args([fleetctl()?]).args(["run"]);
        let finished = run.env("DOCKER_HOST", alone.engine.host()).finish()?;
        finished.expect_exit(0)?;
        expect_clean(&alone.engine)?;
    }
    let mut todo = vec![root.join("home/.cache/fleet")];
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let found = entry.metadata()?;
            ensure!(found.uid() == 65534, "{entry:?}");
            if found.is_dir() {
                todo.push(entry.path());
            }
        }
    }
    Ok(())
}

/// Lets everybody into the folders on the way to `path`.
fn open_way(path: &Path) -> Result<()> {
    for folder in path
        .ancestors()
        .skip(1)
        .take_while(|folder| folder.parent().is_some())
    {
        let mode = fs::metadata(folder)?.permissions().mode();
        fs::set_permissions(folder, fs::Permissions::from_mode(mode | 0o111))?;
    }
    Ok(())
}
