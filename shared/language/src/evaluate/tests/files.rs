//! From a file as people write it to its plan.

use fleet_model::{AllowFailure, JobId, PipelineId, Plan, Scheduling, When};

use super::*;
use crate::compile;
use crate::variables::predefined::{LeaseFacts, for_attempt};
use crate::variables::{Index, expand_for_job};

fn planned(text: &str, context: &Context) -> Plan {
    let compiled = compile(
        (".gitlab-ci.yml", text),
        context,
        &tree(&["src/a.c", "Dockerfile"]),
    );
    compiled
        .plan
        .unwrap_or_else(|| panic!("{:?}", compiled.diagnostics))
}

fn jobs(plan: &Plan) -> Vec<&str> {
    plan.jobs.iter().map(|job| job.name.as_str()).collect()
}

/// A file from the time before `rules`.
const OLD_STYLE: &str = r#"
image: registry.example/deployer:1.1

stages:
    - build
    - test
    - staging
    - production

variables:
    REGISTRY_HOST: eu.gcr.io
    REGISTRY_IMAGE: ${REGISTRY_HOST}/${GOOGLE_PROJECT_ID}/${CI_PROJECT_NAME}/${CI_PROJECT_NAME}

before_script:
    - docker login -u gitlab-ci-token -p "$CI_BUILD_TOKEN" $CI_REGISTRY

build image:
    stage: build
    script:
        - docker build -t $REGISTRY_IMAGE:$CI_BUILD_REF .

test image:
    stage: test
    script:
        - docker run $REGISTRY_IMAGE:$CI_BUILD_REF true

deploy to staging:
    stage: staging
    script:
        - deploy "${CI_PROJECT_NAME}-${CI_ENVIRONMENT_SLUG}-worker"
    only:
        - master
    environment:
        name: staging

deploy to production:
    stage: production
    script:
        - deploy "${CI_PROJECT_NAME}-${CI_ENVIRONMENT_SLUG}-worker"
    only:
        - production
    environment:
        name: production
"#;

#[test]
fn an_old_style_file_compiles_unchanged() {
    // V88
    for (name, kind, last) in [
        ("master", RefKind::Branch, Some("deploy to staging")),
        ("production", RefKind::Branch, Some("deploy to production")),
        ("feature", RefKind::Branch, None),
        ("v1", RefKind::Tag, None),
    ] {
        let plan = planned(OLD_STYLE, &on_ref(name, kind));
        let expected: Vec<&str> = ["build image", "test image"]
            .into_iter()
            .chain(last)
            .collect();
        assert_eq!(jobs(&plan), expected, "{name}");
        assert!(
            plan.jobs
                .iter()
                .all(|job| job.scheduling == Scheduling::Stage)
        );
    }
}

#[test]
fn old_names_reach_the_job() {
    let facts = LeaseFacts {
        pipeline: PipelineId(1),
        job: JobId(2),
        token: "t0ken",
        server_url: "https://fleet.example",
        project_path: "group/sub/app",
        repository_url: None,
        started_at: "2026-11-23T10:00:01Z",
        timeout_seconds: 3600,
        agent_name: "b3",
        agent_tags: &[],
    };
    let mut context = on_ref("master", RefKind::Branch);
    for (project, image) in [
        (None, "eu.gcr.io/${GOOGLE_PROJECT_ID}/app/app"),
        (Some("gotthard"), "eu.gcr.io/gotthard/app/app"),
    ] {
        context.project_variables = project
            .map(|project| variable("GOOGLE_PROJECT_ID", project))
            .into_iter()
            .collect();
        let plan = planned(OLD_STYLE, &context);
        let all = for_attempt(&facts, &plan, &plan.jobs[2], Vec::new(), context.settings());
        let all = expand_for_job(&all).unwrap();
        let index = Index::new(&all);
        assert_eq!(index.value("REGISTRY_IMAGE"), Some(image));
        assert_eq!(
            index.value("CI_BUILD_REF"),
            Some(context.commit.sha.as_str())
        );
        assert_eq!(index.value("CI_BUILD_TOKEN"), Some("t0ken"));
        assert_eq!(index.value("CI_ENVIRONMENT_SLUG"), Some("staging"));
    }
}

#[test]
fn a_file_with_rules_decides_by_event() {
    const TEXT: &str = r#"
workflow:
  name: "$KIND pipeline"
  rules:
    - if: $CI_COMMIT_TAG
      variables: {KIND: release}
    - if: $CI_PIPELINE_SOURCE == "merge_request_event"
    - if: $CI_COMMIT_BRANCH
      variables: {KIND: branch}

stages: [build, check, deploy]

build:
  stage: build
  parallel: {matrix: [{OS: [linux, mac]}]}
  script: [make]
  tags: ["$OS"]
  artifacts: {paths: [out]}

check:
  stage: check
  script: [make check]
  needs: ["build: [linux]"]
  rules:
    - exists: ["**/*.c"]

review:
  stage: deploy
  script: [deploy]
  environment: {name: "review/$CI_COMMIT_REF_SLUG", on_stop: stop}
  rules:
    - if: $CI_PIPELINE_SOURCE == "merge_request_event"

stop:
  stage: deploy
  script: [stop]
  environment: {name: "review/$CI_COMMIT_REF_SLUG", action: stop}
  rules:
    - if: $CI_PIPELINE_SOURCE == "merge_request_event"
      when: manual
      allow_failure: true

publish:
  stage: deploy
  script: [publish]
  rules:
    - if: $CI_COMMIT_TAG =~ /^v\d+/
      when: delayed
      start_in: 5 minutes
"#;
    let branch = planned(TEXT, &on_ref("dev", RefKind::Branch));
    assert_eq!(jobs(&branch), ["build: [linux]", "build: [mac]", "check"]);
    assert_eq!(branch.name.as_deref(), Some("branch pipeline"));
    assert_eq!(branch.jobs[1].tags, ["mac"]);
    assert_eq!(branch.jobs[2].scheduling, Scheduling::Dag(vec![0]));
    assert_eq!(branch.jobs[2].artifacts_from, [0]);

    let merge_request = Context {
        source: PipelineSource::MergeRequestEvent,
        ..on_ref("dev", RefKind::MergeRequest)
    };
    let merge_request = planned(TEXT, &merge_request);
    assert_eq!(merge_request.name.as_deref(), Some("pipeline"));
    let stop = merge_request
        .jobs
        .iter()
        .find(|job| job.name == "stop")
        .unwrap();
    assert_eq!(
        (stop.when, &stop.allow_failure),
        (When::Manual, &AllowFailure::Yes)
    );
    assert_eq!(stop.environment.as_ref().unwrap().name, "review/dev");

    let tag = planned(TEXT, &on_ref("v1", RefKind::Tag));
    let delay = std::time::Duration::from_secs(300);
    assert_eq!(tag.jobs.last().unwrap().when, When::Delayed(delay));
    assert_eq!(tag.name.as_deref(), Some("release pipeline"));
}

#[test]
fn the_default_policy_goes_with_workflow_rules() {
    // V37, V38
    let merge_request = Context {
        source: PipelineSource::MergeRequestEvent,
        ..on_ref("dev", RefKind::MergeRequest)
    };
    let of = |text: &str| compile((".gitlab-ci.yml", text), &merge_request, &tree(&[])).plan;
    assert!(of("{j: {script: [x]}}").is_none());
    assert!(of("{j: {script: [x]}, workflow: {rules: [{when: always}]}}").is_some());
}

#[test]
fn the_same_event_always_compiles_to_the_same_plan() {
    let context = on_ref("master", RefKind::Branch);
    assert_eq!(planned(OLD_STYLE, &context), planned(OLD_STYLE, &context));
}

#[test]
fn a_file_full_of_large_patterns_is_refused_in_time() {
    let mut text = String::from("j:\n  script: [x]\n  rules:\n");
    for number in 0..400 {
        text.push_str(&format!("    - if: $CI =~ /.{{1000}}x{number}/\n"));
    }
    let compiled = compile((".gitlab-ci.yml", &text), &push(), &tree(&[]));
    let codes: Vec<&str> = compiled.diagnostics.iter().map(|it| it.code).collect();
    assert!(codes.contains(&"patterns-too-large"), "{codes:?}");
}
