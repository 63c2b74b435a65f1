//! Values with units.

use std::time::Duration;

const DURATIONS: [(&str, u64); 6] = [
    ("ms", 1),
    ("s", 1000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    ("w", 604_800_000),
];

const SIZES: [(&str, u64); 9] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

/// Reads a length of time: whole numbers, each with a unit, as `30s`, `1h30m`,
/// `7d`; `0` needs none.
///
/// # Errors
/// What is wrong with it, in words.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a duration like 500ms, 30s, 15m, 24h, 7d or 1h30m".to_owned();
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let (mut total, mut rest) = (0_u64, text.trim());
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let (number, after) = rest.split_at(digits(rest));
        let (unit, after) = after.split_at(letters(after));
        let (number, factor) = (number.parse::<u64>(), factor(&DURATIONS, unit));
        let (Ok(number), Some(factor)) = (number, factor) else {
            return Err(wrong());
        };
        total = number
            .checked_mul(factor)
            .and_then(|part| total.checked_add(part))
            .filter(|total| *total <= MOST_MS)
            .ok_or("more than a hundred years")?;
        rest = after.trim_start();
    }
    Ok(Duration::from_millis(total))
}

/// Longer is a mistake, and clocks could not be added to it.
const MOST_MS: u64 = 100 * 365 * 86_400_000;

/// Reads a size in bytes: a whole number with a unit, as `64MiB` (1024 · 1024) or
/// `10GB` (1000 · 1000 · 1000); without one it is bytes.
///
/// # Errors
/// What is wrong with it, in words.
pub fn size(text: &str) -> Result<u64, String> {
    let wrong = || "expected a size like 4096, 512KiB, 64MiB, 10GB".to_owned();
    let text = text.trim();
    let (number, unit) = text.split_at(digits(text));
    let unit = unit.trim_start();
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let factor = match unit {
        "" => 1,
        unit => factor(&SIZES, unit).ok_or_else(wrong)?,
    };
    number
        .checked_mul(factor)
        .ok_or_else(|| "larger than any disk".to_owned())
}

fn factor(units: &[(&str, u64)], unit: &str) -> Option<u64> {
    let found = units.iter().find(|(name, _)| *name == unit);
    found.map(|(_, factor)| *factor)
}

fn digits(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len())
}

fn letters(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_alphabetic())
        .unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        for (text, seconds) in [
            ("30s", 30),
            ("15m", 900),
            ("24h", 86_400),
            ("7d", 604_800),
            ("2w", 1_209_600),
            ("1h30m", 5400),
            ("1h 30m", 5400),
            ("0", 0),
            ("0s", 0),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for text in [
            "", " ", "30", "s", "-1s", "1.5h", "1x", "30 ", "1h30", "٣s", "s30",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
        for text in ["99999999999999999999s", "40000d", "18446744073709551615w"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("1B", 1),
            ("64MiB", 64 << 20),
            ("2 GiB", 2 << 30),
            ("10GB", 10_000_000_000),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "MiB", "-1", "1.5GB", "1 giga", "99999999999999TiB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
