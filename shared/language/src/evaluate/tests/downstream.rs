//! Trigger jobs: what the plan says of the pipelines they start.

use fleet_model::{Downstream, PipelineId, Plan, Strategy, Trigger, Variable};

use super::{push, tree};
use crate::Context;
use crate::variables::Bridge;

fn plan(yaml: &str, context: &Context) -> Plan {
    let compiled = crate::compile((".gitlab-ci.yml", yaml), context, &tree(&[]));
    let told = compiled.diagnostics;
    compiled.plan.unwrap_or_else(|| panic!("{yaml}: {told:?}"))
}

fn trigger(plan: &Plan, job: &str) -> Trigger {
    let found = plan.jobs.iter().find(|planned| planned.name == job);
    found.unwrap().trigger.clone().unwrap()
}

/// The configuration of the child of job `j`, and the artifacts in it.
fn child(include: &str) -> (String, Vec<(String, String, String)>) {
    let yaml =
        format!("{{b/c: {{stage: build, script: x}}, j: {{trigger: {{include: {include}}}}}}}");
    let Downstream::Child {
        configuration,
        artifacts,
    } = trigger(&plan(&yaml, &push()), "j").downstream
    else {
        panic!("{yaml}")
    };
    let artifacts = artifacts.into_iter();
    let artifacts = artifacts.map(|it| (it.included_as, it.path, it.job));
    (configuration, artifacts.collect())
}

#[test]
fn a_child_is_an_include_of_its_files() {
    for (include, configuration) in [
        ("a.yml", "include:\n  - a.yml\n"),
        (
            "[a.yml, {local: $X/b.yml, inputs: {n: 1}}]",
            "include:\n  - a.yml\n  - local: $X/b.yml\n    inputs:\n      n: 1\n",
        ),
        ("[]", "include: []\n"),
    ] {
        assert_eq!(child(include), (configuration.to_owned(), Vec::new()));
    }
}

#[test]
fn files_of_artifacts_are_included_under_names_of_their_own() {
    let (configuration, artifacts) =
        child("[{artifact: 'out/$X*.yml', job: b/c}, {artifact: c.yml, job: b/c, inputs: {n: x}}]");
    assert_eq!(
        configuration,
        "include:\n  - local: '(artifacts of b_c) out/_X_.yml'\n  \
         - local: '(2: artifacts of b_c) c.yml'\n    inputs:\n      n: x\n"
    );
    let of =
        |included_as: &str, path: &str| (included_as.to_owned(), path.to_owned(), "b/c".to_owned());
    assert_eq!(
        artifacts,
        [
            of("(artifacts of b_c) out/_X_.yml", "out/$X*.yml"),
            of("(2: artifacts of b_c) c.yml", "c.yml"),
        ]
    );
}

#[test]
fn a_project_is_named_as_written_and_its_inputs_are_json() {
    let yaml = "{j: {trigger: {project: g/$P, branch: $B, strategy: mirror, inputs: {a: [1, x]}}}}";
    let trigger = trigger(&plan(yaml, &push()), "j");
    assert_eq!(trigger.strategy, Some(Strategy::Mirror));
    let Downstream::Project {
        path,
        branch,
        inputs,
    } = trigger.downstream
    else {
        panic!("{yaml}")
    };
    assert_eq!((path.as_str(), branch.as_deref()), ("g/$P", Some("$B")));
    assert_eq!(inputs.as_deref(), Some(r#"{"a":[1,"x"]}"#));
}

#[test]
fn a_job_that_mirrors_a_project_starts_nothing_and_has_its_status() {
    let planned = trigger(&plan("{j: {needs: {pipeline: g/$P}}}", &push()), "j");
    let path = "g/$P".to_owned();
    assert_eq!(planned.downstream, Downstream::Newest { path });
    assert_eq!(planned.strategy, Some(Strategy::Mirror));
}

/// What the pipeline of job `j` is started with, by a pipeline with these variables.
fn forwarded(yaml: &str, settings: &[Variable], dotenv: &[Variable]) -> Vec<Variable> {
    let context = Context {
        pipeline_variables: settings.to_vec(),
        inputs: Vec::new(),
        ..push()
    };
    let plan = plan(yaml, &context);
    let job = plan.jobs.iter().find(|job| job.name == "j").unwrap();
    let pipeline = (PipelineId(42), "https://fleet.example", "group/app");
    let bridge = Bridge::new(pipeline, &plan, job, dotenv.to_vec(), settings.to_vec());
    bridge.forwarded(&trigger(&plan, "j"), settings)
}

fn pairs(variables: &[Variable]) -> Vec<(&str, &str)> {
    variables
        .iter()
        .map(|it| (it.key.as_str(), it.value.as_str()))
        .collect()
}

#[test]
fn yaml_variables_are_forwarded_with_what_is_known_when_the_job_starts() {
    let yaml = "{variables: {G: global, H: hidden}, j: {inherit: {variables: [G]}, trigger: g/p, \
                variables: {PARENT_PIPELINE_ID: $CI_PIPELINE_ID, D: '$FROM_DOTENV-$UNKNOWN', \
                R: {value: $G, expand: false}}}}";
    let given = [Variable::new("OWN", "1")];
    let dotenv = [Variable::new("FROM_DOTENV", "d")];
    let mut found = forwarded(yaml, &given, &dotenv);
    found.sort_by(|a, b| a.key.cmp(&b.key));
    assert_eq!(
        pairs(&found),
        [
            ("D", "d-$UNKNOWN"),
            ("G", "global"),
            ("PARENT_PIPELINE_ID", "42"),
            ("R", "$G"),
        ]
    );
    assert!(found[3].raw);
}

#[test]
fn forward_says_which_variables() {
    let yaml = |forward: &str| {
        format!(
            "{{j: {{trigger: {{project: g/p, forward: {forward}}}, variables: {{A: yaml, B: $A}}}}}}"
        )
    };
    let given = [Variable::new("A", "given"), Variable::new("C", "c")];
    for (forward, expected) in [
        ("{}", &[("A", "yaml"), ("B", "given")][..]),
        ("{yaml_variables: false}", &[]),
        (
            "{pipeline_variables: true}",
            &[("B", "given"), ("A", "given"), ("C", "c")],
        ),
        (
            "{yaml_variables: false, pipeline_variables: true}",
            &[("A", "given"), ("C", "c")],
        ),
    ] {
        let found = forwarded(&yaml(forward), &given, &[]);
        assert_eq!(pairs(&found), expected, "{forward}");
    }
}

#[test]
fn a_value_that_holds_a_masked_one_is_masked() {
    let yaml = "{j: {trigger: g/p, variables: {URL: 'https://$SECRET@x', PLAIN: p}}}";
    let secret = Variable::new("SECRET", "hunter2hunter2").masked();
    let found = forwarded(yaml, &[secret], &[]);
    let masked = |key: &str| found.iter().find(|it| it.key == key).unwrap().masked;
    assert!(masked("URL"));
    assert!(!masked("PLAIN"));
}
