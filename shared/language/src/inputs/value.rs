//! What an input takes: type, options, pattern.

use std::borrow::Cow;

use crate::pattern::Pattern;
use crate::{Node, Value};

/// Options of one input, at most.
pub(crate) const MAX_OPTIONS: usize = 50;

/// `type` of an input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum InputKind {
    /// Takes everything, as text.
    #[default]
    String,
    Number,
    Boolean,
    Array,
}

impl InputKind {
    /// The type of that name.
    pub(crate) fn named(name: &str) -> Option<InputKind> {
        match name {
            "string" => Some(InputKind::String),
            "number" => Some(InputKind::Number),
            "boolean" => Some(InputKind::Boolean),
            "array" => Some(InputKind::Array),
            _ => None,
        }
    }

    fn with_article(self) -> &'static str {
        match self {
            InputKind::String => "a string",
            InputKind::Number => "a number",
            InputKind::Boolean => "a boolean",
            InputKind::Array => "an array",
        }
    }

    fn takes(self, value: &Value) -> bool {
        matches!(
            (self, value),
            (InputKind::String, _)
                | (InputKind::Number, Value::Int(_) | Value::Float(_))
                | (InputKind::Boolean, Value::Bool(_))
                | (InputKind::Array, Value::Seq(_))
        )
    }

    /// The value as this type: of text that is JSON what it says, for the types that
    /// are not text.
    pub(crate) fn read(self, value: &Value) -> Cow<'_, Value> {
        match value {
            Value::String(text) if self != InputKind::String => {
                let json = serde_json::from_str(text).ok();
                json.map_or(Cow::Borrowed(value), |json| Cow::Owned(of_json(&json)))
            }
            _ => Cow::Borrowed(value),
        }
    }
}

/// What values an input takes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Constraints<'a> {
    pub(crate) kind: InputKind,
    pub(crate) options: Option<&'a [Node]>,
    pub(crate) regex: Option<&'a str>,
}

impl Constraints<'_> {
    /// What is wrong with a value, in GitLab's words; `whose` is `default` or
    /// `provided`.
    pub(crate) fn wrong(&self, value: &Value, whose: &str) -> Option<String> {
        let kind = self.kind;
        if !kind.takes(value) {
            return Some(format!("{whose} value is not {}", kind.with_article()));
        }
        let listed = |option: &Node| option.to_text() == value.to_text();
        match self.options {
            Some(_) if !matches!(kind, InputKind::String | InputKind::Number) => {
                return Some("Options can only be used with string and number inputs".to_owned());
            }
            Some(options) if !options.iter().any(listed) => {
                let list = match kind {
                    InputKind::Number => "the list of the allowed options",
                    _ => "the list of allowed options",
                };
                let value = value.to_text().unwrap_or_else(|| value.inspect());
                return Some(format!(
                    "`{value}` cannot be used because it is not in {list}"
                ));
            }
            _ => {}
        }
        let regex = self.regex?;
        if kind != InputKind::String {
            return Some("RegEx validation can only be used with string inputs".to_owned());
        }
        let text = value.to_text().unwrap_or_else(|| value.inspect());
        match Pattern::new(regex) {
            Err(_) => Some("invalid regular expression".to_owned()),
            Ok(pattern) if pattern.is_match(&text) => None,
            Ok(_) => Some(format!(
                "{whose} value does not match required RegEx pattern"
            )),
        }
    }
}

/// JSON as the loader would have read it. Spans are nobody's: the caller puts its own.
pub(crate) fn of_json(json: &serde_json::Value) -> Value {
    use crate::{Entry, FileId, Map, Span};
    let node = |value: Value| Node {
        span: Span {
            file: FileId(0),
            start: 0,
            end: 0,
        },
        value,
    };
    match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(value) => Value::Bool(*value),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(whole) => Value::Int(i128::from(whole)),
            None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        serde_json::Value::String(text) => Value::String(text.clone()),
        serde_json::Value::Array(items) => {
            Value::Seq(items.iter().map(|item| node(of_json(item))).collect())
        }
        serde_json::Value::Object(map) => Value::Map(Map {
            entries: map
                .iter()
                .map(|(key, value)| Entry {
                    key: node(Value::String(key.clone())),
                    value: node(of_json(value)),
                })
                .collect(),
        }),
    }
}
