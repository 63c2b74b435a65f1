//! Times of the wire - Unix milliseconds, 0: none - for people and for programs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

/// Unix time now, in milliseconds.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// RFC 3339 in UTC; null where there is no time.
pub(crate) fn rfc3339(ms: u64) -> Value {
    match text(ms) {
        Some(text) => Value::String(text),
        None => Value::Null,
    }
}

/// RFC 3339 in UTC, to the second, for people; empty where there is no time.
pub(crate) fn moment(ms: u64) -> String {
    text(ms - ms % 1000).unwrap_or_default()
}

fn text(ms: u64) -> Option<String> {
    let ms = i64::try_from(ms).ok().filter(|ms| *ms > 0)?;
    Some(jiff::Timestamp::from_millisecond(ms).ok()?.to_string())
}

/// How long ago: `31s`, `4m`, `3h`, `5d`; empty where there is no time.
pub(crate) fn ago(ms: u64, now: u64) -> String {
    if ms == 0 {
        return String::new();
    }
    short(Duration::from_millis(now.saturating_sub(ms)))
}

/// When it will be: `in 4m`, or `over`; empty where there is no time.
pub(crate) fn ahead(ms: u64, now: u64) -> String {
    match ms {
        0 => String::new(),
        _ if ms <= now => "over".to_owned(),
        _ => format!("in {}", short(Duration::from_millis(ms - now))),
    }
}

/// How long something took, or has taken; empty where it has not begun.
pub(crate) fn took(from: u64, to: u64, now: u64) -> String {
    if from == 0 {
        return String::new();
    }
    let to = if to == 0 { now } else { to };
    crate::view::duration(Duration::from_millis(to.saturating_sub(from)))
}

/// A time in its largest unit.
fn short(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        let now = 1_800_000_000_000;
        for (seconds, shown) in [
            (0, "0s"),
            (31, "31s"),
            (252, "4m"),
            (3 * 3600 + 5, "3h"),
            (47 * 3600, "47h"),
            (5 * 86_400, "5d"),
        ] {
            assert_eq!(ago(now - seconds * 1000, now), shown);
        }
        assert_eq!(
            (ago(0, now), ago(now + 5000, now)),
            (String::new(), "0s".to_owned())
        );
        assert_eq!(ahead(now + 61_000, now), "in 1m");
        assert_eq!(ahead(now - 1, now), "over");
        assert_eq!(took(now - 62_000, 0, now), "1m02s");
        assert_eq!(took(0, 0, now), "");
    }

    #[test]
    fn programs_get_rfc_3339_or_null() {
        assert_eq!(rfc3339(1_767_323_045_123), "2026-01-02T03:04:05.123Z");
        assert_eq!(rfc3339(0), Value::Null);
        assert_eq!(rfc3339(u64::MAX), Value::Null);
        assert_eq!(moment(1_767_323_045_123), "2026-01-02T03:04:05Z");
    }
}
