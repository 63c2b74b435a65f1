//! The images of a job: looked for on the host, or pulled with the job's own
//! logins.
//!
//! A pull policy says whether an image that lies on the host will do. It does only
//! for a project that has a right to it ([`Grants`]): that it was pulled for
//! another one, with that one's logins, is no reason.

mod grants;
mod progress;
mod pull;
mod trouble;

use std::path::Path;
use std::time::Duration;

use bollard::Docker;
use bollard::models::ImageInspect;
use fleet_model::{FailureReason, ProjectId, PullPolicy};

use crate::executor::{Error, Say};
use crate::glob::Glob;
use crate::registry::{self, Credentials, Reference};

use grants::Grants;
use pull::Pull;
use trouble::Trouble;

/// An image that is wanted.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// Its name, expanded.
    pub(super) name: &'a str,
    /// `linux/arm64`; none: the engine's own.
    pub(super) platform: Option<&'a str>,
    /// What the job says of pulling, in order; empty: nothing.
    pub(super) policies: &'a [PullPolicy],
    /// What the agent does where the job says nothing; never empty.
    pub(super) agent_policies: &'a [PullPolicy],
    /// What jobs may ask for; empty: the agent's own.
    pub(super) allowed_policies: &'a [PullPolicy],
    /// The job's logins.
    pub(super) credentials: &'a Credentials,
    /// The `config.json` of the host's own user, whose logins come next.
    pub(super) user_config: Option<&'a Path>,
    /// Whose images on the host count as there.
    pub(super) presence: Presence<'a>,
    /// How long a pull may stand still.
    pub(super) pull_timeout: Duration,
}

/// Which images that lie on the host a job may use without pulling them.
#[derive(Clone, Copy)]
pub(super) enum Presence<'a> {
    /// All: the host is its user's own.
    All,
    /// Those that were pulled anonymously, or for the same project.
    Granted {
        /// Where it is recorded what was pulled for whom.
        folder: &'a Path,
        /// The job's project.
        project: ProjectId,
        /// Patterns of the names of images that all jobs may use.
        shared: &'a [String],
        /// Whether jobs have the engine itself: then what nobody pulled, but some
        /// job built, is everybody's anyway.
        gives_socket: bool,
    },
}

/// An image on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Obtained {
    /// `sha256:…`
    pub(super) id: String,
    /// What containers are made of: the repository with the image's digest, or the
    /// ID where it has none.
    pub(super) reference: String,
}

/// Makes sure that the image is on the host and that the job may use it.
///
/// Dropping the future ends a pull.
///
/// # Errors
/// [`Error::Final`] with the reason, after every policy was tried;
/// [`Error::Engine`] if the engine is in no state to answer.
pub(super) async fn obtain(
    engine: &Docker,
    wanted: &Wanted<'_>,
    say: &mut dyn Say,
) -> Result<Obtained, Error> {
    let image = Image::read(wanted.name)?;
    let policies = effective(wanted)?;
    say.plain(&format!(
        "Using effective pull policy of {} for container {}",
        listed(&policies),
        wanted.name
    ));
    let search = Search {
        engine,
        wanted,
        image,
    };
    let mut last = None;
    for (tried, policy) in policies.iter().enumerate() {
        if tried > 0 {
            say.info(&format!(
                "Attempt #{}: Trying \"{policy}\" pull policy",
                tried + 1
            ));
        }
        match search.under(*policy, say).await {
            Ok(obtained) => return Ok(obtained),
            // No other policy helps.
            Err(Trouble::Engine(text)) => return Err(Error::Engine(text)),
            Err(trouble) => {
                say.warning(&format!(
                    "Failed to pull image with policy \"{policy}\": {trouble}"
                ));
                last = Some(trouble);
            }
        }
    }
    let (reason, why) = last.map_or_else(
        || (FailureReason::RUNNER_SYSTEM_FAILURE, String::new()),
        |trouble| (trouble.reason(), trouble.to_string()),
    );
    Err(Error::Final {
        reason,
        message: format!(
            "failed to pull image \"{}\" with specified policies {}: {why}",
            wanted.name,
            listed(&policies)
        ),
    })
}

/// How an image is named.
enum Image {
    /// By its ID on this host, with or without `sha256:`, or the start of it. An
    /// image whose name looks the same comes first, as in Docker.
    Id(String, Option<Reference>),
    Name(Reference),
}

impl Image {
    fn read(name: &str) -> Result<Image, Error> {
        const SHORTEST: usize = 12;
        let digits = name.strip_prefix("sha256:").unwrap_or(name);
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if (SHORTEST..=64).contains(&digits.len()) && digits.bytes().all(is_hex) {
            let whole = digits.len() == 64 || digits.len() < name.len();
            let reference = Reference::parse(name).ok().filter(|_| !whole);
            return Ok(Image::Id(name.to_owned(), reference));
        }
        match Reference::parse(name) {
            Ok(reference) => Ok(Image::Name(reference)),
            Err(error) => Err(configuration(error.to_string())),
        }
    }
}

struct Search<'a> {
    engine: &'a Docker,
    wanted: &'a Wanted<'a>,
    image: Image,
}

impl Search<'_> {
    async fn under(&self, policy: PullPolicy, say: &mut dyn Say) -> Result<Obtained, Trouble> {
        let reference = match &self.image {
            Image::Name(reference) => reference,
            Image::Id(name, reference) => {
                if let Some(found) = self.present(name).await? {
                    return Ok(self.found(None, None, found, say));
                }
                match reference {
                    Some(reference) => reference,
                    None => return Err(Trouble::NotOnHost(name.clone())),
                }
            }
        };
        if policy != PullPolicy::Always {
            if let Some(found) = self.present(&reference.to_string()).await? {
                say.info(&format!(
                    "Using locally found image version due to \"{policy}\" pull policy"
                ));
                return Ok(self.found(Some(reference), None, found, say));
            }
            if policy == PullPolicy::Never {
                return Err(Trouble::NotOnHost(reference.to_string()));
            }
        }
        let users;
        let login = match (
            self.wanted.credentials.for_image(reference),
            self.wanted.user_config,
        ) {
            (None, Some(config)) => {
                users = registry::of_user(config, reference)
                    .await
                    .unwrap_or_else(|why| {
                        say.warning(&format!("no login from {}: {why}", config.display()));
                        None
                    });
                users.as_ref()
            }
            (own, _) => own,
        };
        if let Some(login) = login {
            let source = &login.source;
            say.plain(&format!("Authenticating with credentials from {source}"));
        }
        let pull = Pull {
            engine: self.engine,
            name: self.wanted.name,
            reference,
            platform: self.wanted.platform,
            login,
            timeout: self.wanted.pull_timeout,
        };
        let digest = pull.run(say).await?;
        // By its digest: the tag may be another's meanwhile.
        let exact = match &digest {
            Some(digest) => format!("{}@{digest}", reference.repository()),
            None => reference.to_string(),
        };
        let mut found = self.inspect(&exact).await?;
        if found.is_none() && digest.is_some() {
            found = self.inspect(&reference.to_string()).await?;
        }
        let found = found.ok_or(Trouble::NotOnHost(exact))?;
        if let Presence::Granted {
            folder, project, ..
        } = self.wanted.presence
        {
            let whose = login.is_some().then_some(project);
            let id = found.id.as_deref().unwrap_or_default();
            if let Err(error) = Grants::new(folder).record(id, whose) {
                // It is pulled again where it need not be; nothing worse.
                tracing::warn!(%error, id, "who may use an image cannot be recorded");
            }
        }
        Ok(self.found(Some(reference), digest.as_deref(), found, say))
    }

    /// The image on the host, if it is there for this job.
    async fn present(&self, name: &str) -> Result<Option<ImageInspect>, Trouble> {
        let Some(found) = self.inspect(name).await? else {
            return Ok(None);
        };
        let fits = self
            .wanted
            .platform
            .is_none_or(|platform| fits(&found, platform));
        Ok((fits && self.may_use(&found)).then_some(found))
    }

    fn may_use(&self, found: &ImageInspect) -> bool {
        let Presence::Granted {
            folder,
            project,
            shared,
            gives_socket,
        } = self.wanted.presence
        else {
            return true;
        };
        let matches = |pattern: &String| {
            Glob::new(pattern).is_ok_and(|pattern| pattern.matches(self.wanted.name))
        };
        if shared.iter().any(matches) {
            return true;
        }
        let grants = Grants::new(folder);
        let id = found.id.as_deref().unwrap_or_default();
        grants.permit(id, project) || gives_socket && !grants.exist(id)
    }

    async fn inspect(&self, name: &str) -> Result<Option<ImageInspect>, Trouble> {
        use bollard::errors::Error::DockerResponseServerError as Answer;
        match self.engine.inspect_image(name).await {
            Ok(found) => Ok(Some(found)),
            Err(Answer {
                status_code: 404, ..
            }) => Ok(None),
            Err(error) => Err(Trouble::engine(
                format_args!("look for image {name}"),
                &error,
            )),
        }
    }

    /// Says which image is used.
    fn found(
        &self,
        reference: Option<&Reference>,
        pulled: Option<&str>,
        found: ImageInspect,
        say: &mut dyn Say,
    ) -> Obtained {
        let id = found.id.unwrap_or_default();
        let digests = found.repo_digests.unwrap_or_default();
        let own = reference.and_then(|reference| {
            let mut own = digests.iter().filter(|digest| {
                Reference::parse(digest).is_ok_and(|digest| digest.is_same_repository(reference))
            });
            let wanted = pulled.or(reference.digest());
            match wanted {
                Some(wanted) => own.find(|digest| digest.ends_with(wanted)),
                None => own.next(),
            }
        });
        let with_digest = own.map_or_else(String::new, |own| format!(" with digest {own}"));
        say.plain(&format!(
            "Using docker image {id} for {}{with_digest} ...",
            self.wanted.name
        ));
        Obtained {
            reference: own.cloned().unwrap_or_else(|| id.clone()),
            id,
        }
    }
}

/// What the job asks for as far as the agent allows it.
fn effective<'a>(wanted: &Wanted<'a>) -> Result<Vec<PullPolicy>, Error> {
    let or_agents = |policies: &'a [PullPolicy]| match policies {
        [] => wanted.agent_policies,
        policies => policies,
    };
    let asked = or_agents(wanted.policies);
    let allowed = or_agents(wanted.allowed_policies);
    let effective: Vec<PullPolicy> = asked
        .iter()
        .copied()
        .filter(|policy| allowed.contains(policy))
        .collect();
    if effective.is_empty() {
        let source = match wanted.policies {
            [] => "the agent's settings",
            _ => "GitLab pipeline config",
        };
        return Err(configuration(format!(
            "invalid pull policy for image \"{}\": pull_policy ({}) defined in {source} is not one \
             of the allowed_pull_policies ({})",
            wanted.name,
            listed(asked),
            listed(allowed)
        )));
    }
    Ok(effective)
}

fn listed(policies: &[PullPolicy]) -> String {
    let names: Vec<String> = policies.iter().map(ToString::to_string).collect();
    format!("[{}]", names.join(" "))
}

/// Whether an image is for `platform`: `os[/architecture[/variant]]`, as far as
/// both say.
fn fits(found: &ImageInspect, platform: &str) -> bool {
    let has = [&found.os, &found.architecture, &found.variant];
    platform.split('/').zip(has).all(|(wanted, has)| {
        let has = has.as_deref().unwrap_or_default();
        has.is_empty() || wanted == has
    })
}

fn configuration(message: String) -> Error {
    Error::Final {
        reason: FailureReason::RUNNER_CONFIGURATION_ERROR,
        message,
    }
}

#[cfg(test)]
mod tests;
