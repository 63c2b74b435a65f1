//! Globs of `changes`, `exists` and `cache:key:files`: Ruby's `File.fnmatch?`
//! with PATHNAME, DOTMATCH and EXTGLOB.
//!
//! `*` and `?` stop at `/`; a path segment that is `**` stands for any number of
//! folders, none included; braces are alternatives and may nest; the whole path
//! must match.

/// Bytes that the alternatives of one glob may take to expand; those beyond are
/// not looked at.
const MAX_EXPANDED_BYTES: usize = 1 << 20;

/// A glob, its braces expanded.
#[derive(Clone, Debug)]
pub struct Glob {
    alternatives: Vec<Vec<Segment>>,
}

#[derive(Clone, Debug)]
enum Segment {
    /// `**/`
    AnyFolders,
    Name(Vec<Piece>),
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

    /// Whether the whole path matches. Takes time linear in the product of both
    /// lengths, whatever the glob.
    #[must_use]
    pub fn is_match(&self, path: &str) -> bool {
        let names: Vec<Vec<char>> = path.split('/').map(|name| name.chars().collect()).collect();
        self.alternatives.iter().any(|segments| {
            wildcard(
                segments,
                &names,
                |segment| matches!(segment, Segment::AnyFolders),
                |segment, name| matches!(segment, Segment::Name(pieces) if name_matches(pieces, name)),
            )
        })
    }
}

/// Whether a text means more than itself to [`Glob`].
#[must_use]
pub fn has_wildcards(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

fn name_matches(pieces: &[Piece], name: &[char]) -> bool {
    wildcard(
        pieces,
        name,
        |piece| matches!(piece, Piece::Run),
        |piece, &c| match piece {
            Piece::Char(own) => *own == c,
            Piece::Any => true,
            Piece::Run => false,
            Piece::Class(class) => class.contains(c),
        },
    )
}

/// Matches a sequence against a pattern in which some elements stand for any
/// run. On a mismatch only the last such element need take one more: what an
/// earlier one could give is no better.
fn wildcard<P, T>(
    pattern: &[P],
    text: &[T],
    is_run: impl Fn(&P) -> bool,
    matches: impl Fn(&P, &T) -> bool,
) -> bool {
    let (mut at, mut read) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while read < text.len() {
        if pattern.get(at).is_some_and(&is_run) {
            retry = Some((at + 1, read));
            at += 1;
        } else if pattern
            .get(at)
            .is_some_and(|piece| matches(piece, &text[read]))
        {
            at += 1;
            read += 1;
        } else if let Some((next, taken)) = retry {
            retry = Some((next, taken + 1));
            at = next;
            read = taken + 1;
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(is_run)
}

impl Class {
    fn contains(&self, c: char) -> bool {
        // The ends of a range count even if they are the wrong way round.
        let within =
            |&(low, high): &(char, char)| (low..=high).contains(&c) || c == low || c == high;
        self.ranges.iter().any(within) != self.negated
    }
}

fn segments(glob: &str) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::new();
    let mut rest = glob;
    loop {
        if let Some(behind) = rest.strip_prefix("**/") {
            if !matches!(segments.last(), Some(Segment::AnyFolders)) {
                segments.push(Segment::AnyFolders);
            }
            rest = behind;
            continue;
        }
        let (pieces, behind) = name(rest);
        segments.push(Segment::Name(pieces));
        match behind {
            Some(behind) => rest = behind,
            None => return segments,
        }
    }
}

/// The pieces up to the next slash, and what is behind it.
fn name(glob: &str) -> (Vec<Piece>, Option<&str>) {
    let mut pieces = Vec::new();
    let mut rest = glob;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        let piece = match c {
            '/' => return (pieces, Some(rest)),
            '*' if matches!(pieces.last(), Some(Piece::Run)) => continue,
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
    (pieces, None)
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
            Braces::None => done.push(text),
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
