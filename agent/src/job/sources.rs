//! The stages around the job's sources.

use std::path::Path;

use tokio::time::sleep;

use super::attempts::pauses;
use super::failure::Failure;
use super::run::Running;
use super::script::no_environment;
use crate::bulk::Bulk;
use crate::executor::{Executor, Place};
use crate::log::Sink;
use crate::source::{self, Request, Strategy};

impl<X: Executor, B: Bulk, S: Sink + Send> Running<'_, X, B, S> {
    /// Fetches the sources, more than once if the job allows it.
    pub(super) async fn get_sources(&mut self) -> Result<(), Failure> {
        let attempts = self.attempts("GET_SOURCES_ATTEMPTS");
        let growing = self
            .settled
            .flags
            .is_on("FF_USE_EXPONENTIAL_BACKOFF_STAGE_RETRY");
        let mut pauses = pauses(attempts, growing);
        let mut tried = 0;
        loop {
            tried += 1;
            let result = match tried {
                2 => match self.clear_worktree().await {
                    Ok(()) => self.get_sources_once().await,
                    failed => failed,
                },
                _ => self.get_sources_once().await,
            };
            let Err(failure) = result else { return Ok(()) };
            let Some(pause) = pauses.next().filter(|_| self.reins.pulled().is_none()) else {
                return Err(failure);
            };
            self.console
                .warning(format!("get_sources failed: {failure}"));
            if !pause.is_zero() {
                self.reins.unless_pulled(sleep(pause)).await?;
            }
        }
    }

    async fn get_sources_once(&mut self) -> Result<(), Failure> {
        let fetches = !matches!(
            self.settled.options.strategy,
            Strategy::None | Strategy::Empty
        );
        if fetches {
            self.run_hook("pre_get_sources_script").await?;
        }
        self.with_sources(Work::Fetch).await?;
        if fetches {
            self.run_hook("post_get_sources_script").await?;
        }
        Ok(())
    }

    /// Before the second attempt: what the first left may be its cause.
    async fn clear_worktree(&mut self) -> Result<(), Failure> {
        if !Path::new(&self.settled.folders.project).exists() {
            return Ok(());
        }
        let heading = "Deleting all tracked and untracked files due to source fetch failure";
        self.console.begin("clear_worktree", heading.into());
        let result = self.with_sources(Work::Clear).await;
        self.console.end("clear_worktree");
        result
    }

    /// Removes what must not outlive the job, and what its next job must not
    /// find if the user says so. No failure here changes the result.
    pub(super) async fn clean_up(&mut self) -> Result<(), Failure> {
        self.remove_secrets();
        if !self.settled.flags.is_on("FF_ENABLE_JOB_CLEANUP") {
            return Ok(());
        }
        match self.with_sources(Work::CleanUp).await {
            Err(failure) if failure.ends_all() => Err(failure),
            Err(failure) => {
                self.console
                    .warning(format!("cleaning up the project folder: {failure}"));
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    async fn run_hook(&mut self, name: &str) -> Result<(), Failure> {
        let job = self.job;
        let Some(hook) = job.spec.hooks.iter().find(|hook| hook.name == name) else {
            return Ok(());
        };
        if hook.script.is_empty() {
            return Ok(());
        }
        // Its working directory; the checkout makes it otherwise.
        let project = &self.settled.folders.project;
        std::fs::create_dir_all(project)
            .map_err(|error| Failure::System(format!("make the folder {project}: {error}")))?;
        self.run_program(None, name, &hook.script, Place::Helper)
            .await
    }

    async fn with_sources(&mut self, work: Work) -> Result<(), Failure> {
        let Running {
            job,
            environment,
            console,
            reins,
            settled,
            ..
        } = self;
        let environment = environment.as_mut().ok_or_else(no_environment)?;
        let request = Request {
            source: &job.spec.source,
            options: &settled.options,
            project: Path::new(&settled.folders.project),
            temporary: Path::new(&settled.folders.temporary),
            builds: Path::new(&settled.folders.builds),
            variables: &settled.variables,
            token: &job.spec.token.0,
            users: X::USERS,
        };
        let say = &mut |said: source::Said<'_>| console.said(said);
        let result = match work {
            Work::Fetch => source::fetch(&request, environment, say, reins).await,
            Work::Clear => source::clear_worktree(&request, environment, say, reins).await,
            Work::CleanUp => source::clean_up(&request, environment, say, reins).await,
        };
        result.map_err(|error| match error {
            source::Error::Git { code: -1 } => Failure::Signal,
            source::Error::Git { code } => Failure::Exit {
                code,
                called: X::EXIT,
            },
            source::Error::Stopped => reins.pulled().unwrap_or(Failure::Aborted),
            source::Error::Refused(text) => Failure::Configuration(text),
            source::Error::Executor(error) => error.into(),
            source::Error::File { .. } => Failure::System(error.to_string()),
        })
    }
}

#[derive(Clone, Copy)]
enum Work {
    Fetch,
    Clear,
    CleanUp,
}
