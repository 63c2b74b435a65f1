//! The variables a job sees: its own among those the agent provides.

use std::time::Duration;

use fleet_model::{JobSpec, Source, Variable};

use super::flags::Flags;
use super::folders::Folders;
use super::{Job, platform};
use crate::duration;
use crate::expand::{Environment, short_token};
use crate::registry;

/// The whole list in order of precedence, the last of a name wins: the job's
/// own can replace what stands before them, not what stands after.
pub(super) fn list(
    job: &Job,
    flags: &Flags,
    folders: &Folders,
    timeout: Duration,
) -> Vec<Variable> {
    let spec = &job.spec;
    let plain = |key: &str, value: &str| Variable::new(key, value).raw();
    let mut all: Vec<Variable> = flags.variables().collect();
    // Not raw: an image's name refers to other variables.
    all.extend(
        spec.image
            .as_ref()
            .map(|image| Variable::new("CI_JOB_IMAGE", &image.name)),
    );
    all.extend([
        plain("CI_RUNNER_SHORT_TOKEN", short_token(&job.settings.name.0)),
        plain("CI_BUILDS_DIR", &folders.builds),
        plain("CI_PROJECT_DIR", &folders.project),
        plain("CI_CONCURRENT_ID", &job.slot.to_string()),
        plain("CI_CONCURRENT_PROJECT_ID", &job.project_slot.to_string()),
        plain("CI_SERVER", "yes"),
        plain("CI_JOB_STATUS", "running"),
        plain("CI_JOB_TIMEOUT", &timeout.as_secs().to_string()),
        plain("DOCKER_CONFIG", &registry::folder::path(&folders.temporary)),
    ]);
    all.extend(
        spec.variables
            .iter()
            .filter(|v| !v.key.starts_with("FF_"))
            .cloned(),
    );
    all.extend([
        match job.settings.docker {
            Some(_) => plain("CI_DISPOSABLE_ENVIRONMENT", "true"),
            None => plain("CI_SHARED_ENVIRONMENT", "true"),
        },
        plain("CI_RUNNER_VERSION", env!("CARGO_PKG_VERSION")),
        // gitlab-runner's own word where a build knows no revision.
        plain("CI_RUNNER_REVISION", "HEAD"),
        plain("CI_RUNNER_EXECUTABLE_ARCH", &platform()),
        plain("RUNNER_TEMP_PROJECT_DIR", &folders.temporary),
    ]);
    all
}

/// What must not show in the log, as far as it is known before the variables
/// are resolved.
pub(super) fn secrets(spec: &JobSpec) -> impl Iterator<Item = &str> {
    let masked = spec.variables.iter().filter(|variable| variable.masked);
    masked
        .map(|variable| variable.value.as_str())
        .chain([spec.token.0.as_str()])
        .chain(
            spec.registries
                .iter()
                .map(|login| login.password.0.as_str()),
        )
        .chain(password(&spec.source))
}

/// The password in a repository's URL.
fn password(source: &Source) -> Option<&str> {
    let Source::Git { repository, .. } = source else {
        return None;
    };
    let (_, rest) = repository.split_once("://")?;
    let (credentials, _) = rest.split('/').next()?.rsplit_once('@')?;
    credentials.split_once(':').map(|(_, password)| password)
}

/// The clock of a part of the job; none where it has no own.
pub(super) fn clock(
    variables: &Environment,
    name: &str,
    job_time_left: Duration,
    warn: &mut dyn FnMut(String),
) -> Option<Duration> {
    let text = variables.get(name).filter(|text| !text.is_empty())?;
    let Some(length) = duration::parse(text).and_then(duration::Span::duration) else {
        warn(format!("Ignoring malformed {name} timeout: {text}"));
        return None;
    };
    if length > job_time_left {
        warn(format!(
            "{name} timeout: {text} is longer than what is left to the job"
        ));
        return None;
    }
    (!length.is_zero()).then_some(length)
}

/// How often a stage is tried: 1 to 10.
pub(super) fn attempts(variables: &Environment, name: &str, warn: &mut dyn FnMut(String)) -> u32 {
    let Some(text) = variables.get(name).filter(|text| !text.is_empty()) else {
        return 1;
    };
    let wanted: i64 = text.parse().unwrap_or(0);
    let attempts = wanted.clamp(1, 10);
    if wanted != attempts {
        warn(format!(
            "{name}: number of attempts out of the range [1, 10], using {attempts}"
        ));
    }
    attempts.unsigned_abs() as u32
}
