//! Snapshots of real repositories in every condition people leave them in.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Output;
use std::time::SystemTime;

use fleet_language::{Ref, RefKind};

use super::*;

/// A folder for one test, with a repository `project` in it unless said otherwise.
struct Bench {
    root: tempfile::TempDir,
}

impl Bench {
    fn empty() -> Bench {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("project")).unwrap();
        Bench { root }
    }

    fn repository() -> Bench {
        let bench = Bench::empty();
        bench.init("project");
        bench
    }

    /// A repository with one commit of `a.txt` and `.gitignore`.
    fn committed() -> Bench {
        let bench = Bench::repository();
        bench.write("project/a.txt", "one\n");
        bench.write("project/.gitignore", "*.log\n");
        bench.commit("project", "first");
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        fs::canonicalize(self.root.path()).unwrap().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn init(&self, name: &str) {
        fs::create_dir_all(self.path(name)).unwrap();
        self.git(name, &["init", "-q", "-b", "main"]);
        for setting in [
            "user.name=Ann",
            "user.email=ann@example.org",
            "protocol.file.allow=always",
        ] {
            let (key, value) = setting.split_once('=').unwrap();
            self.git(name, &["config", key, value]);
        }
    }

    fn commit(&self, name: &str, message: &str) {
        self.git(name, &["add", "-A"]);
        self.git(
            name,
            &[
                "commit",
                "-q",
                "--no-verify",
                "--no-gpg-sign",
                "-m",
                message,
            ],
        );
    }

    fn git(&self, name: &str, arguments: &[&str]) -> String {
        let answer = self.try_git(name, arguments);
        assert!(answer.status.success(), "git {arguments:?}: {answer:?}");
        String::from_utf8_lossy(&answer.stdout)
            .trim_end()
            .to_owned()
    }

    fn try_git(&self, name: &str, arguments: &[&str]) -> Output {
        git(&self.path(name))
            .args(["-c", "protocol.file.allow=always"])
            .args(arguments)
            .output()
            .unwrap()
    }

    fn take(&self, name: &str) -> Snapshot {
        let dir = self.path(name);
        take(&dir, &store_dir(&dir)).unwrap()
    }

    /// The snapshot's files as a job would see them: fetched into a fresh
    /// repository, with nothing known but the source.
    fn files(&self, snapshot: &Snapshot) -> Vec<(String, String)> {
        let Source::Git {
            repository,
            sha,
            refspecs,
            depth,
            ..
        } = &snapshot.source
        else {
            panic!("a git source is expected: {:?}", snapshot.source);
        };
        let job = tempfile::tempdir_in(self.root.path()).unwrap();
        let name = job.path().file_name().unwrap().to_str().unwrap();
        let format = if sha.len() == 64 { "sha256" } else { "sha1" };
        self.git(name, &["init", "-q", &format!("--object-format={format}")]);
        self.git(
            name,
            &[
                "fetch",
                "-q",
                "--depth",
                &depth.to_string(),
                repository,
                &refspecs[0],
            ],
        );
        self.git(name, &["checkout", "-q", "-f", sha]);
        self.git(name, &["fsck", "--connectivity-only"]);
        let mut files = Vec::new();
        let listed = self.try_git(name, &["ls-files", "-z"]).stdout;
        for path in listed
            .split(|byte| *byte == 0)
            .filter(|path| !path.is_empty())
        {
            let text = fs::read(job.path().join(OsStr::from_bytes(path))).unwrap_or_default();
            files.push((
                String::from_utf8_lossy(path).into_owned(),
                String::from_utf8_lossy(&text).into_owned(),
            ));
        }
        files
    }

    fn names(&self, snapshot: &Snapshot) -> Vec<String> {
        self.files(snapshot)
            .into_iter()
            .map(|(name, _)| name)
            .collect()
    }

    /// Checks that a snapshot of the project leaves every file as it is, time and
    /// all, and returns it.
    fn take_untouched(&self) -> Snapshot {
        let before = self.fingerprint();
        let snapshot = self.take("project");
        let after = self.fingerprint();
        let touched: Vec<&PathBuf> = before
            .iter()
            .filter(|(path, state)| after.get(*path) != Some(state))
            .map(|(path, _)| path)
            .chain(after.keys().filter(|path| !before.contains_key(*path)))
            .collect();
        assert!(touched.is_empty(), "{touched:?}");
        snapshot
    }

    /// All files of the project and its repository, but for `.fleet/`.
    fn fingerprint(&self) -> BTreeMap<PathBuf, (Option<SystemTime>, Vec<u8>)> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.path("project")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                let meta = entry.path().symlink_metadata().unwrap();
                let name = entry.file_name().into_string().unwrap_or_default();
                if name == ".fleet" {
                    continue;
                }
                if meta.is_dir() {
                    folders.push(entry.path());
                    continue;
                }
                // Any git command that reads one renews its time.
                let is_shared_index = name.starts_with("sharedindex.");
                let time = (!is_shared_index).then(|| meta.modified().unwrap());
                found.insert(
                    entry.path(),
                    (time, fs::read(entry.path()).unwrap_or_default()),
                );
            }
        }
        found
    }
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect()
}

#[test]
fn clean_tree_is_head_itself() {
    let bench = Bench::committed();
    let snapshot = bench.take("project");
    assert_eq!(snapshot.sha, bench.git("project", &["rev-parse", "HEAD"]));
    assert_eq!(
        snapshot.description,
        format!("main at {}", short(&snapshot.sha))
    );
    assert_eq!(snapshot.branch.as_deref(), Some("main"));
    let head = snapshot.head.as_ref().unwrap();
    assert_eq!(
        (head.message.as_str(), head.author.name().as_str()),
        ("first\n", "Ann <ann@example.org>")
    );
    assert_eq!(bench.names(&snapshot), [".gitignore", "a.txt"]);
    assert!(snapshot.notes.is_empty(), "{:?}", snapshot.notes);
}

#[test]
fn what_is_on_disk_counts_and_nothing_of_the_users_changes() {
    let bench = Bench::committed();
    bench.write("project/gone.txt", "x");
    bench.write("project/staged.txt", "committed");
    bench.commit("project", "second");
    bench.write("project/a.txt", "stashed");
    bench.git("project", &["stash", "push", "-q"]);
    fs::remove_file(bench.path("project/gone.txt")).unwrap();
    bench.write("project/staged.txt", "staged");
    bench.git("project", &["add", "staged.txt"]);
    bench.write("project/staged.txt", "on disk");
    bench.write("project/a.txt", "changed");
    bench.write("project/new/untracked.txt", "new");
    bench.write("project/debug.log", "ignored");
    let count = bench.git("project", &["count-objects", "-v"]);

    let snapshot = bench.take_untouched();

    assert_eq!(bench.git("project", &["count-objects", "-v"]), count);
    assert_eq!(
        bench.files(&snapshot),
        pairs(&[
            (".gitignore", "*.log\n"),
            ("a.txt", "changed"),
            ("new/untracked.txt", "new"),
            ("staged.txt", "on disk"),
        ])
    );
    assert_eq!(
        snapshot.uncommitted,
        ["a.txt", "gone.txt", "new/untracked.txt", "staged.txt"]
    );
    assert!(
        snapshot.description.ends_with(" + 4 uncommitted changes"),
        "{}",
        snapshot.description
    );
    assert_eq!(
        bench.git("project", &["status", "--short"]).lines().count(),
        4
    );
}

#[test]
fn snapshot_stands_on_the_history_and_is_the_same_each_time() {
    let bench = Bench::committed();
    bench.write("project/a.txt", "two\n");
    let snapshot = bench.take("project");
    let store = format!("{}", store_dir(&bench.path("project")).display());
    let log = bench.git(
        "project",
        &["--git-dir", &store, "log", "--format=%s", &snapshot.sha],
    );
    let subject = log.lines().next().unwrap();
    assert!(
        subject.starts_with("chore: uncommitted changes on "),
        "{log}"
    );
    assert_eq!(log.lines().nth(1), Some("first"));
    let sha = snapshot.sha.clone();
    drop(snapshot);
    assert_eq!(bench.take("project").sha, sha);
}

#[test]
fn file_changed_in_the_instant_of_the_last_add_is_seen() {
    let bench = Bench::committed();
    // Same size, and as near in time as it gets.
    for round in 0..10 {
        bench.write("project/a.txt", &format!("{round}-1\n"));
        bench.git("project", &["add", "a.txt"]);
        bench.write("project/a.txt", &format!("{round}-2\n"));
        let snapshot = bench.take("project");
        assert_eq!(bench.files(&snapshot)[1].1, format!("{round}-2\n"));
    }
}

#[test]
fn unborn_branch_has_a_snapshot() {
    let bench = Bench::repository();
    bench.write("project/a.txt", "one");
    let snapshot = bench.take("project");
    assert_eq!(snapshot.description, "main, before its first commit");
    assert!(snapshot.head.is_none());
    assert_eq!(bench.files(&snapshot), pairs(&[("a.txt", "one")]));
}

#[test]
fn repository_without_any_file_has_a_snapshot() {
    let bench = Bench::repository();
    let snapshot = bench.take("project");
    assert_eq!(bench.names(&snapshot), Vec::<String>::new());
}

#[test]
fn folder_outside_any_repository_says_so() {
    let bench = Bench::empty();
    bench.write("project/a.txt", "one");
    bench.write("project/.gitignore", "b.txt\n");
    bench.write("project/b.txt", "ignored");
    let snapshot = bench.take("project");
    assert_eq!(snapshot.description, "a folder without git");
    assert!(
        snapshot.notes[0].contains("is in no git repository"),
        "{:?}",
        snapshot.notes
    );
    assert_eq!(bench.names(&snapshot), [".gitignore", "a.txt"]);
    drop(snapshot);
    bench.write("project/c.txt", "two");
    fs::remove_file(bench.path("project/a.txt")).unwrap();
    assert_eq!(bench.names(&bench.take("project")), [".gitignore", "c.txt"]);
}

#[test]
fn folder_the_outer_repository_ignores_stands_alone() {
    let bench = Bench::committed();
    bench.write("project/.gitignore", "scratch/\n");
    bench.write("project/scratch/x/a.txt", "one");
    let snapshot = bench.take("project/scratch/x");
    assert_eq!(bench.names(&snapshot), ["a.txt"]);
    assert!(
        snapshot.notes[0].contains("is in no git repository"),
        "{:?}",
        snapshot.notes
    );
}

#[test]
fn folder_inside_a_repository_is_the_root_of_its_project() {
    let bench = Bench::committed();
    bench.write("project/sub/dir/x.txt", "one");
    bench.write("project/sub/other.txt", "one");
    bench.commit("project", "sub");
    bench.write("project/outside.txt", "not asked for");
    let clean = bench.take("project/sub/dir");
    assert_eq!(bench.names(&clean), ["x.txt"]);
    assert!(clean.uncommitted.is_empty(), "{:?}", clean.uncommitted);
    assert!(clean.description.starts_with("main at "));
    drop(clean);
    bench.write("project/sub/dir/y.txt", "two");
    let snapshot = bench.take("project/sub/dir");
    assert_eq!(bench.names(&snapshot), ["x.txt", "y.txt"]);
    assert_eq!(snapshot.uncommitted, ["y.txt"]);
}

#[test]
fn detached_head_and_linked_worktree_are_like_any_other() {
    let bench = Bench::committed();
    bench.git(
        "project",
        &["worktree", "add", "-q", "../linked", "-b", "side"],
    );
    bench.write("linked/b.txt", "b");
    let linked = bench.take("linked");
    assert_eq!(linked.branch.as_deref(), Some("side"));
    assert_eq!(bench.names(&linked), [".gitignore", "a.txt", "b.txt"]);
    assert!(!bench.path("project/.fleet").exists());
    bench.git("project", &["checkout", "-q", "--detach"]);
    let detached = bench.take("project");
    assert_eq!(detached.branch, None);
    assert!(
        detached.description.starts_with("detached HEAD "),
        "{}",
        detached.description
    );
    assert_eq!(bench.names(&detached), [".gitignore", "a.txt"]);
}

#[test]
fn worktree_inside_the_working_tree_is_left_out_and_said() {
    let bench = Bench::committed();
    bench.git(
        "project",
        &["worktree", "add", "-q", "trees/side", "-b", "side"],
    );
    let snapshot = bench.take("project");
    assert_eq!(bench.names(&snapshot), [".gitignore", "a.txt"]);
    assert!(
        snapshot.notes[0].contains("trees/side"),
        "{:?}",
        snapshot.notes
    );
}

#[test]
fn submodules_are_ordinary_files_as_on_disk() {
    let bench = Bench::committed();
    for name in ["lib", "deep"] {
        bench.init(name);
        bench.write(&format!("{name}/{name}.txt"), "committed");
        bench.commit(name, name);
    }
    bench.git("lib", &["submodule", "add", "-q", "../deep", "deep"]);
    bench.commit("lib", "with deep");
    bench.git("project", &["submodule", "add", "-q", "../lib", "ext/lib"]);
    bench.git(
        "project",
        &["submodule", "update", "-q", "--init", "--recursive"],
    );
    bench.commit("project", "with lib");
    let clean = bench.take("project");
    assert_eq!(
        bench.names(&clean),
        [
            ".gitignore",
            ".gitmodules",
            "a.txt",
            "ext/lib/.gitmodules",
            "ext/lib/deep/deep.txt",
            "ext/lib/lib.txt"
        ]
    );
    drop(clean);
    bench.write("project/ext/lib/lib.txt", "changed");
    bench.write("project/ext/lib/deep/new.txt", "new");
    let dirty = bench.take_untouched();
    let files = bench.files(&dirty);
    assert!(
        files.contains(&("ext/lib/lib.txt".into(), "changed".into())),
        "{files:?}"
    );
    assert!(
        files.contains(&("ext/lib/deep/new.txt".into(), "new".into())),
        "{files:?}"
    );
}

#[test]
fn submodule_that_is_not_checked_out_stays_a_link() {
    let bench = Bench::committed();
    bench.init("lib");
    bench.write("lib/lib.txt", "x");
    bench.commit("lib", "lib");
    bench.git("project", &["submodule", "add", "-q", "../lib", "lib"]);
    bench.commit("project", "with lib");
    bench.git("project", &["submodule", "deinit", "-q", "-f", "lib"]);
    let snapshot = bench.take("project");
    assert_eq!(snapshot.sha, bench.git("project", &["rev-parse", "HEAD"]));
}

#[test]
fn other_repositories_inside_are_taken_with_or_without_commits() {
    let bench = Bench::committed();
    bench.init("project/inner");
    bench.write("project/inner/i.txt", "i");
    bench.commit("project/inner", "inner");
    bench.write("project/inner/j.txt", "j");
    bench.init("project/sub/unborn");
    bench.write("project/sub/unborn/u.txt", "u");
    let expected = [
        ".gitignore",
        "a.txt",
        "inner/i.txt",
        "inner/j.txt",
        "sub/unborn/u.txt",
    ];
    assert_eq!(bench.names(&bench.take("project")), expected);
    assert_eq!(bench.names(&bench.take("project/sub")), ["unborn/u.txt"]);
}

#[test]
fn names_need_not_be_text() {
    let bench = Bench::committed();
    for name in [
        &b"new\nline"[..],
        b"\xff\xfe",
        b" lead",
        b"-dash",
        b"\"quote\"",
        b":(top)magic",
    ] {
        fs::write(bench.path("project").join(OsStr::from_bytes(name)), "x").unwrap();
    }
    symlink("a.txt", bench.path("project/link")).unwrap();
    assert_eq!(bench.names(&bench.take("project")).len(), 9);
    bench.init("nested");
    fs::rename(
        bench.path("nested"),
        bench.path("project").join(OsStr::from_bytes(b"sub\n\xffm")),
    )
    .unwrap();
    let nested = bench.path("project").join(OsStr::from_bytes(b"sub\n\xffm"));
    fs::write(nested.join("n"), "x").unwrap();
    let add = git(&nested).args(["add", "-A"]).status().unwrap();
    let commit = git(&nested)
        .args(["commit", "-q", "-m", "n"])
        .status()
        .unwrap();
    assert!(add.success() && commit.success());
    assert_eq!(bench.names(&bench.take("project")).len(), 10);
}

#[test]
fn settings_of_the_user_neither_break_it_nor_run_anything() {
    let bench = Bench::committed();
    let witness = bench.path("ran");
    let hook = bench.path("hooks/post-index-change");
    bench.write(
        "hooks/post-index-change",
        &format!("#!/bin/sh\ntouch '{}'\n", witness.display()),
    );
    bench.write(
        "hooks/fsmonitor",
        &format!("#!/bin/sh\ntouch '{}'\n", witness.display()),
    );
    for script in [&hook, &bench.path("hooks/fsmonitor")] {
        fs::set_permissions(script, fs::Permissions::from_mode(0o755)).unwrap();
    }
    for (key, value) in [
        ("commit.gpgsign", "true"),
        ("gpg.program", "/bin/false"),
        ("core.hooksPath", bench.path("hooks").to_str().unwrap()),
        (
            "core.fsmonitor",
            bench.path("hooks/fsmonitor").to_str().unwrap(),
        ),
        ("core.autocrlf", "true"),
        ("core.safecrlf", "true"),
        ("core.splitIndex", "true"),
        ("core.untrackedCache", "true"),
        ("add.ignoreErrors", "false"),
        ("core.quotePath", "true"),
        ("log.showSignature", "true"),
        ("status.showUntrackedFiles", "no"),
        ("index.version", "4"),
    ] {
        bench.git("project", &["config", key, value]);
    }
    bench.write("project/mixed.txt", "a\r\nb\nc\r\n");
    bench.init("project/inner");
    bench.write("project/inner/i.txt", "i");
    bench.commit("project/inner", "i");
    bench.git("project", &["add", "a.txt"]);
    bench.write("project/a.txt", "changed");
    let snapshot = bench.take_untouched();
    assert!(!witness.exists());
    assert_eq!(
        bench.names(&snapshot),
        [".gitignore", "a.txt", "inner/i.txt", "mixed.txt"]
    );
}

#[test]
fn split_index_is_read_and_left_alone() {
    let bench = Bench::committed();
    bench.git(
        "project",
        &[
            "-c",
            "core.splitIndex=true",
            "update-index",
            "--split-index",
        ],
    );
    bench.write("project/b.txt", "b");
    bench.git("project", &["-c", "core.splitIndex=true", "add", "b.txt"]);
    bench.write("project/c.txt", "c");
    assert_eq!(
        bench.names(&bench.take_untouched()),
        [".gitignore", "a.txt", "b.txt", "c.txt"]
    );
}

#[test]
fn clean_filters_run_and_broken_ones_are_gone_around() {
    let bench = Bench::committed();
    bench.write(
        "project/.gitattributes",
        "*.up filter=up\n*.bad filter=bad\n",
    );
    bench.git("project", &["config", "filter.up.clean", "tr a-z A-Z"]);
    bench.write("project/x.up", "text");
    let snapshot = bench.take("project");
    assert!(
        bench
            .files(&snapshot)
            .contains(&("x.up".into(), "TEXT".into()))
    );
    drop(snapshot);
    bench.git(
        "project",
        &["config", "filter.bad.clean", "no-such-program"],
    );
    bench.git("project", &["config", "filter.bad.required", "true"]);
    bench.write("project/y.bad", "text");
    let snapshot = bench.take("project");
    assert!(
        bench
            .files(&snapshot)
            .contains(&("y.bad".into(), "text".into()))
    );
    assert!(
        snapshot.notes[0].contains("without git's filters"),
        "{:?}",
        snapshot.notes
    );
}

#[test]
fn conflicts_of_a_merge_are_taken_as_on_disk() {
    let bench = Bench::committed();
    bench.git("project", &["checkout", "-q", "-b", "side"]);
    bench.write("project/a.txt", "side\n");
    bench.commit("project", "side");
    bench.git("project", &["checkout", "-q", "main"]);
    bench.write("project/a.txt", "main\n");
    bench.commit("project", "main");
    assert!(
        !bench
            .try_git("project", &["merge", "-q", "side"])
            .status
            .success()
    );
    let snapshot = bench.take_untouched();
    assert!(bench.files(&snapshot)[1].1.contains("<<<<<<<"));
}

#[test]
fn locks_of_killed_processes_are_no_hindrance() {
    let bench = Bench::committed();
    drop(bench.take("project"));
    bench.write("project/.git/index.lock", "");
    bench.write("project/.fleet/store.git/fleet/index-1-0", "left over");
    bench.write("project/.fleet/store.git/fleet/index-1-0.lock", "");
    bench.write("project/b.txt", "b");
    assert_eq!(
        bench.names(&bench.take("project")),
        [".gitignore", "a.txt", "b.txt"]
    );
    assert!(
        !bench
            .path("project/.fleet/store.git/fleet/index-1-0")
            .exists()
    );
}

#[test]
fn runs_at_the_same_time_keep_their_snapshots() {
    let bench = Bench::committed();
    bench.write("project/first.txt", "1");
    let first = bench.take("project");
    fs::remove_file(bench.path("project/first.txt")).unwrap();
    bench.write("project/second.txt", "2");
    // Many enough for the store to be emptied, were it not in use.
    let folder = bench.path("project/.fleet/store.git/objects/17");
    fs::create_dir_all(&folder).unwrap();
    for number in 0..100 {
        fs::write(folder.join(format!("{number:038}")), "").unwrap();
    }
    let second = bench.take("project");
    for number in 0..100 {
        fs::remove_file(folder.join(format!("{number:038}"))).unwrap();
    }
    assert_eq!(bench.names(&first), [".gitignore", "a.txt", "first.txt"]);
    assert_eq!(bench.names(&second), [".gitignore", "a.txt", "second.txt"]);
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| bench.take("project")))
            .collect();
        for run in runs {
            assert_eq!(run.join().unwrap().sha, second.sha);
        }
    });
}

#[test]
fn overgrown_store_is_emptied_when_nobody_uses_it() {
    let bench = Bench::committed();
    bench.write("project/b.txt", "b");
    drop(bench.take("project"));
    let folder = bench.path("project/.fleet/store.git/objects/17");
    fs::create_dir_all(&folder).unwrap();
    for number in 0..100 {
        fs::write(folder.join(format!("{number:038}")), "").unwrap();
    }
    assert_eq!(
        bench.names(&bench.take("project")),
        [".gitignore", "a.txt", "b.txt"]
    );
    assert!(!folder.join(format!("{:038}", 1)).exists());
}

#[test]
fn borrowed_objects_are_found_through_relative_and_chained_alternates() {
    let bench = Bench::committed();
    bench.git(".", &["clone", "-q", "--shared", "project", "second"]);
    bench.git(".", &["clone", "-q", "--shared", "second", "third"]);
    bench.write(
        "third/.git/objects/info/alternates",
        "../../../second/.git/objects\n",
    );
    bench.write("third/b.txt", "b");
    assert_eq!(
        bench.names(&bench.take("third")),
        [".gitignore", "a.txt", "b.txt"]
    );
}

#[test]
fn shallow_clone_has_a_snapshot() {
    let bench = Bench::committed();
    bench.write("project/b.txt", "b");
    bench.commit("project", "second");
    let url = format!("file://{}", bench.path("project").display());
    bench.git(".", &["clone", "-q", "--depth", "1", &url, "clone"]);
    bench.write("clone/c.txt", "c");
    let snapshot = bench.take("clone");
    assert_eq!(
        bench.names(&snapshot),
        [".gitignore", "a.txt", "b.txt", "c.txt"]
    );
    assert_eq!(
        snapshot.remote_tip.as_ref().map(|tip| &tip.sha),
        snapshot.head.as_ref().map(|head| &head.sha)
    );
}

#[test]
fn sparse_checkout_keeps_what_is_not_on_disk() {
    let bench = Bench::committed();
    bench.write("project/in/x", "x");
    bench.write("project/out/y", "y");
    bench.commit("project", "folders");
    bench.git("project", &["sparse-checkout", "set", "in"]);
    assert!(!bench.path("project/out").exists());
    bench.write("project/out/new", "new");
    let snapshot = bench.take("project");
    assert_eq!(
        bench.names(&snapshot),
        [".gitignore", "a.txt", "in/x", "out/new", "out/y"]
    );
}

#[test]
fn sha256_repository_has_a_snapshot() {
    let bench = Bench::empty();
    bench.git(
        "project",
        &["init", "-q", "-b", "main", "--object-format=sha256"],
    );
    bench.git("project", &["config", "user.name", "Ann"]);
    bench.git("project", &["config", "user.email", "ann@example.org"]);
    bench.write("project/a.txt", "one");
    bench.commit("project", "first");
    bench.write("project/b.txt", "two");
    bench.init("project/inner");
    bench.write("project/inner/i.txt", "i");
    bench.commit("project/inner", "sha1 inside");
    let snapshot = bench.take("project");
    assert_eq!(snapshot.sha.len(), 64);
    assert_eq!(bench.names(&snapshot), ["a.txt", "b.txt"]);
    assert!(
        snapshot.notes[0].contains("hashes of another kind"),
        "{:?}",
        snapshot.notes
    );
}

#[test]
fn file_that_cannot_be_read_is_left_out_and_said() {
    let bench = Bench::committed();
    // A socket can be read by nobody, not even root.
    let _socket = std::os::unix::net::UnixListener::bind(bench.path("project/socket")).unwrap();
    bench.write("project/b.txt", "b");
    assert_eq!(
        bench.names(&bench.take("project")),
        [".gitignore", "a.txt", "b.txt"]
    );
}

#[test]
fn own_folder_ignores_itself() {
    let bench = Bench::committed();
    bench.write("project/.fleet/variables.toml", "SECRET = 'x'\n");
    assert_eq!(bench.names(&bench.take("project")), [".gitignore", "a.txt"]);
    assert_eq!(bench.git("project", &["status", "--short"]), "");
}

#[test]
fn jobs_of_a_tag_fetch_a_tag() {
    let bench = Bench::committed();
    let snapshot = bench.take("project");
    let tag = Ref {
        name: "v1".into(),
        kind: RefKind::Tag,
        protected: false,
    };
    let Source::Git {
        refspecs,
        reference,
        ..
    } = snapshot.source_for(&tag)
    else {
        panic!()
    };
    assert_eq!(reference, "v1");
    assert_eq!(
        refspecs,
        [format!("+refs/snapshots/{}:refs/tags/v1", snapshot.sha)]
    );
}

#[test]
fn folder_copy_has_all_files_but_git_and_fleet() {
    let bench = Bench::committed();
    bench.write("project/sub/b.log", "b");
    symlink("a.txt", bench.path("project/link")).unwrap();
    let copy = folder::copy(&bench.path("project"), bench.path("copy")).unwrap();
    assert_eq!(
        fs::read_to_string(copy.path.join("sub/b.log")).unwrap(),
        "b"
    );
    assert!(copy.path.join("link").is_symlink() && !copy.path.join(".git").exists());
    let again = folder::copy(&bench.path("project"), bench.path("again")).unwrap();
    assert_eq!((copy.sha.len(), &copy.sha), (40, &again.sha));
    let path = copy.path.clone();
    drop(copy);
    assert!(!path.exists());
}

#[test]
fn line_ends_of_a_file_that_was_committed_with_crlf_stay() {
    let bench = Bench::committed();
    bench.write("project/dos.txt", "one\r\ntwo\r\n");
    bench.commit("project", "as it is");
    bench.write("project/.gitattributes", "* text=auto\n");
    bench.write("project/dos.txt", "one\r\nTWO\r\n");
    bench.write("project/new.txt", "one\r\n");
    let files = bench.files(&bench.take("project"));
    assert!(
        files.contains(&("dos.txt".into(), "one\r\nTWO\r\n".into())),
        "{files:?}"
    );
    assert!(
        files.contains(&("new.txt".into(), "one\n".into())),
        "{files:?}"
    );
}

#[test]
fn trees_are_those_git_would_write() {
    let bench = Bench::committed();
    let names = [
        "a",
        "a-b",
        "a.b",
        "a0",
        "b/a",
        "b/a-/x",
        "b/a/c",
        "b/a0",
        "c/d/e/f",
        "d d/\u{e4}",
    ];
    for name in names.iter().filter(|name| **name != "b/a") {
        bench.write(&format!("project/{name}"), name);
    }
    bench.commit("project", "names");
    let expect_same = || {
        let snapshot = bench.take("project");
        bench.init("copy");
        let copied = std::process::Command::new("sh")
            .args([
                "-c",
                "tar cf - --exclude=.git --exclude=.fleet . | tar xf - -C ../copy",
            ])
            .current_dir(bench.path("project"))
            .status();
        assert!(copied.unwrap().success());
        bench.git("copy", &["add", "-A"]);
        let tree = bench.git("copy", &["write-tree"]);
        let store = store_dir(&bench.path("project")).display().to_string();
        let commit = format!("{}^{{tree}}", snapshot.sha);
        assert_eq!(
            bench.git("project", &["--git-dir", &store, "rev-parse", &commit]),
            tree
        );
        fs::remove_dir_all(bench.path("copy")).unwrap();
    };
    expect_same();
    bench.write("project/b/a/c", "changed");
    expect_same();
    fs::remove_dir_all(bench.path("project/b/a")).unwrap();
    bench.write("project/b/a", "a file where a folder was");
    expect_same();
    fs::remove_file(bench.path("project/a")).unwrap();
    bench.write("project/a/b", "a folder where a file was");
    bench.git("project", &["add", "-A"]);
    expect_same();
}
