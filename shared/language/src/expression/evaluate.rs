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
                Operator::Matches => Value::Bool(matches(&left, &right, lookup)?),
                Operator::NotMatches => Value::Bool(!matches(&left, &right, lookup)?),
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

fn matches(left: &Value<'_>, right: &Value<'_>, lookup: &dyn Lookup) -> Result<bool, Unsuitable> {
    match right {
        Value::Null | Value::Bool(false) => Ok(false),
        Value::Bool(true) | Value::Other(_) => Err(Unsuitable),
        Value::Pattern(pattern) => Ok(lookup.is_match(pattern, left.to_text())),
        Value::String(text) => Ok(match Pattern::literal(&text.replace("\\/", "/")) {
            Some(Ok(pattern)) => lookup.is_match(&pattern, left.to_text()),
            // Reversed, but so it is: the right text is searched for the left one.
            _ => text.contains(left.to_text()),
        }),
    }
}

/// Whether evaluating could ever fail: a pattern may come to stand left of `==`,
/// or `true` right of `=~`.
pub(super) fn may_fail(node: &Node) -> bool {
    match node {
        Node::Operand(_) => false,
        Node::Not(inner) => may_fail(inner),
        Node::Binary {
            operator,
            left,
            right,
        } => {
            let here = match operator {
                Operator::Equals | Operator::NotEquals => may_be(left, &|value| {
                    matches!(value, Node::Operand(Operand::Pattern(_)))
                }),
                Operator::Matches | Operator::NotMatches => may_be(right, &|value| match value {
                    Node::Operand(operand) => {
                        matches!(operand, Operand::Bool(_) | Operand::Input(_))
                    }
                    Node::Not(_) | Node::Binary { .. } => true,
                }),
                Operator::And | Operator::Or | Operator::Not => false,
            };
            here || may_fail(left) || may_fail(right)
        }
    }
}

/// Whether one of the nodes whose value this node hands on is of a kind.
fn may_be(node: &Node, kind: &dyn Fn(&Node) -> bool) -> bool {
    match node {
        Node::Binary {
            operator: Operator::And | Operator::Or,
            left,
            right,
        } => may_be(left, kind) || may_be(right, kind),
        node => kind(node),
    }
}
