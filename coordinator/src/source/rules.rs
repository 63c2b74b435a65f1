//! Who may push what: decided for a whole push before git sees any of it.

use std::collections::HashSet;

use super::names::{self, Kind};
use super::push::{Command, MOST_COMMANDS, Push, Refusal};
use crate::catalog::{Catalog, Project, Role};

/// Why the commands of a push are refused, in their order; none of them is: it may
/// go on. `sets_variables` says whether its options set variables of a pipeline.
pub(super) fn refusals(
    push: &Push,
    project: &Project,
    role: Role,
    sets_variables: bool,
) -> Option<Vec<Option<Refusal>>> {
    let mut seen = HashSet::new();
    let found: Vec<Option<Refusal>> = push
        .commands
        .iter()
        .map(|command| {
            if !seen.insert(&command.reference) {
                return Some(refusal("named twice", "A push moves a ref once."));
            }
            refused(command, project, role)
                .or_else(|| without_variables(command, project, role, sets_variables))
        })
        .collect();
    if push.commands.len() > MOST_COMMANDS {
        let advice =
            format!("A push may move {MOST_COMMANDS} refs at once: push some of them first.");
        let all = || Some(refusal("too many refs", advice.as_str()));
        return Some(push.commands.iter().map(|_| all()).collect());
    }
    found.iter().any(Option::is_some).then_some(found)
}

fn refused(command: &Command, project: &Project, role: Role) -> Option<Refusal> {
    let shown: String = names::short(&command.reference).chars().take(100).collect();
    let shown = super::git::visible(&shown);
    if let Err(why) = names::check(&command.reference) {
        return Some(refusal(
            "refused name",
            format!("{shown} {why}. Push it under another name."),
        ));
    }
    let (kind, _) = names::kind_and_short(&command.reference)?;
    if command.removes() && kind == Kind::Branch && shown == project.default_branch {
        return Some(refusal(
            "default branch",
            format!("{shown} is the default branch: it cannot be deleted."),
        ));
    }
    if !Catalog::is_protected(project, &command.reference) {
        return None;
    }
    let path = &project.path;
    match Catalog::push_role(project, &command.reference) {
        None => Some(refusal(
            "protected: nobody may push",
            format!(
                "{shown} is protected: nobody may push to it. Push a branch of another name. A \
                 maintainer may change that: fleetctl project protect {shown} --push ROLE -p {path}"
            ),
        )),
        Some(needed) if role < needed => Some(refusal(
            format!("protected: takes a {needed}"),
            format!(
                "{shown} is protected: to push to it takes the role {needed}, and you are \
                 {role}. Push a branch of another name, or ask a maintainer of {path}."
            ),
        )),
        Some(_) if command.removes() => Some(refusal(
            "protected: cannot be deleted",
            format!("{shown} is protected: it cannot be deleted by a push."),
        )),
        Some(_) if kind == Kind::Tag && !command.makes() => Some(refusal(
            "protected: cannot be moved",
            format!(
                "{shown} is a protected tag: it stays where it is. Push a tag of another name."
            ),
        )),
        Some(_) => None,
    }
}

/// Variables decide what a pipeline does: on a protected ref they take more.
fn without_variables(
    command: &Command,
    project: &Project,
    role: Role,
    sets_variables: bool,
) -> Option<Refusal> {
    let allowed = may_set_variables(project, &command.reference, role);
    (sets_variables && !allowed).then(|| {
        refusal(
            "insufficient permissions to set pipeline variables",
            "Variables for the pipeline of a protected ref take the role maintainer. Push without \
             -o ci.variable.",
        )
    })
}

/// Whether somebody may create a pipeline of this ref, and set variables for it; `who`
/// comes before their role: `you are`.
///
/// # Errors
/// They may not, in words.
pub(super) fn may_create(
    project: &Project,
    reference: &str,
    role: Role,
    sets_variables: bool,
    who: &str,
) -> Result<(), String> {
    let short = names::short(reference);
    match Catalog::push_role(project, reference) {
        Some(needed) if role >= needed => {}
        needed => {
            let takes = needed.map_or_else(
                || "nobody may".to_owned(),
                |needed| format!("it takes the role {needed}, and {who} {role}"),
            );
            return Err(format!(
                "{short} is protected: to create a pipeline for it, {takes}"
            ));
        }
    }
    if sets_variables && !may_set_variables(project, reference, role) {
        return Err(format!(
            "Insufficient permissions to set pipeline variables: {short} is protected, so that \
             takes the role maintainer, and {who} {role}"
        ));
    }
    Ok(())
}

/// Whether somebody may set variables of a pipeline of this ref.
pub(super) fn may_set_variables(project: &Project, reference: &str, role: Role) -> bool {
    let needed = if Catalog::is_protected(project, reference) {
        Role::Maintainer
    } else {
        Role::Developer
    };
    role >= needed
}

fn refusal(reason: impl Into<String>, advice: impl Into<String>) -> Refusal {
    Refusal {
        reason: reason.into(),
        advice: Some(advice.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use fleet_model::ProjectId;

    use super::*;
    use crate::catalog::ProtectedRef;
    use crate::source::packet;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
    const NONE: &str = "0000000000000000000000000000000000000000";

    fn project() -> Project {
        let rule = |pattern: &str, push| ProtectedRef {
            pattern: pattern.to_owned(),
            push,
            deploy: None,
        };
        Project {
            id: ProjectId(1),
            path: "group/app".to_owned(),
            default_branch: "main".to_owned(),
            mirror: None,
            protected: vec![
                rule("main", Some(Role::Maintainer)),
                rule("frozen", None),
                rule("refs/tags/v*", Some(Role::Developer)),
            ],
            settings: BTreeMap::new(),
            environments: Vec::new(),
            next_iid: 1,
            created_at: 0,
        }
    }

    /// The reasons for a push of these commands.
    fn reasons(role: Role, commands: &[(&str, &str, &str)], variables: bool) -> Vec<String> {
        let mut request = Vec::new();
        for (old, new, name) in commands {
            packet::line(&mut request, format!("{old} {new} {name}").as_bytes());
        }
        packet::flush(&mut request);
        let push = Push::read(&request).unwrap().unwrap();
        refusals(&push, &project(), role, variables)
            .unwrap_or_default()
            .into_iter()
            .map(|refusal| refusal.map(|it| it.reason).unwrap_or_default())
            .collect()
    }

    #[test]
    fn who_may_push_where_is_followed() {
        use Role::{Developer, Maintainer};
        for (role, old, new, name, reason) in [
            (Developer, A, B, "refs/heads/feature", ""),
            (Developer, A, NONE, "refs/heads/feature", ""),
            (
                Developer,
                A,
                B,
                "refs/heads/main",
                "protected: takes a maintainer",
            ),
            (Maintainer, A, B, "refs/heads/main", ""),
            (Maintainer, A, NONE, "refs/heads/main", "default branch"),
            (
                Role::Admin,
                A,
                B,
                "refs/heads/frozen",
                "protected: nobody may push",
            ),
            (Developer, NONE, A, "refs/tags/v1", ""),
            (
                Maintainer,
                A,
                B,
                "refs/tags/v1",
                "protected: cannot be moved",
            ),
            (
                Maintainer,
                A,
                NONE,
                "refs/tags/v1",
                "protected: cannot be deleted",
            ),
            (Developer, A, B, "refs/tags/other", ""),
            (Developer, A, B, "refs/heads/v1", ""),
            (Maintainer, A, B, "refs/pipelines/1", "refused name"),
            (
                Maintainer,
                NONE,
                A,
                "refs/heads/refs/heads/main",
                "refused name",
            ),
            (
                Maintainer,
                NONE,
                A,
                &format!("refs/heads/{A}"),
                "refused name",
            ),
        ] {
            let found = reasons(role, &[(old, new, name)], false);
            let expected: &[&str] = if reason.is_empty() { &[] } else { &[reason] };
            assert_eq!(found, expected, "{role} {name}");
        }
    }

    #[test]
    fn one_refusal_refuses_the_push_and_names_its_ref() {
        let push = [(A, B, "refs/heads/main"), (A, B, "refs/heads/feature")];
        assert_eq!(
            reasons(Role::Developer, &push, false),
            ["protected: takes a maintainer", ""]
        );
        let twice = [(A, B, "refs/heads/x"), (A, B, "refs/heads/x")];
        assert_eq!(reasons(Role::Developer, &twice, false), ["", "named twice"]);
        let names: Vec<String> = (0..1001).map(|n| format!("refs/heads/b{n}")).collect();
        let many: Vec<_> = names.iter().map(|name| (A, B, name.as_str())).collect();
        assert_eq!(reasons(Role::Admin, &many[..1000], false).len(), 0);
        assert_eq!(reasons(Role::Admin, &many, false)[1000], "too many refs");
    }

    #[test]
    fn variables_on_protected_refs_take_a_maintainer() {
        let tag = [(NONE, A, "refs/tags/v1")];
        assert_eq!(
            reasons(Role::Developer, &tag, true),
            ["insufficient permissions to set pipeline variables"]
        );
        assert!(reasons(Role::Maintainer, &tag, true).is_empty());
        assert!(reasons(Role::Developer, &[(A, B, "refs/heads/x")], true).is_empty());
    }
}
