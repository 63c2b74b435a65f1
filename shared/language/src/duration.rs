//! Durations in natural language (`1h 30m`, `2 days and 3 hours`, `3:41`), as GitLab's
//! duration library reads them.

use std::fmt;
use std::sync::LazyLock;

use regex::Regex;

/// Why a text is no duration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// A word that is neither number nor unit.
    Word(String),
    /// Nothing in it, or zero: GitLab refuses both.
    Nothing,
    /// A clock with more than six parts.
    Clock,
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Word(word) => {
                write!(
                    formatter,
                    "An invalid word {word:?} was used in the string to be parsed."
                )
            }
            Error::Nothing => formatter.write_str("the duration is empty or zero"),
            Error::Clock => formatter.write_str("a clock has at most six parts"),
        }
    }
}

impl std::error::Error for Error {}

/// The units in the order a clock counts them from its end; weeks have no place there.
const CLOCK: [&str; 6] = ["seconds", "minutes", "hours", "days", "months", "years"];

static NUMBER: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[0-9]*\.?[0-9]+").expect("the pattern is a constant"));
static CLOCK_TEXT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"[0-9]*\.?[0-9]+(:[0-9]*\.?[0-9]+)+").expect("the pattern is a constant")
});

/// Reads a duration; the result is in seconds, more than zero and finite.
///
/// A number without a unit is in seconds. A month has 30 days, a year 365.25.
///
/// # Errors
/// See [`Error`]. `never` is a word like any other here.
pub fn parse(text: &str) -> Result<f64, Error> {
    let words = spell_out(&text.to_lowercase());
    let spaced = NUMBER.replace_all(&unclock(&words)?, " $0 ").into_owned();
    let mut sum = 0.0;
    // A unit without a number before it counts only at the very start: `day`.
    let mut number: Option<f64> = None;
    let mut is_first = true;
    for word in spaced.split_whitespace() {
        if NUMBER.is_match(word) {
            // The library drops a number that another one follows: `30 1h` is an hour.
            number = word.parse().ok();
        } else {
            let stripped = word.strip_prefix(',').unwrap_or(word);
            let stripped = stripped.strip_suffix(',').unwrap_or(stripped);
            if let Some(unit) = unit_seconds(stripped) {
                let count = number.take().or(is_first.then_some(1.0));
                sum += count.unwrap_or(0.0) * unit;
            } else if matches!(stripped, "and" | "with" | "plus") {
                continue;
            } else {
                return Err(Error::Word(word.to_owned()));
            }
        }
        is_first = false;
    }
    sum += number.unwrap_or(0.0);
    if sum > 0.0 && sum.is_finite() {
        Ok(sum)
    } else {
        Err(Error::Nothing)
    }
}

fn unit_seconds(word: &str) -> Option<f64> {
    Some(match word {
        "seconds" | "second" | "secs" | "sec" | "s" => 1.0,
        "minutes" | "minute" | "mins" | "min" | "m" => 60.0,
        "hours" | "hour" | "hrs" | "hr" | "h" => 3_600.0,
        "days" | "day" | "dy" | "d" => 86_400.0,
        "weeks" | "week" | "wks" | "wk" | "w" => 604_800.0,
        "months" | "month" | "mos" | "mo" => 2_592_000.0,
        "years" | "year" | "yrs" | "yr" | "y" => 31_557_600.0,
        _ => return None,
    })
}

/// `1:02:03` as `1 hours 02 minutes 03 seconds`.
fn unclock(text: &str) -> Result<String, Error> {
    let joined: String = text.chars().filter(|char| *char != ' ').collect();
    if !CLOCK_TEXT.is_match(&joined) {
        return Ok(text.to_owned());
    }
    let parts: Vec<&str> = joined.split(':').collect();
    let units = CLOCK.get(..parts.len()).ok_or(Error::Clock)?;
    let spelled = parts
        .iter()
        .zip(units.iter().rev())
        .map(|(part, unit)| format!("{part} {unit} "));
    Ok(spelled.collect())
}

/// Number words as digits: `twenty one` is 21, `two hundred and five` 205. `a half`
/// becomes a fraction, which is then refused.
fn spell_out(text: &str) -> String {
    let text = text.replace("a half", "1/2");
    let words: Vec<&str> = text.split_whitespace().flat_map(hyphenated).collect();
    let mut out: Vec<String> = Vec::with_capacity(words.len());
    let mut rest = words.as_slice();
    while let Some((word, tail)) = rest.split_first() {
        let (text, tail) = match number_phrase(rest) {
            Some((value, tail)) => (value.to_string(), tail),
            None => ((*word).to_owned(), tail),
        };
        out.push(text);
        rest = tail;
    }
    out.join(" ")
}

/// `twenty-one` as its words; anything else as it is.
fn hyphenated(word: &str) -> Vec<&str> {
    let parts: Vec<&str> = word.split('-').collect();
    let all_numbers = parts
        .iter()
        .all(|part| small(part).is_some() || big(part).is_some());
    if all_numbers { parts } else { vec![word] }
}

/// The number that words begin with, and the words behind it.
fn number_phrase<'a, 'b>(words: &'a [&'b str]) -> Option<(f64, &'a [&'b str])> {
    let (mut whole, mut group) = (0.0, None);
    // What the next small number must stay below to belong to this one.
    let mut room = f64::INFINITY;
    let mut rest = words;
    loop {
        let joins = rest.first() == Some(&"and") && (100.0..f64::INFINITY).contains(&room);
        let at = usize::from(joins);
        let Some(word) = rest.get(at) else { break };
        if let Some(value) = small(word).filter(|value| *value < room) {
            group = Some(group.unwrap_or(0.0) + value);
            room = if value >= 20.0 { 10.0 } else { 0.0 };
        } else if let Some(factor) = big(word).filter(|_| !joins) {
            let value = group.take().unwrap_or(1.0) * factor;
            if factor > 100.0 {
                whole += value;
            } else {
                group = Some(value);
            }
            room = factor;
        } else if rest.len() == words.len() && rest.get(1).is_some_and(|next| big(next).is_some()) {
            let is_digits = word.bytes().all(|byte| byte.is_ascii_digit());
            group = Some(word.parse().ok().filter(|_| is_digits)?);
            room = 0.0;
        } else {
            break;
        }
        rest = &rest[at + 1..];
    }
    (rest.len() < words.len()).then_some((whole + group.unwrap_or(0.0), rest))
}

fn small(word: &str) -> Option<f64> {
    const ONES: [&str; 20] = [
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
    ];
    const TENS: [&str; 8] = [
        "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
    ];
    let place = |words: &[&str], first: u8, step: u8| {
        let at = words.iter().position(|known| *known == word)?;
        Some(f64::from(first) + f64::from(u8::try_from(at).ok()?) * f64::from(step))
    };
    place(&ONES, 0, 1).or_else(|| place(&TENS, 20, 10))
}

fn big(word: &str) -> Option<f64> {
    match word {
        "hundred" => Some(1e2),
        "thousand" => Some(1e3),
        "million" => Some(1e6),
        "billion" => Some(1e9),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VECTORS: &str = include_str!("../tests/vectors/durations.txt");

    #[test]
    fn durations_read_as_in_gitlab() {
        let mut wrong = Vec::new();
        for row in VECTORS.lines().filter(|row| !row.starts_with('#')) {
            let row: serde_json::Value = serde_json::from_str(row).unwrap();
            let text = row["text"].as_str().unwrap();
            let expected = match row["error"].as_str() {
                Some(error) => Err(error.to_owned()),
                None => row["seconds"]
                    .as_f64()
                    .ok_or_else(|| Error::Nothing.to_string()),
            };
            let read = parse(text).map_err(|error| error.to_string());
            if read != expected {
                wrong.push(format!("{text:?}: {read:?}, not {expected:?}"));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn number_words_add_up() {
        for (text, seconds) in [
            ("two hundred and five seconds", 205.0),
            ("twenty-one minutes", 1_260.0),
            ("2 hundred s", 200.0),
            ("one thousand two hundred seconds", 1_200.0),
            ("one hour and thirty minutes", 5_400.0),
            ("day", 86_400.0),
        ] {
            assert_eq!(parse(text), Ok(seconds), "{text}");
        }
    }

    #[test]
    fn absurd_numbers_are_no_duration() {
        assert!(parse(&"9".repeat(400)).is_err());
        assert_eq!(parse("1:1:1:1:1:1:1"), Err(Error::Clock));
    }

    proptest::proptest! {
        #[test]
        fn any_text_gives_a_positive_duration_or_an_error(text in "([0-9.:, -]|one|twenty|hundred|and|h|day|é){0,12}") {
            if let Ok(seconds) = parse(&text) {
                proptest::prop_assert!(seconds > 0.0 && seconds.is_finite());
            }
        }
    }
}
