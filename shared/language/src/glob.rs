//! Globs of `changes`, `exists` and `cache:key:files`: Ruby's `File.fnmatch?`
//! with PATHNAME, DOTMATCH and EXTGLOB.
//!
//! `*` and `?` stop at `/`; a path segment that is `**` stands for any number of
//! folders, none included; braces are alternatives and may nest; the whole path
//! must match.

/// What one glob's braces may expand to, in bytes and in alternatives; those
/// beyond are not looked at.
const MAX_EXPANDED_BYTES: usize = 1 << 20;
const MAX_ALTERNATIVES: usize = 1000;

/// A glob, its braces expanded.
#[derive(Clone, Debug)]
pub struct Glob {
    alternatives: Vec<Sequence<Segment>>,
}

/// What is compared one by one, with some elements that stand for any run.
#[derive(Clone, Debug)]
struct Sequence<E> {
    elements: Vec<E>,
    /// How many elements stand for one each: no shorter text matches.
    least: usize,
}

trait Element {
    /// Stands for any number, none included.
    fn is_run(&self) -> bool;
}

#[derive(Clone, Debug)]
enum Segment {
    /// `**/`
    AnyFolders,
    Name(Sequence<Piece>),
}

impl Element for Segment {
    fn is_run(&self) -> bool {
        matches!(self, Segment::AnyFolders)
    }
}

#[derive(Clone, Debug)]
enum Piece {
    Char(char),
    /// `?`
    Any,
    /// `*`
    Run,
    Class(Class),
}

impl Element for Piece {
    fn is_run(&self) -> bool {
        matches!(self, Piece::Run)
    }
}

#[derive(Clone, Debug)]
struct Class {
    negated: bool,
    ranges: Vec<(char, char)>,
}

impl Glob {
    /// Reads a glob; every text is one.
    #[must_use]
    pub fn new(text: &str) -> Glob {
        let alternatives = expand_braces(text)
            .iter()
            .map(|text| segments(text))
            .collect();
        Glob { alternatives }
    }

    /// Whether the whole path matches. Takes time linear in the square of the
    /// path's length, whatever the glob, for each alternative.
    #[must_use]
    pub fn is_match(&self, path: &str) -> bool {
        let names: Vec<Vec<char>> = path.split('/').map(|name| name.chars().collect()).collect();
        self.alternatives.iter().any(|segments| {
            segments.matches(&names, |segment, name| match segment {
                Segment::AnyFolders => false,
                Segment::Name(pieces) => pieces.matches(name, |piece, &c| piece.is(c)),
            })
        })
    }
}

/// Whether a text means more than itself to [`Glob`].
#[must_use]
pub fn has_wildcards(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

impl<E: Element> Sequence<E> {
    /// Without the runs that only repeat the one before them.
    fn new(mut elements: Vec<E>) -> Sequence<E> {
        elements.dedup_by(|next, last| next.is_run() && last.is_run());
        let least = elements.iter().filter(|element| !element.is_run()).count();
        Sequence { elements, least }
    }

    /// On a mismatch only the last run need take one more: what an earlier one
    /// could give is no better.
    fn matches<T>(&self, text: &[T], one: impl Fn(&E, &T) -> bool) -> bool {
        if text.len() < self.least {
            return false;
        }
        let (mut at, mut read) = (0, 0);
        let mut retry: Option<(usize, usize)> = None;
        while read < text.len() {
            match self.elements.get(at) {
                Some(element) if element.is_run() => {
                    at += 1;
                    retry = Some((at, read));
                }
                Some(element) if one(element, &text[read]) => {
                    at += 1;
                    read += 1;
                }
                _ => {
                    let Some((next, taken)) = retry else {
                        return false;
                    };
                    retry = Some((next, taken + 1));
                    at = next;
                    read = taken + 1;
                }
            }
        }
        self.elements[at..].iter().all(E::is_run)
    }
}

impl Piece {
    fn is(&self, c: char) -> bool {
        match self {
            Piece::Char(own) => *own == c,
            Piece::Any => true,
            Piece::Run => false,
            Piece::Class(class) => class.contains(c),
        }
    }
}

impl Class {
    fn contains(&self, c: char) -> bool {
        // The ends of a range count even if they are the wrong way round.
        let within =
            |&(low, high): &(char, char)| (low..=high).contains(&c) || c == low || c == high;
        self.ranges.iter().any(within) != self.negated
    }
}

fn segments(glob: &str) -> Sequence<Segment> {
    let mut segments = Vec::new();
    let mut rest = glob;
    loop {
        if let Some(behind) = rest.strip_prefix("**/") {
            segments.push(Segment::AnyFolders);
            rest = behind;
            continue;
        }
        let (pieces, behind) = name(rest);
        segments.push(Segment::Name(pieces));
        match behind {
            Some(behind) => rest = behind,
            None => return Sequence::new(segments),
        }
    }
}

/// The pieces up to the next slash, and what is behind it.
fn name(glob: &str) -> (Sequence<Piece>, Option<&str>) {
    let mut pieces = Vec::new();
    let mut rest = glob;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        let piece = match c {
            '/' => return (Sequence::new(pieces), Some(rest)),
            '*' => Piece::Run,
            '?' => Piece::Any,
            '[' => {
                let (class, behind) = class(rest);
                rest = behind;
                Piece::Class(class)
            }
            '\\' => match rest.chars().next() {
                // An escaped slash is a slash as any other: the next one round.
                Some('/') => continue,
                Some(escaped) => {
                    rest = &rest[escaped.len_utf8()..];
                    Piece::Char(escaped)
                }
                None => Piece::Char('\\'),
            },
            c => Piece::Char(c),
        };
        pieces.push(piece);
    }
    (Sequence::new(pieces), None)
}

/// A class behind its bracket; one that is not closed matches nothing.
///
/// `]` closes it also where it is the first: `[]` matches nothing, `[!]` any.
fn class(text: &str) -> (Class, &str) {
    let nothing = (
        Class {
            negated: false,
            ranges: Vec::new(),
        },
        "",
    );
    let (negated, mut rest) = match text.strip_prefix(['!', '^']) {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut ranges = Vec::new();
    loop {
        if let Some(behind) = rest.strip_prefix(']') {
            return (Class { negated, ranges }, behind);
        }
        let Some((low, behind)) = class_char(rest) else {
            return nothing;
        };
        rest = behind;
        let mut high = low;
        if let Some(behind) = rest.strip_prefix('-')
            && !behind.starts_with(']')
        {
            let Some((end, behind)) = class_char(behind) else {
                return nothing;
            };
            high = end;
            rest = behind;
        }
        ranges.push((low, high));
    }
}

fn class_char(text: &str) -> Option<(char, &str)> {
    let text = text.strip_prefix('\\').unwrap_or(text);
    let c = text.chars().next()?;
    Some((c, &text[c.len_utf8()..]))
}

/// All alternatives of `{a,b{c,d}}`; none if a brace is not closed.
fn expand_braces(text: &str) -> Vec<String> {
    let mut done = Vec::new();
    let mut open = vec![text.to_owned()];
    let mut bytes = 0;
    while let Some(text) = open.pop() {
        match first_braces(&text) {
            Braces::None if done.len() < MAX_ALTERNATIVES => done.push(text),
            Braces::None => return done,
            Braces::Unclosed => {}
            Braces::Found {
                before,
                alternatives,
                after,
            } => {
                // Last first, so that the first is next: the order of the text.
                for alternative in alternatives.iter().rev() {
                    bytes += before.len() + alternative.len() + after.len();
                    if bytes > MAX_EXPANDED_BYTES {
                        return done;
                    }
                    open.push(format!("{before}{alternative}{after}"));
                }
            }
        }
    }
    done
}

enum Braces<'a> {
    None,
    Unclosed,
    Found {
        before: &'a str,
        alternatives: Vec<&'a str>,
        after: &'a str,
    },
}

/// The first outermost pair of braces.
fn first_braces(text: &str) -> Braces<'_> {
    let mut depth = 0_usize;
    let mut start = 0;
    let mut cuts = Vec::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                chars.next();
            }
            '{' => {
                if depth == 0 {
                    start = at;
                    cuts.push(at + 1);
                }
                depth += 1;
            }
            ',' if depth == 1 => cuts.push(at + 1),
            '}' if depth == 1 => {
                cuts.push(at + 1);
                return Braces::Found {
                    before: &text[..start],
                    alternatives: cuts
                        .windows(2)
                        .map(|cut| &text[cut[0]..cut[1] - 1])
                        .collect(),
                    after: &text[at + 1..],
                };
            }
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    if depth == 0 {
        Braces::None
    } else {
        Braces::Unclosed
    }
}

#[cfg(test)]
mod tests;
