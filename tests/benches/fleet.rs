//! How long a fleet takes from a job that is ready to its first line, and how much
//! memory its parts need while nothing happens.
//!
//! `cargo build --release --bins && cargo bench -p fleet-tests --bench fleet`
//! prints the tables of `docs/performance.md`. Coordinator and agent are the real
//! programs in network namespaces: mTLS, a store that syncs to the disk, a
//! checkout of the pushed commit for every job. Needs root.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use fleet_tests::fleet::{Fleet, JobView, Person, PipelineView, Setup};
use fleet_tests::{Process, wait_within};

const PROJECT: &str = "bench/app";

/// Jobs that are measured: chains of this many, each ready when the one before it
/// has ended.
const CHAINS: usize = 10;
const LINKS: usize = 100;

fn main() -> Result<()> {
    // The agent's log has the moment of each lease, to the microsecond.
    let setup = Setup::hosts(1).agent("FLEET_LOG", "info,fleet_agent::link=debug");
    setup.run(|fleet| {
        fleet.project(PROJECT)?;
        let ann = fleet.person("ann", "maintainer")?;
        memory(fleet, &ann)?;
        println!("\n| what | p50 | p99 | slowest | measured |");
        println!("|---|---|---|---|---|");
        jobs(fleet, &ann)?;
        log(fleet, &ann)
    })
}

fn memory(fleet: &mut Fleet, person: &Person) -> Result<()> {
    println!("| idle | memory |");
    println!("|---|---|");
    row("`fleet-coordinator`", fleet.coordinator.memory()?);
    row("`fleet-agent`", fleet.hosts[0].memory()?);
    let yaml = "job: {script: 'until [ -e $MARKS/enough ]; do sleep 0.1; done'}\n";
    let pipeline = push(person, yaml)?;
    person.wait_job(&pipeline, "job", &["running"])?;
    let is_supervisor = |process: &Process| process.name.starts_with("fleet-job-");
    let supervisor = fleet.hosts[0].processes()?;
    let supervisor = supervisor.iter().find(|one| is_supervisor(one));
    let supervisor = supervisor.context("a supervisor of the job")?.pid;
    let memory = Process::memory(supervisor).context("the supervisor has ended")?;
    row("`fleet-agent supervise`, a job", memory);
    fleet.make_file("enough")?;
    end(person, &pipeline)
}

fn row(what: &str, bytes: u64) {
    println!("| {what} | {:.1} MiB |", bytes as f64 / f64::from(1 << 20));
}

/// From the end of a job, by the coordinator's record, until the agent has said
/// that it has the job that waited for it, and to the first line of that.
fn jobs(fleet: &mut Fleet, person: &Person) -> Result<()> {
    let mut yaml = String::new();
    for link in 0..LINKS {
        let needs = match link {
            0 => String::new(),
            _ => format!(", needs: [job {}]", link - 1),
        };
        // The clock of the machine, which all parts share.
        let script = "echo \"$CI_JOB_ID $(date +%s%N)\" >> $MARKS/first";
        let _ = writeln!(yaml, "job {link}: {{script: '{script}'{needs}}}");
    }
    let (mut leased, mut started, mut first) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..CHAINS {
        let pipeline = push(person, &yaml)?;
        end(person, &pipeline)?;
        let leases = leases(&fleet.hosts[0].log())?;
        let mut before: Option<JobView> = None;
        for link in 0..LINKS {
            let job = person.job(&pipeline, &format!("job {link}"))?;
            if let Some(before) = before {
                let ready = before.time("finished_at")?;
                let lease = leases.get(&job.id).context("a lease in the log")?;
                leased.push(lease.saturating_sub(ready));
                started.push(job.time("started_at")?.saturating_sub(ready));
                first.push(first_line(fleet, &job)?.saturating_sub(ready));
            }
            before = Some(job);
        }
    }
    line("ready → the lease is in the agent's hands", leased)?;
    line("ready → the agent says that it has begun", started)?;
    line("ready → first line of the script", first)
}

/// When the agent got the lease of each job, by its log.
fn leases(log: &Path) -> Result<HashMap<u64, Duration>> {
    let text = std::fs::read_to_string(log).context("read the agent's log")?;
    let lines = text.lines().filter(|line| line.contains("a lease is here"));
    lines
        .map(|line| {
            let time = line.split_whitespace().next().context("a time")?;
            let time: jiff::Timestamp = time.parse().context("a time")?;
            let nanoseconds = u64::try_from(time.as_nanosecond()).context("after 1970")?;
            let job = line.split("job=").nth(1).context("a job")?;
            let job = job.split_whitespace().next().unwrap_or_default();
            Ok((job.parse()?, Duration::from_nanos(nanoseconds)))
        })
        .collect()
}

/// From a line that a job prints to the moment `fleetctl job log -f` shows it.
fn log(fleet: &mut Fleet, person: &Person) -> Result<()> {
    let yaml = "job:
  script:
    - until [ -e $MARKS/follow ]; do sleep 0.05; done
    - n=0; while [ $n -lt 200 ]; do echo \"at $(date +%s%N)\"; n=$((n + 1)); sleep 0.05; done
";
    let pipeline = push(person, yaml)?;
    let job = person.wait_job(&pipeline, "job", &["running"])?;
    let id = job.id.to_string();
    let running = person
        .fleetctl(&["job", "log", &id, "--raw", "-f"])
        .start()?;
    fleet.make_file("follow")?;
    let mut delays = Vec::new();
    wait_within(
        Duration::from_secs(120),
        Duration::from_micros(500),
        "the lines",
        || {
            let seen = now()?;
            let text = running.stdout()?;
            let lines: Vec<&str> = text
                .split_inclusive('\n')
                .filter(|line| line.ends_with('\n'))
                .filter_map(|line| line.trim_end().strip_prefix("at "))
                .collect();
            for line in &lines[delays.len()..] {
                let printed = Duration::from_nanos(line.parse().context("a time")?);
                delays.push(seen.saturating_sub(printed));
            }
            Ok((delays.len() == 200).then_some(()))
        },
    )?;
    running.finish()?.expect_exit(0)?;
    line("a line of a job → `fleetctl job log -f`", delays)
}

fn push(person: &Person, yaml: &str) -> Result<PipelineView> {
    let sha = person.clone_of(PROJECT)?.push_pipeline(yaml)?;
    person.wait_pipeline(PROJECT, &sha)
}

fn end(person: &Person, pipeline: &PipelineView) -> Result<()> {
    let ended = person.wait_end(pipeline, Duration::from_secs(600))?;
    ensure!(ended.status == "success", "{ended:?}");
    Ok(())
}

fn first_line(fleet: &Fleet, job: &JobView) -> Result<Duration> {
    let id = job.id.to_string();
    let marks = fleet.mark("first")?;
    let time = marks
        .iter()
        .find_map(|line| line.strip_prefix(&id)?.strip_prefix(' '))
        .with_context(|| format!("no first line of {id}"))?;
    Ok(Duration::from_nanos(time.parse().context("a time")?))
}

fn now() -> Result<Duration> {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("a clock after 1970")
}

fn line(what: &str, mut times: Vec<Duration>) -> Result<()> {
    times.sort();
    let at = |percent: usize| times.get((times.len() * percent / 100).min(times.len() - 1));
    let (half, most, last) = at(50)
        .zip(at(99))
        .zip(times.last())
        .map(|((half, most), last)| (half, most, last))
        .context("nothing was measured")?;
    let ms = |time: &Duration| format!("{:.1} ms", time.as_secs_f64() * 1000.0);
    println!(
        "| {what} | {} | {} | {} | {} |",
        ms(half),
        ms(most),
        ms(last),
        times.len()
    );
    Ok(())
}
