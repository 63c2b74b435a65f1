//! Regular expressions as GitLab runs them: RE2's syntax and meaning over the
//! `regex` crate, which is linear in the text as RE2 is.
//!
//! The two agree on most things; [`translate`] spells out the rest (`\d` is
//! ASCII, `\Q..\E`, what may be repeated and how often, classes) and refuses
//! what RE2 refuses.

mod translate;

use std::fmt;

use regex::bytes::{Regex, RegexBuilder};

/// The longest pattern, in bytes.
const MAX_BYTES: usize = 1024;
/// A compiled pattern may use this many bytes; RE2's own limit is 8 MB for
/// program and automaton together.
const SIZE_LIMIT: usize = 2 << 20;

/// A compiled RE2 pattern.
#[derive(Clone, Debug)]
pub struct Pattern {
    source: String,
    regex: Regex,
}

impl Pattern {
    /// Compiles RE2 syntax, without slashes.
    ///
    /// # Errors
    /// The text is no RE2 pattern, is longer than 1 KiB, or too large when compiled.
    pub fn new(re2: &str) -> Result<Pattern, Error> {
        if re2.len() > MAX_BYTES {
            return Err(Error("pattern longer than 1 KiB"));
        }
        let translated = translate::translate(re2)?;
        let regex = RegexBuilder::new(&translated)
            .size_limit(SIZE_LIMIT)
            .dfa_size_limit(SIZE_LIMIT)
            .build()
            .map_err(|error| match error {
                regex::Error::CompiledTooBig(_) => Error("pattern too large"),
                _ => Error("invalid pattern"),
            })?;
        Ok(Pattern {
            source: re2.to_owned(),
            regex,
        })
    }

    /// Compiles `/pattern/flags`; flags are `i m s U`. None: the text has not
    /// that form.
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

    /// Whether the pattern matches anywhere in the text.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text.as_bytes())
    }

    /// The pattern as it was written; flags stand in front as `(?i)`.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
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
