//! Flags and values that the commands which talk to a server share.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::COMMON;

/// Which coordinator, how long to wait for it, and how to print its answer.
#[derive(Args, Clone, Debug)]
pub(crate) struct Remote {
    /// The context [default: FLEET_SERVER's, or the current one of `fleetctl context list`]
    #[arg(long, value_name = "NAME", env = "FLEET_CONTEXT", global = true, help_heading = COMMON)]
    pub(crate) context: Option<String>,
    /// Give up after this time, as 30s or 5m [default: 30s for an answer; what waits has no end]
    #[arg(long, value_name = "TIME", value_parser = duration, global = true, help_heading = COMMON)]
    pub(crate) timeout: Option<Duration>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t, global = true, help_heading = COMMON)]
    pub(crate) output: Output,
}

/// How to print what a server answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    #[default]
    Table,
    /// With all columns
    Wide,
    /// One document; one a line where something is watched
    Json,
}

/// Which project.
#[derive(Args, Clone, Debug)]
pub(crate) struct InProject {
    /// The project [default: that of this clone's remote `fleet`]
    #[arg(
        short,
        long = "project",
        id = "in_project",
        value_name = "PATH",
        env = "FLEET_PROJECT",
        global = true,
        help_heading = COMMON
    )]
    pub(crate) project: Option<String>,
}

/// What somebody may do; each may all that those above it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Reads pipelines, logs and artifacts
    Viewer,
    /// Pushes, starts, cancels and retries
    Developer,
    /// Changes the project and its variables
    Maintainer,
    /// Everything, agents and tokens included
    Admin,
}

/// `KEY=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) key: String,
    pub(crate) value: String,
}

impl std::str::FromStr for Pair {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Pair, Self::Err> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok(Pair {
                key: key.to_owned(),
                value: value.to_owned(),
            }),
            _ => Err("expected KEY=VALUE"),
        }
    }
}

/// Reads `90s`, `1h30m`, `7d`: numbers, each with its unit.
pub(super) fn duration(text: &str) -> Result<Duration, &'static str> {
    const WRONG: &str = "expected a time with units, as 30s, 5m, 1h30m or 7d";
    let mut seconds = 0_u64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let number: u64 = number.parse().map_err(|_| WRONG)?;
        let unit = match after.chars().next() {
            Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3600,
            Some('d') => 86_400,
            Some('w') => 604_800,
            _ => return Err(WRONG),
        };
        seconds = number
            .checked_mul(unit)
            .and_then(|part| seconds.checked_add(part))
            .filter(|seconds| *seconds <= 100 * 366 * 86_400)
            .ok_or("the time is longer than a hundred years")?;
        // The unit is one byte.
        rest = &after[1..];
    }
    if seconds == 0 {
        return Err(WRONG);
    }
    Ok(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, seconds) in [
            ("30s", 30),
            ("5m", 300),
            ("1h30m", 5400),
            ("7d", 604_800),
            ("2w1d", 1_296_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "5",
            "0s",
            "s",
            "-5m",
            "5 m",
            "5µ",
            "99999999999999999999s",
            "9999999999d",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn pair_is_cut_at_the_first_sign() {
        let pair: Pair = "A=b=c".parse().unwrap();
        assert_eq!((pair.key.as_str(), pair.value.as_str()), ("A", "b=c"));
        assert!("=x".parse::<Pair>().is_err() && "x".parse::<Pair>().is_err());
    }
}
