//! `rules`: the first that matches decides.

use super::clause;
use super::event::Scope;
use crate::config::Rule;
use crate::variables::Unknown;

/// The first rule all of whose clauses hold, and its place in the list.
pub(super) fn first_match<'r>(rules: &'r [Rule], scope: &Scope<'_>) -> Option<(usize, &'r Rule)> {
    rules
        .iter()
        .enumerate()
        .find(|(_, rule)| matches(rule, scope))
}

fn matches(rule: &Rule, scope: &Scope<'_>) -> bool {
    let event = scope.event;
    let expand = |globs: &[String]| -> Vec<String> {
        globs
            .iter()
            .map(|glob| scope.expand(glob, Unknown::Keep))
            .collect()
    };
    rule.condition
        .as_ref()
        .is_none_or(|condition| condition.truthful(scope))
        && rule.changes.as_ref().is_none_or(|changes| {
            let globs = expand(&changes.paths);
            clause::changed_by(&globs, &event.context.changes, |glob| {
                event.any_changed(glob)
            })
        })
        && rule.exists.as_ref().is_none_or(|exists| {
            let globs = expand(&exists.paths);
            clause::exists_by(&globs, event.paths(), |glob| event.any_exists(glob))
        })
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
