//! What the compiler has to say, with the place it is about.

pub(crate) mod chain;
mod codes;
pub(crate) mod mends;

use crate::{FileId, Span};
pub use codes::{CODES, Code, code};

/// A finding about a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether it stops the pipeline.
    pub severity: Severity,
    /// Stable name of this kind of finding, kebab-case (`unknown-key`).
    pub code: &'static str,
    /// GitLab's own sentence where GitLab has one.
    pub message: String,
    /// Where.
    pub span: Option<Span>,
    /// What to do about it.
    pub help: Option<String>,
    /// The job it is about, by the name it has in the file; none where it is about
    /// something else, or about several.
    pub job: Option<String>,
    /// What else is to be known, in this order.
    pub notes: Vec<Note>,
}

/// A remark to a finding.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Note {
    /// Words that can be followed by a place.
    pub message: String,
    /// The place they speak of.
    pub span: Option<Span>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// What Fleet does about something by itself.
    Note,
    /// Worth a look; the pipeline runs.
    Warning,
    /// No pipeline.
    Error,
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(code: &'static str, message: impl Into<String>, span: Option<Span>) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            code,
            message: message.into(),
            span,
            help: None,
            job: None,
            notes: Vec::new(),
        }
    }

    /// A warning at a place.
    pub fn warning(
        code: &'static str,
        message: impl Into<String>,
        span: Option<Span>,
    ) -> Diagnostic {
        Diagnostic {
            severity: Severity::Warning,
            ..Diagnostic::error(code, message, span)
        }
    }

    /// The same with a hint.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }

    /// The same with a remark.
    #[must_use]
    pub fn note(mut self, message: impl Into<String>, span: Option<Span>) -> Diagnostic {
        self.notes.push(Note {
            message: message.into(),
            span,
        });
        self
    }
}

/// A file of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Its name as people know it: relative to the project, or with project and ref,
    /// an address, `template:<name>`.
    pub path: String,
    /// Its whole text.
    pub text: String,
    /// Where it was included first; none for the root.
    pub included_at: Option<Span>,
}

/// All files of a configuration, in the order they were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    files: Vec<SourceFile>,
}

impl Sources {
    /// Takes a file in.
    pub fn add(&mut self, path: impl Into<String>, text: impl Into<String>) -> FileId {
        self.push(path.into(), text.into(), None)
    }

    /// Takes in a file that another one includes at `span`.
    pub fn include(
        &mut self,
        path: impl Into<String>,
        text: impl Into<String>,
        span: Span,
    ) -> FileId {
        self.push(path.into(), text.into(), Some(span))
    }

    /// The places that lead to a file, from the nearest to the one in the root.
    pub fn included_from(&self, id: FileId) -> impl Iterator<Item = Span> {
        let at = |id: FileId| self.get(id).and_then(|file| file.included_at);
        std::iter::successors(at(id), move |span| at(span.file))
    }

    fn push(&mut self, path: String, text: String, included_at: Option<Span>) -> FileId {
        let id = u32::try_from(self.files.len()).unwrap_or(u32::MAX);
        self.files.push(SourceFile {
            path,
            text,
            included_at,
        });
        FileId(id)
    }

    /// A file that was taken in here.
    #[must_use]
    pub fn get(&self, id: FileId) -> Option<&SourceFile> {
        self.files.get(id.0 as usize)
    }

    /// Path, line and column of the start of a span; both count from 1, the
    /// column in characters.
    #[must_use]
    pub fn locate(&self, span: Span) -> Option<(&str, usize, usize)> {
        let file = self.get(span.file)?;
        let before = file.text.get(..span.start as usize)?;
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.matches('\n').count() + 1;
        Some((&file.path, line, before[line_start..].chars().count() + 1))
    }
}
