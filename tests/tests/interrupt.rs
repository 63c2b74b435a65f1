//! Ctrl-C: once is a request to end well, twice is an order to end now.

use anyhow::{Result, ensure};
use fleet_tests::{Project, Running, wait_for};
use rustix::process::Signal;

/// A running job with a child and one in a session of its own, and a job that
/// waits for it.
const PIPELINE: &str = r#"
stages: [work, end]
work:
  stage: work
  script:
    - sleep 7777 & echo $! >> "$MARKS/pids"
    - setsid sh -c 'echo $$ >> "$MARKS/pids"; exec sleep 7777' < /dev/null > /dev/null 2>&1 &
    - until [ "$(wc -l < "$MARKS/pids")" -eq 2 ]; do sleep 0.02; done
    - touch "$MARKS/started"
    - sleep 7777
  after_script:
    - echo "$CI_JOB_STATUS" >> "$MARKS/after"
    - test ! -e "$MARKS/block" || sleep 7777
end:
  stage: end
  script: touch "$MARKS/end"
"#;

fn start(project: &Project) -> Result<Running> {
    let running = project.run(&[])?.start()?;
    wait_for("the job to start", || {
        Ok(project.marks().join("started").exists().then_some(()))
    })?;
    ensure!(
        project.processes()?.len() > 2,
        "the job's processes are not seen"
    );
    Ok(running)
}

#[test]
fn interrupt_cancels_jobs_runs_after_script_and_leaves_nothing() -> Result<()> {
    let project = Project::with_pipeline(PIPELINE)?;
    let running = start(&project)?;

    running.signal(Signal::INT)?;
    let finished = running.finish()?;

    finished.expect_exit(130)?;
    finished.expect_text("canceled")?;
    assert_eq!(
        project.mark("after")?,
        ["canceled"],
        "{}",
        finished.output()
    );
    ensure!(
        !project.marks().join("end").exists(),
        "a job was started after the interrupt"
    );
    project.expect_nothing_left()
}

#[test]
fn second_interrupt_ends_at_once_and_leaves_nothing() -> Result<()> {
    let project = Project::with_pipeline(PIPELINE)?;
    std::fs::write(project.marks().join("block"), "")?;
    let running = start(&project)?;

    running.signal(Signal::INT)?;
    // Without a second one this after_script would go on for hours.
    wait_for("after_script to start", || Ok(project.mark("after")?.pop()))?;
    running.signal(Signal::INT)?;
    let finished = running.finish()?;

    finished.expect_exit(130)?;
    project.expect_nothing_left()
}

#[test]
fn termination_request_ends_as_well_as_an_interrupt() -> Result<()> {
    let project = Project::with_pipeline(PIPELINE)?;
    let running = start(&project)?;

    running.signal(Signal::TERM)?;
    let finished = running.finish()?;

    ensure!(!finished.status.success(), "{}", finished.output());
    assert_eq!(
        project.mark("after")?,
        ["canceled"],
        "{}",
        finished.output()
    );
    project.expect_nothing_left()
}

#[test]
fn second_interrupt_ends_a_run_whose_output_nobody_reads() -> Result<()> {
    let project = Project::with_pipeline(
        r#"
chatty:
  script:
    - head -c 20000000 /dev/zero | tr '\0' '\n'
    - touch "$MARKS/started"
    - sleep 7777
  after_script: echo done >> "$MARKS/after"
"#,
    )?;
    let running = project.run(&[])?.hold_output().start()?;
    wait_for("the job to have printed", || {
        Ok(project.marks().join("started").exists().then_some(()))
    })?;

    running.signal(Signal::INT)?;
    wait_for("after_script", || Ok(project.mark("after")?.pop()))?;
    running.signal(Signal::INT)?;

    running.finish()?.expect_exit(130)?;
    project.expect_nothing_left()
}
