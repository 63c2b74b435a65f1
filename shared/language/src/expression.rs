//! The expressions of `rules:if` and `only:variables`.
//!
//! A port of what GitLab's lexer, shunting-yard parser and operators decide,
//! oddities included: real files depend on them. The vectors in
//! `tests/vectors/expressions.txt` come from a run of GitLab's own classes.

mod evaluate;
mod lexer;
mod parser;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

pub use evaluate::Value;

use crate::pattern::{Cache, Pattern};

/// What checking one expression may compile, in states of its patterns: a millisecond.
/// Larger ones match nothing here; a file may have many expressions.
const CHECKED_STATES: usize = 10_000;

/// An expression that passed GitLab's configuration check. Copies share it: the same
/// one often stands in many jobs.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression(Arc<Parsed>);

#[derive(Debug, PartialEq)]
struct Parsed {
    text: String,
    root: parser::Node,
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// GitLab's check would say `invalid expression syntax`: the text is no
    /// expression, or its operators can never take their operands.
    pub fn parse(text: &str) -> Result<Expression, Error> {
        let root = parser::parse(lexer::tokens(text)?, text)?;
        // GitLab checks by evaluating without any variable; it can only fail where
        // an operator may get what it cannot take.
        let unset = Unset(Cache::up_to(CHECKED_STATES));
        if evaluate::may_fail(&root) && evaluate::evaluate(&root, &unset).is_err() {
            return Err(Error::new(
                0,
                "a pattern stands on the wrong side",
                Some("patterns belong on the right of `=~` and `!~`, and `true` does not"),
            ));
        }
        let text = text.to_owned();
        Ok(Expression(Arc::new(Parsed { text, root })))
    }

    /// The verdict. What GitLab stumbles over at run time is false.
    #[must_use]
    pub fn truthful(&self, lookup: &dyn Lookup) -> bool {
        self.value(lookup).is_some_and(|value| value.is_present())
    }

    /// What the expression evaluates to; none: an operator got what it cannot
    /// take.
    #[must_use]
    pub fn value<'a>(&'a self, lookup: &'a dyn Lookup) -> Option<Value<'a>> {
        evaluate::evaluate(&self.0.root, lookup).ok()
    }

    /// The expression as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0.text
    }
}

/// What the names in an expression stand for.
pub trait Lookup {
    /// The unexpanded value of a variable; none: unset.
    fn variable(&self, name: &str) -> Option<Cow<'_, str>>;

    /// The value of `$[[ inputs.name ]]`; null where there are no inputs.
    fn input(&self, _name: &str) -> Value<'_> {
        Value::Null
    }

    /// Searches a text. To be overridden where many expressions are evaluated:
    /// compiling is the dear part.
    fn is_match(&self, pattern: &Pattern, text: &str) -> bool {
        pattern.is_match(text)
    }
}

impl<F: Fn(&str) -> Option<String>> Lookup for F {
    fn variable(&self, name: &str) -> Option<Cow<'_, str>> {
        self(name).map(Cow::Owned)
    }
}

/// No variable is set.
struct Unset(Cache);

impl Lookup for Unset {
    fn variable(&self, _name: &str) -> Option<Cow<'_, str>> {
        None
    }

    fn is_match(&self, pattern: &Pattern, text: &str) -> bool {
        self.0.is_match(pattern, text)
    }
}

/// Why a text is no expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// The byte of the text where reading stopped.
    pub offset: usize,
    /// What is wrong, in few words.
    pub reason: &'static str,
    /// What to write instead, for the common mistakes.
    pub hint: Option<&'static str>,
}

impl Error {
    fn new(offset: usize, reason: &'static str, hint: Option<&'static str>) -> Error {
        Error {
            offset,
            reason,
            hint,
        }
    }
}

impl fmt::Display for Error {
    /// GitLab's words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid expression syntax")
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests;
