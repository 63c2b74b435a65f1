//! A push runs on two hosts.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};
use fleet_tests::fleet::{Fleet, Person, Setup};

const PROJECT: &str = "group/app";
const SOON: Duration = Duration::from_secs(60);

/// `build` waits for the mark `go`; `test` wants what it made.
const TWO_STAGES: &str = "stages: [build, test]
build:
  stage: build
  script:
    - mkdir out
    - readlink /proc/self/ns/net > out/where.txt
    - touch $MARKS/building
    - until [ -e $MARKS/go ]; do sleep 0.05; done
  artifacts: {paths: [out/]}
test:
  stage: test
  script:
    - readlink /proc/self/ns/net > $MARKS/tested-on
    - cp out/where.txt $MARKS/built-on
    - $OUTCOME
";

#[test]
fn push_runs_on_both_hosts_and_artifacts_go_from_one_to_the_other() -> Result<()> {
    Setup::hosts(2).run(|fleet| {
        fleet.project(PROJECT)?;
        let ann = fleet.person("ann", "maintainer")?;
        let admin = fleet.admin()?;
        admin.ok(&["agent", "drain", "h2"])?;
        let pipeline = push(&ann, "OUTCOME: 'true'")?;

        let watch = ann
            .fleetctl(&["pipeline", "watch", &pipeline.to_string()])
            .start()?;
        change_hosts(fleet, &admin)?;
        let watched = watch.finish()?;
        watched.expect_exit(0)?;
        for text in ["build", "test", "passed"] {
            watched.expect_text(text)?;
        }

        let ended = ann.pipeline(PROJECT, "last")?;
        ensure!(
            (ended.id, ended.status.as_str()) == (pipeline, "success"),
            "{ended:?}"
        );
        for (job, mark, host) in [("build", "built-on", 0), ("test", "tested-on", 1)] {
            let host = &fleet.hosts[host];
            ensure!(fleet.mark(mark)? == [host.mark()?]);
            // What people are shown agrees with what the job itself saw.
            let job = ann.job(&ended, job)?;
            ensure!(job.of_attempts("agent")? == [host.name.clone()], "{job:?}");
            ensure!(job.of_attempts("host")? == [host.name.clone()], "{job:?}");
        }
        let folder = ann.home().join("artifacts");
        let build = ann.job(&ended, "build")?.id.to_string();
        ann.ok(&[
            "job",
            "artifacts",
            &build,
            "-d",
            &folder.display().to_string(),
        ])?;
        let got = fs::read_to_string(folder.join("out/where.txt"))?;
        ensure!(got.trim() == fleet.hosts[0].mark()?, "{got}");
        Ok(())
    })
}

#[test]
fn watch_of_a_failed_pipeline_says_so_by_its_exit_code() -> Result<()> {
    Setup::hosts(2).run(|fleet| {
        fleet.project(PROJECT)?;
        let admin = fleet.admin()?;
        admin.ok(&["agent", "drain", "h2"])?;
        let pipeline = push(&admin, "OUTCOME: exit 3")?;
        let watch = admin
            .fleetctl(&["pipeline", "watch", &pipeline.to_string()])
            .start()?;
        change_hosts(fleet, &admin)?;
        watch.finish()?.expect_exit(1)?;

        let ended = admin.wait_end(&admin.pipeline(PROJECT, "last")?, SOON)?;
        let job = admin.job(&ended, "test")?;
        ensure!(job.all["failure_reason"] == "script_failure", "{job:?}");
        ensure!(job.all["exit_code"] == 3, "{job:?}");
        Ok(())
    })
}

#[test]
fn push_that_makes_no_pipeline_is_told_why() -> Result<()> {
    Setup::hosts(0).run(|fleet| {
        fleet.project(PROJECT)?;
        let ann = fleet.person("ann", "maintainer")?;
        let clone = ann.clone_of(PROJECT)?;
        clone.write(".gitlab-ci.yml", "job: {script: make, needs: [biuld]}\n")?;
        clone.commit("a mistake")?;
        let pushed = clone.try_git(&["push", "fleet", "HEAD:main"])?;
        pushed.expect_exit(0)?;
        pushed.expect_text("biuld")?;
        pushed.expect_text(".gitlab-ci.yml:1:")
    })
}

#[test]
fn protected_branch_takes_pushes_of_maintainers_alone() -> Result<()> {
    Setup::hosts(0).run(|fleet| {
        fleet.project(PROJECT)?;
        let developer = fleet.person("dev", "developer")?;
        let maintainer = fleet.person("mia", "maintainer")?;
        maintainer.ok(&[
            "project",
            "protect",
            "main",
            "--push",
            "maintainer",
            "--project",
            PROJECT,
        ])?;

        let clone = developer.clone_of(PROJECT)?;
        clone.write(".gitlab-ci.yml", "job: {script: 'true'}\n")?;
        let sha = clone.commit("first")?;
        let refused = clone.try_git(&["push", "fleet", "HEAD:main"])?;
        ensure!(!refused.status.success());
        for text in ["protected", "main", "maintainer"] {
            refused.expect_text(text)?;
        }
        ensure!(clone.remote_refs()?.is_empty());
        ensure!(developer.pipelines_of(PROJECT, &sha)?.is_empty());
        // Other branches stay open to developers.
        clone.git(&["push", "--quiet", "fleet", "HEAD:topic"])?;
        ensure!(developer.pipelines_of(PROJECT, &sha)?.len() == 1);

        let clone = maintainer.clone_of(PROJECT)?;
        let sha = clone.push_pipeline("job: {script: 'true'}\n")?;
        ensure!(clone.remote_refs()?.contains(&sha));
        ensure!(maintainer.pipelines_of(PROJECT, &sha)?.len() == 1);
        Ok(())
    })
}

#[test]
fn project_of_others_is_not_there() -> Result<()> {
    Setup::hosts(0).run(|fleet| {
        fleet.project(PROJECT)?;
        fleet.project("other/app")?;
        let url = fleet.admin()?.json(&["project", "show", PROJECT])?["git_url"].clone();
        let stranger = fleet.person_of("sam", "maintainer", "other")?;
        let clone = stranger.clone_of("other/app")?;
        clone.git(&["remote", "set-url", "fleet", url.as_str().unwrap_or("")])?;
        let refused = clone.try_git(&["ls-remote", "fleet"])?;
        ensure!(!refused.status.success());
        refused.expect_text("not found")?;
        stranger.run(&["project", "show", PROJECT])?.expect_exit(4)
    })
}

#[test]
fn push_options_skip_the_pipeline_and_set_its_variables() -> Result<()> {
    Setup::hosts(1).run(|fleet| {
        fleet.project(PROJECT)?;
        let ann = fleet.person("ann", "maintainer")?;
        let clone = ann.clone_of(PROJECT)?;
        clone.write(
            ".gitlab-ci.yml",
            "job: {script: 'echo $COLOR > $MARKS/color'}\n",
        )?;
        let skipped = clone.commit("one")?;
        clone.git(&["push", "-o", "ci.skip", "fleet", "HEAD:main"])?;
        let sha = clone.commit("two")?;
        clone.git(&["push", "-o", "ci.variable=COLOR=blue", "fleet", "HEAD:main"])?;
        let pipeline = ann.wait_pipeline(PROJECT, &sha)?;
        let ended = ann.wait_end(&pipeline, SOON)?;
        ensure!(ended.status == "success", "{ended:?}");
        ensure!(fleet.mark("color")? == ["blue"]);
        let runs: Vec<String> = ann
            .pipelines_of(PROJECT, &skipped)?
            .iter()
            .map(|id| Ok(ann.pipeline(PROJECT, &id.to_string())?.status))
            .collect::<Result<_>>()?;
        ensure!(runs.iter().all(|status| status == "skipped"), "{runs:?}");
        Ok(())
    })
}

/// Pushes the pipeline of two stages and returns its number.
fn push(person: &Person, variable: &str) -> Result<u64> {
    let yaml = format!("variables: {{{variable}}}\n{TWO_STAGES}");
    let sha = person.clone_of(PROJECT)?.push_pipeline(&yaml)?;
    Ok(person.wait_pipeline(PROJECT, &sha)?.id)
}

/// While the first job runs on the first host, only the second takes more.
fn change_hosts(fleet: &Fleet, admin: &Person) -> Result<()> {
    fleet.wait_file("building")?;
    admin.ok(&["agent", "drain", "h1"])?;
    admin.ok(&["agent", "resume", "h2"])?;
    fleet.make_file("go")
}
