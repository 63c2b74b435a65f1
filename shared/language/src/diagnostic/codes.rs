//! All kinds of findings, each with the page that explains it.
//!
//! A code that is used anywhere in this crate stands in this table, and
//! `docs/errors` has its page: what it means, an example, how to mend it. Codes
//! are stable: programs and people's searches go by them.

use super::Severity;

/// A kind of finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// What [`Diagnostic::code`](crate::Diagnostic::code) says.
    pub name: &'static str,
    /// The worst a finding of this kind is.
    pub severity: Severity,
    /// What it means, with examples: Markdown.
    pub page: &'static str,
}

impl Code {
    /// What it is about, in a few words.
    #[must_use]
    pub fn title(&self) -> &'static str {
        let line = self.page.lines().next().unwrap_or_default();
        line.split_once(": ").map_or("", |(_, title)| title)
    }
}

/// What is known of a code.
#[must_use]
pub fn code(name: &str) -> Option<&'static Code> {
    CODES
        .binary_search_by(|code| code.name.cmp(name))
        .ok()
        .map(|at| &CODES[at])
}

macro_rules! codes {
    ($($severity:ident $name:literal,)*) => {
        &[$(Code {
            name: $name,
            severity: Severity::$severity,
            page: include_str!(concat!("../../../../docs/errors/", $name, ".md")),
        },)*]
    };
}

/// All codes, in order of their names.
pub const CODES: &[Code] = codes![
    Error "bad-value",
    Error "blank-value",
    Error "circular-variables",
    Error "conflicting-keys",
    Warning "duplicate-key",
    Error "extends-cycle",
    Warning "host-coupling",
    Warning "host-coupling-unpushed",
    Warning "ignored-document",
    Error "include",
    Warning "include-unknown",
    Error "invalid-expression",
    Error "invalid-extends",
    Error "invalid-float",
    Error "invalid-format",
    Error "invalid-header",
    Error "invalid-input",
    Error "invalid-interpolation",
    Error "invalid-reference",
    Error "later-stage",
    Error "limit",
    Warning "merge-overrides-key",
    Error "missing-key",
    Warning "multiple-pipelines",
    Error "need-left-out",
    Error "needs-cycle",
    Error "no-content",
    Warning "no-effect",
    Error "no-jobs",
    Error "no-script",
    Warning "number-as-text",
    Error "on-stop",
    Error "patterns-too-large",
    Error "pipeline-empty",
    Error "pipeline-filtered",
    Error "reference",
    Error "rule",
    Warning "section-is-job",
    Error "too-big",
    Error "too-many-jobs",
    Error "unknown-alias",
    Error "unknown-extends",
    Error "unknown-job",
    Error "unknown-key",
    Error "unknown-stage",
    Error "unspecified-class",
    Error "variables-too-large",
    Error "wrong-type",
    Error "yaml-syntax",
    Error "yaml-too-big",
];

#[cfg(test)]
mod tests;
