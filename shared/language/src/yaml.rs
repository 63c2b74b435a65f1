//! Text to tree, as GitLab's loader reads it: Ruby's Psych over libyaml (YAML 1.1).
//!
//! `events` knows the parser, `build` makes the tree, `scalar` and `tag` say what a
//! value is, `syntax` what is wrong with a text; `write` is the way back.

mod base64;
mod build;
mod events;
mod report;
mod scalar;
mod shared;
mod syntax;
mod tag;
mod write;

use std::ops::Range;

use crate::{Diagnostic, FileId, Map, Node, Sources, Value};
use report::Report;
pub use write::{to_yaml, to_yaml_with};

/// Bytes of a file, and of a tree by Ruby's measure.
const MAX_SIZE: usize = 2 * 1024 * 1024;
/// Lists and maps inside each other.
const MAX_DEPTH: usize = 100;
/// Header, body, and one that is blank or in vain.
const MAX_DOCUMENTS: usize = 3;

/// A configuration file, read.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The map with `spec` before the `---`, if the file has one.
    pub header: Option<Node>,
    /// The configuration; always a map, an empty one where the file says nothing.
    pub body: Node,
}

/// Reads a file that was taken into `sources`.
///
/// Without a document there is an error among the diagnostics. There may be errors
/// beside a document too: values that GitLab refuses (dates, Ruby objects) become
/// strings, so that the other mistakes of the file can be told as well.
///
/// Never takes more than a fraction of a second or about 100 MB, whatever the text.
#[must_use]
pub fn parse(sources: &Sources, file: FileId) -> (Option<Document>, Vec<Diagnostic>) {
    let Some(source) = sources.get(file) else {
        return (
            None,
            vec![Diagnostic::error(
                "yaml-syntax",
                "Invalid YAML syntax",
                None,
            )],
        );
    };
    let mut report = Report::new(&source.text, file);
    let document = document(&source.text, &mut report);
    let (diagnostics, unusable) = report.finish();
    (document.filter(|_| !unusable), diagnostics)
}

fn document(text: &str, report: &mut Report<'_>) -> Option<Document> {
    if text.len() > MAX_SIZE {
        report.too_big();
        return None;
    }
    // Every document is read, so that all mistakes are told.
    let documents: Vec<Option<Node>> = split(text)
        .into_iter()
        .map(|range| piece(text, range, report))
        .collect();
    let documents: Option<Vec<Node>> = documents.into_iter().collect();
    let mut documents = documents?;
    documents.retain(|document| !is_blank(&document.value));

    let has_header = documents.len() > 1
        && documents[0]
            .as_map()
            .is_some_and(|header| header.get("spec").is_some());
    if let Some(vain) = documents.get(if has_header { 2 } else { 1 }) {
        let vain = if has_header { &documents[1] } else { vain };
        report.ignored_document(vain.span);
    }
    let mut documents = documents.into_iter();
    let header = if has_header { documents.next() } else { None };
    let body = if has_header {
        documents.next_back()
    } else {
        documents.next()
    };
    let body = body.unwrap_or_else(|| Node {
        span: report.span(0..0),
        value: Value::Map(Map::default()),
    });
    if body.as_map().is_none() {
        report.not_a_map(&body);
        return None;
    }
    Some(Document { header, body })
}

/// Reads one document; tells what is wrong with it.
fn piece(text: &str, range: Range<usize>, report: &mut Report<'_>) -> Option<Node> {
    let piece = &text[range.clone()];
    report.start(range.start);
    let built = match syntax::control_character(piece) {
        Some(mistake) => Err(mistake),
        None => build::build(piece, report),
    };
    built.map_err(|mistake| report.mistake(mistake)).ok()
}

/// Splits at lines that start with `---` and white space, as GitLab does before it
/// loads anything.
fn split(text: &str) -> Vec<Range<usize>> {
    let mut pieces = Vec::new();
    // A byte order mark is no part of the text.
    let mut start = if text.starts_with('\u{feff}') {
        '\u{feff}'.len_utf8()
    } else {
        0
    };
    let mut at = start;
    while pieces.len() + 1 < MAX_DOCUMENTS {
        let Some(found) = divider(text, at) else {
            break;
        };
        pieces.push(start..found.start);
        start = found.end;
        at = found.end;
    }
    pieces.push(start..text.len());
    if pieces.len() > 1 && is_directives(&text[pieces[0].clone()]) {
        pieces.remove(0);
    }
    pieces
}

/// The next `^---\s+` from a byte on.
fn divider(text: &str, from: usize) -> Option<Range<usize>> {
    let mut at = from;
    loop {
        let line = &text[at..];
        if let Some(rest) = line.strip_prefix("---") {
            let space = rest.len()
                - rest
                    .trim_start_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c'])
                    .len();
            if space > 0 {
                return Some(at..at + 3 + space);
            }
        }
        at += line.find('\n')? + 1;
    }
}

/// Whether a piece before `---` says only `%YAML 1.1` and the like. GitLab fails on
/// such files; there is no need to.
fn is_directives(piece: &str) -> bool {
    piece.lines().any(|line| line.starts_with('%'))
        && piece.lines().all(|line| {
            let line = line.trim();
            line.is_empty() || line.starts_with(['%', '#'])
        })
}

/// Rails' `blank?`.
fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Seq(items) => items.is_empty(),
        Value::Map(map) => map.entries.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
