//! Patterns as in `${V%pattern}`: `*` and `?` match any character.

use crate::glob::Class;

/// Steps that are left; a hostile pattern must not hold up the agent.
pub(super) struct Budget(usize);

impl Budget {
    pub(super) fn new(steps: usize) -> Budget {
        Budget(steps)
    }

    /// Takes `steps` away; `None` if there are not so many.
    pub(super) fn spend(&mut self, steps: usize) -> Option<()> {
        self.0 = self.0.checked_sub(steps)?;
        Some(())
    }
}

/// Which of several matches is meant.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Longest {
    /// The longest one.
    Yes,
    /// The shortest one.
    No,
}

#[derive(Debug)]
enum Token {
    Literal(char),
    Char,
    Run,
    Class(Class),
}

/// A shell pattern, ready to match the beginning or the end of a text.
#[derive(Debug)]
pub(super) struct ShellPattern {
    tokens: Vec<Token>,
}

impl ShellPattern {
    /// Reads a pattern; what is no class is literal.
    pub(super) fn new(text: &str) -> ShellPattern {
        let mut tokens = Vec::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            tokens.push(match c {
                '*' => Token::Run,
                '?' => Token::Char,
                '[' => match Class::parse(rest) {
                    Some((class, behind)) => {
                        rest = behind;
                        Token::Class(class)
                    }
                    None => Token::Literal('['),
                },
                '\\' => {
                    let literal = rest.chars().next().unwrap_or('\\');
                    rest = rest.get(literal.len_utf8()..).unwrap_or_default();
                    Token::Literal(literal)
                }
                _ => Token::Literal(c),
            });
        }
        ShellPattern { tokens }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The length in bytes of a beginning of `text` that matches, if there is
    /// one; `None` outside if the budget is spent.
    pub(super) fn prefix(
        &self,
        text: &str,
        longest: Longest,
        steps: &mut Budget,
    ) -> Option<Option<usize>> {
        let tokens: Vec<&Token> = self.tokens.iter().collect();
        let ends = text.char_indices().map(|(at, c)| (at + c.len_utf8(), c));
        simulate(&tokens, 0, ends, longest, steps)
    }

    /// Where an end of `text` that matches starts, if there is one; `None`
    /// outside if the budget is spent.
    pub(super) fn suffix(
        &self,
        text: &str,
        longest: Longest,
        steps: &mut Budget,
    ) -> Option<Option<usize>> {
        let tokens: Vec<&Token> = self.tokens.iter().rev().collect();
        simulate(
            &tokens,
            text.len(),
            text.char_indices().rev(),
            longest,
            steps,
        )
    }
}

/// Follows all ways through the tokens at once, character by character, and
/// returns the position of the match that is meant.
fn simulate(
    tokens: &[&Token],
    start: usize,
    positions: impl Iterator<Item = (usize, char)>,
    longest: Longest,
    steps: &mut Budget,
) -> Option<Option<usize>> {
    let mut here = vec![false; tokens.len() + 1];
    here[0] = true;
    pass_runs(tokens, &mut here);
    let mut found = here[tokens.len()].then_some(start);
    for (position, c) in positions {
        if found.is_some() && longest == Longest::No {
            break;
        }
        steps.spend(tokens.len() + 1)?;
        let mut next = vec![false; tokens.len() + 1];
        for (at, token) in tokens.iter().enumerate().filter(|&(at, _)| here[at]) {
            match token {
                Token::Run => next[at] = true,
                Token::Char => next[at + 1] = true,
                Token::Literal(literal) => next[at + 1] |= *literal == c,
                Token::Class(class) => next[at + 1] |= class.contains(c),
            }
        }
        pass_runs(tokens, &mut next);
        if next[tokens.len()] {
            found = Some(position);
        }
        if !next.contains(&true) {
            break;
        }
        here = next;
    }
    Some(found)
}

/// A run may be empty.
fn pass_runs(tokens: &[&Token], states: &mut [bool]) {
    for (at, token) in tokens.iter().enumerate() {
        if states[at] && matches!(token, Token::Run) {
            states[at + 1] = true;
        }
    }
}
