//! Whole pipelines as files, run by the real `fleetctl`.
//!
//! Each folder of `tests/pipelines` is a case: a `.gitlab-ci.yml`, the files
//! beside it under `committed/` (in the commit) and `uncommitted/` (only in the
//! working tree), and `expected.toml`:
//!
//! | field | meaning |
//! |---|---|
//! | `exit` | exit code of `fleetctl run` |
//! | `args` | its further arguments |
//! | `jobs` | the last state of every job |
//! | `attempts`, `reasons`, `exit_codes` | of the jobs named: how many tries, why it failed, and with which code |
//! | `order` | `a < b`: job `a` ended before `b` started; `a < b ends`: before `b` ended |
//! | `log`, `log_lacks` | lines that logs of the jobs named hold, in this order, or do not hold |
//! | `shown` | texts that people are shown, without `-o json` |
//!
//! After each run no process and no temporary file of it may be left.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use fleet_tests::{Project, Report, repository};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    exit: i32,
    #[serde(default)]
    args: Vec<String>,
    jobs: BTreeMap<String, String>,
    #[serde(default)]
    attempts: BTreeMap<String, u64>,
    #[serde(default)]
    reasons: BTreeMap<String, String>,
    #[serde(default)]
    exit_codes: BTreeMap<String, i64>,
    #[serde(default)]
    order: Vec<String>,
    #[serde(default)]
    log: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    log_lacks: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    shown: Vec<String>,
}

/// One test a folder, so that they run side by side and fail by name.
macro_rules! cases {
    ($($name:ident: $folder:literal,)*) => {
        $(#[test]
        fn $name() -> Result<()> {
            check($folder)
        })*

        #[test]
        fn every_folder_is_a_case() -> Result<()> {
            let mut folders = Vec::new();
            for entry in fs::read_dir(repository().join("tests/pipelines"))? {
                folders.push(entry?.file_name().to_string_lossy().into_owned());
            }
            folders.sort();
            let mut cases = vec![$($folder),*];
            cases.sort_unstable();
            assert_eq!(folders, cases);
            Ok(())
        }
    };
}

cases! {
    child_pipeline_runs_with_its_parent: "child",
    child_pipeline_of_a_jobs_artifacts: "child-dynamic",
    jobs_of_a_child_get_artifacts_of_its_parent: "child-needs",
    each_combination_starts_a_child_pipeline: "child-matrix",
    failing_child_fails_who_waits_for_it: "child-failure",
    artifacts_keep_modes_links_and_what_the_result_allows: "artifact-edges",
    dotenv_variables_go_with_artifacts: "dotenv",
    jobs_of_one_resource_group_do_not_overlap: "resource-group",
    configuration_is_put_together_from_its_parts: "reuse",
    rules_decide_what_is_in_the_pipeline: "rules",
    script_is_one_program_of_the_shell: "shell",
    variables_refer_to_each_other: "variables",
    after_script_runs_after_a_failure: "after-script",
    allowed_failures_do_not_fail_the_pipeline: "allow-failure",
    artifacts_go_only_to_jobs_that_ask: "artifacts",
    failing_job_fails_the_run_and_shows_its_last_lines: "failure",
    matrix_makes_a_job_of_each_combination: "matrix",
    stages_and_needs_give_the_order: "order",
    failed_attempt_is_tried_again: "retry",
    timeout_ends_all_processes_of_a_job: "timeout",
    on_failure_and_always_run_after_a_failure: "when",
    jobs_see_the_working_tree_as_it_is_on_disk: "working-tree",
}

fn check(case: &str) -> Result<()> {
    let folder = repository().join("tests/pipelines").join(case);
    let text = fs::read_to_string(folder.join("expected.toml")).context("read expected.toml")?;
    let expected: Expected = toml::from_str(&text).context("read expected.toml")?;

    let project = prepare(&folder)?;
    let finished = project
        .run(&["-o", "json"])?
        .args(&expected.args)
        .finish()
        .context(case.to_owned())?;
    let words = finished.output();
    finished.expect_exit(expected.exit)?;
    let report = Report::read(&finished.stdout).context(words.clone())?;
    compare(&expected, &report).context(words)?;
    project.expect_nothing_left()?;

    if !expected.shown.is_empty() {
        let project = prepare(&folder)?;
        let finished = project.run(&[])?.args(&expected.args).finish()?;
        finished.expect_exit(expected.exit)?;
        expected
            .shown
            .iter()
            .try_for_each(|text| finished.expect_text(text))?;
    }
    Ok(())
}

/// A repository as the case wants it.
fn prepare(folder: &Path) -> Result<Project> {
    let project = Project::new()?;
    if folder.join("committed").exists() {
        project.copy(&folder.join("committed"))?;
    }
    let pipeline = fs::read(folder.join(".gitlab-ci.yml")).context("read .gitlab-ci.yml")?;
    project.write(".gitlab-ci.yml", pipeline)?;
    project.commit("first")?;
    if folder.join("uncommitted").exists() {
        project.copy(&folder.join("uncommitted"))?;
    }
    Ok(project)
}

fn compare(expected: &Expected, report: &Report) -> Result<()> {
    let states: BTreeMap<_, _> = report
        .jobs
        .iter()
        .map(|(name, job)| (name.clone(), job.state.clone()))
        .collect();
    ensure!(
        states == expected.jobs,
        "states: {states:#?}\nexpected: {:#?}",
        expected.jobs
    );
    for (name, attempts) in &expected.attempts {
        let job = report.job(name)?;
        ensure!(
            job.attempts == *attempts,
            "`{name}` took {} attempts",
            job.attempts
        );
    }
    for (name, reason) in &expected.reasons {
        let job = report.job(name)?;
        ensure!(
            job.reason.as_ref() == Some(reason),
            "`{name}` failed with {:?}",
            job.reason
        );
    }
    for (name, code) in &expected.exit_codes {
        let job = report.job(name)?;
        ensure!(
            job.exit_code == Some(*code),
            "`{name}` exited with {:?}",
            job.exit_code
        );
    }
    for pair in &expected.order {
        let (first, then) = pair.split_once(" < ").context("order: `a < b`")?;
        let end = report
            .job(first)?
            .ended
            .with_context(|| format!("`{first}` never ended"))?;
        let later = match then.strip_suffix(" ends") {
            Some(name) => report.job(name)?.ended,
            None => report.job(then)?.started,
        };
        ensure!(
            later.is_some_and(|later| end < later),
            "the order is not `{pair}`"
        );
    }
    for (name, lines) in &expected.log {
        let log = &report.job(name)?.log;
        let mut left = log.iter();
        for line in lines {
            ensure!(
                left.any(|one| one == line),
                "the log of `{name}` lacks: {line}\n{log:#?}"
            );
        }
    }
    for (name, lines) in &expected.log_lacks {
        let log = &report.job(name)?.log;
        for line in lines {
            ensure!(
                !log.contains(line),
                "the log of `{name}` holds: {line}\n{log:#?}"
            );
        }
    }
    Ok(())
}
