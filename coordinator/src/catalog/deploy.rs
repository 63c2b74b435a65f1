//! Who may deploy: protected environments, and what protected refs say of it.
//!
//! A job with an environment is held to the rule of that environment and to that of
//! its ref; both must let it. Whatever the job does there counts, as in GitLab: one
//! that only looks gets the environment's variables, too.

use fleet_model::ProjectId;

use super::path::shortened;
use super::variable::{is_scope, scope_fits, specificity};
use super::{Catalog, Error, Mark, Principal, Project, ProtectedEnvironment, Role};

/// Protected environments one project may have.
const MOST: usize = 1000;

/// What keeps somebody from deploying.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Barrier {
    /// ``environment `production` ``, ``ref `main` ``.
    what: String,
    /// The lowest role that may; none: nobody.
    pub(crate) needed: Option<Role>,
}

impl Barrier {
    /// What it takes, as the beginning of a sentence.
    pub(crate) fn in_words(&self) -> String {
        let Barrier { what, needed } = self;
        match needed {
            Some(role) => format!("{what} is protected: to deploy takes the role {role}"),
            None => format!("{what} is protected: nobody may deploy"),
        }
    }
}

impl Catalog {
    /// What keeps somebody of this role from running a job with this environment for
    /// this ref (`refs/heads/main`); none: nothing.
    pub(crate) fn barrier(
        project: &Project,
        reference: &str,
        environment: &str,
        role: Option<Role>,
    ) -> Option<Barrier> {
        let kept_out = |needed: Option<Role>| needed.is_none_or(|needed| role < Some(needed));
        if let Some(rule) = Catalog::environment_rule(project, environment)
            && kept_out(rule.deploy)
        {
            return Some(Barrier {
                what: format!("environment `{}`", shortened(environment)),
                needed: rule.deploy,
            });
        }
        if !Catalog::is_protected(project, reference) {
            return None;
        }
        let needed = Catalog::deploy_role(project, reference);
        let short = ["refs/heads/", "refs/tags/"]
            .iter()
            .find_map(|folder| reference.strip_prefix(folder));
        kept_out(needed).then(|| Barrier {
            what: format!("`{}`", shortened(short.unwrap_or(reference))),
            needed,
        })
    }

    /// Whether a rule says who may deploy to an environment, or from a ref.
    pub(crate) fn deploys_are_protected(
        project: &Project,
        reference: &str,
        environment: &str,
    ) -> bool {
        Catalog::environment_rule(project, environment).is_some()
            || Catalog::is_protected(project, reference)
    }

    /// The rule for an environment: of several that fit the most specific, as with the
    /// environments of variables.
    pub(crate) fn environment_rule<'a>(
        project: &'a Project,
        environment: &str,
    ) -> Option<&'a ProtectedEnvironment> {
        let fits = |rule: &&ProtectedEnvironment| scope_fits(&rule.pattern, Some(environment));
        let rules = project.environments.iter().filter(fits);
        rules.max_by_key(|rule| specificity(&rule.pattern))
    }

    /// What a token may do at this moment in the project of this path; none: nothing
    /// (any more).
    pub(crate) fn role_of_token(&self, token: &str, path: &str) -> Option<Role> {
        let token = self.token(token)?;
        token
            .is_live(super::now())
            .then(|| token.principal().role_on(path))
            .flatten()
    }

    /// Whose token this is, if it still is one.
    pub(crate) fn principal_of_token(&self, token: &str) -> Option<Principal> {
        let token = self.token(token)?;
        token.is_live(super::now()).then(|| token.principal())
    }

    /// Protects environments, or changes who may deploy to them.
    ///
    /// # Errors
    /// The project is gone, no environment has such a name, or there are too many
    /// rules.
    pub(crate) fn protect_environment(
        &self,
        id: ProjectId,
        rule: ProtectedEnvironment,
    ) -> Result<(Project, Mark), Error> {
        rule.check()?;
        self.change_project(id, |project| {
            let same = |known: &ProtectedEnvironment| known.pattern.cmp(&rule.pattern);
            match project.environments.binary_search_by(same) {
                Ok(place) => project.environments[place] = rule,
                Err(_) if project.environments.len() >= MOST => {
                    return Err(Error::Conflict(format!(
                        "project `{}` has {MOST} protected environments, and more it cannot \
                         have: use patterns with `*`",
                        project.path
                    )));
                }
                Err(place) => project.environments.insert(place, rule),
            }
            Ok(())
        })
    }

    /// Takes the protection of a pattern away.
    ///
    /// # Errors
    /// The project is gone, or no environment is protected under this pattern.
    pub(crate) fn unprotect_environment(
        &self,
        id: ProjectId,
        pattern: &str,
    ) -> Result<(Project, Mark), Error> {
        self.change_project(id, |project| {
            let before = project.environments.len();
            project.environments.retain(|rule| rule.pattern != pattern);
            if project.environments.len() < before {
                return Ok(());
            }
            let known = project.environments.iter().map(|rule| &*rule.pattern);
            Err(Error::NotFound(format!(
                "project `{}` protects no environment `{}`; it protects {}",
                project.path,
                shortened(pattern),
                match project.environments.len() {
                    0 => "none".to_owned(),
                    1..=10 => super::list(known),
                    more => format!("{more} others"),
                }
            )))
        })
    }
}

impl ProtectedEnvironment {
    /// Checks a rule to be.
    fn check(&self) -> Result<(), Error> {
        if !is_scope(&self.pattern) {
            return Err(Error::Invalid(format!(
                "`{}` is no name or pattern of an environment: it can contain only letters, \
                 digits, spaces and '-_/${{}}.*', and at most 255 of them",
                shortened(&self.pattern)
            )));
        }
        if self.deploy == Some(Role::Viewer) {
            return Err(Error::Invalid(
                "a viewer cannot deploy: the lowest role for it is developer".into(),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{NewProject, NewToken, ProtectedRef};

    fn project(environments: &[(&str, Option<Role>)], main: Option<Role>) -> Project {
        let catalog = crate::catalog::tests::over(crate::store::Journal::volatile());
        let new = NewProject {
            path: "group/app".into(),
            ..NewProject::default()
        };
        let (project, _) = catalog.create_project(new).unwrap();
        for (pattern, deploy) in environments {
            let rule = ProtectedEnvironment {
                pattern: (*pattern).to_owned(),
                deploy: *deploy,
            };
            catalog.protect_environment(project.id, rule).unwrap();
        }
        let rule = ProtectedRef {
            deploy: main,
            ..ProtectedRef::default_branch("main")
        };
        catalog.protect(project.id, rule).unwrap().0
    }

    fn words(project: &Project, at: &str, environment: &str, role: Role) -> String {
        let barrier = Catalog::barrier(project, at, environment, Some(role));
        barrier.map_or_else(String::new, |barrier| barrier.in_words())
    }

    #[test]
    fn environment_and_ref_must_both_let_a_job_deploy() {
        let rules = [("production", Some(Role::Admin)), ("locked", None)];
        let project = project(&rules, Some(Role::Maintainer));
        let (main, dev) = ("refs/heads/main", "refs/heads/dev");
        assert_eq!(
            words(&project, dev, "production", Role::Maintainer),
            "environment `production` is protected: to deploy takes the role admin"
        );
        assert_eq!(words(&project, main, "production", Role::Admin), "");
        assert_eq!(
            words(&project, main, "staging", Role::Developer),
            "`main` is protected: to deploy takes the role maintainer"
        );
        assert_eq!(words(&project, dev, "staging", Role::Developer), "");
        assert_eq!(
            words(&project, dev, "locked", Role::Admin),
            "environment `locked` is protected: nobody may deploy"
        );
        // Whose token is gone may nothing where something is asked.
        assert!(Catalog::barrier(&project, main, "staging", None).is_some());
        assert!(Catalog::barrier(&project, dev, "staging", None).is_none());
    }

    #[test]
    fn the_most_specific_pattern_counts() {
        let rules = [
            ("*", Some(Role::Developer)),
            ("prod*", Some(Role::Maintainer)),
            ("production", Some(Role::Admin)),
        ];
        let project = project(&rules, Some(Role::Developer));
        let may = |environment, role| words(&project, "main", environment, role).is_empty();
        assert!(may("review/x", Role::Developer));
        assert!(!may("prod-eu", Role::Developer) && may("prod-eu", Role::Maintainer));
        assert!(!may("production", Role::Maintainer) && may("production", Role::Admin));
    }

    #[test]
    fn rules_that_say_nothing_are_refused() {
        for (pattern, deploy) in [
            ("", Some(Role::Developer)),
            ("a:b", None),
            (&"x".repeat(256), None),
            ("production", Some(Role::Viewer)),
        ] {
            let pattern = pattern.to_owned();
            let rule = ProtectedEnvironment { pattern, deploy };
            assert!(rule.check().is_err(), "{rule:?}");
        }
    }

    #[test]
    fn role_of_a_token_ends_with_it() {
        let catalog = crate::catalog::tests::over(crate::store::Journal::volatile());
        for path in ["group/app", "other/app"] {
            let new = NewProject {
                path: path.into(),
                ..NewProject::default()
            };
            catalog.create_project(new).unwrap();
        }
        let new = NewToken {
            user: "ann".into(),
            role: Role::Maintainer,
            scope: Some("group".into()),
            name: String::new(),
            ttl: None,
        };
        let token = catalog.create_token(new).unwrap().0.token;
        let id = token.id.to_string();
        let role = |path| catalog.role_of_token(&id, path);
        assert_eq!(role("group/app"), Some(Role::Maintainer));
        assert_eq!(role("other/app"), None);
        assert_eq!(catalog.role_of_token("", "group/app"), None);
        catalog.revoke_token(token.id).unwrap();
        assert_eq!(role("group/app"), None);
    }
}
