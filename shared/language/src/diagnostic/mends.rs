//! What to do about findings of which a check says only what is wrong; and what GitLab
//! says twice of one value, told once.

use super::{Diagnostic, Severity, Sources};

/// Code, a part of the message, and the mend. The first that fits counts.
const MENDS: &[(&str, &str, &str)] = &[
    (
        "no-script",
        "",
        "say what it runs: `script:`; an entry that others take from begins with a dot",
    ),
    (
        "blank-value",
        " script can't be blank",
        "add a command, or `script: 'true'` for a job that only has to be there",
    ),
    (
        "blank-value",
        "image name can't be blank",
        "say which image: `name: alpine:3.20`",
    ),
    (
        "blank-value",
        "service name can't be blank",
        "say which image: `name: postgres:16`",
    ),
    (
        "blank-value",
        "environment name can't be blank",
        "say which environment: `name: production`",
    ),
    (
        "bad-value",
        " start in should be a duration",
        "say how long it waits: `start_in: 30 minutes`",
    ),
    (
        "bad-value",
        " the following needs duplicated",
        "name each job once",
    ),
    (
        "bad-value",
        "should be part of needs",
        "a job with `needs` gets artifacts of those alone: add it there, or leave it out here",
    ),
    (
        "bad-value",
        "retry when is not included",
        "the reasons are: always, unknown_failure, script_failure, api_failure, stuck_or_timeout_failure, runner_system_failure, runner_unsupported, stale_schedule, job_execution_timeout, archived_failure, unmet_prerequisites, scheduler_failure, data_integrity_failure",
    ),
    (
        "limit",
        "retry config must be less than",
        "a job is tried three times at most: `retry: 2`",
    ),
    (
        "limit",
        "parallel config must be less than",
        "split the work in fewer parts, or into several jobs",
    ),
    (
        "conflicting-keys",
        "may not be used with `rules`: only",
        "say it as a rule: `- if: $CI_COMMIT_BRANCH == \"main\"`",
    ),
    (
        "conflicting-keys",
        "may not be used with `rules`: except",
        "say it as a rule with `when: never` before the others",
    ),
    (
        "conflicting-keys",
        "cannot be used together: script, trigger",
        "a job runs a script or starts a pipeline: make it two jobs",
    ),
    (
        "wrong-type",
        "artifacts config should be a hash",
        "write a map: `artifacts: {paths: [build/]}`",
    ),
    (
        "wrong-type",
        "variables config should be a hash",
        "write a map: `NAME: value`",
    ),
    (
        "wrong-type",
        "cache config should be",
        "write a map: `cache: {paths: [.cache/]}`",
    ),
    (
        "wrong-type",
        "environment config should be",
        "write a name, or a map with `name`",
    ),
    (
        "wrong-type",
        "image name should be a string",
        "say which image: `name: alpine:3.20`",
    ),
    (
        "wrong-type",
        "image config should be",
        "write the image's name, or a map with `name`",
    ),
    (
        "wrong-type",
        "service name should be a string",
        "say which image: `name: postgres:16`",
    ),
    (
        "extends-cycle",
        "circular",
        "one of those that extend each other has to stop",
    ),
    (
        "needs-cycle",
        "",
        "one of them has to start without the others",
    ),
    (
        "include",
        "does not have YAML extension",
        "the name of a configuration ends in .yml or .yaml",
    ),
    (
        "include",
        "must use only one of",
        "make each its own entry of the list",
    ),
    (
        "include",
        "{\"file\":",
        "`file` goes with `project`; a file of the same repository is `local`",
    ),
    (
        "unknown-key",
        "config uses invalid data keys",
        "a variable is a text, or a map of value, description, options and expand",
    ),
    (
        "unknown-job",
        "undefined dependency",
        "name a job of an earlier stage whose artifacts it gets",
    ),
    (
        "on-stop",
        "is not defined",
        "add a job of that name, with `environment: {name: .., action: stop}`",
    ),
];

/// Words of other systems, and GitLab's.
const ELSEWHERE: &[(&str, &str)] = &[
    ("branches", "rules"),
    ("commands", "script"),
    ("depends_on", "needs"),
    ("env", "variables"),
    ("environment_variables", "variables"),
    ("if", "rules"),
    ("on", "rules"),
    ("requires", "needs"),
    ("runs-on", "tags"),
    ("step", "script"),
    ("steps", "script"),
    ("uses", "include"),
    ("with", "variables"),
];

/// Adds a mend to each finding that has none.
pub(crate) fn add(diagnostics: &mut [Diagnostic]) {
    let errors = diagnostics.iter_mut();
    let errors = errors.filter(|it| it.severity == Severity::Error && it.help.is_none());
    for found in errors {
        let listed = || {
            let fits = |(code, part, _): &&(&str, &str, &str)| {
                found.code == *code && found.message.contains(part)
            };
            MENDS.iter().find(fits).map(|(.., mend)| (*mend).to_owned())
        };
        found.help = of_elsewhere(found).or_else(listed);
    }
}

/// For a key that another system has.
fn of_elsewhere(found: &Diagnostic) -> Option<String> {
    let (_, keys) = found.message.split_once("config contains unknown keys: ")?;
    let pair = |key: &str| {
        let found = ELSEWHERE.iter().find(|(theirs, _)| *theirs == key);
        found.map(|(theirs, ours)| format!("`{theirs}` is `{ours}` here"))
    };
    let told: Vec<String> = keys.split(", ").filter_map(pair).collect();
    (!told.is_empty()).then(|| told.join(", "))
}

/// What several sentences say of one place becomes notes of the first.
pub(crate) fn fold(diagnostics: &mut Vec<Diagnostic>) {
    let mut kept: Vec<Diagnostic> = Vec::with_capacity(diagnostics.len());
    for found in std::mem::take(diagnostics) {
        let same = kept.iter_mut().rev().take(4).find(|first| {
            first.severity == Severity::Error
                && found.severity == Severity::Error
                && found.span.is_some()
                && first.span == found.span
                && first.job == found.job
        });
        match same {
            Some(first) => {
                let also = format!("GitLab says of it too: {}", found.message);
                *first = first.clone().note(also, None);
            }
            None => kept.push(found),
        }
    }
    *diagnostics = kept;
}

/// The brackets of a file that are open at a place, the innermost last: where it is
/// for want of a closing one that nothing fits.
pub(crate) fn open_bracket(sources: &Sources, found: &mut Diagnostic) {
    let (Some(span), None) = (found.span, &found.help) else {
        return;
    };
    let Some(text) = sources.get(span.file).map(|file| &file.text) else {
        return;
    };
    let Some(before) = text.get(..span.start as usize) else {
        return;
    };
    let mut open = Vec::new();
    let mut quote = None;
    for (at, line) in before.split_inclusive('\n').scan(0, |at, line| {
        let start = *at;
        *at += line.len();
        Some((start, line))
    }) {
        let mut last = ' ';
        for (column, c) in line.char_indices() {
            match (quote, c) {
                (Some(mark), c) if c == mark => quote = None,
                (Some(_), _) => {}
                (None, '"' | '\'') if !last.is_alphanumeric() => quote = Some(c),
                (None, '#') if last.is_whitespace() => break,
                (None, '[' | '{') if !open.is_empty() || " ,-:".contains(last) => {
                    open.push((at + column, c));
                }
                (None, ']' | '}') => {
                    open.pop();
                }
                _ => {}
            }
            last = c;
        }
    }
    if let Some((at, bracket)) = open.last() {
        let line = before[..*at].matches('\n').count() + 1;
        let closing = if *bracket == '[' { ']' } else { '}' };
        found.help = Some(format!("the `{bracket}` of line {line} has no `{closing}`"));
    }
}
