//! What lint says of configurations of which a part cannot be had here.

use std::collections::BTreeMap;

use super::Repository;
use crate::{Files, Severity, lint};

/// Codes of the findings, the worst first.
fn codes(yaml: &str, files: &impl Files) -> Vec<(Severity, &'static str)> {
    let found = lint((".gitlab-ci.yml", yaml), None, files).diagnostics;
    let mut codes: Vec<_> = found.iter().map(|it| (it.severity, it.code)).collect();
    codes.sort_by_key(|(severity, code)| (std::cmp::Reverse(*severity), *code));
    codes.dedup();
    codes
}

fn nothing() -> Repository {
    Repository(BTreeMap::new())
}

const UNKNOWN: (Severity, &str) = (Severity::Warning, "include-unknown");

#[test]
fn what_a_missing_file_could_bring_is_not_missed() {
    for rest in [
        "",
        "j: {extends: .t}",
        "j: {extends: [.t, .u], variables: {A: b}}",
        "j: {script: [!reference [.t, script], make]}",
        "j: {script: !reference [.t, script]}",
        "j: {script: x, rules: [!reference [.t, rules], {when: never}]}",
        "j: {script: x, rules: !reference [.t, rules]}",
        "j: {script: x, variables: !reference [.t, variables]}",
        "j: {script: x, image: !reference [.t, image]}",
        "j: {script: x, cache: {key: !reference [.t, key], paths: [a]}}",
        "j: {script: x, stage: compliance}",
        "j: {script: x, needs: [sast]}",
        "j: {script: x, stage: test, needs: [k]}\nk: {stage: deploy, script: x}",
        "j: {script: x, dependencies: [sast]}",
        "sast: {variables: {A: b}}",
        "sast: {rules: [{when: never}]}",
        "j: {script: x, environment: {name: a, on_stop: stop}}",
        "j: {image: {entrypoint: ['']}, extends: .t}",
        "j: {when: delayed, extends: .t}",
        "default: {image: {entrypoint: ['']}}",
        "workflow: {rules: !reference [.t, rules]}",
        ".t: {extends: .u, script: x}\nj: {extends: .t}",
    ] {
        for include in [
            "{template: Jobs/SAST.gitlab-ci.yml}",
            "{project: g/p, file: a.yml}",
            "\"https://h.example/a.yml\"",
            "{component: h.example/g/p/c@1, inputs: {a: b}}",
            "{project: $NOT_SET, file: a.yml}",
        ] {
            let yaml = format!("include: {include}\n{rest}\n");
            assert_eq!(codes(&yaml, &nothing()), [UNKNOWN], "{yaml}");
        }
    }
}

#[test]
fn what_variables_would_lead_to_is_not_known() {
    for include in [
        "$CONFIG",
        "\"ci/${DIR}/a.yml\"",
        "{local: $CONFIG}",
        "{template: $TEMPLATE}",
        "{component: $CI_SERVER_FQDN/g/p/c@$VERSION}",
        "{component: \"${CI_SERVER_HOST}/g/p/c@1\"}",
        "{project: g/p, ref: $REF, file: a.yml}",
        "{project: g/p, file: [a.yml, $FILE]}",
        "{remote: $URL}",
    ] {
        let yaml = format!("include: [{include}]\nj: {{extends: .a}}\n");
        assert_eq!(codes(&yaml, &nothing()), [UNKNOWN], "{yaml}");
    }
}

#[test]
fn what_is_wrong_in_any_world_is_told() {
    for (rest, code) in [
        ("j: {script: x, scirpt: y}", "unknown-key"),
        ("j: {script: {a: b}}", "wrong-type"),
        ("j: {script: x, when: someday}", "bad-value"),
        (
            "j: {script: x, rules: [{if: '$A ='}]}",
            "invalid-expression",
        ),
        ("j: {script: x, trigger: g/p}", "conflicting-keys"),
        (".a: {extends: .a}", "extends-cycle"),
        (".a: 5\nj: {extends: .a, script: x}", "invalid-extends"),
    ] {
        let yaml = format!("include: {{template: Jobs/SAST.gitlab-ci.yml}}\n{rest}\n");
        let error = (Severity::Error, code);
        let codes = codes(&yaml, &nothing());
        assert!(
            codes.contains(&error) && codes.contains(&UNKNOWN),
            "{yaml}: {codes:?}"
        );
    }
    // What is wrong with the include itself.
    for include in [
        "a.yml",
        "{local: a.yml}",
        "{template: Jobs/SAST.yml}",
        "{project: g/p}",
        "{component: c}",
        "https://h.example/a.txt",
    ] {
        let yaml = format!("include: [{include}]\nj: {{script: x}}\n");
        assert_eq!(
            codes(&yaml, &nothing()),
            [(Severity::Error, "include")],
            "{yaml}"
        );
    }
}

/// A file without a repository around it.
struct Alone;

impl Files for Alone {
    fn read(&self, _: &str) -> Option<Vec<u8>> {
        None
    }

    fn paths(&self) -> Vec<String> {
        Vec::new()
    }

    fn are_all(&self) -> bool {
        false
    }
}

#[test]
fn a_file_of_no_repository_may_include_what_is_not_there() {
    let yaml = "include: [ci/a.yml, {local: /ci/b.yml}, 'ci/*.yml']\nj: {extends: .a}\n";
    assert_eq!(codes(yaml, &Alone), [UNKNOWN]);
}
