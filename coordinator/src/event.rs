//! What starts a pipeline: from an event and a commit to a compiled plan.
//!
//! ```text
//! Event (project, ref, object, who) ─► commit, configuration, changed paths ─► compile
//!   ─► a request, a configuration in error, or words why there is no pipeline
//! ```

mod compile;
mod context;
pub(crate) mod options;

use std::collections::BTreeMap;
use std::sync::Arc;

use fleet_language::{PipelineSource, RefKind};
use fleet_model::{AutoCancel, FailureReason, PipelineId, Plan, Retry, Variable};
use tokio::runtime;
use tokio::sync::Semaphore;

use crate::catalog::{Catalog, Project};
use crate::core::{Handle, HandleError};
use crate::downstream::{Failed, creation_failed};
use crate::pipeline::{NoJobs, Upstream};
use crate::source::{GitError, Includes, Repository, Stop, names, visible};
use crate::store::Batch;
use crate::{About, Request};
use compile::Compiled;

/// Configurations that are compiled at once; others wait.
const COMPILING: usize = 4;
/// Characters of a commit's title that are shown.
const LONGEST_TITLE: usize = 255;
/// Further tries of a job that was lost; GitLab's most.
const MOST_RETRIES: u32 = 2;

/// Something that may start a pipeline.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) project: Project,
    /// The full name: `refs/heads/main`.
    pub(crate) reference: String,
    /// What the ref names: a commit or a tag.
    pub(crate) object: String,
    pub(crate) kind: Kind,
    /// Login name of who did it.
    pub(crate) user: String,
    pub(crate) user_id: u64,
    /// The number of their token.
    pub(crate) token: String,
    /// Variables of its pipeline alone.
    pub(crate) variables: Vec<Variable>,
    /// Values for the inputs of the configuration.
    pub(crate) inputs: Inputs,
}

/// Values for inputs, by name. Texts are read as the input's type says.
pub(crate) type Inputs = Vec<(String, serde_json::Value)>;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The ref moved.
    Push {
        /// What it named before; zeros: it is new.
        old: String,
        /// The push option that wants no jobs.
        skip: Option<String>,
    },
    /// Somebody asked for a pipeline.
    Create(PipelineSource),
    /// A trigger job of this project or another wants one.
    Downstream {
        upstream: Upstream,
        /// None: with the configuration of the commit.
        child: Option<Box<ChildEvent>>,
    },
}

/// What a child pipeline is made of beside the commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChildEvent {
    /// What the ref named before the parent's event; empty: not known.
    pub(crate) before: String,
    /// What the configuration is called in findings.
    pub(crate) name: String,
    pub(crate) configuration: String,
    /// Files that it includes and the commit does not have.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
}

/// What came of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A pipeline.
    Created {
        pipeline: PipelineId,
        jobs: usize,
        /// `file:line:column: warning: message`.
        warnings: Vec<String>,
    },
    /// A pipeline that failed at once, because of its configuration.
    Invalid {
        pipeline: PipelineId,
        /// `file:line:column: error: message`.
        errors: Vec<String>,
    },
    /// A pipeline that only says that none was wanted.
    Skipped {
        pipeline: PipelineId,
        /// By what.
        why: String,
    },
    /// Rightly none, in words that follow `no pipeline:`.
    Nothing(String),
}

/// Why an event could not be handled; nothing came of it, and it may be tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// What it is about is not there, or the caller may not know of it.
    #[error("{0}")]
    NotFound(String),
    /// What is asked makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// There is rightly no pipeline for it.
    #[error("no pipeline: {0}")]
    NoPipeline(String),
    /// No new work is taken now.
    #[error("{0}")]
    NoRoom(String),
    /// The caller's role is not enough.
    #[error("{0}")]
    Denied(String),
    /// The coordinator is at fault.
    #[error("{0}")]
    Internal(String),
}

/// Makes pipelines of events; cheap to clone.
#[derive(Clone)]
pub(crate) struct Events {
    catalog: Catalog,
    core: Handle,
    server_url: String,
    registry: Option<String>,
    includes: Includes,
    compiling: Arc<Semaphore>,
}

impl Events {
    /// `server_url` is what people and agents reach the coordinator by, `registry`
    /// where its own registry is, `includes` what configurations may include.
    pub(crate) fn new(
        catalog: Catalog,
        core: Handle,
        server_url: &str,
        registry: Option<String>,
        includes: Includes,
    ) -> Events {
        Events {
            catalog,
            core,
            server_url: server_url.trim_end_matches('/').to_owned(),
            registry,
            includes,
            compiling: Arc::new(Semaphore::new(COMPILING)),
        }
    }

    /// Makes a pipeline of an event, or says why there is none.
    ///
    /// The changes of `with` are committed with the pipeline or not at all; it is asked
    /// for them when they are. Without a pipeline they are the caller's to make. What
    /// was made is durable when this returns.
    ///
    /// # Errors
    /// Nothing was made.
    pub(crate) async fn handle(
        &self,
        repository: &Repository,
        event: &Event,
        with: &(dyn Fn() -> Batch + Sync),
    ) -> Result<Outcome, Error> {
        let (request, errors) = match self.make(repository, event).await? {
            Made::Nothing(why) => return Ok(Outcome::Nothing(why)),
            Made::Skipped(request, why) => {
                let made = self.core.create_ended(*request, NoJobs::Skipped, with());
                let pipeline = made.await.map_err(refused)?;
                return Ok(Outcome::Skipped { pipeline, why });
            }
            Made::Invalid(request, errors) => (*request, errors),
            Made::Request(request, warnings) => {
                let again = Request {
                    plan: no_plan(),
                    ..(*request).clone()
                };
                match self.core.create_with(*request, with()).await {
                    Ok(created) => {
                        return Ok(Outcome::Created {
                            pipeline: created.pipeline,
                            jobs: created.jobs.len(),
                            warnings,
                        });
                    }
                    // It would be refused for ever, so the refusal is the outcome.
                    Err(HandleError::Rejected(why)) => (again, vec![why.to_string()]),
                    Err(error) => return Err(refused(error)),
                }
            }
        };
        let why = NoJobs::Invalid(errors.join("\n"));
        let pipeline = self.core.create_ended(request, why, with()).await;
        Ok(Outcome::Invalid {
            pipeline: pipeline.map_err(refused)?,
            errors,
        })
    }

    /// The request for the pipeline of a trigger job.
    ///
    /// # Errors
    /// There can be none; or not now.
    pub(crate) async fn downstream(
        &self,
        repository: &Repository,
        event: &Event,
    ) -> Result<Request, Failed> {
        let made = match self.make(repository, event).await {
            Ok(made) => made,
            Err(Error::NoRoom(_)) => return Err(Failed::NoRoom),
            Err(error) => return Err(creation_failed(error.to_string()).into()),
        };
        match made {
            Made::Request(request, _) => Ok(*request),
            Made::Skipped(_, why) | Made::Nothing(why) => Err(creation_failed(why).into()),
            Made::Invalid(_, errors) => Err(creation_failed(errors.join("\n")).into()),
        }
    }

    async fn make(&self, repository: &Repository, event: &Event) -> Result<Made, Error> {
        let word = context::word(&event.reference);
        if names::is_none(&event.object) {
            return Ok(Made::Nothing(format!("the {word} was deleted")));
        }
        let by_option = match &event.kind {
            Kind::Push {
                skip: Some(option), ..
            } => Some(format!("the push has the option {}", visible(option))),
            _ => None,
        };
        if let Kind::Push {
            skip: Some(option), ..
        } = &event.kind
            && options::leaves_nothing(option)
        {
            return Ok(Made::Nothing(by_option.unwrap_or_default()));
        }
        let stop = Stop::default();
        let Some(found) = compile::find(repository, event, &stop).await? else {
            return Ok(Made::Nothing(format!(
                "the {word} does not lead to a commit"
            )));
        };
        let by_words = match event.kind {
            Kind::Push { .. } => options::skip_words(&found.commit.message)
                .map(|words| format!("the commit's message has {words}")),
            Kind::Create(_) | Kind::Downstream { .. } => None,
        };
        let configuration = match &event.kind {
            Kind::Downstream {
                child: Some(child), ..
            } => Some(compile::Configuration {
                name: child.name.clone(),
                text: child.configuration.clone().into_bytes(),
                files: child.files.clone(),
            }),
            _ => found.text.map(|text| compile::Configuration {
                name: event.project.config_path().to_owned(),
                text,
                files: BTreeMap::new(),
            }),
        };
        let Some(configuration) = configuration else {
            let commit = found.commit.sha.get(..8).unwrap_or_default();
            let path = event.project.config_path();
            return Ok(Made::Nothing(format!("commit {commit} has no {path}")));
        };
        let mut context = context::of(
            &self.catalog,
            &self.server_url,
            repository,
            event,
            found.commit,
        )
        .await?;
        if let Some(host) = &self.registry {
            let variables = crate::registry::variables(host, &event.project.path);
            context.predefined.extend(variables);
        }
        let request = Box::new(self.request(event, &context));
        if let Some(why) = by_option.or(by_words) {
            return Ok(Made::Skipped(request, why));
        }
        let _turn = self.compiling.acquire().await;
        let (includes, token) = (self.includes.clone(), event.token.clone());
        let (runtime, its_stop) = (runtime::Handle::current(), stop.clone());
        let elsewhere = move |failure| includes.reach(&token, runtime, its_stop, failure);
        let objects = found.objects;
        let judged = compile::compile(objects, configuration, context, elsewhere, &stop).await?;
        let mut request = request;
        request.about.included = judged.included;
        Ok(match judged.outcome {
            Compiled::Plan(mut plan, warnings) => {
                apply_settings(&mut plan, &event.project);
                Made::Request(
                    Box::new(Request {
                        plan: *plan,
                        ..*request
                    }),
                    warnings,
                )
            }
            Compiled::Errors(errors) => Made::Invalid(request, errors),
            Compiled::Nothing(why) => Made::Nothing(why),
        })
    }

    /// The request, without its plan.
    fn request(&self, event: &Event, context: &fleet_language::Context) -> Request {
        let title = context.commit.message.lines().next().unwrap_or_default();
        let about = About {
            source: context.source.as_str().to_owned(),
            reference: context.reference.name.clone(),
            tag: context.reference.kind == RefKind::Tag,
            sha: context.commit.sha.clone(),
            title: visible(&title.chars().take(LONGEST_TITLE).collect::<String>()),
            user: event.user.clone(),
            token: Some(event.token.clone()),
            iid: context.iid,
            included: Vec::new(),
            before: match &event.kind {
                Kind::Push { .. } => context.before_sha.clone(),
                Kind::Downstream {
                    child: Some(child), ..
                } => child.before.clone(),
                Kind::Create(_) | Kind::Downstream { .. } => String::new(),
            },
        };
        Request {
            project: event.project.id,
            project_path: event.project.path.clone(),
            protected: context.reference.protected,
            plan: no_plan(),
            source: context::source(&self.server_url, &event.project, &about),
            settings: event.variables.clone(),
            about,
            upstream: match event.kind {
                Kind::Downstream { upstream, .. } => Some(upstream),
                Kind::Push { .. } | Kind::Create(_) => None,
            },
        }
    }
}

/// What was made of an event, before it has an id.
enum Made {
    /// With what there is to warn of.
    Request(Box<Request>, Vec<String>),
    /// With who wanted none.
    Skipped(Box<Request>, String),
    /// With what is wrong.
    Invalid(Box<Request>, Vec<String>),
    Nothing(String),
}

fn refused(error: HandleError) -> Error {
    match error {
        HandleError::NoRoom(why) => Error::NoRoom(why),
        HandleError::Gone => {
            Error::NoRoom("the coordinator is shutting down: try again when it is back".to_owned())
        }
        HandleError::Rejected(why) => Error::Internal(format!("create the pipeline: {why}")),
    }
}

/// What the project says where its jobs do not.
fn apply_settings(plan: &mut Plan, project: &Project) {
    let lost = FailureReason::RUNNER_SYSTEM_FAILURE.as_str();
    for job in &mut plan.jobs {
        job.timeout.get_or_insert(project.timeout());
        if !project.retry_lost() {
            continue;
        }
        if job.retry.max == 0 {
            job.retry = Retry {
                max: MOST_RETRIES,
                when: vec![lost.to_owned()],
                exit_codes: Vec::new(),
            };
        } else if !job
            .retry
            .when
            .iter()
            .any(|when| when == lost || when == "always")
        {
            job.retry.when.push(lost.to_owned());
        }
    }
}

fn no_plan() -> Plan {
    Plan {
        name: None,
        stages: Vec::new(),
        jobs: Vec::new(),
        auto_cancel: AutoCancel::default(),
        predefined: Vec::new(),
        user: Vec::new(),
    }
}

fn git(error: &GitError) -> Error {
    tracing::error!(error = error as &dyn std::error::Error, "git does not work");
    Error::Internal(format!(
        "the repository cannot be read now ({error}); the coordinator's log says more"
    ))
}
