//! Regular expressions as GitLab runs them: RE2's syntax and meaning over the
//! `regex` crate, which is linear in the text as RE2 is.
//!
//! The two agree on most things; `translate` spells out the rest (`\d` is
//! ASCII, `\Q..\E`, what may be repeated and how often, classes) and refuses
//! what RE2 refuses.
//!
//! A pattern is checked when it is read and compiled when it is needed: a file
//! may hold more of them than memory holds automata. [`Cache`] keeps what was
//! compiled, and bounds it.

mod class;
mod translate;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;

use regex_automata::meta::{Config, Regex};
use regex_automata::util::syntax;
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind};
use regex_syntax::utf8::Utf8Sequences;

/// The longest pattern, in bytes.
const MAX_BYTES: usize = 1024;
/// The largest automaton of one pattern, in states: some 10 ms to compile. RE2's
/// own limit is a few times that.
const MAX_STATES: usize = 100_000;
/// What a [`Cache`] holds at a time: up to 2000 small patterns.
const MAX_KEPT_STATES: usize = 1_000_000;
/// What the smallest pattern that is kept counts for: it has its own tables to search
/// with.
const MIN_KEPT_STATES: usize = 500;
/// All that a [`Cache`] ever compiles: some 80 ms, or 4000 small patterns.
const MAX_COMPILED_STATES: usize = 800_000;
/// What compiling the smallest pattern counts for.
const MIN_COMPILED_STATES: usize = 200;
/// Bytes that [`MAX_STATES`] never need.
const SIZE_LIMIT: usize = 16 << 20;

/// A pattern in RE2's syntax.
#[derive(Clone, Debug)]
pub struct Pattern {
    source: String,
    translated: String,
    states: usize,
}

impl Pattern {
    /// Checks RE2 syntax, without slashes.
    ///
    /// # Errors
    /// The text is no RE2 pattern, is longer than 1 KiB, or would be too large
    /// when compiled.
    pub fn new(re2: &str) -> Result<Pattern, Error> {
        if re2.len() > MAX_BYTES {
            return Err(Error("pattern longer than 1 KiB"));
        }
        let translated = translate::translate(re2)?;
        let hir = ParserBuilder::new()
            .utf8(false)
            .build()
            .parse(&translated)
            .map_err(|_| Error("invalid pattern"))?;
        let states = states(&hir);
        if states > MAX_STATES {
            return Err(Error("pattern too large"));
        }
        Ok(Pattern {
            source: re2.to_owned(),
            translated,
            states,
        })
    }

    /// Checks `/pattern/flags`; flags are `i m s U`. None: the text has not that
    /// form.
    ///
    /// As in GitLab one line of several in that form is enough, the first counts.
    #[must_use]
    pub fn literal(text: &str) -> Option<Result<Pattern, Error>> {
        let (inner, flags) = text.split('\n').find_map(split_literal)?;
        Some(if flags.is_empty() {
            Pattern::new(inner)
        } else {
            Pattern::new(&format!("(?{flags}){inner}"))
        })
    }

    /// Whether the pattern matches anywhere in the text. Compiles it each time.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        self.compile()
            .is_some_and(|regex| regex.is_match(text.as_bytes()))
    }

    /// The pattern as it was written; flags stand in front as `(?i)`.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What makes long texts fast to search is left out: it takes far longer to make
    /// than to search the value of a variable without it.
    fn compile(&self) -> Option<Regex> {
        let config = Config::new()
            .auto_prefilter(false)
            .onepass(false)
            .dfa(false)
            .nfa_size_limit(Some(SIZE_LIMIT));
        Regex::builder()
            .configure(config)
            .syntax(syntax::Config::new().utf8(false))
            .build(&self.translated)
            .ok()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.source == other.source
    }
}

fn split_literal(line: &str) -> Option<(&str, &str)> {
    let (inner, flags) = line.strip_prefix('/')?.rsplit_once('/')?;
    flags
        .bytes()
        .all(|flag| b"ismU".contains(&flag))
        .then_some((inner, flags))
}

/// About how many states the automaton of a parsed pattern has. The parser bounds
/// the depth.
fn states(hir: &Hir) -> usize {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 1,
        HirKind::Literal(literal) => literal.0.len(),
        HirKind::Class(Class::Bytes(class)) => class.ranges().len(),
        HirKind::Class(Class::Unicode(class)) => class
            .ranges()
            .iter()
            .flat_map(|range| Utf8Sequences::new(range.start(), range.end()))
            .map(|sequence| sequence.len())
            .sum(),
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min).max(1);
            states(&repetition.sub)
                .saturating_add(1)
                .saturating_mul(times as usize)
        }
        HirKind::Capture(capture) => states(&capture.sub).saturating_add(2),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().map(states).fold(1, usize::saturating_add)
        }
    }
}

/// Patterns that were compiled for one evaluation.
#[derive(Debug)]
pub struct Cache {
    kept: RefCell<BTreeMap<String, Option<Regex>>>,
    kept_states: Cell<usize>,
    /// What may still be compiled; none: too much was asked for.
    left_states: Cell<Option<usize>>,
}

impl Default for Cache {
    fn default() -> Cache {
        Cache::up_to(MAX_COMPILED_STATES)
    }
}

impl Cache {
    /// One that compiles patterns of so many states in all; each 10,000 take some
    /// millisecond.
    pub(crate) fn up_to(states: usize) -> Cache {
        Cache {
            kept: RefCell::default(),
            kept_states: Cell::new(0),
            left_states: Cell::new(Some(states)),
        }
    }

    /// Whether the pattern matches anywhere in the text. False once the cache is
    /// [exhausted](Cache::is_exhausted), for patterns it does not hold.
    pub fn is_match(&self, pattern: &Pattern, text: &str) -> bool {
        let search = |regex: &Option<Regex>| {
            regex
                .as_ref()
                .is_some_and(|regex| regex.is_match(text.as_bytes()))
        };
        if let Some(regex) = self.kept.borrow().get(&pattern.source) {
            return search(regex);
        }
        let left = self.left_states.get();
        let left = left.and_then(|left| left.checked_sub(pattern.states.max(MIN_COMPILED_STATES)));
        self.left_states.set(left);
        if self.is_exhausted() {
            return false;
        }
        let states = pattern.states.max(MIN_KEPT_STATES);
        if self.kept_states.get() + states > MAX_KEPT_STATES {
            self.kept.borrow_mut().clear();
            self.kept_states.set(0);
        }
        self.kept_states.set(self.kept_states.get() + states);
        let regex = pattern.compile();
        let found = search(&regex);
        self.kept.borrow_mut().insert(pattern.source.clone(), regex);
        found
    }

    /// Whether a pattern was not compiled because all of them together were too
    /// large.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.left_states.get().is_none()
    }
}

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error(&'static str);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests;
