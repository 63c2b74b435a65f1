//! Globs over paths, as artifact, cache and exclude paths are written.
//!
//! The dialect is doublestar's: `*` and `?` stop at `/` and match leading
//! dots, `**` as a whole component is any number of components, classes and
//! nested braces are understood, `\` escapes, case counts.

mod class;
mod parse;

pub(crate) use class::Class;

/// The pattern cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("syntax error in pattern")]
pub struct BadPattern;

/// A glob, ready to match.
#[derive(Clone, Debug)]
pub struct Glob {
    alternatives: Vec<Pattern>,
}

impl Glob {
    /// Reads a glob.
    ///
    /// # Errors
    /// [`BadPattern`]: an open class or brace, an empty class, a `\` at the
    /// end, or braces that make more than a thousand patterns.
    pub fn new(text: &str) -> Result<Glob, BadPattern> {
        Ok(Glob {
            alternatives: parse::alternatives(text)?,
        })
    }

    /// Whether the whole of `path` matches.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let path: Vec<&str> = path.split('/').collect();
        self.alternatives
            .iter()
            .any(|pattern| pattern.matches(&path))
    }

    /// What the braces stand for, one by one.
    pub(crate) fn alternatives(&self) -> &[Pattern] {
        &self.alternatives
    }
}

/// A glob without braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    components: Vec<Component>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Component {
    /// `**`
    Any,
    One(Vec<Token>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Literal(char),
    /// `?`
    Char,
    /// `*`
    Run,
    Class(Class),
}

impl Pattern {
    /// Whether the components of a path match.
    pub(crate) fn matches(&self, path: &[&str]) -> bool {
        wildcard(
            &self.components,
            path,
            |component| *component == Component::Any,
            |component, name| match component {
                Component::Any => true,
                Component::One(tokens) => matches(tokens, name),
            },
        )
    }

    /// The leading components that are plain names; all of them, if the
    /// pattern holds no wildcard.
    pub(crate) fn literal_prefix(&self) -> Vec<String> {
        self.components
            .iter()
            .map_while(Component::literal)
            .collect()
    }

    /// How many components a path that matches can have; `None` is any number.
    pub(crate) fn depth(&self) -> Option<usize> {
        (!self.components.contains(&Component::Any)).then_some(self.components.len())
    }
}

impl Component {
    fn literal(&self) -> Option<String> {
        let Component::One(tokens) = self else {
            return None;
        };
        tokens
            .iter()
            .map(|t| {
                if let Token::Literal(c) = t {
                    Some(*c)
                } else {
                    None
                }
            })
            .collect()
    }
}

fn matches(tokens: &[Token], name: &str) -> bool {
    let name: Vec<char> = name.chars().collect();
    wildcard(
        tokens,
        &name,
        |token| *token == Token::Run,
        |token, &c| match token {
            Token::Literal(literal) => *literal == c,
            Token::Char | Token::Run => true,
            Token::Class(class) => class.contains(c),
        },
    )
}

/// Matches a whole sequence of items, some patterns being runs of any length.
///
/// Going back to the last run alone is enough, so the time is at most the
/// product of both lengths.
fn wildcard<P, T>(
    patterns: &[P],
    items: &[T],
    is_run: impl Fn(&P) -> bool,
    one: impl Fn(&P, &T) -> bool,
) -> bool {
    let (mut pattern, mut item) = (0, 0);
    let mut last_run = None;
    while item < items.len() {
        match patterns.get(pattern) {
            Some(run) if is_run(run) => {
                last_run = Some((pattern, item));
                pattern += 1;
                continue;
            }
            Some(single) if one(single, &items[item]) => {
                pattern += 1;
                item += 1;
                continue;
            }
            _ => {}
        }
        let Some((run, from)) = last_run else {
            return false;
        };
        last_run = Some((run, from + 1));
        pattern = run + 1;
        item = from + 1;
    }
    patterns[pattern..].iter().all(is_run)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::vectors::rows;

    #[derive(Deserialize)]
    struct Row {
        pattern: String,
        path: String,
        #[serde(rename = "match")]
        matches: bool,
        bad_pattern: bool,
    }

    #[test]
    fn globs_match_as_every_vector_says() {
        for row in rows::<Row>(include_str!("../tests/vectors/runner-globs.txt")) {
            let glob = Glob::new(&row.pattern);
            assert_eq!(glob.is_err(), row.bad_pattern, "{}", row.pattern);
            let matched = glob.is_ok_and(|glob| glob.matches(&row.path));
            assert_eq!(matched, row.matches, "{} on {}", row.pattern, row.path);
        }
    }

    fn matched(pattern: &str, path: &str) -> bool {
        Glob::new(pattern).unwrap().matches(path)
    }

    #[test]
    fn braces_span_components_and_make_doublestars() {
        assert!(matched("{a/b,c}/d", "a/b/d"));
        assert!(matched("{a,**}/z", "x/y/z"));
        assert!(matched("a{,.txt}", "a") && matched("a{,.txt}", "a.txt"));
        assert!(matched("[{]a}", "{a}"));
        assert!(matched("a}", "a}") && matched("a,b", "a,b"));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for pattern in [
            "a\\",
            "[a-]",
            "[z-a]",
            "[!]",
            "{a,{b}",
            "[a\\",
            &"{a,b}".repeat(40),
        ] {
            assert_eq!(Glob::new(pattern).unwrap_err(), BadPattern, "{pattern}");
        }
        assert!(Glob::new(&"{".repeat(100_000)).is_err());
        assert!(Glob::new(&format!("{}a{}", "{".repeat(9999), "}".repeat(9999))).is_err());
    }

    #[test]
    fn many_stars_stay_fast() {
        assert!(!matched(
            &"a*".repeat(60),
            &"a".repeat(3000).replace("aaaaa", "aaaab/")
        ));
        assert!(!matched(
            &format!("{}x", "**/".repeat(50)),
            &"a/".repeat(2000)
        ));
        assert!(!matched(
            &format!("{}b", "*a".repeat(100)),
            &"a".repeat(5000)
        ));
    }
}
