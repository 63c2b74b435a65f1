//! Values as text: Ruby's `to_s` and `inspect`, and JSON.

use serde_json::json;

use super::{Map, Node, Value};

impl Value {
    /// What a variable gets from a scalar: Ruby's `to_s`, as GitLab does.
    ///
    /// `None` for lists, maps and references.
    #[must_use]
    pub fn to_text(&self) -> Option<String> {
        match self {
            Value::Null => Some(String::new()),
            Value::Bool(value) => Some(value.to_string()),
            Value::Int(value) => Some(value.to_string()),
            Value::Float(value) => Some(float_text(*value)),
            Value::String(text) => Some(text.clone()),
            Value::Seq(_) | Value::Map(_) | Value::Reference(_) => None,
        }
    }

    /// Any value as Ruby's `inspect` shows it in GitLab's messages: `["a", 1, nil]`.
    #[must_use]
    pub fn inspect(&self) -> String {
        let mut out = String::new();
        inspect(self, &mut out);
        out
    }

    /// The value as JSON: keys as text, a reference as the list of its path.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => json!(value),
            Value::Int(value) => int_json(*value),
            Value::Float(value) if value.is_finite() => json!(value),
            Value::Float(value) => json!(float_text(*value)),
            Value::String(text) => json!(text),
            Value::Seq(items) | Value::Reference(items) => {
                items.iter().map(Node::to_json).collect()
            }
            Value::Map(map) => map_json(map),
        }
    }
}

impl Node {
    /// See [`Value::to_json`].
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        self.value.to_json()
    }

    /// See [`Value::inspect`].
    #[must_use]
    pub fn inspect(&self) -> String {
        self.value.inspect()
    }
}

/// JSON numbers end at 64 bits here; a longer one stays exact as a string.
fn int_json(value: i128) -> serde_json::Value {
    if let Ok(small) = i64::try_from(value) {
        json!(small)
    } else if let Ok(large) = u64::try_from(value) {
        json!(large)
    } else {
        json!(value.to_string())
    }
}

fn map_json(map: &Map) -> serde_json::Value {
    let entries = map.entries.iter().map(|entry| {
        let key = entry.key.to_text().unwrap_or_else(|| entry.key.inspect());
        (key, entry.value.to_json())
    });
    serde_json::Value::Object(entries.collect())
}

/// Ruby's `Float#to_s`: the shortest digits that read back, at least one of them
/// behind the point, with an exponent below 1e-4 and from 1e16 on.
fn float_text(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let size = value.abs();
    if size == 0.0 || (1e-4..1e16).contains(&size) {
        return with_point(value.to_string());
    }
    let digits = format!("{value:e}");
    let (mantissa, exponent) = digits.split_once('e').unwrap_or((&digits, "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{}e{sign}{exponent:0>2}", with_point(mantissa.to_owned()))
}

fn with_point(digits: String) -> String {
    if digits.contains('.') {
        digits
    } else {
        digits + ".0"
    }
}

fn inspect(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("nil"),
        Value::String(text) => inspect_text(text, out),
        Value::Seq(items) => inspect_list(items, out),
        Value::Reference(items) => {
            out.push_str("!reference ");
            inspect_list(items, out);
        }
        Value::Map(map) => {
            out.push('{');
            for (place, entry) in map.entries.iter().enumerate() {
                if place > 0 {
                    out.push_str(", ");
                }
                inspect(&entry.key.value, out);
                out.push_str("=>");
                inspect(&entry.value.value, out);
            }
            out.push('}');
        }
        Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
            out.push_str(&value.to_text().unwrap_or_default());
        }
    }
}

fn inspect_list(items: &[Node], out: &mut String) {
    out.push('[');
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            out.push_str(", ");
        }
        inspect(&item.value, out);
    }
    out.push(']');
}

fn inspect_text(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text.chars().peekable();
    while let Some(char) = rest.next() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\u{1b}' => out.push_str("\\e"),
            // Ruby escapes the hash where it would start an interpolation.
            '#' if matches!(rest.peek(), Some('{' | '$' | '@')) => out.push_str("\\#"),
            char if char.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(char))),
            char => out.push(char),
        }
    }
    out.push('"');
}
