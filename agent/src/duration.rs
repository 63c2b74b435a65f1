//! Durations as Go writes them: `1h30m`, `1.5h`, `100ms`.

use std::fmt;
use std::time::Duration;

const SECOND: u64 = 1_000_000_000;

/// A signed span of time, at most some 292 years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Its length.
    pub nanoseconds: i64,
}

impl Span {
    /// The same as an unsigned duration; `None` if it is negative.
    #[must_use]
    pub fn duration(self) -> Option<Duration> {
        u64::try_from(self.nanoseconds)
            .ok()
            .map(Duration::from_nanos)
    }
}

impl From<Duration> for Span {
    /// Saturates at the longest span.
    fn from(duration: Duration) -> Span {
        Span {
            nanoseconds: i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX),
        }
    }
}

/// Reads a duration; `None` if `text` is none. A number needs a unit, except
/// `0`.
#[must_use]
pub fn parse(text: &str) -> Option<Span> {
    let (negative, mut rest) = match text.as_bytes() {
        [b'-', ..] => (true, &text[1..]),
        [b'+', ..] => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(Span { nanoseconds: 0 });
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0u64;
    while !rest.is_empty() {
        let (term, after) = term(rest)?;
        total = total.checked_add(term)?;
        rest = after;
    }
    let nanoseconds = if negative {
        0i64.checked_sub_unsigned(total)?
    } else {
        i64::try_from(total).ok()?
    };
    Some(Span { nanoseconds })
}

/// One number with its unit.
fn term(text: &str) -> Option<(u64, &str)> {
    let (whole, rest) = digits(text);
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => digits(rest),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let end = rest
        .find(|c: char| c == '.' || c.is_ascii_digit())
        .unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(end);
    let unit = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => SECOND,
        "m" => 60 * SECOND,
        "h" => 3600 * SECOND,
        _ => return None,
    };
    let whole = if whole.is_empty() {
        0
    } else {
        whole.parse::<u64>().ok()?
    };
    // Digits beyond the eighteenth are far below a nanosecond.
    let fraction = &fraction[..fraction.len().min(18)];
    let part = match fraction.parse::<u128>() {
        Ok(number) => number * u128::from(unit) / 10u128.pow(fraction.len() as u32),
        Err(_) => 0,
    };
    let total = whole
        .checked_mul(unit)?
        .checked_add(u64::try_from(part).ok()?)?;
    Some((total, rest))
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.nanoseconds.unsigned_abs();
        if self.nanoseconds < 0 {
            f.write_str("-")?;
        }
        match length {
            0 => f.write_str("0s"),
            1..1_000 => write!(f, "{length}ns"),
            1_000..1_000_000 => write!(f, "{}µs", decimal(length, 1_000)),
            1_000_000..SECOND => write!(f, "{}ms", decimal(length, 1_000_000)),
            _ => {
                let (minutes, seconds) = (length / (60 * SECOND), length % (60 * SECOND));
                if minutes >= 60 {
                    write!(f, "{}h", minutes / 60)?;
                }
                if minutes > 0 {
                    write!(f, "{}m", minutes % 60)?;
                }
                write!(f, "{}s", decimal(seconds, SECOND))
            }
        }
    }
}

fn decimal(number: u64, unit: u64) -> String {
    let width = unit.ilog10() as usize;
    let text = format!("{}.{:0width$}", number / unit, number % unit);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Row {
        #[serde(rename = "in")]
        text: Option<String>,
        ok: Option<bool>,
        ns: Option<i64>,
        print: Option<String>,
        seconds: Option<u64>,
    }

    #[test]
    fn every_vector_reads_and_prints_as_go_does() {
        for row in
            crate::vectors::rows::<Row>(include_str!("../tests/vectors/runner-durations.txt"))
        {
            if let Some(text) = &row.text {
                let span = parse(text);
                assert_eq!(span.is_some(), row.ok == Some(true), "{text}");
                assert_eq!(span.map(|s| s.nanoseconds), row.ns, "{text}");
                assert_eq!(span.map(|s| s.to_string()), row.print, "{text}");
            }
            if let Some(seconds) = row.seconds {
                let span = Span::from(Duration::from_secs(seconds));
                assert_eq!(Some(span.to_string()), row.print);
            }
        }
    }

    #[test]
    fn fractions_print_without_trailing_zeros() {
        let text = |s| parse(s).unwrap().to_string();
        assert_eq!(text("1.5s"), "1.5s");
        assert_eq!(text("1h0.001s"), "1h0m0.001s");
        assert_eq!(text("1.2345ms"), "1.2345ms");
        assert_eq!(text("-1500us"), "-1.5ms");
    }

    #[test]
    fn numbers_of_any_length_are_refused_or_read_without_overflow() {
        assert_eq!(parse(&format!("{}s", "9".repeat(400))), None);
        assert_eq!(
            parse(&format!("0.{}s", "9".repeat(400))).map(|s| s.nanoseconds),
            Some(999_999_999)
        );
        assert_eq!(parse(&"2562047h".repeat(3)), None);
        assert_eq!(
            parse("-9223372036854775808ns").map(|s| s.nanoseconds),
            Some(i64::MIN)
        );
    }
}
