//! RE2 syntax to the syntax of the `regex` crate.

use super::Error;
use super::class::perl_class;

/// Groups in groups; more is refused.
const MAX_DEPTH: usize = 200;
/// RE2's limit for `{n}`, and for the product of nested ones.
const MAX_REPEAT: u32 = 1000;

/// Rewrites an RE2 pattern so that the `regex` crate (Unicode mode, bytes) reads
/// the same meaning out of it.
pub(super) fn translate(re2: &str) -> Result<String, Error> {
    let mut translation = Translation {
        rest: re2,
        out: String::with_capacity(re2.len() + 16),
        groups: Vec::new(),
        weight: 1,
        atom: None,
        repeated: false,
        names: Vec::new(),
    };
    while let Some(c) = translation.next() {
        translation.token(c)?;
    }
    if translation.groups.is_empty() {
        Ok(translation.out)
    } else {
        Err(Error("missing )"))
    }
}

pub(super) struct Translation<'a> {
    pub(super) rest: &'a str,
    pub(super) out: String,
    /// Of each open group: the heaviest atom of the text around it, so far.
    groups: Vec<u32>,
    /// How often the most repeated atom of this group is repeated.
    weight: u32,
    /// The same for the last atom; none where nothing can be repeated.
    atom: Option<u32>,
    /// The last token was a repetition; a second one is refused.
    repeated: bool,
    names: Vec<&'a str>,
}

impl<'a> Translation<'a> {
    pub(super) fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    pub(super) fn eat(&mut self, prefix: &str) -> bool {
        match self.rest.strip_prefix(prefix) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn token(&mut self, c: char) -> Result<(), Error> {
        match c {
            '*' | '+' | '?' => {
                self.repeat(1)?;
                self.out.push(c);
                self.lazy();
                return Ok(());
            }
            '{' => {
                if let Some((text, times)) = self.counted()? {
                    self.repeat(times)?;
                    self.out.push_str(&text);
                    self.lazy();
                    return Ok(());
                }
                self.literal('{');
            }
            '(' => self.open()?,
            ')' => {
                let outer = self.groups.pop().ok_or(Error("unexpected )"))?;
                self.out.push(')');
                self.atom = Some(self.weight);
                self.weight = self.weight.max(outer);
            }
            '|' => {
                self.out.push('|');
                self.atom = None;
            }
            '^' | '$' | '.' => {
                self.out.push(c);
                self.atom = Some(1);
            }
            '[' => {
                self.class()?;
                self.atom = Some(1);
            }
            '\\' => self.escape()?,
            literal => self.literal(literal),
        }
        self.repeated = false;
        Ok(())
    }

    fn literal(&mut self, c: char) {
        if c.is_ascii() && !c.is_ascii_alphanumeric() {
            self.code_point(c);
        } else {
            self.out.push(c);
        }
        self.atom = Some(1);
    }

    pub(super) fn code_point(&mut self, c: char) {
        self.out.push_str(&format!("\\x{{{:X}}}", u32::from(c)));
    }

    fn repeat(&mut self, times: u32) -> Result<(), Error> {
        let atom = self.atom.ok_or(Error("nothing to repeat"))?;
        if self.repeated {
            return Err(Error("bad repetition operator"));
        }
        let weight = atom.saturating_mul(times.max(1));
        if weight > MAX_REPEAT {
            return Err(Error("bad repetition size"));
        }
        self.atom = Some(weight);
        self.weight = self.weight.max(weight);
        self.repeated = true;
        Ok(())
    }

    fn lazy(&mut self) {
        if self.eat("?") {
            self.out.push('?');
        }
    }

    /// `{n}`, `{n,}` or `{n,m}` behind the brace; none: the brace is a literal.
    fn counted(&mut self) -> Result<Option<(String, u32)>, Error> {
        let Some((inner, rest)) = self.rest.split_once('}') else {
            return Ok(None);
        };
        let (low, high) = match inner.split_once(',') {
            None => (inner, Some(inner)),
            Some((low, "")) => (low, None),
            Some((low, high)) => (low, Some(high)),
        };
        if !is_count(low) || !high.is_none_or(is_count) {
            return Ok(None);
        }
        let number = |digits: &str| {
            digits
                .parse()
                .ok()
                .filter(|&number: &u32| number <= MAX_REPEAT)
                .ok_or(Error("bad repetition size"))
        };
        let low = number(low)?;
        let high = high.map(number).transpose()?;
        if high.is_some_and(|high| high < low) {
            return Err(Error("bad repetition size"));
        }
        self.rest = rest;
        Ok(Some((format!("{{{inner}}}"), high.unwrap_or(low))))
    }

    fn open(&mut self) -> Result<(), Error> {
        if self.groups.len() >= MAX_DEPTH {
            return Err(Error("nesting too deep"));
        }
        if self.eat("?") {
            if !self.eat("P<") && !self.eat("<") {
                return self.flags();
            }
            let (name, rest) = self
                .rest
                .split_once('>')
                .ok_or(Error("invalid group name"))?;
            let valid = |c: char| c.is_alphanumeric() || c == '_';
            if name.is_empty() || !name.chars().all(valid) || self.names.contains(&name) {
                return Err(Error("invalid group name"));
            }
            self.names.push(name);
            self.rest = rest;
        }
        self.out.push('(');
        self.enter();
        Ok(())
    }

    fn enter(&mut self) {
        self.groups.push(self.weight);
        self.weight = 1;
        self.atom = None;
    }

    /// `(?flags)` or `(?flags:`.
    fn flags(&mut self) -> Result<(), Error> {
        let mut on = String::new();
        let mut off = String::new();
        let mut negated = false;
        let end = loop {
            match self.next() {
                Some(flag @ ('i' | 'm' | 's' | 'U')) => {
                    on.retain(|other| other != flag);
                    off.retain(|other| other != flag);
                    if negated { &mut off } else { &mut on }.push(flag);
                }
                Some('-') if !negated => negated = true,
                Some(end @ (')' | ':')) => break end,
                _ => return Err(Error("invalid group")),
            }
        };
        if negated && off.is_empty() {
            return Err(Error("invalid group"));
        }
        if !off.is_empty() {
            off.insert(0, '-');
        }
        if end == ':' {
            self.out.push_str(&format!("(?{on}{off}:"));
            self.enter();
        } else if !(on.is_empty() && off.is_empty()) {
            self.out.push_str(&format!("(?{on}{off})"));
            self.atom = None;
        }
        Ok(())
    }

    fn escape(&mut self) -> Result<(), Error> {
        let kept = self.rest;
        match self.next() {
            Some('Q') => {
                let (quoted, rest) = self.rest.split_once("\\E").unwrap_or((self.rest, ""));
                quoted.chars().for_each(|c| self.literal(c));
                self.rest = rest;
                return Ok(());
            }
            Some('A') => self.out.push_str("\\A"),
            Some('z') => self.out.push_str("\\z"),
            Some('b') => self.out.push_str("(?-u:\\b)"),
            Some('B') => self.out.push_str("(?-u:\\B)"),
            Some('C') => self.out.push_str("(?s-u:.)"),
            Some(c @ ('d' | 'D' | 's' | 'S' | 'w' | 'W')) => {
                // Without folding: under `i` the letters would catch U+017F and U+212A too.
                self.out.push_str("(?-i:[");
                self.out.push_str(perl_class(c));
                self.out.push_str("])");
            }
            Some(c @ ('p' | 'P')) => self.unicode_class(c)?,
            _ => {
                self.rest = kept;
                let c = self.escaped_char()?;
                self.literal(c);
            }
        }
        self.atom = Some(1);
        Ok(())
    }

    /// The character an escape stands for, behind the backslash.
    pub(super) fn escaped_char(&mut self) -> Result<char, Error> {
        const INVALID: Error = Error("invalid escape sequence");
        let c = self.next().ok_or(Error("trailing \\"))?;
        let octal = |c: Option<char>| c.is_some_and(|c| ('0'..='7').contains(&c));
        match c {
            'a' => Ok('\x07'),
            'f' => Ok('\x0C'),
            'n' => Ok('\n'),
            'r' => Ok('\r'),
            't' => Ok('\t'),
            'v' => Ok('\x0B'),
            // A lone digit is a back-reference.
            '1'..='7' if !octal(self.rest.chars().next()) => Err(INVALID),
            '0'..='7' => {
                let mut code = c.to_digit(8).unwrap_or(0);
                for _ in 0..2 {
                    if octal(self.rest.chars().next()) {
                        let digit = self.next().and_then(|c| c.to_digit(8)).unwrap_or(0);
                        code = code * 8 + digit;
                    }
                }
                char::from_u32(code).ok_or(INVALID)
            }
            'x' => {
                let digits = if self.eat("{") {
                    let (digits, rest) = self.rest.split_once('}').ok_or(INVALID)?;
                    self.rest = rest;
                    digits
                } else {
                    let digits = self.rest.get(..2).ok_or(INVALID)?;
                    self.rest = &self.rest[2..];
                    digits
                };
                if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                    return Err(INVALID);
                }
                let code = u32::from_str_radix(digits, 16).map_err(|_| INVALID)?;
                char::from_u32(code).ok_or(INVALID)
            }
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => Ok(c),
            _ => Err(INVALID),
        }
    }
}

/// Without a leading zero, or it is text and no number.
fn is_count(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|digit| digit.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'))
}
