//! What jobs print is not trusted: colours pass, nothing else that steers a
//! terminal does.

use unicode_width::UnicodeWidthChar;

/// Colour sequences longer than this in a row are dropped: nobody needs them.
const MAX_STYLE_BYTES: usize = 100;
const TAB: usize = 8;

/// One line of a log as text with colours (`ESC [ … m`) and without anything
/// else that moves, erases, names or asks. Tabs become spaces.
pub(super) fn sanitize(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let mut out = String::with_capacity(text.len());
    let mut column = 0;
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\u{1b}' => match chars.next() {
                Some('[') => {
                    if let Some(style) = control_sequence(&mut chars) {
                        out.push_str(&style);
                    }
                }
                // Strings for the terminal itself: titles, links, clipboard.
                Some(']' | 'P' | 'X' | '^' | '_') => skip_string(&mut chars),
                // Character sets and the like have one more letter.
                Some(' '..='/') => {
                    chars.next();
                }
                _ => {}
            },
            '\u{9b}' => {
                control_sequence(&mut chars);
            }
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => skip_string(&mut chars),
            '\t' => {
                let spaces = TAB - column % TAB;
                out.extend(std::iter::repeat_n(' ', spaces));
                column += spaces;
            }
            _ if char.is_control() || turns_direction(char) => {}
            _ => {
                out.push(char);
                column += char.width().unwrap_or(0);
            }
        }
    }
    out
}

/// Reads a control sequence to its end and gives it back if it sets colours.
fn control_sequence(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<String> {
    let mut style = String::from("\u{1b}[");
    let mut is_colour = true;
    while let Some(char) = chars.peek().copied() {
        match char {
            '0'..='9' | ';' | ':' => style.push(char),
            ' '..='/' | '<'..='?' => is_colour = false,
            '@'..='~' => {
                chars.next();
                style.push(char);
                let passes = is_colour && char == 'm' && style.len() <= MAX_STYLE_BYTES;
                return passes.then_some(style);
            }
            // No sequence after all: what follows is text.
            _ => return None,
        }
        chars.next();
    }
    None
}

/// Skips to BEL or ST; unterminated, to the end of the line.
fn skip_string(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    while let Some(char) = chars.next() {
        match char {
            '\u{7}' | '\u{9c}' => return,
            '\u{1b}' if chars.peek() == Some(&'\\') => {
                chars.next();
                return;
            }
            _ => {}
        }
    }
}

fn turns_direction(char: char) -> bool {
    matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A name from the user's file: one line, nothing that steers a terminal.
pub(crate) fn clean(text: &str) -> String {
    strip(&sanitize(text.replace('\n', " ").as_bytes()))
}

/// Sanitized text without its colours.
pub(crate) fn strip(text: &str) -> String {
    pieces(text)
        .filter(|piece| !piece.starts_with('\u{1b}'))
        .collect()
}

/// Columns that sanitized text takes.
pub(super) fn width(text: &str) -> usize {
    pieces(text)
        .filter(|piece| !piece.starts_with('\u{1b}'))
        .map(plain_width)
        .sum()
}

/// Columns that text without colours takes.
pub(crate) fn plain_width(text: &str) -> usize {
    text.chars().map(|char| char.width().unwrap_or(0)).sum()
}

/// Text without colours cut to so many columns, with `…` where it was longer.
pub(crate) fn truncate(text: &str, columns: usize) -> String {
    if plain_width(text) <= columns {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for char in text.chars() {
        let wide = char.width().unwrap_or(0);
        if used + wide + 1 > columns {
            break;
        }
        used += wide;
        out.push(char);
    }
    if columns > 0 {
        out.push('…');
    }
    out
}

/// Sanitized text cut into lines of so many columns; each begins in the colour
/// the last ended in.
pub(super) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    let mut style = Style::default();
    for piece in pieces(text) {
        if piece.starts_with('\u{1b}') {
            style.take(piece);
            push(&mut lines, piece);
            continue;
        }
        for char in piece.chars() {
            let wide = char.width().unwrap_or(0);
            if used + wide > columns && used > 0 {
                lines.push(style.current.clone());
                used = 0;
            }
            used += wide;
            push(&mut lines, char.encode_utf8(&mut [0; 4]));
        }
    }
    lines
}

fn push(lines: &mut [String], text: &str) {
    if let Some(last) = lines.last_mut() {
        last.push_str(text);
    }
}

/// The colours in force at the end of what was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Style {
    current: String,
}

impl Style {
    /// Begins `line` in the colours the lines before it left, and remembers those
    /// it leaves.
    pub(super) fn carry(&mut self, line: String) -> String {
        let begun = format!("{}{line}", self.current);
        for piece in pieces(&line).filter(|piece| piece.starts_with('\u{1b}')) {
            self.take(piece);
        }
        begun
    }

    fn take(&mut self, sequence: &str) {
        let numbers = sequence.trim_start_matches("\u{1b}[").trim_end_matches('m');
        let mut numbers = numbers.split(';').map(|number| matches!(number, "" | "0"));
        if numbers.next() == Some(true) {
            self.current.clear();
            if numbers.all(|resets| resets) {
                return;
            }
        }
        if self.current.len() + sequence.len() <= MAX_STYLE_BYTES {
            self.current.push_str(sequence);
        }
    }
}

/// Sanitized text cut into colour sequences and the text between them.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = if rest.starts_with('\u{1b}') {
            rest.find('m').map_or(rest.len(), |at| at + 1)
        } else {
            rest.find('\u{1b}').unwrap_or(rest.len())
        };
        let (piece, after) = rest.split_at(end);
        rest = after;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_colours_pass() {
        for (given, expected) in [
            ("plain", "plain"),
            ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
            (
                "\x1b[38;5;200mx\x1b[38:2::1:2:3my",
                "\x1b[38;5;200mx\x1b[38:2::1:2:3my",
            ),
            ("\x1b[2J\x1b[H\x1b[10;10Hgone", "gone"),
            ("\x1b[?25lhidden\x1b[?1049h", "hidden"),
            ("\x1b[>4;1mkeys", "keys"),
            ("\x1b]0;title\x07text", "text"),
            ("\x1b]52;c;Zm9v\x1b\\clip", "clip"),
            ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
            ("\x1bPq#0~\x1b\\sixel", "sixel"),
            ("\x1b]0;never ended", ""),
            ("\x1b(0lqqk\x1b(B", "lqqk"),
            ("\x1bcreset", "reset"),
            ("\x1b[31", ""),
            ("\x1b[3\u{1}1m", "1m"),
            ("\x1b", ""),
            ("bell\x07 back\x08space del\x7f", "bell backspace del"),
            ("\u{9b}2Jc1 \u{9d}0;title\u{9c}x", "c1 x"),
            ("a\tb", "a       b"),
            ("right\u{202e}tfel", "righttfel"),
        ] {
            assert_eq!(sanitize(given.as_bytes()), expected, "{given:?}");
        }
        assert_eq!(sanitize(b"a\xffb"), "a\u{fffd}b");
        let endless = format!("\x1b[{}mx", "1;".repeat(500));
        assert_eq!(sanitize(endless.as_bytes()), "x");
    }

    #[test]
    fn wide_letters_take_two_columns() {
        assert_eq!(truncate("日本語", 6), "日本語");
        assert_eq!(truncate("日本語", 5), "日本…");
        assert_eq!(truncate("日本語", 4), "日…");
        assert_eq!(truncate("abc", 0), "");
        assert_eq!(wrap("日本語", 5), ["日本", "語"]);
        assert_eq!(wrap("日本語", 1), ["日", "本", "語"]);
    }

    #[test]
    fn colours_go_on_over_a_wrap_and_over_lines() {
        assert_eq!(
            wrap("\x1b[31mabcd\x1b[0mef", 3),
            ["\x1b[31mabc", "\x1b[31md\x1b[0mef"]
        );
        let mut style = Style::default();
        assert_eq!(
            style.carry("\x1b[1m\x1b[31mone".into()),
            "\x1b[1m\x1b[31mone"
        );
        assert_eq!(
            style.carry("two\x1b[0m".into()),
            "\x1b[1m\x1b[31mtwo\x1b[0m"
        );
        assert_eq!(style.carry("three".into()), "three");
        assert_eq!(style.carry("\x1b[38;5;0mblack".into()), "\x1b[38;5;0mblack");
        assert_eq!(
            style.carry("still\x1b[0;m".into()),
            "\x1b[38;5;0mstill\x1b[0;m"
        );
        assert_eq!(style, Style::default());
    }
}
