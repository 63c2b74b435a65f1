//! Whole plans: which jobs are in, what they wait for, and why there is none.

use fleet_model::{AllowFailure, AutoCancel, OnJobFailure, OnNewCommit, Scheduling, When};

use super::super::{EMPTY, FILTERED};
use super::*;

#[test]
fn jobs_stand_in_order_of_stages_and_empty_stages_are_dropped() {
    let config = config(
        &["build", "check", "test"],
        vec![
            job("t", "test"),
            job("last", ".post"),
            job("b", "build"),
            job("u", "test"),
        ],
    );
    let evaluation = evaluate(&config, &push());
    assert_eq!(names(&evaluation), ["b", "t", "u", "last"]);
    let plan = evaluation.plan.unwrap();
    assert_eq!(plan.stages, ["build", "test", ".post"]);
    assert_eq!(
        plan.jobs.iter().map(|job| job.stage).collect::<Vec<_>>(),
        [0, 1, 1, 2]
    );
    assert!(
        plan.jobs
            .iter()
            .all(|job| job.scheduling == Scheduling::Stage)
    );
}

#[test]
fn a_job_no_rule_wants_leaves_an_empty_pipeline() {
    // V31
    let mut only = job("j", "test");
    only.rules = Some(vec![rule_if(
        "$CI_COMMIT_TAG",
        RuleWhen::Run(When::OnSuccess),
    )]);
    let evaluation = evaluate(&config(&["test"], vec![only.clone()]), &push());
    assert!(refusal(&evaluation).starts_with("The resulting pipeline would have been empty."));
    assert_eq!(evaluation.diagnostics[0].code, EMPTY);
    assert_eq!(
        evaluation.left_out[0].why,
        "is left out: none of its rules matches"
    );
    let tag = on_ref("v1", RefKind::Tag);
    assert_eq!(
        names(&evaluate(&config(&["test"], vec![only]), &tag)),
        ["j"]
    );
}

#[test]
fn jobs_at_the_edges_alone_are_an_empty_pipeline() {
    let evaluation = evaluate(
        &config(&[], vec![job("a", ".pre"), job("b", ".post")]),
        &push(),
    );
    assert_eq!(evaluation.diagnostics[0].code, EMPTY);
}

#[test]
fn manual_jobs_block_only_by_rule() {
    // V32, V33
    let mut by_rule = job("r", "test");
    by_rule.rules = Some(vec![rule_if("$CI", RuleWhen::Run(When::Manual))]);
    let mut by_job = job("j", "test");
    by_job.when = When::Manual;
    let plan = evaluate(&config(&["test"], vec![by_rule, by_job]), &push())
        .plan
        .unwrap();
    assert_eq!(
        (plan.jobs[0].when, &plan.jobs[0].allow_failure),
        (When::Manual, &AllowFailure::No)
    );
    assert_eq!(
        (plan.jobs[1].when, &plan.jobs[1].allow_failure),
        (When::Manual, &AllowFailure::Yes)
    );
}

#[test]
fn a_rules_allow_failure_clears_exit_codes() {
    let mut stated = job("j", "test");
    stated.allow_failure = Some(AllowFailure::ExitCodes(vec![3]));
    stated.rules = Some(vec![Rule {
        allow_failure: Some(true),
        ..rule()
    }]);
    let mut kept = stated.clone();
    kept.name = "k".to_owned();
    kept.rules = Some(vec![rule()]);
    let plan = evaluate(&config(&["test"], vec![stated, kept]), &push())
        .plan
        .unwrap();
    assert_eq!(plan.jobs[0].allow_failure, AllowFailure::Yes);
    assert_eq!(plan.jobs[1].allow_failure, AllowFailure::ExitCodes(vec![3]));
}

#[test]
fn only_and_except_decide_together() {
    // V37, V39, V40
    let merge_request = Context {
        source: PipelineSource::MergeRequestEvent,
        ..on_ref("feature", RefKind::MergeRequest)
    };
    let mut plain = job("j", "test");
    plain.only = refs(&["branches", "tags"]);
    let of = |job: &Job, context: &Context| {
        evaluate(&config(&["test"], vec![job.clone()]), context)
            .plan
            .is_some()
    };
    assert!(of(&plain, &push()));
    assert!(!of(&plain, &merge_request));

    let mut release = job("j", "test");
    release.only = refs(&["/^rel-/"]);
    release.except = refs(&["branches"]);
    assert!(!of(&release, &on_ref("rel-1", RefKind::Branch)));
    assert!(of(&release, &on_ref("rel-1", RefKind::Tag)));

    let mut either = job("j", "test");
    either.except = Some(Policy {
        variables: Some(vec![Expression::parse("$X == '1'").unwrap()]),
        ..refs(&["main"]).unwrap()
    });
    let mut dev = on_ref("dev", RefKind::Branch);
    assert!(of(&either, &dev));
    dev.project_variables = vec![variable("X", "1")];
    assert!(!of(&either, &dev));
    assert!(!of(&either, &push()));
    let why = &evaluate(&config(&["test"], vec![either]), &push()).left_out[0].why;
    assert_eq!(
        why,
        "is left out: `except:refs` [main] holds: this is branch `main` by `push`"
    );
}

#[test]
fn old_style_branches_choose_their_deployment() {
    // V88
    let mut staging = job("deploy to staging", "staging");
    staging.only = refs(&["master"]);
    let mut production = job("deploy to production", "production");
    production.only = refs(&["production"]);
    let mut build = job("build image", "build");
    build.only = refs(&["branches", "tags"]);
    let mut test = job("test image", "test");
    test.only = refs(&["branches", "tags"]);
    let config = config(
        &["build", "test", "staging", "production"],
        vec![build, test, staging, production],
    );
    for (name, kind, last) in [
        ("master", RefKind::Branch, Some("deploy to staging")),
        ("production", RefKind::Branch, Some("deploy to production")),
        ("feature", RefKind::Branch, None),
        ("v1", RefKind::Tag, None),
    ] {
        let evaluation = evaluate(&config, &on_ref(name, kind));
        let expected: Vec<&str> = ["build image", "test image"]
            .into_iter()
            .chain(last)
            .collect();
        assert_eq!(names(&evaluation), expected, "{name}");
    }
}

#[test]
fn a_rule_that_says_never_is_told() {
    let mut left = job("j", "test");
    left.rules = Some(vec![
        rule_if("$X", RuleWhen::Run(When::Always)),
        rule_if("$CI_COMMIT_BRANCH == 'main'", RuleWhen::Never),
    ]);
    let evaluation = evaluate(&config(&["test"], vec![job("k", "test"), left]), &push());
    assert_eq!(names(&evaluation), ["k"]);
    assert_eq!(
        evaluation.left_out[0].why,
        "is left out: rule 2 (if: $CI_COMMIT_BRANCH == 'main') says `when: never`"
    );
}

#[test]
fn needs_become_indexes_and_schedule_by_graph() {
    let mut needy = job("n", "deploy");
    needy.needs = Some(vec![
        need("b"),
        Need {
            optional: true,
            ..need("gone")
        },
    ]);
    let mut at_once = job("o", "deploy");
    at_once.needs = Some(Vec::new());
    let jobs = vec![needy, at_once, job("a", "build"), job("b", "build")];
    let plan = evaluate(&config(&["build", "deploy"], jobs), &push())
        .plan
        .unwrap();
    assert_eq!(plan.jobs[2].scheduling, Scheduling::Dag(vec![1]));
    assert_eq!(plan.jobs[3].scheduling, Scheduling::Dag(Vec::new()));
}

#[test]
fn a_need_that_is_left_out_is_an_error_unless_optional() {
    // V47, V48
    let mut b = job("b", "test");
    b.rules = Some(never());
    let mut a = job("a", "test");
    a.needs = Some(vec![need("b")]);
    let evaluation = evaluate(&config(&["test"], vec![b.clone(), a.clone()]), &push());
    assert_eq!(
        refusal(&evaluation),
        "'a' job needs 'b' job, but 'b' does not exist in the pipeline. This might be because of \
         the only, except, or rules keywords. To need a job that sometimes does not exist in the \
         pipeline, use needs:optional."
    );
    a.needs = Some(vec![Need {
        optional: true,
        ..need("b")
    }]);
    let plan = evaluate(&config(&["test"], vec![b, a]), &push())
        .plan
        .unwrap();
    assert_eq!(plan.jobs[0].scheduling, Scheduling::Dag(Vec::new()));
}

#[test]
fn a_rules_needs_replace_the_jobs() {
    let with = |job_needs: Option<Vec<Need>>, rule_needs: Option<Vec<Need>>| {
        let mut d = job("d", "deploy");
        d.needs = job_needs;
        d.rules = Some(vec![Rule {
            needs: rule_needs,
            ..rule()
        }]);
        let jobs = vec![job("a", "build"), job("b", "build"), d];
        let plan = evaluate(&config(&["build", "deploy"], jobs), &push())
            .plan
            .unwrap();
        plan.jobs[2].scheduling.clone()
    };
    assert_eq!(
        with(Some(vec![need("a")]), Some(vec![need("b")])),
        Scheduling::Dag(vec![1])
    );
    assert_eq!(with(None, Some(vec![need("b")])), Scheduling::Dag(vec![1]));
    assert_eq!(
        with(Some(vec![need("a")]), Some(Vec::new())),
        Scheduling::Dag(Vec::new())
    );
    assert_eq!(with(None, Some(Vec::new())), Scheduling::Stage);
    assert_eq!(with(Some(vec![need("a")]), None), Scheduling::Dag(vec![0]));
}

#[test]
fn artifacts_come_from_earlier_stages_or_from_what_is_named() {
    let a = with_artifacts(job("a", "build"));
    let b = with_artifacts(job("b", "build"));
    let same_stage = with_artifacts(job("s", "test"));
    let plain = job("t", "test");
    let mut chosen = job("chosen", "test");
    chosen.dependencies = Some(vec!["b".to_owned()]);
    let mut none = job("none", "test");
    none.dependencies = Some(Vec::new());
    let mut needy = job("needy", "test");
    needy.needs = Some(vec![
        need("s"),
        need("b"),
        Need {
            artifacts: false,
            ..need("a")
        },
    ]);
    let mut both = needy.clone();
    both.name = "both".to_owned();
    both.dependencies = Some(vec!["b".to_owned()]);
    let jobs = vec![
        job("quiet", "build"),
        a,
        b,
        same_stage,
        plain,
        chosen,
        none,
        needy,
        both,
    ];
    let plan = evaluate(&config(&["build", "test"], jobs), &push())
        .plan
        .unwrap();
    let from = |name: &str| {
        let job = plan.jobs.iter().find(|job| job.name == name).unwrap();
        job.artifacts_from
            .iter()
            .map(|&at| plan.jobs[at].name.as_str())
            .collect::<Vec<_>>()
    };
    assert_eq!(from("t"), ["a", "b"]);
    assert_eq!(from("chosen"), ["b"]);
    assert!(from("none").is_empty());
    assert_eq!(from("needy"), ["b", "s"]);
    assert_eq!(from("both"), ["b"]);
}

#[test]
fn workflow_rules_may_want_no_pipeline() {
    let mut config = config(&["test"], vec![job("j", "test")]);
    config.workflow.rules = Some(vec![
        rule_if("$CI_COMMIT_TAG", RuleWhen::Never),
        rule_if("$CI_COMMIT_BRANCH == 'main'", RuleWhen::Run(When::Always)),
    ]);
    assert!(evaluate(&config, &push()).plan.is_some());
    let text =
        "The pipeline did not run. Review the workflow:rules configuration for the pipeline.";
    for (context, why) in [
        (
            on_ref("v1", RefKind::Tag),
            "rule 1 (if: $CI_COMMIT_TAG) says `when: never`",
        ),
        (on_ref("dev", RefKind::Branch), "none of the rules matches"),
    ] {
        let evaluation = evaluate(&config, &context);
        assert_eq!(refusal(&evaluation), text);
        assert_eq!(evaluation.diagnostics[0].code, FILTERED);
        assert_eq!(evaluation.diagnostics[0].help.as_deref(), Some(why));
    }
}

#[test]
fn a_workflow_rule_gives_variables_and_cancellation() {
    let mut config = config(&["test"], vec![job("j", "test")]);
    config.variables = vec![variable("A", "global"), variable("B", "global")];
    config.workflow.name = Some("  $A of $CI_COMMIT_BRANCH $NOPE ".to_owned());
    config.workflow.rules = Some(vec![Rule {
        variables: vec![variable("A", "rule")],
        auto_cancel: Some(AutoCancel {
            on_job_failure: OnJobFailure::All,
            on_new_commit: OnNewCommit::Interruptible,
        }),
        ..rule()
    }]);
    let plan = evaluate(&config, &push()).plan.unwrap();
    assert_eq!(plan.name.as_deref(), Some("rule of main"));
    assert_eq!(plan.auto_cancel.on_job_failure, OnJobFailure::All);
    assert_eq!(plan.auto_cancel.on_new_commit, OnNewCommit::Interruptible);
    let all = plan.predefined.iter().chain(&plan.jobs[0].variables);
    let index = crate::variables::Index::new(all);
    let value = |key: &str| index.value(key);
    assert_eq!(value("A"), Some("rule"));
    assert_eq!(value("B"), Some("global"));
    assert_eq!(value("CI_PIPELINE_NAME"), Some("rule of main"));
}

#[test]
fn too_many_jobs_are_refused() {
    let jobs = |count| (0..count).map(|n| job(&format!("j{n}"), "test")).collect();
    assert!(
        evaluate(&config(&["test"], jobs(5000)), &push())
            .plan
            .is_some()
    );
    let evaluation = evaluate(&config(&["test"], jobs(5001)), &push());
    assert!(refusal(&evaluation).starts_with("The number of jobs has exceeded the limit of 5000."));
}
