//! What tags do to values: `!!str`, `!!binary`, `!reference`, Ruby's objects.

use super::{base64, scalar};
use crate::Value;

/// `!!str`.
pub(super) const STR: &str = "tag:yaml.org,2002:str";
/// `!reference`.
pub(super) const REFERENCE: &str = "!reference";

/// Why a tagged or plain value cannot be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// GitLab's loader refuses this class.
    Class(String),
    /// `!!float` on something else; the text.
    Float(String),
    /// `!reference` on something that is no list, in Ruby's words.
    Reference(String),
}

/// The value of a scalar. A tag the loader does not know leaves what the text is
/// without it, and without its quotes, as Psych does.
pub(super) fn scalar(text: &str, plain: bool, tag: Option<&str>) -> Result<Value, Problem> {
    let string = || Ok(Value::String(text.to_owned()));
    let resolve = || scalar::resolve(text).map_err(|class| Problem::Class(class.0));
    let Some(tag) = tag else {
        return if plain { resolve() } else { string() };
    };
    match tag {
        STR | "!str" | "!ruby/string" | "!ruby/sym" | "!ruby/symbol" => string(),
        "!binary" | "tag:yaml.org,2002:binary" => Ok(Value::String(base64::decode(text))),
        "!float" | "tag:yaml.org,2002:float" => match scalar::float(text) {
            Some(value) => Ok(Value::Float(value)),
            None => Err(Problem::Float(text.to_owned())),
        },
        REFERENCE => Err(Problem::Reference(format!("{text:?}"))),
        _ => match ruby_class(tag) {
            Some(class) => Err(Problem::Class(class)),
            None => resolve(),
        },
    }
}

/// What is wrong with a tag on a map, which `inspect` shows.
pub(super) fn map(tag: &str, inspect: impl FnOnce() -> String) -> Option<Problem> {
    match tag {
        "!set" | "tag:yaml.org,2002:set" => Some(Problem::Class("Psych::Set".to_owned())),
        REFERENCE => Some(Problem::Reference(inspect())),
        _ => list(tag),
    }
}

/// What is wrong with a tag on a list.
pub(super) fn list(tag: &str) -> Option<Problem> {
    match tag {
        "!omap" | "tag:yaml.org,2002:omap" => Some(Problem::Class("Psych::Omap".to_owned())),
        _ => ruby_class(tag).map(Problem::Class),
    }
}

/// `Foo` of `!ruby/object:Foo`, `Regexp` of `!ruby/regexp`.
fn ruby_class(tag: &str) -> Option<String> {
    let object = tag.strip_prefix("!ruby/")?;
    if let Some((_, class)) = object
        .split_once(':')
        .filter(|(_, class)| !class.is_empty())
    {
        return Some(class.to_owned());
    }
    let mut letters = object.trim_end_matches(':').chars();
    let first = letters.next()?;
    Some(first.to_uppercase().chain(letters).collect())
}
