//! Character classes: `[...]`, `\p{..}`, `\d`.

use super::Error;
use super::translate::Translation;

impl Translation<'_> {
    /// `[...]` behind the bracket.
    pub(super) fn class(&mut self) -> Result<(), Error> {
        self.out.push('[');
        if self.eat("^") {
            self.out.push('^');
        }
        let mut first = true;
        loop {
            if self.rest.is_empty() {
                return Err(Error("missing ]"));
            }
            if !first && self.eat("]") {
                self.out.push(']');
                return Ok(());
            }
            first = false;
            if self.rest.starts_with("[:") && self.posix_class()? {
                continue;
            }
            let escape = self
                .rest
                .strip_prefix('\\')
                .and_then(|rest| rest.chars().next());
            match escape {
                Some(c @ ('d' | 'D' | 's' | 'S' | 'w' | 'W')) => {
                    self.rest = &self.rest[2..];
                    let class = perl_class(c);
                    if class.starts_with('^') {
                        self.out.push_str(&format!("[{class}]"));
                    } else {
                        self.out.push_str(class);
                    }
                }
                Some(c @ ('p' | 'P')) => {
                    self.rest = &self.rest[2..];
                    self.unicode_class(c)?;
                }
                _ => self.class_range()?,
            }
        }
    }

    /// `[:name:]`, or `[:^name:]`; false: it is not closed, so the bracket is a
    /// literal.
    fn posix_class(&mut self) -> Result<bool, Error> {
        let Some(end) = self.rest[2..].find(":]") else {
            return Ok(false);
        };
        let inner = &self.rest[2..2 + end];
        let name = inner.strip_prefix('^').unwrap_or(inner);
        const NAMES: [&str; 14] = [
            "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print",
            "punct", "space", "upper", "word", "xdigit",
        ];
        if !NAMES.contains(&name) {
            return Err(Error("invalid character class range"));
        }
        self.out.push_str(&format!("[:{inner}:]"));
        self.rest = &self.rest[2 + end + 2..];
        Ok(true)
    }

    fn class_range(&mut self) -> Result<(), Error> {
        let low = self.class_char()?;
        self.code_point(low);
        let more = self.rest.strip_prefix('-');
        if more.is_some_and(|more| !more.is_empty() && !more.starts_with(']')) {
            self.next();
            let high = self.class_char()?;
            if high < low {
                return Err(Error("invalid character class range"));
            }
            self.out.push('-');
            self.code_point(high);
        }
        Ok(())
    }

    fn class_char(&mut self) -> Result<char, Error> {
        match self.next() {
            None => Err(Error("missing ]")),
            Some('\\') => self.escaped_char(),
            Some(c) => Ok(c),
        }
    }

    /// `\pN`, `\p{Name}`, `\p{^Name}` behind the `p`.
    pub(super) fn unicode_class(&mut self, letter: char) -> Result<(), Error> {
        const INVALID: Error = Error("invalid character class");
        let mut negated = letter == 'P';
        let name = if self.eat("{") {
            let (name, rest) = self.rest.split_once('}').ok_or(INVALID)?;
            self.rest = rest;
            match name.strip_prefix('^') {
                Some(name) => {
                    negated = !negated;
                    name.to_owned()
                }
                None => name.to_owned(),
            }
        } else {
            self.next().ok_or(INVALID)?.to_string()
        };
        let word = name.chars().all(|c| c.is_ascii_alphabetic() || c == '_');
        if !word || !name.starts_with(|c: char| c.is_ascii_uppercase()) {
            return Err(INVALID);
        }
        let letter = if negated { 'P' } else { 'p' };
        let kind = if name.len() > 2 && name != "Any" {
            "Script="
        } else {
            ""
        };
        self.out.push_str(&format!("\\{letter}{{{kind}{name}}}"));
        Ok(())
    }
}

/// The inside of a class; RE2's are ASCII, and `\s` is without the vertical tab.
pub(super) fn perl_class(letter: char) -> &'static str {
    match letter {
        'd' => "0-9",
        'D' => "^0-9",
        's' => "\\t\\n\\f\\r\\x20",
        'S' => "^\\t\\n\\f\\r\\x20",
        'w' => "0-9A-Za-z_",
        _ => "^0-9A-Za-z_",
    }
}
