//! `only` and `except`.

use super::clause;
use super::event::Scope;
use crate::config::Policy;
use crate::pattern::{Cache, Pattern};
use crate::{Changes, Context, RefKind};

/// What refs are compared with.
#[derive(Clone, Copy)]
pub(super) struct Origin<'a> {
    pub(super) reference: &'a str,
    pub(super) kind: RefKind,
    /// `CI_PIPELINE_SOURCE`.
    pub(super) source: &'a str,
    pub(super) project: &'a str,
}

impl<'a> Origin<'a> {
    pub(super) fn of(context: &'a Context) -> Origin<'a> {
        Origin {
            reference: &context.reference.name,
            kind: context.reference.kind,
            source: context.source.as_str(),
            project: &context.project.path,
        }
    }
}

/// The first clause of `only` that does not hold, in words.
pub(super) fn unmet(policy: &Policy, scope: &Scope<'_>) -> Option<String> {
    clauses(policy, scope)
        .into_iter()
        .find(|clause| !clause.holds)
        .map(|it| {
            format!(
                "`only:{}` {} does not hold{}",
                it.key,
                it.text,
                it.because()
            )
        })
}

/// The first clause of `except` that holds, in words.
pub(super) fn met(policy: &Policy, scope: &Scope<'_>) -> Option<String> {
    clauses(policy, scope)
        .into_iter()
        .find(|clause| clause.holds)
        .map(|it| format!("`except:{}` {} holds{}", it.key, it.text, it.because()))
}

fn list(items: &[String]) -> String {
    format!("[{}]", items.join(", "))
}

/// A key of a policy, asked.
pub(super) struct Clause {
    pub(super) key: &'static str,
    /// As it is written.
    pub(super) text: String,
    pub(super) holds: bool,
    /// What there is; empty: that says all.
    pub(super) found: String,
}

impl Clause {
    fn because(&self) -> String {
        match self.found.as_str() {
            "" => String::new(),
            found => format!(": {found}"),
        }
    }
}

pub(super) fn clauses(policy: &Policy, scope: &Scope<'_>) -> Vec<Clause> {
    let context = scope.event.context;
    let mut clauses = Vec::new();
    if let Some(refs) = &policy.refs {
        let origin = Origin::of(context);
        let kind = match origin.kind {
            RefKind::Branch => "branch",
            RefKind::Tag => "tag",
            RefKind::MergeRequest => "merge request from",
        };
        clauses.push(Clause {
            key: "refs",
            holds: refs_match(refs, origin, &scope.event.patterns),
            text: list(refs),
            found: format!(
                "this is {kind} `{}` by `{}`",
                origin.reference, origin.source
            ),
        });
    }
    if let Some(expressions) = &policy.variables {
        let texts: Vec<&str> = expressions
            .iter()
            .map(|expression| expression.text())
            .collect();
        clauses.push(Clause {
            key: "variables",
            holds: expressions
                .iter()
                .any(|expression| expression.truthful(scope)),
            text: format!("[{}]", texts.join(", ")),
            found: String::new(),
        });
    }
    if let Some(globs) = &policy.changes {
        let known = match context.changes {
            Changes::Unknown => "what changed is not known, which counts as a change",
            Changes::Known(_) => "the paths that changed are known",
        };
        clauses.push(Clause {
            key: "changes",
            holds: clause::changed_by(globs, &context.changes, |glob| {
                scope.event.any_changed(glob)
            }),
            text: list(globs),
            found: known.to_owned(),
        });
    }
    if policy.kubernetes {
        clauses.push(Clause {
            key: "kubernetes",
            text: "active".to_owned(),
            holds: false,
            found: "projects have no cluster here".to_owned(),
        });
    }
    clauses
}

/// Whether an element of the list is the pipeline's ref, kind or source.
pub(super) fn refs_match(refs: &[String], origin: Origin<'_>, patterns: &Cache) -> bool {
    refs.iter().any(|element| {
        let (name, project) = match element.split_once('@') {
            Some((name, project)) => (name, Some(project)),
            None => (element.as_str(), None),
        };
        !element.is_empty()
            && project.is_none_or(|project| project == origin.project)
            && name_matches(name, origin, patterns)
    })
}

fn name_matches(name: &str, origin: Origin<'_>, patterns: &Cache) -> bool {
    let on_ref = match origin.kind {
        RefKind::Branch => name == "branches",
        RefKind::Tag => name == "tags",
        // Neither kinds nor names count here.
        RefKind::MergeRequest => return is_source(name, origin.source),
    };
    on_ref
        || is_source(name, origin.source)
        || match Pattern::literal(name) {
            Some(Ok(pattern)) => patterns.is_match(&pattern, origin.reference),
            _ => name == origin.reference,
        }
}

/// In the singular or the plural: `push` and `pushes`.
fn is_source(name: &str, source: &str) -> bool {
    let source = source.strip_suffix("_event").unwrap_or(source);
    let plural = if source.ends_with("sh") { "es" } else { "s" };
    name.strip_prefix(source)
        .is_some_and(|rest| rest.is_empty() || rest == plural)
}
