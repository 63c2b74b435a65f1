//! Every key with every kind of value: a verdict, never a panic.

use super::lint;
use crate::Severity;

/// Places for a value, from the root of a file.
const PLACES: &[&str] = &[
    "V",
    "j: V",
    "{j: {script: x}, .h: V}",
    "{j: {script: x}, K: V}",
    "{j: {script: x}, default: {K: V}}",
    "{j: {script: x}, workflow: {K: V}}",
    "{j: {script: x}, workflow: {rules: [{K: V}]}}",
    "{j: {script: x}, variables: {A: {K: V}}}",
    "{j: {script: x}, include: {local: a.yml, K: V}}",
    "{j: {script: x}, include: {local: a.yml, rules: [{K: V}]}}",
    "{j: {script: x, K: V}}",
    "{j: {script: x, K: [V]}}",
    "{j: {script: x, K: {a: V}}}",
    "{j: {script: x, rules: [{K: V}]}}",
    "{j: {script: x, image: {name: i, K: V}}}",
    "{j: {script: x, services: [{name: i, K: V}]}}",
    "{j: {script: x, artifacts: {K: V}}}",
    "{j: {script: x, artifacts: {reports: {K: V}}}}",
    "{j: {script: x, artifacts: {reports: {coverage_report: {K: V}}}}}",
    "{j: {script: x, cache: {K: V}}}",
    "{j: {script: x, cache: {key: {files: [f], K: V}}}}",
    "{j: {script: x, retry: {K: V}}}",
    "{j: {script: x, environment: {name: e, K: V}}}",
    "{j: {script: x, inherit: {K: V}}}",
    "{j: {script: x, needs: [{job: j, K: V}]}}",
    "{j: {script: x, parallel: {K: V}}}",
    "{j: {script: x, parallel: {matrix: [{A: V}]}}}",
    "{j: {script: x, only: {K: V}}}",
    "{j: {script: x, hooks: {K: V}}}",
    "{j: {trigger: g/p, K: V}}",
    "{j: {trigger: {project: g/p, K: V}}}",
    "{j: {trigger: {include: [{local: a.yml, K: V}]}}}",
    "{j: {trigger: {include: a.yml, forward: {K: V}}}}",
    "{j: {needs: [{pipeline: g/p, K: V}]}}",
    "{j: {extends: V, script: x}, .t: {script: V}}",
    "j: {script: !reference [.t, V]}\n.t: {a: V}\n",
];

const KEYS: &[&str] = &[
    "a",
    "access",
    "action",
    "after_script",
    "alias",
    "allow_failure",
    "artifacts",
    "auto_cancel",
    "auto_stop_in",
    "before_script",
    "cache",
    "changes",
    "command",
    "coverage",
    "coverage_format",
    "coverage_report",
    "default",
    "dependencies",
    "deployment_tier",
    "description",
    "docker",
    "artifact",
    "branch",
    "dotenv",
    "entrypoint",
    "environment",
    "except",
    "exclude",
    "exists",
    "exit_codes",
    "expand",
    "expire_in",
    "expose_as",
    "extends",
    "fallback_keys",
    "file",
    "files",
    "forward",
    "files_commits",
    "hooks",
    "id_tokens",
    "if",
    "image",
    "include",
    "inherit",
    "inputs",
    "interruptible",
    "job",
    "junit",
    "key",
    "kubernetes",
    "local",
    "manual_confirmation",
    "matrix",
    "max",
    "name",
    "needs",
    "on_job_failure",
    "on_new_commit",
    "on_stop",
    "only",
    "optional",
    "options",
    "pages",
    "parallel",
    "path",
    "paths",
    "pipeline",
    "policy",
    "ports",
    "pre_get_sources_script",
    "prefix",
    "project",
    "public",
    "publish",
    "pull_policy",
    "ref",
    "refs",
    "release",
    "reports",
    "resource_group",
    "retry",
    "rules",
    "run",
    "script",
    "secrets",
    "services",
    "stage",
    "stages",
    "start_in",
    "tags",
    "timeout",
    "trigger",
    "types",
    "strategy",
    "unprotect",
    "untracked",
    "url",
    "value",
    "variables",
    "when",
    "workflow",
    "yaml_variables",
];

const VALUES: &[&str] = &[
    "",
    "5",
    "1.5",
    "true",
    "x",
    "''",
    "$X",
    "[]",
    "{}",
    "[x]",
    "[5]",
    "[null]",
    "[[x]]",
    "{a: b}",
    "{a: [b]}",
    "[{a: b}]",
    "99999999999999999999999999999999999999",
    "'/(/'",
];

#[test]
fn every_key_takes_every_value_to_a_verdict() {
    for place in PLACES {
        let keys = if place.contains('K') { KEYS } else { &["K"] };
        for key in keys {
            for value in VALUES {
                let yaml = place.replace('K', key).replace('V', value);
                let (compiled, config) = lint(&yaml);
                let errors = compiled
                    .diagnostics
                    .iter()
                    .filter(|it| it.severity == Severity::Error);
                assert_eq!(config.is_some(), errors.count() == 0, "{yaml}");
                assert_eq!(config.is_some(), compiled.resolved.is_some(), "{yaml}");
                let placed = |it: &crate::Diagnostic| {
                    it.span
                        .is_some_and(|span| compiled.sources.locate(span).is_some())
                };
                assert!(
                    compiled.diagnostics.iter().all(placed),
                    "{yaml}{:?}",
                    compiled.diagnostics
                );
            }
        }
    }
}
