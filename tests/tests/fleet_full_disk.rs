//! No room on the coordinator's disks, or an agent's: nothing new is taken in, nothing that runs
//! is harmed, and all goes on when there is room again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use fleet_tests::fleet::{Disk, Fleet, Person, PipelineView, Setup};
use fleet_tests::wait_for;

const PROJECT: &str = "group/app";
const SIZE: u64 = 256 << 20;

/// Prints numbered lines until it is enough, and tells the test how many.
const COUNT: &str = "count:
  script:
    - |
      n=0
      until [ -e $MARKS/enough ]; do
        echo \"line $n\"
        n=$((n + 1))
        echo $n > $MARKS/count.new && mv $MARKS/count.new $MARKS/count
        sleep 0.02
      done
after:
  stage: deploy
  script: ['true']
";

#[test]
fn nearly_full_store_takes_no_new_work_and_lets_jobs_end() -> Result<()> {
    full(coordinators(""), SIZE / 16, |fleet, ann, pipeline| {
        expect_refused(ann)?;
        let refused = ann.run(&["pipeline", "create", "--ref", "main", "--project", PROJECT])?;
        refused.expect_exit(1)?;
        refused.expect_text("full")?;
        let status = ann.json(&["status"])?;
        ensure!(status["problems"].to_string().contains("full"), "{status}");
        // Nobody is sent away: what runs goes on, and a restart helps nobody.
        ensure!(fleet.coordinator.is_ready());
        fleet.coordinator.kill()?;
        fleet.coordinator.start()?;
        // What runs has room to end.
        fleet.make_file("enough")?;
        ann.wait_job(pipeline, "count", &["success"])?;
        Ok(())
    })
}

#[test]
fn full_store_harms_no_running_job() -> Result<()> {
    full(coordinators(""), 0, |_, ann, _| expect_refused(ann))
}

#[test]
fn full_disk_under_the_logs_harms_no_running_job() -> Result<()> {
    full(coordinators("blobs"), 0, |_, _, _| Ok(()))
}

#[test]
fn full_disk_under_an_agents_state_harms_no_running_job() -> Result<()> {
    let state = |fleet: &Fleet| fleet.hosts[0].state();
    full(state, 0, |fleet, ann, _| {
        // Nor does it matter to the job that its agent is started anew there.
        fleet.hosts[0].kill()?;
        fleet.hosts[0].start()?;
        fleet.wait_agent(ann, "h1", "online")
    })
}

/// A folder of the coordinator's.
fn coordinators(folder: &str) -> impl FnOnce(&Fleet) -> PathBuf {
    move |fleet| fleet.coordinator.data().join(folder)
}

fn expect_refused(person: &Person) -> Result<()> {
    let clone = person.clone_of(PROJECT)?;
    let sha = clone.commit("while there is no room")?;
    let refused = clone.try_git(&["push", "fleet", "HEAD:refs/heads/other"])?;
    ensure!(!refused.status.success(), "{}", refused.output());
    refused.expect_text("full")?;
    ensure!(!clone.remote_refs()?.contains(&sha));
    Ok(())
}

/// Fills the disk of a folder while a job runs, and frees it.
fn full(
    folder: impl FnOnce(&Fleet) -> PathBuf,
    leave: u64,
    while_full: impl FnOnce(&mut Fleet, &Person, &PipelineView) -> Result<()>,
) -> Result<()> {
    Setup::hosts(1).prepared(|fleet| {
        let disk = Disk::mount(&folder(fleet), SIZE)?;
        fleet.start()?;
        fleet.project(PROJECT)?;
        let ann = fleet.admin()?;
        let clone = ann.clone_of(PROJECT)?;
        let sha = clone.push_pipeline(COUNT)?;
        let pipeline = ann.wait_pipeline(PROJECT, &sha)?;
        wait_count(fleet, 10)?;

        disk.fill(leave)?;
        let before = count(&fleet.marks())?;
        wait_count(fleet, before + 200)?;
        while_full(fleet, &ann, &pipeline)?;
        disk.free()?;
        fleet.coordinator.wait_ready()?;

        fleet.make_file("enough")?;
        let ended = ann.wait_end(&pipeline, Duration::from_secs(120))?;
        ensure!(ended.status == "success", "{ended:?}");
        let log = ann.log(&ann.job(&ended, "count")?)?;
        let lines: Vec<&str> = log
            .lines()
            .filter(|line| line.starts_with("line "))
            .collect();
        ensure!(
            lines.len() == count(&fleet.marks())?,
            "{} lines",
            lines.len()
        );
        for (number, line) in lines.iter().enumerate() {
            ensure!(*line == format!("line {number}"), "{number}: {line}");
        }
        let sha = clone.push_pipeline("job: {script: 'true'}\n")?;
        let next = ann.wait_pipeline(PROJECT, &sha)?;
        let ended = ann.wait_end(&next, Duration::from_secs(60))?;
        ensure!(ended.status == "success", "{ended:?}");
        Ok(())
    })
}

fn count(marks: &Path) -> Result<usize> {
    let text = std::fs::read_to_string(marks.join("count")).unwrap_or_else(|_| "0".into());
    Ok(text.trim().parse()?)
}

fn wait_count(fleet: &Fleet, lines: usize) -> Result<()> {
    wait_for(&format!("{lines} lines"), || {
        Ok((count(&fleet.marks())? >= lines).then_some(()))
    })
}
