//! `changes` and `exists`.

use std::collections::BTreeSet;

use crate::Changes;
use crate::glob::{self, Glob};

/// From here on GitLab does not compare but says yes.
const MAX_COMPARISONS: usize = 50_000;

/// Whether a changed path matches one of the globs; yes where it is not known
/// what changed.
pub(crate) fn changed(globs: &[String], changes: &Changes) -> bool {
    changed_by(globs, changes, |text| {
        let glob = Glob::new(text);
        match changes {
            Changes::Unknown => true,
            Changes::Known(paths) => paths.iter().any(|path| glob.is_match(path)),
        }
    })
}

/// The same; `matches` tells whether a changed path matches a glob.
pub(super) fn changed_by(
    globs: &[String],
    changes: &Changes,
    matches: impl Fn(&str) -> bool,
) -> bool {
    let Changes::Known(paths) = changes else {
        return true;
    };
    let globs: BTreeSet<&str> = globs.iter().map(String::as_str).collect();
    globs.len().saturating_mul(paths.len()) > MAX_COMPARISONS || globs.into_iter().any(matches)
}

/// Whether the commit has a file that matches one of the globs.
pub(crate) fn exists(globs: &[String], paths: &BTreeSet<String>) -> bool {
    exists_by(globs, paths, |text| {
        let glob = Glob::new(text);
        paths.iter().any(|path| glob.is_match(path))
    })
}

/// The same; `matches` tells whether a file matches a glob.
///
/// A glob without wildcards is a path or, with a slash at its end, a folder.
/// GitLab looks for folders by bisection and often misses them; here they are
/// found.
pub(super) fn exists_by(
    globs: &[String],
    paths: &BTreeSet<String>,
    matches: impl Fn(&str) -> bool,
) -> bool {
    let (patterns, exact): (Vec<&String>, Vec<&String>) =
        globs.iter().partition(|glob| glob::has_wildcards(glob));
    let is_there = |glob: &&String| {
        if glob.ends_with('/') {
            paths
                .range(glob.to_string()..)
                .next()
                .is_some_and(|path| path.starts_with(*glob))
        } else {
            paths.contains(*glob)
        }
    };
    if exact.iter().any(is_there) {
        return true;
    }
    let (extensions, patterns): (Vec<&String>, Vec<&String>) =
        patterns.into_iter().partition(|glob| is_extension(glob));
    if extensions.iter().any(|glob| matches(glob)) {
        return true;
    }
    // Where no glob can match deeper, GitLab lists the top level alone.
    let top_level = !globs
        .iter()
        .any(|glob| glob.contains('/') || glob.contains("**"));
    let counted = |path: &&String| !top_level || !path.contains('/');
    let too_many = !patterns.is_empty()
        && paths
            .iter()
            .filter(counted)
            .count()
            .saturating_mul(patterns.len())
            > MAX_COMPARISONS;
    too_many || patterns.iter().any(|glob| matches(glob))
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
