//! From a commit of a repository to a plan, or to why there is none.

use std::collections::BTreeMap;
use std::time::Duration;

use fleet_language::evaluate::{EMPTY, FILTERED};
use fleet_language::render::short;
use fleet_language::{Commit, Context, Diagnostic, Files, Reach, Severity};
use fleet_model::{Included, Plan};

use super::{Error, Event, git};
use crate::source::{AtCommit, Elsewhere, Failure, GitError, Objects, Repository, Stop, visible};

/// Reading, and then compiling, a configuration is given up after this long.
const DEADLINE: Duration = Duration::from_secs(60);
/// Findings that a pipeline keeps.
const MOST: usize = 50;

/// A commit, and its configuration if it has one.
pub(super) struct Found {
    pub(super) objects: Objects,
    pub(super) commit: Commit,
    pub(super) text: Option<Vec<u8>>,
}

/// A configuration, and what it includes beside the commit's files.
pub(super) struct Configuration {
    /// What findings call it.
    pub(super) name: String,
    pub(super) text: Vec<u8>,
    pub(super) files: BTreeMap<String, Vec<u8>>,
}

/// The files of a commit, and others under names that none of them has.
struct With<'a> {
    commit: &'a dyn Files,
    others: BTreeMap<String, Vec<u8>>,
}

impl Files for With<'_> {
    fn read(&self, path: &str) -> Option<Vec<u8>> {
        let other = self.others.get(path).cloned();
        other.or_else(|| self.commit.read(path))
    }

    fn paths(&self) -> Vec<String> {
        let mut paths = self.commit.paths();
        paths.extend(self.others.keys().cloned());
        paths
    }

    fn changed_since(&self, reference: &str) -> Option<Vec<String>> {
        self.commit.changed_since(reference)
    }
}

/// What the compiler made of a configuration, and of which files.
pub(super) struct Judged {
    pub(super) outcome: Compiled,
    pub(super) included: Vec<Included>,
}

/// What the compiler made of a configuration.
pub(super) enum Compiled {
    /// With what there is to warn of.
    Plan(Box<Plan>, Vec<String>),
    Errors(Vec<String>),
    /// The event is not wanted, which is nobody's mistake.
    Nothing(String),
}

/// Looks for the commit of an event; none where what it names leads to none.
pub(super) async fn find(
    repository: &Repository,
    event: &Event,
    stop: &Stop,
) -> Result<Option<Found>, Error> {
    let mut objects = repository.objects(stop.clone());
    let (object, path) = (event.object.clone(), event.project.config_path().to_owned());
    let work = move || -> Result<Option<Found>, GitError> {
        let Some(commit) = objects.commit(&object)? else {
            return Ok(None);
        };
        let text = objects.file(&commit.sha, &path)?;
        Ok(Some(Found {
            objects,
            commit,
            text,
        }))
    };
    match blocking(stop, work).await {
        Some(found) => found.map_err(|error| git(&error)),
        None => Err(Error::Internal(format!(
            "reading commit {} took too long",
            event.object
        ))),
    }
}

/// Compiles a configuration for the context's commit; `elsewhere` has what is not of
/// it.
pub(super) async fn compile(
    objects: Objects,
    configuration: Configuration,
    context: Context,
    elsewhere: impl FnOnce(Failure) -> Elsewhere + Send + 'static,
    stop: &Stop,
) -> Result<Judged, Error> {
    let refused = |error: String| Judged {
        outcome: Compiled::Errors(vec![error]),
        included: Vec::new(),
    };
    let Configuration {
        name: path,
        text,
        files: others,
    } = configuration;
    let text = match String::from_utf8(text) {
        Ok(text) => text,
        Err(error) => {
            let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
            let error = format!("{path}:{line}:1: error: the file is not UTF-8 text");
            return Ok(refused(error));
        }
    };
    let root = path.clone();
    let work = move || {
        let failure = Failure::default();
        let commit = AtCommit::new(objects, &context.commit.sha, failure.clone());
        let files = With {
            commit: &commit,
            others,
        };
        let reach = Reach {
            files: &files,
            fetch: &elsewhere(failure.clone()),
        };
        let compiled = fleet_language::compile((&root, &text), &context, reach);
        match failure.take() {
            Some(error) => Err(error),
            None => Ok(Judged {
                included: compiled.included.clone(),
                outcome: judged(compiled),
            }),
        }
    };
    match blocking(stop, work).await {
        Some(compiled) => compiled.map_err(|error| git(&error)),
        // It would not go better another time.
        None => Ok(refused(format!(
            "{path}:1:1: error: the configuration could not be compiled within {} s",
            DEADLINE.as_secs()
        ))),
    }
}

fn judged(compiled: fleet_language::Compiled) -> Compiled {
    let of = |severity| {
        let all = compiled.diagnostics.iter();
        all.filter(move |it| it.severity == severity)
    };
    let lines = |severity| -> Vec<String> {
        let line = |it: &Diagnostic| {
            let line = short(it, &compiled.sources);
            let help = it.help.as_deref().map(|help| format!(" ({help})"));
            visible(&(line + &help.unwrap_or_default()))
        };
        of(severity).take(MOST).map(line).collect()
    };
    let unwanted = of(Severity::Error).find(|it| [FILTERED, EMPTY].contains(&it.code));
    if let Some(why) = unwanted.filter(|_| of(Severity::Error).count() == 1) {
        return Compiled::Nothing(match &why.help {
            Some(help) => visible(&format!("{} ({help})", why.message)),
            None => visible(&why.message),
        });
    }
    let errors = lines(Severity::Error);
    match compiled.plan {
        Some(plan) if errors.is_empty() => {
            let mut warnings = lines(Severity::Warning);
            warnings.extend(lines(Severity::Note));
            Compiled::Plan(Box::new(plan), warnings)
        }
        _ => Compiled::Errors(errors),
    }
}

/// Does work that blocks; none if it was not done in time, or broke.
async fn blocking<T: Send + 'static>(
    stop: &Stop,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    match tokio::time::timeout(DEADLINE, tokio::task::spawn_blocking(work)).await {
        Ok(Ok(done)) => Some(done),
        Ok(Err(error)) => {
            tracing::error!(%error, "the work on a configuration broke");
            None
        }
        Err(_) => {
            stop.stop();
            None
        }
    }
}
