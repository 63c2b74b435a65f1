//! Trigger jobs: what they start, and what they may not say.

use super::{errors, lint};
use crate::{
    Value,
    config::{ChildFile, CrossSource, Downstream, Forward, Job, TriggerStrategy},
};

fn jobs(yaml: &str) -> Vec<Job> {
    let (compiled, config) = lint(yaml);
    let config = config.unwrap_or_else(|| panic!("{yaml}: {:?}", compiled.diagnostics));
    config.jobs
}

#[test]
fn a_trigger_starts_a_pipeline_of_another_project() {
    let yaml = "{j: {trigger: {project: g/p, branch: $B, strategy: depend, inputs: {a: 1}, \
                forward: {pipeline_variables: true}}}}";
    let job = jobs(yaml).remove(0);
    let trigger = job.trigger.unwrap();
    assert!(job.script.is_empty());
    assert_eq!(trigger.strategy, Some(TriggerStrategy::Depend));
    let forward = Forward {
        yaml_variables: true,
        pipeline_variables: true,
    };
    assert_eq!(trigger.forward, forward);
    let Downstream::Project {
        project,
        branch,
        inputs,
    } = trigger.downstream
    else {
        panic!("{yaml}")
    };
    assert_eq!((project.as_str(), branch.as_deref()), ("g/p", Some("$B")));
    assert_eq!(inputs.get("a").unwrap().value, Value::Int(1));
}

#[test]
fn a_trigger_starts_a_child_from_files_and_from_artifacts() {
    let yaml = "{b: {stage: build, script: x}, j: {trigger: {include: [a.yml, {project: g/p, \
                file: [f.yml]}, {artifact: c.yml, job: b, inputs: {i: x}}], strategy: mirror}}}";
    let trigger = jobs(yaml).remove(1).trigger.unwrap();
    assert_eq!(trigger.strategy, Some(TriggerStrategy::Mirror));
    let Downstream::Child(files) = trigger.downstream else {
        panic!("{yaml}")
    };
    let [
        ChildFile::Include(local),
        ChildFile::Include(project),
        artifact,
    ] = &files[..]
    else {
        panic!("{files:?}")
    };
    assert_eq!(local.as_str(), Some("a.yml"));
    assert!(project.as_map().unwrap().get("file").is_some());
    let ChildFile::Artifact {
        path, job, inputs, ..
    } = artifact
    else {
        panic!("{artifact:?}")
    };
    assert_eq!((path.as_str(), job.as_str()), ("c.yml", "b"));
    assert_eq!(inputs.get("i").unwrap().as_str(), Some("x"));
}

#[test]
fn a_job_mirrors_the_pipeline_of_a_project_and_waits_for_its_stage() {
    for yaml in [
        "{j: {needs: {pipeline: g/p}}}",
        "{j: {needs: [{pipeline: g/p}]}}",
    ] {
        let job = jobs(yaml).remove(0);
        assert_eq!(job.upstream.unwrap().project, "g/p");
        assert!(job.trigger.is_none() && job.needs.is_none());
    }
    let one = "jobs:j config should contain exactly one bridge need";
    let two = "{j: {needs: [{pipeline: g/p}, {pipeline: g/q}]}}";
    assert_eq!(errors(two), [one]);
}

#[test]
fn artifacts_of_other_projects_need_a_project_a_ref_and_a_job() {
    let yaml = "{j: {script: x, needs: [{project: g/p, ref: main, job: b, artifacts: true}]}}";
    let job = jobs(yaml).remove(0);
    let [need] = &job.cross_needs[..] else {
        panic!("{:?}", job.cross_needs)
    };
    let source = CrossSource::Project {
        project: "g/p".to_owned(),
        reference: "main".to_owned(),
    };
    assert_eq!((&need.source, need.job.as_str()), (&source, "b"));
    assert_eq!(job.needs.unwrap(), []);
    assert_eq!(
        errors("{j: {script: x, needs: [{project: g/p, job: b}]}}"),
        [
            "jobs:j:needs:need ref should be a string",
            "jobs:j:needs:need ref can't be blank"
        ]
    );
    let missing = "{j: {script: x, needs: [{pipeline: g/p}]}}";
    assert_eq!(
        errors(missing),
        ["jobs:j:needs config uses invalid types: bridge"]
    );
}

#[test]
fn trigger_jobs_take_interruptible_alone_from_default() {
    let yaml = "{default: {interruptible: true, image: i}, a: {trigger: g/p}, \
                b: {trigger: g/p, inherit: {default: false}}}";
    let jobs = jobs(yaml);
    assert_eq!(
        jobs.iter().map(|job| job.interruptible).collect::<Vec<_>>(),
        [true, false]
    );
    assert!(jobs.iter().all(|job| job.image.is_none()));
}
