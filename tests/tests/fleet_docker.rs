//! Jobs in containers on hosts with Docker engines: what goes wrong around them,
//! and what is left of them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fleet_tests::docker::{Account, BUSYBOX, Engine, Login, TOOLS};
use fleet_tests::fleet::{Disk, Fleet, JobView, Person, PipelineView, Setup};
use fleet_tests::{wait_for, wait_within};

const PROJECT: &str = "group/app";
const LONG: Duration = Duration::from_secs(90);
const PASSWORD: &str = "pass-of-a-registry-0815";

/// Waits at a gate of the test.
const WAITS: &str = "waits:
  image: busybox:test
  script:
    - echo it waits
    - nc 10.213.0.1 7001 < /dev/null
    - echo it went on
";

fn push(fleet: &mut Fleet, project: &str, yaml: &str) -> Result<(Person, PipelineView)> {
    let admin = fleet.admin()?;
    let sha = admin.clone_of(project)?.push_pipeline(yaml)?;
    let pipeline = admin.wait_pipeline(project, &sha)?;
    Ok((admin, pipeline))
}

fn start(fleet: &mut Fleet, yaml: &str) -> Result<(Person, PipelineView)> {
    fleet.project(PROJECT)?;
    push(fleet, PROJECT, yaml)
}

fn engine(fleet: &mut Fleet) -> Result<&mut Engine> {
    fleet.hosts[0].engine.as_mut().context("an engine")
}

/// Waits for the pipeline's end, and for what its job says of it.
fn ended(person: &Person, pipeline: &PipelineView, name: &str) -> Result<(JobView, String)> {
    let ended = person.wait_end(pipeline, LONG)?;
    let job = person.job(&ended, name)?;
    let log = person.log(&job)?;
    Ok((job, log))
}

/// It failed for this reason, and its log says why.
fn expect_failed(ended: &(JobView, String), reason: &str, texts: &[&str]) -> Result<()> {
    let (job, log) = ended;
    ensure!(job.status == "failed", "{job:?}\n{log}");
    ensure!(job.all["failure_reason"] == reason, "{job:?}\n{log}");
    for text in texts {
        ensure!(log.contains(text), "no {text:?} in the log:\n{log}");
    }
    Ok(())
}

#[test]
fn jobs_leave_nothing_on_the_engine_however_they_end() -> Result<()> {
    Setup::hosts(1).docker().run(|fleet| {
        let gate = fleet.gate(7001)?;
        let yaml = format!(
            "{WAITS}
serves:
  image: busybox:test
  services: [{{name: busybox:test, alias: db, command: [nc, -ll, -p, '5432', -e, echo, hello]}}]
  script:
    - until nc db 5432 < /dev/null | grep hello; do sleep 0.1; done
fails:
  image: busybox:test
  script: exit 7
"
        );
        let (admin, pipeline) = start(fleet, &yaml)?;
        gate.wait(&admin, &pipeline, "waits")?;
        let served = admin.wait_job(&pipeline, "serves", &["success", "failed"])?;
        ensure!(served.status == "success", "{}", admin.log(&served)?);
        let failed = admin.wait_job(&pipeline, "fails", &["failed"])?;
        ensure!(failed.all["exit_code"] == 7, "{failed:?}");
        let waits = admin.job(&pipeline, "waits")?.id.to_string();
        admin.ok(&["job", "cancel", &waits])?;
        admin.wait_end(&pipeline, LONG)?;
        engine(fleet)?.wait_clean()
    })
}

#[test]
fn loss_of_the_engine_fails_the_job_and_is_cleaned_up_when_it_is_back() -> Result<()> {
    Setup::hosts(1).docker().run(|fleet| {
        let gate = fleet.gate(7001)?;
        let (admin, pipeline) = start(fleet, WAITS)?;
        gate.wait(&admin, &pipeline, "waits")?;
        engine(fleet)?.kill()?;
        engine(fleet)?.start()?;
        let ended = ended(&admin, &pipeline, "waits")?;
        expect_failed(&ended, "runner_system_failure", &["it waits", "ngine"])?;
        engine(fleet)?.wait_clean()?;

        // The host is as good as before.
        gate.open();
        admin.ok(&["job", "retry", &ended.0.id.to_string()])?;
        wait_within(LONG, Duration::from_millis(100), "the job to pass", || {
            let now = admin.pipeline(PROJECT, "last")?;
            Ok((now.status == "success").then_some(()))
        })
    })
}

#[test]
fn job_without_an_engine_fails_with_its_reason() -> Result<()> {
    Setup::hosts(1).docker().run(|fleet| {
        engine(fleet)?.stop()?;
        let (admin, pipeline) = start(fleet, "job: {image: 'busybox:test', script: 'true'}\n")?;
        let ended = ended(&admin, &pipeline, "job")?;
        expect_failed(
            &ended,
            "runner_system_failure",
            &["Docker engine", "is it running"],
        )?;
        engine(fleet)?.start()?;
        engine(fleet)?.wait_clean()
    })
}

/// The registry all others are like: with a password.
fn passwords() -> Login {
    Login::Passwords(vec![Account::new("robot", PASSWORD)])
}

/// Pushes an image the second host has to a registry, whose password stays there.
fn fill(fleet: &Fleet, from: &str, to: &str) -> Result<()> {
    let engine = fleet.hosts[1].docker()?;
    let registry = to.split('/').next().unwrap_or_default();
    engine.ok(&["login", "-u", "robot", "-p", PASSWORD, registry])?;
    engine.ok(&["tag", from, to])?;
    engine.ok(&["push", "--quiet", to])?;
    Ok(())
}

/// A second host that takes no jobs.
fn store_host(fleet: &mut Fleet) -> Result<()> {
    let admin = fleet.admin()?;
    admin.ok(&["agent", "drain", "h2"])?;
    Ok(())
}

#[test]
fn image_of_one_project_is_not_anothers_and_no_login_is_left() -> Result<()> {
    Setup::hosts(2).docker().run(|fleet| {
        store_host(fleet)?;
        let registry = fleet.registry(5000, &passwords())?;
        let image = format!("{}/private/image:1", registry.host());
        fill(fleet, BUSYBOX.name, &image)?;
        let gate = fleet.gate(7001)?;
        fleet.project("group/mine")?;
        fleet.project("group/other")?;
        let admin = fleet.admin()?;
        let password = admin.write("password", PASSWORD)?.display().to_string();
        admin.ok(&[
            "registry",
            "add",
            &registry.host(),
            "--username",
            "robot",
            "--password-file",
            &password,
            "--project",
            "group/mine",
        ])?;

        let yaml = format!("waits:\n  image: {image}\n  script: nc 10.213.0.1 7001 < /dev/null\n");
        let (admin, mine) = push(fleet, "group/mine", &yaml)?;
        gate.wait(&admin, &mine, "waits")?;
        // Another project's job meanwhile, on the same host.
        let (_, other) = push(fleet, "group/other", &yaml)?;
        let refused = ended(&admin, &other, "waits")?;
        expect_failed(
            &refused,
            "runner_configuration_error",
            &["5000/private/image"],
        )?;
        gate.open();
        let (job, log) = ended(&admin, &mine, "waits")?;
        ensure!(job.status == "success", "{job:?}\n{log}");

        // It lies there now; still it is not the other's.
        let yaml = format!("{yaml}  # again\n");
        let (_, other) = push(fleet, "group/other", &yaml)?;
        let refused = ended(&admin, &other, "waits")?;
        expect_failed(
            &refused,
            "runner_configuration_error",
            &["5000/private/image"],
        )?;
        engine(fleet)?.wait_clean()?;
        expect_no_trace(fleet, &["robot", PASSWORD])
    })
}

#[test]
fn what_an_engine_tells_of_a_job_has_no_login_of_it() -> Result<()> {
    Setup::hosts(2).docker().run(|fleet| {
        store_host(fleet)?;
        let registry = fleet.registry(5000, &passwords())?;
        let image = format!("{}/private/image:1", registry.host());
        fill(fleet, BUSYBOX.name, &image)?;
        let gate = fleet.gate(7001)?;
        fleet.project(PROJECT)?;
        let admin = fleet.admin()?;
        let password = admin.write("password", PASSWORD)?.display().to_string();
        let login = [
            "--username",
            "robot",
            "--password-file",
            &password,
            "--project",
            PROJECT,
        ];
        admin.ok(&[&["registry", "add", &registry.host()], &login[..]].concat())?;
        let yaml = format!(
            "waits:
  image: {image}
  services: [{{name: '{image}', alias: db, command: [sleep, '600']}}]
  script:
    - echo \"$CI_JOB_TOKEN\" | rev
    - nc 10.213.0.1 7001 < /dev/null
"
        );
        let (admin, pipeline) = push(fleet, PROJECT, &yaml)?;
        gate.wait(&admin, &pipeline, "waits")?;
        // What any other job of the host sees that may ask its engine.
        let engine = engine(fleet)?;
        let ids = engine.ok(&["ps", "--all", "--quiet"])?;
        let ids: Vec<&str> = ids.split_whitespace().collect();
        ensure!(ids.len() >= 2, "{ids:?}");
        let told = engine.ok(&[&["inspect"], &ids[..]].concat())?;
        gate.open();
        let (job, log) = ended(&admin, &pipeline, "waits")?;
        ensure!(job.status == "success", "{job:?}\n{log}");
        let token = log
            .lines()
            .rfind(|line| line.len() > 30 && !line.contains(' '));
        let token: String = token.context("a token")?.chars().rev().collect();
        let basic = base64(&format!("robot:{PASSWORD}"))?;
        for secret in [PASSWORD, basic.trim_end_matches('='), token.as_str()] {
            ensure!(!told.contains(secret), "{secret} is in {told}");
        }
        ensure!(told.contains("/private/image"), "{told}");
        Ok(())
    })
}

/// Neither the password nor its login is in any file of the first host, its
/// engine's among them.
fn expect_no_trace(fleet: &Fleet, login: &[&str; 2]) -> Result<()> {
    let basic = base64(&login.join(":"))?;
    let folder = fleet.root().join("h1").display().to_string();
    for text in [login[1], basic.trim_end_matches('=')] {
        let found = std::process::Command::new("grep")
            .args(["-r", "-l", "-F", "-e", text, &folder])
            .output()
            .context("start grep")?;
        let files = String::from_utf8_lossy(&found.stdout);
        ensure!(files.is_empty(), "{text} is in {files}");
    }
    Ok(())
}

fn base64(text: &str) -> Result<String> {
    let script = "printf %s \"$0\" | base64 -w0";
    let output = std::process::Command::new("sh")
        .args(["-c", script, text])
        .output()
        .context("start sh")?;
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn job_whose_registry_is_down_says_so() -> Result<()> {
    Setup::hosts(2).docker().run(|fleet| {
        store_host(fleet)?;
        let mut registry = fleet.registry(5000, &passwords())?;
        registry.stop()?;
        let yaml = format!(
            "job: {{image: '{}/a/b:1', script: 'true'}}\n",
            registry.host()
        );
        let (admin, pipeline) = start(fleet, &yaml)?;
        let ended = ended(&admin, &pipeline, "job")?;
        let texts = ["10.213.0.1:5000", "connection refused"];
        expect_failed(&ended, "runner_external_dependency_failure", &texts)?;
        engine(fleet)?.wait_clean()
    })
}

#[test]
fn full_disk_of_the_engine_is_named_and_leaves_the_host_well() -> Result<()> {
    Setup::hosts(2).docker().run(|fleet| {
        store_host(fleet)?;
        let registry = fleet.registry(5000, &Login::None)?;
        let image = format!("{}/big/image:1", registry.host());
        fleet.hosts[1].docker()?.load(&TOOLS)?;
        let store = fleet.hosts[1].docker()?;
        store.ok(&["tag", TOOLS.name, &image])?;
        store.ok(&["push", "--quiet", &image])?;

        let small = fleet.root().join("small");
        let disk = Disk::mount(&small, 32 << 20)?;
        engine(fleet)?.stop()?;
        engine(fleet)?.keep_data_in(&small);
        engine(fleet)?.start()?;
        engine(fleet)?.load(&BUSYBOX)?;
        let yaml = format!("job: {{image: '{image}', script: 'true'}}\n");
        let (admin, pipeline) = start(fleet, &yaml)?;
        let full = ended(&admin, &pipeline, "job")?;
        let texts = [
            "the disk of the Docker engine is full",
            "no space left on device",
        ];
        expect_failed(&full, "image_pull_failure", &texts)?;

        let (_, pipeline) = push(
            fleet,
            PROJECT,
            "job: {image: 'busybox:test', script: 'true'}\n",
        )?;
        let (job, log) = ended(&admin, &pipeline, "job")?;
        ensure!(job.status == "success", "{job:?}\n{log}");
        engine(fleet)?.wait_clean()?;
        drop(disk);
        Ok(())
    })
}

#[test]
fn token_of_a_job_opens_its_projects_images_until_the_job_ends() -> Result<()> {
    let setup = Setup::hosts(2)
        .docker()
        .coordinator(&["--registry", "10.213.0.1:5001"]);
    setup.run(|fleet| {
        store_host(fleet)?;
        let admin = fleet.admin()?;
        let trust = admin.json(&["registry", "trust"])?;
        let registry = fleet.registry(5001, &Login::try_from(&trust)?)?;
        let gate = fleet.gate(7001)?;
        let yaml = "job:
  image: busybox:test
  script:
    - echo \"token $(echo $CI_JOB_TOKEN | rev) ends\"
    - nc 10.213.0.1 7001 < /dev/null
";
        fleet.project("group/other")?;
        let (admin, pipeline) = start(fleet, yaml)?;
        gate.wait(&admin, &pipeline, "job")?;
        let token = wait_for("the job's token in its log", || {
            let log = admin.log(&admin.job(&pipeline, "job")?)?;
            let words = log.lines().find_map(|line| line.strip_prefix("token "));
            let word = words.and_then(|words| words.strip_suffix(" ends"));
            Ok(word.map(|word| word.chars().rev().collect::<String>()))
        })?;

        let engine = fleet.hosts[1].docker()?;
        let host = registry.host();
        let login = || engine.docker(&["login", "-u", "gitlab-ci-token", "-p", &token, &host]);
        login()?.expect_exit(0)?;
        let (mine, other) = (
            format!("{host}/{PROJECT}:1"),
            format!("{host}/group/other:1"),
        );
        for name in [&mine, &other] {
            engine.ok(&["tag", BUSYBOX.name, name])?;
        }
        engine.ok(&["push", "--quiet", &mine])?;
        let refused = engine.docker(&["push", "--quiet", &other])?;
        refused.expect_exit(1)?;
        refused.expect_text("denied")?;

        gate.open();
        let (job, log) = ended(&admin, &pipeline, "job")?;
        ensure!(job.status == "success", "{job:?}\n{log}");
        // The login is still there; it opens nothing any more.
        engine.ok(&["rmi", &mine])?;
        for words in [["pull", "--quiet", &mine], ["push", "--quiet", &other]] {
            let refused = engine.docker(&words)?;
            refused.expect_exit(1)?;
        }
        let refused = login()?;
        refused.expect_exit(1)?;
        refused.expect_text("nauthorized")?;
        ensure!(registry.tags(PROJECT)? == ["1"]);
        ensure!(registry.tags("group/other")?.is_empty());
        Ok(())
    })
}
