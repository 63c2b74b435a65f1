//! Masking of whole secret values.

use std::sync::Arc;

use super::MASK;
use super::automaton::{Automaton, State};

/// Bytes taken in before the result is passed on, so that what is held stays
/// small.
const PIECE: usize = 64 << 10;

/// Replaces every occurrence of every phrase.
///
/// Each occurrence is an interval of the stream; intervals that share a byte
/// become one mask, those that only touch stay apart. Only bytes that may
/// still belong to a later occurrence are held back, so the result does not
/// depend on how the stream is cut.
#[derive(Debug)]
pub(super) struct Phrases {
    automaton: Arc<Automaton>,
    state: State,
    /// Bytes not passed on yet, behind `gone` bytes that were; they end where
    /// the stream is.
    held: Vec<u8>,
    gone: usize,
    /// Position in the stream of the first held byte.
    start: u64,
    /// Occurrences, merged, apart from each other and in order. Only the first
    /// can be shown already; then the bytes up to its end are gone.
    found: Vec<Interval>,
}

#[derive(Clone, Copy, Debug)]
struct Interval {
    start: u64,
    end: u64,
    /// Whether its mask has been written.
    shown: bool,
}

impl Phrases {
    pub(super) fn new(automaton: Arc<Automaton>) -> Phrases {
        let state = automaton.start();
        Phrases {
            automaton,
            state,
            held: Vec::new(),
            gone: 0,
            start: 0,
            found: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, input: &[u8], out: &mut Vec<u8>) {
        for piece in input.chunks(PIECE) {
            self.scan(piece);
            self.release(self.automaton.pending(self.state), out);
        }
    }

    /// Passes on what is held; the stream begins anew.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        self.release(0, out);
        *self = Phrases::new(Arc::clone(&self.automaton));
    }

    fn scan(&mut self, piece: &[u8]) {
        let begin = self.end();
        self.held.extend_from_slice(piece);
        let mut at = 0;
        while at < piece.len() {
            if self.state == self.automaton.start() {
                at += self.automaton.skip(&piece[at..]);
                if at == piece.len() {
                    return;
                }
            }
            self.state = self.automaton.step(self.state, piece[at]);
            at += 1;
            let length = self.automaton.longest(self.state) as u64;
            if length > 0 {
                let end = begin + at as u64;
                self.add(Interval {
                    start: end - length,
                    end,
                    shown: false,
                });
            }
        }
    }

    fn add(&mut self, mut new: Interval) {
        while let Some(last) = self.found.pop_if(|last| last.end > new.start) {
            new.start = new.start.min(last.start);
            new.shown |= last.shown;
        }
        self.found.push(new);
    }

    /// Writes everything but the last `pending` bytes.
    fn release(&mut self, pending: usize, out: &mut Vec<u8>) {
        let stop = self.end().saturating_sub(pending as u64);
        let mut at = self.start;
        let mut finished = 0;
        for index in 0..self.found.len() {
            let interval = self.found[index];
            if !interval.shown {
                if interval.start >= stop {
                    break;
                }
                out.extend_from_slice(self.between(at, interval.start));
                out.extend_from_slice(MASK);
                self.found[index].shown = true;
            }
            at = interval.end;
            if interval.end > stop {
                break;
            }
            finished += 1;
        }
        self.found.drain(..finished);
        if at < stop {
            out.extend_from_slice(self.between(at, stop));
            at = stop;
        }
        self.forget(at);
    }

    fn end(&self) -> u64 {
        self.start + (self.held.len() - self.gone) as u64
    }

    /// Held bytes by their positions in the stream.
    fn between(&self, from: u64, to: u64) -> &[u8] {
        let index = |position: u64| self.gone + (position - self.start) as usize;
        &self.held[index(from)..index(to)]
    }

    /// Lets go of the bytes before `position`. They are moved out only once
    /// they are the greater part, so that each byte is moved once on average.
    fn forget(&mut self, position: u64) {
        self.gone += (position - self.start) as usize;
        self.start = position;
        if self.gone * 2 >= self.held.len() {
            self.held.drain(..self.gone);
            self.gone = 0;
        }
    }
}
