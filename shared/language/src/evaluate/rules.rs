//! `rules`: the first that matches decides.

use super::clause;
use super::event::Scope;
use crate::config::{Rule, RuleChanges, RuleExists};
use crate::variables::Unknown;
use crate::{Changes, Diagnostic};

/// The code of rules that ask for what is not there.
const RULE: &str = "rule";

/// The first rule all of whose clauses hold, and its place in the list. `owner` is the
/// job; a rule that cannot be answered is told of it, and none matches then.
pub(super) fn first_match<'r>(
    rules: &'r [Rule],
    owner: &str,
    scope: &Scope<'_>,
) -> Option<(usize, &'r Rule)> {
    for (place, rule) in rules.iter().enumerate() {
        match matches(rule, scope) {
            Ok(true) => return Some((place, rule)),
            Ok(false) => {}
            Err(problem) => {
                let message = format!("Failed to parse rule for {owner}: {problem}");
                let told = Diagnostic::error(RULE, message, Some(rule.span));
                scope.event.tell(told);
                return None;
            }
        }
    }
    None
}

/// Whether all clauses hold.
///
/// # Errors
/// GitLab's words: one cannot be answered.
fn matches(rule: &Rule, scope: &Scope<'_>) -> Result<bool, String> {
    let condition = rule.condition.as_ref();
    Ok(condition.is_none_or(|condition| condition.truthful(scope))
        && match &rule.changes {
            Some(changes) => changed(changes, scope)?,
            None => true,
        }
        && match &rule.exists {
            Some(exists) => there(exists, scope)?,
            None => true,
        })
}

/// Whether `changes` holds.
pub(super) fn changed(changes: &RuleChanges, scope: &Scope<'_>) -> Result<bool, String> {
    let event = scope.event;
    let globs = expand(&changes.paths, scope);
    let Some(reference) = &changes.compare_to else {
        let any = |glob: &str| event.any_changed(glob);
        return Ok(clause::changed_by(&globs, &event.context.changes, any));
    };
    let paths = event
        .others
        .changed(&scope.expand(reference, Unknown::Keep))?;
    Ok(clause::changed(&globs, &Changes::Known(paths.to_vec())))
}

/// Whether `exists` holds.
pub(super) fn there(exists: &RuleExists, scope: &Scope<'_>) -> Result<bool, String> {
    let event = scope.event;
    let globs = expand(&exists.paths, scope);
    let Some(project) = &exists.project else {
        let any = |glob: &str| event.any_exists(glob);
        return Ok(clause::exists_by(&globs, event.paths(), any));
    };
    let project = scope.expand(project, Unknown::Keep);
    let reference = exists.reference.as_ref();
    let reference = reference.map(|text| scope.expand(text, Unknown::Keep));
    let paths = event.others.paths(&project, reference.as_deref())?;
    Ok(clause::exists(&globs, &paths))
}

pub(super) fn expand(globs: &[String], scope: &Scope<'_>) -> Vec<String> {
    let expanded = globs.iter().map(|glob| scope.expand(glob, Unknown::Keep));
    expanded.collect()
}

/// A rule for people: `rule 2 (if: $CI_COMMIT_TAG)`.
pub(super) fn describe(number: usize, rule: &Rule) -> String {
    let mut clauses = Vec::new();
    if let Some(condition) = &rule.condition {
        clauses.push(format!("if: {}", condition.text()));
    }
    if let Some(changes) = &rule.changes {
        clauses.push(format!("changes: [{}]", changes.paths.join(", ")));
    }
    if let Some(exists) = &rule.exists {
        clauses.push(format!("exists: [{}]", exists.paths.join(", ")));
    }
    if clauses.is_empty() {
        format!("rule {number}")
    } else {
        format!("rule {number} ({})", clauses.join(", "))
    }
}
