//! A tree as YAML that our own loader, and GitLab's, reads back as the same tree.

use super::scalar;
use crate::{Entry, Map, Node, Value};

/// Simple keys may have 1024 characters at most, on one line.
const MAX_SIMPLE_KEY: usize = 1_000;

/// Writes a tree as a YAML document in block style, two columns a level.
///
/// Strings are quoted where they would read as something else; those with several
/// lines are written as `|` blocks where YAML allows it.
#[must_use]
pub fn to_yaml(node: &Node) -> String {
    to_yaml_with(node, &|_| None)
}

/// The same with a comment behind the key of each entry for which `comment` has one, of
/// one line.
#[must_use]
pub fn to_yaml_with(node: &Node, comment: &dyn Fn(&Entry) -> Option<String>) -> String {
    let mut out = String::new();
    block(&node.value, 0, None, comment, &mut out);
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out
}

type Comment<'c> = &'c dyn Fn(&Entry) -> Option<String>;

/// Between brackets some characters end a plain string.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Block,
    Flow,
}

/// Writes from the current column, which is `indent` or just behind a `- `, `: `; `of` is
/// the comment of what it is the value of, if that stands on the same line.
fn block(value: &Value, indent: usize, of: Option<&str>, comment: Comment<'_>, out: &mut String) {
    match value {
        Value::Map(map) if !map.entries.is_empty() => {
            for (place, entry) in map.entries.iter().enumerate() {
                if place > 0 {
                    new_line(indent, out);
                }
                block_entry(entry, indent, comment, out);
            }
        }
        Value::Seq(items) if !items.is_empty() => {
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    new_line(indent, out);
                }
                out.push_str("- ");
                block(&item.value, indent + 2, None, comment, out);
            }
        }
        Value::String(text) if is_literal(text) => literal(text, indent.max(2), of, out),
        value => {
            inline(value, Within::Block, out);
            remark(of, out);
        }
    }
}

fn remark(comment: Option<&str>, out: &mut String) {
    if let Some(comment) = comment {
        out.push_str("  # ");
        out.push_str(comment);
    }
}

fn block_entry(entry: &Entry, indent: usize, comment: Comment<'_>, out: &mut String) {
    let mut key = String::new();
    inline(&entry.key.value, Within::Block, &mut key);
    if is_simple(&entry.key.value, &key) {
        out.push_str(&key);
    } else {
        out.push_str("? ");
        out.push_str(&key);
        new_line(indent, out);
    }
    out.push(':');
    let of = comment(entry);
    let is_below = match &entry.value.value {
        Value::Map(Map { entries }) => !entries.is_empty(),
        Value::Seq(items) => !items.is_empty(),
        _ => false,
    };
    if is_below {
        remark(of.as_deref(), out);
        new_line(indent + 2, out);
    } else {
        out.push(' ');
    }
    block(&entry.value.value, indent + 2, of.as_deref(), comment, out);
}

fn new_line(indent: usize, out: &mut String) {
    // A `|` block ends its last line itself.
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out.extend(std::iter::repeat_n(' ', indent));
}

/// Writes a value on one line.
fn inline(value: &Value, within: Within, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Float(value) if value.is_nan() => out.push_str(".nan"),
        Value::Float(value) if value.is_infinite() => {
            out.push_str(if *value > 0.0 { ".inf" } else { "-.inf" });
        }
        Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
            out.push_str(&value.to_text().unwrap_or_default());
        }
        Value::String(text) => line(text, within, out),
        Value::Seq(items) => flow_list(items, out),
        Value::Reference(items) => {
            out.push_str("!reference ");
            flow_list(items, out);
        }
        Value::Map(map) => {
            out.push('{');
            for (place, entry) in map.entries.iter().enumerate() {
                if place > 0 {
                    out.push_str(", ");
                }
                let mut key = String::new();
                inline(&entry.key.value, Within::Flow, &mut key);
                if !is_simple(&entry.key.value, &key) {
                    out.push_str("? ");
                }
                out.push_str(&key);
                out.push_str(": ");
                inline(&entry.value.value, Within::Flow, out);
            }
            out.push('}');
        }
    }
}

fn flow_list(items: &[Node], out: &mut String) {
    out.push('[');
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            out.push_str(", ");
        }
        inline(&item.value, Within::Flow, out);
    }
    out.push(']');
}

fn is_simple(key: &Value, written: &str) -> bool {
    let is_scalar = !matches!(key, Value::Seq(_) | Value::Map(_) | Value::Reference(_));
    is_scalar && written.len() <= MAX_SIMPLE_KEY
}

/// A string on one line: as it is, in single quotes, or escaped in double quotes.
fn line(text: &str, within: Within, out: &mut String) {
    if text == "<<" {
        // Even quoted it would merge.
        out.push_str("!!str <<");
    } else if is_plain(text, within) {
        out.push_str(text);
    } else if text.chars().all(is_printable) {
        out.push('\'');
        out.push_str(&text.replace('\'', "''"));
        out.push('\'');
    } else {
        out.push('"');
        for char in text.chars() {
            match char {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                char if is_printable(char) => out.push(char),
                char => out.push_str(&format!("\\U{:08X}", u32::from(char))),
            }
        }
        out.push('"');
    }
}

/// Whether a string reads back without quotes. Careful rather than exact: needless
/// quotes do no harm.
fn is_plain(text: &str, within: Within) -> bool {
    let mut letters = text.chars();
    let starts_well = match letters.next() {
        Some('.') => letters
            .next()
            .is_some_and(|next| next.is_alphanumeric() || next == '/'),
        Some(first) => first.is_alphanumeric() || matches!(first, '_' | '/' | '$'),
        None => false,
    };
    let ends_plain = text.contains(": ") || text.contains(" #") || text.ends_with([':', ' ']);
    let is_bracket = |char: char| matches!(char, ',' | '[' | ']' | '{' | '}');
    starts_well
        && !ends_plain
        && text.chars().all(is_printable)
        && (within == Within::Block || !text.contains(|char| is_bracket(char) || char == ':'))
        && scalar::resolve(text).is_ok_and(|value| value == Value::String(text.to_owned()))
}

fn is_printable(char: char) -> bool {
    matches!(char, ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
        && !matches!(char, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// Whether a string can be written as a `|` block that tells its own indentation.
fn is_literal(text: &str) -> bool {
    text.contains('\n')
        && !text.starts_with([' ', '\t', '\n'])
        && text.chars().all(|char| is_printable(char) || matches!(char, '\n' | '\t'))
        // White space on a last line of its own would be taken for the end.
        && !text.ends_with([' ', '\t'])
}

fn literal(text: &str, indent: usize, of: Option<&str>, out: &mut String) {
    let body = text.strip_suffix('\n');
    out.push_str(match body {
        None => "|-",
        Some(body) if body.ends_with('\n') => "|+",
        Some(_) => "|",
    });
    remark(of, out);
    for line in body.unwrap_or(text).split('\n') {
        out.push('\n');
        if !line.is_empty() {
            out.extend(std::iter::repeat_n(' ', indent));
            out.push_str(line);
        }
    }
    out.push('\n');
}
