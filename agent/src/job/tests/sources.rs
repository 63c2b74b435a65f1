use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};

use fleet_model::{FailureReason, Hook, JobSpec, Source, Variable};

use super::web::Web;
use super::world::{World, gone, with};
use crate::job::Control;

fn depth(mut spec: JobSpec, wanted: u32) -> JobSpec {
    if let Source::Git { depth, .. } = &mut spec.source {
        *depth = wanted;
    }
    spec
}

fn repository(mut spec: JobSpec, url: &str) -> JobSpec {
    if let Source::Git { repository, .. } = &mut spec.source {
        *repository = url.to_owned();
    }
    spec
}

fn folder(mut spec: JobSpec, path: &std::path::Path) -> JobSpec {
    spec.source = Source::Folder {
        path: path.to_str().unwrap().to_owned(),
    };
    spec
}

#[tokio::test]
async fn git_in_a_script_finds_a_whole_repository() {
    let world = World::new();
    world.git(&["tag", "-a", "v1", "-m", "v1"]);
    fs::write(world.seed("two"), "2").unwrap();
    world.publish("two");
    let sha = world.git(&["rev-parse", "HEAD"]);
    let job = world.job(&[
        "git rev-parse HEAD; git describe; git log --format=%s | tr '\\n' ' '; echo",
        "echo \"<$(git status --porcelain)><$(git branch --show-current)>\"",
        "git rev-parse origin/main; git fetch origin && echo fetched; git remote get-url origin",
        "git rev-list --count HEAD; git fsck --no-dangling && echo sound",
    ]);
    let store = world.path("store.git").display().to_string();
    let describe = format!("v1-1-g{}", &sha[..7]);
    world.run(job).await.succeeds().shows(&[
        "Fetching changes...",
        "Created fresh repository.",
        &format!(
            "Checking out {} as detached HEAD (ref is main)...",
            &sha[..8]
        ),
        &sha,
        &describe,
        "two one",
        "<><>",
        &sha,
        "fetched",
        &store,
        "2",
        "sound",
    ]);
}

#[tokio::test]
async fn a_depth_of_one_is_one_commit() {
    let world = World::new();
    fs::write(world.seed("two"), "2").unwrap();
    world.publish("two");
    let job = || {
        depth(
            world.job(&["git rev-list --count HEAD; git fetch -q origin; git fsck"]),
            1,
        )
    };
    let lines = ["Fetching changes with git depth set to 1...", "1"];
    world.run(job()).await.succeeds().shows(&lines);
    world
        .run(job())
        .await
        .succeeds()
        .shows(&lines)
        .hides("Created fresh");
    let whole = world.job(&["echo count $(git rev-list --count HEAD)"]);
    world.run(whole).await.succeeds().shows(&["count 2"]);
}

#[tokio::test]
async fn a_used_folder_is_as_clean_as_a_new_one() {
    let world = World::new();
    let spoil = [
        "mkdir -p .git/hooks .git/info; echo evil > .git/hooks/post-checkout; chmod +x .git/hooks/post-checkout",
        "printf '#!/bin/sh\\ntouch HOOKED\\n' > .git/hooks/post-index-change; chmod +x .git/hooks/*",
        "git config core.fsmonitor /bin/false; git config filter.x.smudge false; echo '* filter=x' > .git/info/attributes",
        "touch junk .git/index.lock .git/HEAD.lock .git/shallow.lock; echo changed > README.md",
        "mkdir -p .git/refs/heads; touch .git/refs/heads/x.lock; echo nonsense > .git/HEAD",
        "mkdir -p .git/elsewhere; echo elsewhere > .git/commondir",
    ];
    world.run(world.job(&spoil)).await.succeeds();
    fs::write(world.seed("new"), "n").unwrap();
    world.publish("two");
    let look = [
        "test ! -e junk && test ! -e HOOKED; cat README.md new",
        "echo \"<$(git status --porcelain)><$(git config core.fsmonitor)>\"; ls .git/hooks 2>/dev/null || echo no hooks",
        "git rev-parse HEAD; git log --format=%s | tr '\\n' ' '",
        "! find .git -name '*.lock' | grep .",
    ];
    let sha = world.git(&["rev-parse", "HEAD"]);
    let ran = world.run(world.job(&look)).await.succeeds();
    ran.shows(&["hello", "<><>", "no hooks", &sha, "two one"])
        .hides("Created fresh");
}

#[tokio::test]
async fn a_git_folder_that_is_none_is_replaced() {
    let world = World::new();
    for spoil in [
        "rm -rf .git; ln -s / .git",
        "rm -rf .git; echo gitdir: /tmp > .git",
        "rm -rf .git/objects",
        "rm -rf .git/refs",
    ] {
        world.run(world.job(&[spoil])).await.succeeds();
        let ran = world
            .run(world.job(&["git status --porcelain; cat README.md"]))
            .await
            .succeeds();
        ran.shows(&["Created fresh repository.", "hello"]);
    }
}

#[tokio::test]
async fn a_link_in_place_of_the_project_is_not_followed() {
    let world = World::new();
    fs::create_dir_all(world.project().parent().unwrap()).unwrap();
    fs::create_dir(world.path("victim")).unwrap();
    symlink(world.path("victim"), world.project()).unwrap();
    world.run(world.job(&["cat README.md"])).await.succeeds();
    assert_eq!(fs::read_dir(world.path("victim")).unwrap().count(), 0);
}

#[tokio::test]
async fn clean_flags_say_what_stays() {
    let world = World::new();
    world
        .run(world.job(&["touch junk; mkdir kept; touch kept/f"]))
        .await
        .succeeds();
    let all = with(world.job(&["ls"]), &[("GIT_CLEAN_FLAGS", "none")]);
    world.run(all).await.succeeds().shows(&["junk", "kept"]);
    let some = with(world.job(&["ls"]), &[("GIT_CLEAN_FLAGS", "-ffdx -e kept/")]);
    world
        .run(some)
        .await
        .succeeds()
        .shows(&["kept"])
        .hides("\njunk\n");
}

#[tokio::test]
async fn strategies_decide_what_a_job_finds() {
    let world = World::new();
    let with_strategy =
        |script: &str, strategy| with(world.job(&[script]), &[("GIT_STRATEGY", strategy)]);
    world
        .run(world.job(&["touch .git/left junk"]))
        .await
        .succeeds();
    let none = with_strategy("ls; echo dir=$CI_PROJECT_DIR", "none");
    let dir = format!("dir={}", world.project().display());
    world
        .run(none)
        .await
        .succeeds()
        .shows(&["Skipping Git repository setup", "junk", &dir]);
    let empty = with_strategy("ls -A; echo dir=$CI_PROJECT_DIR; touch x", "empty");
    let lines = [
        "Skipping Git repository setup and creating an empty build directory",
        &(dir + "-empty"),
    ];
    world.run(empty.clone()).await.succeeds().shows(&lines);
    world.run(empty).await.succeeds().hides("\nx\n");
    let clone = with_strategy(
        "test ! -e .git/left; test ! -e junk; cat README.md",
        "clone",
    );
    world
        .run(clone)
        .await
        .succeeds()
        .shows(&["Created fresh repository.", "hello"]);
    let odd = with_strategy("cat README.md", "Clone");
    world
        .run(odd)
        .await
        .succeeds()
        .shows(&["WARNING: GIT_STRATEGY: expected", "hello"]);
}

#[tokio::test]
async fn without_checkout_the_folder_stays_at_its_commit() {
    let world = World::new();
    let first = world.git(&["rev-parse", "HEAD"]);
    world.run(world.job(&["touch junk"])).await.succeeds();
    fs::write(world.seed("new"), "n").unwrap();
    world.publish("two");
    let job = with(
        world.job(&["git rev-parse HEAD; ls"]),
        &[("GIT_CHECKOUT", "false")],
    );
    world
        .run(job)
        .await
        .succeeds()
        .shows(&["Skipping Git checkout", &first, "junk"])
        .hides("\nnew\n");
}

#[tokio::test]
async fn hooks_of_the_job_run_around_its_sources() {
    let world = World::new();
    let mut job = world.job(&["cat made"]);
    job.hooks = vec![
        Hook {
            name: "pre_get_sources_script".into(),
            script: vec!["echo before; ls -A | wc -l".into()],
        },
        Hook {
            name: "post_get_sources_script".into(),
            script: vec!["cat README.md; echo after > made".into()],
        },
    ];
    let ran = world.run(job.clone()).await.succeeds();
    ran.shows(&[
        "$ echo before",
        "before",
        "Fetching changes",
        "Checking out",
        "hello",
        "step_script",
        "after",
    ]);
    job.hooks[0].script = vec!["exit 3".into()];
    let ran = world.run(job).await.fails(FailureReason::SCRIPT_FAILURE, 3);
    ran.hides("Fetching").hides("step_script");
}

#[tokio::test]
async fn a_commit_the_repository_lacks_fails_the_stage() {
    let world = World::new();
    let mut job = world.job(&["echo never"]);
    if let Source::Git { sha, .. } = &mut job.source {
        *sha = "1".repeat(40);
    }
    let ran = world
        .run(job)
        .await
        .fails(FailureReason::SCRIPT_FAILURE, 128);
    ran.shows(&["fatal: "]).hides("never").hides("after_script");
}

#[tokio::test]
async fn what_git_could_misread_never_reaches_it() {
    let world = World::new();
    for url in [
        "ext::sh -c touch% /tmp/x",
        "--upload-pack=x",
        "file:///etc",
        "relative/path",
    ] {
        let ran = world.run(repository(world.job(&["true"]), url)).await;
        ran.fails(FailureReason::RUNNER_CONFIGURATION_ERROR, 0);
    }
    for sha in ["main", "--output=x", ""] {
        let mut job = world.job(&["true"]);
        if let Source::Git { sha: commit, .. } = &mut job.source {
            *commit = sha.into();
        }
        world
            .run(job)
            .await
            .fails(FailureReason::RUNNER_CONFIGURATION_ERROR, 0);
    }
    let job = with(world.job(&["true"]), &[("GIT_CLONE_PATH", "/elsewhere")]);
    world
        .run(job)
        .await
        .fails(FailureReason::RUNNER_CONFIGURATION_ERROR, 0);
}

#[tokio::test]
async fn job_cleanup_leaves_the_folder_as_the_user_says() {
    let world = World::new();
    let on = ("FF_ENABLE_JOB_CLEANUP", "true");
    world
        .run(with(world.job(&["touch junk; echo x > README.md"]), &[on]))
        .await
        .succeeds();
    assert!(!world.project().join("junk").exists());
    assert_eq!(
        fs::read_to_string(world.project().join("README.md")).unwrap(),
        "hello\n"
    );
    world
        .run(with(world.job(&["true"]), &[on, ("GIT_STRATEGY", "clone")]))
        .await
        .succeeds();
    assert!(!world.project().exists());
}

#[tokio::test]
async fn a_folder_is_copied_as_it_is() {
    let world = World::new();
    let tree = world.path("tree");
    fs::create_dir_all(tree.join("a/empty")).unwrap();
    fs::write(tree.join("a/run.sh"), "#!/bin/sh\necho ran\n").unwrap();
    fs::set_permissions(tree.join("a/run.sh"), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(tree.join("a"), Permissions::from_mode(0o555)).unwrap();
    symlink("a/run.sh", tree.join("link")).unwrap();
    symlink("/nowhere", tree.join("dangling")).unwrap();
    let script = [
        "a/run.sh; readlink link dangling; stat -c %a a a/run.sh; ls -d a/empty; touch junk; echo x > link",
    ];
    let lines = [
        "Copying ", "ran", "a/run.sh", "/nowhere", "555", "755", "a/empty",
    ];
    for _ in 0..2 {
        world
            .run(folder(world.job(&script), &tree))
            .await
            .succeeds()
            .shows(&lines)
            .hides("\njunk\n");
    }
    assert_eq!(
        fs::read_to_string(tree.join("a/run.sh")).unwrap(),
        "#!/bin/sh\necho ran\n"
    );
}

#[tokio::test]
async fn builds_inside_a_copied_folder_are_not_copied() {
    let world = World::new();
    let job = folder(
        world.job(&["test ! -e builds; test -d seed"]),
        world.folder.path(),
    );
    world.run(job.clone()).await.succeeds();
    world.run(job).await.succeeds();
}

#[tokio::test]
async fn a_url_is_fetched_with_the_jobs_credentials_which_are_nowhere_after_it() {
    let world = World::new();
    fs::write(world.seed("new"), "n").unwrap();
    world.publish("two");
    let web = Web::serve(
        world.path("store.git"),
        "gitlab-ci-token",
        "glcbt-token-of-the-job",
    )
    .await;
    let script = [
        "cat README.md; git remote get-url origin; cat .git/config; git rev-list --count HEAD",
        "git fetch origin && echo authenticated; git rev-parse origin/main",
    ];
    let sha = world.git(&["rev-parse", "HEAD"]);
    let job = || repository(world.job(&script), &web.url);
    let lines = ["hello", &*web.url, "2", "authenticated", &sha];
    world
        .run(job())
        .await
        .succeeds()
        .shows(&lines)
        .hides("token-of-the-job");
    let ran = world.run(job()).await.succeeds();
    ran.shows(&lines)
        .hides("token-of-the-job")
        .hides("Created fresh");
    let grep = std::process::Command::new("grep")
        .args(["-r", "token-of-the-job"])
        .arg(world.path("builds"))
        .output();
    assert_eq!(String::from_utf8(grep.unwrap().stdout).unwrap(), "");
}

#[tokio::test]
async fn a_password_in_the_repositorys_url_is_used_and_masked() {
    let world = World::new();
    let web = Web::serve(world.path("store.git"), "me", "hunter2-of-mine").await;
    let url = web.url.replace("//", "//me:hunter2-of-mine@");
    let job = repository(
        world.job(&["cat README.md .git/config; git fetch origin && echo again"]),
        &url,
    );
    let ran = world.run(with(job, &[("LEAK", &url)])).await.succeeds();
    ran.shows(&["hello", "again"]).hides("hunter2");
    let mut job = repository(world.job(&["true"]), &url.replace("http", "ftp"));
    job.token = fleet_model::Token("another-token".into());
    let ran = world
        .run(job)
        .await
        .fails(FailureReason::RUNNER_CONFIGURATION_ERROR, 0);
    let ran = ran.hides("hunter2");
    assert!(
        !ran.finished.message.contains("hunter2"),
        "{}",
        ran.finished.message
    );
}

#[tokio::test]
async fn sources_are_tried_again_as_often_as_the_job_allows() {
    let world = World::new();
    let web = Web::serve(
        world.path("store.git"),
        "gitlab-ci-token",
        "glcbt-token-of-the-job",
    )
    .await;
    let flags = [
        ("GET_SOURCES_ATTEMPTS", "2"),
        ("FF_USE_EXPONENTIAL_BACKOFF_STAGE_RETRY", "false"),
    ];
    web.fail(1);
    let ran = world
        .run(with(
            repository(world.job(&["cat README.md"]), &web.url),
            &flags,
        ))
        .await
        .succeeds();
    let ran = ran.shows(&[
        "Fetching changes...",
        "WARNING: get_sources failed: exit status 128",
        "Deleting all tracked and untracked files due to source fetch failure",
        "Fetching changes...",
        "hello",
    ]);
    assert_eq!(ran.log().matches("Deleting all tracked").count(), 1);
    web.fail(1);
    let ran = world
        .run(repository(world.job(&["echo never"]), &web.url))
        .await;
    ran.fails(FailureReason::SCRIPT_FAILURE, 128)
        .hides("never")
        .hides("Deleting all tracked");
}

#[tokio::test]
async fn a_cancel_stops_a_hanging_fetch() {
    let world = World::new();
    let web = Web::serve(
        world.path("store.git"),
        "gitlab-ci-token",
        "glcbt-token-of-the-job",
    )
    .await;
    web.hang();
    let job = repository(world.job(&["echo never"]), &web.url);
    let react = |log: &str| log.contains("Fetching changes").then_some(Control::Cancel);
    let ran = world.run_with(job, react).await;
    assert_eq!(ran.finished.outcome, fleet_model::Outcome::Canceled);
    ran.hides("never");
}

#[tokio::test]
async fn variables_that_steer_git_reach_the_script_but_not_the_checkout() {
    let world = World::new();
    let mut job = world.job(&["echo $GIT_DIR; unset GIT_DIR GIT_INDEX_FILE; cat README.md"]);
    job.variables = vec![
        Variable::new("GIT_DIR", "/nowhere"),
        Variable::new("GIT_INDEX_FILE", "/nowhere/i"),
        Variable::new("PATH", "/bin:/usr/bin"),
    ];
    world
        .run(job)
        .await
        .succeeds()
        .shows(&["/nowhere", "hello"]);
}

#[tokio::test]
async fn submodules_come_as_deep_as_asked_for() {
    let world = World::new();
    let web = Web::serve(
        world.folder.path().to_owned(),
        "gitlab-ci-token",
        "glcbt-token-of-the-job",
    )
    .await;
    let sh = |script: &str| {
        let status = std::process::Command::new("bash")
            .args(["-ec", script])
            .current_dir(world.folder.path())
            .envs([
                ("GIT_AUTHOR_NAME", "n"),
                ("GIT_AUTHOR_EMAIL", "e"),
                ("GIT_COMMITTER_NAME", "n"),
                ("GIT_COMMITTER_EMAIL", "e"),
            ])
            .status();
        assert!(status.unwrap().success());
    };
    sh("git init -q -b main inner; cd inner; echo i > i; git add .; git commit -qm i; cd ..; git clone -q --bare inner inner.git
        git init -q -b main outer; cd outer; echo o > o
        git -c protocol.file.allow=always submodule --quiet add ../inner.git in
        git config -f .gitmodules submodule.in.url ../inner.git; git add .; git commit -qm o; cd ..; git clone -q --bare outer outer.git
        cd seed; git -c protocol.file.allow=always submodule --quiet add ../outer.git out
        git config -f .gitmodules submodule.out.url ../outer.git
        for r in ../inner.git ../outer.git; do git -C $r update-server-info; done");
    world.publish("submodule");
    sh("git -C store.git update-server-info");
    let url = format!("{}/store.git", web.url);
    let job = |strategy: &str| {
        let job = repository(world.job(&["ls out out/in | tr '\\n' ' '; echo"]), &url);
        with(
            job,
            &[
                ("GIT_SUBMODULE_STRATEGY", strategy),
                ("GIT_STRATEGY", "clone"),
            ],
        )
    };
    world
        .run(job("none"))
        .await
        .fails(FailureReason::SCRIPT_FAILURE, 2);
    let normal = world.run(job("normal")).await.succeeds();
    normal
        .shows(&[
            "Updating/initializing submodules...",
            "Updated submodules",
            "out: in o  out/in: ",
        ])
        .hides("out/in: i");
    world.run(job("recursive")).await.succeeds().shows(&[
        "Updating/initializing submodules recursively...",
        "out/in: i",
    ]);
    world
        .run(job("all"))
        .await
        .fails(FailureReason::RUNNER_SYSTEM_FAILURE, 0);
}

#[tokio::test]
async fn what_a_hook_leaves_running_is_gone_with_it() {
    let world = World::new();
    let mut job = world.job(&["true"]);
    let script = "setsid sleep 1000 >/dev/null 2>&1 & echo $! > ../pid".to_owned();
    job.hooks = vec![Hook {
        name: "post_get_sources_script".into(),
        script: vec![script],
    }];
    world.run(job).await.succeeds();
    assert!(gone(
        &fs::read_to_string(world.project().join("../pid")).unwrap()
    ));
}

/// Git makes an identity up where it is given none, and looks the host's name up
/// for it: that takes ten seconds where nobody answers.
#[tokio::test]
async fn git_is_told_who_it_is_and_looks_nothing_up() {
    let world = World::new();
    let token = "glcbt-token-of-the-job";
    let web = Web::serve(world.path("store.git"), "gitlab-ci-token", token).await;
    let job = world.job(&[
        "find .git/logs -type f -exec cat {} +",
        "echo \"<$GIT_COMMITTER_EMAIL>\"",
    ]);
    let end = world.run(repository(job, &web.url)).await.succeeds();
    end.shows(&["Fleet <fleet@localhost>", "<>"]);
}
