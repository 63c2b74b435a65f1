//! The paths of groups and projects: which may be, by GitLab's rules.

use super::Error;

/// The longest path.
pub(super) const LONGEST: usize = 255;

/// What no group at the top may be called: pages and APIs begin so (GitLab's list).
const TOP: &[&str] = &[
    ".well-known",
    "404.html",
    "422.html",
    "500.html",
    "502.html",
    "503.html",
    "admin",
    "api",
    "apple-touch-icon.png",
    "assets",
    "dashboard",
    "deploy.html",
    "explore",
    "favicon.ico",
    "favicon.png",
    "files",
    "groups",
    "health_check",
    "help",
    "import",
    "jwt",
    "login",
    "oauth",
    "profile",
    "projects",
    "public",
    "robots.txt",
    "s",
    "search",
    "sitemap",
    "sitemap.xml",
    "sitemap.xml.gz",
    "slash-command-logo.png",
    "snippets",
    "unsubscribes",
    "uploads",
    "users",
    "v2",
];

/// What nothing below a group may be called: a project's pages are (GitLab's list).
const BELOW: &[&str] = &[
    "badges",
    "blame",
    "blob",
    "builds",
    "commits",
    "create",
    "create_dir",
    "edit",
    "files",
    "find_file",
    "info",
    "new",
    "preview",
    "raw",
    "refs",
    "tree",
    "update",
    "wikis",
];

/// Checks the path of a group to be.
///
/// # Errors
/// [`Error::Invalid`], with the part that is wrong.
pub(super) fn check_group(path: &str) -> Result<(), Error> {
    if path.is_empty() {
        return Err(Error::Invalid("a group needs a path: `group`".into()));
    }
    check(path)
}

/// Checks the path of a project to be: it is in a group.
///
/// # Errors
/// [`Error::Invalid`], with the part that is wrong.
pub(super) fn check_project(path: &str) -> Result<(), Error> {
    if parent(path).is_empty() {
        return Err(Error::Invalid(format!(
            "`{}` is no path of a project: a project is in a group, `group/name`",
            shortened(path)
        )));
    }
    check(path)
}

/// Checks the name of a user.
///
/// # Errors
/// [`Error::Invalid`].
pub(super) fn check_user(name: &str) -> Result<(), Error> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let allowed = |c: char| is_word(c) || c == '-' || c == '.';
    if name.len() <= LONGEST && name.starts_with(is_word) && name.chars().all(allowed) {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "`{}` is no name of a user: it can contain only letters, digits, '_', '-' and '.', \
         begins with none of the last two, and has at most 255 characters",
        shortened(name)
    )))
}

/// The path of the group something is in; empty for what is at the top.
pub(super) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// A path and all those above it, the top first.
pub(super) fn lineage(path: &str) -> impl Iterator<Item = &str> {
    let ends = path.match_indices('/').map(|(at, _)| at);
    ends.chain((!path.is_empty()).then_some(path.len()))
        .map(|end| &path[..end])
}

fn check(path: &str) -> Result<(), Error> {
    let wrong = |why: &str| {
        Err(Error::Invalid(format!(
            "`{}` cannot be a path: {why}",
            shortened(path)
        )))
    };
    if path.len() > LONGEST {
        return wrong("it is longer than 255 characters");
    }
    for (place, segment) in path.split('/').enumerate() {
        if let Err(why) = check_segment(place, segment) {
            return wrong(&why);
        }
    }
    Ok(())
}

fn check_segment(place: usize, segment: &str) -> Result<(), String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if segment.is_empty() {
        return Err("a part of it is empty".into());
    }
    let lower = segment.to_ascii_lowercase();
    let reserved = if place == 0 { TOP } else { BELOW };
    // Calls of gRPC have paths of their own beside those of repositories.
    let is_service = place == 0 && (lower.starts_with("fleet.") || lower.starts_with("grpc."));
    if segment == "-" || reserved.contains(&lower.as_str()) || is_service {
        return Err(format!("`{segment}` is a reserved name"));
    }
    let allowed = |c: char| is_word(c) || c == '-' || c == '.';
    let bad_end = |end: &str| lower.ends_with(end);
    if !segment.chars().all(allowed)
        || !segment.starts_with(is_word)
        || [".", "-", ".git", ".atom"].into_iter().any(bad_end)
    {
        return Err(format!(
            "`{segment}` can contain only letters, digits, '_', '-' and '.'; it cannot start \
             with '-' or '.', and cannot end in '-', '.', '.git' or '.atom'"
        ));
    }
    Ok(())
}

/// As much of what somebody wrote as a message needs.
pub(super) fn shortened(text: &str) -> String {
    const SHOWN: usize = 100;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_gitlabs() {
        for path in [
            "group/app",
            "a/b/c",
            "A_1/x.y-z",
            "_a/_b",
            "0/1",
            "group/v2",
        ] {
            assert!(check_project(path).is_ok(), "{path}");
        }
        let long = format!("g/{}", "x".repeat(253));
        assert!(check_project(&long).is_ok());
        for path in [
            "",
            "app",
            "/app",
            "group/",
            "group//app",
            "-/app",
            "group/-",
            "group/-app",
            "group/app-",
            "group/.app",
            "group/app.",
            "group/app.git",
            "group/app.GIT",
            "group/app.atom",
            "group/a b",
            "group/é",
            "group/..",
            "group/a\n",
            "api/app",
            "API/app",
            "v2/app",
            "group/refs",
            "fleet.v1.ProjectService/app",
            &format!("{long}x"),
        ] {
            let Err(Error::Invalid(why)) = check_project(path) else {
                panic!("{path} passed");
            };
            assert!(why.len() < 400, "{why}");
        }
    }

    #[test]
    fn a_lineage_begins_at_the_top() {
        assert_eq!(lineage("a/b/c").collect::<Vec<_>>(), ["a", "a/b", "a/b/c"]);
        assert_eq!(lineage("").count(), 0);
    }
}
