//! Trigger jobs on a fleet: child pipelines, and pipelines of another project.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fleet_tests::fleet::{JobView, Person, PipelineView, Setup};

const APP: &str = "group/app";
const LIB: &str = "group/lib";
const SOON: Duration = Duration::from_secs(60);

/// The one pipeline that a trigger job's newest try has started.
fn downstream(person: &Person, job: &JobView) -> Result<PipelineView> {
    let started = job.all["downstream"].as_array().context("a list")?;
    let started = started.last().with_context(|| format!("{job:?}"))?;
    let project = started["project"].as_str().context("a project")?;
    person.pipeline(project, &started["pipeline"].to_string())
}

#[test]
fn child_of_artifacts_and_another_projects_pipeline_run_on_agents() -> Result<()> {
    Setup::hosts(2).run(|fleet| {
        fleet.project(APP)?;
        fleet.project(LIB)?;
        let ann = fleet.person("ann", "maintainer")?;
        let lib = ann.clone_of(LIB)?;
        lib.push_pipeline(
            "test:\n  script: 'echo \"$FROM $CI_PIPELINE_SOURCE $CI_PROJECT_PATH\" > $MARKS/lib'\n",
        )?;
        let app = ann.clone_of(APP)?;
        app.push_pipeline(
            "stages: [generate, start, after]
generate:
  stage: generate
  script: 'echo \"inner: {script: [touch \\$MARKS/inner]}\" > child.yml'
  artifacts: {paths: [child.yml]}
child:
  stage: start
  trigger: {include: [{artifact: child.yml, job: generate}], strategy: depend}
other:
  stage: start
  variables: {FROM: pipeline-$CI_PIPELINE_ID}
  trigger: {project: group/lib, strategy: mirror}
after:
  stage: after
  script: test -e $MARKS/inner -a -e $MARKS/lib
",
        )?;
        let first = ann.pipeline(APP, "last")?;
        ann.fleetctl(&["pipeline", "watch", &first.id.to_string()])
            .start()?
            .finish()?
            .expect_exit(0)?;
        let ended = ann.wait_end(&first, SOON)?;
        ensure!(ended.status == "success", "{ended:?}");

        let child = downstream(&ann, &ann.job(&ended, "child")?)?;
        ensure!(
            child.status == "success" && child.sha == ended.sha,
            "{child:?}"
        );
        let other = downstream(&ann, &ann.job(&ended, "other")?)?;
        ensure!(
            other.status == "success" && other.sha != ended.sha,
            "{other:?}"
        );
        let said = fleet.mark("lib")?.join(" ");
        ensure!(
            said == format!("pipeline-{} pipeline group/lib", ended.id),
            "{said}"
        );

        // People find their way in both directions.
        let shown = ann.ok(&["pipeline", "show", &child.id.to_string(), "-p", APP])?;
        ensure!(
            shown.contains(&format!("pipeline {} of group/app, by job", ended.id)),
            "{shown}"
        );
        let shown = ann.ok(&["pipeline", "show", &ended.id.to_string(), "-p", APP])?;
        ensure!(
            shown.contains(&format!("pipeline {} of group/lib by other", other.id)),
            "{shown}"
        );
        // The newest pipeline is the one that was pushed, not its child.
        ensure!(ann.pipeline(APP, "last")?.id == ended.id);
        Ok(())
    })
}

#[test]
fn jobs_get_files_and_artifacts_of_other_projects_that_their_user_may_see() -> Result<()> {
    Setup::hosts(2).run(|fleet| {
        fleet.project(APP)?;
        fleet.project(LIB)?;
        let ann = fleet.person("ann", "maintainer")?;
        let lib = ann.clone_of(LIB)?;
        lib.write(
            "ci/check.yml",
            "spec: {inputs: {name: }}\n---\n\"check-$[[ inputs.name ]]\":\n  script: 'true'\n",
        )?;
        lib.push_pipeline(
            "build:\n  script: [echo from-lib > lib.txt, echo VERSION=7 > facts.env]\n  \
             artifacts: {paths: [lib.txt], reports: {dotenv: facts.env}}\n",
        )?;
        let built = ann.pipeline(LIB, "last")?;
        ensure!(ann.wait_end(&built, SOON)?.status == "success");
        let config = "include: [{project: group/lib, file: ci/check.yml, inputs: {name: a}}]\n\
             use:\n  needs: [{project: group/lib, job: build, ref: main, artifacts: true}]\n  \
             script: 'echo \"$(cat lib.txt) $VERSION\" > $MARKS/used'\n\
             same:\n  needs: {pipeline: group/lib}\n";
        let app = ann.clone_of(APP)?;
        app.push_pipeline(config)?;
        let pushed = ann.pipeline(APP, "last")?;
        let ended = ann.wait_end(&pushed, SOON)?;
        ensure!(ended.status == "success", "{ended:?}");
        ensure!(ann.job(&ended, "same")?.status == "success");
        ensure!(ann.job(&ended, "check-a")?.status == "success");
        let shown = ann.ok(&["pipeline", "show", &ended.id.to_string(), "-p", APP])?;
        ensure!(shown.contains("ci/check.yml (group/lib at "), "{shown}");
        let used = fleet.mark("used")?.join(" ");
        ensure!(used == "from-lib 7", "{used}");

        // What is not there, or not theirs to see, is told alike.
        app.push_pipeline(
            ".job: {script: 'true'}
no-project: {extends: .job, needs: [{project: group/none, job: build, ref: main}]}
no-ref: {extends: .job, needs: [{project: group/lib, job: build, ref: other}]}
no-job: {extends: .job, needs: [{project: group/lib, job: other, ref: main}]}
no-pipeline: {extends: .job, needs: [{pipeline: '1', job: build}]}
optional: {extends: .job, needs: [{pipeline: '1', job: build, optional: true}]}
no-artifacts: {extends: .job, needs: [{project: group/lib, job: other, ref: main, artifacts: false}]}
",
        )?;
        let pushed = ann.pipeline(APP, "last")?;
        let ended = ann.wait_end(&pushed, SOON)?;
        for name in ["no-project", "no-ref", "no-job", "no-pipeline"] {
            let job = ann.job(&ended, name)?;
            ensure!(job.status == "failed", "{job:?}");
            let why = job.all["failure_reason"].as_str();
            ensure!(why == Some("missing_dependency_failure"), "{job:?}");
        }
        for name in ["optional", "no-artifacts"] {
            ensure!(ann.job(&ended, name)?.status == "success", "{name}");
        }
        Ok(())
    })
}

/// Pushes a trigger job to a coordinator that dies at `point`; when it is back, there
/// is one child.
fn trigger_and_die_at(point: &str) -> Result<()> {
    Setup::hosts(0).prepared(|fleet| {
        fleet.coordinator.start()?;
        fleet.project(APP)?;
        let ann = fleet.admin()?;
        let clone = ann.clone_of(APP)?;
        clone.write("child.yml", "inner: {script: 'true'}\n")?;
        fleet.coordinator.stop()?;
        fleet.coordinator.start_to_die_at(point)?;
        let trigger = "start: {trigger: {include: child.yml, strategy: depend}}\n";
        clone.write(".gitlab-ci.yml", trigger)?;
        clone.commit("a trigger")?;
        let _answered_or_not = clone.try_git(&["push", "fleet", "HEAD:main"])?;
        fleet.coordinator.wait_dead()?;
        fleet.coordinator.start()?;
        for _ in 0..2 {
            let child = fleet_tests::wait_for("the child pipeline", || {
                let parent = ann.pipeline(APP, "last")?;
                let start = ann.job(&parent, "start")?;
                let started = start.all["downstream"].as_array().map_or(0, Vec::len);
                ensure!(started <= 1, "{start:?}");
                Ok((started == 1).then_some(start))
            })?;
            ensure!(child.status == "running", "{child:?}");
            ensure!(downstream(&ann, &child)?.jobs.len() == 1);
            fleet.coordinator.kill()?;
            fleet.coordinator.start()?;
        }
        Ok(())
    })
}

#[test]
fn child_is_made_once_where_its_plan_was_lost() -> Result<()> {
    trigger_and_die_at("downstream.planned")
}

#[test]
fn child_is_made_once_where_it_was_durable_and_nobody_heard() -> Result<()> {
    trigger_and_die_at("downstream.created")
}
