//! Many-pattern matching byte by byte, with the length of what is pending.

use std::collections::HashMap;

use aho_corasick::automaton::{Automaton as _, StateID};
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, BuildError};

/// Finds a set of patterns in a stream that comes in pieces.
#[derive(Debug)]
pub(super) struct Automaton {
    nfa: NFA,
    start: StateID,
    /// How many of the last bytes each state stands for; the start is absent.
    depth: HashMap<StateID, usize>,
    /// Whether a pattern starts with the byte.
    first: [bool; 256],
}

/// Where in the patterns the stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State(StateID);

impl Automaton {
    /// Compiles `patterns`, none of them empty.
    pub(super) fn new(patterns: &[Vec<u8>]) -> Result<Automaton, BuildError> {
        let nfa = NFA::new(patterns)?;
        let start = nfa
            .start_state(Anchored::No)
            .expect("an NFA supports unanchored searches");
        let mut depth = HashMap::new();
        let mut first = [false; 256];
        for pattern in patterns {
            if let Some(&byte) = pattern.first() {
                first[usize::from(byte)] = true;
            }
            let mut state = start;
            for (at, &byte) in pattern.iter().enumerate() {
                state = nfa.next_state(Anchored::No, state, byte);
                depth.insert(state, at + 1);
            }
        }
        Ok(Automaton {
            nfa,
            start,
            depth,
            first,
        })
    }

    /// The state before any byte.
    pub(super) fn start(&self) -> State {
        State(self.start)
    }

    /// The state after one more byte.
    pub(super) fn step(&self, state: State, byte: u8) -> State {
        State(self.nfa.next_state(Anchored::No, state.0, byte))
    }

    /// The length of the longest pattern that ends here; 0 is none.
    pub(super) fn longest(&self, state: State) -> usize {
        if !self.nfa.is_match(state.0) {
            return 0;
        }
        // The state's own pattern comes first; what its suffixes match is shorter.
        self.nfa.pattern_len(self.nfa.match_pattern(state.0, 0))
    }

    /// How many of the last bytes may be the beginning of a pattern.
    pub(super) fn pending(&self, state: State) -> usize {
        self.depth.get(&state.0).copied().unwrap_or(0)
    }

    /// How many bytes of `input` can be passed over in the start state.
    pub(super) fn skip(&self, input: &[u8]) -> usize {
        input
            .iter()
            .position(|&byte| self.first[usize::from(byte)])
            .unwrap_or(input.len())
    }
}
