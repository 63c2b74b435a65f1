//! From text to patterns without braces.

use super::class::Class;
use super::{BadPattern, Component, Pattern, Token};

/// More patterns than this from one text are refused.
const ALTERNATIVES: usize = 1000;

/// Deeper braces are refused.
const DEPTH: usize = 20;

/// Reads `text` as the patterns that its braces stand for.
pub(super) fn alternatives(text: &str) -> Result<Vec<Pattern>, BadPattern> {
    let texts = expand(text, 0)?;
    texts.iter().map(|text| pattern(text)).collect()
}

/// The texts that the braces in `text` stand for.
fn expand(text: &str, depth: usize) -> Result<Vec<String>, BadPattern> {
    if depth > DEPTH {
        return Err(BadPattern);
    }
    let mut rest = text;
    let mut all = vec![String::new()];
    while let Some(brace) = Brace::find(rest)? {
        let mut choices = Vec::new();
        for choice in &brace.choices {
            choices.extend(expand(choice, depth + 1)?);
        }
        if all.len() * choices.len() > ALTERNATIVES {
            return Err(BadPattern);
        }
        let join = |start: &String| -> Vec<String> {
            choices
                .iter()
                .map(|choice| format!("{start}{}{choice}", brace.before))
                .collect()
        };
        all = all.iter().flat_map(join).collect();
        rest = brace.after;
    }
    for start in &mut all {
        start.push_str(rest);
    }
    Ok(all)
}

/// The first brace of a text.
struct Brace<'a> {
    before: &'a str,
    choices: Vec<&'a str>,
    after: &'a str,
}

impl<'a> Brace<'a> {
    fn find(text: &'a str) -> Result<Option<Brace<'a>>, BadPattern> {
        let mut open = None;
        let mut level = 0usize;
        let mut choices = Vec::new();
        let mut choice = 0;
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let at = text.len() - rest.len();
            rest = &rest[c.len_utf8()..];
            match c {
                '\\' => rest = &rest[rest.chars().next().map_or(0, char::len_utf8)..],
                '[' => rest = Class::parse(rest).ok_or(BadPattern)?.1,
                '{' => {
                    level += 1;
                    if level == 1 {
                        open = Some(at);
                        choice = at + 1;
                    }
                }
                ',' if level == 1 => {
                    choices.push(&text[choice..at]);
                    choice = at + 1;
                }
                '}' if level > 0 => {
                    level -= 1;
                    if let (0, Some(open)) = (level, open) {
                        choices.push(&text[choice..at]);
                        return Ok(Some(Brace {
                            before: &text[..open],
                            choices,
                            after: rest,
                        }));
                    }
                }
                _ => {}
            }
        }
        if level > 0 { Err(BadPattern) } else { Ok(None) }
    }
}

/// Reads a text without braces.
fn pattern(text: &str) -> Result<Pattern, BadPattern> {
    let mut components = vec![];
    let mut tokens = vec![];
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '/' => components.push(component(std::mem::take(&mut tokens))),
            '*' => tokens.push(Token::Run),
            '?' => tokens.push(Token::Char),
            '[' => {
                let (class, behind) = Class::parse(rest).ok_or(BadPattern)?;
                tokens.push(Token::Class(class));
                rest = behind;
            }
            '\\' => {
                let literal = rest.chars().next().ok_or(BadPattern)?;
                tokens.push(Token::Literal(literal));
                rest = &rest[literal.len_utf8()..];
            }
            _ => tokens.push(Token::Literal(c)),
        }
    }
    components.push(component(tokens));
    Ok(Pattern { components })
}

fn component(tokens: Vec<Token>) -> Component {
    if tokens == [Token::Run, Token::Run] {
        Component::Any
    } else {
        Component::One(tokens)
    }
}
