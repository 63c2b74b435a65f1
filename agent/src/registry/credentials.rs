//! The logins of one job, in the order in which they count.

use std::collections::BTreeMap;

use fleet_model::RegistryLogin;
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::{Auth, Entry};
use super::key;
use super::reference::Reference;

/// How Docker's client knows its own registry.
pub(super) const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// All logins of a job, one for each registry or part of a registry.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    logins: Vec<Login>,
}

/// One login.
#[derive(Clone, Debug)]
pub struct Login {
    /// For what: `host[:port][/path]` as it was written.
    pub key: String,
    pub(super) registry: String,
    /// Where it is from, in words for the job's log.
    pub source: String,
    /// What it is.
    pub auth: Auth,
}

/// The parts of Docker's `config.json` that tell of logins.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Config {
    auths: Option<BTreeMap<String, Entry>>,
    /// The program that keeps all logins.
    #[serde(rename = "credsStore")]
    pub(super) store: Option<String>,
    /// Programs that keep those of one registry each.
    #[serde(rename = "credHelpers")]
    pub(super) helpers: Option<BTreeMap<String, String>>,
}

impl Config {
    /// Reads it; where it breaks otherwise, for the text holds passwords.
    pub(super) fn read(text: &str) -> Result<Config, String> {
        match serde_json::from_str(text) {
            // An array would do for serde, too.
            Ok(config) if text.trim_start().starts_with('{') => Ok(config),
            Ok(_) => Err(String::new()),
            Err(error) => Err(format!(
                " (line {}, column {})",
                error.line(),
                error.column()
            )),
        }
    }
}

fn not_docker(source: &str, place: &str) -> String {
    format!("{source} is left out: it is not Docker's config.json{place}")
}

impl Credentials {
    /// The logins of a job: those of its variable `DOCKER_AUTH_CONFIG`, then
    /// those its project has. The first of a registry counts.
    ///
    /// A text that cannot be read is left out as a whole, with a warning; so are
    /// the credential helpers it names, for a job does not choose what the agent
    /// runs.
    pub fn of(
        auth_config: Option<&str>,
        logins: &[RegistryLogin],
        warn: &mut dyn FnMut(String),
    ) -> Credentials {
        let mut credentials = Credentials::default();
        if let Some(text) = auth_config.filter(|text| !text.trim().is_empty()) {
            credentials.add_config(text, "$DOCKER_AUTH_CONFIG", warn);
        }
        for login in logins {
            let source = "job payload (GitLab Registry)";
            credentials.add(&login.registry, source, Auth::from(login));
        }
        credentials
    }

    /// The logins that stand in the text of a `config.json` itself.
    pub(super) fn of_text(text: &str, source: &str) -> Result<Credentials, String> {
        let mut credentials = Credentials::default();
        let mut failed = None;
        let Config { auths, .. } =
            Config::read(text).map_err(|place| not_docker(source, &place))?;
        credentials.add_auths(auths, source, &mut |text| failed = Some(text));
        failed.map_or(Ok(credentials), Err)
    }

    fn add_config(&mut self, text: &str, source: &str, warn: &mut dyn FnMut(String)) {
        let config = match Config::read(text) {
            Ok(config) => config,
            Err(place) => return warn(not_docker(source, &place)),
        };
        let helped: Vec<&str> = config.helpers.iter().flatten().map(|(k, _)| &**k).collect();
        if config.store.is_some() || !helped.is_empty() {
            let of = match &helped[..] {
                [] => String::new(),
                helped => format!(" (credHelpers for {})", helped.join(", ")),
            };
            warn(format!(
                "{source} names credential helpers{of}: they are not run; put the logins under \
                 `auths`"
            ));
        }
        self.add_auths(config.auths, source, warn);
    }

    fn add_auths(
        &mut self,
        auths: Option<BTreeMap<String, Entry>>,
        source: &str,
        warn: &mut dyn FnMut(String),
    ) {
        let mut read = Vec::new();
        for (key, entry) in auths.unwrap_or_default() {
            match entry.auth() {
                Ok(auth) => read.extend(auth.map(|auth| (key, auth))),
                Err(why) => {
                    return warn(format!("{source} is left out: the entry {key}: {why}"));
                }
            }
        }
        for (key, auth) in read {
            self.add(&key, source, auth);
        }
    }

    fn add(&mut self, key: &str, source: &str, auth: Auth) {
        let registry = fleet_model::registry_key(key);
        if self.logins.iter().any(|login| login.registry == registry) {
            return;
        }
        self.logins.push(Login {
            key: key.to_owned(),
            registry,
            source: source.to_owned(),
            auth,
        });
    }

    /// The login that `image` is pulled with: the one for the longest part of
    /// its name; without one it is pulled anonymously.
    #[must_use]
    pub fn for_image(&self, image: &Reference) -> Option<&Login> {
        let image = image.normalized();
        key::candidates(&image)
            .find_map(|candidate| self.logins.iter().find(|login| login.registry == candidate))
    }

    /// Docker's `config.json` with all of them.
    ///
    /// Docker's own client knows hosts only: a host of which there are logins for
    /// paths alone has the first of them.
    #[must_use]
    pub fn config_json(&self) -> String {
        let mut auths = serde_json::Map::new();
        let name = |registry: &str| match registry {
            "docker.io" => DOCKER_HUB.to_owned(),
            registry => registry.to_owned(),
        };
        for login in &self.logins {
            auths.insert(name(&login.registry), json!(Entry::from(&login.auth)));
        }
        for login in &self.logins {
            let host = login.registry.split('/').next().unwrap_or_default();
            auths
                .entry(name(host))
                .or_insert_with(|| json!(Entry::from(&login.auth)));
        }
        format!("{:#}\n", json!({ "auths": Value::Object(auths) }))
    }

    /// What of them must not show in the job's log.
    pub fn secrets(&self) -> impl Iterator<Item = String> {
        self.logins.iter().flat_map(|login| login.auth.secrets())
    }
}
