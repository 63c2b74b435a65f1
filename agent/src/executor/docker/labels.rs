//! The labels by which everything of a job in the engine is found again.

use std::collections::HashMap;
use std::time::Duration;

use fleet_model::{JobSpec, Source};

use crate::duration::Span;
use crate::executor::Mark;
use crate::expand;

/// gitlab-runner's prefix: third-party cleaners go by it.
const PREFIX: &str = "com.gitlab.gitlab-runner";
/// The mark of the job it is of.
pub(super) const MARK: &str = "fleet.mark";
/// The name of the agent that made it.
const AGENT: &str = "fleet.agent";
const MANAGED: &str = "com.gitlab.gitlab-runner.managed";
/// The number of the slot whose network it is.
pub(super) const SLOT: &str = "fleet.slot";
/// Which agent made it: its [`system_id`](super::system_id).
pub(super) const SYSTEM: &str = "com.gitlab.gitlab-runner.runner.system_id";

/// What kind of thing is labelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Build,
    Service,
    Network,
    Cache,
}

/// The labels of one job's objects.
#[derive(Clone, Debug)]
pub(super) struct Labels(HashMap<String, String>);

/// Of whom they tell.
pub(super) struct Of<'a> {
    pub(super) spec: &'a JobSpec,
    pub(super) variables: &'a expand::Environment,
    pub(super) agent: &'a str,
    pub(super) system: &'a str,
    pub(super) mark: &'a Mark,
    pub(super) slot: u32,
    pub(super) project_slot: u32,
}

impl Labels {
    pub(super) fn new(of: &Of<'_>) -> Labels {
        let spec = of.spec;
        let variable = |key: &str| of.variables.get(key).unwrap_or_default().to_owned();
        let (sha, reference) = match &spec.source {
            Source::Git { sha, reference, .. } => (sha.clone(), reference.clone()),
            Source::Folder { .. } => (String::new(), String::new()),
        };
        let timeout = if spec.timeout.is_zero() {
            Duration::from_secs(7200)
        } else {
            spec.timeout
        };
        let theirs = [
            ("managed", "true".to_owned()),
            ("job.id", spec.id.0.to_string()),
            ("job.url", variable("CI_JOB_URL")),
            ("job.sha", sha),
            ("job.before_sha", variable("CI_COMMIT_BEFORE_SHA")),
            ("job.ref", reference),
            ("job.timeout", Span::from(timeout).to_string()),
            ("pipeline.id", spec.pipeline.0.to_string()),
            ("project.id", spec.project.0.to_string()),
            ("project.runner_id", of.project_slot.to_string()),
            ("runner.id", expand::short_token(of.agent).to_owned()),
            ("runner.local_id", of.slot.to_string()),
            ("runner.system_id", of.system.to_owned()),
        ];
        let theirs = theirs
            .into_iter()
            .map(|(key, value)| (format!("{PREFIX}.{key}"), value));
        let ours = [
            (MARK, of.mark.id().to_owned()),
            (AGENT, of.agent.to_owned()),
            ("fleet.job", spec.id.0.to_string()),
        ];
        let ours = ours.into_iter().map(|(key, value)| (key.to_owned(), value));
        Labels(theirs.chain(ours).collect())
    }

    /// Those of an object of this kind, and `more` under gitlab-runner's prefix.
    pub(super) fn of(&self, kind: Kind, more: &[(&str, &str)]) -> HashMap<String, String> {
        let kind = match kind {
            Kind::Build => Some("build"),
            Kind::Service => Some("service"),
            Kind::Cache => Some("cache"),
            // gitlab-runner gives networks no type.
            Kind::Network => None,
        };
        let mut labels = self.0.clone();
        labels.extend(kind.map(|kind| (format!("{PREFIX}.type"), kind.to_owned())));
        let more = more.iter();
        labels.extend(more.map(|(key, value)| (format!("{PREFIX}.{key}"), (*value).to_owned())));
        if kind == Some("cache") {
            // It outlives the job, so it is not of it.
            labels.remove(MARK);
        }
        labels
    }

    /// Those of the network of slot `slot`, which are no job's.
    pub(super) fn of_slot(&self, slot: u32) -> HashMap<String, String> {
        let mut labels = self.0.clone();
        labels.retain(|key, _| key == SYSTEM || key == AGENT || key == MANAGED);
        labels.insert(SLOT.to_owned(), slot.to_string());
        labels
    }
}
