//! Scripts that are to be stopped `wait` for their `sleep`: a shell that gets a
//! signal just before it starts a program in the foreground acts on it only
//! when that has ended.

use std::time::Duration;

use fleet_model::{FailureReason, Outcome, Variable};

use super::world::{World, after, gone, with};
use crate::job::Control;

/// Cancels or aborts once the log shows `text`.
fn when(text: &'static str, wanted: Control) -> impl Fn(&str) -> Option<Control> + Send + Sync {
    move |log| log.contains(text).then_some(wanted)
}

#[tokio::test]
async fn a_canceled_script_is_stopped_and_its_after_script_runs() {
    let world = World::new();
    let script = [
        "trap 'echo got-term; exit 9' TERM; setsid sleep 1000 & echo $! > pid; echo rea''dy; wait",
    ];
    let job = after(world.job(&script), &["echo st=$CI_JOB_STATUS"]);
    let ran = world
        .run_with(job, when("ready", Control::Cancel))
        .await
        .shows(&[
            "got-term",
            "WARNING: script canceled externally (UI, API)",
            "Running after script...",
            "st=canceled",
            "Cleaning up project directory",
            "ERROR: Job failed: canceled",
        ]);
    assert_eq!(ran.finished.outcome, Outcome::Canceled);
    assert!(gone(
        &std::fs::read_to_string(world.project().join("pid")).unwrap()
    ));
}

#[tokio::test]
async fn an_aborted_job_runs_nothing_more() {
    let world = World::new();
    let mut file = Variable::new("F", "secret-in-file");
    file.file = true;
    let mut job = after(
        world.job(&["trap '' TERM; echo $$ > pid; echo rea''dy; sleep 1000"]),
        &["echo never"],
    );
    job.variables.push(file);
    let ran = world.run_with(job, when("ready", Control::Abort)).await;
    let ran = ran.fails(FailureReason::RUNNER_INTERRUPTED, 0);
    ran.shows(&["ERROR: Job failed: aborted: terminated"])
        .hides("never")
        .hides("after_script")
        .hides("Cleaning up");
    assert!(gone(
        &std::fs::read_to_string(world.project().join("pid")).unwrap()
    ));
    assert!(!world.path("builds/0/group/project.tmp/F").exists());
}

#[tokio::test]
async fn an_abort_cuts_the_after_script_of_a_canceled_job_short() {
    let world = World::new();
    let job = after(
        world.job(&["echo rea''dy; sleep 1000 & wait"]),
        &["echo in-''after; sleep 1000 & wait"],
    );
    let react = |log: &str| match log {
        _ if log.contains("in-after") => Some(Control::Abort),
        _ => log.contains("ready").then_some(Control::Cancel),
    };
    let ran = world
        .run_with(job, react)
        .await
        .shows(&["in-after", "ERROR: Job failed: canceled"]);
    assert_eq!(ran.finished.outcome, Outcome::Canceled);
    ran.hides("Cleaning up");
}

#[tokio::test]
async fn a_job_canceled_before_its_script_runs_neither_script_nor_after_script() {
    let world = World::new();
    let job = after(world.job(&["echo never"]), &["echo never"]);
    let ran = world
        .run_with(job, when("Running with", Control::Cancel))
        .await;
    assert_eq!(ran.finished.outcome, Outcome::Canceled);
    ran.shows(&["ERROR: Job failed: canceled"])
        .hides("never")
        .hides("step_script");
}

#[tokio::test]
async fn a_cancel_during_the_after_script_lets_it_end() {
    let world = World::new();
    let job = after(world.job(&["true"]), &["echo in-''after", "echo en''ded"]);
    let ran = world
        .run_with(job, when("in-after", Control::Cancel))
        .await
        .shows(&["in-after", "ended"]);
    assert_eq!(ran.finished.outcome, Outcome::Canceled);
}

#[tokio::test]
async fn the_scripts_own_clock_leaves_time_for_the_after_script() {
    let world = World::new();
    let job = with(
        after(
            world.job(&["sleep 1000 & wait"]),
            &["echo st=$CI_JOB_STATUS; sleep 1000 & wait"],
        ),
        &[
            ("RUNNER_SCRIPT_TIMEOUT", "100ms"),
            ("RUNNER_AFTER_SCRIPT_TIMEOUT", "100ms"),
        ],
    );
    let ran = world
        .run(job)
        .await
        .fails(FailureReason::JOB_EXECUTION_TIMEOUT, 0);
    ran.shows(&[
        "WARNING: step_script could not run to completion because the timeout was exceeded",
        "st=timedout",
        "WARNING: after_script could not run to completion",
        "WARNING: after_script failed, but job will continue unaffected: after_script timeout",
        "Cleaning up",
        "ERROR: Job failed: script timeout: context deadline exceeded",
    ]);
}

#[tokio::test]
async fn the_jobs_clock_ends_everything() {
    let world = World::new();
    let mut job = after(world.job(&["sleep 1000 & wait"]), &["echo never"]);
    job.timeout = Duration::from_millis(200);
    let ran = world
        .run(job)
        .await
        .fails(FailureReason::JOB_EXECUTION_TIMEOUT, 0);
    ran.shows(&["ERROR: Job failed: execution took longer than 200ms seconds"])
        .hides("never");
}

#[tokio::test]
async fn clocks_that_make_no_sense_are_warned_of_and_ignored() {
    let world = World::new();
    for value in ["5", "-3s", "soon", "3h"] {
        let job = with(world.job(&["true"]), &[("RUNNER_SCRIPT_TIMEOUT", value)]);
        world.run(job).await.succeeds().shows(&[&format!(
            "WARNING: {}",
            match value {
                "3h" => "RUNNER_SCRIPT_TIMEOUT timeout: 3h is longer than what is left to the job",
                _ => "Ignoring malformed RUNNER_SCRIPT_TIMEOUT timeout",
            }
        )]);
    }
}

#[tokio::test]
async fn a_job_whose_shell_does_not_start_is_the_agents_failure() {
    let world = World::new();
    let mut settings = world.settings();
    settings.shell.program = "/nowhere/bash".into();
    let job = crate::job::Job {
        spec: world.job(&["true"]),
        fence: fleet_model::Fence(1),
        settings: settings.into(),
        slot: 0,
        project_slot: 0,
        mark: crate::executor::Mark::new(),
    };
    let control = tokio::sync::watch::channel(Control::Run).1;
    let sink = |_: &[u8]| {};
    let (finished, remains) = crate::job::run(job, world.shelf.clone(), sink, control).await;
    remains.remove().await;
    let reason = FailureReason::RUNNER_SYSTEM_FAILURE;
    assert_eq!(
        finished.outcome,
        Outcome::Failed {
            reason,
            exit_code: 0
        }
    );
    assert!(
        finished.message.contains("/nowhere/bash"),
        "{}",
        finished.message
    );
}
