//! The commands beside a plain `fleetctl run`.

use anyhow::{Context, Result, ensure};
use fleet_tests::{Project, Report};
use serde_json::Value;

const PIPELINE: &str = r#"
stages: [build, test, deploy]
.common:
  before_script: [echo before]
build:
  extends: .common
  stage: build
  script: touch "$MARKS/build"
unit:
  stage: test
  needs: [build]
  script: touch "$MARKS/unit"
style:
  stage: test
  needs: []
  script: touch "$MARKS/style"
production:
  stage: deploy
  script: touch "$MARKS/production"
  environment: production
cleanup:
  stage: deploy
  when: manual
  script: touch "$MARKS/cleanup"
"#;

/// Which jobs ran.
fn ran(arguments: &[&str]) -> Result<Vec<String>> {
    let project = Project::with_pipeline(PIPELINE)?;
    project.run(arguments)?.finish()?.expect_exit(0)?;
    project.expect_nothing_left()?;
    let mut names = Vec::new();
    for entry in std::fs::read_dir(project.marks())? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

#[test]
fn nothing_is_deployed_unless_it_is_named() -> Result<()> {
    assert_eq!(ran(&[])?, ["build", "style", "unit"]);
    assert_eq!(
        ran(&["--deploy"])?,
        ["build", "cleanup", "production", "style", "unit"]
    );
    assert_eq!(ran(&["--no-needs", "production"])?, ["production"]);
    Ok(())
}

#[test]
fn named_jobs_bring_what_they_need() -> Result<()> {
    assert_eq!(ran(&["unit"])?, ["build", "unit"]);
    assert_eq!(ran(&["--no-needs", "unit"])?, ["unit"]);
    assert_eq!(ran(&["--stage", "test"])?, ["build", "style", "unit"]);
    Ok(())
}

#[test]
fn compile_says_what_each_rule_asked_and_found() -> Result<()> {
    let project = Project::with_pipeline(
        "include: ci/base.yml\njob:\n  extends: .base\n  rules:\n    - if: $CI_COMMIT_TAG\n    \
         - if: $MODE == \"fast\" && $SECRET\n      changes: [src/*]\n      when: manual\n",
    )?;
    project.write("ci/base.yml", ".base:\n  script: make\n")?;
    project.write(
        ".fleet/variables.toml",
        "MODE = \"fast\"\nSECRET = { value = \"do-not-show\", masked = true }\n",
    )?;
    let file = project.dir().join(".fleet/variables.toml");
    std::fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    let compile = |more: &[&str]| {
        let arguments = [&["compile", "--job", "job"][..], more].concat();
        project.fleetctl(&arguments)?.finish()
    };
    let shown = compile(&["--why", "--changed", "src/a.c", "--changed", "b"])?;
    shown.expect_exit(0)?;
    for text in [
        "rule 1 (.gitlab-ci.yml:5) does not match",
        "if: $CI_COMMIT_TAG is false: CI_COMMIT_TAG is not set",
        "rule 2 (.gitlab-ci.yml:6) matches: when: manual",
        "MODE is \"fast\", SECRET is \"[MASKED]\"",
        "changes: [src/*] is true: for one src/a.c",
        "script: make  # ci/base.yml:2",
    ] {
        shown.expect_text(text)?;
    }
    ensure!(
        !shown.output().contains("do-not-show"),
        "{}",
        shown.output()
    );
    let json = compile(&["--why", "--event", "trigger", "-o", "json"])?;
    let json: Value = serde_json::from_str(&json.stdout)?;
    let clauses = &json["asked"]["rules"][1]["clauses"];
    ensure!(clauses[0]["variables"]["MODE"] == "fast", "{json}");
    ensure!(
        clauses[1]["holds"] == true && clauses[1]["note"].is_string(),
        "{json}"
    );
    Ok(())
}

#[test]
fn rules_compare_the_working_tree_with_a_ref() -> Result<()> {
    let project = Project::with_pipeline(
        "in: {script: 'true', rules: [{changes: {paths: [new, old], compare_to: main}}]}\n\
         out: {script: 'true', rules: [{changes: {paths: [same], compare_to: main}}]}\n",
    )?;
    let jobs = || project.fleetctl(&["graph", "-o", "mermaid"])?.finish();
    jobs()?.expect_exit(2)?;
    for file in ["new", "old"] {
        project.git(&["checkout", "-q", "-B", "topic", "main"])?;
        project.write(file, "1")?;
        if file == "old" {
            project.commit("change")?;
        }
        let graph = jobs()?;
        graph.expect_exit(0)?;
        ensure!(
            graph.stdout.contains("in") && !graph.stdout.contains("out"),
            "{}",
            graph.output()
        );
    }
    project.write(
        ".gitlab-ci.yml",
        "in: {script: x, rules: [{changes: {paths: [a], compare_to: none}}]}\n",
    )?;
    jobs()?.expect_text("Failed to parse rule for in: rules:changes:compare_to is not a valid ref")
}

#[test]
fn list_runs_nothing() -> Result<()> {
    assert_eq!(ran(&["--list"])?, Vec::<String>::new());
    Ok(())
}

#[test]
fn failed_runs_again_what_failed_last_time() -> Result<()> {
    let project = Project::with_pipeline(
        "good:\n  script: echo good >> \"$MARKS/ran\"\nbad:\n  script:\n    - echo bad >> \"$MARKS/ran\"\n    \
         - test -e \"$MARKS/mended\"\n",
    )?;
    project.run(&[])?.finish()?.expect_exit(1)?;
    std::fs::write(project.marks().join("mended"), "")?;
    project.run(&["--failed"])?.finish()?.expect_exit(0)?;

    let mut runs = project.mark("ran")?;
    runs.sort();
    assert_eq!(runs, ["bad", "bad", "good"]);
    Ok(())
}

#[test]
fn graph_names_every_job_in_every_format() -> Result<()> {
    let project = Project::with_pipeline(PIPELINE)?;
    for (format, sign) in [("text", "build"), ("dot", "digraph"), ("mermaid", "graph")] {
        let finished = project.fleetctl(&["graph", "-o", format])?.finish()?;
        finished.expect_exit(0)?;
        for text in [sign, "build", "unit", "style", "production", "cleanup"] {
            ensure!(
                finished.stdout.contains(text),
                "{format}: no {text}\n{}",
                finished.output()
            );
        }
    }
    Ok(())
}

#[test]
fn compiled_configuration_compiles_to_itself() -> Result<()> {
    let project = Project::with_pipeline(PIPELINE)?;
    let first = project.fleetctl(&["compile"])?.finish()?;
    first.expect_exit(0)?;
    // Where values stand is in comments.
    let plain = |text: &str| {
        let lines = text.lines();
        let lines = lines.map(|line| line.split("  # .gitlab-ci.yml:").next().unwrap_or(line));
        lines.map(|line| format!("{line}\n")).collect::<String>()
    };
    let inherited = "build:\n  before_script:\n    - echo before\n";
    ensure!(
        plain(&first.stdout).contains(inherited),
        "{}",
        first.output()
    );

    project.write(".gitlab-ci.yml", &first.stdout)?;
    let second = project.fleetctl(&["compile"])?.finish()?;
    second.expect_exit(0)?;
    assert_eq!(plain(&second.stdout), plain(&first.stdout));
    Ok(())
}

#[test]
fn compile_says_why_a_job_is_there_or_not() -> Result<()> {
    let project = Project::with_pipeline(
        "build:\n  script: make\nrelease:\n  script: make release\n  rules:\n    - if: $CI_COMMIT_TAG\n",
    )?;
    let why = |job: &str, more: &[&str]| {
        let finished = project
            .fleetctl(&["compile", "--why", "--job", job])?
            .args(more)
            .finish()?;
        finished.expect_exit(0)?;
        Ok::<_, anyhow::Error>(finished.output())
    };
    let without_tag = why("release", &[])?;
    ensure!(
        without_tag.contains("none of its rules") && without_tag.contains(".gitlab-ci.yml:3:1"),
        "{without_tag}"
    );
    ensure!(
        without_tag != why("release", &["--event", "tag", "--ref", "v1"])?,
        "{without_tag}"
    );
    why("build", &[]).map(|_| ())
}

#[test]
fn lint_prints_json_and_sarif_for_programs() -> Result<()> {
    let project = Project::with_pipeline("build:\n  script: make\n  scirpt: make\n")?;
    for format in ["json", "sarif"] {
        let finished = project.fleetctl(&["lint", "-o", format])?.finish()?;
        finished.expect_exit(2)?;
        let document: Value = serde_json::from_str(&finished.stdout).context(finished.output())?;
        let text = document.to_string();
        ensure!(text.contains("contains unknown keys: scirpt"), "{text}");
        ensure!(format == "json" || document["version"] == "2.1.0", "{text}");
        if format == "json" {
            let finding = &document["findings"][0];
            ensure!(document["errors"] == 1 && document["files"] == 1, "{text}");
            ensure!(
                finding["code"] == "unknown-key" && finding["line"] == 3,
                "{text}"
            );
        }
    }
    Ok(())
}

#[test]
fn lint_takes_several_files_and_explains_codes() -> Result<()> {
    let project = Project::with_pipeline("build:\n  script: make\n")?;
    project.write("ci/one.yml", "a:\n  scirpt: x\n  script: x\n")?;
    project.write("ci/two.yml", "b:\n  script: x\n  when: nope\n")?;
    let both = ["lint", "ci/one.yml", "ci/two.yml"];
    let finished = project.fleetctl(&both)?.finish()?;
    finished.expect_exit(2)?;
    for text in ["ci/one.yml:2:3", "ci/two.yml:3:9", "2 files: 2 errors"] {
        finished.expect_text(text)?;
    }
    let page = project
        .fleetctl(&["lint", "--explain", "unknown-key"])?
        .finish()?;
    page.expect_exit(0)?;
    page.expect_text("contains unknown keys")?;
    let list = project.fleetctl(&["lint", "--explain"])?.finish()?;
    list.expect_text("needs-cycle")?;
    let unknown = project
        .fleetctl(&["lint", "--explain", "unknwon-key"])?
        .finish()?;
    unknown.expect_exit(2)?;
    unknown.expect_text("`unknown-key`")
}

#[test]
fn completion_is_a_script_of_its_shell() -> Result<()> {
    let project = Project::new()?;
    let finished = project.fleetctl(&["completion", "bash"])?.finish()?;
    finished.expect_exit(0)?;
    project.write("completion", &finished.stdout)?;
    let bash = project
        .program(std::path::Path::new("/bin/bash"))
        .args(["-n", "completion"]);
    bash.finish()?.expect_exit(0)?;
    ensure!(
        finished.stdout.contains("--no-needs"),
        "{}",
        finished.output()
    );
    Ok(())
}

#[test]
fn version_is_that_of_the_package() -> Result<()> {
    let finished = Project::new()?.fleetctl(&["version"])?.finish()?;
    finished.expect_exit(0)?;
    assert_eq!(
        finished.stdout.lines().next(),
        Some(concat!("fleetctl ", env!("CARGO_PKG_VERSION")))
    );
    Ok(())
}

#[test]
fn reader_that_goes_away_stops_the_output_and_not_the_run() -> Result<()> {
    let project = Project::with_pipeline(
        "talk:\n  script:\n    - for n in $(seq 1 20000); do echo \"line $n\"; done\n    \
         - touch \"$MARKS/done\"\n",
    )?;
    let fleetctl = fleet_tests::fleetctl()?;
    let script = "\"$0\" run --variable \"MARKS=$MARKS\" | head -n 1";
    let finished = project
        .program(std::path::Path::new("/bin/sh"))
        .args(["-c".as_ref(), script.as_ref(), fleetctl.as_os_str()])
        .finish()?;
    ensure!(
        finished.stdout.lines().count() <= 1,
        "{}",
        finished.output()
    );
    ensure!(
        !finished.stderr.contains("panicked"),
        "{}",
        finished.output()
    );
    fleet_tests::wait_for("the run to end", || {
        Ok(project.marks().join("done").exists().then_some(()))
    })?;
    project.expect_nothing_left()
}

#[test]
fn two_runs_of_one_clone_do_not_disturb_each_other() -> Result<()> {
    let project = Project::with_pipeline(
        "meet:\n  script:\n    - echo \"$CI_JOB_ID\" >> \"$MARKS/here\"\n    \
         - until [ \"$(wc -l < \"$MARKS/here\")\" -eq 2 ]; do sleep 0.02; done\n    \
         - test \"$(ls | wc -l)\" -eq 0 && touch mine\n",
    )?;
    let (one, two) = (
        project.run(&["-o", "json"])?.start()?,
        project.run(&["-o", "json"])?.start()?,
    );
    for running in [one, two] {
        let finished = running.finish()?;
        finished.expect_exit(0)?;
        assert_eq!(
            Report::read(&finished.stdout)?.job("meet")?.state,
            "success"
        );
    }
    project.expect_nothing_left()
}

#[test]
fn merge_request_is_of_the_branch_into_the_default_branch() -> Result<()> {
    let project = Project::with_pipeline(
        "job:\n  rules: [{if: $CI_PIPELINE_SOURCE == \"merge_request_event\"}]\n  \
         script: 'echo \"$CI_MERGE_REQUEST_SOURCE_BRANCH_NAME $CI_MERGE_REQUEST_TARGET_BRANCH_NAME \
         $CI_MERGE_REQUEST_TITLE $CI_OPEN_MERGE_REQUESTS $(git rev-parse $CI_MERGE_REQUEST_DIFF_BASE_SHA)\" > $MARKS/seen'\n",
    )?;
    project.commit("first")?;
    let base = project.git(&["rev-parse", "HEAD"])?;
    project.git(&["update-ref", "refs/remotes/origin/main", "HEAD"])?;
    project.git(&[
        "symbolic-ref",
        "refs/remotes/origin/HEAD",
        "refs/remotes/origin/main",
    ])?;
    project.git(&["checkout", "--quiet", "-b", "topic"])?;
    project.write("new.txt", "new\n")?;
    project.commit("What it adds")?;
    let finished = project.run(&["--event", "mr"])?.finish()?;
    finished.expect_exit(0)?;
    let seen = project.mark("seen")?.join("\n");
    let name = project
        .dir()
        .file_name()
        .context("a name")?
        .to_string_lossy()
        .to_lowercase();
    let expected = format!("topic main What it adds local/{name}!1 {}", base.trim());
    ensure!(seen == expected, "{seen}, not {expected}");
    Ok(())
}
