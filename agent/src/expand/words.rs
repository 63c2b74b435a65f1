//! Expansion as a shell does it inside double quotes, with nothing run.

use super::arithmetic;
use super::shell_pattern::{Budget, Longest, ShellPattern};

/// Expansions inside expansions go no deeper than this.
const DEPTH: usize = 20;

/// Steps of pattern matching that one text may cost.
const STEPS: usize = 20_000_000;

/// Why a text cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// `$(..)` or backquotes.
    #[error("command substitution is not supported")]
    Command,
    /// Something open, or an operator that does not exist.
    #[error("bad substitution syntax")]
    Syntax,
    /// `${V:?text}`
    #[error("{0} is not set")]
    Unset(String),
    /// An expression that is none, or a division by zero.
    #[error("bad arithmetic expression")]
    Arithmetic,
    /// The result, or the work to get it, is beyond all use.
    #[error("expansion is too large")]
    TooLarge,
}

type Lookup<'a> = &'a dyn Fn(&str) -> Option<&'a str>;

/// Expands all of `text`, to at most `limit` bytes.
pub(super) fn expand(text: &str, lookup: Lookup<'_>, limit: usize) -> Result<String, Error> {
    let mut expander = Expander {
        rest: text,
        lookup,
        limit,
        depth: 0,
        steps: Budget::new(STEPS),
    };
    expander.word(&[], Backslash::Removed)
}

/// What happens to a backslash before a character that it quotes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Backslash {
    /// It goes.
    Removed,
    /// It stays, for the pattern that the word becomes.
    Kept,
}

struct Expander<'t, 'e> {
    rest: &'t str,
    lookup: Lookup<'e>,
    limit: usize,
    depth: usize,
    steps: Budget,
}

impl<'t> Expander<'t, '_> {
    /// Expands up to one of `stops`, which is left in place, or up to the end
    /// if there are none.
    fn word(&mut self, stops: &[char], backslash: Backslash) -> Result<String, Error> {
        let mut out = String::new();
        loop {
            let Some(c) = self.rest.chars().next() else {
                return if stops.is_empty() {
                    Ok(out)
                } else {
                    Err(Error::Syntax)
                };
            };
            if stops.contains(&c) {
                return Ok(out);
            }
            self.skip(c);
            match c {
                '\\' => self.escape(stops, backslash, &mut out),
                '`' => return Err(Error::Command),
                '$' => self.dollar(&mut out)?,
                // Quotes inside `${..}` only group.
                '"' if !stops.is_empty() => {}
                _ => out.push(c),
            }
            if out.len() > self.limit {
                return Err(Error::TooLarge);
            }
        }
    }

    fn skip(&mut self, c: char) {
        self.rest = &self.rest[c.len_utf8()..];
    }

    fn take(&mut self, text: &str) -> bool {
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn escape(&mut self, stops: &[char], backslash: Backslash, out: &mut String) {
        match self.rest.chars().next() {
            Some('\n') => self.skip('\n'),
            Some(c) if backslash == Backslash::Kept => {
                self.skip(c);
                out.extend(['\\', c]);
            }
            Some(c) if matches!(c, '$' | '`' | '\\') || stops.contains(&c) => {
                self.skip(c);
                out.push(c);
            }
            _ => out.push('\\'),
        }
    }

    fn dollar(&mut self, out: &mut String) -> Result<(), Error> {
        if self.take("((") {
            let value = self.deeper(Self::arithmetic)?;
            out.push_str(&value.to_string());
        } else if self.rest.starts_with('(') {
            return Err(Error::Command);
        } else if self.take("{") {
            let value = self.deeper(Self::braces)?;
            if !self.take("}") {
                return Err(Error::Syntax);
            }
            out.push_str(&value);
        } else {
            match self.name() {
                Some(name) => out.push_str((self.lookup)(name).unwrap_or_default()),
                None => out.push('$'),
            }
        }
        Ok(())
    }

    fn deeper<T>(&mut self, read: fn(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        if self.depth == DEPTH {
            return Err(Error::TooLarge);
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    /// A name, or one special parameter, which is never set.
    fn name(&mut self) -> Option<&'t str> {
        let first = self.rest.bytes().next()?;
        let length = match first {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => self
                .rest
                .bytes()
                .take_while(|&byte| super::name_byte(byte))
                .count(),
            b'0'..=b'9' | b'@' | b'*' | b'#' | b'?' | b'!' | b'-' | b'$' => 1,
            _ => return None,
        };
        let (name, rest) = self.rest.split_at(length);
        self.rest = rest;
        Some(name)
    }

    /// What stands between `${` and `}`.
    fn braces(&mut self) -> Result<String, Error> {
        if self.rest.starts_with('#') && !self.rest.starts_with("#}") {
            self.skip('#');
            let name = self.name().ok_or(Error::Syntax)?;
            let value = (self.lookup)(name).unwrap_or_default();
            self.steps.spend(value.len()).ok_or(Error::TooLarge)?;
            return Ok(value.chars().count().to_string());
        }
        let name = self.name().ok_or(Error::Syntax)?;
        let value = (self.lookup)(name);
        if self.rest.starts_with('}') {
            return Ok(value.unwrap_or_default().to_owned());
        }
        self.operator(name, value)
    }

    fn operator(&mut self, name: &str, value: Option<&str>) -> Result<String, Error> {
        let colon = self.rest.starts_with(':');
        let word_operator = self.rest[usize::from(colon)..].chars().next();
        if let Some(operator @ ('-' | '+' | '?' | '=')) = word_operator {
            self.rest = &self.rest[usize::from(colon) + 1..];
            let word = self.word(&['}'], Backslash::Removed)?;
            let value = value.filter(|value| !colon || !value.is_empty());
            return match (operator, value) {
                ('+', Some(_)) => Ok(word),
                ('+', None) => Ok(String::new()),
                (_, Some(value)) => Ok(value.to_owned()),
                ('-', None) => Ok(word),
                ('?', None) => Err(Error::Unset(name.to_owned())),
                // `=` would have to set the variable.
                (_, None) => Err(Error::Syntax),
            };
        }
        let value = value.unwrap_or_default();
        self.steps.spend(value.len()).ok_or(Error::TooLarge)?;
        if self.take(":") {
            return self.substring(value);
        }
        for (text, longest) in [("##", Longest::Yes), ("#", Longest::No)] {
            if self.take(text) {
                let pattern = self.pattern(&['}'])?;
                let length = pattern
                    .prefix(value, longest, &mut self.steps)
                    .ok_or(Error::TooLarge)?;
                return Ok(value[length.unwrap_or(0)..].to_owned());
            }
        }
        for (text, longest) in [("%%", Longest::Yes), ("%", Longest::No)] {
            if self.take(text) {
                let pattern = self.pattern(&['}'])?;
                let start = pattern
                    .suffix(value, longest, &mut self.steps)
                    .ok_or(Error::TooLarge)?;
                return Ok(value[..start.unwrap_or(value.len())].to_owned());
            }
        }
        if self.take("/") {
            return self.replace(value);
        }
        for (text, change) in CASES {
            if self.take(text) {
                return if self.rest.starts_with('}') {
                    Ok(change(value))
                } else {
                    Err(Error::Syntax)
                };
            }
        }
        Err(Error::Syntax)
    }

    fn pattern(&mut self, stops: &[char]) -> Result<ShellPattern, Error> {
        Ok(ShellPattern::new(&self.word(stops, Backslash::Kept)?))
    }

    /// `${V/a/b}`, `${V//a/b}`, `${V/#a/b}`, `${V/%a/b}`; the first `/` has
    /// been read.
    fn replace(&mut self, value: &str) -> Result<String, Error> {
        let all = self.take("/");
        let at_start = !all && self.take("#");
        let at_end = !all && !at_start && self.take("%");
        let pattern = self.pattern(&['/', '}'])?;
        let by = if self.take("/") {
            self.word(&['}'], Backslash::Removed)?
        } else {
            String::new()
        };
        if pattern.is_empty() {
            return Ok(value.to_owned());
        }
        if at_end {
            let start = pattern
                .suffix(value, Longest::Yes, &mut self.steps)
                .ok_or(Error::TooLarge)?;
            return Ok(start.map_or_else(
                || value.to_owned(),
                |start| format!("{}{by}", &value[..start]),
            ));
        }
        let mut out = String::new();
        let mut rest = value;
        let mut open = true;
        while let Some(c) = rest.chars().next() {
            let length = match open {
                true => pattern
                    .prefix(rest, Longest::Yes, &mut self.steps)
                    .ok_or(Error::TooLarge)?,
                false => None,
            };
            match length.filter(|&length| length > 0) {
                Some(length) => {
                    out.push_str(&by);
                    rest = &rest[length..];
                    open = all;
                }
                None => {
                    out.push(c);
                    rest = &rest[c.len_utf8()..];
                    open &= !at_start;
                }
            }
            if out.len() > self.limit {
                return Err(Error::TooLarge);
            }
        }
        Ok(out)
    }

    /// `${V:offset}` and `${V:offset:length}`, in characters; the first `:`
    /// has been read.
    fn substring(&mut self, value: &str) -> Result<String, Error> {
        let offset = self.number(&[':', '}'])?;
        let length = if self.take(":") {
            Some(self.number(&['}'])?)
        } else {
            None
        };
        let count = i64::try_from(value.chars().count()).unwrap_or(i64::MAX);
        let start = if offset < 0 {
            count.saturating_add(offset)
        } else {
            offset
        };
        if start < 0 || start > count {
            return Ok(String::new());
        }
        let end = match length {
            None => count,
            Some(length) if length < 0 => count.saturating_add(length),
            Some(length) => start.saturating_add(length).min(count),
        };
        if end < start {
            return Err(Error::Arithmetic);
        }
        let (start, end) = (start as usize, end as usize);
        Ok(value.chars().skip(start).take(end - start).collect())
    }

    fn number(&mut self, stops: &[char]) -> Result<i64, Error> {
        let text = self.word(stops, Backslash::Removed)?;
        arithmetic::evaluate(&text, self.lookup).ok_or(Error::Arithmetic)
    }

    /// `$((..))`; the `$((` has been read.
    fn arithmetic(&mut self) -> Result<i64, Error> {
        let mut text = String::new();
        let mut open = 0usize;
        loop {
            text.push_str(&self.word(&['(', ')'], Backslash::Removed)?);
            if self.take("(") {
                open += 1;
                text.push('(');
            } else if open > 0 {
                self.skip(')');
                open -= 1;
                text.push(')');
            } else if self.take("))") {
                return arithmetic::evaluate(&text, self.lookup).ok_or(Error::Arithmetic);
            } else {
                return Err(Error::Syntax);
            }
        }
    }
}

type Change = fn(&str) -> String;

const CASES: [(&str, Change); 4] = [
    ("^^", |value| value.to_uppercase()),
    (",,", |value| value.to_lowercase()),
    ("^", |value| first(value, |c| c.to_uppercase().collect())),
    (",", |value| first(value, |c| c.to_lowercase().collect())),
];

fn first(value: &str, change: fn(char) -> String) -> String {
    let mut chars = value.chars();
    match chars.next() {
        Some(c) => change(c) + chars.as_str(),
        None => String::new(),
    }
}
