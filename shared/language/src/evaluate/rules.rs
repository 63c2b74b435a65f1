//! `rules`: the first that matches decides.

use super::clause;
use super::event::{Event, Scope};
use crate::config::Rule;
use crate::variables::Unknown;

/// The first rule all of whose clauses hold, and its place in the list.
pub(super) fn first_match<'r>(
    rules: &'r [Rule],
    scope: &Scope<'_>,
    event: &Event<'_>,
) -> Option<(usize, &'r Rule)> {
    rules
        .iter()
        .enumerate()
        .find(|(_, rule)| matches(rule, scope, event))
}

fn matches(rule: &Rule, scope: &Scope<'_>, event: &Event<'_>) -> bool {
    let expand = |globs: &[String]| -> Vec<String> {
        globs
            .iter()
            .map(|glob| scope.expand(glob, Unknown::Keep))
            .collect()
    };
    rule.condition
        .as_ref()
        .is_none_or(|condition| condition.truthful(&scope.index))
        && rule
            .changes
            .as_ref()
            .is_none_or(|changes| clause::changed(&expand(&changes.paths), &event.context.changes))
        && rule
            .exists
            .as_ref()
            .is_none_or(|exists| clause::exists(&expand(&exists.paths), event.paths()))
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
