//! The stages of a job, decided before the first of them runs.

use fleet_model::{Artifact, ArtifactWhen, Cache, Dependency, JobSpec, Step};

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage<'a> {
    PrepareExecutor,
    PrepareScript,
    GetSources,
    RestoreCache(Vec<&'a Cache>),
    DownloadArtifacts(Vec<&'a Dependency>),
    Step(&'a Step),
    AfterScript(&'a Step),
    UploadArtifacts(Vec<&'a Artifact>),
    CleanUp,
}

/// When a stage runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// Nothing has failed so far.
    Success,
    /// The script was begun.
    ScriptBegun,
    /// Also after a failure, but not when everything was stopped.
    Always,
}

/// How a job stands after the stages so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Result {
    Success,
    Failure,
}

/// All stages of `spec` that have something to do, in order.
pub(super) fn plan(spec: &JobSpec) -> Vec<Stage<'_>> {
    let mut stages = vec![
        Stage::PrepareExecutor,
        Stage::PrepareScript,
        Stage::GetSources,
    ];
    let caches: Vec<_> = spec
        .caches
        .iter()
        .filter(|cache| cache.untracked || !cache.paths.is_empty())
        .collect();
    if !caches.is_empty() {
        stages.push(Stage::RestoreCache(caches));
    }
    let archives: Vec<_> = spec
        .dependencies
        .iter()
        .filter(|d| !d.filename.is_empty())
        .collect();
    if !archives.is_empty() {
        stages.push(Stage::DownloadArtifacts(archives));
    }
    let (after, steps): (Vec<_>, Vec<_>) = spec
        .steps
        .iter()
        .partition(|step| step.name == "after_script");
    stages.extend(steps.into_iter().map(Stage::Step));
    stages.extend(
        after
            .into_iter()
            .filter(|step| !step.script.is_empty())
            .map(Stage::AfterScript),
    );
    let artifacts: Vec<_> = spec
        .artifacts
        .iter()
        .filter(|a| a.untracked || !a.paths.is_empty())
        .collect();
    if !artifacts.is_empty() {
        stages.push(Stage::UploadArtifacts(artifacts));
    }
    stages.push(Stage::CleanUp);
    stages
}

impl<'a> Stage<'a> {
    pub(super) fn condition(&self) -> Condition {
        match self {
            Stage::UploadArtifacts(_) | Stage::CleanUp => Condition::Always,
            Stage::AfterScript(_) => Condition::ScriptBegun,
            _ => Condition::Success,
        }
    }

    /// The stage without what does not apply after `result`; none if nothing
    /// is left to do.
    pub(super) fn after(self, result: Result) -> Option<Stage<'a>> {
        let Stage::UploadArtifacts(mut artifacts) = self else {
            return Some(self);
        };
        artifacts.retain(|artifact| match artifact.when {
            ArtifactWhen::OnSuccess => result == Result::Success,
            ArtifactWhen::OnFailure => result == Result::Failure,
            ArtifactWhen::Always => true,
        });
        (!artifacts.is_empty()).then_some(Stage::UploadArtifacts(artifacts))
    }

    /// The name of its section, as gitlab-runner has it.
    pub(super) fn name(&self, result: Result) -> String {
        match self {
            Stage::PrepareExecutor => "prepare_executor".into(),
            Stage::PrepareScript => "prepare_script".into(),
            Stage::GetSources => "get_sources".into(),
            Stage::RestoreCache(_) => "restore_cache".into(),
            Stage::DownloadArtifacts(_) => "download_artifacts".into(),
            Stage::Step(step) => format!("step_{}", step.name.to_lowercase()),
            Stage::AfterScript(_) => "after_script".into(),
            Stage::UploadArtifacts(_) => match result {
                Result::Success => "upload_artifacts_on_success".into(),
                Result::Failure => "upload_artifacts_on_failure".into(),
            },
            Stage::CleanUp => "cleanup_file_variables".into(),
        }
    }

    /// The line above it.
    pub(super) fn heading(&self, executor: &str, result: Result) -> String {
        match self {
            Stage::PrepareExecutor => format!("Preparing the \"{executor}\" executor"),
            Stage::PrepareScript => "Preparing environment".into(),
            Stage::GetSources => "Getting source from Git repository".into(),
            Stage::RestoreCache(_) => "Restoring cache".into(),
            Stage::DownloadArtifacts(_) => "Downloading artifacts".into(),
            Stage::Step(_) => {
                format!(
                    "Executing \"{}\" stage of the job script",
                    self.name(result)
                )
            }
            Stage::AfterScript(_) => "Running after_script".into(),
            Stage::UploadArtifacts(_) => match result {
                Result::Success => "Uploading artifacts for successful job".into(),
                Result::Failure => "Uploading artifacts for failed job".into(),
            },
            Stage::CleanUp => "Cleaning up project directory and file based variables".into(),
        }
    }
}
