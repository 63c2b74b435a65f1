//! As much of a POSIX shell's grammar as it takes to find simple commands.
//!
//! A text is cut into lists (what stands between newlines, `;` and `&`). A list of
//! simple commands, joined with `&&`, `||` and `|`, is read; one with anything else in
//! it (`if`, `for`, `( )`, here-documents, functions) is handed out as it stands, for
//! nobody can tell which of its commands run, or how often.

/// How deep substitutions may nest; what is deeper is not read.
const MAX_DEPTH: usize = 40;

/// One list of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum List<'t> {
    /// Simple commands, in order.
    Read(Vec<Command<'t>>),
    /// What was not understood.
    Unread {
        /// All of it.
        text: &'t str,
        /// It does not end in this text: so what follows belongs to it.
        open: bool,
    },
}

/// A simple command.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Command<'t> {
    /// Where its list starts, in bytes.
    pub(super) list: usize,
    /// Where it starts, its assignments included.
    pub(super) start: usize,
    /// `NAME=value` before it; all there is of one that only assigns.
    pub(super) assignments: Vec<(&'t str, Word<'t>)>,
    /// Its name and arguments.
    pub(super) words: Vec<Word<'t>>,
    /// What stands before it in its list.
    pub(super) joined: Joined,
    /// The list goes on behind it with `||`.
    pub(super) tolerated: bool,
    /// It stands behind a `!`.
    pub(super) negated: bool,
}

/// How a command is joined to the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joined {
    /// It is the first of its list.
    First,
    /// `&&`
    And,
    /// `||`
    Or,
    /// `|`
    Pipe,
}

/// A word, with its quotes taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word<'t> {
    /// As it is written.
    pub(super) raw: &'t str,
    /// Where it ends, in bytes.
    pub(super) end: usize,
    /// What it is made of.
    pub(super) parts: Vec<Part<'t>>,
    /// What the shell makes of it cannot be told (`$(...)`, `${A:-b}`, `*`).
    pub(super) unread: bool,
}

/// A part of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part<'t> {
    /// Text that stands for itself.
    Text(String),
    /// `$NAME` or `${NAME}`.
    Variable {
        /// Which.
        name: &'t str,
        /// Inside double quotes its value stays one word.
        quoted: bool,
    },
}

impl Word<'_> {
    /// Its text, if no variable stands in it.
    pub(super) fn literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [Part::Text(text)] if !self.unread => Some(text),
            _ => None,
        }
    }
}

/// Cuts a text into its lists.
pub(super) fn lists(text: &str) -> Vec<List<'_>> {
    let mut reader = Reader { text, at: 0 };
    let mut lists = Vec::new();
    while let Some(list) = reader.list() {
        lists.push(list);
    }
    lists
}

#[derive(Debug)]
enum Token<'t> {
    Word(Word<'t>),
    And,
    Or,
    Pipe,
    /// Newline, `;` or `&`.
    End,
    Open,
    Close,
    /// With the word behind it.
    Redirect,
    /// `<<`, or a quote that does not end: nothing behind it can be read.
    Unreadable,
    Eof,
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn list(&mut self) -> Option<List<'t>> {
        let mut start = self.skip_ends()?;
        let mut commands: Vec<Command<'t>> = Vec::new();
        let mut current: Option<Command<'t>> = None;
        let mut joined = Joined::First;
        let mut negated = false;
        // What is open, by the word that closes it.
        let mut open: Vec<&'static str> = Vec::new();
        let mut unread = false;
        let list = start;
        let finish = |current: &mut Option<Command<'t>>, commands: &mut Vec<Command<'t>>| {
            commands.extend(current.take());
        };
        loop {
            let before = self.skip_blanks();
            let token = self.token();
            match token {
                Token::Word(word) => {
                    if current.is_none() {
                        start = before;
                        let name = word.literal().filter(|_| word.raw.is_ascii());
                        match name.unwrap_or_default() {
                            "if" => open.push("fi"),
                            "for" | "while" | "until" | "select" => open.push("done"),
                            "case" => open.push("esac"),
                            "{" => open.push("}"),
                            closing @ ("fi" | "done" | "esac" | "}") => {
                                unread = true;
                                if open.last() == Some(&closing) {
                                    open.pop();
                                } else {
                                    // It closes what an earlier text opened.
                                    return Some(self.give_up(list));
                                }
                            }
                            // What follows them is a command again.
                            "then" | "else" | "elif" | "do" => {
                                if open.is_empty() {
                                    return Some(self.give_up(list));
                                }
                                unread = true;
                                continue;
                            }
                            "!" => {
                                negated = true;
                                continue;
                            }
                            _ => {}
                        }
                        unread |= !open.is_empty();
                        if matches!(name, Some("if" | "while" | "until" | "{")) {
                            continue;
                        }
                        current = Some(Command {
                            list,
                            start,
                            assignments: Vec::new(),
                            words: Vec::new(),
                            joined,
                            tolerated: false,
                            negated: std::mem::take(&mut negated),
                        });
                    }
                    if let Some(command) = &mut current {
                        match assignment(&word).filter(|_| command.words.is_empty()) {
                            Some(pair) => command.assignments.push(pair),
                            None => command.words.push(word),
                        }
                    }
                }
                Token::Redirect => {}
                Token::And => {
                    finish(&mut current, &mut commands);
                    joined = Joined::And;
                }
                Token::Or => {
                    finish(&mut current, &mut commands);
                    for command in &mut commands {
                        command.tolerated = true;
                    }
                    joined = Joined::Or;
                }
                Token::Pipe => {
                    finish(&mut current, &mut commands);
                    joined = Joined::Pipe;
                }
                Token::Open => {
                    unread = true;
                    current = None;
                    open.push(")");
                }
                Token::Close => {
                    unread = true;
                    current = None;
                    match open.last() {
                        Some(&")") => {
                            open.pop();
                        }
                        // A pattern of a `case`.
                        Some(&"esac") => {}
                        _ => return Some(self.give_up(list)),
                    }
                }
                Token::End if !open.is_empty() => finish(&mut current, &mut commands),
                Token::Unreadable => return Some(self.give_up(list)),
                Token::End | Token::Eof => {
                    finish(&mut current, &mut commands);
                    let text = &self.text[list..self.at];
                    return Some(if unread || !open.is_empty() {
                        List::Unread {
                            text,
                            open: !open.is_empty(),
                        }
                    } else {
                        List::Read(commands)
                    });
                }
            }
        }
    }

    /// The rest is one list that was not understood.
    fn give_up(&mut self, list: usize) -> List<'t> {
        self.at = self.text.len();
        List::Unread {
            text: &self.text[list..],
            open: true,
        }
    }

    fn bytes(&self) -> &'t [u8] {
        self.text.as_bytes()
    }

    fn peek(&self, ahead: usize) -> u8 {
        self.bytes().get(self.at + ahead).copied().unwrap_or(0)
    }

    /// Goes to the start of the next list; none: there is no more.
    fn skip_ends(&mut self) -> Option<usize> {
        loop {
            self.skip_blanks();
            match self.bytes().get(self.at)? {
                b'\n' | b';' | b'&' => self.at += 1,
                _ => return Some(self.at),
            }
        }
    }

    /// Skips blanks, lines that go on, and a comment; returns where it stands then.
    fn skip_blanks(&mut self) -> usize {
        loop {
            match self.peek(0) {
                b' ' | b'\t' | b'\r' => self.at += 1,
                b'\\' if self.peek(1) == b'\n' => self.at += 2,
                b'#' => {
                    let rest = &self.text[self.at..];
                    self.at += rest.find('\n').unwrap_or(rest.len());
                }
                _ => return self.at,
            }
        }
    }

    fn token(&mut self) -> Token<'t> {
        let Some(&byte) = self.bytes().get(self.at) else {
            return Token::Eof;
        };
        let next = self.peek(1);
        let (length, token) = match (byte, next) {
            (b'&', b'&') => (2, Token::And),
            (b'|', b'|') => (2, Token::Or),
            (b'|', b'&') => (2, Token::Pipe),
            (b'|', _) => (1, Token::Pipe),
            (b'&', b'>') => return self.redirect(),
            (b';' | b'&' | b'\n', _) => (1, Token::End),
            (b'(', _) => (1, Token::Open),
            (b')', _) => (1, Token::Close),
            (b'<' | b'>', _) => return self.redirect(),
            _ => return self.word(),
        };
        self.at += length;
        if matches!(token, Token::And | Token::Or | Token::Pipe) {
            // The list goes on behind the end of a line.
            self.skip_blanks();
            while self.peek(0) == b'\n' {
                self.at += 1;
                self.skip_blanks();
            }
        }
        token
    }

    fn redirect(&mut self) -> Token<'t> {
        let rest = &self.text[self.at..];
        if rest.starts_with("<<") && !rest.starts_with("<<<") {
            return Token::Unreadable;
        }
        let length = rest
            .find(|c| !matches!(c, '<' | '>' | '&' | '|'))
            .unwrap_or(rest.len());
        self.at += length;
        self.skip_blanks();
        match self.peek(0) {
            // Process substitution, or nothing to redirect to.
            b'(' | b'\n' | b';' | 0 => Token::Unreadable,
            _ => match self.word() {
                Token::Word(_) => Token::Redirect,
                _ => Token::Unreadable,
            },
        }
    }

    fn word(&mut self) -> Token<'t> {
        let from = self.at;
        let mut parts: Vec<Part<'t>> = Vec::new();
        let mut text = String::new();
        let mut unread = false;
        let mut quoted = false;
        let mut empty_quotes = false;
        loop {
            let Some(char) = self.text[self.at..].chars().next() else {
                if quoted {
                    return Token::Unreadable;
                }
                break;
            };
            match char {
                '\\' => {
                    let Some(next) = self.text[self.at + 1..].chars().next() else {
                        return Token::Unreadable;
                    };
                    self.at += 1 + next.len_utf8();
                    if next == '\n' {
                        continue;
                    }
                    if quoted && !matches!(next, '$' | '`' | '"' | '\\') {
                        text.push('\\');
                    }
                    text.push(next);
                }
                '"' => {
                    quoted = !quoted;
                    empty_quotes = true;
                    self.at += 1;
                }
                '\'' if !quoted => {
                    let Some(length) = self.text[self.at + 1..].find('\'') else {
                        return Token::Unreadable;
                    };
                    text.push_str(&self.text[self.at + 1..][..length]);
                    empty_quotes = true;
                    self.at += length + 2;
                }
                '$' => match self.dollar(quoted) {
                    Dollar::Variable(name) => {
                        if !text.is_empty() {
                            parts.push(Part::Text(std::mem::take(&mut text)));
                        }
                        parts.push(Part::Variable { name, quoted });
                    }
                    Dollar::Text => text.push('$'),
                    Dollar::Unread => unread = true,
                    Dollar::Endless => return Token::Unreadable,
                },
                '`' => {
                    let Some(end) = backticks(self.text, self.at) else {
                        return Token::Unreadable;
                    };
                    unread = true;
                    self.at = end;
                }
                ' ' | '\t' | '\r' | '\n' | ';' | '&' | '|' | '(' | ')' | '<' | '>' if !quoted => {
                    let number = matches!(char, '<' | '>') && is_number(&self.text[from..self.at]);
                    if number {
                        // `2>&1`: the number is no word.
                        return self.redirect();
                    }
                    break;
                }
                _ => {
                    if !quoted && matches!(char, '*' | '?' | '~') {
                        unread |= char != '~' || self.at == from;
                    }
                    // `{a,b}` is more than one word.
                    if !quoted && char == '{' {
                        let rest = &self.text[self.at..];
                        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                        unread |= rest[..end].contains(',') || rest[..end].contains("..");
                    }
                    text.push(char);
                    self.at += char.len_utf8();
                }
            }
        }
        if !text.is_empty() || (parts.is_empty() && empty_quotes) {
            parts.push(Part::Text(text));
        }
        Token::Word(Word {
            raw: &self.text[from..self.at],
            end: self.at,
            parts,
            unread,
        })
    }

    /// What stands at a `$`; goes behind it.
    fn dollar(&mut self, quoted: bool) -> Dollar<'t> {
        let rest = &self.text[self.at + 1..];
        match rest.as_bytes().first() {
            Some(b'(') => match parentheses(self.text, self.at + 1, 0) {
                Some(end) => {
                    self.at = end;
                    Dollar::Unread
                }
                None => Dollar::Endless,
            },
            Some(b'{') => {
                let inner = &rest[1..];
                let name = name(inner);
                if !name.is_empty() && inner[name.len()..].starts_with('}') {
                    self.at += name.len() + 3;
                    return Dollar::Variable(name);
                }
                match braces(self.text, self.at + 1, 0) {
                    Some(end) => {
                        self.at = end;
                        Dollar::Unread
                    }
                    None => Dollar::Endless,
                }
            }
            Some(b'\'' | b'"') if !quoted => {
                self.at += 1;
                Dollar::Unread
            }
            Some(b'0'..=b'9' | b'@' | b'*' | b'#' | b'?' | b'$' | b'!' | b'-') => {
                self.at += 2;
                Dollar::Unread
            }
            _ => {
                let name = name(rest);
                self.at += name.len() + 1;
                if name.is_empty() {
                    Dollar::Text
                } else {
                    Dollar::Variable(name)
                }
            }
        }
    }
}

enum Dollar<'t> {
    Variable(&'t str),
    Text,
    Unread,
    Endless,
}

/// `NAME=value`.
fn assignment<'t>(word: &Word<'t>) -> Option<(&'t str, Word<'t>)> {
    let (name_, _) = word.raw.split_once('=')?;
    if name_.is_empty() || name(name_) != name_ {
        return None;
    }
    let mut value = word.clone();
    if let Some(Part::Text(text)) = value.parts.first_mut() {
        text.drain(..=name_.len());
        if text.is_empty() {
            value.parts.remove(0);
        }
    }
    Some((name_, value))
}

/// The name of a variable that a text begins with.
fn name(text: &str) -> &str {
    let end = text
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    let name = &text[..end];
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        ""
    } else {
        name
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Where the command in backticks ends that starts at `at`.
fn backticks(text: &str, at: usize) -> Option<usize> {
    let mut chars = text[at + 1..].char_indices();
    while let Some((offset, char)) = chars.next() {
        match char {
            '\\' => {
                chars.next();
            }
            '`' => return Some(at + 1 + offset + 1),
            _ => {}
        }
    }
    None
}

/// Where the parenthesis ends that starts at `at`.
fn parentheses(text: &str, at: usize, depth: usize) -> Option<usize> {
    balanced(text, at, (b'(', b')'), depth)
}

/// Where the brace ends that starts at `at`.
fn braces(text: &str, at: usize, depth: usize) -> Option<usize> {
    balanced(text, at, (b'{', b'}'), depth)
}

fn balanced(text: &str, at: usize, (open, close): (u8, u8), depth: usize) -> Option<usize> {
    if depth > MAX_DEPTH {
        return None;
    }
    let bytes = text.as_bytes();
    let mut level = 0_usize;
    let mut at = at;
    let mut quoted = false;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 1,
            b'\'' if !quoted => at += 1 + text.get(at + 1..)?.find('\'')?,
            b'"' => quoted = !quoted,
            b'`' => at = backticks(text, at)? - 1,
            b'$' if quoted && bytes.get(at + 1) == Some(&b'(') => {
                at = parentheses(text, at + 1, depth + 1)? - 1;
            }
            _ if quoted => {}
            _ if byte == open => level += 1,
            _ if byte == close => {
                level -= 1;
                if level == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}
