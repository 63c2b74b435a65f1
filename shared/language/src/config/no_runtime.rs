//! GitLab's keywords that are checked as GitLab does and that nothing here
//! carries out. Each is told of once, whatever the number of jobs with it.

use std::collections::BTreeMap;

use super::check::{Checker, Place};
use crate::Span;

/// One of these keywords.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum NoRuntime {
    ArtifactAccess,
    DastConfiguration,
    IdTokens,
    Identity,
    Kubernetes,
    Pages,
    Release,
    RunStep,
    Secrets,
}

/// A keyword that has no effect, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsupported {
    /// The code of its warning.
    pub code: &'static str,
    /// The keys it is about, as written in a file.
    pub keywords: &'static [&'static str],
    /// What does not happen, or what does instead.
    pub instead: &'static str,
    /// What to do.
    pub help: Option<&'static str>,
}

impl NoRuntime {
    pub(super) const ALL: &[NoRuntime] = &[
        NoRuntime::ArtifactAccess,
        NoRuntime::DastConfiguration,
        NoRuntime::IdTokens,
        NoRuntime::Identity,
        NoRuntime::Kubernetes,
        NoRuntime::Pages,
        NoRuntime::Release,
        NoRuntime::RunStep,
        NoRuntime::Secrets,
    ];

    pub(super) fn told(self) -> Unsupported {
        let told = |code, keywords, instead, help| Unsupported {
            code,
            keywords,
            instead,
            help,
        };
        match self {
            NoRuntime::ArtifactAccess => told(
                "no-runtime/artifact-access",
                &["public", "access", "expose_as"],
                "who may see a project may see its artifacts",
                None,
            ),
            NoRuntime::DastConfiguration => told(
                "no-runtime/dast-configuration",
                &["dast_configuration"],
                "there are no profiles to take settings from",
                Some("set the scanner's variables in the job"),
            ),
            NoRuntime::IdTokens => told(
                "no-runtime/id-tokens",
                &["id_tokens"],
                "the variables stay unset",
                Some("give the job a token as a masked variable of the project"),
            ),
            NoRuntime::Identity => told(
                "no-runtime/identity",
                &["identity"],
                "the job is not logged in",
                Some("log in in the script, with a masked variable of the project"),
            ),
            NoRuntime::Kubernetes => told(
                "no-runtime/kubernetes",
                &["kubernetes"],
                "there is no cluster",
                None,
            ),
            NoRuntime::Pages => told(
                "no-runtime/pages",
                &["pages", "publish"],
                "the folder is kept as an artifact, and nothing is published",
                Some("publish the folder in the script"),
            ),
            NoRuntime::Release => told(
                "no-runtime/release",
                &["release"],
                "no release is created",
                Some("create the release in the script"),
            ),
            NoRuntime::RunStep => told(
                "no-runtime/run-step",
                &["run"],
                "steps with a `script` run, the job fails at one without",
                Some("write the step as a `script`"),
            ),
            NoRuntime::Secrets => told(
                "no-runtime/secrets",
                &["secrets"],
                "no provider of secrets is configured, so the job fails before its script",
                Some("give the secret as a masked variable of the project"),
            ),
        }
    }
}

/// Where such keywords were met: the first place, and how many more.
#[derive(Debug, Default)]
pub(super) struct Met(BTreeMap<NoRuntime, (String, Span, usize)>);

impl Checker<'_> {
    /// A keyword was met at `place`.
    pub(super) fn no_runtime(&mut self, which: NoRuntime, place: &Place<'_>, span: Span) {
        let first = || (place.to_string(), span, 0);
        self.met
            .0
            .entry(which)
            .and_modify(|(_, _, more)| *more += 1)
            .or_insert_with(first);
    }

    /// Tells of all that were met.
    pub(super) fn tell_no_runtime(&mut self) {
        for (which, (place, span, more)) in std::mem::take(&mut self.met.0) {
            let told = which.told();
            let others = match more {
                0 => String::new(),
                1 => " (and one more)".to_owned(),
                more => format!(" (and {more} more)"),
            };
            let message = format!("{place}{others} is not carried out: {}", told.instead);
            self.warning(told.code, message, span).help = told.help.map(str::to_owned);
        }
    }
}

/// All of these keywords.
pub fn unsupported() -> impl Iterator<Item = Unsupported> {
    NoRuntime::ALL.iter().map(|which| which.told())
}
