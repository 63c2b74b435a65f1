//! Which variables a planned job has, and what is expanded with them.

use fleet_model::{ArtifactWhen, EnvironmentAction, JobId, PipelineId, Plan};

use super::*;
use crate::config::{Cache, CacheKey, Environment, Parallel};
use crate::variables::predefined::{LeaseFacts, for_attempt};
use crate::variables::{Index, expand_for_job};

/// The only job of a plan, with all that is known before it is leased in its
/// variables.
fn planned(config: &Config, context: &Context) -> fleet_model::PlannedJob {
    let mut plan = only(config, context);
    let mut job = plan.jobs.swap_remove(0);
    job.variables.splice(0..0, plan.predefined);
    job.variables.append(&mut plan.user);
    job.variables.extend(context.settings());
    job.variables.extend(job.overriding.iter().cloned());
    job
}

fn only(config: &Config, context: &Context) -> Plan {
    let evaluation = evaluate(config, context);
    assert_eq!(evaluation.diagnostics, []);
    evaluation.plan.unwrap()
}

fn one(job: Job) -> Config {
    config(&["test"], vec![job])
}

fn environment(name: &str) -> Environment {
    Environment {
        span: SPAN,
        name: name.to_owned(),
        url: None,
        action: EnvironmentAction::Start,
        on_stop: None,
        auto_stop_in: None,
        deployment_tier: None,
    }
}

#[test]
fn settings_stand_over_yaml_and_yaml_over_predefined() {
    let mut of_job = job("j", "test");
    of_job.variables = vec![variable("A", "job"), variable("CI_COMMIT_REF_NAME", "mine")];
    of_job.rules = Some(vec![Rule {
        variables: vec![variable("B", "rule")],
        ..rule()
    }]);
    let mut config = one(of_job);
    config.variables = ["A", "B", "C", "D", "E", "GITLAB_USER_LOGIN"]
        .map(|key| variable(key, "global"))
        .to_vec();
    let context = Context {
        project_variables: vec![variable("D", "project"), variable("E", "project")],
        pipeline_variables: vec![variable("E", "pipeline")],
        ..push()
    };
    let job = planned(&config, &context);
    let index = Index::new(&job.variables);
    for (key, value) in [
        ("A", "job"),
        ("B", "rule"),
        ("C", "global"),
        ("D", "project"),
        ("E", "pipeline"),
        ("CI_COMMIT_REF_NAME", "mine"),
        ("CI_COMMIT_REF_SLUG", "main"),
        ("GITLAB_USER_LOGIN", "ann"),
    ] {
        assert_eq!(index.value(key), Some(value), "{key}");
    }
}

#[test]
fn inherited_variables_can_be_chosen() {
    // V27
    for (inherit, a, b) in [
        (InheritVariables::All, Some("1"), Some("2")),
        (
            InheritVariables::Only(vec!["A".to_owned()]),
            Some("1"),
            None,
        ),
        (InheritVariables::Nothing, None, None),
    ] {
        let mut config = one(Job {
            inherit_variables: inherit,
            ..job("j", "test")
        });
        config.variables = vec![variable("A", "1"), variable("B", "2")];
        let job = planned(&config, &push());
        let index = Index::new(&job.variables);
        assert_eq!((index.value("A"), index.value("B")), (a, b));
    }
}

#[test]
fn rules_see_values_unexpanded_and_globs_expanded() {
    let mut of_job = job("j", "test");
    of_job.variables = vec![variable("D", "$E"), variable("E", "src")];
    of_job.rules = Some(vec![
        rule_if("$D == 'src'", RuleWhen::Never),
        Rule {
            changes: Some(crate::config::RuleChanges {
                paths: vec!["$D/*".to_owned()],
                compare_to: None,
            }),
            ..rule()
        },
    ]);
    let context = Context {
        changes: Changes::Known(vec!["src/a".to_owned()]),
        ..push()
    };
    assert_eq!(planned(&one(of_job), &context).name, "j");
}

#[test]
fn ids_and_tokens_are_unknown_to_rules() {
    let mut of_job = job("j", "test");
    of_job.rules = Some(vec![rule_if(
        "$CI_JOB_ID || $CI_PIPELINE_ID || $CI_JOB_TOKEN || $CI_ENVIRONMENT_SLUG || $CI_BUILD_TOKEN",
        RuleWhen::Run(fleet_model::When::Always),
    )]);
    assert!(evaluate(&one(of_job), &push()).plan.is_none());
}

#[test]
fn tags_keep_what_is_unknown() {
    // V81
    let mut of_job = job("j", "test");
    of_job.tags = vec!["$T".to_owned(), "x".to_owned()];
    let mut context = push();
    assert_eq!(planned(&one(of_job.clone()), &context).tags, ["$T", "x"]);
    context.project_variables = vec![variable("T", "arm")];
    assert_eq!(planned(&one(of_job), &context).tags, ["arm", "x"]);
}

#[test]
fn an_environment_is_expanded_with_all_but_its_own() {
    // V73
    let mut of_job = job("j", "test");
    of_job.environment = Some(Environment {
        url: Some("https://$CI_ENVIRONMENT_SLUG.example/$FROM_DOTENV".to_owned()),
        auto_stop_in: Some("$DAYS days".to_owned()),
        ..environment("review/$CI_COMMIT_REF_SLUG")
    });
    of_job.variables = vec![variable("DAYS", "$N"), variable("N", "2")];
    of_job.resource_group = Some("$CI_ENVIRONMENT_NAME$NOPE".to_owned());
    let job = planned(&one(of_job), &on_ref("Feat/A_b", RefKind::Branch));
    let place = job.environment.unwrap();
    assert_eq!(place.name, "review/feat-a-b");
    assert_eq!(place.slug, "review-feat-a-b-y5byzd");
    assert_eq!(
        place.url.as_deref(),
        Some("https://review-feat-a-b-y5byzd.example/$FROM_DOTENV")
    );
    assert_eq!(place.auto_stop_in.as_deref(), Some("2 days"));
    assert_eq!(place.deployment_tier, "development");
    assert_eq!(job.resource_group.as_deref(), Some("review/feat-a-b"));
    let index = Index::new(&job.variables);
    assert_eq!(
        index.value("CI_ENVIRONMENT_SLUG"),
        Some("review-feat-a-b-y5byzd")
    );
    assert_eq!(index.value("CI_ENVIRONMENT_TIER"), Some("development"));
    assert_eq!(index.value("CI_ENVIRONMENT_ACTION"), Some("start"));
}

#[test]
fn circular_variables_are_refused() {
    // V69
    let mut of_job = job("j", "test");
    of_job.variables = vec![variable("A", "$B"), variable("B", "$A")];
    let evaluation = evaluate(&one(of_job), &push());
    assert_eq!(
        refusal(&evaluation),
        r#"j: circular variable reference detected: ["A", "B"]"#
    );
}

#[test]
fn a_commit_message_is_never_expanded() {
    let mut context = push();
    context.commit.message =
        "$CI_COMMIT_MESSAGE $CI_COMMIT_TITLE\n\n$CI_COMMIT_DESCRIPTION".to_owned();
    let job = planned(&one(job("j", "test")), &context);
    let all = expand_for_job(&job.variables).unwrap();
    let title = Index::new(&all).value("CI_COMMIT_TITLE");
    assert_eq!(title, Some("$CI_COMMIT_MESSAGE $CI_COMMIT_TITLE"));
}

#[test]
fn parallel_jobs_know_their_place() {
    let mut instance = job("rspec: [a, b]", "test");
    instance.parallel = Some(Parallel {
        base_name: "rspec".to_owned(),
        index: 2,
        total: 5,
        matrix: vec![("X".to_owned(), "a".to_owned())],
    });
    let job = planned(&one(instance), &push());
    let index = Index::new(&job.variables);
    for (key, value) in [
        ("CI_NODE_INDEX", "2"),
        ("CI_NODE_TOTAL", "5"),
        ("CI_JOB_NAME", "rspec: [a, b]"),
        ("CI_JOB_GROUP_NAME", "rspec"),
        ("CI_JOB_NAME_SLUG", "rspec---a--b"),
        ("CI_JOB_STAGE", "test"),
    ] {
        assert_eq!(index.value(key), Some(value), "{key}");
    }
}

#[test]
fn cache_keys_follow_files_and_protection() {
    let cache = |key, unprotect| Cache {
        key,
        fallback_keys: vec!["old".to_owned()],
        paths: Vec::new(),
        untracked: false,
        policy: "pull-push".to_owned(),
        when: ArtifactWhen::OnSuccess,
        unprotect,
    };
    let files = |files: &[&str], prefix: Option<&str>| CacheKey::Files {
        files: files.iter().map(|file| file.to_string()).collect(),
        by_commit: false,
        prefix: prefix.map(str::to_owned),
    };
    let mut of_job = job("j", "test");
    of_job.caches = vec![
        cache(CacheKey::Text("$CI_JOB_NAME".to_owned()), false),
        cache(CacheKey::Text("k".to_owned()), true),
        cache(files(&["Gemfile.lock"], None), false),
        cache(files(&["nope", "*.none"], Some("p")), false),
    ];
    let plan = plan(&one(of_job), &push(), &tree(&["Gemfile.lock"]))
        .plan
        .unwrap();
    let keys: Vec<&str> = plan.jobs[0]
        .caches
        .iter()
        .map(|cache| cache.key.as_str())
        .collect();
    assert_eq!(
        keys,
        [
            "$CI_JOB_NAME-protected",
            "k-non_protected",
            // printf Gemfile.lock | git hash-object --stdin, and the SHA-1 of that
            "2_Gemfile-53c576479fccc666c4f50ef5fd24cf769916241c-protected",
            "p-default-protected",
        ]
    );
    assert_eq!(plan.jobs[0].caches[0].fallback_keys, ["old-protected"]);
}

#[test]
fn predefined_variables_tell_the_event() {
    let job = planned(&one(job("build image", "test")), &push());
    let index = Index::new(&job.variables);
    for (key, value) in [
        ("CI", "true"),
        ("CI_SERVER_URL", "https://fleet.example:8443"),
        ("CI_SERVER_HOST", "fleet.example"),
        ("CI_SERVER_PORT", "8443"),
        ("CI_SERVER_FQDN", "fleet.example:8443"),
        ("CI_API_V4_URL", "https://fleet.example:8443/api/v4"),
        ("CI_PROJECT_NAME", "app"),
        ("CI_PROJECT_NAMESPACE", "group/sub"),
        ("CI_PROJECT_ROOT_NAMESPACE", "group"),
        ("CI_PROJECT_PATH_SLUG", "group-sub-app"),
        ("CI_PROJECT_URL", "https://fleet.example:8443/group/sub/app"),
        (
            "CI_CONFIG_REF_URI",
            "fleet.example/group/sub/app//.gitlab-ci.yml@refs/heads/main",
        ),
        ("CI_COMMIT_SHORT_SHA", "01234567"),
        ("CI_BUILD_REF", "0123456789abcdef0123456789abcdef01234567"),
        ("CI_COMMIT_BRANCH", "main"),
        ("CI_COMMIT_TITLE", "One"),
        ("CI_COMMIT_DESCRIPTION", "\nTwo"),
        ("CI_COMMIT_REF_PROTECTED", "true"),
        ("CI_PIPELINE_IID", "12"),
        ("CI_PIPELINE_SOURCE", "push"),
        ("CI_BUILD_NAME", "build image"),
        ("CI_NODE_TOTAL", "1"),
        ("GITLAB_USER_EMAIL", "ann@example.com"),
    ] {
        assert_eq!(index.value(key), Some(value), "{key}");
    }
    for absent in [
        "CI_COMMIT_TAG",
        "CI_JOB_ID",
        "CI_NODE_INDEX",
        "CI_JOB_MANUAL",
    ] {
        assert_eq!(index.value(absent), None, "{absent}");
    }
}

#[test]
fn a_lease_adds_ids_and_tokens_and_dotenv_stands_under_settings() {
    let mut config = one(job("j", "test"));
    config.variables = vec![variable("A", "yaml"), variable("B", "yaml")];
    let context = Context {
        project_variables: vec![variable("B", "project")],
        ..push()
    };
    let plan = only(&config, &context);
    let facts = LeaseFacts {
        pipeline: PipelineId(5),
        job: JobId(9),
        token: "t0ken",
        server_url: "https://fleet.example:8443",
        project_path: "group/sub/app",
        repository_url: None,
        started_at: "2026-11-23T10:00:01Z",
        timeout_seconds: 3600,
        agent_name: "b3",
        agent_tags: &["docker".to_owned(), "arm".to_owned()],
    };
    let dotenv = vec![variable("A", "dotenv"), variable("B", "dotenv")];
    let all = for_attempt(&facts, &plan, &plan.jobs[0], dotenv, context.settings());
    let index = Index::new(&all);
    for (key, value) in [
        ("A", "dotenv"),
        ("B", "project"),
        ("CI_JOB_ID", "9"),
        ("CI_BUILD_ID", "9"),
        (
            "CI_PIPELINE_URL",
            "https://fleet.example:8443/group/sub/app/-/pipelines/5",
        ),
        (
            "CI_REPOSITORY_URL",
            "https://gitlab-ci-token:t0ken@fleet.example:8443/group/sub/app.git",
        ),
        ("CI_BUILD_TOKEN", "t0ken"),
        ("CI_RUNNER_TAGS", r#"["docker", "arm"]"#),
        ("CI_SERVER", "yes"),
    ] {
        assert_eq!(index.value(key), Some(value), "{key}");
    }
    for token in all
        .iter()
        .filter(|variable| variable.value.contains("t0ken"))
    {
        assert!(!token.public && token.raw, "{}", token.key);
        assert_eq!(token.masked, token.value == "t0ken", "{}", token.key);
    }
}

#[test]
fn many_global_variables_of_many_jobs_are_bounded() {
    let mut config = config(
        &["test"],
        (0..100)
            .map(|index| job(&format!("j{index}"), "test"))
            .collect(),
    );
    config.variables = vec![variable("V", &"x".repeat(400_000))];
    assert_eq!(
        refusal(&evaluate(&config, &push())),
        "the global variables of all jobs together are larger than 32 MiB"
    );
    for job in &mut config.jobs[1..] {
        job.inherit_variables = InheritVariables::Nothing;
    }
    assert_eq!(names(&evaluate(&config, &push())).len(), 100);
}
