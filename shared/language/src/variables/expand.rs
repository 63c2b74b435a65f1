//! `$NAME`, `${NAME}` and `%NAME%` in a text.

/// What becomes of a reference to a variable that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// It is dropped.
    Empty,
    /// It stays as it is written.
    Keep,
}

/// Expands the references of one text in one pass; what they insert is not
/// expanded again.
///
/// There are no escapes here: `$$A` is a `$` and the value of `A`, as in GitLab
/// wherever a single field is expanded.
pub fn expand<'v>(
    text: &str,
    unknown: Unknown,
    mut lookup: impl FnMut(&str) -> Option<&'v str>,
) -> String {
    let mut out = String::with_capacity(text.len());
    for piece in Pieces::new(text, Escapes::None) {
        out.push_str(match piece {
            Piece::Text(text) => text,
            Piece::Reference { name, written } => match lookup(name) {
                Some(value) => value,
                None if unknown == Unknown::Keep => written,
                None => "",
            },
        });
    }
    out
}

/// The names a variable's value refers to, in order, as often as it does; `$$`
/// and `%%` hide what they start.
pub fn references(value: &str) -> impl Iterator<Item = &str> {
    Pieces::new(value, Escapes::Doubled).filter_map(|piece| match piece {
        Piece::Reference { name, .. } => Some(name),
        Piece::Text(_) => None,
    })
}

/// Whether `$$` and `%%` stand for themselves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Escapes {
    None,
    Doubled,
}

pub(super) enum Piece<'a> {
    Text(&'a str),
    Reference { name: &'a str, written: &'a str },
}

/// Cuts a text at its references.
pub(super) struct Pieces<'a> {
    rest: &'a str,
    escapes: Escapes,
    /// A reference that was found behind the text handed out last.
    found: Option<Piece<'a>>,
}

impl<'a> Pieces<'a> {
    pub(super) fn new(text: &'a str, escapes: Escapes) -> Pieces<'a> {
        Pieces {
            rest: text,
            escapes,
            found: None,
        }
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        if let Some(found) = self.found.take() {
            return Some(found);
        }
        let text = self.rest;
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            if !matches!(bytes[at], b'$' | b'%') {
                at += 1;
            } else if self.escapes == Escapes::Doubled && bytes.get(at + 1) == Some(&bytes[at]) {
                at += 2;
            } else if let Some((name, length)) = reference(&text[at..]) {
                let (before, written) = text[..at + length].split_at(at);
                self.rest = &text[at + length..];
                let piece = Piece::Reference { name, written };
                if before.is_empty() {
                    return Some(piece);
                }
                self.found = Some(piece);
                return Some(Piece::Text(before));
            } else {
                at += 1;
            }
        }
        self.rest = "";
        (!text.is_empty()).then_some(Piece::Text(text))
    }
}

/// The reference a text begins with: its name and its whole length in bytes.
fn reference(text: &str) -> Option<(&str, usize)> {
    if let Some(rest) = text.strip_prefix("${") {
        let name = name(rest)?;
        return rest[name.len()..]
            .starts_with('}')
            .then_some((name, name.len() + 3));
    }
    if let Some(rest) = text.strip_prefix('$') {
        let name = name(rest)?;
        return Some((name, name.len() + 1));
    }
    let rest = text.strip_prefix('%')?;
    let name = name(rest)?;
    rest[name.len()..]
        .starts_with('%')
        .then_some((name, name.len() + 2))
}

/// The name a text begins with.
fn name(text: &str) -> Option<&str> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let end = text.find(|c| !word(c)).unwrap_or(text.len());
    let name = &text[..end];
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        .then_some(name)
}
