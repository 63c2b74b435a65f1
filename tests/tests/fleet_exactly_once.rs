//! Many jobs, and everything killed once: each job runs exactly once.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fleet_tests::fleet::{Fleet, Setup};
use fleet_tests::wait_for;

const PROJECT: &str = "group/app";

/// 300 jobs that each append their number to a file of their host.
const YAML: &str = ".job:
  variables: {GIT_DEPTH: 1}
  script:
    - host=$(readlink /proc/self/ns/net | tr -dc 0-9)
    - echo \"$CI_JOB_ID\" >> $MARKS/began-$host
    - sleep 0.1
    - echo \"$CI_JOB_ID\" >> $MARKS/ended-$host
one: {extends: .job, parallel: 100}
two: {extends: .job, parallel: 100}
three: {extends: .job, parallel: 100}
";

#[test]
fn each_of_300_jobs_runs_once_while_all_parts_are_killed() -> Result<()> {
    Setup::hosts(2).slots(4).run(|fleet| {
        fleet.project(PROJECT)?;
        let ann = fleet.person("ann", "maintainer")?;
        let sha = ann.clone_of(PROJECT)?.push_pipeline(YAML)?;
        let pipeline = ann.wait_pipeline(PROJECT, &sha)?;
        ensure!(pipeline.jobs.len() == 300, "{}", pipeline.jobs.len());

        wait_ended(fleet, 60)?;
        fleet.coordinator.kill()?;
        fleet.coordinator.start()?;
        wait_ended(fleet, 120)?;
        fleet.hosts[0].kill()?;
        fleet.hosts[0].start()?;
        wait_ended(fleet, 180)?;
        fleet.hosts[1].cut()?;
        wait_ended(fleet, 200)?;
        fleet.hosts[1].reconnect()?;

        let ended = ann.wait_end(&pipeline, Duration::from_secs(180))?;
        ensure!(ended.status == "success", "{}", ended.status);
        for what in ["began", "ended"] {
            let runs = runs(fleet, what)?;
            let jobs: Vec<u64> = runs.keys().copied().collect();
            let mut expected: Vec<u64> = ended.jobs.iter().map(|job| job.id).collect();
            expected.sort_unstable();
            ensure!(jobs == expected, "{} jobs {what}", jobs.len());
            let twice: Vec<_> = runs.iter().filter(|(_, times)| **times != 1).collect();
            ensure!(twice.is_empty(), "{what} more than once: {twice:?}");
        }
        for host in &fleet.hosts {
            let number = host.mark()?.replace(|c: char| !c.is_ascii_digit(), "");
            ensure!(
                !fleet.mark(&format!("ended-{number}"))?.is_empty(),
                "{} ran none",
                host.name
            );
        }
        Ok(())
    })
}

/// How often each job has written its number, on all hosts.
fn runs(fleet: &Fleet, what: &str) -> Result<BTreeMap<u64, u32>> {
    let mut runs = BTreeMap::new();
    for host in &fleet.hosts {
        let number = host.mark()?.replace(|c: char| !c.is_ascii_digit(), "");
        for line in fleet.mark(&format!("{what}-{number}"))? {
            *runs.entry(line.parse().context("a number")?).or_insert(0) += 1;
        }
    }
    Ok(runs)
}

fn wait_ended(fleet: &Fleet, jobs: usize) -> Result<()> {
    wait_for(&format!("{jobs} jobs to have ended"), || {
        Ok((runs(fleet, "ended")?.len() >= jobs).then_some(()))
    })
}
