//! Groups and projects.

use std::collections::{BTreeMap, BTreeSet};

use fleet_model::ProjectId;
use serde::{Deserialize, Serialize};

use super::path::{self, shortened};
use super::{
    Batch, Catalog, DELETED, Error, Mark, NEXT_GROUP, NEXT_PROJECT, Node, Owner, Project,
    ProtectedRef, State, now, number, protect, setting,
};

/// The number of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct GroupId(pub(crate) u64);

/// A group: a folder of groups and projects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(crate) id: GroupId,
    /// `group/sub`.
    pub(crate) path: String,
    pub(crate) created_at: u64,
}

/// A project to be.
#[derive(Clone, Debug, Default)]
pub(crate) struct NewProject {
    /// `group/sub/name`; groups that are not there are made.
    pub(crate) path: String,
    /// Where it is fetched from; none: it is pushed to.
    pub(crate) mirror: Option<String>,
    /// None: `main`.
    pub(crate) default_branch: Option<String>,
}

impl Catalog {
    /// The project of this path, in whichever case it is written.
    pub(crate) fn project(&self, path: &str) -> Option<Project> {
        let state = self.read();
        match state.node(path)? {
            Node::Project(id) => state.projects.get(&id).cloned(),
            Node::Group(_) => None,
        }
    }

    /// The project of this path, or the one it is below of.
    pub(crate) fn project_above(&self, path: &str) -> Option<Project> {
        let state = self.read();
        path::lineage(path).find_map(|above| match state.node(above)? {
            Node::Project(id) => state.projects.get(&id).cloned(),
            Node::Group(_) => None,
        })
    }

    /// The project of this number.
    pub(crate) fn project_by_id(&self, id: ProjectId) -> Option<Project> {
        self.read().projects.get(&id).cloned()
    }

    /// The paths of these projects, for people and agents; one that was deleted is
    /// still told, as a list without it could mean more than before.
    pub(crate) fn paths_of(&self, projects: &BTreeSet<ProjectId>) -> Vec<String> {
        let state = self.read();
        let path = |id: &ProjectId| match state.projects.get(id) {
            Some(project) => project.path.clone(),
            None => format!("(deleted project {id})"),
        };
        let mut paths: Vec<String> = projects.iter().map(path).collect();
        if paths.is_empty() {
            paths.push("(no project)".to_owned());
        }
        paths
    }

    /// All projects, by their paths.
    pub(crate) fn projects(&self) -> Vec<Project> {
        let mut projects: Vec<Project> = self.read().projects.values().cloned().collect();
        projects.sort_by(|left, right| left.path.cmp(&right.path));
        projects
    }

    /// The group of this path, in whichever case it is written.
    pub(crate) fn group(&self, path: &str) -> Option<Group> {
        let state = self.read();
        match state.node(path)? {
            Node::Group(id) => state.groups.get(&id).cloned(),
            Node::Project(_) => None,
        }
    }

    /// All groups, by their paths.
    pub(crate) fn groups(&self) -> Vec<Group> {
        let mut groups: Vec<Group> = self.read().groups.values().cloned().collect();
        groups.sort_by(|left, right| left.path.cmp(&right.path));
        groups
    }

    /// A path as the catalog spells it: groups on the way may be written in another
    /// case. What of it is not there stays as it is.
    pub(crate) fn spelled(&self, path: &str) -> String {
        self.read().spelled(path)
    }

    /// Makes a group, and those on the way to it.
    ///
    /// # Errors
    /// No path of a group, or something is there already.
    pub(crate) fn create_group(&self, path: &str) -> Result<(Group, Mark), Error> {
        path::check_group(path)?;
        self.change(|state, batch| {
            let path = state.free(path)?;
            state.make_groups(&path, batch);
            let made = state.node(&path).and_then(|node| match node {
                Node::Group(id) => state.groups.get(&id).cloned(),
                Node::Project(_) => None,
            });
            Ok(made.expect("the last group of the path was just made"))
        })
    }

    /// Removes a group, with its variables and tokens.
    ///
    /// # Errors
    /// There is none, or something is in it.
    pub(crate) fn delete_group(&self, id: GroupId) -> Result<Mark, Error> {
        self.change(|state, batch| {
            let Some(group) = state.groups.get(&id) else {
                return Err(Error::NotFound("the group is not there any more".into()));
            };
            let path = group.path.clone();
            let inside = format!("{}/", path.to_ascii_lowercase());
            let next = state.paths.range(inside.clone()..).next();
            if next.is_some_and(|(other, _)| other.starts_with(&inside)) {
                return Err(Error::Conflict(format!(
                    "group `{path}` is not empty: delete its projects and groups first"
                )));
            }
            state.groups.remove(&id);
            state.paths.remove(&path.to_ascii_lowercase());
            batch.delete(format!("group/{}", number(id.0)));
            state.remove_variables(Owner::Group(id), batch);
            state.remove_logins(Owner::Group(id), batch);
            state.remove_tokens(&path, batch);
            state.remove_grants(&path, batch);
            Ok(())
        })
        .map(|((), mark)| mark)
    }

    /// Makes a project, and the groups on the way to it. Its default branch is
    /// protected, as in GitLab.
    ///
    /// # Errors
    /// No path of a project, no branch, no address of a repository; or something is
    /// there already.
    pub(crate) fn create_project(&self, new: NewProject) -> Result<(Project, Mark), Error> {
        path::check_project(&new.path)?;
        let default_branch = new
            .default_branch
            .unwrap_or_else(|| setting::default_branch().to_owned());
        protect::check_branch(&default_branch)?;
        if let Some(mirror) = &new.mirror {
            check_mirror(mirror)?;
        }
        self.change(|state, batch| {
            let path = state.free(&new.path)?;
            state.make_groups(path::parent(&path), batch);
            let project = Project {
                id: ProjectId(state.next_project.take(NEXT_PROJECT, batch)),
                path,
                protected: vec![ProtectedRef::default_branch(&default_branch)],
                default_branch,
                mirror: new.mirror,
                environments: Vec::new(),
                settings: BTreeMap::new(),
                next_iid: 1,
                created_at: now(),
            };
            put(&project, batch);
            state.insert_project(project.clone());
            Ok(project)
        })
    }

    /// Changes settings; all or none.
    ///
    /// # Errors
    /// The project is gone, or there is no such setting or value.
    pub(crate) fn set_project(
        &self,
        id: ProjectId,
        settings: &BTreeMap<String, String>,
    ) -> Result<(Project, Mark), Error> {
        self.change_project(id, |project| project.set(settings))
    }

    /// Protects refs, or changes who may what on them.
    ///
    /// # Errors
    /// The project is gone, no ref has such a name, or there are too many rules.
    pub(crate) fn protect(
        &self,
        id: ProjectId,
        rule: ProtectedRef,
    ) -> Result<(Project, Mark), Error> {
        rule.check()?;
        self.change_project(id, |project| {
            let same = |known: &ProtectedRef| known.pattern.cmp(&rule.pattern);
            match project.protected.binary_search_by(same) {
                Ok(place) => project.protected[place] = rule,
                Err(_) if project.protected.len() >= protect::MOST => {
                    return Err(Error::Conflict(format!(
                        "project `{}` has {} protected refs, and more it cannot have: use \
                         patterns with `*`",
                        project.path,
                        protect::MOST
                    )));
                }
                Err(place) => project.protected.insert(place, rule),
            }
            Ok(())
        })
    }

    /// Takes the protection of a pattern away.
    ///
    /// # Errors
    /// The project is gone, or nothing is protected under this pattern.
    pub(crate) fn unprotect(&self, id: ProjectId, pattern: &str) -> Result<(Project, Mark), Error> {
        self.change_project(id, |project| {
            let before = project.protected.len();
            project.protected.retain(|rule| rule.pattern != pattern);
            if project.protected.len() < before {
                return Ok(());
            }
            let known = project.protected.iter().map(|rule| rule.pattern.as_str());
            Err(Error::NotFound(format!(
                "project `{}` protects no `{}`; it protects {}",
                project.path,
                shortened(pattern),
                match project.protected.len() {
                    0 => "nothing".to_owned(),
                    1..=10 => super::list(known),
                    more => format!("{more} others"),
                }
            )))
        })
    }

    /// Removes a project with its variables and tokens; returns it as it was. Its
    /// repository, pipelines, logs and artifacts are for the caller to remove, once
    /// the mark is durable; until [`Catalog::cleared`] it is one of
    /// [`Catalog::deleted`].
    ///
    /// # Errors
    /// It is gone already.
    pub(crate) fn delete_project(&self, id: ProjectId) -> Result<(Project, Mark), Error> {
        self.change(|state, batch| {
            let project = state.projects.remove(&id).ok_or_else(gone)?;
            state.paths.remove(&project.path.to_ascii_lowercase());
            batch.delete(format!("project/{}", number(id.0)));
            batch.put(format!("{DELETED}{}", number(id.0)), &project.path);
            state.deleted.insert(id, project.path.clone());
            state.remove_variables(Owner::Project(id), batch);
            state.remove_logins(Owner::Project(id), batch);
            state.remove_tokens(&project.path, batch);
            state.remove_grants(&project.path, batch);
            Ok(project)
        })
    }

    /// Deleted projects of which something is left.
    pub(crate) fn deleted(&self) -> Vec<ProjectId> {
        self.read().deleted.keys().copied().collect()
    }

    /// Notes that nothing of a deleted project is left.
    pub(crate) fn cleared(&self, id: ProjectId) {
        // Lost, it is looked for once more.
        let _mark = self.change(|state, batch| {
            state.deleted.remove(&id).ok_or_else(gone)?;
            batch.delete(format!("{DELETED}{}", number(id.0)));
            Ok(())
        });
    }

    /// The number of the project's next pipeline, counted on.
    pub(crate) fn next_iid(&self, id: ProjectId) -> Option<(u64, Mark)> {
        let counted = self.change_project(id, |project| {
            project.next_iid += 1;
            Ok(())
        });
        let (project, mark) = counted.ok()?;
        Some((project.next_iid - 1, mark))
    }

    pub(super) fn change_project(
        &self,
        id: ProjectId,
        change: impl FnOnce(&mut Project) -> Result<(), Error>,
    ) -> Result<(Project, Mark), Error> {
        self.change(|state, batch| {
            let place = state.projects.get_mut(&id).ok_or_else(gone)?;
            let mut project = place.clone();
            change(&mut project)?;
            put(&project, batch);
            place.clone_from(&project);
            Ok(project)
        })
    }
}

impl State {
    pub(super) fn insert_group(&mut self, group: Group) {
        let lower = group.path.to_ascii_lowercase();
        self.paths.insert(lower, Node::Group(group.id));
        self.groups.insert(group.id, group);
    }

    pub(super) fn insert_project(&mut self, project: Project) {
        let lower = project.path.to_ascii_lowercase();
        self.paths.insert(lower, Node::Project(project.id));
        self.projects.insert(project.id, project);
    }

    /// Takes back what other projects allow jobs of this path: what is made there
    /// later is another.
    fn remove_grants(&mut self, path: &str, batch: &mut Batch) {
        for project in self.projects.values_mut() {
            if project.forget_grant(path) {
                put(project, batch);
            }
        }
    }

    pub(super) fn node(&self, path: &str) -> Option<Node> {
        self.paths.get(&path.to_ascii_lowercase()).copied()
    }

    /// See [`Catalog::spelled`].
    pub(super) fn spelled(&self, path: &str) -> String {
        // Longer ones lead nowhere, and a look at every part of one takes time.
        if path.len() > path::LONGEST {
            return path.to_owned();
        }
        let known = path::lineage(path)
            .filter_map(|above| self.path_of(self.node(above)?))
            .last();
        match known {
            Some(known) => format!("{known}{}", &path[known.len()..]),
            None => path.to_owned(),
        }
    }

    fn path_of(&self, node: Node) -> Option<&str> {
        match node {
            Node::Group(id) => self.groups.get(&id).map(|group| group.path.as_str()),
            Node::Project(id) => self.projects.get(&id).map(|project| project.path.as_str()),
        }
    }

    /// The path as the catalog spells it, if something can be made there.
    fn free(&self, path: &str) -> Result<String, Error> {
        let path = self.spelled(path);
        match self.node(&path) {
            Some(Node::Group(_)) => {
                return Err(Error::Exists(format!("there is a group `{path}` already")));
            }
            Some(Node::Project(_)) => {
                return Err(Error::Exists(format!(
                    "there is a project `{path}` already"
                )));
            }
            None => {}
        }
        for above in path::lineage(&path) {
            if let Some(Node::Project(_)) = self.node(above) {
                return Err(Error::Conflict(format!(
                    "`{above}` is a project: nothing can be in it"
                )));
            }
        }
        Ok(path)
    }

    /// Makes the groups of a free path that are not there.
    fn make_groups(&mut self, path: &str, batch: &mut Batch) {
        for above in path::lineage(path) {
            if self.node(above).is_none() {
                let group = Group {
                    id: GroupId(self.next_group.take(NEXT_GROUP, batch)),
                    path: above.to_owned(),
                    created_at: now(),
                };
                batch.put(format!("group/{}", number(group.id.0)), &group);
                self.insert_group(group);
            }
        }
    }
}

fn put(project: &Project, batch: &mut Batch) {
    batch.put(format!("project/{}", number(project.id.0)), project);
}

fn gone() -> Error {
    Error::NotFound("the project is not there any more".into())
}

/// Checks where a project is to be fetched from.
fn check_mirror(url: &str) -> Result<(), Error> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let authority = rest.split('/').next().unwrap_or_default();
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    if user.contains(':') || (scheme != "ssh" && !user.is_empty()) {
        // Not shown: it may be a password.
        return Err(Error::Invalid(
            "the address of a mirror holds no user name and password: everybody who may see \
             the project sees it"
                .into(),
        ));
    }
    let odd = |c: char| c.is_control() || c.is_whitespace();
    let why = if !["https", "ssh"].contains(&scheme) {
        "the address of a repository begins with `https://` or `ssh://`"
    } else if host.is_empty() || url.contains(odd) {
        "it has no host, or a character that no address has"
    } else if host.starts_with('-') || user.starts_with('-') {
        // It would be an option of the ssh that git starts.
        "its host or user begins with `-`"
    } else if url.len() > 2048 {
        "it is longer than 2048 bytes"
    } else {
        return Ok(());
    };
    Err(Error::Invalid(format!(
        "`{}` cannot be mirrored: {why}",
        shortened(url)
    )))
}
