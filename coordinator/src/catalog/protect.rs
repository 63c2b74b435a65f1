//! Protected refs: which refs a pattern stands for, and who may what there.
//!
//! A ref is named in full: `refs/heads/main`, `refs/tags/v1`. A name that does
//! not begin with `refs/` is taken for a branch's; a caller who has a tag must
//! say so, because a rule may be of tags alone.
//! A pattern is of branches and tags of that name alike, unless it is written in
//! full (`refs/tags/v*`). Where several patterns fit, the most permissive counts,
//! as in GitLab.

use super::path::shortened;
use super::{Catalog, Error, Project, ProtectedRef, Role, wildcard};

const BRANCHES: &str = "refs/heads/";
const TAGS: &str = "refs/tags/";

/// Rules one project may have.
pub(super) const MOST: usize = 1000;

impl Catalog {
    /// Whether a ref (`refs/heads/main`) is protected.
    pub(crate) fn is_protected(project: &Project, reference: &str) -> bool {
        rules(project, reference).next().is_some()
    }

    /// The lowest role that may push to this ref (`refs/heads/main`): none where
    /// nobody may. Refs that nothing protects take [`Role::Developer`].
    pub(crate) fn push_role(project: &Project, reference: &str) -> Option<Role> {
        lowest(project, reference, |rule| rule.push)
    }

    /// The same for deploying from it.
    pub(super) fn deploy_role(project: &Project, reference: &str) -> Option<Role> {
        lowest(project, reference, |rule| rule.deploy)
    }
}

impl ProtectedRef {
    /// GitLab's rule for the default branch of a new project.
    pub(super) fn default_branch(branch: &str) -> ProtectedRef {
        ProtectedRef {
            pattern: branch.to_owned(),
            push: Some(Role::Maintainer),
            deploy: Some(Role::Maintainer),
        }
    }

    /// Checks a rule to be.
    ///
    /// # Errors
    /// [`Error::Invalid`]: no ref can have such a name, or a viewer is to push.
    pub(super) fn check(&self) -> Result<(), Error> {
        let short = short(&self.pattern);
        let wrong = if self.pattern.starts_with("refs/") && short.is_none() {
            Some("a full name begins with `refs/heads/` or `refs/tags/`")
        } else {
            why_no_name(short.unwrap_or(&self.pattern), Star::Allowed)
        };
        if let Some(why) = wrong {
            return Err(Error::Invalid(format!(
                "`{}` is no name or pattern of a ref: {why}",
                shortened(&self.pattern)
            )));
        }
        for (role, what) in [(self.push, "push"), (self.deploy, "deploy")] {
            if role == Some(Role::Viewer) {
                return Err(Error::Invalid(format!(
                    "a viewer cannot {what}: the lowest role for it is developer"
                )));
            }
        }
        Ok(())
    }
}

/// Checks the name of a branch to be.
///
/// # Errors
/// [`Error::Invalid`].
pub(super) fn check_branch(name: &str) -> Result<(), Error> {
    let why = if name.starts_with("refs/") {
        Some("it is written without `refs/`")
    } else {
        why_no_name(name, Star::Refused)
    };
    why.map_or(Ok(()), |why| {
        Err(Error::Invalid(format!(
            "`{}` is no name of a branch: {why}",
            shortened(name)
        )))
    })
}

fn lowest(
    project: &Project,
    reference: &str,
    role: impl Fn(&ProtectedRef) -> Option<Role>,
) -> Option<Role> {
    let mut rules = rules(project, reference).map(role).peekable();
    match rules.peek() {
        None => Some(Role::Developer),
        Some(_) => rules.flatten().min(),
    }
}

/// The rules that stand for a ref.
fn rules<'a>(project: &'a Project, reference: &str) -> impl Iterator<Item = &'a ProtectedRef> {
    let full = if reference.starts_with("refs/") {
        reference.to_owned()
    } else {
        format!("{BRANCHES}{reference}")
    };
    project.protected.iter().filter(move |rule| {
        if rule.pattern.starts_with("refs/") {
            wildcard::matches(&rule.pattern, &full)
        } else {
            // Other refs than branches and tags are not people's.
            short(&full).is_some_and(|short| wildcard::matches(&rule.pattern, short))
        }
    })
}

/// The name of a branch or tag without its folder.
fn short(full: &str) -> Option<&str> {
    full.strip_prefix(BRANCHES)
        .or_else(|| full.strip_prefix(TAGS))
}

/// Whether a name may be a pattern.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Star {
    Allowed,
    Refused,
}

/// What `git check-ref-format` would say of it.
fn why_no_name(name: &str, star: Star) -> Option<&'static str> {
    let forbidden = |c: char| {
        c.is_ascii_control()
            || matches!(c, ' ' | '~' | '^' | ':' | '?' | '[' | '\\')
            || (c == '*' && star == Star::Refused)
    };
    let wrong_part =
        |part: &str| part.is_empty() || part.starts_with('.') || part.ends_with(".lock");
    if name.is_empty() {
        Some("it is empty")
    } else if name.len() > 255 {
        Some("it is longer than 255 bytes")
    } else if name.chars().any(forbidden) {
        Some("it has a character that git allows in no ref")
    } else if name.split('/').any(wrong_part)
        || name.contains("..")
        || name.contains("@{")
        || name.ends_with('.')
        || name.starts_with('-')
        || name == "@"
    {
        Some("git allows no such ref")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(rules: &[(&str, Option<Role>, Option<Role>)]) -> Project {
        let rule = |(pattern, push, deploy): &(&str, Option<Role>, Option<Role>)| ProtectedRef {
            pattern: (*pattern).to_owned(),
            push: *push,
            deploy: *deploy,
        };
        Project {
            id: fleet_model::ProjectId(1),
            path: "group/app".into(),
            default_branch: "main".into(),
            mirror: None,
            protected: rules.iter().map(rule).collect(),
            settings: std::collections::BTreeMap::new(),
            environments: Vec::new(),
            next_iid: 1,
            created_at: 0,
        }
    }

    #[test]
    fn a_plain_pattern_is_of_branches_and_tags_and_a_full_one_of_its_kind() {
        let admin = Some(Role::Admin);
        let project = project(&[("v*", admin, admin), ("refs/tags/prod", None, None)]);
        for reference in ["v1", "refs/heads/v1", "refs/tags/v1/rc", "refs/tags/prod"] {
            assert!(Catalog::is_protected(&project, reference), "{reference}");
        }
        for reference in [
            "prod",
            "refs/heads/prod",
            "refs/heads/refs/tags/prod",
            "refs/merge-requests/v1/head",
            "refs/heads/main",
        ] {
            assert!(!Catalog::is_protected(&project, reference), "{reference}");
        }
    }

    #[test]
    fn the_most_permissive_rule_counts() {
        let project = project(&[
            ("main", Some(Role::Admin), None),
            ("m*", Some(Role::Maintainer), None),
            ("locked", None, Some(Role::Developer)),
        ]);
        let push = |reference| Catalog::push_role(&project, reference);
        assert_eq!(push("refs/heads/main"), Some(Role::Maintainer));
        assert_eq!(push("refs/heads/locked"), None);
        assert_eq!(push("refs/heads/feature"), Some(Role::Developer));
    }

    #[test]
    fn patterns_that_no_ref_can_have_are_refused() {
        for pattern in [
            "",
            "a b",
            "-x",
            "a..b",
            "refs/",
            "refs/merge-requests/*",
            "refs/heads/",
            "a/",
            "x.lock",
            "a\u{7f}",
            "@",
            &"x".repeat(256),
        ] {
            let rule = ProtectedRef::default_branch(pattern);
            assert!(rule.check().is_err(), "{pattern}");
            assert!(check_branch(pattern).is_err(), "{pattern}");
        }
        for pattern in ["*", "release/*", "refs/tags/v*", "é"] {
            assert!(ProtectedRef::default_branch(pattern).check().is_ok());
        }
        assert!(check_branch("release/*").is_err());
        let viewer = ProtectedRef {
            push: Some(Role::Viewer),
            ..ProtectedRef::default_branch("main")
        };
        assert!(viewer.check().is_err());
    }
}
