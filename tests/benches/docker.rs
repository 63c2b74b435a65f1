//! What a pipeline of jobs in containers costs beyond its containers.
//!
//! `cargo build --release --bins && cargo bench -p fleet-tests --bench docker`
//! prints the table of `docs/performance.md`: four small jobs in three stages on
//! one host of a fleet and by `fleetctl run`, beside three bare `docker run --rm` on the same engine, one
//! after another - as many as the pipeline has stages. Needs root.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fleet_tests::Project;
use fleet_tests::docker::{BUSYBOX, Engine};
use fleet_tests::fleet::{Person, Setup};

const PROJECT: &str = "bench/app";
const STAGES: usize = 3;
/// Runs that are measured, after one that warms the engine.
const RUNS: usize = 15;

const FOUR_JOBS: &str = "default: {image: 'busybox:test'}
stages: [build, test, end]
build: {stage: build, script: cat file.txt}
unit: {stage: test, script: cat file.txt}
style: {stage: test, script: cat file.txt}
end: {stage: end, script: cat file.txt}
";

fn main() -> Result<()> {
    Setup::hosts(1).slots(2).docker().run(|fleet| {
        fleet.project(PROJECT)?;
        let ann = fleet.person("ann", "maintainer")?;
        let engine = fleet.hosts[0].docker()?;
        let project = Project::with_pipeline(FOUR_JOBS)?;
        project.write("file.txt", "read by every job\n")?;
        let (mut bare, mut whole, mut local) = (Vec::new(), Vec::new(), Vec::new());
        bare_runs(engine)?;
        pipeline(&ann, 0)?;
        local_run(&project, engine)?;
        // In turn, so that whatever else the machine does hits both alike.
        for run in 1..=RUNS {
            bare.push(bare_runs(engine)?);
            whole.push(pipeline(&ann, run)?);
            local.push(local_run(&project, engine)?);
        }
        engine.wait_clean()?;
        println!("| what | median | fastest | slowest | runs |");
        println!("|---|---|---|---|---|");
        let bare = row("3 × `docker run --rm`, one after another", bare);
        let whole = row("4 jobs with an image in 3 stages, through the fleet", whole);
        let local = row("the same, `fleetctl run`", local);
        let times = |what: Duration| what.as_secs_f64() / bare.as_secs_f64();
        println!(
            "\nas long as its containers: {:.2} times through the fleet, {:.2} times by \
             `fleetctl run`",
            times(whole),
            times(local)
        );
        Ok(())
    })
}

fn bare_runs(engine: &Engine) -> Result<Duration> {
    let started = Instant::now();
    for _ in 0..STAGES {
        engine.ok(&["run", "--rm", BUSYBOX.name, "sh", "-c", "echo hello"])?;
    }
    Ok(started.elapsed())
}

fn local_run(project: &Project, engine: &Engine) -> Result<Duration> {
    let run = project.fleetctl(&["run", "--jobs", "2"])?;
    run.env("DOCKER_HOST", engine.host()).time()
}

/// From the push being taken to the end of the last job, by the coordinator's
/// record.
fn pipeline(person: &Person, run: usize) -> Result<Duration> {
    let clone = person.clone_of(PROJECT)?;
    clone.write("file.txt", format!("run {run}\n"))?;
    let sha = clone.push_pipeline(FOUR_JOBS)?;
    let pipeline = person.wait_pipeline(PROJECT, &sha)?;
    let ended = person.wait_end(&pipeline, Duration::from_secs(120))?;
    ensure!(ended.status == "success", "{ended:?}");
    let created = person.job(&ended, "build")?.time("created_at")?;
    let finished = person.job(&ended, "end")?.time("finished_at")?;
    finished
        .checked_sub(created)
        .context("an end after the start")
}

fn row(what: &str, mut times: Vec<Duration>) -> Duration {
    times.sort();
    let ms = |time: Duration| format!("{:.0} ms", time.as_secs_f64() * 1000.0);
    let middle = times[times.len() / 2];
    println!(
        "| {what} | {} | {} | {} | {} |",
        ms(middle),
        ms(times[0]),
        ms(times[times.len() - 1]),
        times.len()
    );
    middle
}
