//! The log of one job, as one ordered run of bytes.

use std::pin::Pin;

use super::limit::Limit;
use super::line::{self, Line};
use super::mask::{Masker, Masks};

/// Takes the bytes of a log, in order.
pub trait Sink {
    /// Appends `bytes`, which are masked and within the limit.
    fn append(&mut self, bytes: &[u8]);

    /// What to wait for before more of what programs print is appended; none:
    /// it may come at once.
    fn room(&mut self) -> Option<Room<'_>> {
        None
    }
}

/// Ready when there is room again.
pub type Room<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

impl<F: FnMut(&[u8])> Sink for F {
    fn append(&mut self, bytes: &[u8]) {
        self(bytes);
    }
}

/// Where the output of a stage comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Output,
    /// Standard error.
    Errors,
}

/// The log of one job.
///
/// The agent's lines and each stream of a stage are masked apart, so that a
/// secret written in pieces to one of them is found although another one wrote
/// in between.
#[derive(Debug)]
pub struct Log<S> {
    masks: Masks,
    output: Masker,
    errors: Masker,
    limit: Limit,
    sink: S,
    masked: Vec<u8>,
}

impl<S: Sink> Log<S> {
    /// A log that keeps `limit_bytes` of the beginning and 1 MiB of the end.
    pub fn new(masks: Masks, limit_bytes: u64, sink: S) -> Log<S> {
        Log {
            output: masks.masker(),
            errors: masks.masker(),
            limit: Limit::new(limit_bytes),
            masked: Vec::new(),
            masks,
            sink,
        }
    }

    /// Writes one line of the agent's own.
    pub fn line(&mut self, line: &Line) {
        self.own(&line.to_bytes());
    }

    /// Opens the section of a stage; `seconds` since 1970.
    pub fn section_start(&mut self, name: &str, seconds: u64) {
        self.own(&line::section_start(name, seconds));
    }

    /// Closes the section of a stage; `seconds` since 1970.
    pub fn section_end(&mut self, name: &str, seconds: u64) {
        self.own(&line::section_end(name, seconds));
    }

    /// Writes what a stage printed. Bytes that may begin a secret are held
    /// until more comes or [`Log::end_streams`].
    pub fn write(&mut self, stream: Stream, bytes: &[u8]) {
        let masker = match stream {
            Stream::Output => &mut self.output,
            Stream::Errors => &mut self.errors,
        };
        masker.push(bytes, &mut self.masked);
        self.pass_on();
    }

    /// What to wait for before the next [`Log::write`].
    pub fn room(&mut self) -> Option<Room<'_>> {
        self.sink.room()
    }

    /// Ends both streams of a stage: what is held is written.
    pub fn end_streams(&mut self) {
        self.output.finish(&mut self.masked);
        self.errors.finish(&mut self.masked);
        self.pass_on();
    }

    /// Ends the log: the kept end follows the gap where there is one.
    pub fn finish(mut self) -> S {
        self.end_streams();
        let Log {
            limit, mut sink, ..
        } = self;
        limit.finish(&mut |bytes| sink.append(bytes));
        sink
    }

    fn own(&mut self, bytes: &[u8]) {
        let mut masker = self.masks.masker();
        masker.push(bytes, &mut self.masked);
        masker.finish(&mut self.masked);
        self.pass_on();
    }

    fn pass_on(&mut self) {
        self.limit
            .push(&self.masked, &mut |bytes| self.sink.append(bytes));
        self.masked.clear();
    }
}
