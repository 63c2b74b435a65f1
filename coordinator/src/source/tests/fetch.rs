//! Fetches: of people and of jobs.

use fleet_model::{AgentName, Source};
use fleet_proto::v1;
use fleet_proto::v1::coordinator_message::Message as In;

use super::*;
use crate::core::{Admitted, Ending, Greeting};

/// What the jobs of a pipeline fetch.
fn source(world: &World, pipeline: u64) -> (String, u32, Vec<String>) {
    let record = &world.memory.now()[&format!("pipeline/{pipeline:016x}")];
    let record: serde_json::Value = serde_json::from_slice(record).unwrap();
    match serde_json::from_value(record["source"].clone()).unwrap() {
        Source::Git {
            sha,
            depth,
            refspecs,
            ..
        } => (sha, depth, refspecs),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_job_gets_its_commit_when_the_branch_has_moved_on_or_gone() {
    let world = World::new().await;
    let clone = world.clone(Role::Developer).await;
    clone.commit("a", "1", "second").await;
    clone.commit("a", "2", "third").await;
    let push = [
        "push",
        "origin",
        "HEAD:refs/heads/work",
        "HEAD:refs/heads/other",
    ];
    clone.ok(&push).await;
    let first = clone.head().await;
    clone.ok(&["reset", "-q", "--hard", "HEAD~1"]).await;
    clone.commit("a", "3", "another").await;
    clone
        .ok(&["push", "--force", "origin", "HEAD:refs/heads/work"])
        .await;
    clone.ok(&["push", "origin", ":refs/heads/work"]).await;
    let url = world.url(Role::Viewer, "group/app");
    for version in ["0", "2"] {
        let job = Clone::new();
        job.ok(&["init", "-q"]).await;
        let refspec = format!("+{first}:refs/remotes/origin/work");
        let version = format!("protocol.version={version}");
        let fetch = [
            "-c", &version, "fetch", "-q", "--depth", "2", &url, &refspec,
        ];
        job.ok(&fetch).await;
        let log = job
            .ok(&["log", "--format=%s", "refs/remotes/origin/work"])
            .await;
        assert_eq!(log, "third\nsecond\n");
    }
}

#[tokio::test]
async fn the_refspecs_of_a_pipeline_bring_its_commit() {
    let world = World::new().await;
    let clone = world.clone(Role::Maintainer).await;
    clone.ok(&["tag", "-a", "v1", "-m", "one"]).await;
    clone.ok(&["push", "origin", "main", "v1"]).await;
    let project = world.catalog.project("group/app").unwrap();
    let all = ("git-depth".to_owned(), "0".to_owned());
    let set = [all].into_iter().collect();
    world.catalog.set_project(project.id, &set).unwrap();
    clone.commit("a", "1", "deep").await;
    clone.ok(&["push", "origin", "main"]).await;
    let url = world.url(Role::Viewer, "group/app");
    for (pipeline, depth, name) in [(1, 20, "origin/main"), (2, 20, "v1"), (3, 0, "origin/main")] {
        let (sha, found, refspecs) = source(&world, pipeline);
        assert_eq!(found, depth);
        let job = Clone::new();
        job.ok(&["init", "-q"]).await;
        let depth = depth.to_string();
        let mut fetch = vec!["fetch", "-q", url.as_str()];
        fetch.extend(refspecs.iter().map(String::as_str));
        if depth != "0" {
            fetch.extend(["--depth", depth.as_str()]);
        }
        fetch.push("--prune");
        job.ok(&fetch).await;
        // Also into a folder that a job used before.
        job.ok(&fetch).await;
        let commit = format!("{name}^{{commit}}");
        assert_eq!(job.ok(&["rev-parse", &commit]).await.trim(), sha);
        assert_eq!(job.ok(&["cat-file", "-t", &sha]).await, "commit\n");
    }
}

#[tokio::test]
async fn a_large_negotiation_comes_packed_and_is_answered() {
    let world = World::new().await;
    let clone = world.clone(Role::Maintainer).await;
    clone.ok(&["push", "origin", "main"]).await;
    // Commits the server lacks: git asks for many of them, and packs that.
    let other = Clone::new();
    let url = world.url(Role::Viewer, "group/app");
    other.ok(&["clone", "-q", &url, "."]).await;
    for number in 0..100 {
        other
            .ok(&["commit", "-q", "--allow-empty", "-m", &number.to_string()])
            .await;
    }
    clone.commit("a", "1", "second").await;
    clone.ok(&["push", "origin", "main"]).await;
    for version in ["protocol.version=0", "protocol.version=2"] {
        other.ok(&["-c", version, "fetch", "-q", "origin"]).await;
        let log = other.ok(&["log", "-1", "--format=%s", "origin/main"]).await;
        assert_eq!(log, "second\n");
        other
            .ok(&["update-ref", "-d", "refs/remotes/origin/main"])
            .await;
    }
}

#[tokio::test]
async fn a_partial_clone_works() {
    let world = World::new().await;
    let clone = world.clone(Role::Maintainer).await;
    clone.ok(&["push", "origin", "main"]).await;
    let other = Clone::new();
    let url = world.url(Role::Viewer, "group/app");
    other
        .ok(&["clone", "-q", "--filter=blob:none", &url, "."])
        .await;
    assert!(other.path().join(".gitlab-ci.yml").exists());
}

#[tokio::test]
async fn a_job_reads_its_own_project_while_it_runs_and_nothing_else() {
    let world = World::new().await;
    world.project("other/app");
    let clone = world.clone(Role::Maintainer).await;
    clone.ok(&["push", "origin", "main"]).await;
    let (outbox, mut messages) = tokio::sync::mpsc::channel(16);
    let hello = v1::Hello {
        agent: "a".to_owned(),
        slots: 1,
        run_untagged: true,
        instance: "i".to_owned(),
        ..v1::Hello::default()
    };
    let greeting = Greeting {
        hello,
        grant: None,
        projects: Vec::new(),
        outbox,
        ending: Ending::default(),
        doubted: None,
    };
    let admitted = world.core.connected(greeting).await.unwrap();
    let Admitted::Session(session) = admitted else {
        panic!("{admitted:?}");
    };
    let lease = loop {
        let message = messages.recv().await.unwrap().unwrap();
        if let Some(In::Lease(lease)) = message.message {
            break lease;
        }
    };
    let token = lease.job.unwrap().token;
    let url = |path: &str| {
        format!(
            "http://gitlab-ci-token:{token}@{}/{path}.git",
            world.address
        )
    };
    let own = url("group/app");
    clone.ok(&["ls-remote", "--exit-code", &own, "main"]).await;
    let said = clone.fails(&["push", &own, "HEAD:refs/heads/x"]).await;
    assert_has(&said, &["A job's token may read its own project only"]);
    let said = clone.fails(&["ls-remote", &url("other/app")]).await;
    assert_has(
        &said,
        &["there is no project other/app, or your token may not see it"],
    );
    // With the lease the token ends.
    let input = crate::core::AgentInput::Finished {
        fence: fleet_model::Fence(lease.fence),
        outcome: fleet_model::Outcome::Success,
        message: String::new(),
    };
    world
        .core
        .agent(AgentName("a".to_owned()), session, input)
        .await;
    while world.core.job_token(&token).await.is_some() {
        tokio::task::yield_now().await;
    }
    assert_has(
        &clone.fails(&["ls-remote", &own]).await,
        &["The token does not count"],
    );
}
