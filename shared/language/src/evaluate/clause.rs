//! `changes` and `exists`.

use std::collections::BTreeSet;

use crate::Changes;
use crate::glob::{self, Glob};

/// From here on GitLab does not compare but says yes.
const MAX_COMPARISONS: usize = 50_000;

/// Whether a changed path matches one of the globs; yes where it is not known
/// what changed.
pub(crate) fn changed(globs: &[String], changes: &Changes) -> bool {
    let Changes::Known(paths) = changes else {
        return true;
    };
    let globs: BTreeSet<&str> = globs.iter().map(String::as_str).collect();
    if globs.len().saturating_mul(paths.len()) > MAX_COMPARISONS {
        return true;
    }
    globs.into_iter().any(|text| {
        let glob = Glob::new(text);
        paths.iter().any(|path| glob.is_match(path))
    })
}

/// Whether the commit has a file that matches one of the globs.
///
/// A glob without wildcards is a path or, with a slash at its end, a folder.
/// GitLab looks for folders by bisection and often misses them; here they are
/// found.
pub(crate) fn exists(globs: &[String], paths: &BTreeSet<String>) -> bool {
    let (patterns, exact): (Vec<&String>, Vec<&String>) =
        globs.iter().partition(|glob| glob::has_wildcards(glob));
    let found = |glob: &&String| {
        if glob.ends_with('/') {
            paths
                .range(glob.to_string()..)
                .next()
                .is_some_and(|path| path.starts_with(*glob))
        } else {
            paths.contains(*glob)
        }
    };
    if exact.iter().any(found) {
        return true;
    }
    let top_level = !globs
        .iter()
        .any(|glob| glob.contains('/') || glob.contains("**"));
    let paths: Vec<&String> = paths
        .iter()
        .filter(|path| !top_level || !path.contains('/'))
        .collect();
    let (extensions, patterns): (Vec<&String>, Vec<&String>) =
        patterns.into_iter().partition(|glob| is_extension(glob));
    let any_match = |globs: &[&String]| {
        globs.iter().any(|text| {
            let glob = Glob::new(text);
            paths.iter().any(|path| glob.is_match(path))
        })
    };
    any_match(&extensions)
        || patterns.len().saturating_mul(paths.len()) > MAX_COMPARISONS
        || any_match(&patterns)
}

/// `**/*.ext`, which GitLab compares with the end of each path and does not
/// count as a comparison.
fn is_extension(glob: &str) -> bool {
    glob.strip_prefix("**/*.").is_some_and(|extension| {
        !extension.is_empty()
            && extension
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}
