//! A push and its pipeline never part, wherever the coordinator dies.

use anyhow::{Context, Result, ensure};
use fleet_tests::fleet::{Fleet, Setup};

const PROJECT: &str = "group/app";

/// What a push is left as when the coordinator is back.
enum Left {
    Refused,
    Accepted,
    /// One or the other.
    Whole,
}

fn push_and_die_at(point: &str, expected: &Left) -> Result<()> {
    Setup::hosts(0).prepared(|fleet| {
        fleet.coordinator.start()?;
        fleet.project(PROJECT)?;
        fleet.coordinator.stop()?;
        fleet.coordinator.start_to_die_at(point)?;
        let ann = fleet.admin()?;
        let clone = ann.clone_of(PROJECT)?;
        clone.write(".gitlab-ci.yml", "job: {script: 'true'}\n")?;
        let sha = clone.commit("first")?;

        // Whoever pushes may or may not have heard how it went.
        let _answered_or_not = clone.try_git(&["push", "fleet", "HEAD:main"])?;
        fleet.coordinator.wait_dead()?;
        fleet.coordinator.start()?;

        let moved = clone.remote_refs()?.contains(&sha);
        let pipelines = ann.pipelines_of(PROJECT, &sha)?;
        ensure!(
            pipelines.len() == usize::from(moved),
            "ref moved: {moved}; pipelines: {pipelines:?}"
        );
        match expected {
            Left::Refused => ensure!(!moved, "nothing was to move before {point}"),
            Left::Accepted => ensure!(moved, "what had moved before {point} is to stay"),
            Left::Whole => {}
        }
        // The same push again changes nothing but what is missing.
        clone.git(&["push", "fleet", "HEAD:main"])?;
        expect_one(fleet, &sha)?;
        fleet.coordinator.kill()?;
        fleet.coordinator.start()?;
        expect_one(fleet, &sha)
    })
}

fn expect_one(fleet: &mut Fleet, sha: &str) -> Result<()> {
    let pipelines = fleet.admin()?.pipelines_of(PROJECT, sha)?;
    ensure!(pipelines.len() == 1, "{pipelines:?}");
    Ok(())
}

#[test]
fn push_is_refused_where_only_its_intent_was_durable() -> Result<()> {
    push_and_die_at("push.intent-durable", &Left::Refused)
}

#[test]
fn push_whose_ref_has_moved_gets_its_pipeline_after_the_restart() -> Result<()> {
    push_and_die_at("push.ref-moved", &Left::Accepted)
}

#[test]
fn push_whose_pipeline_was_durable_gets_no_second() -> Result<()> {
    push_and_die_at("push.pipeline-durable", &Left::Accepted)
}

#[test]
fn push_is_whole_where_the_store_did_not_commit() -> Result<()> {
    push_and_die_at("journal.group", &Left::Whole)
}

#[test]
fn push_is_whole_where_the_store_committed_and_could_not_say_so() -> Result<()> {
    push_and_die_at("journal.committed", &Left::Whole)
}

#[test]
fn accepted_push_is_there_after_the_coordinator_was_killed() -> Result<()> {
    Setup::hosts(0).run(|fleet| {
        fleet.project(PROJECT)?;
        let ann = fleet.admin()?;
        let clone = ann.clone_of(PROJECT)?;
        for number in 0..5 {
            clone.write("file", number.to_string())?;
            let sha = clone.push_pipeline("job: {script: 'true'}\n")?;
            fleet.coordinator.kill()?;
            fleet.coordinator.start()?;
            ensure!(clone.remote_refs()?.contains(&sha));
            let pipelines = ann.pipelines_of(PROJECT, &sha)?;
            ensure!(pipelines.len() == 1, "{pipelines:?}");
        }
        let listed = ann.json(&["pipeline", "list", "--project", PROJECT])?;
        let listed = listed.as_array().context("a list")?;
        ensure!(listed.len() == 5, "{listed:?}");
        Ok(())
    })
}
