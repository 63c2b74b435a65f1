//! Pushes that were cut off at one moment or another.

use super::*;

/// A copy of what a world keeps on disk.
fn copied(world: &World) -> Arc<tempfile::TempDir> {
    let copy = tempfile::tempdir().unwrap();
    let from = world.dir.path().join("repositories");
    let copying = std::process::Command::new("cp")
        .arg("-r")
        .args([&from, &copy.path().join("repositories")])
        .status();
    assert!(copying.unwrap().success());
    Arc::new(copy)
}

fn intents(state: &State) -> usize {
    state
        .keys()
        .filter(|key| key.starts_with("intent/"))
        .count()
}

async fn sorted(world: &World) -> Vec<String> {
    let mut told = world.told().await;
    told.sort();
    told
}

#[tokio::test]
async fn a_crash_at_any_moment_leaves_one_pipeline_for_each_ref_that_moved() {
    let world = World::new().await;
    let clone = world.clone(Role::Maintainer).await;
    clone
        .ok(&["push", "origin", "main", "main:one", "main:two"])
        .await;
    let all = ["push main 2", "push one 2", "push two 2"];
    assert_eq!(sorted(&world).await, all);
    let states = world.memory.states();
    let first = states.iter().position(|state| intents(state) == 1).unwrap();
    assert!(
        states.len() - first >= 4,
        "one before git, one for each pipeline"
    );
    for (at, state) in states.iter().enumerate().skip(first) {
        let later = World::over(copied(&world), state.clone()).await;
        assert_eq!(sorted(&later).await, all, "after commit {at}");
        assert_eq!(intents(&later.memory.now()), 0);
        let numbers: Vec<u64> = later
            .pipelines()
            .await
            .iter()
            .map(|it| it.about.iid)
            .collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
        let again = later.restarted().await;
        assert_eq!(sorted(&again).await, all, "after commit {at}, and again");
    }
}

#[tokio::test]
async fn refs_that_did_not_move_get_no_pipeline() {
    let world = World::new().await;
    let clone = world.clone(Role::Maintainer).await;
    clone
        .ok(&["push", "origin", "main", "main:one", "main:two"])
        .await;
    let states = world.memory.states();
    let before = states.iter().find(|state| intents(state) == 1).unwrap();
    let project = world.catalog.project("group/app").unwrap();
    // Git was killed when it had moved one of three, and before it moved any.
    for (gone, left) in [
        (vec!["main", "two"], vec!["push one 2"]),
        (vec!["main", "one", "two"], vec![]),
    ] {
        let dir = copied(&world);
        let path = world.repository(&project);
        let path = dir
            .path()
            .join(path.strip_prefix(world.dir.path()).unwrap());
        for name in gone {
            let name = format!("refs/heads/{name}");
            let folder = path.to_str().unwrap();
            clone
                .ok(&["--git-dir", folder, "update-ref", "-d", &name])
                .await;
        }
        let later = World::over(dir, before.clone()).await;
        assert_eq!(sorted(&later).await, left);
        assert_eq!(intents(&later.memory.now()), 0);
    }
}

#[tokio::test]
async fn a_push_whose_pipeline_cannot_be_made_has_it_later() {
    let world = World::new().await;
    let clone = world.clone(Role::Maintainer).await;
    let secret = ["-o", "ci.variable=TOKEN=hunter2"];
    world.owner.abort();
    let said = clone
        .ok(&[&["push"], &secret[..], &["origin", "main"]].concat())
        .await;
    assert_has(
        &said,
        &["remote: no pipeline yet: ", "It is made with the next push"],
    );
    let state = world.memory.now();
    assert_eq!(intents(&state), 1);
    for value in state.values() {
        assert!(!String::from_utf8_lossy(value).contains("hunter2"));
    }
    // Nothing goes ahead of it.
    clone.commit("a", "1", "second").await;
    let said = clone.fails(&["push", "origin", "main"]).await;
    assert_has(&said, &["an earlier push is not settled yet"]);
    let world = world.restarted().await;
    assert_eq!(world.told().await, ["push main 2"]);
    let url = world.url(Role::Maintainer, "group/app");
    clone.ok(&["push", &url, "main"]).await;
    assert_eq!(world.told().await, ["push main 2", "push main 2"]);
    let world = world.restarted().await;
    assert_eq!(world.told().await.len(), 2);
}

#[tokio::test]
async fn a_known_move_is_settled_wherever_the_ref_is_by_now() {
    let world = World::new().await;
    let clone = world.clone(Role::Maintainer).await;
    world.owner.abort();
    clone.ok(&["push", "origin", "main"]).await;
    let first = clone.head().await;
    clone.commit("a", "1", "second").await;
    let second = clone.head().await;
    // Somebody moves the ref by hand, in the repository itself.
    let project = world.catalog.project("group/app").unwrap();
    let folder = world.repository(&project);
    let folder = folder.to_str().unwrap();
    clone.ok(&["push", "-q", folder, "main"]).await;
    let world = world.restarted().await;
    let pipelines = world.pipelines().await;
    assert_eq!(pipelines.len(), 1);
    assert_eq!(pipelines[0].about.sha, first);
    assert_ne!(first, second);
}

#[tokio::test]
async fn intents_of_a_deleted_project_go_with_it() {
    let world = World::new().await;
    let clone = world.clone(Role::Maintainer).await;
    world.owner.abort();
    clone.ok(&["push", "origin", "main"]).await;
    let project = world.catalog.project("group/app").unwrap();
    let (_, mark) = world.catalog.delete_project(project.id).unwrap();
    world.sources.0.journal.durable(mark).await;
    let world = world.restarted().await;
    assert_eq!(world.told().await, [""; 0]);
    // The removal of its intents is durable with whatever comes next.
    let mark = world.sources.0.journal.submit(Batch::default());
    world.sources.0.journal.durable(mark).await;
    assert_eq!(intents(&world.memory.now()), 0);
}
