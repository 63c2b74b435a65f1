//! Names made from names: slugs, job groups, deployment tiers.

use std::sync::LazyLock;

use regex::Regex;
use sha2::{Digest, Sha256};

/// The slug of a ref, a project's path or a job's name, as in
/// `CI_COMMIT_REF_SLUG`: at most 63 of `a-z0-9-`, no `-` at either end.
#[must_use]
pub fn slug(name: &str) -> String {
    let slug: String = name
        .chars()
        .flat_map(char::to_lowercase)
        .map(|c| if is_plain(c) { c } else { '-' })
        .take(63)
        .collect();
    slug.trim_matches('-').to_owned()
}

fn is_plain(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

/// `CI_ENVIRONMENT_SLUG`: at most 24 characters, begins with a letter; a suffix
/// made from the whole name keeps apart what would become the same.
#[must_use]
pub fn environment(name: &str) -> String {
    let mut slug: String = name
        .chars()
        .flat_map(char::to_lowercase)
        .map(|c| if is_plain(c) { c } else { '-' })
        .collect();
    if !slug.starts_with(|c: char| c.is_ascii_lowercase()) {
        slug.insert_str(0, "env-");
    }
    let mut squeezed = String::with_capacity(slug.len());
    for c in slug.chars() {
        if c != '-' || !squeezed.ends_with('-') {
            squeezed.push(c);
        }
    }
    if squeezed.len() <= 24 && squeezed == name {
        if squeezed.ends_with('-') {
            squeezed.pop();
        }
        return squeezed;
    }
    squeezed.truncate(17);
    if !squeezed.ends_with('-') {
        squeezed.push('-');
    }
    squeezed + &suffix(name)
}

/// The last six digits, in base 36, of the name's SHA-256.
fn suffix(name: &str) -> String {
    const BASE: u64 = 36;
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let modulus = BASE.pow(6);
    let mut rest = Sha256::digest(name.as_bytes())
        .iter()
        .fold(0_u64, |rest, &byte| {
            (rest * 256 + u64::from(byte)) % modulus
        });
    let mut digits = [b'0'; 6];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(rest % BASE) as usize];
        rest /= BASE;
    }
    digits.into_iter().map(char::from).collect()
}

/// `CI_JOB_GROUP_NAME`: the name without what tells the instances of a parallel
/// job apart.
#[must_use]
pub fn group(name: &str) -> String {
    static INSTANCE: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?:[ \t\r\n\x0B\x0C:]+(?:\[.*\]|[0-9]+[ \t\r\n\x0B\x0C:/\\]+[0-9]+)){1,3}[ \t\r\n\x0B\x0C]*$")
            .expect("the pattern is a constant")
    });
    INSTANCE.replace(name, "").into_owned()
}

/// The `deployment_tier` GitLab guesses from an environment's name.
#[must_use]
pub fn deployment_tier(environment: &str) -> &'static str {
    static TIERS: LazyLock<[(Regex, &str); 4]> = LazyLock::new(|| {
        [
            ("dev|review|trunk", "development"),
            ("test|tst|int|ac(ce|)pt|qa|qc|control|quality", "testing"),
            ("st(a|)g|mod(e|)l|pre|demo|non", "staging"),
            ("pr(o|)d|live", "production"),
        ]
        .map(|(pattern, tier)| {
            let pattern = format!("(?i){pattern}");
            (
                Regex::new(&pattern).expect("the pattern is a constant"),
                tier,
            )
        })
    });
    TIERS
        .iter()
        .find(|(pattern, _)| pattern.is_match(environment))
        .map_or("other", |(_, tier)| tier)
}
