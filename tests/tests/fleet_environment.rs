//! Who may deploy, and what is remembered of it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fleet_tests::fleet::{Fleet, Person, Setup};
use serde_json::Value;

const PROJECT: &str = "group/app";
const WITHIN: Duration = Duration::from_secs(60);

/// Deploys at once, and by hand; `stop` undoes it.
const YAML: &str = "deploy:
  script:
    - echo \"HOST=app-$CI_ENVIRONMENT_ID\" > deploy.env
    - echo \"$CI_COMMIT_SHA $CI_ENVIRONMENT_SLUG\" >> $MARKS/deployed
  artifacts: {reports: {dotenv: deploy.env}}
  resource_group: production
  retry: 2
  environment:
    name: production
    url: https://$HOST.example.com
    on_stop: stop
manual:
  script: echo by hand >> $MARKS/by-hand
  when: manual
  environment: production
stop:
  script: echo stopped >> $MARKS/stopped
  when: manual
  environment: {name: production, action: stop}
";

#[test]
fn protected_environment_takes_the_role_of_whoever_asks() -> Result<()> {
    Setup::hosts(1).run(|fleet| {
        let (dan, mia) = people(fleet)?;
        mia.ok(&words(
            "project protect-environment production --deploy maintainer --project group/app",
        ))?;
        let shown = mia.ok(&words("project show group/app"))?;
        ensure!(shown.contains("production  deploy: maintainer"), "{shown}");

        let clone = dan.clone_of(PROJECT)?;
        clone.git(&["switch", "-q", "-c", "feature"])?;
        clone.write(".gitlab-ci.yml", YAML)?;
        let sha = clone.commit("deploys")?;
        clone.git(&["push", "-q", "fleet", "feature"])?;
        let pushed = dan.wait_pipeline(PROJECT, &sha)?;
        let ended = dan.wait_end(&pushed, WITHIN)?;
        ensure!(ended.status == "failed", "{ended:?}");
        let job = dan.job(&ended, "deploy")?.id.to_string();
        let refused = dan.json(&["job", "show", &job])?;
        expect(&refused, "failure_reason", "protected_environment_failure")?;
        let said = text(&refused, "message")?;
        ensure!(
            said.contains(
                "takes the role maintainer, and dan, for whom this job was to run, has \
                           the role developer"
            ) && said.contains(&format!("fleetctl job retry {job}")),
            "{said}"
        );
        let attempts = refused["attempts"].as_array().context("attempts")?;
        ensure!(attempts.is_empty(), "no agent had it: {refused}");
        ensure!(fleet.mark("deployed")?.is_empty(), "it did not run");

        // Nor by hand.
        let manual = dan.job(&ended, "manual")?.id.to_string();
        for verb in [["job", "retry", &job], ["job", "play", &manual]] {
            let finished = dan.run(&verb)?;
            finished.expect_exit(5)?;
            finished.expect_text("environment `production` is protected")?;
        }
        expect(&dan.json(&["job", "show", &manual])?, "status", "manual")?;

        // Who may does.
        mia.ok(&["job", "retry", &job])?;
        fleet.wait_mark("deployed", 1)?;
        mia.ok(&["job", "play", &manual])?;
        fleet.wait_mark("by-hand", 1)?;
        mia.wait_job(&ended, "manual", &["success"])?;
        mia.wait_job(&ended, "deploy", &["success"])?;
        ensure!(
            fleet.mark("deployed")? == [format!("{sha} production")],
            "{:?}",
            fleet.mark("deployed")?
        );
        expect_deployed(&mia, &sha, "https://app-1.example.com")?;

        fleet.coordinator.kill()?;
        fleet.coordinator.start()?;
        fleet.coordinator.wait_ready()?;
        expect_deployed(&mia, &sha, "https://app-1.example.com")?;
        let table = dan.ok(&words("environment list --project group/app"))?;
        ensure!(
            table.contains("production") && table.contains("available"),
            "{table}"
        );

        // The stop job is that of the latest deployment that names one.
        mia.ok(&["job", "retry", &job])?;
        fleet.wait_mark("deployed", 2)?;
        mia.wait_job(&ended, "deploy", &["success"])?;
        dan.run(&words("environment stop production --project group/app"))?
            .expect_exit(5)?;
        mia.ok(&words("environment stop production --project group/app"))?;
        fleet.wait_mark("stopped", 1)?;
        mia.wait_job(&ended, "stop", &["success"])?;
        expect(&environment(&mia)?, "state", "stopped")?;

        let audit = fleet
            .admin()?
            .json(&["audit", "--limit", "200"])?
            .to_string();
        for line in ["environment.protect", "\"action\":\"deploy\"", "user:dan"] {
            ensure!(audit.contains(line), "{line}: {audit}");
        }
        Ok(())
    })
}

#[test]
fn protected_ref_takes_the_role_for_every_environment() -> Result<()> {
    Setup::hosts(1).run(|fleet| {
        let (dan, mia) = people(fleet)?;
        mia.ok(&words(
            "project protect main --push developer --deploy maintainer --project group/app",
        ))?;
        let clone = dan.clone_of(PROJECT)?;
        let sha = clone.push_pipeline(YAML)?;
        let pushed = dan.wait_pipeline(PROJECT, &sha)?;
        let ended = dan.wait_end(&pushed, WITHIN)?;
        let job = dan.job(&ended, "deploy")?.id.to_string();
        let refused = dan.json(&["job", "show", &job])?;
        expect(&refused, "failure_reason", "protected_environment_failure")?;
        let said = text(&refused, "message")?;
        ensure!(
            said.starts_with("`main` is protected: to deploy takes"),
            "{said}"
        );

        // A second commit by who may; then back to the first.
        mia.ok(&["job", "retry", &job])?;
        mia.wait_job(&ended, "deploy", &["success"])?;
        let clone = mia.clone_of(PROJECT)?;
        clone.git(&["pull", "-q", "fleet", "main"])?;
        clone.write("more", "more")?;
        let second = clone.commit("more")?;
        clone.git(&["push", "-q", "fleet", "main"])?;
        let pipeline = mia.wait_pipeline(PROJECT, &second)?;
        mia.wait_job(&pipeline, "deploy", &["success"])?;
        expect_deployed(&mia, &second, "https://app-1.example.com")?;
        let back = words("environment rollback production --project group/app");
        dan.run(&back)?.expect_exit(5)?;
        mia.ok(&back)?;
        fleet.wait_mark("deployed", 3)?;
        mia.wait_job(&ended, "deploy", &["success"])?;
        expect_deployed(&mia, &sha, "https://app-1.example.com")
    })
}

/// A developer and a maintainer of the project.
fn people(fleet: &mut Fleet) -> Result<(Person, Person)> {
    fleet.project(PROJECT)?;
    let dan = fleet.person("dan", "developer")?;
    let mia = fleet.person("mia", "maintainer")?;
    Ok((dan, mia))
}

fn words(text: &str) -> Vec<&str> {
    text.split(' ').collect()
}

fn environment(person: &Person) -> Result<Value> {
    person.json(&words("environment show production --project group/app"))
}

fn expect_deployed(person: &Person, sha: &str, url: &str) -> Result<()> {
    let shown = environment(person)?;
    expect(&shown, "state", "available")?;
    expect(&shown, "url", url)?;
    expect(&shown["current"], "sha", sha)?;
    expect(&shown["current"], "user", "mia")
}

fn expect(value: &Value, field: &str, expected: &str) -> Result<()> {
    let found = text(value, field)?;
    ensure!(
        found == expected,
        "{field} is {found}, not {expected}: {value}"
    );
    Ok(())
}

fn text<'a>(value: &'a Value, field: &str) -> Result<&'a str> {
    value[field]
        .as_str()
        .with_context(|| format!("{field}: {value}"))
}
