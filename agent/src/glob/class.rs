//! Bracket expressions: `[a-z]`, `[!x]`, `[^x]`.

/// A set of characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Class {
    negated: bool,
    ranges: Vec<(char, char)>,
}

impl Class {
    /// Reads a class behind its `[`; returns it and what is behind its `]`.
    /// `None` if it is open or empty, or if a range is open or runs backwards.
    pub(crate) fn parse(text: &str) -> Option<(Class, &str)> {
        let inside = text.strip_prefix(['!', '^']);
        let negated = inside.is_some();
        let mut rest = inside.unwrap_or(text);
        let mut ranges = Vec::new();
        while !rest.starts_with(']') {
            let (low, behind) = member(rest)?;
            let (high, behind) = match behind.strip_prefix('-') {
                Some(end) if end.starts_with(']') => return None,
                Some(end) => member(end)?,
                None => (low, behind),
            };
            if low > high {
                return None;
            }
            ranges.push((low, high));
            rest = behind;
        }
        (!ranges.is_empty()).then_some((Class { negated, ranges }, &rest[1..]))
    }

    /// Whether `c` is one of them.
    pub(crate) fn contains(&self, c: char) -> bool {
        self.ranges.iter().any(|&(low, high)| low <= c && c <= high) != self.negated
    }
}

fn member(text: &str) -> Option<(char, &str)> {
    let mut chars = text.chars();
    let c = match chars.next()? {
        '\\' => chars.next()?,
        c => c,
    };
    Some((c, chars.as_str()))
}
