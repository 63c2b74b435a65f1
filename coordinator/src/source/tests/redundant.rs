//! Pipelines that a newer one of the same branch makes redundant.

use super::*;

/// Ref and status of each pipeline, the oldest first.
async fn statuses(world: &World) -> Vec<String> {
    let line = |it: &PipelineInfo| format!("{} {}", it.about.reference, it.status);
    world.pipelines().await.iter().map(line).collect()
}

async fn push(clone: &Clone, refs: &[&str]) {
    clone.commit("file", &refs.concat(), "more").await;
    let mut all = vec!["push", "origin"];
    all.extend(refs);
    clone.ok(&all).await;
}

#[tokio::test]
async fn a_newer_commit_of_a_branch_cancels_the_branchs_older_pipelines() {
    let world = World::new().await;
    let clone = world.clone(Role::Maintainer).await;
    clone.ok(&["tag", "one"]).await;
    push(&clone, &["main:topic", "main:other", "one"]).await;
    clone.ok(&["tag", "topic"]).await;
    push(&clone, &["main:refs/heads/topic", "refs/tags/topic"]).await;
    let expected = [
        "topic canceled",
        "other pending",
        "one pending",
        "topic pending",
        "topic pending",
    ];
    let mut found = statuses(&world).await;
    let mut expected = expected.map(str::to_owned).to_vec();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn what_asks_for_the_same_commit_cancels_nothing() {
    let world = World::new().await;
    let clone = world.clone(Role::Maintainer).await;
    push(&clone, &["main"]).await;
    let principal = world.principal(Role::Maintainer);
    let again = world
        .sources
        .create_pipeline(wanted("group/app", "main", HashMap::new()), &principal);
    again.await.unwrap();
    assert_eq!(statuses(&world).await, ["main pending", "main pending"]);
}

#[tokio::test]
async fn project_and_older_pipeline_decide_what_is_canceled() {
    let world = World::new().await;
    let clone = world.clone(Role::Maintainer).await;
    let rule = "workflow: {auto_cancel: {on_new_commit: none}}\n";
    clone
        .commit(".gitlab-ci.yml", &format!("{rule}{TWO_JOBS}"), "none")
        .await;
    clone.ok(&["push", "origin", "main"]).await;
    let rule = "workflow: {auto_cancel: {on_new_commit: interruptible}}\n";
    let jobs = "a: {script: x, interruptible: true}\nb: {script: x}\n";
    clone
        .commit(".gitlab-ci.yml", &format!("{rule}{jobs}"), "some")
        .await;
    clone.ok(&["push", "origin", "main"]).await;
    push(&clone, &["main"]).await;
    let jobs = world
        .core
        .look(|core| core.jobs(|_| true, 100))
        .await
        .unwrap();
    let mut states: Vec<String> = jobs
        .iter()
        .map(|job| format!("{} {} {}", job.view.pipeline, job.view.name, job.view.state))
        .collect();
    states.sort();
    let expected = [
        "1 build pending",
        "1 test created",
        "2 a canceled",
        "2 b pending",
        "3 a pending",
        "3 b pending",
    ];
    assert_eq!(states, expected);
    let off = ("auto-cancel-pending".to_owned(), "false".to_owned());
    let project = world.catalog.project("group/app").unwrap().id;
    let set = [off].into_iter().collect();
    world.catalog.set_project(project, &set).unwrap();
    push(&clone, &["main"]).await;
    let third = &world.pipelines().await[2];
    assert_eq!(third.status, fleet_model::JobState::Pending);
}
