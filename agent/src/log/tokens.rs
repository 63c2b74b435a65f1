//! Masking of tokens that are known by their prefix.

use std::sync::Arc;

use super::MASK;
use super::automaton::{Automaton, State};

/// Keeps a prefix and replaces the run of token characters behind it.
#[derive(Clone, Debug)]
pub(super) struct Tokens {
    automaton: Arc<Automaton>,
    place: Place,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Text(State),
    /// Inside a token whose mask has been written.
    Token,
}

impl Tokens {
    pub(super) fn new(automaton: Arc<Automaton>) -> Tokens {
        let place = Place::Text(automaton.start());
        Tokens { automaton, place }
    }

    pub(super) fn push(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let mut rest = input;
        while !rest.is_empty() {
            rest = match self.place {
                Place::Text(state) => self.text(state, rest, out),
                Place::Token => {
                    let end = rest.iter().position(|&byte| !token(byte));
                    if end.is_some() {
                        self.place = Place::Text(self.automaton.start());
                    }
                    &rest[end.unwrap_or(rest.len())..]
                }
            };
        }
    }

    /// Passes on text up to the next token; returns what is behind.
    fn text<'a>(&mut self, mut state: State, input: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        let mut at = 0;
        while at < input.len() {
            if state == self.automaton.start() {
                at += self.automaton.skip(&input[at..]);
                if at == input.len() {
                    break;
                }
            }
            if self.automaton.longest(state) > 0 && token(input[at]) {
                out.extend_from_slice(&input[..at]);
                out.extend_from_slice(MASK);
                self.place = Place::Token;
                return &input[at..];
            }
            state = self.automaton.step(state, input[at]);
            at += 1;
        }
        out.extend_from_slice(input);
        self.place = Place::Text(state);
        &[]
    }

    /// The stream begins anew.
    pub(super) fn finish(&mut self) {
        self.place = Place::Text(self.automaton.start());
    }
}

fn token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'=' | b'-')
}
