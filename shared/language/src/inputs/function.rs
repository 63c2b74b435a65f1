//! The functions of a block: `$[[ inputs.x | truncate(0,8) | posix_escape ]]`.

use std::sync::LazyLock;

use regex::Regex;

use crate::Value;
use crate::variables::Index;

/// Functions of one block, at most.
const MAX: usize = 3;

static TRUNCATE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^truncate\(\s*([0-9]+)\s*,\s*([0-9]+)\s*\)$").expect("the pattern is constant")
});

/// Applies the functions in order.
///
/// # Errors
/// GitLab's sentence about the first that cannot be applied.
pub(super) fn apply(
    names: &[&str],
    mut value: Value,
    variables: &Index<'_>,
) -> Result<Value, String> {
    if names.len() > MAX {
        return Err("too many functions in interpolation block".to_owned());
    }
    for name in names {
        value = Value::String(one(name, &value, variables)?);
    }
    Ok(value)
}

fn one(call: &str, value: &Value, variables: &Index<'_>) -> Result<String, String> {
    let truncate = TRUNCATE.captures(call);
    let name = match call {
        "expand_vars" | "posix_escape" => call,
        _ if truncate.is_some() => "truncate",
        _ => {
            return Err(format!(
                "no function matching `{call}`: check that the function name, arguments, and \
                 types are correct"
            ));
        }
    };
    let Value::String(text) = value else {
        return Err(format!(
            "error in `{name}` function: invalid input type: {name} can only be used with string \
             inputs"
        ));
    };
    match truncate {
        Some(found) => {
            // A number that is too long is behind the end of any text.
            let number = |at| found.get(at).and_then(|it| it.as_str().parse().ok());
            let (from, count) = (number(1), number(2));
            let from = from.unwrap_or(usize::MAX);
            let count = count.unwrap_or(usize::MAX);
            Ok(text.chars().skip(from).take(count).collect())
        }
        None if name == "posix_escape" => Ok(posix_escape(text)),
        None => variables.expand_unmasked(text).map_err(|error| {
            format!("error in `{name}` function: variable expansion error: {error}")
        }),
    }
}

/// Ruby's `Shellwords.escape`.
fn posix_escape(text: &str) -> String {
    if text.is_empty() {
        return "''".to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\n' => out.push_str("'\n'"),
            _ => {
                if !char.is_ascii_alphanumeric() && !"_-.,:+/@".contains(char) {
                    out.push('\\');
                }
                out.push(char);
            }
        }
    }
    out
}
