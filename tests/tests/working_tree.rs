//! A run reads the working tree and changes nothing in it.

use anyhow::Result;
use fleet_tests::Project;

#[test]
fn run_changes_no_file_branch_index_stash_or_object() -> Result<()> {
    let project = Project::new()?;
    project.write(".gitignore", "ignored/\n")?;
    project.write("kept.txt", "committed\n")?;
    project.write("changed.txt", "committed\n")?;
    project.write(
        ".gitlab-ci.yml",
        "build:\n  script:\n    - cat kept.txt changed.txt staged.txt new.txt > kept.txt\n    \
         - echo built > new.o\n    - rm changed.txt\n    - git checkout -q -b other\n  \
         artifacts:\n    paths: [new.o]\nuse:\n  needs: [build]\n  script: cat new.o\n",
    )?;
    project.commit("first")?;
    // One of each: a stash, a staged file, a changed one, a new one, an ignored one.
    project.write("changed.txt", "stashed\n")?;
    project.git(&["stash", "push", "--quiet"])?;
    project.git(&["checkout", "--quiet", "-b", "feature"])?;
    project.write("staged.txt", "staged\n")?;
    project.git(&["add", "staged.txt"])?;
    project.write("changed.txt", "changed\n")?;
    project.write("new.txt", "new\n")?;
    project.write("ignored/file", "ignored\n")?;
    let before = project.snapshot()?;

    let finished = project.run(&[])?.finish()?;

    finished.expect_exit(0)?;
    project.expect_unchanged(&before)?;
    project.expect_nothing_left()
}

#[test]
fn repository_without_a_commit_runs_and_stays_without_one() -> Result<()> {
    let project = Project::new()?;
    project.write(".gitlab-ci.yml", "build:\n  script: cat new.txt\n")?;
    project.write("new.txt", "there is no commit yet\n")?;
    let before = project.snapshot()?;

    let finished = project.run(&[])?.finish()?;

    finished.expect_exit(0)?;
    project.expect_unchanged(&before)?;
    project.expect_nothing_left()
}
