//! How long the compiler takes and how much memory, in this process, so that nothing
//! but the compiler is measured.
//!
//! `cargo bench -p fleet-tests --bench compile` prints the table of
//! `docs/performance.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use fleet_language::{
    Changes, Commit, Context, Files, HostCoupling, PipelineSource, Project, Ref, RefKind, User,
    compile, lint,
};
use fleet_model::ProjectId;

/// Files of the large configuration, the root included.
const FILES: usize = 120;
/// Its jobs, those that a matrix multiplies counted once each.
const JOBS: usize = 900;
/// Its lines.
const LINES: usize = 20_000;

const ROOT: &str = ".gitlab-ci.yml";

/// A commit in memory.
struct Commits(BTreeMap<String, String>);

impl Files for Commits {
    fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.0.get(path).map(|text| text.clone().into_bytes())
    }

    fn paths(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}

/// How many jobs a process of its own is to compile, to tell its memory.
const PEAK: &str = "FLEET_BENCH_PEAK";

fn main() -> Result<()> {
    if let Ok(jobs) = std::env::var(PEAK) {
        println!("{}", peak(jobs.parse()?)?);
        return Ok(());
    }
    println!("| what | median | fastest | slowest | runs |");
    println!("|---|---|---|---|---|");

    let small = Commits(BTreeMap::from([(ROOT.to_owned(), hundred_lines())]));
    row("compile 100 lines, 12 jobs", 200, || plan(&small))?;

    let large = large();
    let lines: usize = large.0.values().map(|text| text.lines().count()).sum();
    ensure!(large.0.len() == FILES, "{} files", large.0.len());
    ensure!(lines.abs_diff(LINES) < LINES / 20, "{lines} lines");
    row(
        &format!("compile {FILES} files, {lines} lines, {JOBS} jobs"),
        50,
        || plan(&large),
    )?;
    row("the same, lint", 50, || {
        let linted = lint((ROOT, &large.0[ROOT]), None, &large);
        ensure!(!linted.has_errors(), "{:?}", linted.diagnostics.first());
        Ok(0)
    })?;

    println!("\n| jobs | median | a job | peak memory | a job |");
    println!("|---|---|---|---|---|");
    for jobs in [1_000, 2_000, 5_000, 10_000] {
        let files = many(jobs);
        let times = measure(10, || plan(&files))?;
        let a_job = median(&times).as_secs_f64() / jobs as f64;
        let peak = std::process::Command::new(std::env::current_exe()?)
            .env(PEAK, jobs.to_string())
            .output()?;
        let peak: f64 = String::from_utf8(peak.stdout)?.trim().parse()?;
        println!(
            "| {jobs} | {} | {:.1} µs | {:.1} MiB | {:.1} KiB |",
            milliseconds(median(&times)),
            a_job * 1e6,
            peak / 1024.0,
            peak / jobs as f64,
        );
    }
    Ok(())
}

/// Compiles once in this process, which has done nothing before; the most memory
/// that took, in KiB.
fn peak(jobs: usize) -> Result<u64> {
    let files = many(jobs);
    let before = memory("VmRSS:")?;
    plan(&files)?;
    Ok(memory("VmHWM:")?.saturating_sub(before))
}

/// Compiles for a push to `main`; how many jobs it has.
fn plan(files: &Commits) -> Result<usize> {
    let compiled = compile((ROOT, &files.0[ROOT]), &push(), files);
    let plan = compiled.plan.as_ref();
    let plan = plan.with_context(|| format!("{:?}", compiled.diagnostics.first()))?;
    Ok(black_box(plan.jobs.len()))
}

fn row(what: &str, runs: usize, run: impl FnMut() -> Result<usize>) -> Result<()> {
    let times = measure(runs, run)?;
    let (first, last) = times.first().zip(times.last()).context("no runs")?;
    println!(
        "| {what} | {} | {} | {} | {runs} |",
        milliseconds(median(&times)),
        milliseconds(*first),
        milliseconds(*last),
    );
    Ok(())
}

/// As many runs as told after one that warms the caches, sorted.
fn measure(runs: usize, mut run: impl FnMut() -> Result<usize>) -> Result<Vec<Duration>> {
    run()?;
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs {
        let started = Instant::now();
        run()?;
        times.push(started.elapsed());
    }
    times.sort();
    Ok(times)
}

fn median(sorted: &[Duration]) -> Duration {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

/// A figure of this process's memory, in KiB.
fn memory(figure: &str) -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(figure));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.context("no such figure")?.parse()?)
}

/// An ordinary file of one team.
fn hundred_lines() -> String {
    let mut yaml = String::from(
        "stages: [build, test, deploy]
variables:
  COLOR: blue
  IMAGE: $CI_PROJECT_PATH/app
default:
  retry: 1
  image: registry.example/builder:1
.template:
  before_script:
    - echo before
workflow:
  rules:
    - if: $CI_COMMIT_BRANCH
",
    );
    for n in 0..12 {
        let _ = write!(
            yaml,
            "job-{n}:
  extends: .template
  stage: test
  script: [\"make job-{n}\", \"echo $COLOR\"]
  rules:
    - if: $CI_COMMIT_BRANCH == \"main\"
    - changes: [\"src/**/*\"]
",
        );
    }
    yaml
}

/// A root file, and teams' files that it includes: templates, references, matrices,
/// rules, needs, artifacts, caches, as large projects have them.
fn large() -> Commits {
    let mut files = BTreeMap::new();
    let mut root = String::from(
        "stages: [prepare, build, test, scan, deploy]
workflow:
  rules:
    - if: $CI_PIPELINE_SOURCE == \"merge_request_event\"
    - if: $CI_COMMIT_BRANCH =~ /^(main|release-.*)$/
      variables: {KIND: release}
variables:
  IMAGE: registry.example/$CI_PROJECT_PATH
  TAG: $CI_COMMIT_REF_SLUG-$CI_COMMIT_SHORT_SHA
default:
  image: $IMAGE:latest
  tags: [linux]
  retry: {max: 2, when: [runner_system_failure, stuck_or_timeout_failure]}
include:
",
    );
    let included = FILES - 1;
    for file in 0..included {
        let _ = writeln!(root, "  - local: /ci/team-{file}.yml");
        let jobs = JOBS / included + usize::from(file < JOBS % included);
        files.insert(format!("ci/team-{file}.yml"), team(file, jobs));
    }
    files.insert(ROOT.to_owned(), root);
    Commits(files)
}

fn team(file: usize, jobs: usize) -> String {
    let mut yaml = format!(
        ".rules-{file}:
  rules:
    - if: $CI_PIPELINE_SOURCE == \"schedule\"
      when: never
    - if: '$CI_COMMIT_BRANCH =~ /^(main|release)/ && $KIND != \"none\"'
    - changes:
        - team-{file}/**/*
        - shared/**/*.{{rs,toml}}
.setup-{file}:
  script:
    - ./ci/setup --team {file}
    - export PATH=\"$PWD/bin:$PATH\"
.base-{file}:
  extends: .rules-{file}
  variables:
    TEAM: team-{file}
    SERVICE: $TEAM-service
    URL: https://$SERVICE.example/$TAG
  cache:
    key:
      files: [team-{file}/Cargo.lock]
    paths: [target/]
  artifacts:
    paths: [out/]
    expire_in: 1 week
    reports:
      junit: out/report.xml
"
    );
    for job in 0..jobs {
        let stage = ["prepare", "build", "test", "scan", "deploy"][job * 5 / jobs.max(1)];
        let _ = write!(
            yaml,
            "# What team {file} does in its step {job}.
team {file} step {job}:
  extends: .base-{file}
  stage: {stage}
  variables:
    STEP: \"{job}\"
    NAME: $SERVICE-step-$STEP
  before_script:
    - !reference [.setup-{file}, script]
    - echo \"step {job}\"
  script:
    - make -C team-{file} step-{job}
    - |
      if [ -n \"$NAME\" ]; then
        ./ci/report --name \"$NAME\" --url \"$URL\"
      fi
    - ./ci/finish
"
        );
        if job > 0 {
            let _ = write!(
                yaml,
                "  needs:
    - job: team {file} step {}
      artifacts: true
",
                job - 1
            );
        }
    }
    yaml
}

/// So many jobs, 500 a file, which is what fits; the event leaves half of them out,
/// since a pipeline may have 5,000.
fn many(jobs: usize) -> Commits {
    let mut files = BTreeMap::new();
    let mut root = String::from("variables: {COLOR: blue}\ninclude:\n");
    for first in (0..jobs).step_by(500) {
        let _ = writeln!(root, "  - ci/{first}.yml");
        let mut yaml = String::new();
        for job in first..first + 500 {
            let branch = if job % 2 == 0 { "main" } else { "other" };
            let _ = write!(
                yaml,
                "job {job}:
  stage: build
  variables: {{N: \"{job}\", NAME: $COLOR-$N}}
  script:
    - make job-{job}
  rules:
    - if: $CI_COMMIT_BRANCH == \"{branch}\"
"
            );
        }
        files.insert(format!("ci/{first}.yml"), yaml);
    }
    files.insert(ROOT.to_owned(), root);
    Commits(files)
}

fn push() -> Context {
    Context {
        source: PipelineSource::Push,
        reference: Ref {
            name: "main".into(),
            kind: RefKind::Branch,
            protected: true,
        },
        commit: Commit {
            sha: "1".repeat(40),
            ..Commit::default()
        },
        before_sha: "0".repeat(40),
        project: Project {
            id: ProjectId(1),
            path: "group/project".into(),
            title: "project".into(),
            default_branch: "main".into(),
            config_path: ROOT.into(),
            visibility: "private".into(),
            host_coupling: HostCoupling::Warn,
        },
        user: User::default(),
        server_url: "https://fleet.example".into(),
        created_at: "2026-01-01T00:00:00Z".into(),
        iid: 1,
        project_variables: Vec::new(),
        pipeline_variables: Vec::new(),
        inputs: Vec::new(),
        predefined: Vec::new(),
        changes: Changes::Known(vec!["team-1/src/main.rs".into()]),
    }
}
