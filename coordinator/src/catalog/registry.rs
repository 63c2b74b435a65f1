//! What jobs log in to registries with: users and passwords of the instance, of
//! groups and of projects.
//!
//! A login is known by its owner and the registry's key, `host[:port][/path]`, as
//! the keys of Docker's `auths` are. Passwords are sealed as values of variables
//! are, and nobody but a job reads them again.

mod key;

use std::collections::BTreeSet;

use fleet_model::{ProjectId, RegistryLogin, Token};
use serde::{Deserialize, Serialize};

use super::path::shortened;
use super::variable::owner_text;
use super::{Batch, Catalog, Error, Mark, Owner, State, now};
use crate::secret::{Sealed, Unreadable};
pub(crate) use key::registry_key;

/// A login to be.
#[derive(Clone)]
pub(crate) struct NewLogin {
    /// As somebody wrote it: `registry.example:5000`, `https://index.docker.io/v1/`.
    pub(crate) registry: String,
    /// `<token>` where the password is an identity token.
    pub(crate) username: String,
    pub(crate) password: String,
    /// Only jobs of protected refs get it.
    pub(crate) protected: bool,
}

/// Logins that may be so, one for each registry.
pub(crate) struct Logins(Vec<NewLogin>);

/// A login as people see it: without its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShownLogin {
    /// The key, as it is kept.
    pub(crate) registry: String,
    pub(crate) username: String,
    pub(crate) protected: bool,
    pub(crate) updated_at: u64,
}

/// What tells logins apart: owner, registry.
pub(super) type Key = (Owner, String);

/// A login as it stands in the store.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Record {
    owner: Owner,
    registry: String,
    username: String,
    protected: bool,
    /// Counts the passwords it had.
    version: u64,
    password: Sealed,
    updated_at: u64,
}

/// Where records of logins are.
pub(super) const PREFIX: &str = "registry/login/";
/// Logins of one owner.
const MOST: usize = 200;
/// Bytes of a user's name.
const LONGEST_USERNAME: usize = 1024;
/// Bytes of a password; a key file of a cloud has some 2,400.
const LONGEST_PASSWORD: usize = 64 << 10;

impl Catalog {
    /// Makes or replaces logins; all or none.
    ///
    /// # Errors
    /// The owner is gone, or there are too many.
    pub(crate) fn add_registry_logins(
        &self,
        owner: Owner,
        new: Logins,
    ) -> Result<(Vec<ShownLogin>, Mark), Error> {
        let checked = new.0;
        self.change(|state, batch| {
            state.check_owner(owner)?;
            let is_new =
                |login: &&NewLogin| !state.logins.contains_key(&(owner, login.registry.clone()));
            let added = checked.iter().filter(is_new).count();
            if state.logins_of(owner).count() + added > MOST {
                return Err(Error::Conflict(format!(
                    "there can be {MOST} registries, and these would be more: remove some"
                )));
            }
            let mut shown = Vec::with_capacity(checked.len());
            for login in checked {
                let key = (owner, login.registry.clone());
                let version = state.logins.get(&key).map_or(0, |known| known.version) + 1;
                let about = about(owner, version, &login.registry, &login.username);
                let record = Record {
                    owner,
                    password: self.shared.sealer.seal(&about, login.password.as_bytes()),
                    registry: login.registry,
                    username: login.username,
                    protected: login.protected,
                    version,
                    updated_at: now(),
                };
                batch.put(record.store_key(), &record);
                shown.push(record.shown());
                state.logins.insert(key, record);
            }
            Ok(shown)
        })
    }

    /// The logins of an owner, by their registries.
    pub(crate) fn list_registry_logins(&self, owner: Owner) -> Vec<ShownLogin> {
        self.read().logins_of(owner).map(Record::shown).collect()
    }

    /// Removes a login of the registry of this key.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn remove_registry_login(
        &self,
        owner: Owner,
        registry: &str,
    ) -> Result<Mark, Error> {
        let key = (owner, registry.to_owned());
        self.change(|state, batch| match state.logins.remove(&key) {
            Some(record) => {
                batch.delete(record.store_key());
                Ok(())
            }
            None => {
                let known: Vec<&str> = state
                    .logins_of(owner)
                    .map(|record| record.registry.as_str())
                    .collect();
                let registry = shortened(registry);
                Err(Error::NotFound(match known.len() {
                    0 => format!("there is no login for `{registry}`, nor for any other registry"),
                    1..=10 => format!(
                        "there is no login for `{registry}`; there is one for {}",
                        super::list(known)
                    ),
                    more => format!("there is no login for `{registry}`; there are {more} others"),
                }))
            }
        })
        .map(|((), mark)| mark)
    }

    /// What a project's jobs log in with, one for each registry: of those of the
    /// project, of its groups from the nearest up and of the instance the first.
    ///
    /// # Errors
    /// A password cannot be opened.
    pub(crate) fn registry_logins(
        &self,
        project: ProjectId,
        protected: bool,
    ) -> Result<Vec<RegistryLogin>, Unreadable> {
        let state = self.read();
        let mut logins: Vec<RegistryLogin> = Vec::new();
        for owner in state.owners(project).into_iter().rev() {
            for record in state.logins_of(owner) {
                let known = logins.iter().any(|login| login.registry == record.registry);
                if known || (record.protected && !protected) {
                    continue;
                }
                let about = about(owner, record.version, &record.registry, &record.username);
                let password = self.shared.sealer.open(&about, &record.password)?;
                logins.push(RegistryLogin {
                    registry: record.registry.clone(),
                    username: record.username.clone(),
                    password: Token(String::from_utf8_lossy(&password).into_owned()),
                });
            }
        }
        Ok(logins)
    }
}

impl State {
    pub(super) fn remove_logins(&mut self, owner: Owner, batch: &mut Batch) {
        let gone: Vec<Key> = self.logins_of(owner).map(Record::key).collect();
        for key in gone {
            if let Some(record) = self.logins.remove(&key) {
                batch.delete(record.store_key());
            }
        }
    }

    fn logins_of(&self, owner: Owner) -> impl Iterator<Item = &Record> {
        self.logins
            .range((owner, String::new())..)
            .map(|(_, record)| record)
            .take_while(move |record| record.owner == owner)
    }
}

impl Record {
    pub(super) fn key(&self) -> Key {
        (self.owner, self.registry.clone())
    }

    fn store_key(&self) -> String {
        format!("{PREFIX}{}/{}", owner_text(self.owner), self.registry)
    }

    fn shown(&self) -> ShownLogin {
        ShownLogin {
            registry: self.registry.clone(),
            username: self.username.clone(),
            protected: self.protected,
            updated_at: self.updated_at,
        }
    }
}

impl Logins {
    /// What is to be kept of some logins, if they may be so.
    ///
    /// # Errors
    /// One may not, or a registry comes twice. No text repeats a password.
    pub(crate) fn check(new: Vec<NewLogin>) -> Result<Logins, Error> {
        let mut checked = Vec::with_capacity(new.len());
        let mut seen = BTreeSet::new();
        for login in new {
            let login = login.checked()?;
            if !seen.insert(login.registry.clone()) {
                return Err(Error::Invalid(format!(
                    "`{}` comes twice: a registry has one login",
                    login.registry
                )));
            }
            checked.push(login);
        }
        Ok(Logins(checked))
    }

    /// Their keys.
    pub(crate) fn registries(&self) -> Vec<&str> {
        self.0.iter().map(|login| login.registry.as_str()).collect()
    }
}

impl NewLogin {
    /// What is to be kept of it, if it may be so.
    fn checked(mut self) -> Result<NewLogin, Error> {
        self.registry = registry_key(&self.registry)?;
        let registry = &self.registry;
        let odd = |c: char| c.is_control() || c == ':';
        if self.username.is_empty()
            || self.username.len() > LONGEST_USERNAME
            || self.username.contains(odd)
        {
            return Err(Error::Invalid(format!(
                "the user for `{registry}` must be one line without `:`, of at most \
                 {LONGEST_USERNAME} bytes"
            )));
        }
        if self.password.is_empty()
            || self.password.len() > LONGEST_PASSWORD
            || self.password.contains('\0')
        {
            return Err(Error::Invalid(format!(
                "the password for `{registry}` must be a text of 1 to {LONGEST_PASSWORD} bytes \
                 without NUL"
            )));
        }
        Ok(self)
    }
}

/// What a password is sealed as. Neither the owner's text nor a registry has a space.
fn about(owner: Owner, version: u64, registry: &str, username: &str) -> String {
    format!(
        "registry {} {version} {registry} {username}",
        owner_text(owner)
    )
}
