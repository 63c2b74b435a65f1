//! Every keyword: one right and one wrong use of it, and a row in the page for
//! people.

use std::collections::BTreeSet;

use super::{
    RESERVED, artifacts, bridge, cache, environment, image, inherit, job, job_inputs, needs,
    no_runtime, pages, parallel, policy, release, retry, rules, secrets, shared, trigger, workflow,
};
use crate::{Files, Severity, compile};

const PAGE: &str = include_str!("../../../../docs/keywords.md");

struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _path: &str) -> Option<Vec<u8>> {
        None
    }

    fn paths(&self) -> Vec<String> {
        Vec::new()
    }
}

fn errors(yaml: &str) -> Vec<String> {
    let (compiled, _) = compile::check((".gitlab-ci.yml", yaml), None, &NoFiles);
    let errors = compiled.diagnostics.into_iter();
    let errors = errors.filter(|it| it.severity == Severity::Error);
    errors.map(|it| it.message).collect()
}

/// A keyword; a right file, `V` for its value; a wrong value, and what is told
/// first.
type Row = (&'static str, &'static str, &'static str, &'static str);

/// At the top of a file, beside a job.
const GLOBAL: &[Row] = &[
    (
        "default",
        "{tags: [a]}",
        "5",
        "default config should be a hash",
    ),
    (
        "include",
        "[]",
        "5",
        "Each include must be a hash or a string",
    ),
    (
        "before_script",
        "[x]",
        "5",
        "before_script config should be a string or a nested array of strings up to 10 levels deep",
    ),
    (
        "image",
        "ruby:3",
        "5",
        "image config should be a hash or a string",
    ),
    (
        "services",
        "[redis]",
        "5",
        "services config should be an array",
    ),
    (
        "after_script",
        "[x]",
        "5",
        "after_script config should be a string or a nested array of strings up to 10 levels deep",
    ),
    (
        "variables",
        "{A: 1}",
        "[A]",
        "variables config should be a hash",
    ),
    (
        "stages",
        "[build, test]",
        "x",
        "stages config should be an array of strings or a nested array of strings up to 10 levels \
         deep",
    ),
    (
        "cache",
        "{paths: [p]}",
        "5",
        "caches config can only be a hash or an array",
    ),
    (
        "workflow",
        "{rules: [{when: always}]}",
        "5",
        "workflow config should be a hash",
    ),
];

/// In `default`.
const DEFAULT: &[Row] = &[
    (
        "after_script",
        "x",
        "5",
        "default:after_script config should be a string or a nested array of strings up to 10 \
         levels deep",
    ),
    (
        "artifacts",
        "{paths: [p]}",
        "[p]",
        "default:artifacts config should be a hash",
    ),
    (
        "before_script",
        "x",
        "{a: b}",
        "default:before_script config should be a string or a nested array of strings up to 10 \
         levels deep",
    ),
    (
        "cache",
        "[{key: a, paths: [p]}]",
        "p",
        "default:caches config can only be a hash or an array",
    ),
    (
        "hooks",
        "{pre_get_sources_script: x}",
        "{a: x}",
        "default:hooks config contains unknown keys: a",
    ),
    (
        "id_tokens",
        "{T: {aud: a}}",
        "{T: {}}",
        "default:id_tokens:t config missing required keys: aud",
    ),
    (
        "identity",
        "google_cloud",
        "aws",
        "default:identity config should be one of: google_cloud",
    ),
    (
        "image",
        "{name: i, entrypoint: ['']}",
        "{entrypoint: ['']}",
        "default:image name should be a string",
    ),
    (
        "interruptible",
        "true",
        "x",
        "default:interruptible config should be a boolean value",
    ),
    (
        "retry",
        "{max: 1, when: [script_failure]}",
        "3",
        "retry config must be less than or equal to 2",
    ),
    (
        "services",
        "[{name: s, alias: a}]",
        "[{alias: a}]",
        "default:services:service name should be a string",
    ),
    (
        "tags",
        "[a]",
        "a",
        "default:tags config should be an array of strings",
    ),
    (
        "timeout",
        "1h 30m",
        "3600",
        "default:timeout config should be a duration",
    ),
];

/// In a job `j` with a script.
const JOB: &[Row] = &[
    ("script", "[[x], y]", "[]", "jobs:j script can't be blank"),
    (
        "before_script",
        "x",
        "5",
        "jobs:j:before_script config should be a string or a nested array of strings up to 10 \
         levels deep",
    ),
    (
        "after_script",
        "x",
        "[5]",
        "jobs:j:after_script config should be a string or a nested array of strings up to 10 \
         levels deep",
    ),
    (
        "run",
        "[{name: s, script: x}]",
        "x",
        "jobs:j:run config should be an array of hashes",
    ),
    (
        "stage",
        "build",
        "5",
        "jobs:j:stage config should be a string",
    ),
    ("extends", "[.t]", ".u", "j: unknown keys in `extends` (.u)"),
    (
        "rules",
        "[{if: $A}]",
        "[]",
        "jobs:j:rules config can't be blank",
    ),
    (
        "only",
        "[main]",
        "main",
        "jobs:j:only has to be either an array of conditions or a hash",
    ),
    (
        "except",
        "{refs: [main]}",
        "{}",
        "jobs:j:except config can't be blank",
    ),
    (
        "variables",
        "{A: {value: x, expand: false}}",
        "{A: {value: x, options: [x]}}",
        "jobs:j:variables:a config uses invalid data keys: options",
    ),
    (
        "inherit",
        "{default: [tags], variables: false}",
        "{default: [foo]}",
        "jobs:j:inherit:default config contains unknown values: foo",
    ),
    (
        "needs",
        "[{job: b, optional: true}]",
        "b",
        "jobs:j:needs config can only be a hash or an array",
    ),
    (
        "dependencies",
        "[]",
        "b",
        "jobs:j dependencies should be an array of strings",
    ),
    (
        "when",
        "manual",
        "never",
        "jobs:j when should be one of: on_success, on_failure, always, manual, delayed",
    ),
    ("start_in", "", "5 min", "jobs:j start in must be blank"),
    (
        "allow_failure",
        "{exit_codes: [1, 2]}",
        "5",
        "jobs:j allow failure should be a hash or a boolean value",
    ),
    (
        "manual_confirmation",
        "Sure?",
        "5",
        "jobs:j manual confirmation should be a string",
    ),
    (
        "image",
        "{name: i, pull_policy: [always, never]}",
        "{name: i, pull_policy: x}",
        "jobs:j:image:pull_policy config is not included in the list",
    ),
    (
        "services",
        "[s]",
        "[5]",
        "jobs:j:services:service config should be a hash or a string",
    ),
    (
        "artifacts",
        "{reports: {junit: a.xml}, expire_in: 1 week}",
        "{expire_in: soon}",
        "jobs:j:artifacts expire in should be a duration",
    ),
    (
        "cache",
        "{key: {files: [a]}, policy: pull}",
        "{key: a/b}",
        "jobs:j:cache:key config cannot contain the \"/\" character",
    ),
    (
        "retry",
        "{max: 2, exit_codes: 137}",
        "{max: 3}",
        "retry max must be less than or equal to 2",
    ),
    (
        "timeout",
        "30 days",
        "31 days",
        "jobs:j:timeout config should not exceed the limit",
    ),
    (
        "tags",
        "[$T]",
        "[[a]]",
        "jobs:j:tags config should be an array of strings",
    ),
    (
        "interruptible",
        "false",
        "1",
        "jobs:j:interruptible config should be a boolean value",
    ),
    (
        "resource_group",
        "$A",
        "5",
        "jobs:j resource group should be a string",
    ),
    (
        "environment",
        "{name: review/$A, action: prepare}",
        "{name: p, action: go}",
        "jobs:j:environment action should be start, stop, prepare, verify, or access",
    ),
    (
        "parallel",
        "{matrix: [{A: [1, 2]}]}",
        "201",
        "jobs:j:parallel config must be less than or equal to 200",
    ),
    (
        "coverage",
        "'/a (\\d+)/'",
        "abc",
        "jobs:j:coverage config must be a regular expression with re2 syntax",
    ),
    (
        "release",
        "{tag_name: v1, description: d}",
        "{tag_name: v1}",
        "jobs:j:release description should be a string",
    ),
    (
        "pages",
        "{publish: dist, expire_in: never}",
        "x",
        "jobs:j:pages config should be a hash or a boolean value",
    ),
    (
        "publish",
        "",
        "dist",
        "jobs:j publish can only be used within a `pages` job",
    ),
    (
        "hooks",
        "{pre_get_sources_script: [x]}",
        "x",
        "jobs:j:hooks config should be a hash",
    ),
    (
        "id_tokens",
        "{T: {aud: [a, b]}}",
        "{T: {aud: 5}}",
        "jobs:j:id_tokens:t aud should be an array of strings or a string",
    ),
    (
        "secrets",
        "{A: {vault: a/b@c, file: false}}",
        "{A: {token: $T}}",
        "jobs:j:secrets:a config must use exactly one of these keys: vault, azure_key_vault, \
         gcp_secret_manager, aws_secrets_manager, akeyless, gitlab_secrets_manager",
    ),
    (
        "identity",
        "google_cloud",
        "5",
        "jobs:j:identity config should be one of: google_cloud",
    ),
    (
        "inputs",
        "{a: {type: number, default: 5}}",
        "{a: {}}",
        "jobs:j:inputs:a must have a default value",
    ),
    (
        "dast_configuration",
        "{site_profile: p}",
        "{foo: p}",
        "jobs:j:dast_configuration config contains unknown keys: foo",
    ),
];

/// In a trigger job `j`.
const TRIGGER: &[Row] = &[
    (
        "trigger",
        "{include: [{local: c.yml}], strategy: depend}",
        "{project: g/p, strategy: wait}",
        "jobs:j:trigger strategy should be depend or mirror",
    ),
    (
        "parallel",
        "{matrix: [{A: [1, 2]}]}",
        "2",
        "jobs:j:parallel config cannot use \"parallel: <number>\".",
    ),
    ("extends", ".t", ".u", "j: unknown keys in `extends` (.u)"),
    (
        "stage",
        "build",
        "nope",
        "j job: chosen stage nope does not exist; available stages are .pre, build, test, deploy, \
         .post",
    ),
    (
        "only",
        "[main]",
        "5",
        "jobs:j:only has to be either an array of conditions or a hash",
    ),
    (
        "except",
        "[tags]",
        "5",
        "jobs:j:except has to be either an array of conditions or a hash",
    ),
    (
        "rules",
        "[{if: $A, when: manual}]",
        "[{if: '$A = 1'}]",
        "jobs:j:rules:rule if invalid expression syntax",
    ),
    (
        "variables",
        "{A: 1}",
        "5",
        "jobs:j:variables config should be a hash",
    ),
    (
        "inherit",
        "{variables: [A]}",
        "5",
        "jobs:j:inherit config should be a hash",
    ),
    (
        "allow_failure",
        "true",
        "{exit_codes: 1}",
        "jobs:j allow failure should be a boolean value",
    ),
    (
        "when",
        "always",
        "delayed",
        "jobs:j when should be one of: on_success, on_failure, always, manual",
    ),
    (
        "needs",
        "[{job: b, artifacts: false}]",
        "[{pipeline: '5', job: b}]",
        "jobs:j:needs config uses invalid types: cross_dependency",
    ),
    (
        "resource_group",
        "r",
        "[r]",
        "jobs:j resource group should be a string",
    ),
    (
        "environment",
        "e",
        "5",
        "jobs:j:environment config should be a hash or a string",
    ),
    (
        "interruptible",
        "true",
        "x",
        "jobs:j:interruptible config should be a boolean value",
    ),
];

fn names(rows: &[Row]) -> BTreeSet<&'static str> {
    rows.iter().map(|(name, ..)| *name).collect()
}

fn check(rows: &[Row], keys: &[&'static str], file: impl Fn(&str, &str) -> String) {
    let keys: BTreeSet<&str> = keys.iter().copied().collect();
    assert_eq!(names(rows), keys);
    for (keyword, good, bad, sentence) in rows {
        let good = file(keyword, good);
        assert_eq!(errors(&good), [""; 0], "{good}");
        let bad = file(keyword, bad);
        let told = errors(&bad);
        assert_eq!(
            told.first().map(String::as_str),
            Some(*sentence),
            "{bad}: {told:?}"
        );
    }
}

#[test]
fn each_keyword_at_the_top_is_checked() {
    check(GLOBAL, RESERVED, |keyword, value| {
        format!("{{j: {{script: x}}, {keyword}: {value}}}")
    });
}

#[test]
fn each_keyword_of_default_is_checked() {
    check(DEFAULT, shared::DEFAULT_KEYS, |keyword, value| {
        format!("{{j: {{script: x}}, default: {{{keyword}: {value}}}}}")
    });
}

#[test]
fn each_keyword_of_a_job_is_checked() {
    check(JOB, job::KEYS, |keyword, value| {
        let script = match keyword {
            "script" | "run" => "",
            _ => "script: x, ",
        };
        format!(
            "{{b: {{stage: build, script: x}}, .t: {{tags: [a]}}, j: {{{script}{keyword}: {value}}}}}"
        )
    });
}

#[test]
fn each_keyword_of_a_trigger_job_is_checked() {
    check(TRIGGER, bridge::KEYS, |keyword, value| {
        let trigger = match keyword {
            "trigger" => "",
            _ => "trigger: g/p, ",
        };
        format!(
            "{{b: {{stage: build, script: x}}, .t: {{when: manual}}, j: {{{trigger}{keyword}: {value}}}}}"
        )
    });
}

/// The keys inside of keywords, as the page lists them.
fn inside() -> Vec<(&'static str, &'static [&'static str])> {
    vec![
        ("`workflow`", workflow::KEYS),
        ("`workflow:auto_cancel`", workflow::AUTO_CANCEL_KEYS),
        ("`workflow:rules`", rules::Owner::Workflow.keys()),
        ("`rules`", rules::Owner::Job.keys()),
        ("`rules:changes`", rules::CHANGES_KEYS),
        ("`rules:exists`", rules::EXISTS_KEYS),
        ("`only`, `except`", policy::KEYS),
        ("`inherit`", inherit::KEYS),
        ("`needs`: a job", needs::KEYS),
        ("`needs`: another pipeline", needs::PIPELINE_KEYS),
        ("`needs`: another project", needs::PROJECT_KEYS),
        ("`image`", image::IMAGE_KEYS),
        ("`image:docker`", image::DOCKER_KEYS),
        ("`services`", image::SERVICE_KEYS),
        ("`artifacts`", artifacts::KEYS),
        ("`cache`", cache::KEYS),
        ("`cache:key`", cache::KEY_KEYS),
        ("`retry`", retry::KEYS),
        ("`environment`", environment::KEYS),
        ("`environment:kubernetes`", environment::KUBERNETES_KEYS),
        ("`parallel`", parallel::KEYS),
        ("`hooks`", shared::HOOKS_KEYS),
        ("`trigger`: another project", trigger::KEYS),
        ("`trigger`: a child", trigger::CHILD_KEYS),
        ("`trigger:include`", trigger::INCLUDE_KEYS),
        ("`trigger:forward`", trigger::FORWARD_KEYS),
        ("`release`", release::KEYS),
        ("`pages`", pages::KEYS),
        ("`inputs`", job_inputs::KEYS),
        ("`id_tokens`", secrets::ID_TOKEN_KEYS),
        ("`dast_configuration`", secrets::DAST_KEYS),
    ]
}

/// The cells of the rows of the page's tables.
fn table(first_column: &str) -> Vec<Vec<String>> {
    let cells = |line: &str| -> Vec<String> {
        let line = line.trim().trim_start_matches('|').trim_end_matches('|');
        line.split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let rows = PAGE.lines().skip_while(|line| {
        !line.starts_with('|') || cells(line).first().map(String::as_str) != Some(first_column)
    });
    rows.skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(cells)
        .collect()
}

#[test]
fn the_page_lists_every_keyword_and_where_it_may_stand() {
    let mut all: BTreeSet<&str> = RESERVED.iter().copied().collect();
    all.extend(shared::DEFAULT_KEYS);
    all.extend(job::KEYS);
    all.extend(bridge::KEYS);
    let expected: Vec<Vec<String>> = all
        .iter()
        .map(|keyword| {
            let mark = |keys: &[&str]| if keys.contains(keyword) { "yes" } else { "" };
            vec![
                format!("`{keyword}`"),
                mark(RESERVED).to_owned(),
                mark(shared::DEFAULT_KEYS).to_owned(),
                mark(job::KEYS).to_owned(),
                mark(bridge::KEYS).to_owned(),
            ]
        })
        .collect();
    let rows = table("keyword");
    let listed: Vec<Vec<String>> = rows.iter().map(|row| row[..5].to_vec()).collect();
    assert_eq!(listed, expected);
    assert!(rows.iter().all(|row| row.len() == 6 && !row[5].is_empty()));
}

#[test]
fn the_page_lists_the_keys_inside_of_keywords() {
    let expected: Vec<Vec<String>> = inside()
        .into_iter()
        .map(|(keyword, keys)| {
            let keys: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
            vec![keyword.to_owned(), keys.join(" ")]
        })
        .collect();
    assert_eq!(table("in"), expected);
}

#[test]
fn the_page_explains_every_code_of_what_has_no_effect() {
    let rows = table("code");
    let expected: Vec<Vec<String>> = no_runtime::unsupported()
        .map(|it| {
            let keywords: Vec<String> = it.keywords.iter().map(|it| format!("`{it}`")).collect();
            vec![
                format!("`{}`", it.code),
                keywords.join(", "),
                it.instead.to_owned(),
            ]
        })
        .collect();
    assert_eq!(rows, expected);
    for row in table("keyword") {
        let name = row[0].trim_matches('`');
        for code in row[5]
            .split('`')
            .filter(|part| part.starts_with("no-runtime/"))
        {
            let known = no_runtime::unsupported().find(|it| it.code == code);
            assert!(
                known.is_some_and(|it| it.keywords.contains(&name)
                    || matches!(name, "artifacts" | "image" | "services" | "environment")),
                "{name}: {code}"
            );
        }
        let of_its_own = no_runtime::unsupported().find(|it| it.keywords.contains(&name));
        if let Some(of_its_own) = of_its_own {
            assert!(row[5].contains(of_its_own.code), "{name}");
        }
    }
}
