//! Text to tokens.

use std::sync::LazyLock;

use regex::Regex;

use super::Error;
use crate::pattern::Pattern;

/// One more is refused.
const MAX_TOKENS: usize = 99;

/// A word of an expression and the byte it starts at.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) offset: usize,
}

#[derive(Debug)]
pub(super) enum Kind {
    Open,
    Close,
    Operand(Operand),
    Operator(Operator),
}

/// A value, or the name of one.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operand {
    Null,
    Bool(bool),
    String(String),
    Pattern(Pattern),
    Variable(String),
    Input(String),
}

/// The operators; the later binds tighter, equals from the left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Or,
    And,
    Equals,
    NotEquals,
    Matches,
    NotMatches,
    Not,
}

impl Operator {
    pub(super) fn binding(self) -> u8 {
        match self {
            Operator::Or => 0,
            Operator::And => 1,
            Operator::Equals | Operator::NotEquals => 2,
            Operator::Matches | Operator::NotMatches => 2,
            Operator::Not => 3,
        }
    }
}

/// GitLab's own lexemes, in the order they are tried.
static INPUT: LazyLock<Regex> =
    LazyLock::new(|| constant(r"^\$\[\[(?-u:\s)*inputs\.([A-Za-z0-9_-]+)(?-u:\s)*\]\]"));
static VARIABLE: LazyLock<Regex> = LazyLock::new(|| constant(r"^\$([0-9A-Za-z_]+)"));
static STRING: LazyLock<Regex> = LazyLock::new(|| constant(r#"^(?:"([^"\n]*)"|'([^'\n]*)')"#));
/// At least two characters between the slashes; the second may be a slash.
static PATTERN: LazyLock<Regex> = LazyLock::new(|| constant(r"^/(?:[^/]|\\/)+[^\\]/[ismU]*"));
static BOOLEAN: LazyLock<Regex> = LazyLock::new(|| constant(r"^(true|false)(?-u:\b)"));

fn constant(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is a constant of this module")
}

const OPERATORS: [(&str, Operator); 7] = [
    ("==", Operator::Equals),
    ("=~", Operator::Matches),
    ("!=", Operator::NotEquals),
    ("!~", Operator::NotMatches),
    ("&&", Operator::And),
    ("||", Operator::Or),
    ("!", Operator::Not),
];

pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Error> {
    let mut tokens = Vec::new();
    let mut offset = 0;
    loop {
        let rest = text[offset..].trim_start_matches(is_space);
        offset = text.len() - rest.len();
        if rest.is_empty() {
            return Ok(tokens);
        }
        if tokens.len() >= MAX_TOKENS {
            return Err(Error::new(offset, "too many tokens", None));
        }
        let (kind, length) = token(rest, offset)?;
        tokens.push(Token { kind, offset });
        offset += length;
    }
}

/// Ruby's `\s`.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0B' | '\x0C')
}

fn token(rest: &str, offset: usize) -> Result<(Kind, usize), Error> {
    if rest.starts_with('(') {
        return Ok((Kind::Open, 1));
    }
    if rest.starts_with(')') {
        return Ok((Kind::Close, 1));
    }
    if let Some((operand, length)) = operand(rest, offset)? {
        return Ok((Kind::Operand(operand), length));
    }
    OPERATORS
        .iter()
        .find(|(text, _)| rest.starts_with(text))
        .map(|(text, operator)| (Kind::Operator(*operator), text.len()))
        .ok_or_else(|| unknown(rest, offset))
}

fn operand(rest: &str, offset: usize) -> Result<Option<(Operand, usize)>, Error> {
    let captured = |regex: &Regex| {
        let captures = regex.captures(rest)?;
        let inner = captures.iter().skip(1).flatten().next()?;
        Some((inner.as_str().to_owned(), captures[0].len()))
    };
    if let Some((name, length)) = captured(&INPUT) {
        return Ok(Some((Operand::Input(name), length)));
    }
    if let Some((name, length)) = captured(&VARIABLE) {
        return Ok(Some((Operand::Variable(name), length)));
    }
    if let Some((string, length)) = captured(&STRING) {
        return Ok(Some((Operand::String(string), length)));
    }
    if let Some(found) = PATTERN.find(rest) {
        let invalid = Error::new(
            offset,
            "invalid regular expression",
            Some("patterns are RE2: no look-around and no back-references"),
        );
        let pattern = Pattern::literal(&found.as_str().replace("\\/", "/"))
            .and_then(Result::ok)
            .ok_or(invalid)?;
        return Ok(Some((Operand::Pattern(pattern), found.len())));
    }
    if rest.starts_with("null") {
        return Ok(Some((Operand::Null, 4)));
    }
    Ok(captured(&BOOLEAN).map(|(word, length)| (Operand::Bool(word == "true"), length)))
}

fn unknown(rest: &str, offset: usize) -> Error {
    let hint = if rest.starts_with("${") {
        Some("write `$NAME`: braces are not understood in expressions")
    } else if rest.starts_with('/') {
        Some(
            "a pattern has at least two characters between its slashes, and only the flags i m s U",
        )
    } else if rest.starts_with('=') {
        Some("compare with `==`")
    } else if rest.starts_with("and") || rest.starts_with("or") {
        Some("write `&&` and `||`")
    } else if rest.starts_with(|c: char| c.is_alphanumeric()) {
        Some("put text and numbers in quotes")
    } else if rest.starts_with(['"', '\'']) {
        Some("a string ends on the line it begins, with the same quote")
    } else {
        None
    };
    Error::new(offset, "unknown word", hint)
}
