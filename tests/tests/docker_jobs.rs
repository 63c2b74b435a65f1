//! Jobs in containers: what they see, what they leave, what is killed under them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fleet_tests::fleet::{Fleet, JobView, Person, PipelineView, Setup};
use fleet_tests::wait_for;
use rustix::process::{Pid, Signal};

const PROJECT: &str = "group/app";
const MINUTE: Duration = Duration::from_secs(60);

/// Says that it lives, and goes on until it is stopped.
const LIVES: &str = "lives:
  services: [{name: 'busybox:test', alias: side, command: [sleep, '600']}]
  script:
    - echo alive
    - sleep 600
";

fn setup() -> Setup {
    Setup::hosts(1)
        .docker()
        .agent("FLEET_DOCKER_PULL_POLICY", "if-not-present")
        .agent("FLEET_DOCKER_SHARED_IMAGES", "busybox:test")
        .agent("FLEET_WAIT_FOR_SERVICES_TIMEOUT", "0s")
}

fn start(fleet: &mut Fleet, jobs: &str) -> Result<(Person, PipelineView)> {
    fleet.project(PROJECT)?;
    let ann = fleet.person("ann", "maintainer")?;
    let pipeline = push(&ann, jobs)?;
    Ok((ann, pipeline))
}

/// Pushes a pipeline whose jobs run in busybox.
fn push(person: &Person, jobs: &str) -> Result<PipelineView> {
    let yaml = format!("default: {{image: 'busybox:test'}}\n{jobs}");
    let sha = person.clone_of(PROJECT)?.push_pipeline(&yaml)?;
    person.wait_pipeline(PROJECT, &sha)
}

fn living(fleet: &mut Fleet) -> Result<(Person, PipelineView, JobView)> {
    let (ann, pipeline) = start(fleet, LIVES)?;
    let job = ann.job(&pipeline, "lives")?;
    wait_for("the job's first words", || {
        Ok(ann.log(&job)?.contains("\nalive").then_some(()))
    })?;
    Ok((ann, pipeline, job))
}

#[test]
fn stages_share_files_and_nothing_is_left() -> Result<()> {
    setup().run(|fleet| {
        let (ann, pipeline) = start(
            fleet,
            "build:
  stage: build
  script: [id -u, 'echo made > out', 'echo $CI_DISPOSABLE_ENVIRONMENT > flag']
  after_script: [cat out]
  artifacts: {paths: [out, flag]}
test:
  stage: test
  script: [grep made out, grep true flag, 'test ! -e /var/run/docker.sock']
",
        )?;
        let ended = ann.wait_end(&pipeline, MINUTE)?;
        let log = ann.log(&ann.job(&ended, "build")?)?;
        ensure!(ended.status == "success", "{log}");
        for shown in [
            "Preparing the \"docker\" executor",
            "Using Docker executor with image busybox:test ...",
            "Running on runner-h1-project-",
            "\n0\n",
            "\nmade\n",
        ] {
            ensure!(log.contains(shown), "no {shown:?} in\n{log}");
        }
        fleet.hosts[0].docker()?.wait_clean()
    })
}

#[test]
fn a_job_whose_supervisor_was_killed_leaves_no_containers() -> Result<()> {
    setup().run(|fleet| {
        let (ann, pipeline, _) = living(fleet)?;
        kill_supervisor(fleet)?;
        let ended = ann.wait_end(&pipeline, MINUTE)?;
        ensure!(ended.status == "failed", "{ended:?}");
        fleet.hosts[0].docker()?.wait_clean()
    })
}

#[test]
fn what_jobs_left_is_swept_when_the_agent_starts() -> Result<()> {
    setup().run(|fleet| {
        living(fleet)?;
        // As after a crash of the host, where nothing of the leases counts.
        fleet.hosts[0].kill()?;
        kill_supervisor(fleet)?;
        let leases = fleet.hosts[0].state().join("leases");
        std::fs::remove_dir_all(&leases).context("remove the leases")?;
        let engine = fleet.hosts[0].docker()?;
        engine.ok(&[
            "run",
            "-d",
            "--name",
            "others",
            "busybox:test",
            "sleep",
            "600",
        ])?;
        ensure!(
            engine.containers()?.len() == 3,
            "{:?}",
            engine.containers()?
        );
        fleet.hosts[0].start()?;
        let engine = fleet.hosts[0].docker()?;
        wait_for("only the others' container to be left", || {
            let left = [engine.containers()?, engine.networks()?].concat();
            Ok((left == ["others"]).then_some(()))
        })
    })
}

#[test]
fn a_job_goes_on_while_its_agent_is_away() -> Result<()> {
    setup().run(|fleet| {
        let (ann, pipeline) = start(
            fleet,
            "counts:\n  script: ['for n in $(seq 1 200); do echo line $n; sleep 0.05; done']\n",
        )?;
        let job = ann.job(&pipeline, "counts")?;
        wait_for("the job's first words", || {
            Ok(ann.log(&job)?.contains("\nline 1\n").then_some(()))
        })?;
        fleet.hosts[0].kill()?;
        fleet.hosts[0].start()?;
        let ended = ann.wait_end(&pipeline, MINUTE)?;
        ensure!(ended.status == "success", "{ended:?}");
        let log = ann.log(&job)?;
        let lines: Vec<_> = log.lines().filter(|l| l.starts_with("line ")).collect();
        ensure!(lines.len() == 200, "{} lines", lines.len());
        fleet.hosts[0].docker()?.wait_clean()
    })
}

#[test]
fn an_engine_that_goes_away_fails_its_jobs_with_words() -> Result<()> {
    setup().run(|fleet| {
        let (ann, pipeline, job) = living(fleet)?;
        let engine = fleet.hosts[0].engine.as_mut().context("an engine")?;
        engine.kill()?;
        engine.start()?;
        let ended = ann.wait_end(&pipeline, MINUTE)?;
        ensure!(ended.status == "failed", "{ended:?}");
        let log = ann.log(&job)?;
        ensure!(log.contains("engine"), "{log}");
        fleet.hosts[0].docker()?.wait_clean()
    })
}

#[test]
fn a_canceled_job_runs_its_after_script_and_leaves_nothing() -> Result<()> {
    setup().run(|fleet| {
        let jobs = format!("{LIVES}  after_script: ['echo st=$CI_JOB_STATUS']\n");
        let (ann, pipeline) = start(fleet, &jobs)?;
        let job = ann.job(&pipeline, "lives")?;
        wait_for("the job's first words", || {
            Ok(ann.log(&job)?.contains("\nalive").then_some(()))
        })?;
        ann.ok(&["job", "cancel", &job.id.to_string()])?;
        let ended = ann.wait_end(&pipeline, MINUTE)?;
        ensure!(ended.status == "canceled", "{ended:?}");
        let log = ann.log(&job)?;
        ensure!(log.contains("\nst=canceled\n"), "{log}");
        fleet.hosts[0].docker()?.wait_clean()
    })
}

fn kill_supervisor(fleet: &Fleet) -> Result<()> {
    let all = fleet.hosts[0].processes()?;
    let supervisor = all.iter().find(|one| one.name.starts_with("fleet-job-"));
    let supervisor = supervisor.context("a supervisor")?.pid;
    let supervisor = Pid::from_raw(supervisor).context("a process has a number")?;
    rustix::process::kill_process(supervisor, Signal::KILL).context("kill the supervisor")
}

#[test]
fn a_slot_keeps_its_network_while_its_agent_runs() -> Result<()> {
    setup().run(|fleet| {
        const SERVED: &str = "serves:
  services: [{name: 'busybox:test', alias: side, command: [nc, -ll, -p, '80', -e, echo, hello]}]
  script: 'until nc side 80 < /dev/null | grep hello; do sleep 0.1; done'
";
        let kept = |fleet: &Fleet| -> Result<Vec<String>> {
            let engine = fleet.hosts[0].docker()?;
            engine.wait_clean()?;
            engine.slot_networks()
        };
        let (ann, pipeline) = start(fleet, SERVED)?;
        expect_success(&ann, &pipeline)?;
        let first = kept(fleet)?;
        ensure!(first.len() == 1, "{first:?}");
        expect_success(&ann, &push(&ann, &format!("{SERVED}# again\n"))?)?;
        ensure!(kept(fleet)? == first);

        // What somebody else has put there is not for jobs to see.
        let engine = fleet.hosts[0].docker()?;
        let others = ["run", "-d", "--name", "others", "--network", &first[0]];
        engine.ok(&[&others[..], &["busybox:test", "sleep", "600"]].concat())?;
        let looks = "looks:\n  script: ['nslookup build', '! nslookup others']\n";
        expect_success(&ann, &push(&ann, looks)?)?;
        wait_for("only the others' container to be left", || {
            let left = [engine.containers()?, engine.networks()?].concat();
            Ok((left == ["others"]).then_some(()))
        })?;
        engine.ok(&["rm", "--force", "others"])?;

        fleet.hosts[0].signal(Signal::TERM)?;
        fleet.hosts[0].wait_end()?;
        let left = kept(fleet)?;
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
}

#[test]
fn a_result_does_not_wait_for_removal_and_a_slot_does() -> Result<()> {
    setup().slots(1).run(|fleet| {
        let (ann, pipeline, _) = living(fleet)?;
        let next = push(&ann, "next: {script: echo it runs}\n")?;
        // There is nothing now that could remove what the job has.
        fleet.hosts[0]
            .engine
            .as_mut()
            .context("an engine")?
            .kill()?;
        let ended = ann.wait_end(&pipeline, MINUTE)?;
        ensure!(ended.status == "failed", "{ended:?}");
        let waiting = ann.job(&next, "next")?;
        ensure!(waiting.status == "pending", "{waiting:?}");

        // Nor does it hang on those who were to do it.
        fleet.hosts[0].kill()?;
        kill_supervisor(fleet)?;
        let engine = fleet.hosts[0].engine.as_mut().context("an engine")?;
        engine.start()?;
        ensure!(
            engine.containers()?.len() == 2,
            "{:?}",
            engine.containers()?
        );
        fleet.hosts[0].start()?;
        expect_success(&ann, &next)?;
        fleet.hosts[0].docker()?.wait_clean()
    })
}

fn expect_success(person: &Person, pipeline: &PipelineView) -> Result<()> {
    let ended = person.wait_end(pipeline, MINUTE)?;
    for job in &ended.jobs {
        ensure!(job.status == "success", "{}", person.log(job)?);
    }
    Ok(())
}
