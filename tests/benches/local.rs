//! How long local commands take and how much memory, as whole processes.
//!
//! `cargo build --release -p fleetctl && cargo bench -p fleet-tests` prints the
//! table of `docs/performance.md`.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use fleet_tests::{Command, Project};

/// Four jobs in three stages; each reads a file.
const FOUR_JOBS: &str = "stages: [build, test, end]
build: {stage: build, script: cat file.txt}
unit: {stage: test, script: cat file.txt}
style: {stage: test, script: cat file.txt}
end: {stage: end, script: cat file.txt}
";

const MANY: usize = 200;
const SLOTS: usize = 2;

fn main() -> Result<()> {
    println!("| what | median | fastest | slowest | runs | peak memory |");
    println!("|---|---|---|---|---|---|");

    let project = Project::with_pipeline(FOUR_JOBS)?;
    project.write("file.txt", "read by every job\n")?;
    let four = measure(20, || project.fleetctl(&["run"])?.time())?;
    row(
        "`fleetctl run`, 4 jobs in 3 stages",
        &four,
        &project.fleetctl(&["run"])?,
    )?;

    let project = Project::with_pipeline(&hundred_lines())?;
    let lint = measure(50, || project.fleetctl(&["lint"])?.time())?;
    row(
        "`fleetctl lint`, 100 lines",
        &lint,
        &project.fleetctl(&["lint"])?,
    )?;

    let project = Project::with_pipeline(&many_jobs())?;
    project.write("file.txt", "read by every job\n")?;
    let slots = SLOTS.to_string();
    let run = || project.fleetctl(&["run", "--jobs", &slots]);
    let many = measure(5, || run()?.time())?;
    row(
        &format!("`fleetctl run --jobs {SLOTS}`, {MANY} jobs"),
        &many,
        &run()?,
    )?;
    let shells = measure(5, || time_shells(&project))?;
    row(
        &format!("`sh -c` {MANY} times, {SLOTS} at once"),
        &shells,
        &project
            .program(Path::new("/bin/sh"))
            .args(["-c", "cat file.txt"]),
    )?;

    let overhead = median(&many).saturating_sub(median(&shells)) / u32::try_from(MANY)?;
    println!(
        "\noverhead of a job beyond its shell, {SLOTS} at once: {}",
        milliseconds(overhead)
    );
    Ok(())
}

/// As many runs as told after one that warms the caches, sorted.
fn measure(runs: usize, mut run: impl FnMut() -> Result<Duration>) -> Result<Vec<Duration>> {
    run()?;
    let mut times = (0..runs).map(|_| run()).collect::<Result<Vec<_>>>()?;
    times.sort();
    Ok(times)
}

fn median(sorted: &[Duration]) -> Duration {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

fn row(what: &str, sorted: &[Duration], command: &Command) -> Result<()> {
    let (first, last) = sorted.first().zip(sorted.last()).context("no runs")?;
    // A short run may be over before it is looked at: the most of many is meant.
    let looks = if median(sorted) < Duration::from_millis(50) {
        100
    } else {
        3
    };
    let memory = (0..looks)
        .map(|_| command.peak_memory())
        .collect::<Result<Vec<_>>>()?;
    let mebibytes = memory.into_iter().max().unwrap_or(0) as f64 / (1024.0 * 1024.0);
    println!(
        "| {what} | {} | {} | {} | {} | {mebibytes:.1} MiB |",
        milliseconds(median(sorted)),
        milliseconds(*first),
        milliseconds(*last),
        sorted.len(),
    );
    Ok(())
}

/// The same work with nothing around it: a shell a job, as many at once.
fn time_shells(project: &Project) -> Result<Duration> {
    let left: Mutex<VecDeque<usize>> = Mutex::new((0..MANY).collect());
    let worker = || -> Result<()> {
        let take = || left.lock().map_err(|_| anyhow!("another worker failed"));
        while take()?.pop_front().is_some() {
            project
                .program(Path::new("/bin/sh"))
                .args(["-c", "cat file.txt"])
                .time()?;
        }
        Ok(())
    };
    let started = Instant::now();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..SLOTS).map(|_| scope.spawn(worker)).collect();
        workers
            .into_iter()
            .try_for_each(|one| one.join().map_err(|_| anyhow!("a worker panicked"))?)
    })?;
    Ok(started.elapsed())
}

fn many_jobs() -> String {
    let mut yaml = String::new();
    for n in 0..MANY {
        let _ = writeln!(yaml, "job {n}: {{script: cat file.txt}}");
    }
    yaml
}

/// An ordinary file: variables, defaults, a template, ten jobs with rules.
fn hundred_lines() -> String {
    let mut yaml = String::from(
        "stages:
  - build
  - test
variables:
  COLOR: blue
default:
  retry: 1
.template:
  before_script:
    - echo before
",
    );
    for n in 0..10 {
        let _ = write!(
            yaml,
            "job-{n}:
  extends: .template
  stage: test
  script:
    - make job-{n}
    - echo \"$COLOR\"
  rules:
    - if: $CI_COMMIT_BRANCH == \"main\"
    - changes: [\"src/**/*\"]
",
        );
    }
    yaml
}
