//! Wrong pipeline files: refused with the place and clear words, soon, within
//! little memory, and never with a panic.

use anyhow::{Result, ensure};
use fleet_tests::{Finished, Project};

/// Address space a refusal may take, in bytes.
const MEMORY: u64 = 100 * 1024 * 1024;

/// Lints a file under the limit of memory, and checks what holds for every file.
fn lint(yaml: &str) -> Result<Finished> {
    let project = Project::with_pipeline(yaml)?;
    let finished = project.fleetctl(&["lint"])?.limit_memory(MEMORY).finish()?;
    ensure!(
        !finished.stderr.contains("panicked") && finished.status.code().is_some(),
        "{}",
        finished.output()
    );
    project.expect_nothing_left()?;
    Ok(finished)
}

/// Checks that a file is refused with all these texts.
fn refused(yaml: &str, texts: &[&str]) -> Result<()> {
    let finished = lint(yaml)?;
    finished.expect_exit(2)?;
    texts.iter().try_for_each(|text| finished.expect_text(text))
}

#[test]
fn broken_yaml_is_refused_with_its_place() -> Result<()> {
    refused(
        "build:\n  script: [\"make\"\ntest:\n  script: x\n",
        &[".gitlab-ci.yml:3:"],
    )
}

#[test]
fn tab_is_refused_with_its_place() -> Result<()> {
    refused("build:\n\tscript: make\n", &[".gitlab-ci.yml:2:1", "tab"])
}

#[test]
fn unknown_keyword_is_refused_with_the_nearest_known_one() -> Result<()> {
    refused(
        "build:\n  scirpt: make\n  script: make\n",
        &[
            ".gitlab-ci.yml:2:3",
            "jobs:build config contains unknown keys: scirpt",
            "`script`",
        ],
    )
}

#[test]
fn misspelt_need_is_refused_with_the_nearest_job() -> Result<()> {
    refused(
        "build:\n  script: make\ntest:\n  needs: [biuld]\n  script: make test\n",
        &[
            ".gitlab-ci.yml:4:11",
            "test job: undefined need: biuld",
            "`build`",
        ],
    )
}

#[test]
fn cycle_of_needs_is_refused_with_the_jobs_in_it() -> Result<()> {
    refused(
        "one:\n  script: a\n  needs: [three]\ntwo:\n  script: a\n  needs: [one]\nthree:\n  script: a\n  \
         needs: [two]\n",
        &[".gitlab-ci.yml:", "circular", "one", "two", "three"],
    )
}

#[test]
fn job_without_script_is_refused() -> Result<()> {
    refused(
        "build:\n  stage: test\n",
        &[
            ".gitlab-ci.yml:1:1",
            "jobs build config should implement the script:, run:, or trigger: keyword",
        ],
    )
}

#[test]
fn all_mistakes_of_a_file_are_told_at_once() -> Result<()> {
    refused(
        "build:\n  scirpt: make\n  script: make\ntest:\n  script: make\n  when: sometimes\nship:\n  \
         script: make\n  artifacts:\n    paths: out\n",
        &[
            ".gitlab-ci.yml:2:3",
            ".gitlab-ci.yml:6:9",
            ".gitlab-ci.yml:10:12",
            "jobs:build config contains unknown keys: scirpt",
            "jobs:test when should be one of: on_success, on_failure, always, manual, delayed",
            "jobs:ship:artifacts paths should be an array of strings",
        ],
    )
}

#[test]
fn duplicate_key_and_shortened_number_are_warnings_with_their_place() -> Result<()> {
    let finished = lint(
        "variables:\n  VERSION: 3.10\nbuild:\n  script: make\n  stage: build\n  script: make all\n",
    )?;
    finished.expect_exit(0)?;
    for text in [
        "warning",
        ".gitlab-ci.yml:2:12",
        "3.1",
        ".gitlab-ci.yml:6:3",
        "script",
    ] {
        finished.expect_text(text)?;
    }
    Ok(())
}

#[test]
fn warning_fails_only_where_it_is_asked_to() -> Result<()> {
    let project = Project::with_pipeline("variables:\n  VERSION: 3.10\nbuild:\n  script: make\n")?;
    project.fleetctl(&["lint"])?.finish()?.expect_exit(0)?;
    project
        .fleetctl(&["lint", "--strict"])?
        .finish()?
        .expect_exit(1)
}

#[test]
fn five_thousand_levels_of_lists_are_refused() -> Result<()> {
    let deep = format!(
        "build:\n  script: {}x{}\n",
        "[".repeat(5_000),
        "]".repeat(5_000)
    );
    refused(&deep, &[".gitlab-ci.yml:2:"])
}

#[test]
fn five_thousand_levels_of_maps_are_refused() -> Result<()> {
    let mut deep = String::new();
    for level in 0..5_000 {
        deep.push_str(&" ".repeat(level));
        deep.push_str("a:\n");
    }
    refused(&deep, &[".gitlab-ci.yml"])
}

#[test]
fn alias_bomb_is_refused() -> Result<()> {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    bomb.push_str("build:\n  script: *a11\n");
    refused(&bomb, &[".gitlab-ci.yml", "The parsed YAML is too big"])
}

#[test]
fn large_flat_file_of_nonsense_is_refused() -> Result<()> {
    refused(&"x".repeat(3 << 20), &[".gitlab-ci.yml", "too big"])
}

#[test]
fn bytes_that_are_no_text_are_refused() -> Result<()> {
    let project = Project::new()?;
    project.write(".gitlab-ci.yml", b"build:\n  script: \xff\xfe\n")?;
    let finished = project.fleetctl(&["lint"])?.limit_memory(MEMORY).finish()?;
    finished.expect_exit(2)?;
    finished.expect_text(".gitlab-ci.yml")
}

#[test]
fn missing_file_is_named() -> Result<()> {
    let project = Project::new()?;
    for command in ["lint", "run", "graph", "compile"] {
        let finished = project.fleetctl(&[command])?.finish()?;
        finished.expect_exit(2)?;
        finished.expect_text(".gitlab-ci.yml")?;
    }
    Ok(())
}

#[test]
fn run_refuses_what_lint_refuses_and_starts_nothing() -> Result<()> {
    let project = Project::with_pipeline(
        "build:\n  script: touch \"$MARKS/ran\"\ntest:\n  needs: [biuld]\n  script: make test\n",
    )?;
    let finished = project.run(&[])?.finish()?;
    finished.expect_exit(2)?;
    finished.expect_text(".gitlab-ci.yml:4:11")?;
    ensure!(!project.marks().join("ran").exists(), "a job ran");
    project.expect_nothing_left()
}

#[test]
fn wrong_flag_is_refused_with_usage() -> Result<()> {
    let project = Project::with_pipeline("build:\n  script: make\n")?;
    for arguments in [
        &["run", "--no-such-flag"][..],
        &["run", "no such job"],
        &["frobnicate"],
    ] {
        let finished = project.fleetctl(arguments)?.finish()?;
        ensure!(
            !finished.stderr.is_empty(),
            "nothing said about {arguments:?}"
        );
        finished.expect_exit(2)?;
    }
    Ok(())
}
