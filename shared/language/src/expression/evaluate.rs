//! The tree to a value, by Ruby's rules.

use std::borrow::Cow;

use super::Lookup;
use super::lexer::{Operand, Operator};
use super::parser::Node;
use crate::pattern::Pattern;

/// What a part of an expression evaluates to.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// Unset, or `null`.
    Null,
    /// `true`, `false`, and what comparisons give.
    Bool(bool),
    /// Text.
    String(Cow<'a, str>),
    /// A pattern literal.
    Pattern(&'a Pattern),
    /// A number or a list, as only inputs can be; its text.
    Other(Cow<'a, str>),
}

/// An operator got what GitLab's raises an internal error for.
#[derive(Debug)]
pub(super) struct Unsuitable;

impl Value<'_> {
    /// False for null, false and text without anything but white space.
    #[must_use]
    pub fn is_present(&self) -> bool {
        match self {
            Value::Null => false,
            Value::Bool(value) => *value,
            Value::String(text) => !text.chars().all(char::is_whitespace),
            Value::Pattern(_) | Value::Other(_) => true,
        }
    }

    /// What `&&` and `||` ask; here an empty text counts as true.
    fn is_truthy(&self) -> bool {
        !matches!(self, Value::Null | Value::Bool(false))
    }

    fn to_text(&self) -> &str {
        match self {
            Value::Null => "",
            Value::Bool(true) => "true",
            Value::Bool(false) => "false",
            Value::String(text) | Value::Other(text) => text,
            // Ruby prints the object with its address; nothing sensible matches that.
            Value::Pattern(_) => "#<Gitlab::UntrustedRegexp>",
        }
    }
}

pub(super) fn evaluate<'a>(
    node: &'a Node,
    lookup: &'a dyn Lookup,
) -> Result<Value<'a>, Unsuitable> {
    match node {
        Node::Operand(operand) => Ok(match operand {
            Operand::Null => Value::Null,
            Operand::Bool(value) => Value::Bool(*value),
            Operand::String(text) => Value::String(Cow::Borrowed(text)),
            Operand::Pattern(pattern) => Value::Pattern(pattern),
            Operand::Variable(name) => lookup.variable(name).map_or(Value::Null, Value::String),
            Operand::Input(name) => lookup.input(name),
        }),
        Node::Not(inner) => Ok(Value::Bool(!evaluate(inner, lookup)?.is_present())),
        Node::Binary {
            operator,
            left,
            right,
        } => {
            let left = evaluate(left, lookup)?;
            match operator {
                Operator::And if !left.is_truthy() => return Ok(left),
                Operator::Or if left.is_truthy() => return Ok(left),
                _ => {}
            }
            let right = evaluate(right, lookup)?;
            Ok(match operator {
                Operator::Equals => Value::Bool(equals(&left, &right)?),
                Operator::NotEquals => Value::Bool(!equals(&left, &right)?),
                Operator::Matches => Value::Bool(matches(&left, &right)?),
                Operator::NotMatches => Value::Bool(!matches(&left, &right)?),
                Operator::And | Operator::Or | Operator::Not => right,
            })
        }
    }
}

fn equals(left: &Value<'_>, right: &Value<'_>) -> Result<bool, Unsuitable> {
    match (left, right) {
        (Value::Pattern(left), Value::Pattern(right)) => Ok(left == right),
        (Value::Pattern(_), _) => Err(Unsuitable),
        (Value::Bool(value), Value::String(text)) | (Value::String(text), Value::Bool(value)) => {
            Ok(*text == if *value { "true" } else { "false" })
        }
        _ => Ok(left == right),
    }
}

fn matches(left: &Value<'_>, right: &Value<'_>) -> Result<bool, Unsuitable> {
    match right {
        Value::Null | Value::Bool(false) => Ok(false),
        Value::Bool(true) | Value::Other(_) => Err(Unsuitable),
        Value::Pattern(pattern) => Ok(pattern.is_match(left.to_text())),
        Value::String(text) => Ok(match Pattern::literal(&text.replace("\\/", "/")) {
            Some(Ok(pattern)) => pattern.is_match(left.to_text()),
            // Reversed, but so it is: the right text is searched for the left one.
            _ => text.contains(left.to_text()),
        }),
    }
}
