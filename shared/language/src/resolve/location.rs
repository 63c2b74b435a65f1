//! What the text of an include says: an address, a file's name, a pattern.

use regex::Regex;

/// Longer than any path.
const MAX_GLOB: usize = 4096;

/// Whether GitLab takes a bare text for a remote file.
pub(super) fn is_url(location: &str) -> bool {
    ["http://", "https://", "git://", "ssh://"]
        .iter()
        .any(|scheme| {
            location
                .get(..scheme.len())
                .is_some_and(|it| it.eq_ignore_ascii_case(scheme))
        })
}

/// Whether a remote file may have the address at all: one of the schemes, and a host.
pub(super) fn is_address(location: &str) -> bool {
    is_url(location)
        && location.split_once("://").is_some_and(|(_, rest)| {
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            let host = authority.rsplit('@').next().unwrap_or_default();
            !host.is_empty() && !host.starts_with(':') && !rest.contains(char::is_whitespace)
        })
}

/// Whether a project could have the path: in a group, with GitLab's letters alone.
pub(super) fn is_project_path(path: &str) -> bool {
    let fits = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    let is_part = |part: &str| !part.is_empty() && part.chars().all(fits);
    path.contains('/') && path.split('/').all(is_part)
}

/// Whether the name ends in `.yml` or `.yaml` behind something else.
pub(super) fn has_yaml_extension(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.rsplit_once('.').is_some_and(|(stem, extension)| {
        !stem.is_empty()
            && ["yml", "yaml"]
                .iter()
                .any(|known| extension.eq_ignore_ascii_case(known))
    })
}

/// GitLab's globs of includes: `*`, `**/` and `**`, nothing else. None: no path
/// can match.
pub(super) fn wildcard(glob: &str) -> Option<Regex> {
    if glob.len() > MAX_GLOB {
        return None;
    }
    let pattern = regex::escape(glob)
        .replace(r"\*\*/", "(?:.*/)?")
        .replace(r"\*\*", ".*")
        .replace(r"\*", "[^/]*");
    Regex::new(&format!("^{pattern}$")).ok()
}
