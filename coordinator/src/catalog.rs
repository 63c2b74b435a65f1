//! What people set up: groups, projects, protected refs, variables, tokens.
//!
//! All of it is in memory behind one lock, and in the store as records. A method
//! that changes something returns the [`Mark`] after which the change is durable;
//! its caller answers nobody before that. Batches are handed in under the lock, so
//! that the store sees changes in the order memory did.
//!
//! | records | what |
//! |---|---|
//! | `group/<id>`, `project/<id>` | a group, a project with its protections and settings |
//! | `variable/<owner>/<key>/<environment scope>` | a variable, its value sealed |
//! | `registry/login/<owner>/<registry>` | a login of jobs, its password sealed |
//! | `token/<id>`, `user/<id>` | a token as its hash; the number of a user's name |
//! | `deleted/<id>` | the path of a deleted project of which something is left |
//! | `meta/next-group` ... | counters: no number is used twice |

mod deploy;
mod path;
mod project;
mod protect;
mod registry;
mod setting;
#[cfg(test)]
pub(crate) mod tests;
mod token;
mod variable;
mod wildcard;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use fleet_model::ProjectId;
use serde::{Deserialize, Serialize};

use crate::secret::Sealer;
use crate::store::{Batch, Error as StoreError, Journal, Mark, Records, number};

pub(crate) use project::{Group, GroupId, NewProject};
pub(crate) use registry::{Logins, NewLogin, ShownLogin, registry_key};
pub(crate) use setting::Visibility;
pub(crate) use token::{Deployer, Images, NewDeployToken, NewToken, Token};
pub(crate) use variable::{NewVariable, Owner, Shown};

/// What a person may do; each may all that the lower ones may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    Viewer,
    Developer,
    Maintainer,
    Admin,
}

impl Role {
    /// All, lowest first.
    pub(crate) const ALL: [Role; 4] =
        [Role::Viewer, Role::Developer, Role::Maintainer, Role::Admin];

    /// Its name in messages and on the command line.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Developer => "developer",
            Role::Maintainer => "maintainer",
            Role::Admin => "admin",
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Role, String> {
        Role::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| {
                format!("`{text}` is no role: there are viewer, developer, maintainer and admin")
            })
    }
}

/// A project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Project {
    pub(crate) id: ProjectId,
    /// `group/sub/name`.
    pub(crate) path: String,
    pub(crate) default_branch: String,
    /// Where it is fetched from; none: it is pushed to.
    pub(crate) mirror: Option<String>,
    /// One for each pattern, in their order.
    pub(crate) protected: Vec<ProtectedRef>,
    /// The protected environments, one for each pattern, in their order.
    pub(crate) environments: Vec<ProtectedEnvironment>,
    /// What `project set` changed; keys and values are checked when set.
    pub(crate) settings: BTreeMap<String, String>,
    /// The `CI_PIPELINE_IID` of its next pipeline.
    pub(crate) next_iid: u64,
    pub(crate) created_at: u64,
}

/// Who may push to and deploy from refs of a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProtectedRef {
    /// A name, or a pattern in which `*` stands for anything, `/` included. It is of
    /// branches and tags alike, unless it begins with `refs/heads/` or `refs/tags/`.
    pub(crate) pattern: String,
    /// The lowest role that may; none: nobody.
    pub(crate) push: Option<Role>,
    pub(crate) deploy: Option<Role>,
}

/// Who may deploy to environments of a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProtectedEnvironment {
    /// A name, or a pattern in which `*` stands for anything, `/` included.
    pub(crate) pattern: String,
    /// The lowest role that may; none: nobody.
    pub(crate) deploy: Option<Role>,
}

/// Who calls: made of a token that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Principal {
    pub(crate) token: String,
    pub(crate) user: String,
    pub(crate) user_id: u64,
    pub(crate) role: Role,
    /// A project's or group's path; none: the whole instance.
    pub(crate) scope: Option<String>,
}

impl Principal {
    /// What it may do in a project or group by its token alone; none: not even see
    /// it. A project may let others see it: [`Catalog::role`] knows.
    ///
    /// `path` is spelled as the catalog does. The empty path is the instance.
    pub(crate) fn role_on(&self, path: &str) -> Option<Role> {
        let covered = match &self.scope {
            None => true,
            Some(scope) => path
                .strip_prefix(scope.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        };
        covered.then_some(self.role)
    }

    /// What it may do on the instance itself; none: its token is of a part of it.
    pub(crate) fn role_on_instance(&self) -> Option<Role> {
        self.role_on("")
    }
}

/// Why a change was refused; nothing changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// What is named is not there.
    #[error("{0}")]
    NotFound(String),
    /// It is there already.
    #[error("{0}")]
    Exists(String),
    /// It may not be so.
    #[error("{0}")]
    Invalid(String),
    /// Something else must be done first.
    #[error("{0}")]
    Conflict(String),
}

/// All that people set up; cheap to clone.
#[derive(Clone)]
pub(crate) struct Catalog {
    shared: Arc<Shared>,
}

struct Shared {
    state: RwLock<State>,
    journal: Journal,
    sealer: Sealer,
}

#[derive(Default)]
struct State {
    groups: BTreeMap<GroupId, Group>,
    projects: BTreeMap<ProjectId, Project>,
    /// Deleted ones of which something is left, and where they were.
    deleted: BTreeMap<ProjectId, String>,
    /// What is at each path, by the path in lower case.
    paths: BTreeMap<String, Node>,
    variables: BTreeMap<variable::Key, variable::Record>,
    logins: BTreeMap<registry::Key, registry::Record>,
    tokens: BTreeMap<u64, token::Record>,
    by_hash: HashMap<token::Hash, u64>,
    /// By the name in lower case.
    users: BTreeMap<String, token::User>,
    next_group: Counter,
    next_project: Counter,
    next_token: Counter,
    next_user: Counter,
}

/// What a path leads to.
#[derive(Clone, Copy)]
enum Node {
    Group(GroupId),
    Project(ProjectId),
}

/// The next number of a kind, from 1; what is given out stays given out.
struct Counter(u64);

impl Default for Counter {
    fn default() -> Counter {
        Counter(1)
    }
}

impl Counter {
    fn take(&mut self, key: &'static str, batch: &mut Batch) -> u64 {
        let number = self.0;
        self.0 += 1;
        batch.put(key, &self.0);
        number
    }

    fn load(records: &mut Records, key: &'static str) -> Result<Counter, StoreError> {
        let found = records.take::<u64>(key)?;
        Ok(found
            .into_iter()
            .find(|(rest, _)| rest.is_empty())
            .map_or_else(Counter::default, |(_, next)| Counter(next)))
    }
}

/// Followed by the number of a project.
const DELETED: &str = "deleted/";
const NEXT_GROUP: &str = "meta/next-group";
const NEXT_PROJECT: &str = "meta/next-project";
const NEXT_TOKEN: &str = "meta/next-token";
const NEXT_USER: &str = "meta/next-user";

impl Catalog {
    /// Takes its records out of `records`.
    ///
    /// # Errors
    /// A record cannot be read.
    pub(crate) fn load(
        records: &mut Records,
        journal: Journal,
        sealer: Sealer,
    ) -> Result<Catalog, StoreError> {
        let mut state = State {
            next_group: Counter::load(records, NEXT_GROUP)?,
            next_project: Counter::load(records, NEXT_PROJECT)?,
            next_token: Counter::load(records, NEXT_TOKEN)?,
            next_user: Counter::load(records, NEXT_USER)?,
            ..State::default()
        };
        for (_, group) in records.take::<Group>("group/")? {
            state.insert_group(group);
        }
        for (_, project) in records.take::<Project>("project/")? {
            state.insert_project(project);
        }
        for (id, path) in records.take::<String>(DELETED)? {
            let id = u64::from_str_radix(&id, 16).map_err(|error| StoreError::Corrupt {
                key: format!("{DELETED}{id}"),
                source: serde::de::Error::custom(error),
            })?;
            state.deleted.insert(ProjectId(id), path);
        }
        for (_, record) in records.take::<variable::Record>("variable/")? {
            state.variables.insert(record.key(), record);
        }
        for (_, record) in records.take::<registry::Record>(registry::PREFIX)? {
            state.logins.insert(record.key(), record);
        }
        for (_, user) in records.take::<token::User>("user/")? {
            state.users.insert(user.name.to_ascii_lowercase(), user);
        }
        for (_, record) in records.take::<token::Record>("token/")? {
            state.insert_token(record);
        }
        Ok(Catalog {
            shared: Arc::new(Shared {
                state: RwLock::new(state),
                journal,
                sealer,
            }),
        })
    }

    /// What somebody may do in a project; none: not even know that it is there.
    pub(crate) fn role(principal: &Principal, project: &Project) -> Option<Role> {
        let everybody = match project.visibility() {
            Visibility::Private => None,
            Visibility::Internal | Visibility::Public => Some(Role::Viewer),
        };
        principal.role_on(&project.path).max(everybody)
    }

    /// Whether somebody may know of the project of this path.
    pub(crate) fn may_see(&self, principal: &Principal, path: &str) -> bool {
        let state = self.read();
        let Some(Node::Project(id)) = state.node(path) else {
            return false;
        };
        let project = state.projects.get(&id);
        project.is_some_and(|project| Catalog::role(principal, project).is_some())
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.shared
            .state
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries out a change. It must not have begun to change the state when it
    /// finds that it cannot be done.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut State, &mut Batch) -> Result<T, Error>,
    ) -> Result<(T, Mark), Error> {
        let mut batch = Batch::default();
        let mut state: RwLockWriteGuard<'_, State> = self
            .shared
            .state
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let value = change(&mut state, &mut batch)?;
        let mark = self.shared.journal.submit(batch);
        Ok((value, mark))
    }
}

/// Milliseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// `one`, `one and two`, `one, two and three`.
fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<&str> = words.into_iter().collect();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => words.concat(),
    }
}
