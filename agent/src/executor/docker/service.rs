//! The containers beside a job: their names, and their start.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bollard::models::{ContainerCreateBody, HostConfig};
use fleet_model::{FailureReason, Service};

use super::labels::Kind;
use super::site::{Blueprint, Site};
use super::{Docker, allowed};
use crate::executor::{Error, Request, Say};
use crate::expand;

/// What a service's image name tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// Without the registry's port, tag and digest.
    pub(super) service: String,
    /// The tag, else `@` and the digest, else `latest`.
    pub(super) version: String,
    /// The host names it has by itself.
    pub(super) aliases: Vec<String>,
}

impl Named {
    /// Reads the name of an image as gitlab-runner does; none: it is no name.
    pub(super) fn read(name: &str) -> Option<Named> {
        let word = |text: &str| {
            let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
            !text.is_empty() && text.chars().all(inside)
        };
        let (rest, digest) = match name.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (name, None),
        };
        let last = rest.rfind('/').map_or(0, |at| at + 1);
        let (path, tag) = match rest[last..].find(':') {
            Some(at) => (&rest[..last + at], Some(&rest[last + at + 1..])),
            None => (rest, None),
        };
        let mut parts: Vec<&str> = path.split('/').collect();
        if parts.len() > 1
            && let Some((host, port)) = parts[0].split_once(':')
        {
            if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            parts[0] = host;
        }
        let hexadecimal = |digest: &str| {
            let (kind, sum) = digest.split_once(':').unwrap_or_default();
            word(kind) && !sum.is_empty() && sum.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        if !parts.iter().all(|part| word(part))
            || !tag.is_none_or(word)
            || !digest.is_none_or(hexadecimal)
        {
            return None;
        }
        let service = parts.join("/");
        let mut aliases = vec![service.replace('/', "__")];
        let other = service.replace('/', "-");
        if other != aliases[0] {
            aliases.push(other);
        }
        let version = match (tag, digest) {
            (Some(tag), _) => tag.to_owned(),
            (None, Some(digest)) => format!("@{digest}"),
            (None, None) => "latest".to_owned(),
        };
        Some(Named {
            service,
            version,
            aliases,
        })
    }

    /// As the log has it.
    fn shown(&self) -> String {
        match self.version.starts_with('@') {
            true => format!("{}{}", self.service, self.version),
            false => format!("{}:{}", self.service, self.version),
        }
    }
}

/// A service that runs.
#[derive(Clone, Debug)]
pub(super) struct Running {
    pub(super) id: String,
    /// Its container's.
    pub(super) name: String,
    /// As the log has it.
    pub(super) shown: String,
}

/// Starts services one after the other.
pub(super) struct Starter<'a> {
    docker: &'a Docker,
    site: &'a Arc<Site>,
    request: &'a Request<'a>,
    taken: BTreeSet<String>,
    running: Vec<Running>,
}

impl<'a> Starter<'a> {
    pub(super) fn new(
        docker: &'a Docker,
        site: &'a Arc<Site>,
        request: &'a Request<'a>,
    ) -> Starter<'a> {
        Starter {
            docker,
            site,
            request,
            // What the job's own container is called.
            taken: BTreeSet::from(["build".to_owned()]),
            running: Vec::new(),
        }
    }

    pub(super) fn finish(self) -> Vec<Running> {
        self.running
    }

    /// Starts a service.
    pub(super) async fn start(
        &mut self,
        index: usize,
        service: &Service,
        host: HostConfig,
        say: &mut dyn Say,
    ) -> Result<(), Error> {
        let name = &super::expand(self.request.variables, &service.image.name)?;
        allowed::check(
            name,
            &self.docker.settings.allowed_services,
            "services",
            say,
        )?;
        let configuration = |message: String| Error::Final {
            reason: FailureReason::RUNNER_CONFIGURATION_ERROR,
            message,
        };
        let named = Named::read(name)
            .ok_or_else(|| configuration(format!("invalid service image name: {name:?}")))?;
        let variables = self.request.variables;
        let user = super::expanded(variables, service.alias.as_ref())?.unwrap_or_default();
        let own = user
            .split([' ', '\t', '\n', ','])
            .filter(|alias| !alias.is_empty());
        let all = named.aliases.iter().map(String::as_str).chain(own);
        let mut aliases = Vec::new();
        for alias in all {
            if aliases.iter().any(|known| known == alias) {
                continue;
            }
            if self.taken.insert(alias.to_owned()) {
                aliases.push(alias.to_owned());
            } else {
                say.warning(&format!(
                    "Skipping alias \"{alias}\" for service \"{name}\" (services[{index}]): alias \
                     is already in use by another service."
                ));
            }
        }
        if aliases.is_empty() {
            return Ok(());
        }
        let shown = named.shown();
        say.plain(&format!("Starting service {shown}..."));
        let image = &service.image;
        let found = self
            .docker
            .obtain(self.request, self.site, image, name, say);
        let found = found.await?;
        let container = self.site.names.service(&named.service, index);
        let labels = [
            ("service", named.service.as_str()),
            ("service.version", named.version.as_str()),
        ];
        let blueprint = Blueprint {
            name: container.clone(),
            image: name.to_owned(),
            platform: super::expanded(variables, service.image.platform.as_ref())?,
            aliases,
            body: ContainerCreateBody {
                image: Some(found.reference),
                cmd: service.command.clone().filter(|words| !words.is_empty()),
                entrypoint: service
                    .image
                    .entrypoint
                    .clone()
                    .filter(|words| !words.is_empty()),
                env: Some(environment(variables, service)?),
                labels: Some(self.site.labels.of(Kind::Service, &labels)),
                user: super::expanded(variables, service.image.user.as_ref())?,
                host_config: Some(host),
                ..ContainerCreateBody::default()
            },
        };
        let id = self.site.start(blueprint).await?;
        self.running.push(Running {
            id,
            name: container,
            shown,
        });
        Ok(())
    }
}

/// What a service sees: of the job's variables those that are no secrets, and its
/// own, which may refer to all of them.
fn environment(all: &expand::Environment, service: &Service) -> Result<Vec<String>, Error> {
    let mut values: HashMap<&str, String> = HashMap::new();
    let mut order = Vec::new();
    for variable in all.variables().iter().filter(|variable| variable.public) {
        order.push(variable.key.as_str());
        values.insert(&variable.key, variable.value.clone());
    }
    for variable in &service.variables {
        let value = match variable.raw {
            true => variable.value.clone(),
            false => super::expand(all, &variable.value)?,
        };
        if values.insert(&variable.key, value).is_none() {
            order.push(&variable.key);
        }
    }
    let shown = order
        .into_iter()
        .filter_map(|key| super::assignment(key, values.get(key)?));
    Ok(shown.collect())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn services_have_gitlab_runners_names() {
        const ROWS: &str = include_str!("../../../tests/vectors/runner-service-aliases.txt");
        for row in crate::vectors::rows::<Value>(ROWS) {
            let text = |key: &str| row[key].as_str().unwrap().to_owned();
            let named = Named::read(&text("image"));
            if row.get("error").is_some() {
                assert_eq!(named, None, "{row}");
                continue;
            }
            let named = named.unwrap_or_else(|| panic!("{row}"));
            let aliases: Vec<Value> = named.aliases.iter().map(|a| a.as_str().into()).collect();
            assert_eq!(named.service, text("service"));
            assert_eq!(named.version, text("version"));
            assert_eq!(row["aliases"], Value::Array(aliases));
            let suffix = format!("{}-<index>", named.service.replace('/', "__"));
            assert_eq!(suffix, text("container_suffix"));
        }
    }

    #[test]
    fn services_see_no_secrets_but_those_given_to_them() {
        let mut secret = fleet_model::Variable::new("SECRET", "hidden");
        secret.public = false;
        let all = [fleet_model::Variable::new("A", "1"), secret];
        let all = expand::Environment::resolve(&all, "/tmp").unwrap();
        let service = Service {
            image: fleet_model::Image::default(),
            alias: None,
            command: None,
            variables: vec![
                fleet_model::Variable::new("PASSWORD", "$SECRET"),
                fleet_model::Variable::new("A", "$A$A"),
                fleet_model::Variable::new("RAW", "$A").raw(),
            ],
        };
        let environment = environment(&all, &service).unwrap();
        assert_eq!(environment, ["A=11", "PASSWORD=hidden", "RAW=$A"]);
    }
}
