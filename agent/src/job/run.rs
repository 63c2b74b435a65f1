//! Carrying a job's stages out.

use std::path::Path;
use std::time::Duration;

use fleet_model::Outcome;
use tokio::sync::watch;
use tokio::time::sleep;

use super::console::Console;
use super::failure::Failure;
use super::flags::Flags;
use super::folders::Folders;
use super::plan::{Condition, Result as Standing, Stage, plan};
use super::reins::{Part, Reins};
use super::{Control, Finished, Job, Remains, variables};
use crate::bulk::Bulk;
use crate::executor::{self, Executor};
use crate::expand::Environment as Variables;
use crate::log::{Defaults, Masks, Sink};
use crate::registry::{self, Credentials};
use crate::script::remove_file_variables;
use crate::source::Options;

/// The clock of a job that has none.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(7200);
const PREPARE_ATTEMPTS: u32 = 3;
const PREPARE_PAUSE: Duration = Duration::from_secs(3);

/// A job under way.
pub(super) struct Running<'a, X: Executor, B, S> {
    pub(super) job: &'a Job,
    pub(super) executor: &'a X,
    pub(super) bulk: B,
    pub(super) console: Console<S>,
    pub(super) reins: Reins,
    pub(super) settled: Settled,
    /// Prepared by the first stage.
    pub(super) environment: Option<X::Environment>,
    progress: Progress,
}

/// What is known of a job before anything is done for it.
pub(super) struct Settled {
    pub(super) folders: Folders,
    pub(super) flags: Flags,
    pub(super) variables: Variables,
    pub(super) options: Options,
    /// For registries.
    pub(super) credentials: Credentials,
}

#[derive(Default)]
struct Progress {
    failure: Option<Failure>,
    script_begun: bool,
    over: bool,
}

impl Progress {
    fn standing(&self) -> Standing {
        if self.failure.is_some() {
            Standing::Failure
        } else {
            Standing::Success
        }
    }

    /// The first failure counts.
    fn fail(&mut self, failure: Failure) {
        self.over |= failure.ends_all();
        self.failure.get_or_insert(failure);
    }

    fn allows(&self, condition: Condition) -> bool {
        !self.over
            && match condition {
                Condition::Success => self.failure.is_none(),
                Condition::ScriptBegun => self.script_begun,
                Condition::Always => true,
            }
    }
}

/// Runs `job` with `executor` to its end.
pub(super) async fn run<X, B: Bulk, S: Sink + Send>(
    executor: &X,
    job: &Job,
    bulk: B,
    sink: S,
    control: watch::Receiver<Control>,
) -> (Finished, Remains)
where
    X: Executor,
    X::Environment: 'static,
{
    let length = if job.spec.timeout.is_zero() {
        DEFAULT_TIMEOUT
    } else {
        job.spec.timeout
    };
    let reins = Reins::new(control, length);
    let mut warnings = Vec::new();
    let settled = settle(job, length, &mut warnings);
    let all_tokens = settled.as_ref().map_or(true, |settled| {
        settled.flags.is_on("FF_MASK_ALL_DEFAULT_TOKENS")
    });
    let defaults = if all_tokens {
        Defaults::All
    } else {
        Defaults::PersonalOnly
    };
    let resolved = settled
        .iter()
        .flat_map(|settled| settled.variables.secrets());
    let logins: Vec<String> = settled
        .iter()
        .flat_map(|settled| settled.credentials.secrets())
        .collect();
    let secrets = variables::secrets(&job.spec)
        .chain(resolved)
        .chain(logins.iter().map(String::as_str));
    let masks = match Masks::new(secrets, [], defaults) {
        Ok(masks) => masks,
        // Nothing may be logged that cannot be masked.
        Err(error) => {
            let failure = Failure::System(error.to_string());
            return (finished(&failure, error.to_string()), Remains::none());
        }
    };
    let mut console = Console::new(masks, job.settings.output_limit, sink);
    header(job, settled.as_ref().ok(), &mut console);
    if !warnings.is_empty() {
        console.warning(warnings.join("\n"));
    }
    let mut remains = Remains::none();
    let (failure, console) = match settled {
        Err(failure) => (Some(failure), console),
        Ok(settled) => {
            let mut running = Running {
                job,
                executor,
                bulk,
                console,
                reins,
                settled,
                environment: None,
                progress: Progress::default(),
            };
            running.carry_out().await;
            running.clear_folders();
            if let Some(environment) = running.environment.take() {
                remains = Remains::of(environment);
            }
            running.conclude()
        }
    };
    (end(failure, console), remains)
}

fn settle(job: &Job, timeout: Duration, warnings: &mut Vec<String>) -> Result<Settled, Failure> {
    let folders = Folders::of(job)?;
    let flags = Flags::read(&job.spec.variables, warnings);
    let list = variables::list(job, &flags, &folders, timeout);
    let variables = Variables::resolve(&list, &folders.temporary)
        .map_err(|error| Failure::Configuration(error.to_string()))?;
    let options = Options::read(&variables, warnings).map_err(Failure::System)?;
    if variables
        .get("GIT_CLONE_PATH")
        .is_some_and(|path| !path.is_empty())
    {
        return Err(Failure::Configuration(format!(
            "setting GIT_CLONE_PATH is not allowed with the {} executor",
            job.settings.executor()
        )));
    }
    let auth_config = variables.content("DOCKER_AUTH_CONFIG");
    let credentials = Credentials::of(auth_config, &job.spec.registries, &mut |text| {
        warnings.push(text);
    });
    Ok(Settled {
        folders,
        flags,
        variables,
        options,
        credentials,
    })
}

fn header<S: Sink>(job: &Job, settled: Option<&Settled>, console: &mut Console<S>) {
    console.plain(format!(
        "Running with fleet-agent {}",
        env!("CARGO_PKG_VERSION")
    ));
    console.plain(format!("  on {}", job.settings.name));
    if let Some(flags) = settled.and_then(|settled| settled.flags.unusual()) {
        console.plain(format!("  feature flags: {flags}"));
    }
}

fn end<S: Sink>(failure: Option<Failure>, mut console: Console<S>) -> Finished {
    let finished = match failure {
        None => {
            console.info("Job succeeded");
            Finished {
                outcome: Outcome::Success,
                message: "job succeeded".into(),
            }
        }
        Some(failure) => {
            console.error(failure.last_line());
            finished(&failure, console.mask(&failure.to_string()))
        }
    };
    console.finish();
    finished
}

fn finished(failure: &Failure, message: String) -> Finished {
    Finished {
        outcome: failure.outcome(),
        message,
    }
}

impl<X: Executor, B: Bulk, S: Sink + Send> Running<'_, X, B, S> {
    async fn carry_out(&mut self) {
        let job = self.job;
        for stage in plan(&job.spec) {
            if !self.progress.allows(stage.condition()) {
                continue;
            }
            let standing = self.progress.standing();
            let Some(stage) = stage.after(standing) else {
                continue;
            };
            self.enter(&stage);
            if let Some(failure) = self.reins.pulled() {
                self.note(&stage, failure);
                continue;
            }
            let name = stage.name(standing);
            let heading = stage.heading(X::NAME, standing);
            self.console.begin(&name, heading);
            if let Err(failure) = self.perform(&stage, &name).await {
                if failure.is_timeout() {
                    self.timed_out(&name);
                }
                self.note(&stage, failure);
            }
            self.console.end(&name);
        }
    }

    fn enter(&mut self, stage: &Stage<'_>) {
        let Running {
            console,
            reins,
            settled,
            ..
        } = self;
        let left = reins.job_time_left();
        let mut warn = |text| console.warning(text);
        let mut clock = |name| variables::clock(&settled.variables, name, left, &mut warn);
        match stage {
            // All steps share one clock, which starts with the first.
            Stage::Step(_) if self.progress.script_begun => {}
            Stage::Step(_) => {
                let length = clock("RUNNER_SCRIPT_TIMEOUT");
                reins.enter(Part::Script(length));
            }
            Stage::AfterScript(_) => {
                let own = clock("RUNNER_AFTER_SCRIPT_TIMEOUT");
                reins.enter(Part::AfterScript(
                    own.unwrap_or(super::script::AFTER_SCRIPT_TIMEOUT),
                ));
            }
            Stage::UploadArtifacts(_) | Stage::CleanUp => reins.enter(Part::Closing),
            _ => {}
        }
    }

    async fn perform(&mut self, stage: &Stage<'_>, name: &str) -> Result<(), Failure> {
        match stage {
            Stage::PrepareExecutor => self.prepare_executor().await,
            Stage::PrepareScript => self.prepare_script(),
            Stage::GetSources => self.get_sources().await,
            Stage::RestoreCache(caches) => {
                for cache in caches {
                    let key = self.settled.variables.expand(&cache.key);
                    let key = key.unwrap_or_else(|_| cache.key.clone());
                    self.console.warning(format!(
                        "cache {key} is not restored: this agent does not carry out caches"
                    ));
                }
                Ok(())
            }
            Stage::DownloadArtifacts(dependencies) => self.download_artifacts(dependencies).await,
            Stage::Step(step) => {
                self.progress.script_begun = true;
                self.run_step(step).await
            }
            Stage::AfterScript(step) => {
                let status = self
                    .progress
                    .failure
                    .as_ref()
                    .map_or("success", Failure::job_status);
                self.run_after_script(step, name, status).await
            }
            Stage::UploadArtifacts(artifacts) => self.upload_artifacts(artifacts).await,
            Stage::CleanUp => self.clean_up().await,
        }
    }

    /// Takes a stage's failure into account.
    fn note(&mut self, stage: &Stage<'_>, failure: Failure) {
        // Told to stop before the script, or without an environment, there is
        // nothing that the later stages could work on.
        self.progress.over |= failure == Failure::Canceled && !self.progress.script_begun
            || matches!(stage, Stage::PrepareExecutor | Stage::PrepareScript);
        self.progress.fail(failure);
    }

    async fn prepare_executor(&mut self) -> Result<(), Failure> {
        let mut tried = 0;
        loop {
            tried += 1;
            let Running {
                job,
                executor,
                console,
                reins,
                settled,
                ..
            } = self;
            let request = executor::Request {
                spec: &job.spec,
                variables: &settled.variables,
                credentials: &settled.credentials,
                flag: &|name| settled.flags.is_on(name),
                project: Path::new(&settled.folders.project),
                temporary: Path::new(&settled.folders.temporary),
                slot: job.slot,
                project_slot: job.project_slot,
            };
            let prepared = executor.prepare(&request, console);
            match reins.unless_pulled(prepared).await? {
                Ok(environment) => {
                    self.environment = Some(environment);
                    return Ok(());
                }
                Err(error @ executor::Error::Final { .. }) => return Err(error.into()),
                Err(error) if tried == PREPARE_ATTEMPTS => return Err(error.into()),
                Err(error) => {
                    self.console.error(format!("Preparation failed: {error}"));
                    self.console.plain("Will be retried in 3s ...");
                    self.reins.unless_pulled(sleep(PREPARE_PAUSE)).await?;
                }
            }
        }
    }

    /// Removes what may hold secrets, however the job ended.
    fn clear_folders(&mut self) {
        self.remove_secrets();
        let _not_there = std::fs::remove_dir_all(&self.settled.folders.transfer);
    }

    /// Removes file variables and credentials, the job's logins among them.
    pub(super) fn remove_secrets(&mut self) {
        let folders = &self.settled.folders;
        let temporary = std::path::Path::new(&folders.temporary);
        let variables = self.settled.variables.variables();
        let removed = remove_file_variables(temporary, variables)
            .and(crate::source::remove_credentials(temporary))
            .and(registry::folder::remove(temporary));
        if let Err(error) = removed {
            self.console
                .warning(format!("remove file variables: {error}"));
        }
    }

    /// How it ended. A job somebody canceled is canceled, whatever else became of
    /// it: that is what they wait to see.
    fn conclude(mut self) -> (Option<Failure>, Console<S>) {
        let mut failure = self.progress.failure.take();
        if self.reins.is_canceled() {
            failure = Some(Failure::Canceled);
        }
        (failure, self.console)
    }
}
