//! What proves to a registry who somebody is, and Docker's form of it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fleet_model::RegistryLogin;
use serde::{Deserialize, Serialize};

/// Docker's user name for a password that is an identity token.
const IDENTITY_TOKEN: &str = "<token>";

/// A login. Its `Debug` form does not show it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Auth {
    /// The user.
    pub username: String,
    /// Their password.
    pub password: String,
    /// Instead of a password: what an earlier login got.
    pub identity_token: String,
    /// Instead of both: shown to the registry as it is.
    pub registry_token: String,
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:[MASKED]", self.username)
    }
}

impl From<&RegistryLogin> for Auth {
    fn from(login: &RegistryLogin) -> Auth {
        Auth::of(&login.username, &login.password.0)
    }
}

impl Auth {
    /// The login of `username` with `password`; of the user `<token>` the
    /// password is an identity token.
    pub(super) fn of(username: &str, password: &str) -> Auth {
        if username == IDENTITY_TOKEN {
            return Auth {
                identity_token: password.to_owned(),
                ..Auth::default()
            };
        }
        Auth {
            username: username.to_owned(),
            password: password.to_owned(),
            ..Auth::default()
        }
    }

    /// What must not show in logs. A word this short is met everywhere, and
    /// nobody's password in earnest.
    pub(super) fn secrets(&self) -> impl Iterator<Item = String> {
        const SHORTEST: usize = 8;
        [
            self.password.clone(),
            self.identity_token.clone(),
            self.registry_token.clone(),
            Entry::from(self).auth,
        ]
        .into_iter()
        .filter(|secret| secret.len() >= SHORTEST)
    }
}

/// An entry of `auths` in Docker's `config.json`.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Entry {
    /// Base64 of `user:password`; counts before the two.
    #[serde(skip_serializing_if = "String::is_empty")]
    auth: String,
    #[serde(skip_serializing)]
    username: String,
    #[serde(skip_serializing)]
    password: String,
    #[serde(rename = "identitytoken", skip_serializing_if = "String::is_empty")]
    identity_token: String,
    #[serde(rename = "registrytoken", skip_serializing_if = "String::is_empty")]
    registry_token: String,
}

impl From<&Auth> for Entry {
    fn from(auth: &Auth) -> Entry {
        let encoded = match auth.username.is_empty() && auth.password.is_empty() {
            true => String::new(),
            false => STANDARD.encode(format!("{}:{}", auth.username, auth.password)),
        };
        Entry {
            auth: encoded,
            identity_token: auth.identity_token.clone(),
            registry_token: auth.registry_token.clone(),
            ..Entry::default()
        }
    }
}

impl Entry {
    /// The login; none where the entry is empty, as Docker's client leaves it
    /// behind where a credential helper has the password.
    pub(super) fn auth(self) -> Result<Option<Auth>, &'static str> {
        let (mut username, mut password) = (self.username, self.password);
        if !self.auth.is_empty() {
            let bytes = STANDARD
                .decode(self.auth.trim())
                .map_err(|_| "its auth is no base64")?;
            let text = String::from_utf8(bytes).map_err(|_| "its auth is no text")?;
            let (user, rest) = text
                .split_once(':')
                .ok_or("its auth is not user:password in base64")?;
            username = user.to_owned();
            password = rest.trim_end_matches('\0').to_owned();
        }
        let auth = Auth {
            username,
            password,
            identity_token: self.identity_token,
            registry_token: self.registry_token,
        };
        Ok((auth != Auth::default()).then_some(auth))
    }
}
