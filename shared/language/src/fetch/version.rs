//! Which release `1`, `1.2` and `~latest` mean.

use std::cmp::Ordering;

/// A released version: three numbers, and what stands behind a `-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    numbers: [u64; 3],
    pre: Option<String>,
}

impl Version {
    /// Reads `1.2.3`, `v1.2.3` or `1.2.3-rc.1+build`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Version> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let text = text.split_once('+').map_or(text, |(text, _)| text);
        let (core, pre) = match text.split_once('-') {
            Some((core, pre)) => (core, Some(pre.to_owned())),
            None => (text, None),
        };
        if pre.as_ref().is_some_and(String::is_empty) {
            return None;
        }
        let parts: Vec<u64> = core.split('.').map(number).collect::<Option<_>>()?;
        let numbers = parts.try_into().ok()?;
        Some(Version { numbers, pre })
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Version) -> Ordering {
        let numbers = self.numbers.cmp(&other.numbers);
        numbers.then_with(|| match (&self.pre, &other.pre) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(left), Some(right)) => by_identifiers(left, right),
        })
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Version) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The tag that `~latest`, `1` or `1.2` stands for: the highest release, never one
/// with a `-`. None where none fits, and for every other text, which is the name of a
/// tag, a branch or a commit.
#[must_use]
pub fn pick_version<'t>(wanted: &str, tags: impl IntoIterator<Item = &'t str>) -> Option<&'t str> {
    let wanted: Vec<u64> = if wanted == "~latest" {
        Vec::new()
    } else {
        let parts: Vec<u64> = wanted.split('.').map(number).collect::<Option<_>>()?;
        if parts.len() > 2 {
            return None;
        }
        parts
    };
    tags.into_iter()
        .filter_map(|tag| Some((Version::parse(tag)?, tag)))
        .filter(|(version, _)| version.pre.is_none() && version.numbers.starts_with(&wanted))
        // Of `1.2.3` and `v1.2.3` the same one every time.
        .max_by(|(left, one), (right, other)| left.cmp(right).then_with(|| other.cmp(one)))
        .map(|(_, tag)| tag)
}

/// The order of semantic versioning: numbers before names, numbers by value.
fn by_identifiers(left: &str, right: &str) -> Ordering {
    let key = |part: &str| match number(part) {
        Some(number) => (0, number, String::new()),
        None => (1, 0, part.to_owned()),
    };
    left.split('.').map(key).cmp(right.split('.').map(key))
}

fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_versions_mean_the_highest_release() {
        let tags = [
            "1.2.3",
            "1.10.0",
            "1.2.10",
            "2.0.0-rc.1",
            "v0.9.0",
            "nightly",
            "1.2",
            "1.2.11-pre",
        ];
        let pick = |wanted| pick_version(wanted, tags);
        assert_eq!(pick("~latest"), Some("1.10.0"));
        assert_eq!(pick("1"), Some("1.10.0"));
        assert_eq!(pick("1.2"), Some("1.2.10"));
        assert_eq!(pick("0"), Some("v0.9.0"));
        assert_eq!(pick("2"), None);
        assert_eq!(pick("1.2.3"), None, "that is a tag's name");
        assert_eq!(pick("main"), None);
        assert_eq!(pick_version("1", ["v1.0.0", "1.0.0"]), Some("1.0.0"));
    }

    #[test]
    fn versions_are_ordered_as_semantic_versioning_says() {
        let rising = [
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0",
            "1.0.1",
            "1.1.0",
        ];
        let versions = rising.map(|text| Version::parse(text).unwrap());
        assert!(versions.is_sorted());
        for text in ["1", "1.2", "1.2.3.4", "a.b.c", "1.2.3-", "", "1..2"] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }
}
