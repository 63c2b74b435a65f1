//! What a configuration lacks because files of it cannot be had here.

use std::collections::HashSet;

use crate::{Diagnostic, Severity, Span};

/// Findings that say that something is missing, which another file could bring.
const ABSENT: [&str; 12] = [
    "blank-value",
    "later-stage",
    "missing-key",
    "need-left-out",
    "no-effect",
    "no-jobs",
    "no-script",
    "on-stop",
    "reference",
    "unknown-extends",
    "unknown-job",
    "unknown-stage",
];

/// Knows what is not to be told.
#[derive(Debug)]
pub(super) struct Missed {
    /// Whether anything could be missing.
    is_partial: bool,
    /// Where references stand that lead nowhere.
    places: HashSet<Span>,
}

impl Missed {
    pub(super) fn new(is_partial: bool) -> Missed {
        Missed {
            is_partial,
            places: HashSet::new(),
        }
    }

    /// Goes on although a template or what a reference names is not there: what follows
    /// from that is not told too.
    pub(super) fn lacks(&mut self, found: &[Diagnostic]) {
        self.is_partial = true;
        self.places.extend(found.iter().filter_map(|it| it.span));
    }

    /// The findings without those that a missing file could explain.
    pub(super) fn without(&mut self, mut found: Vec<Diagnostic>) -> Vec<Diagnostic> {
        if !self.is_partial {
            return found;
        }
        let references = found.iter().filter(|it| it.code == "reference");
        self.places.extend(references.filter_map(|it| it.span));
        found.retain(|it| {
            let could_be = ABSENT.contains(&it.code)
                || is_of_what_is_absent(it)
                || it.span.is_some_and(|span| self.places.contains(&span));
            it.severity == Severity::Note || !could_be
        });
        found
    }
}

/// GitLab says of a name that is not there that it should be a string.
fn is_of_what_is_absent(found: &Diagnostic) -> bool {
    found.message.ends_with(" name should be a string")
}
