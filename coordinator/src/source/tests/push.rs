//! Pushes that are taken, and what comes of them.

use super::*;

#[tokio::test]
async fn a_push_makes_one_pipeline_and_says_so() {
    let world = World::new().await;
    let clone = world.clone(Role::Maintainer).await;
    let said = clone.ok(&["push", "origin", "main"]).await;
    let line = "remote: pipeline 1: 2 jobs. Follow it with: fleetctl pipeline watch 1";
    assert_has(&said, &[line]);
    let pipelines = world.pipelines().await;
    assert_eq!(pipelines.len(), 1);
    let about = &pipelines[0].about;
    assert_eq!(about.source, "push");
    assert_eq!(about.reference, "main");
    assert_eq!(about.sha, clone.head().await);
    assert_eq!(about.title, "first");
    assert_eq!(about.user, "the-maintainer");
    assert_eq!(about.iid, 1);
    let audit = world.audit();
    assert_has(
        &audit,
        &["\"push\"", "user:the-maintainer", "project:group/app"],
    );
    assert_has(&audit, &["refs/heads/main 000000000000..", "127.0.0.1"]);
    assert!(
        !world
            .memory
            .now()
            .keys()
            .any(|key| key.starts_with("intent/"))
    );
}

#[tokio::test]
async fn what_was_pushed_can_be_cloned() {
    let world = World::new().await;
    let clone = world.clone(Role::Maintainer).await;
    clone.ok(&["push", "origin", "main"]).await;
    clone.commit("a", "1", "second").await;
    clone.ok(&["push", "origin", "main"]).await;
    let other = Clone::new();
    let url = world.url(Role::Viewer, "group/app");
    other.ok(&["clone", "-q", &url, "."]).await;
    assert_eq!(other.head().await, clone.head().await);
    assert_eq!(world.told().await, ["push main 2", "push main 2"]);
    // Without `.git`, and in another case.
    let url = url.replace("group/app.git", "GROUP/app");
    other.ok(&["ls-remote", "--exit-code", &url, "main"]).await;
}

#[tokio::test]
async fn a_push_of_nothing_new_makes_no_pipeline() {
    let world = World::new().await;
    let clone = world.clone(Role::Maintainer).await;
    clone.ok(&["push", "origin", "main"]).await;
    let said = clone.ok(&["push", "origin", "main"]).await;
    assert_has(&said, &["Everything up-to-date"]);
    assert_eq!(world.told().await.len(), 1);
}

#[tokio::test]
async fn a_configuration_in_error_is_a_failed_pipeline_and_its_words_are_shown() {
    let world = World::new().await;
    let clone = world.clone(Role::Maintainer).await;
    clone
        .commit(
            ".gitlab-ci.yml",
            "build:\n  script: [make]\n  scirpt: x\n",
            "typo",
        )
        .await;
    let said = clone.ok(&["push", "origin", "main"]).await;
    let parts = [
        "remote: pipeline 1 failed: its configuration is in error.",
        "remote:   .gitlab-ci.yml:3:3: error: ",
        "scirpt",
    ];
    assert_has(&said, &parts);
    let pipelines = world.pipelines().await;
    let error = pipelines[0].config_error.as_deref().unwrap();
    assert_has(error, &[".gitlab-ci.yml:3:3: error: "]);
    clone.commit(".gitlab-ci.yml", "a: \u{0}", "broken").await;
    std::fs::write(clone.path().join(".gitlab-ci.yml"), b"a: b\n\xff").unwrap();
    clone.ok(&["commit", "-qam", "latin"]).await;
    let said = clone.ok(&["push", "origin", "main"]).await;
    assert_has(
        &said,
        &[".gitlab-ci.yml:2:1: error: the file is not UTF-8 text"],
    );
}

#[tokio::test]
async fn a_project_says_what_is_done_about_jobs_that_count_on_another_ones_host() {
    let world = World::new().await;
    let clone = world.clone(Role::Maintainer).await;
    let yaml = "stages: [build, test]\nbuild:\n  stage: build\n  script:\n    - docker build -t \
                registry.example/app .\n    - docker push registry.example/app\ntest:\n  stage: \
                test\n  script:\n    - docker run registry.example/app\n";
    clone.commit(".gitlab-ci.yml", yaml, "two jobs").await;
    let said = clone.ok(&["push", "origin", "main"]).await;
    let parts = [
        "remote: pipeline 1: 2 jobs",
        ".gitlab-ci.yml:10:7: note: `test` counts on the image `registry.example/app`",
    ];
    assert_has(&said, &parts);
    let project = world.catalog.project("group/app").unwrap();
    let deny = [("host-coupling".to_owned(), "deny".to_owned())].into();
    world.catalog.set_project(project.id, &deny).unwrap();
    clone.commit("x", "x", "again").await;
    let said = clone.ok(&["push", "origin", "main"]).await;
    let parts = [
        "remote: pipeline 2 failed: its configuration is in error.",
        ".gitlab-ci.yml:10:7: error: `test` counts on the image",
        "add `docker pull registry.example/app` before this line",
    ];
    assert_has(&said, &parts);
}

#[tokio::test]
async fn where_there_is_rightly_no_pipeline_the_reason_is_said() {
    let world = World::new().await;
    let clone = world.clone(Role::Maintainer).await;
    clone.commit("a", "1", "docs [skip CI]").await;
    let said = clone.ok(&["push", "origin", "main"]).await;
    assert_has(
        &said,
        &["remote: pipeline 1 was skipped: the commit's message has [skip CI]"],
    );
    clone.commit("a", "2", "more").await;
    let said = clone.ok(&["push", "-o", "ci.skip", "origin", "main"]).await;
    assert_has(
        &said,
        &["remote: pipeline 2 was skipped: the push has the option ci.skip"],
    );
    clone.commit("a", "3", "still more").await;
    let said = clone
        .ok(&["push", "-o", "ci.no_pipeline", "origin", "main"])
        .await;
    assert_has(
        &said,
        &["remote: no pipeline: the push has the option ci.no_pipeline"],
    );
    let never = format!("workflow:\n  rules: [{{when: never}}]\n{TWO_JOBS}");
    clone.commit(".gitlab-ci.yml", &never, "never").await;
    let said = clone.ok(&["push", "origin", "main"]).await;
    assert_has(
        &said,
        &["no pipeline: The pipeline did not run. Review the workflow:rules"],
    );
    clone.ok(&["rm", "-q", ".gitlab-ci.yml"]).await;
    clone.ok(&["commit", "-qm", "none"]).await;
    let said = clone.ok(&["push", "origin", "main"]).await;
    assert_has(
        &said,
        &["remote: no pipeline: commit ", " has no .gitlab-ci.yml"],
    );
    clone
        .ok(&["push", "-q", "origin", "HEAD:refs/heads/old"])
        .await;
    clone.ok(&["push", "origin", ":old"]).await;
    clone.ok(&["tag", "tree", "HEAD^{tree}"]).await;
    let said = clone.ok(&["push", "origin", "tree"]).await;
    assert_has(&said, &["no pipeline: the tag does not lead to a commit"]);
    assert_eq!(world.told().await, ["push main skipped"; 2]);
}

#[tokio::test]
async fn push_options_set_variables() {
    let world = World::new().await;
    let clone = world.clone(Role::Developer).await;
    let asks = "rules: [{if: $GREETING == \"hello you\"}]";
    let config = format!("{TWO_JOBS}more:\n  script: [x]\n  {asks}\n");
    clone.commit(".gitlab-ci.yml", &config, "asks").await;
    let options = ["-o", "ci.variable=GREETING=hello you", "-o", "ci.magic"];
    let push = [&["push"], &options[..], &["origin", "HEAD:refs/heads/one"]].concat();
    let said = clone.ok(&push).await;
    assert_has(
        &said,
        &[
            "pipeline 1: 3 jobs",
            "The push option ci.magic is not known here",
        ],
    );
    let said = clone.ok(&["push", "origin", "HEAD:refs/heads/two"]).await;
    assert_has(&said, &["pipeline 2: 2 jobs"]);
}

#[tokio::test]
async fn rules_see_what_a_push_changed() {
    let world = World::new().await;
    let clone = world.clone(Role::Maintainer).await;
    let config = "docs:\n  script: [x]\n  rules: [{changes: [docs/**]}]\nall:\n  script: [x]\n";
    std::fs::create_dir(clone.path().join("docs")).unwrap();
    clone.commit(".gitlab-ci.yml", config, "config").await;
    // A new branch has nothing to compare with.
    assert_has(&clone.ok(&["push", "origin", "main"]).await, &["2 jobs"]);
    clone.commit("a", "1", "code").await;
    assert_has(&clone.ok(&["push", "origin", "main"]).await, &["1 job."]);
    clone.commit("docs/a", "1", "docs").await;
    clone.commit("a", "2", "code").await;
    assert_has(&clone.ok(&["push", "origin", "main"]).await, &["2 jobs"]);
}

#[tokio::test]
async fn includes_are_read_at_the_commit() {
    let world = World::new().await;
    let clone = world.clone(Role::Maintainer).await;
    clone.commit("two.yml", TWO_JOBS, "two").await;
    std::os::unix::fs::symlink("two.yml", clone.path().join("link.yml")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", clone.path().join("out.yml")).unwrap();
    clone
        .commit(".gitlab-ci.yml", "include: link.yml\n", "link")
        .await;
    assert_has(&clone.ok(&["push", "origin", "main"]).await, &["2 jobs"]);
    clone
        .commit(".gitlab-ci.yml", "include: 't*.yml'\n", "glob")
        .await;
    assert_has(&clone.ok(&["push", "origin", "main"]).await, &["2 jobs"]);
    for path in ["out.yml", "../x.yml", "./two.yml/../../x.yml", "none.yml"] {
        clone
            .commit(".gitlab-ci.yml", &format!("include: {path}\n"), path)
            .await;
        let said = clone.ok(&["push", "origin", "main"]).await;
        assert_has(&said, &["does not exist!"]);
    }
}

#[tokio::test]
async fn a_tag_has_a_pipeline_of_the_commit_it_leads_to() {
    let world = World::new().await;
    let clone = world.clone(Role::Maintainer).await;
    clone.ok(&["tag", "-a", "v1", "-m", "one"]).await;
    clone.ok(&["push", "origin", "v1"]).await;
    let pipelines = world.pipelines().await;
    assert_eq!(pipelines[0].about.reference, "v1");
    assert_eq!(pipelines[0].about.sha, clone.head().await);
}

#[tokio::test]
async fn every_ref_of_a_push_gets_its_own_pipeline() {
    let world = World::new().await;
    let clone = world.clone(Role::Maintainer).await;
    for number in 0..200 {
        clone.ok(&["branch", &format!("b{number:03}")]).await;
    }
    clone.ok(&["tag", "v1"]).await;
    let said = clone.ok(&["push", "origin", "--all"]).await;
    assert_has(
        &said,
        &["b000: pipeline 1: 2 jobs", "... and 181 more refs"],
    );
    let said = clone.ok(&["push", "origin", "v1"]).await;
    assert_has(&said, &["pipeline 202: 2 jobs"]);
    let mut told = world.told().await;
    assert_eq!(told.len(), 202);
    told.sort();
    told.dedup();
    assert_eq!(told.len(), 202);
}

#[tokio::test]
async fn a_large_push_comes_in_whole() {
    let world = World::new().await;
    let clone = world.clone(Role::Maintainer).await;
    // Noise, which no packing makes smaller.
    let mut noise = vec![0; 20 << 20];
    let mut state = 1_u64;
    for byte in &mut noise {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        *byte = (state >> 33) as u8;
    }
    std::fs::write(clone.path().join("noise"), &noise).unwrap();
    clone.commit("a", "1", "noise").await;
    assert_has(&clone.ok(&["push", "origin", "main"]).await, &["2 jobs"]);
    let other = Clone::new();
    let url = world.url(Role::Viewer, "group/app");
    other.ok(&["clone", "-q", &url, "."]).await;
    assert!(std::fs::read(other.path().join("noise")).unwrap() == noise);
    let left = std::fs::read_dir(world.dir.path().join("repositories")).unwrap();
    assert_eq!(left.count(), 1, "nothing of the push's file is left");
}

#[tokio::test]
async fn pushes_at_once_each_get_their_pipeline() {
    let world = World::new().await;
    let clone = world.clone(Role::Maintainer).await;
    clone.ok(&["push", "origin", "main"]).await;
    let url = world.url(Role::Developer, "group/app");
    let push = async |number: usize| {
        let clone = Clone::new();
        clone.ok(&["clone", "-q", &url, "."]).await;
        clone.commit("a", &number.to_string(), "change").await;
        let own = format!("HEAD:refs/heads/own-{number}");
        clone.ok(&["push", "origin", &own]).await;
        // One of all wins here; the others are told to fetch first.
        let shared = clone
            .git(&["push", "origin", "HEAD:refs/heads/shared"])
            .await;
        shared.well
    };
    let (a, b, c, d) = tokio::join!(push(1), push(2), push(3), push(4));
    assert_eq!([a, b, c, d].into_iter().filter(|well| *well).count(), 1);
    let mut told = world.told().await;
    told.sort();
    let expected = [
        "push main 2",
        "push own-1 2",
        "push own-2 2",
        "push own-3 2",
        "push own-4 2",
        "push shared 2",
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_deleted_project_leaves_nothing_to_the_next_of_its_path() {
    let world = World::new().await;
    let clone = world.clone(Role::Maintainer).await;
    clone.ok(&["push", "origin", "main"]).await;
    let project = world.catalog.project("group/app").unwrap();
    world.catalog.delete_project(project.id).unwrap();
    world.sources.clear(project.id).await;
    assert!(!world.repository(&project).exists());
    assert_has(
        &clone.fails(&["fetch", "origin"]).await,
        &["there is no project group/app"],
    );
    world.project("group/app");
    let said = clone.ok(&["ls-remote", "origin"]).await;
    assert_eq!(said, "");
}

#[tokio::test]
async fn what_a_crash_left_of_a_deleted_project_is_removed_at_the_next_start() {
    let world = World::new().await;
    let clone = world.clone(Role::Maintainer).await;
    clone.ok(&["push", "origin", "main"]).await;
    let project = world.catalog.project("group/app").unwrap();
    let other = world.project("group/other");
    let url = world.url(Role::Maintainer, "group/other");
    clone.ok(&["push", &url, "main"]).await;
    world.catalog.delete_project(project.id).unwrap();
    noted(&world, true).await;
    let world = world.restarted().await;
    assert!(!world.repository(&project).exists());
    assert!(world.repository(&other).exists());
    let pipelines = world.pipelines().await;
    let left: Vec<&str> = pipelines
        .iter()
        .map(|it| it.project_path.as_str())
        .collect();
    assert_eq!(left, ["group/other"]);
    assert_eq!(world.catalog.deleted(), []);
    noted(&world, false).await;
}

/// Returns once the store says, or does not say, that a project is to be cleared.
async fn noted(world: &World, wanted: bool) {
    let is_noted = || {
        world
            .memory
            .now()
            .keys()
            .any(|it| it.starts_with("deleted/"))
    };
    while is_noted() != wanted {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_pipeline_without_jobs_takes_no_job_of_another_along() {
    let world = World::new().await;
    let clone = world.clone(Role::Maintainer).await;
    clone.ok(&["push", "-o", "ci.skip", "origin", "main"]).await;
    let url = world.url(Role::Maintainer, "group/other");
    world.project("group/other");
    clone.ok(&["push", &url, "main"]).await;
    let project = world.catalog.project("group/app").unwrap();
    world.catalog.delete_project(project.id).unwrap();
    world.sources.clear(project.id).await;
    assert_eq!(world.told().await, ["push main 2"]);
    let jobs = world.core.look(|core| core.jobs(|_| true, 10).len()).await;
    assert_eq!(jobs, Some(2));
}
