//! Variables and secrets of the instance, of groups and of projects.
//!
//! A variable is known by its owner, key and environment scope. The scope is `*`,
//! an environment's name, or a pattern in which `*` stands for any text. Of the
//! variables of one owner and key whose scopes fit, the most specific counts: the
//! very name before patterns, among patterns the one with most characters that are
//! not `*`, then the one with fewest `*`, then the first by its text.
//!
//! Values are sealed with all that says whose they are, so that a record put in
//! the place of another opens nowhere.

mod rules;

use std::collections::BTreeMap;

use fleet_model::{ProjectId, Variable};
use serde::{Deserialize, Serialize};

use super::path::{lineage, shortened};
use super::{Batch, Catalog, Error, GroupId, Mark, Node, State, now, number};
use crate::secret::{Sealed, Unreadable};
use rules::scope_or_all;
pub(super) use rules::{is_scope, scope_fits, specificity};

/// Whose a variable is. The order is that of precedence, lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Owner {
    Instance,
    Group(GroupId),
    Project(ProjectId),
}

/// A variable to be.
#[derive(Clone, Default)]
pub(crate) struct NewVariable {
    pub(crate) key: String,
    pub(crate) value: String,
    /// `*`, or which environments see it.
    pub(crate) environment: String,
    pub(crate) masked: bool,
    /// Only jobs of protected refs see it.
    pub(crate) protected: bool,
    /// Never expanded.
    pub(crate) raw: bool,
    /// Handed to jobs as the path of a file that holds the value.
    pub(crate) file: bool,
    /// Masked, and nobody can read it again.
    pub(crate) hidden: bool,
}

/// A variable as people see it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) key: String,
    /// None: it is hidden.
    pub(crate) value: Option<String>,
    pub(crate) environment: String,
    pub(crate) masked: bool,
    pub(crate) protected: bool,
    pub(crate) raw: bool,
    pub(crate) file: bool,
    pub(crate) updated_at: u64,
}

/// What tells variables apart: owner, key, environment scope.
pub(super) type Key = (Owner, String, String);

/// A variable as it stands in the store.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Record {
    owner: Owner,
    key: String,
    environment: String,
    masked: bool,
    protected: bool,
    raw: bool,
    file: bool,
    hidden: bool,
    /// Counts the values it had.
    version: u64,
    value: Sealed,
    updated_at: u64,
}

/// Variables of one owner, as in GitLab.
const MOST: usize = 8000;

impl Catalog {
    /// Makes or replaces the variable of this key and environment scope.
    ///
    /// # Errors
    /// The owner is gone, there are too many, or the key, the scope or the value may
    /// not be so: a value that is to be masked must be one that can be found in a log.
    pub(crate) fn set_variable(
        &self,
        owner: Owner,
        new: NewVariable,
    ) -> Result<(Shown, Mark), Error> {
        let new = new.checked()?;
        self.change(|state, batch| {
            state.check_owner(owner)?;
            let key = (owner, new.key.clone(), new.environment.clone());
            let known = state.variables.get(&key);
            if known.is_none() && state.variables_of(owner).count() >= MOST {
                return Err(Error::Conflict(format!(
                    "there are {MOST} variables already, and more there cannot be: delete some"
                )));
            }
            let version = known.map_or(0, |record| record.version) + 1;
            let about = about(owner, version, &new.key, &new.environment);
            let record = Record {
                owner,
                value: self.shared.sealer.seal(&about, new.value.as_bytes()),
                key: new.key.clone(),
                environment: new.environment.clone(),
                masked: new.masked,
                protected: new.protected,
                raw: new.raw,
                file: new.file,
                hidden: new.hidden,
                version,
                updated_at: now(),
            };
            let shown = record.shown((!new.hidden).then_some(new.value));
            batch.put(record.store_key(), &record);
            state.variables.insert(key, record);
            Ok(shown)
        })
    }

    /// The variables of an owner, by key and scope: those that `secret set` made
    /// (`hidden`), without values, or the others.
    ///
    /// # Errors
    /// A value cannot be opened.
    pub(crate) fn list_variables(
        &self,
        owner: Owner,
        hidden: bool,
    ) -> Result<Vec<Shown>, Unreadable> {
        let state = self.read();
        let of_kind = state
            .variables_of(owner)
            .filter(|record| record.hidden == hidden);
        of_kind
            .map(|record| {
                let value = if hidden {
                    None
                } else {
                    Some(self.open(record)?)
                };
                Ok(record.shown(value))
            })
            .collect()
    }

    /// Removes a variable.
    ///
    /// # Errors
    /// There is none of this key and environment scope.
    pub(crate) fn delete_variable(
        &self,
        owner: Owner,
        key: &str,
        environment: &str,
    ) -> Result<Mark, Error> {
        let environment = scope_or_all(environment);
        self.change(|state, batch| {
            let place = (owner, key.to_owned(), environment.to_owned());
            match state.variables.remove(&place) {
                Some(record) => {
                    batch.delete(record.store_key());
                    Ok(())
                }
                None => Err(state.no_variable(owner, key, environment)),
            }
        })
        .map(|((), mark)| mark)
    }

    /// The variables of instance, groups and project that a job may see, lowest
    /// precedence first, values in clear. Without an `environment` those of scope
    /// `*` alone. Of one owner and key the most specific scope counts; a key may
    /// come again from another owner, and the last counts.
    ///
    /// # Errors
    /// A value cannot be opened.
    pub(crate) fn variables(
        &self,
        project: ProjectId,
        protected: bool,
        environment: Option<&str>,
    ) -> Result<Vec<Variable>, Unreadable> {
        let state = self.read();
        let mut variables = Vec::new();
        for owner in state.owners(project) {
            let mut best: BTreeMap<&str, &Record> = BTreeMap::new();
            for record in state.variables_of(owner) {
                if (record.protected && !protected) || !scope_fits(&record.environment, environment)
                {
                    continue;
                }
                let known = best.entry(&record.key).or_insert(record);
                if specificity(&record.environment) > specificity(&known.environment) {
                    *known = record;
                }
            }
            for record in best.into_values() {
                variables.push(Variable {
                    key: record.key.clone(),
                    value: self.open(record)?,
                    masked: record.masked,
                    raw: record.raw,
                    file: record.file,
                    public: false,
                });
            }
        }
        Ok(variables)
    }

    fn open(&self, record: &Record) -> Result<String, Unreadable> {
        let about = about(
            record.owner,
            record.version,
            &record.key,
            &record.environment,
        );
        let value = self.shared.sealer.open(&about, &record.value)?;
        Ok(String::from_utf8_lossy(&value).into_owned())
    }
}

impl State {
    pub(super) fn remove_variables(&mut self, owner: Owner, batch: &mut Batch) {
        let gone: Vec<Key> = self.variables_of(owner).map(Record::key).collect();
        for key in gone {
            if let Some(record) = self.variables.remove(&key) {
                batch.delete(record.store_key());
            }
        }
    }

    /// By key, then scope.
    fn variables_of(&self, owner: Owner) -> impl Iterator<Item = &Record> {
        self.variables
            .range((owner, String::new(), String::new())..)
            .map(|(_, record)| record)
            .take_while(move |record| record.owner == owner)
    }

    /// Whose variables a project's jobs see, lowest precedence first.
    pub(super) fn owners(&self, project: ProjectId) -> Vec<Owner> {
        let Some(known) = self.projects.get(&project) else {
            return Vec::new();
        };
        let groups = lineage(&known.path).filter_map(|above| match self.node(above)? {
            Node::Group(id) => Some(Owner::Group(id)),
            Node::Project(_) => None,
        });
        std::iter::once(Owner::Instance)
            .chain(groups)
            .chain([Owner::Project(project)])
            .collect()
    }

    pub(super) fn check_owner(&self, owner: Owner) -> Result<(), Error> {
        let (is_there, what) = match owner {
            Owner::Instance => (true, "instance"),
            Owner::Group(id) => (self.groups.contains_key(&id), "group"),
            Owner::Project(id) => (self.projects.contains_key(&id), "project"),
        };
        if is_there {
            Ok(())
        } else {
            Err(Error::NotFound(format!("the {what} is not there any more")))
        }
    }

    fn no_variable(&self, owner: Owner, key: &str, environment: &str) -> Error {
        let scopes: Vec<&str> = self
            .variables_of(owner)
            .filter(|record| record.key == key)
            .map(|record| record.environment.as_str())
            .collect();
        let (key, environment) = (shortened(key), shortened(environment));
        Error::NotFound(if scopes.is_empty() {
            format!("there is no variable `{key}`")
        } else {
            let others = match scopes.len() {
                1..=10 => super::list(scopes),
                more => format!("{more} others"),
            };
            format!(
                "there is no variable `{key}` of environment scope `{environment}`; there is \
                 one of {others}"
            )
        })
    }
}

impl Record {
    pub(super) fn key(&self) -> Key {
        (self.owner, self.key.clone(), self.environment.clone())
    }

    fn store_key(&self) -> String {
        let owner = owner_text(self.owner);
        format!("variable/{owner}/{}/{}", self.key, self.environment)
    }

    fn shown(&self, value: Option<String>) -> Shown {
        Shown {
            key: self.key.clone(),
            value,
            environment: self.environment.clone(),
            masked: self.masked,
            protected: self.protected,
            raw: self.raw,
            file: self.file,
            updated_at: self.updated_at,
        }
    }
}

/// What a value is sealed as. Neither the owner's text nor a key has a space.
fn about(owner: Owner, version: u64, key: &str, environment: &str) -> String {
    format!(
        "variable {} {version} {key} {environment}",
        owner_text(owner)
    )
}

pub(super) fn owner_text(owner: Owner) -> String {
    match owner {
        Owner::Instance => "instance".to_owned(),
        Owner::Group(id) => format!("group-{}", number(id.0)),
        Owner::Project(id) => format!("project-{}", number(id.0)),
    }
}
