//! What is killed or cut off while a job runs, and what becomes of the job.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fleet_tests::fleet::{Fleet, JobView, Person, PipelineView, Setup};
use fleet_tests::{wait_for, wait_within};
use rustix::process::{Pid, Signal};

const PROJECT: &str = "group/app";
const LOOK: Duration = Duration::from_millis(50);

/// Prints a numbered line every 10 ms until it is enough; then how many.
const COUNT: &str = "count:
  script:
    - readlink /proc/self/ns/net >> $MARKS/started
    - |
      n=0
      until [ -e $MARKS/enough ]; do
        echo \"line $n\"
        n=$((n + 1))
        sleep 0.01
      done
      echo $n > $MARKS/printed
";

/// Says every 50 ms that it lives, and where; the first attempt does not end.
const LIVES: &str = "lives:
  retry: {max: 1, when: runner_system_failure}
  script:
    - |
      me=$(readlink /proc/self/ns/net)
      n=0
      while [ ! -e $MARKS/enough ] || [ \"$me\" = \"$(head -n 1 $MARKS/lives | cut -d' ' -f1)\" ]; do
        echo \"$me $(date +%s%N)\" >> $MARKS/lives
        n=$((n + 1))
        sleep 0.05
      done
";

#[test]
fn job_goes_on_while_the_coordinator_is_killed() -> Result<()> {
    coordinator_away(Duration::from_secs(5))
}

#[test]
#[ignore = "takes minutes: tests/run --long"]
fn job_goes_on_while_the_coordinator_is_away_for_three_minutes() -> Result<()> {
    coordinator_away(Duration::from_secs(180))
}

#[test]
fn job_goes_on_while_its_host_is_cut_off() -> Result<()> {
    host_cut_off(Duration::from_secs(20))
}

#[test]
#[ignore = "takes minutes: tests/run --long"]
fn job_goes_on_while_its_host_is_cut_off_for_two_minutes() -> Result<()> {
    host_cut_off(Duration::from_secs(120))
}

fn coordinator_away(time: Duration) -> Result<()> {
    Setup::hosts(1).run(|fleet| {
        let (ann, pipeline) = start_counting(fleet)?;
        let follow = follow(&ann, &pipeline)?;
        fleet.coordinator.kill()?;
        // The length of the absence is what is tested.
        std::thread::sleep(time);
        fleet.coordinator.start()?;
        expect_followed(fleet, follow)?;
        expect_whole(fleet, &ann, &pipeline)
    })
}

fn host_cut_off(time: Duration) -> Result<()> {
    Setup::hosts(1).run(|fleet| {
        let (ann, pipeline) = start_counting(fleet)?;
        let follow = follow(&ann, &pipeline)?;
        fleet.hosts[0].cut()?;
        // The length of the absence is what is tested.
        std::thread::sleep(time);
        fleet.hosts[0].reconnect()?;
        expect_followed(fleet, follow)?;
        expect_whole(fleet, &ann, &pipeline)
    })
}

#[test]
fn job_goes_on_while_its_agent_is_killed_and_started_again() -> Result<()> {
    Setup::hosts(1).run(|fleet| {
        let (ann, pipeline) = start_counting(fleet)?;
        for _ in 0..3 {
            let printed = log_lines(&ann, &pipeline)?;
            fleet.hosts[0].kill()?;
            fleet.hosts[0].start()?;
            wait_for("more of the log", || {
                Ok((log_lines(&ann, &pipeline)? > printed + 10).then_some(()))
            })?;
        }
        expect_whole(fleet, &ann, &pipeline)
    })
}

#[test]
fn job_ends_while_agent_and_coordinator_are_away() -> Result<()> {
    Setup::hosts(1).run(|fleet| {
        let (ann, pipeline) = start_counting(fleet)?;
        fleet.coordinator.kill()?;
        fleet.hosts[0].kill()?;
        fleet.make_file("enough")?;
        fleet.wait_mark("printed", 1)?;
        fleet.hosts[0].start()?;
        fleet.coordinator.start()?;
        expect_whole(fleet, &ann, &pipeline)
    })
}

#[test]
fn agent_that_never_comes_back_leaves_no_process_and_the_job_is_tried_elsewhere() -> Result<()> {
    Setup::hosts(2)
        .slots(1)
        .coordinator(&SHORT_DEADLINE)
        .run(|fleet| {
            let (ann, pipeline) = start(fleet, LIVES)?;
            fleet.wait_mark("lives", 3)?;
            let first = host_of(fleet, &first_words(fleet)?[0])?;
            fleet.hosts[first].kill()?;
            fleet.make_file("enough")?;

            wait_for("the supervisor to end the job", || {
                Ok(fleet.hosts[first].processes()?.is_empty().then_some(()))
            })?;
            let ended = ann.wait_end(&pipeline, Duration::from_secs(120))?;
            ensure!(ended.status == "success", "{ended:?}");
            let job = ann.job(&ended, "lives")?;
            ensure!(job.of_attempts("number")? == ["1", "2"], "{job:?}");
            ensure!(job.of_attempts("status")? == ["failed", "success"]);
            let reasons = job.of_attempts("failure_reason")?;
            ensure!(reasons[0] == "runner_system_failure", "{job:?}");
            expect_apart(fleet)
        })
}

#[test]
fn agent_that_never_comes_back_fails_a_job_that_may_not_be_tried_again() -> Result<()> {
    Setup::hosts(1).coordinator(&SHORT_DEADLINE).run(|fleet| {
        let (ann, pipeline) = start_counting(fleet)?;
        fleet.hosts[0].kill()?;
        let ended = ann.wait_end(&pipeline, Duration::from_secs(120))?;
        ensure!(fleet.hosts[0].processes()?.is_empty());
        let job = ann.job(&ended, "count")?;
        expect_lost(&job)
    })
}

#[test]
fn job_on_a_host_cut_off_for_long_is_ended_there_before_it_is_tried_elsewhere() -> Result<()> {
    Setup::hosts(2)
        .slots(1)
        .coordinator(&SHORT_DEADLINE)
        .run(|fleet| {
            let (ann, pipeline) = start(fleet, LIVES)?;
            fleet.wait_mark("lives", 3)?;
            let first = host_of(fleet, &first_words(fleet)?[0])?;
            fleet.hosts[first].cut()?;
            fleet.make_file("enough")?;
            let ended = ann.wait_end(&pipeline, Duration::from_secs(120))?;
            ensure!(ended.status == "success", "{ended:?}");
            expect_apart(fleet)?;
            // The host comes back to a job that is over.
            fleet.hosts[first].reconnect()?;
            fleet.wait_agent(&ann, &fleet.hosts[first].name, "online")?;
            let job = ann.job(&ended, "lives")?;
            ensure!(job.of_attempts("status")? == ["failed", "success"]);
            Ok(())
        })
}

#[test]
fn loss_of_a_job_to_a_reboot_is_told_at_once() -> Result<()> {
    Setup::hosts(1).run(|fleet| {
        let (ann, pipeline) = start_counting(fleet)?;
        fleet.hosts[0].power_off()?;
        let back = Instant::now();
        fleet.hosts[0].power_on()?;
        let ended = ann.wait_end(&pipeline, Duration::from_secs(60))?;
        expect_lost(&ann.job(&ended, "count")?)?;
        // Far below the orphan deadline of ten minutes.
        ensure!(back.elapsed() < Duration::from_secs(60));
        Ok(())
    })
}

#[test]
fn loss_of_a_supervisor_ends_its_job_and_is_told_at_once() -> Result<()> {
    Setup::hosts(1).run(|fleet| {
        let (ann, pipeline) = start_counting(fleet)?;
        let agent = fleet.hosts[0].pid()?;
        let all = fleet.hosts[0].processes()?;
        let supervisor = all.iter().find(|one| one.name.starts_with("fleet-job-"));
        let supervisor = supervisor.context("a supervisor")?.pid;
        let supervisor = Pid::from_raw(supervisor).context("a process has a number")?;
        rustix::process::kill_process(supervisor, Signal::KILL)?;

        let ended = ann.wait_end(&pipeline, Duration::from_secs(60))?;
        expect_lost(&ann.job(&ended, "count")?)?;
        wait_for("the job's processes to end", || {
            let left = fleet.hosts[0].processes()?;
            Ok(left.iter().all(|one| one.pid == agent).then_some(()))
        })
    })
}

#[test]
fn host_that_is_dead_for_certain_gives_its_job_up_at_once() -> Result<()> {
    // Only what is seen to be lost can be dead; the deadline itself is far away.
    let soon_lost = &SHORT_DEADLINE[..4];
    Setup::hosts(1).coordinator(soon_lost).run(|fleet| {
        let (ann, pipeline) = start_counting(fleet)?;
        fleet.hosts[0].power_off()?;
        let admin = fleet.admin()?;
        fleet.wait_agent(&admin, "h1", "lost")?;
        admin.ok(&["agent", "confirm-dead", "h1", "--yes"])?;
        let ended = ann.wait_end(&pipeline, Duration::from_secs(60))?;
        expect_lost(&ann.job(&ended, "count")?)
    })
}

#[test]
fn agent_told_to_stop_finishes_its_job_first() -> Result<()> {
    Setup::hosts(1).run(|fleet| {
        let (ann, pipeline) = start_counting(fleet)?;
        fleet.hosts[0].signal(Signal::TERM)?;
        let admin = fleet.admin()?;
        wait_within(Duration::from_secs(60), LOOK, "the agent to drain", || {
            let agent = admin.json(&["agent", "show", "h1"])?;
            Ok((agent["draining"] == true).then_some(()))
        })?;
        expect_whole(fleet, &ann, &pipeline)?;
        ensure!(fleet.hosts[0].wait_end()? == Some(0));
        ensure!(fleet.hosts[0].processes()?.is_empty());
        Ok(())
    })
}

/// The shortest times that make sense.
const SHORT_DEADLINE: [&str; 8] = [
    "--heartbeat-interval",
    "500ms",
    "--heartbeat-ttl",
    "2s",
    "--orphan-deadline",
    "5s",
    "--orphan-margin",
    "2s",
];

/// The job failed for a reason that is not its own, in words.
fn expect_lost(job: &JobView) -> Result<()> {
    let reason = &job.all["failure_reason"];
    ensure!(
        job.status == "failed" && reason == "runner_system_failure",
        "{job:?}"
    );
    let message = job.all["message"].as_str().context("a message")?;
    ensure!(!message.is_empty(), "{job:?}");
    Ok(())
}

fn start(fleet: &mut Fleet, yaml: &str) -> Result<(Person, PipelineView)> {
    fleet.project(PROJECT)?;
    let ann = fleet.person("ann", "maintainer")?;
    let sha = ann.clone_of(PROJECT)?.push_pipeline(yaml)?;
    let pipeline = ann.wait_pipeline(PROJECT, &sha)?;
    Ok((ann, pipeline))
}

/// Starts the job that counts, and waits until some of its log is there.
fn start_counting(fleet: &mut Fleet) -> Result<(Person, PipelineView)> {
    let (ann, pipeline) = start(fleet, COUNT)?;
    fleet.wait_mark("started", 1)?;
    wait_for("the beginning of the log", || {
        Ok((log_lines(&ann, &pipeline)? > 10).then_some(()))
    })?;
    Ok((ann, pipeline))
}

fn follow(person: &Person, pipeline: &PipelineView) -> Result<fleet_tests::Running> {
    let job = person.job(pipeline, "count")?.id.to_string();
    let follow = person
        .fleetctl(&["job", "log", &job, "--raw", "-f"])
        .start()?;
    wait_for("the log to be followed", || {
        Ok(follow.stdout()?.contains("line 9").then_some(()))
    })?;
    Ok(follow)
}

/// Lets the job end; who followed its log has seen all of it, once.
fn expect_followed(fleet: &Fleet, follow: fleet_tests::Running) -> Result<()> {
    fleet.make_file("enough")?;
    let finished = follow.finish()?;
    finished.expect_exit(0)?;
    expect_lines(fleet, &finished.stdout)
}

fn log_lines(person: &Person, pipeline: &PipelineView) -> Result<usize> {
    let job = person.job(pipeline, "count")?;
    Ok(person.log(&job)?.lines().count())
}

/// Lets the job end: green, run once, every line once.
fn expect_whole(fleet: &mut Fleet, person: &Person, pipeline: &PipelineView) -> Result<()> {
    fleet.make_file("enough")?;
    let ended = person.wait_end(pipeline, Duration::from_secs(120))?;
    ensure!(ended.status == "success", "{ended:?}");
    let job = person.job(&ended, "count")?;
    ensure!(job.of_attempts("number")? == ["1"], "{job:?}");
    ensure!(fleet.mark("started")?.len() == 1);
    expect_log(fleet, person, &job)
}

fn expect_log(fleet: &Fleet, person: &Person, job: &JobView) -> Result<()> {
    expect_lines(fleet, &person.log(job)?)
}

fn expect_lines(fleet: &Fleet, log: &str) -> Result<()> {
    let printed: usize = fleet.wait_mark("printed", 1)?[0].parse()?;
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| line.starts_with("line "))
        .collect();
    for (number, line) in lines.iter().enumerate() {
        ensure!(
            *line == format!("line {number}"),
            "line {number} of the log is `{line}`"
        );
    }
    ensure!(lines.len() == printed, "{} lines of {printed}", lines.len());
    Ok(())
}

/// The host and the time of the first sign of life.
fn first_words(fleet: &Fleet) -> Result<Vec<String>> {
    let marks = fleet.mark("lives")?;
    let first = marks.first().context("a sign of life")?;
    Ok(first.split(' ').map(str::to_owned).collect())
}

fn host_of(fleet: &Fleet, mark: &str) -> Result<usize> {
    for (index, host) in fleet.hosts.iter().enumerate() {
        if host.mark()? == mark {
            return Ok(index);
        }
    }
    anyhow::bail!("no host is {mark}")
}

/// By the jobs' own signs of life, the attempt on one host was over before the
/// one on the other began.
fn expect_apart(fleet: &Fleet) -> Result<()> {
    let mut spans: BTreeMap<String, (u128, u128)> = BTreeMap::new();
    for line in fleet.mark("lives")? {
        let (host, time) = line.split_once(' ').context("a host and a time")?;
        let time = time.parse()?;
        let span = spans.entry(host.to_owned()).or_insert((time, time));
        *span = (span.0.min(time), span.1.max(time));
    }
    let mut spans: Vec<_> = spans.into_values().collect();
    spans.sort_unstable();
    ensure!(spans.len() <= 2, "{spans:?}");
    for pair in spans.windows(2) {
        ensure!(pair[0].1 < pair[1].0, "attempts overlap: {spans:?}");
    }
    Ok(())
}
