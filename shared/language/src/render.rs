//! Diagnostics as text for people, as JSON and as SARIF.

mod machine;

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use annotate_snippets::{
    AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet, renderer::DecorStyle,
};

use crate::{Diagnostic, FileId, Severity, Sources, Span};
pub use machine::{json, sarif};

/// How [`render`] writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// With ANSI colours.
    pub color: bool,
    /// Columns of the terminal; longer source lines are cut.
    pub width: usize,
}

/// Longer messages are cut, in characters: names in them come from the file.
const MAX_MESSAGE: usize = 1_000;
/// From this column on a line is shown from somewhere in its middle.
const FAR_RIGHT: usize = 400;
/// Shown of a source line before and behind such a place, in characters.
const WINDOW: usize = 120;

/// Writes diagnostics for people, with the source line of each, in the order of their
/// places, exact repeats once.
///
/// ```text
/// error[unknown-key]: jobs:build config contains unknown keys: scirpt
///  --> .gitlab-ci.yml:3:3
///   |
/// 3 |   scirpt: make
///   |   ^^^^^^
///   |
///   = help: did you mean `script`?
/// ```
///
/// Whatever the files contain, a diagnostic takes a few KB at most, and control
/// characters are shown, not sent.
#[must_use]
pub fn render(diagnostics: &[Diagnostic], sources: &Sources, style: Style) -> String {
    let renderer = if style.color {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let renderer = renderer
        .term_width(style.width)
        .decor_style(DecorStyle::Ascii);
    let mut places = Places::new(sources);
    let mut out = String::new();
    for diagnostic in in_order(diagnostics) {
        if !out.is_empty() {
            out.push('\n');
        }
        let place = diagnostic.span.and_then(|span| places.locate(span));
        let notes = notes(diagnostic, &mut places);
        out.push_str(&one(diagnostic, place.as_ref(), &notes, &renderer));
        out.push('\n');
    }
    out
}

/// One line: `path:line:column: error: message`; only the last two where the
/// diagnostic has no place.
#[must_use]
pub fn short(diagnostic: &Diagnostic, sources: &Sources) -> String {
    let place = diagnostic
        .span
        .and_then(|span| Places::new(sources).locate(span));
    let place = place.map_or_else(String::new, |place| {
        format!(
            "{}:{}:{}: ",
            visible(place.path),
            place.start.line,
            place.start.column
        )
    });
    format!(
        "{place}{}: {}",
        word(diagnostic.severity),
        visible(&diagnostic.message)
    )
}

/// A remark with its place.
struct Remark<'a> {
    message: &'a str,
    place: Option<Place<'a>>,
}

/// All there is to remark: how the file of a finding is included, too.
fn notes<'a>(diagnostic: &'a Diagnostic, places: &mut Places<'a>) -> Vec<Remark<'a>> {
    let sources = places.sources;
    let file = diagnostic.span.map(|span| span.file);
    let included = file
        .into_iter()
        .flat_map(|file| sources.included_from(file));
    let included = included.map(|span| ("included here", Some(span)));
    let own = diagnostic.notes.iter();
    own.map(|note| (note.message.as_str(), note.span))
        .chain(included)
        .map(|(message, span)| Remark {
            message,
            place: span.and_then(|span| places.locate(span)),
        })
        .collect()
}

fn one(
    diagnostic: &Diagnostic,
    place: Option<&Place<'_>>,
    notes: &[Remark<'_>],
    renderer: &Renderer,
) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let title = level
        .primary_title(visible(&diagnostic.message))
        .id(diagnostic.code);
    let mut elements: Vec<Element<'_>> = Vec::new();
    if let Some(place) = place {
        let (line, marked) = place.excerpt();
        let snippet = Snippet::source(line)
            .line_start(place.start.line)
            .annotation(AnnotationKind::Primary.span(marked));
        if place.start.column <= FAR_RIGHT {
            elements.push(snippet.path(visible(place.path)).into());
        } else {
            // Of an excerpt the renderer cannot tell the column.
            let origin = Origin::path(visible(place.path))
                .line(place.start.line)
                .char_column(place.start.column);
            elements.push(origin.into());
            elements.push(snippet.into());
        }
    }
    if let Some(help) = &diagnostic.help {
        elements.push(Level::HELP.message(visible(help)).into());
    }
    for note in notes {
        let mut text = visible(note.message);
        if let Some(place) = &note.place {
            text.push_str(&format!(
                " ({}:{}:{})",
                visible(place.path),
                place.start.line,
                place.start.column
            ));
        }
        elements.push(Level::NOTE.message(text).into());
    }
    renderer.render(&[Group::with_title(title).elements(elements)])
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

/// By file and place, those without a place last; of equal ones the first.
fn in_order(diagnostics: &[Diagnostic]) -> Vec<&Diagnostic> {
    let mut seen = HashSet::new();
    let mut ordered: Vec<&Diagnostic> = diagnostics
        .iter()
        .filter(|it| {
            seen.insert((
                it.severity,
                it.code,
                &it.message,
                it.span,
                &it.help,
                &it.notes,
            ))
        })
        .collect();
    ordered.sort_by_key(|it| {
        it.span
            .map_or((true, FileId(0), 0), |span| (false, span.file, span.start))
    });
    ordered
}

/// Text that cannot steer a terminal and does not fill it.
fn visible(text: &str) -> String {
    let mut out = String::new();
    for (count, char) in text.chars().enumerate() {
        if count == MAX_MESSAGE {
            out.push_str("...");
            break;
        }
        if char.is_control() && char != '\n' || is_invisible(char) {
            out.extend(char.escape_unicode());
        } else {
            out.push(char);
        }
    }
    out
}

/// Direction overrides, which make text read otherwise than it is.
fn is_invisible(char: char) -> bool {
    matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Finds places in files; looks for the lines of each file once.
struct Places<'a> {
    sources: &'a Sources,
    lines: BTreeMap<FileId, Vec<usize>>,
}

/// Where a diagnostic stands.
struct Place<'a> {
    path: &'a str,
    start: Point,
    end: Point,
    /// Its first line, and what of it is meant.
    line: &'a str,
    marked: Range<usize>,
}

/// Line and column, both from 1; columns in characters.
#[derive(Clone, Copy)]
struct Point {
    line: usize,
    column: usize,
}

impl<'a> Places<'a> {
    fn new(sources: &'a Sources) -> Places<'a> {
        Places {
            sources,
            lines: BTreeMap::new(),
        }
    }

    fn locate(&mut self, span: Span) -> Option<Place<'a>> {
        let file = self.sources.get(span.file)?;
        let text = file.text.as_str();
        let starts = self.lines.entry(span.file).or_insert_with(|| {
            let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
            std::iter::once(0)
                .chain(ends.map(|(at, _)| at + 1))
                .collect()
        });
        let point = |at: usize| {
            let line = starts.partition_point(|start| *start <= at);
            let line_start = starts.get(line.checked_sub(1)?)?;
            let column = text.get(*line_start..at)?.chars().count() + 1;
            Some((Point { line, column }, *line_start))
        };
        let (start, end) = (span.start as usize, span.end.max(span.start) as usize);
        let (start_point, line_start) = point(start)?;
        let (end_point, _) = point(end)?;
        let line = text.get(line_start..)?.lines().next().unwrap_or_default();
        let mark = |at: usize| (at - line_start).min(line.len());
        Some(Place {
            path: &file.path,
            start: start_point,
            end: end_point,
            line,
            marked: mark(start)..mark(end),
        })
    }
}

impl Place<'_> {
    /// The part of the line around the place, and the place within it.
    fn excerpt(&self) -> (String, Range<usize>) {
        let (before, rest) = self.line.split_at(self.marked.start);
        let (marked, after) = rest.split_at(self.marked.end - self.marked.start);
        let before = if self.start.column <= FAR_RIGHT {
            before
        } else {
            tail(before, WINDOW)
        };
        let whole = marked;
        let marked = head(whole, WINDOW);
        let after = if marked.len() < whole.len() {
            ""
        } else {
            head(after, WINDOW)
        };
        let mut shown = String::new();
        for char in before.chars().chain(marked.chars()).chain(after.chars()) {
            // One column each, so that the mark stays where it is.
            shown.push(match char {
                '\t' => '\t',
                char if char.is_control() || is_invisible(char) => '\u{fffd}',
                char => char,
            });
        }
        let bytes = |count: usize| {
            shown
                .char_indices()
                .nth(count)
                .map_or(shown.len(), |(at, _)| at)
        };
        let start = before.chars().count();
        let range = bytes(start)..bytes(start + marked.chars().count());
        (shown, range)
    }
}

fn head(text: &str, count: usize) -> &str {
    text.char_indices()
        .nth(count)
        .map_or(text, |(at, _)| &text[..at])
}

fn tail(text: &str, count: usize) -> &str {
    let first = text.char_indices().rev().nth(count.saturating_sub(1));
    first.map_or(text, |(at, _)| &text[at..])
}

#[cfg(test)]
mod tests;
