//! Pipelines that trigger jobs start.

use fleet_model::JobState;

use super::*;
use crate::core::JobInfo;

const CHILD: &str = "inner:\n  script: [make]\n";

/// Everything that changed as news tell, until `fits`.
async fn until<T>(world: &World, mut fits: impl AsyncFnMut(&World) -> Option<T>) -> T {
    let mut news = world.core.news();
    let work = async {
        loop {
            if let Some(found) = fits(world).await {
                return found;
            }
            // What was missed is looked up.
            let _lagged = news.recv().await;
        }
    };
    let found = tokio::time::timeout(Duration::from_secs(60), work).await;
    match found {
        Ok(found) => found,
        Err(_) => panic!("never so: {:?}", world.told().await),
    }
}

/// A job by its name, of the newest pipeline that has one.
async fn job(world: &World, name: &str) -> Option<JobInfo> {
    let name = name.to_owned();
    let found = world
        .core
        .look(move |core| core.jobs(|job| job.view.name == name, 1).pop());
    found.await.unwrap()
}

/// The job once it has ended or waits for its pipeline.
async fn settled(world: &World, name: &str) -> JobInfo {
    until(world, async |world| {
        let job = job(world, name).await?;
        let started = !job.downstream.is_empty();
        (job.view.state.is_completed() || started).then_some(job)
    })
    .await
}

/// A world whose `group/app` has this configuration on main, and a child's.
async fn pushed(config: &str) -> (World, Clone) {
    let world = World::new().await;
    let clone = world.clone(Role::Maintainer).await;
    clone.commit("child.yml", CHILD, "child").await;
    clone.commit(".gitlab-ci.yml", config, "parent").await;
    clone.ok(&["push", "origin", "main"]).await;
    (world, clone)
}

async fn words(world: &World, name: &str) -> (String, String) {
    let job = settled(world, name).await;
    assert_eq!(job.view.state, JobState::Failed, "{job:?}");
    let reason = job.view.reason.unwrap().to_string();
    (reason, job.refusal.unwrap_or_default())
}

#[tokio::test]
async fn a_child_has_its_parents_commit_and_its_own_source() {
    let config = "start:\n  trigger: {include: child.yml, strategy: depend}\n  \
                  variables: {A: '$CI_PIPELINE_ID-$CI_COMMIT_BRANCH'}\n";
    let (world, clone) = pushed(config).await;
    let start = settled(&world, "start").await;
    let pipelines = world.pipelines().await;
    assert_eq!(
        world.told().await,
        ["push main 1", "parent_pipeline main 1"]
    );
    let (parent, child) = (&pipelines[0], &pipelines[1]);
    assert_eq!(child.about.sha, clone.head().await);
    assert_eq!(child.about.user, parent.about.user);
    assert!(child.is_child());
    let upstream = child.upstream.as_ref().unwrap();
    assert_eq!(
        (upstream.pipeline, upstream.job),
        (parent.id, start.view.id)
    );
    assert_eq!(start.view.state, JobState::Running);
    assert_eq!(start.downstream[0].pipeline, child.id);
    let id = child.id;
    let request = world.core.look(move |core| core.request(id)).await.unwrap();
    let request = request.unwrap();
    let given = request.settings.iter();
    let given = given.map(|it| (it.key.as_str(), it.value.as_str()));
    let value = format!("{}-main", parent.id);
    assert_eq!(given.collect::<Vec<_>>(), [("A", value.as_str())]);
    let predefined = |key: &str| {
        let found = request.plan.predefined.iter().rfind(|it| it.key == key);
        found.map(|it| it.value.clone())
    };
    let source = predefined("CI_PIPELINE_SOURCE");
    assert_eq!(source.as_deref(), Some("parent_pipeline"));
    for (key, value) in [
        ("CI_UPSTREAM_PIPELINE_ID", parent.id.0),
        ("CI_UPSTREAM_JOB_ID", start.view.id.0),
    ] {
        assert_eq!(predefined(key), Some(value.to_string()), "{key}");
    }
}

#[tokio::test]
async fn a_child_that_cannot_be_fails_its_job_in_words() {
    let config = "\
missing: {trigger: {include: none.yml}}\n\
wrong: {trigger: {include: wrong.yml}}\n\
empty: {trigger: {include: empty.yml}}\n\
filtered: {trigger: {include: filtered.yml}}\n\
nothing: {trigger: {include: []}}\n";
    let world = World::new().await;
    let clone = world.clone(Role::Maintainer).await;
    let empty = "never:\n  script: [x]\n  rules: [{when: never}]\n";
    let filtered = "workflow: {rules: [{if: $NO}]}\nx: {script: [x]}\n";
    for (file, text) in [
        ("wrong.yml", "x: {script: [y], image: 7}\n"),
        ("empty.yml", empty),
        ("filtered.yml", filtered),
        (".gitlab-ci.yml", config),
    ] {
        clone.commit(file, text, "more").await;
    }
    clone.ok(&["push", "origin", "main"]).await;
    for (name, part) in [
        ("missing", "Local file `none.yml` does not exist!"),
        ("wrong", "jobs:x:image config should be a hash or a string"),
        ("empty", "The resulting pipeline would have been empty."),
        ("filtered", "Review the workflow:rules configuration"),
        (
            "nothing",
            "jobs config should contain at least one visible job",
        ),
    ] {
        let (reason, words) = words(&world, name).await;
        assert_eq!(reason, "downstream_pipeline_creation_failed", "{name}");
        assert_has(&words, &[part]);
    }
    assert_eq!(world.told().await, ["push main 5"]);
}

#[tokio::test]
async fn children_may_be_two_deep_and_no_deeper() {
    // Each starts itself anew.
    let (world, _clone) = pushed("again: {trigger: {include: .gitlab-ci.yml}}\n").await;
    let (reason, _) = until(&world, async |world| {
        let job = job(world, "again").await?;
        let reason = job.view.reason?.to_string();
        Some((reason, job.refusal))
    })
    .await;
    assert_eq!(reason, "reached_max_descendant_pipelines_depth");
    assert_eq!(
        world.told().await,
        [
            "push main 1",
            "parent_pipeline main 1",
            "parent_pipeline main 1"
        ]
    );
}

#[tokio::test]
async fn another_projects_pipeline_is_of_its_branch_and_its_user() {
    let world = World::new().await;
    world.project("group/lib");
    let lib = world.clone(Role::Maintainer).await;
    let url = world.url(Role::Maintainer, "group/lib");
    lib.ok(&["remote", "set-url", "origin", &url]).await;
    lib.ok(&["push", "origin", "main", "main:topic/x"]).await;
    let header = "spec: {inputs: {name: {}, n: {type: number}}}\n---\n";
    let body = "job-$[[ inputs.name ]]:\n  script: [x]\n  parallel: $[[ inputs.n ]]\n";
    let text = format!("{header}{body}");
    lib.commit(".gitlab-ci.yml", &text, "inputs").await;
    lib.ok(&["push", "-o", "ci.skip", "origin", "main:topic/inputs"])
        .await;
    let app = world.clone(Role::Maintainer).await;
    let config = "\
default-branch: {trigger: group/lib, variables: {B: b}}\n\
topic: {trigger: {project: group/$LIB, branch: topic/x, strategy: depend}, variables: {LIB: lib}}\n\
with-inputs: {trigger: {project: group/lib, branch: topic/inputs, inputs: {name: deep, n: 3}}}\n\
no-branch: {trigger: {project: group/lib, branch: none}}\n\
no-project: {trigger: group/none}\n";
    app.commit(".gitlab-ci.yml", config, "triggers").await;
    app.ok(&["push", "origin", "main"]).await;
    assert_eq!(
        settled(&world, "default-branch").await.view.state,
        JobState::Success
    );
    assert_eq!(settled(&world, "topic").await.view.state, JobState::Running);
    let with_inputs = settled(&world, "with-inputs").await;
    assert_eq!(with_inputs.view.state, JobState::Success, "{with_inputs:?}");
    let mut told = world.told().await;
    told.retain(|line| line.starts_with("pipeline"));
    told.sort();
    assert_eq!(
        told,
        [
            "pipeline main 2",
            "pipeline topic/inputs 3",
            "pipeline topic/x 2"
        ]
    );
    let pipelines = world.pipelines().await;
    let made = pipelines.iter().find(|it| it.about.source == "pipeline");
    let made = made.unwrap();
    assert_eq!(made.project_path, "group/lib");
    assert_eq!(made.about.user, "the-maintainer");
    assert!(!made.is_child());
    let (reason, said) = words(&world, "no-branch").await;
    assert_eq!(reason, "downstream_pipeline_creation_failed");
    assert_has(&said, &["group/lib has no branch or tag none"]);
    let (reason, said) = words(&world, "no-project").await;
    assert_eq!(reason, "downstream_bridge_project_not_found");
    assert_has(&said, &["group/none", "the-maintainer"]);
}

#[tokio::test]
async fn who_may_not_create_a_pipeline_there_does_not_by_a_trigger() {
    let world = World::new().await;
    world.project("group/lib");
    let lib = world.clone(Role::Maintainer).await;
    let url = world.url(Role::Maintainer, "group/lib");
    lib.ok(&["remote", "set-url", "origin", &url]).await;
    lib.ok(&["push", "origin", "main", "main:open"]).await;
    let app = world.clone(Role::Developer).await;
    let config = "\
protected: {trigger: group/lib}\n\
open: {trigger: {project: group/lib, branch: open}}\n";
    app.commit(".gitlab-ci.yml", config, "triggers").await;
    app.ok(&["push", "origin", "main:topic"]).await;
    let (reason, said) = words(&world, "protected").await;
    assert_eq!(reason, "insufficient_bridge_permissions");
    assert_has(&said, &["main is protected", "the-developer is developer"]);
    assert_has(&world.audit(), &["\"trigger\"", "project:group/lib"]);
    assert_eq!(settled(&world, "open").await.view.state, JobState::Success);

    // Somebody whose token is of the one project alone does not see the other.
    let token = world.token(Role::Maintainer, Some("group/app"));
    let url = world.url_with(&token, "group/app");
    app.ok(&["push", &url, "main:elsewhere"]).await;
    let (reason, _) = words(&world, "open").await;
    assert_eq!(reason, "downstream_bridge_project_not_found");
}

#[tokio::test]
async fn a_job_has_the_status_of_another_projects_newest_pipeline() {
    let world = World::new().await;
    world.project("group/lib");
    let lib = world.clone(Role::Maintainer).await;
    let url = world.url(Role::Maintainer, "group/lib");
    lib.ok(&["remote", "set-url", "origin", &url]).await;
    // Not the newest of main: one that came before, and one of another branch.
    lib.ok(&["push", "origin", "main"]).await;
    let back = "back: {needs: {pipeline: group/app}}\n";
    lib.commit(".gitlab-ci.yml", back, "newer").await;
    lib.ok(&["push", "origin", "main"]).await;
    lib.ok(&["push", "origin", "main:topic"]).await;
    let (reason, said) = words(&world, "back").await;
    assert_eq!(reason, "upstream_bridge_project_not_found");
    assert_has(&said, &["group/app has no pipeline on main"]);
    let pipelines = world.pipelines().await;
    let newest = pipelines.iter().rfind(|it| it.about.reference == "main");
    let newest = newest.unwrap().id;

    let app = world.clone(Role::Maintainer).await;
    let config = "\
variables: {LIB: group/lib}\n\
same: {needs: {pipeline: $LIB}}\n\
none: {needs: {pipeline: group/none}}\n";
    app.commit(".gitlab-ci.yml", config, "mirrors").await;
    app.ok(&["push", "origin", "main"]).await;
    let same = until(&world, async |world| {
        let job = job(world, "same").await?;
        (job.view.state != JobState::Created).then_some(job)
    })
    .await;
    // The other failed: its own mirror had nothing to show.
    assert_eq!(same.view.state, JobState::Failed, "{same:?}");
    let said = same.refusal.unwrap_or_default();
    assert_has(&said, &[&format!("pipeline {newest} of group/lib failed")]);
    assert_eq!(same.downstream.len(), 0);
    let (reason, said) = words(&world, "none").await;
    assert_eq!(reason, "upstream_bridge_project_not_found");
    assert_has(&said, &["group/none", "the-maintainer may not see it"]);

    // Somebody whose token is of the one project alone does not see the other.
    let token = world.token(Role::Maintainer, Some("group/app"));
    let url = world.url_with(&token, "group/app");
    app.ok(&["push", &url, "main:elsewhere"]).await;
    let (reason, _) = words(&world, "same").await;
    assert_eq!(reason, "upstream_bridge_project_not_found");
}

#[tokio::test]
async fn two_projects_that_start_each_other_are_stopped() {
    let world = World::new().await;
    world.project("group/lib");
    let lib = world.clone(Role::Maintainer).await;
    let url = world.url(Role::Maintainer, "group/lib");
    lib.ok(&["remote", "set-url", "origin", &url]).await;
    lib.commit(".gitlab-ci.yml", "back: {trigger: group/app}\n", "t")
        .await;
    lib.ok(&["push", "-o", "ci.skip", "origin", "main"]).await;
    let app = world.clone(Role::Maintainer).await;
    app.commit(".gitlab-ci.yml", "forth: {trigger: group/lib}\n", "t")
        .await;
    app.ok(&["push", "origin", "main"]).await;
    until(&world, async |world| {
        let all = world
            .core
            .look(|core| core.jobs(|job| job.view.reason.is_some(), 10));
        let all = all.await.unwrap();
        let reason = all.first()?.view.reason.clone()?.to_string();
        (reason == "pipeline_loop_detected").then_some(())
    })
    .await;
    let pipelines = world.pipelines().await.len();
    assert!(pipelines < 10, "{pipelines}");
}

/// Wherever the process ends, each trigger job comes to one pipeline.
#[tokio::test]
async fn a_crash_makes_neither_two_pipelines_nor_none() {
    let config = "\
first: {trigger: {include: child.yml}}\n\
second: {trigger: {include: child.yml, strategy: depend}}\n";
    let (world, _clone) = pushed(config).await;
    settled(&world, "first").await;
    settled(&world, "second").await;
    let states = world.memory.states();
    let dir = world.dir.clone();
    world.stop.cancel();
    world.orders.abort();
    world.owner.abort();
    let with_a_pipeline = states
        .into_iter()
        .filter(|state| state.keys().any(|key| key.starts_with("pipeline/")));
    let mut seen = 0;
    for state in with_a_pipeline {
        let world = World::over(dir.clone(), state).await;
        settled(&world, "first").await;
        let second = settled(&world, "second").await;
        assert_eq!(second.view.state, JobState::Running);
        // What is asked of the owner comes behind all that was asked before.
        assert!(world.core.pulse().await);
        let mut told = world.told().await;
        told.retain(|line| line.starts_with("parent_pipeline"));
        assert_eq!(told.len(), 2);
        world.stop.cancel();
        world.orders.abort();
        world.owner.abort();
        seen += 1;
    }
    assert!(seen > 2, "{seen}");
}

#[tokio::test]
async fn a_retried_trigger_starts_another_pipeline() {
    let (world, _clone) = pushed("start: {trigger: {include: child.yml}}\n").await;
    let start = settled(&world, "start").await;
    let job = start.view.id;
    world
        .core
        .change(fleet_queue::Input::RetryJob { job })
        .await
        .unwrap();
    let start = until(&world, async |world| {
        let start = self::job(world, "start").await?;
        (start.downstream.len() == 2).then_some(start)
    })
    .await;
    let tries: Vec<u32> = start.downstream.iter().map(|link| link.attempt).collect();
    assert_eq!(tries, [1, 2]);
}
