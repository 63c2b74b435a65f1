//! Which images jobs get, with whose logins, and what they are told where they get
//! none.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fleet_tests::docker::{Account, BUSYBOX, Login, Registry};
use fleet_tests::fleet::{Fleet, JobView, Person, PipelineView, Setup};

const OWNS: &str = "own/app";
const OTHER: &str = "other/app";
/// Its base64 has characters that differ between the two alphabets.
const PASSWORD: &str = "pass?word>of~the?registry>~";
/// Three tries of a registry that is down, and more.
const LONG: Duration = Duration::from_secs(120);

fn setup() -> Setup {
    Setup::hosts(1)
        .docker()
        .slots(4)
        .agent("FLEET_DOCKER_PULL_POLICY", "always")
        .agent(
            "FLEET_DOCKER_ALLOWED_PULL_POLICIES",
            "always,if-not-present",
        )
}

/// A registry with a private image that is on no host; the name of the image.
fn private_image(fleet: &Fleet) -> Result<(Registry, String)> {
    let accounts = vec![Account::new("builder", PASSWORD)];
    let registry = fleet.registry(5000, &Login::Passwords(accounts))?;
    let name = format!("{}/own/app/image:1", registry.host());
    let engine = fleet.hosts[0].docker()?;
    let host = registry.host();
    engine.ok(&["login", "-u", "builder", "-p", PASSWORD, &host])?;
    engine.ok(&["tag", BUSYBOX.name, &name])?;
    engine.ok(&["push", "-q", &name])?;
    engine.ok(&["rmi", &name])?;
    engine.ok(&["logout", &host])?;
    Ok((registry, name))
}

fn auth_config(registry: &Registry, password: &str) -> String {
    use base64::Engine as _;
    let auth = base64::engine::general_purpose::STANDARD.encode(format!("builder:{password}"));
    format!(
        "{{\"auths\":{{\"{}\":{{\"auth\":\"{auth}\"}}}}}}",
        registry.host()
    )
}

fn set_login(person: &Person, project: &str, config: &str) -> Result<()> {
    let file = person.write("auth.json", config)?;
    let file = file.display().to_string();
    let words = ["variable", "set", "DOCKER_AUTH_CONFIG", "--file", &file];
    person.ok(&[&words[..], &["--project", project]].concat())?;
    Ok(())
}

fn run(person: &Person, project: &str, yaml: &str) -> Result<PipelineView> {
    let sha = person.clone_of(project)?.push_pipeline(yaml)?;
    let pipeline = person.wait_pipeline(project, &sha)?;
    person.wait_end(&pipeline, LONG)
}

fn job(person: &Person, pipeline: &PipelineView, name: &str) -> Result<(JobView, String)> {
    let job = person.job(pipeline, name)?;
    let log = person.log(&job)?;
    Ok((job, log))
}

/// It passed, or failed for this reason, and its log has these texts.
fn expect(
    person: &Person,
    pipeline: &PipelineView,
    name: &str,
    reason: Option<&str>,
    texts: &[&str],
) -> Result<String> {
    let (job, log) = job(person, pipeline, name)?;
    match reason {
        None => ensure!(job.status == "success", "{name}: {job:?}\n{log}"),
        Some(reason) => {
            ensure!(job.status == "failed", "{name}: {job:?}\n{log}");
            ensure!(
                job.all["failure_reason"] == reason,
                "{name}: {job:?}\n{log}"
            );
        }
    }
    for text in texts {
        ensure!(log.contains(text), "{name}: no {text:?} in the log:\n{log}");
    }
    Ok(log)
}

#[test]
fn a_private_image_on_the_host_is_for_the_project_that_pulled_it() -> Result<()> {
    setup().run(|fleet| {
        for project in [OWNS, OTHER] {
            fleet.project(project)?;
        }
        let admin = fleet.admin()?;
        let (mut registry, image) = private_image(fleet)?;
        set_login(&admin, OWNS, &auth_config(&registry, PASSWORD))?;

        let always = format!(
            "pulls:
  image: {image}
  script:
    - echo in the container
    - cat $DOCKER_CONFIG/config.json
    - echo written > $DOCKER_CONFIG/of-the-job
"
        );
        let first = run(&admin, OWNS, &always)?;
        let log = expect(
            &admin,
            &first,
            "pulls",
            None,
            &[
                "Using effective pull policy of [always] for container",
                "Authenticating with credentials from $DOCKER_AUTH_CONFIG",
                "Pulling docker image",
                "Using docker image sha256:",
                "with digest",
                "in the container",
                "\"auth\": \"[MASKED]\"",
            ],
        )?;
        ensure!(!log.contains(PASSWORD), "{log}");
        let engine = fleet.hosts[0].docker()?;
        let id = engine.ok(&["image", "inspect", "--format", "{{.Id}}", &image])?;
        let id = id.trim();

        let policies = |name: &str, image: &str, policies: &str| {
            format!("{name}: {{image: {{name: '{image}', pull_policy: {policies}}}, script: echo in the container}}\n")
        };
        let theirs = [
            policies("asks", &image, "always"),
            policies("hopes", &image, "if-not-present"),
            policies("by-id", id, "if-not-present"),
            policies("refused", &image, "never"),
            format!(
                "serves: {{image: 'busybox:test', services: [{{name: '{image}', pull_policy: \
                 if-not-present}}], script: echo in the container}}\n"
            ),
        ];
        let stolen = run(&admin, OTHER, &theirs.concat())?;
        let configuration = Some("runner_configuration_error");
        for name in ["asks", "hopes", "serves"] {
            let texts = ["wants a login for it, and the job has none"];
            let log = expect(&admin, &stolen, name, configuration, &texts)?;
            ensure!(!log.contains("in the container"), "{log}");
        }
        let texts = ["that this project may use without pulling it"];
        let log = expect(&admin, &stolen, "by-id", configuration, &texts)?;
        ensure!(!log.contains("in the container"), "{log}");
        let texts = ["pull_policy ([never]) defined in GitLab pipeline config is not one of"];
        expect(&admin, &stolen, "refused", configuration, &texts)?;
        // With a wrong password it is told apart from none.
        set_login(&admin, OTHER, &auth_config(&registry, "not-the-password"))?;
        let wrong = run(&admin, OTHER, &policies("asks", &image, "always"))?;
        let texts = ["refuses the login of builder from $DOCKER_AUTH_CONFIG"];
        let log = expect(&admin, &wrong, "asks", configuration, &texts)?;
        ensure!(!log.contains("not-the-password"), "{log}");

        // What was pulled for a project stays its own while the registry is away.
        registry.stop()?;
        let both = policies("asks", &image, "[always, if-not-present]");
        let down = run(&admin, OWNS, &both)?;
        expect(
            &admin,
            &down,
            "asks",
            None,
            &[
                "cannot be reached from the agent's host",
                "(3 of 3)",
                "Attempt #2: Trying \"if-not-present\" pull policy",
                "Using locally found image version due to \"if-not-present\" pull policy",
                "in the container",
            ],
        )?;
        let down = run(&admin, OTHER, &policies("hopes", &image, "if-not-present"))?;
        let reason = Some("runner_external_dependency_failure");
        expect(&admin, &down, "hopes", reason, &["cannot be reached"])?;
        fleet.hosts[0].docker()?.wait_clean()
    })
}

#[test]
fn images_that_do_not_come_say_what_is_wrong() -> Result<()> {
    setup().run(|fleet| {
        fleet.project(OWNS)?;
        let admin = fleet.admin()?;
        let (registry, image) = private_image(fleet)?;
        set_login(&admin, OWNS, &auth_config(&registry, PASSWORD))?;
        let repository = image.strip_suffix(":1").context("a tag")?;
        let digest = format!("{repository}@sha256:{}", "0123456789abcdef".repeat(4));
        let yaml = format!(
            "tag: {{image: '{repository}:2', script: 'true'}}
digest: {{image: '{digest}', script: 'true'}}
repository: {{image: '{repository}/none', script: 'true'}}
name: {{image: '{}', script: 'true'}}
unset: {{image: '$NOT_SET/image', script: 'true'}}
untagged: {{image: '{repository}', script: 'true'}}
",
            image.replace("own/app", "Own/app")
        );
        let ended = run(&admin, OWNS, &yaml)?;
        let missing = format!("has no {repository}:2");
        for (name, text) in [
            ("tag", missing.as_str()),
            ("digest", "has nothing with the digest of"),
            ("repository", "has no"),
            ("name", "must be lower-case"),
            ("unset", "\"/image\" is no valid image name"),
            // Not all of its tags.
            ("untagged", ":latest not found"),
        ] {
            let reason = Some("runner_configuration_error");
            expect(&admin, &ended, name, reason, &[text])?;
        }
        fleet.hosts[0].docker()?.wait_clean()
    })
}
