//! What the YAML layer has to say about a file.

use std::ops::Range;

use super::shared::{Shared, SharedNode};
use super::syntax::Mistake;
use super::tag::Problem;
use crate::{Diagnostic, FileId, Node, Severity, Span, Value};

/// More errors or warnings than this in one file help nobody.
const MAX_FINDINGS: usize = 100;

/// Collects findings about one file; places are bytes of its current document.
pub(super) struct Report<'a> {
    text: &'a str,
    file: FileId,
    /// Where the current document starts in the file.
    base: usize,
    diagnostics: Vec<Diagnostic>,
    /// Whether a finding leaves no tree worth looking at.
    unusable: bool,
}

impl<'a> Report<'a> {
    pub(super) fn new(text: &'a str, file: FileId) -> Report<'a> {
        Report {
            text,
            file,
            base: 0,
            diagnostics: Vec::new(),
            unusable: false,
        }
    }

    /// The findings, in the order of the text, and whether they forbid to go on.
    pub(super) fn finish(self) -> (Vec<Diagnostic>, bool) {
        (self.diagnostics, self.unusable)
    }

    /// From here on, places are counted from this byte of the file.
    pub(super) fn start(&mut self, base: usize) {
        self.base = base;
    }

    pub(super) fn span(&self, range: Range<usize>) -> Span {
        let place = |at: usize| u32::try_from(self.base + at).unwrap_or(u32::MAX);
        Span {
            file: self.file,
            start: place(range.start),
            end: place(range.end),
        }
    }

    pub(super) fn range(&self, span: Span) -> Range<usize> {
        let place = |at: u32| (at as usize).saturating_sub(self.base);
        place(span.start)..place(span.end)
    }

    pub(super) fn mistake(&mut self, mistake: Mistake) {
        let span = self.span(mistake.range);
        let error = Diagnostic::error(mistake.code, mistake.message, Some(span));
        self.diagnostics.push(Diagnostic {
            help: mistake.help,
            ..error
        });
        self.unusable = true;
    }

    pub(super) fn too_big(&mut self) {
        let span = Span {
            file: self.file,
            start: 0,
            end: 0,
        };
        let error = Diagnostic::error("yaml-too-big", "The provided YAML is too big", Some(span));
        self.diagnostics.push(error.help("a file may have 2 MiB"));
        self.unusable = true;
    }

    pub(super) fn unknown_alias(&mut self, name: &str, range: Range<usize>) {
        let span = self.span(range);
        let error = Diagnostic::error(
            "unknown-alias",
            format!("Unknown alias: {name}"),
            Some(span),
        );
        let help = format!(
            "no `&{name}` stands above; anchors do not cross files: \
             use `extends` or `!reference` to take from an included file"
        );
        self.push(error.help(help));
        self.unusable = true;
    }

    pub(super) fn tag(&mut self, problem: Problem, range: Range<usize>) {
        let span = Some(self.span(range));
        // What stands there is no value to look at.
        self.unusable |= matches!(problem, Problem::Reference(_));
        self.push(match problem {
            Problem::Class(class) => {
                let quote = matches!(class.as_str(), "Date" | "Time");
                let message = format!("Tried to load unspecified class: {class}");
                Diagnostic::error("unspecified-class", message, span).help(if quote {
                    "an unquoted date or time is no string: quote it"
                } else {
                    "Ruby objects cannot be made here: remove the tag"
                })
            }
            Problem::Float(text) => {
                let message = format!("invalid value for Float(): {text:?}");
                Diagnostic::error("invalid-float", message, span)
            }
            Problem::Reference(value) => {
                let message = format!("!reference {value} is not valid");
                Diagnostic::error("invalid-reference", message, span)
                    .help("a reference is a list: `!reference [job, key]`")
            }
        });
    }

    pub(super) fn duplicate_key(&mut self, key: &SharedNode, range: Range<usize>, first: Span) {
        // To find the lines takes a while.
        if self.is_full(Severity::Warning) {
            return;
        }
        let span = self.span(range);
        let message = format!(
            "duplicate key {} at line {}; the last one is used",
            key_text(key),
            self.line(span)
        );
        let help = format!("it stands on line {} already", self.line(first));
        self.push(Diagnostic::warning("duplicate-key", message, Some(span)).help(help));
    }

    /// `key` was written above a `<<` that brings it too.
    pub(super) fn merge_overrides(&mut self, key: &SharedNode, range: Range<usize>) {
        let message = format!("`<<` overrides {} written above it", key_text(key));
        let warning = Diagnostic::warning("merge-overrides-key", message, Some(self.span(range)));
        self.push(warning.help("write `<<` first to let the map's own keys win"));
    }

    /// A variable written as a number that reads otherwise as text.
    pub(super) fn number_as_text(&mut self, written: &str, value: &Value, range: Range<usize>) {
        let text = value.to_text().unwrap_or_default();
        if text == written {
            return;
        }
        let message = format!("`{written}` is a number, the variable becomes `{text}`");
        let warning = Diagnostic::warning("number-as-text", message, Some(self.span(range)));
        self.push(warning.help(format!("quote it to keep it as it is: \"{written}\"")));
    }

    pub(super) fn ignored_document(&mut self, span: Span) {
        let message = "this document is ignored: a file has one configuration";
        self.push(
            Diagnostic::warning("ignored-document", message, Some(span))
                .help("only a first document with `spec` makes room for a second one"),
        );
    }

    pub(super) fn ignored_rest(&mut self, range: Range<usize>) {
        let message = "what follows is ignored: the document ends above";
        let warning = Diagnostic::warning("ignored-document", message, Some(self.span(range)));
        self.push(warning.help("is the first key of the file indented, or this line wrongly?"));
    }

    pub(super) fn not_a_map(&mut self, root: &Node) {
        let error = Diagnostic::error(
            "invalid-format",
            "Invalid configuration format",
            Some(Span {
                end: root.span.start,
                ..root.span
            }),
        );
        self.push(error.help(format!(
            "a configuration is a map of `key: value` lines, this is of type {}",
            root.type_name()
        )));
        self.unusable = true;
    }

    fn push(&mut self, diagnostic: Diagnostic) {
        if !self.is_full(diagnostic.severity) {
            self.diagnostics.push(diagnostic);
        }
    }

    /// Counted by severity: warnings must not push errors out.
    fn is_full(&self, severity: Severity) -> bool {
        let alike = self.diagnostics.iter().filter(|it| it.severity == severity);
        alike.count() >= MAX_FINDINGS
    }

    fn line(&self, span: Span) -> usize {
        let before = self
            .text
            .as_bytes()
            .get(..span.start as usize)
            .unwrap_or_default();
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    }
}

fn key_text(key: &SharedNode) -> String {
    match key.value() {
        Shared::Leaf(value) => value.to_text().unwrap_or_default(),
        _ => String::new(),
    }
}
