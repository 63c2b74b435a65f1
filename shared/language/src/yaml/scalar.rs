//! What a plain scalar is, by the rules of Ruby's Psych (`ScalarScanner`).

use std::sync::LazyLock;

use regex::Regex;

use crate::Value;

/// A class of Ruby's that GitLab's loader refuses to make (`Date`, `Foo`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unspecified(pub String);

/// Reads an unquoted scalar.
///
/// # Errors
/// Dates and times: GitLab's loader refuses both.
pub(super) fn resolve(text: &str) -> Result<Value, Unspecified> {
    let Some(&first) = text.as_bytes().first() else {
        return Ok(Value::Null);
    };
    if text.contains('\n') {
        return Ok(string(text));
    }
    match first {
        b'0'..=b'9' | b'+' | b'-' | b'.' => number_or_time(text),
        b':' => Ok(symbol(text)),
        _ => Ok(word(text)),
    }
}

/// `!!float`: the number a scalar is, if it is one.
pub(super) fn float(text: &str) -> Option<f64> {
    match resolve(text) {
        Ok(Value::Float(value)) => Some(value),
        // As in Ruby: the nearest float.
        #[expect(clippy::cast_precision_loss)]
        Ok(Value::Int(value)) => Some(value as f64),
        Ok(Value::String(text)) if text.contains(['e', 'E']) => text.parse().ok(),
        _ => None,
    }
}

fn string(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn word(text: &str) -> Value {
    let is = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is(&["~", "null"]) {
        Value::Null
    } else if is(&["yes", "true", "on"]) {
        Value::Bool(true)
    } else if is(&["no", "false", "off"]) {
        Value::Bool(false)
    } else {
        string(text)
    }
}

/// `:word` is a symbol in Ruby; here the string without the colon.
fn symbol(text: &str) -> Value {
    let name = text.strip_prefix(':').unwrap_or(text);
    if name.is_empty() {
        return string(text);
    }
    let quoted = name
        .strip_prefix(['"', '\''])
        .and_then(|rest| rest.rfind(['"', '\'']).and_then(|end| rest.get(..end)));
    string(quoted.map_or(name, |quoted| quoted.strip_prefix(':').unwrap_or(quoted)))
}

macro_rules! pattern {
    ($name:ident, $pattern:literal) => {
        static $name: LazyLock<Regex> =
            LazyLock::new(|| Regex::new($pattern).expect("the pattern is a constant"));
    };
}

pattern!(
    TIME,
    r"^-?[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(\.[0-9]*)?([ \t]*(Z|[-+][0-9]{1,2}:?([0-9]{2})?))?$"
);
pattern!(
    DATE,
    r"^[0-9]{4}-(1[012]|0[0-9]|[0-9])-([12][0-9]|3[01]|0[0-9]|[0-9])$"
);
pattern!(
    BASE_60,
    r"^[-+]?[0-9][0-9_]*(:[0-5]?[0-9]){1,2}(\.[0-9_]*)?$"
);
pattern!(FLOAT, r"^[-+]?([0-9][0-9_,]*)?\.[0-9]*([eE][+-][0-9]+)?$");
pattern!(OCTAL, r"^[-+]?0[0-7_,]+$");
pattern!(DECIMAL, r"^[-+]?(0|[1-9]([0-9]|,[0-9]|_[0-9])*)$");
pattern!(BINARY, r"^[-+]?0b[01_]+$");
pattern!(HEXADECIMAL, r"^[-+]?0x[0-9a-fA-F_]+$");

fn number_or_time(text: &str) -> Result<Value, Unspecified> {
    // Most numbers are small and plain; the patterns take their time.
    let is_plain = text.len() < 19 && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_plain && (text == "0" || !text.starts_with('0')) {
        return Ok(text.parse().map_or_else(|_| string(text), Value::Int));
    }
    // The patterns take their time: ask them only about what they may match.
    let has = |char: u8| text.bytes().skip(1).any(|byte| byte == char);
    if has(b'-') && TIME.is_match(text) {
        return Err(Unspecified("Time".to_owned()));
    }
    if has(b'-') && DATE.is_match(text) {
        return Err(Unspecified("Date".to_owned()));
    }
    let number = if has(b':') && BASE_60.is_match(text) {
        base_60(text)
    } else if text.contains('.') {
        float_literal(text)
    } else if DECIMAL.is_match(text) {
        integer(text, "", 10)
    } else if OCTAL.is_match(text) {
        integer(text, "0", 8)
    } else if BINARY.is_match(text) {
        integer(text, "0b", 2)
    } else if HEXADECIMAL.is_match(text) {
        integer(text, "0x", 16)
    } else {
        None
    };
    Ok(number.unwrap_or_else(|| string(text)))
}

fn float_literal(text: &str) -> Option<Value> {
    let is = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is(&[".inf", "+.inf"]) {
        Some(Value::Float(f64::INFINITY))
    } else if is(&["-.inf"]) {
        Some(Value::Float(f64::NEG_INFINITY))
    } else if is(&[".nan"]) {
        Some(Value::Float(f64::NAN))
    } else if FLOAT.is_match(text) {
        digits_only(text).parse().ok().map(Value::Float)
    } else {
        None
    }
}

fn digits_only(text: &str) -> String {
    text.chars()
        .filter(|char| !matches!(char, ',' | '_'))
        .collect()
}

/// `None` where no digit is left (`0x_`) or the number is too long for us.
fn integer(text: &str, prefix: &str, radix: u32) -> Option<Value> {
    let digits = digits_only(text);
    let (sign, digits) = match digits.strip_prefix(['-', '+']) {
        Some(rest) => (if digits.starts_with('-') { "-" } else { "" }, rest),
        None => ("", digits.as_str()),
    };
    let digits = digits.strip_prefix(prefix)?;
    // `0_` is an octal zero without further digits.
    let digits = if digits.is_empty() && radix == 8 {
        "0"
    } else {
        digits
    };
    i128::from_str_radix(&format!("{sign}{digits}"), radix)
        .ok()
        .map(Value::Int)
}

/// Psych counts `a:b` as hours and minutes, like `a:b:c` without seconds; a sign
/// belongs to the first part alone.
fn base_60(text: &str) -> Option<Value> {
    let weights = [3600, 60, 1];
    let parts = text.split(':').zip(weights);
    if text.contains('.') {
        let parts = parts.map(|(part, weight)| {
            let part = digits_only(part);
            part.parse::<f64>()
                .ok()
                .map(|part| part * f64::from(weight))
        });
        return parts.sum::<Option<f64>>().map(Value::Float);
    }
    let mut sum = 0_i128;
    for (part, weight) in parts {
        let part = digits_only(part).parse::<i128>().ok()?;
        sum = sum.checked_add(part.checked_mul(i128::from(weight))?)?;
    }
    Some(Value::Int(sum))
}
