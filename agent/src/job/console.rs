//! The job's log as its stages write it.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::executor::{Say, Take};
use crate::log::{Line, Log, Masks, Room, Sink, Stream};
use crate::source::Said;

/// Writes the agent's lines, sections and what programs print.
pub(super) struct Console<S> {
    log: Log<S>,
    masks: Masks,
}

impl<S: Sink> Console<S> {
    pub(super) fn new(masks: Masks, limit_bytes: u64, sink: S) -> Console<S> {
        Console {
            log: Log::new(masks.clone(), limit_bytes, sink),
            masks,
        }
    }

    /// Begins the section of a stage with its heading.
    pub(super) fn begin(&mut self, name: &str, heading: String) {
        self.log.section_start(name, seconds());
        self.log.line(&Line::Heading(heading));
    }

    /// Ends the section, with what its programs left unsaid.
    pub(super) fn end(&mut self, name: &str) {
        self.log.end_streams();
        self.log.section_end(name, seconds());
    }

    /// What a program printed.
    pub(super) fn output(&mut self, bytes: &[u8]) {
        self.log.write(Stream::Output, bytes);
    }

    /// Takes what a script prints.
    pub(super) fn taking(&mut self) -> Printed<'_, S> {
        Printed(self)
    }

    pub(super) fn line(&mut self, line: Line) {
        self.log.line(&line);
    }

    pub(super) fn plain(&mut self, text: impl Into<String>) {
        self.line(Line::Plain(text.into()));
    }

    pub(super) fn info(&mut self, text: impl Into<String>) {
        self.line(Line::Info(text.into()));
    }

    pub(super) fn warning(&mut self, text: impl Into<String>) {
        self.line(Line::Warning(text.into()));
    }

    pub(super) fn error(&mut self, text: impl Into<String>) {
        self.line(Line::Error(text.into()));
    }

    /// What is told while sources are fetched.
    pub(super) fn said(&mut self, said: Said<'_>) {
        match said {
            Said::Notice(text) => self.info(text),
            Said::Warning(text) => self.warning(text),
            Said::Output(bytes) => self.output(bytes),
        }
    }

    /// `text` as it may be shown outside the log.
    pub(super) fn mask(&self, text: &str) -> String {
        let mut masker = self.masks.masker();
        let mut shown = Vec::new();
        masker.push(text.as_bytes(), &mut shown);
        masker.finish(&mut shown);
        String::from_utf8_lossy(&shown).into_owned()
    }

    pub(super) fn finish(self) {
        self.log.finish();
    }
}

/// What a script prints, on its way into the log; held up where that has no room.
pub(super) struct Printed<'a, S>(&'a mut Console<S>);

impl<S: Sink + Send> Take for Printed<'_, S> {
    fn take(&mut self, bytes: &[u8]) {
        self.0.output(bytes);
    }

    fn room(&mut self) -> Option<Room<'_>> {
        self.0.log.room()
    }
}

impl<S: Sink + Send> Say for Console<S> {
    fn say(&mut self, line: Line) {
        self.line(line);
    }
}

/// Seconds since 1970, for section markers.
pub(super) fn seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
