//! Where a pipeline's files come from: the repositories the coordinator keeps, its
//! built-in git remote, and mirrors of others.
//!
//! | part | what |
//! |---|---|
//! | `repositories`, `objects`, `git` | bare repositories on disk, and the only way to git |
//! | `http` | git's smart HTTP: who may, streaming both ways |
//! | `push`, `rules`, `spool`, `receive`, `intent` | a push, from its first bytes to its pipelines |
//! | `mirror` | projects that live elsewhere |
//! | `includes` | what configurations include that is not of their own repository |
//! | `downstream` | pipelines that trigger jobs start |

mod downstream;
mod git;
mod http;
mod includes;
mod intent;
mod mirror;
pub(crate) mod names;
mod objects;
mod packet;
mod push;
mod receive;
mod repositories;
mod rules;
mod spool;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use fleet_language::PipelineSource;
use fleet_model::{PipelineId, ProjectId};
use fleet_queue::{CancelMode, Rejected};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::audit::Audit;
use crate::catalog::{Catalog, Principal, Project, Role};
use crate::core::{Handle, HandleError};
use crate::event::{Error, Event, Events, Kind, Outcome, options};
use crate::secret::Sealer;
use crate::store::{Batch, Journal, Records};

pub(crate) use git::Error as GitError;
pub(crate) use git::visible;
pub(crate) use includes::{Elsewhere, Includes, Settings as IncludeSettings};
use intent::Intents;
use mirror::{Mirrors, Transports};
pub(crate) use objects::{AtCommit, Failure, Objects, Stop};
use repositories::Repositories;
pub(crate) use repositories::Repository;

/// Bytes of one push.
const PUSH_BYTES: u64 = 2 << 30;
/// Pushes that are taken in at once; others wait a while, and then are refused.
const PUSHES: usize = 16;
/// Fetches that are answered at once; the same.
const FETCHES: usize = 64;
/// Credentials for mirrors, as `git credential-store` reads them, in the folder that
/// the repositories' folder is in.
const CREDENTIALS: &str = "git-credentials";

/// A pipeline that somebody asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct NewPipeline {
    /// The path of its project.
    pub(crate) project: String,
    /// The short or full name of a branch or tag; empty: the default branch.
    pub(crate) reference: String,
    pub(crate) variables: HashMap<String, String>,
    pub(crate) inputs: HashMap<String, String>,
}

/// What sources work with.
pub(crate) struct Setup {
    /// The folder of the repositories.
    pub(crate) root: PathBuf,
    pub(crate) catalog: Catalog,
    pub(crate) journal: Journal,
    pub(crate) sealer: Sealer,
    pub(crate) audit: Audit,
    pub(crate) core: Handle,
    /// `https://fleet.example`: what people and agents reach the remote by.
    pub(crate) url: String,
    /// The registry that trusts the coordinator's tokens: `host[:port]`.
    pub(crate) registry: Option<String>,
    /// Where configurations may include from.
    pub(crate) includes: IncludeSettings,
}

/// All repositories and what comes from them; cheap to clone.
#[derive(Clone)]
pub(crate) struct Sources(Arc<Inner>);

struct Inner {
    repositories: Repositories,
    mirrors: Arc<Mirrors>,
    intents: Intents,
    catalog: Catalog,
    journal: Journal,
    audit: Audit,
    core: Handle,
    events: Events,
    pushes: Arc<Semaphore>,
    fetches: Arc<Semaphore>,
    /// What goes on when its caller is gone.
    tasks: TaskTracker,
}

impl Sources {
    /// Takes over the repositories and the intents of an earlier process; waits for a
    /// git of it that still works. Before the remote is served, [`Sources::settle`]
    /// wants to be called.
    ///
    /// # Errors
    /// The folder cannot be used, or a record cannot be read.
    pub(crate) fn load(records: &mut Records, setup: Setup) -> io::Result<Sources> {
        Sources::with_mirrors(records, setup, Transports::Safe)
    }

    fn with_mirrors(
        records: &mut Records,
        setup: Setup,
        transports: Transports,
    ) -> io::Result<Sources> {
        let intents = Intents::load(records, setup.journal.clone(), setup.sealer);
        let root = std::path::absolute(setup.root)?;
        let credentials = root.with_file_name(CREDENTIALS);
        let repositories = Repositories::open(root)?;
        let mirrors = Arc::new(Mirrors::new(credentials, transports));
        let includes = Includes::new(
            setup.catalog.clone(),
            repositories.clone(),
            Arc::clone(&mirrors),
            &setup.url,
            setup.includes,
        );
        Ok(Sources(Arc::new(Inner {
            repositories,
            mirrors,
            intents: intents.map_err(io::Error::other)?,
            events: Events::new(
                setup.catalog.clone(),
                setup.core.clone(),
                &setup.url,
                setup.registry,
                includes,
            ),
            catalog: setup.catalog,
            journal: setup.journal,
            audit: setup.audit,
            core: setup.core,
            pushes: Arc::new(Semaphore::new(PUSHES)),
            fetches: Arc::new(Semaphore::new(FETCHES)),
            tasks: TaskTracker::new(),
        })))
    }

    /// Makes the pipelines of pushes that an earlier process had accepted, each once.
    /// What cannot be settled now is settled with the project's next push. What is left
    /// of deleted projects is removed.
    pub(crate) async fn settle(&self) {
        for id in self.0.intents.projects() {
            let _moving = self.0.repositories.lock(id).await;
            match self.0.catalog.project_by_id(id) {
                Some(project) => {
                    if let Err(why) = self.settle_project(&project).await {
                        let project = project.path;
                        tracing::error!(project, why, "pushes could not be settled");
                    }
                }
                None => self.forget_intents(id),
            }
        }
        self.clear_deleted().await;
    }

    /// Creates a pipeline for a branch or tag. A mirrored project is fetched first. The
    /// pipeline of a configuration that is in error is one too.
    ///
    /// # Errors
    /// [`Error`]; no pipeline was made.
    pub(crate) async fn create_pipeline(
        &self,
        wanted: NewPipeline,
        principal: &Principal,
    ) -> Result<PipelineId, Error> {
        let (project, role) = self.visible(&wanted.project, principal)?;
        if role < Role::Developer {
            return Err(Error::Denied(format!(
                "to create a pipeline in {} takes the role developer, and you are {role}",
                project.path
            )));
        }
        let variables = options::variables(wanted.variables).map_err(Error::Invalid)?;
        self.0
            .journal
            .accepts_work()
            .map_err(|no_room| Error::NoRoom(no_room.to_string()))?;
        let repository = self.repository(&project).await?;
        if let Some(address) = &project.mirror {
            let fetched = self.0.mirrors.fetch(project.id, &repository, address).await;
            // It is the other side's doing, mostly: the caller is told all of it.
            fetched.map_err(Error::NoPipeline)?;
        }
        let found = find(&project, &repository, &wanted.reference).await?;
        let sets_variables = !variables.is_empty();
        rules::may_create(&project, &found.name, role, sets_variables, "you are")
            .map_err(Error::Denied)?;
        let event = Event {
            project,
            reference: found.name,
            object: found.object,
            kind: Kind::Create(PipelineSource::Web),
            user: principal.user.clone(),
            user_id: principal.user_id,
            token: principal.token.clone(),
            variables,
            inputs: options::inputs(wanted.inputs),
        };
        let made = self.0.events.handle(&repository, &event, &Batch::default);
        match made.await? {
            Outcome::Created { pipeline, .. }
            | Outcome::Invalid { pipeline, .. }
            | Outcome::Skipped { pipeline, .. } => Ok(pipeline),
            Outcome::Nothing(why) => Err(Error::NoPipeline(why)),
        }
    }

    /// Removes what a deleted project left: pipelines, logs, artifacts, its repository
    /// and what was to be settled of it. What runs is stopped; what cannot be removed
    /// yet is [`Sources::clear_deleted`]'s another time.
    pub(crate) async fn clear(&self, project: ProjectId) {
        let repository = self.0.repositories.delete(project).await;
        if let Err(error) = &repository {
            tracing::error!(%project, %error,
                "the repository of a deleted project could not be removed; it is tried again");
        }
        self.forget_intents(project);
        self.0.mirrors.forget(project);
        if self.forget_pipelines(project).await && repository.is_ok() {
            self.0.catalog.cleared(project);
        }
    }

    /// Removes what is left of deleted projects.
    pub(crate) async fn clear_deleted(&self) {
        for project in self.0.catalog.deleted() {
            self.clear(project).await;
        }
    }

    /// Whether no pipeline of the project is left.
    async fn forget_pipelines(&self, project: ProjectId) -> bool {
        let core = &self.0.core;
        let mut stopped = None;
        loop {
            let refused = match core.forget_project(project).await {
                Ok(()) => return true,
                Err(refused) => refused,
            };
            match refused {
                // One that is stopped already has a job that is still to end.
                HandleError::Rejected(Rejected::PipelineActive(id)) if stopped != Some(id) => {
                    stopped = Some(id);
                    if core.cancel(id, CancelMode::Forced).await.is_err() {
                        return false;
                    }
                }
                _ => return false,
            }
        }
    }

    /// Git's smart HTTP, below every path.
    pub(crate) fn router(&self) -> axum::Router {
        http::router(self.clone())
    }

    /// Returns when all pushes and fetches under way have ended. None may come any more.
    pub(crate) async fn finish(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    /// A project that somebody may see, and what they may do there.
    fn visible(&self, path: &str, principal: &Principal) -> Result<(Project, Role), Error> {
        let found = self.0.catalog.project(path).and_then(|project| {
            let role = Catalog::role(principal, &project)?;
            Some((project, role))
        });
        found.ok_or_else(|| Error::NotFound(format!("there is no project {}", visible(path))))
    }

    /// The repository of a project, made if it is not there.
    async fn repository(&self, project: &Project) -> Result<Repository, Error> {
        let found = self.0.repositories.of(project.id, &project.default_branch);
        found.await.map_err(|error| unusable(&error))
    }

    fn forget_intents(&self, project: ProjectId) {
        for mut intent in self.0.intents.of(project) {
            intent.refs.clear();
            // If that is lost, the project is still not there next time.
            let _mark = self.0.intents.record(&intent);
        }
    }
}

/// The ref of this short or full name.
async fn find(
    project: &Project,
    repository: &Repository,
    reference: &str,
) -> Result<repositories::Ref, Error> {
    let name = match reference {
        "" => &project.default_branch,
        name => name,
    };
    let candidates = if name.starts_with("refs/") {
        vec![name.to_owned()]
    } else {
        vec![format!("refs/heads/{name}"), format!("refs/tags/{name}")]
    };
    for candidate in &candidates {
        names::check(candidate)
            .map_err(|why| Error::Invalid(format!("`{}` {why}", visible(name))))?;
    }
    let wanted: Vec<&str> = candidates.iter().map(String::as_str).collect();
    let mut found = repository
        .refs(Some(&wanted))
        .await
        .map_err(|error| unusable(&error))?;
    match (found.pop(), found.pop()) {
        (Some(found), None) => Ok(found),
        (None, _) => Err(Error::NotFound(format!(
            "{} has no branch or tag {name}",
            project.path
        ))),
        (Some(_), Some(_)) => Err(Error::Invalid(format!(
            "{name} is a branch and a tag: say refs/heads/{name} or refs/tags/{name}"
        ))),
    }
}

fn unusable(error: &GitError) -> Error {
    tracing::error!(error = error as &dyn std::error::Error, "git does not work");
    Error::Internal(format!("the repository cannot be used now: {error}"))
}
