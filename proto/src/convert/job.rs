//! The job spec.

use std::time::Duration;

use fleet_model::{
    Artifact, ArtifactFormat, ArtifactWhen, Cache, Dependency, Hook, Image, JobId, JobSpec,
    PipelineId, ProjectId, PullPolicy, RegistryLogin, Service, Source, Step, Token, Variable,
};

use super::{Error, required};
use crate::v1;

impl From<&JobSpec> for v1::JobSpec {
    fn from(job: &JobSpec) -> v1::JobSpec {
        v1::JobSpec {
            job_id: job.id.0,
            attempt: job.attempt,
            name: job.name.clone(),
            stage: job.stage.clone(),
            pipeline_id: job.pipeline.0,
            project_id: job.project.0,
            project_path: job.project_path.clone(),
            token: job.token.0.clone(),
            timeout_ms: u64::try_from(job.timeout.as_millis()).unwrap_or(u64::MAX),
            source: Some((&job.source).into()),
            variables: all(&job.variables),
            steps: all(&job.steps),
            image: job.image.as_ref().map(Into::into),
            services: all(&job.services),
            artifacts: all(&job.artifacts),
            caches: all(&job.caches),
            dependencies: all(&job.dependencies),
            hooks: all(&job.hooks),
            registries: all(&job.registries),
        }
    }
}

impl TryFrom<v1::JobSpec> for JobSpec {
    type Error = Error;

    fn try_from(job: v1::JobSpec) -> Result<JobSpec, Error> {
        Ok(JobSpec {
            id: JobId(job.job_id),
            attempt: job.attempt,
            name: job.name,
            stage: job.stage,
            pipeline: PipelineId(job.pipeline_id),
            project: ProjectId(job.project_id),
            project_path: job.project_path,
            token: Token(job.token),
            timeout: Duration::from_millis(job.timeout_ms),
            source: required(job.source, "source")?.into(),
            variables: all_owned(job.variables),
            steps: all_owned(job.steps),
            image: job.image.map(TryInto::try_into).transpose()?,
            services: try_all(job.services)?,
            artifacts: try_all(job.artifacts)?,
            caches: try_all(job.caches)?,
            dependencies: all_owned(job.dependencies),
            hooks: all_owned(job.hooks),
            registries: all_owned(job.registries),
        })
    }
}

fn all<'a, T, U: From<&'a T>>(items: &'a [T]) -> Vec<U> {
    items.iter().map(Into::into).collect()
}

fn all_owned<T, U: From<T>>(items: Vec<T>) -> Vec<U> {
    items.into_iter().map(Into::into).collect()
}

fn try_all<T, U: TryFrom<T, Error = Error>>(items: Vec<T>) -> Result<Vec<U>, Error> {
    items.into_iter().map(TryInto::try_into).collect()
}

/// The wire's form of "not given" is the empty string.
fn text(value: Option<&String>) -> String {
    value.cloned().unwrap_or_default()
}

fn given(value: String) -> Option<String> {
    Some(value).filter(|value| !value.is_empty())
}

impl From<&RegistryLogin> for v1::RegistryLogin {
    fn from(login: &RegistryLogin) -> v1::RegistryLogin {
        v1::RegistryLogin {
            registry: login.registry.clone(),
            username: login.username.clone(),
            password: login.password.0.clone(),
        }
    }
}

impl From<v1::RegistryLogin> for RegistryLogin {
    fn from(login: v1::RegistryLogin) -> RegistryLogin {
        RegistryLogin {
            registry: login.registry,
            username: login.username,
            password: Token(login.password),
        }
    }
}

impl From<&Source> for v1::Source {
    fn from(source: &Source) -> v1::Source {
        match source {
            Source::Git {
                repository,
                sha,
                reference,
                depth,
                refspecs,
            } => v1::Source {
                repository: repository.clone(),
                sha: sha.clone(),
                r#ref: reference.clone(),
                depth: *depth,
                refspecs: refspecs.clone(),
                folder: false,
            },
            Source::Folder { path } => v1::Source {
                repository: path.clone(),
                folder: true,
                ..v1::Source::default()
            },
        }
    }
}

impl From<v1::Source> for Source {
    fn from(source: v1::Source) -> Source {
        if source.folder {
            return Source::Folder {
                path: source.repository,
            };
        }
        Source::Git {
            repository: source.repository,
            sha: source.sha,
            reference: source.r#ref,
            depth: source.depth,
            refspecs: source.refspecs,
        }
    }
}

impl From<&Variable> for v1::Variable {
    fn from(variable: &Variable) -> v1::Variable {
        v1::Variable {
            key: variable.key.clone(),
            value: variable.value.clone(),
            masked: variable.masked,
            raw: variable.raw,
            file: variable.file,
            public: variable.public,
        }
    }
}

impl From<v1::Variable> for Variable {
    fn from(variable: v1::Variable) -> Variable {
        Variable {
            key: variable.key,
            value: variable.value,
            masked: variable.masked,
            raw: variable.raw,
            file: variable.file,
            public: variable.public,
        }
    }
}

impl From<&Step> for v1::Step {
    fn from(step: &Step) -> v1::Step {
        v1::Step {
            name: step.name.clone(),
            script: step.script.clone(),
        }
    }
}

impl From<v1::Step> for Step {
    fn from(step: v1::Step) -> Step {
        Step {
            name: step.name,
            script: step.script,
        }
    }
}

impl From<&Hook> for v1::Hook {
    fn from(hook: &Hook) -> v1::Hook {
        v1::Hook {
            name: hook.name.clone(),
            script: hook.script.clone(),
        }
    }
}

impl From<v1::Hook> for Hook {
    fn from(hook: v1::Hook) -> Hook {
        Hook {
            name: hook.name,
            script: hook.script,
        }
    }
}

impl From<&Image> for v1::Image {
    fn from(image: &Image) -> v1::Image {
        v1::Image {
            name: image.name.clone(),
            entrypoint: image.entrypoint.clone().unwrap_or_default(),
            has_entrypoint: image.entrypoint.is_some(),
            pull_policy: image
                .pull_policy
                .iter()
                .map(|policy| pull_policy(*policy))
                .collect(),
            platform: text(image.platform.as_ref()),
            user: text(image.user.as_ref()),
        }
    }
}

impl TryFrom<v1::Image> for Image {
    type Error = Error;

    fn try_from(image: v1::Image) -> Result<Image, Error> {
        Ok(Image {
            name: image.name,
            entrypoint: image.has_entrypoint.then_some(image.entrypoint),
            pull_policy: image
                .pull_policy
                .into_iter()
                .map(parse_pull_policy)
                .collect::<Result<_, _>>()?,
            platform: given(image.platform),
            user: given(image.user),
        })
    }
}

fn pull_policy(policy: PullPolicy) -> String {
    match policy {
        PullPolicy::Always => "always",
        PullPolicy::IfNotPresent => "if-not-present",
        PullPolicy::Never => "never",
    }
    .to_owned()
}

fn parse_pull_policy(name: String) -> Result<PullPolicy, Error> {
    match name.as_str() {
        "always" => Ok(PullPolicy::Always),
        "if-not-present" => Ok(PullPolicy::IfNotPresent),
        "never" => Ok(PullPolicy::Never),
        _ => Err(Error::Unknown {
            field: "pull_policy",
            value: name,
        }),
    }
}

impl From<&Service> for v1::Service {
    fn from(service: &Service) -> v1::Service {
        v1::Service {
            image: Some((&service.image).into()),
            alias: text(service.alias.as_ref()),
            command: service.command.clone().unwrap_or_default(),
            has_command: service.command.is_some(),
            variables: all(&service.variables),
        }
    }
}

impl TryFrom<v1::Service> for Service {
    type Error = Error;

    fn try_from(service: v1::Service) -> Result<Service, Error> {
        Ok(Service {
            image: required(service.image, "service.image")?.try_into()?,
            alias: given(service.alias),
            command: service.has_command.then_some(service.command),
            variables: all_owned(service.variables),
        })
    }
}

impl From<&Artifact> for v1::Artifact {
    fn from(artifact: &Artifact) -> v1::Artifact {
        v1::Artifact {
            name: text(artifact.name.as_ref()),
            paths: artifact.paths.clone(),
            exclude: artifact.exclude.clone(),
            untracked: artifact.untracked,
            when: v1::ArtifactWhen::from(artifact.when).into(),
            r#type: artifact.kind.clone(),
            format: v1::ArtifactFormat::from(artifact.format).into(),
            expire_in: text(artifact.expire_in.as_ref()),
        }
    }
}

impl TryFrom<v1::Artifact> for Artifact {
    type Error = Error;

    fn try_from(artifact: v1::Artifact) -> Result<Artifact, Error> {
        Ok(Artifact {
            when: artifact.when().try_into()?,
            format: artifact.format().try_into()?,
            name: given(artifact.name),
            paths: artifact.paths,
            exclude: artifact.exclude,
            untracked: artifact.untracked,
            kind: artifact.r#type,
            expire_in: given(artifact.expire_in),
        })
    }
}

impl From<ArtifactWhen> for v1::ArtifactWhen {
    fn from(when: ArtifactWhen) -> v1::ArtifactWhen {
        match when {
            ArtifactWhen::OnSuccess => v1::ArtifactWhen::OnSuccess,
            ArtifactWhen::OnFailure => v1::ArtifactWhen::OnFailure,
            ArtifactWhen::Always => v1::ArtifactWhen::Always,
        }
    }
}

impl TryFrom<v1::ArtifactWhen> for ArtifactWhen {
    type Error = Error;

    fn try_from(when: v1::ArtifactWhen) -> Result<ArtifactWhen, Error> {
        match when {
            v1::ArtifactWhen::OnSuccess => Ok(ArtifactWhen::OnSuccess),
            v1::ArtifactWhen::OnFailure => Ok(ArtifactWhen::OnFailure),
            v1::ArtifactWhen::Always => Ok(ArtifactWhen::Always),
            v1::ArtifactWhen::Unspecified => Err(Error::Missing("when")),
        }
    }
}

impl From<ArtifactFormat> for v1::ArtifactFormat {
    fn from(format: ArtifactFormat) -> v1::ArtifactFormat {
        match format {
            ArtifactFormat::Zip => v1::ArtifactFormat::Zip,
            ArtifactFormat::Gzip => v1::ArtifactFormat::Gzip,
            ArtifactFormat::Raw => v1::ArtifactFormat::Raw,
        }
    }
}

impl TryFrom<v1::ArtifactFormat> for ArtifactFormat {
    type Error = Error;

    fn try_from(format: v1::ArtifactFormat) -> Result<ArtifactFormat, Error> {
        match format {
            v1::ArtifactFormat::Zip => Ok(ArtifactFormat::Zip),
            v1::ArtifactFormat::Gzip => Ok(ArtifactFormat::Gzip),
            v1::ArtifactFormat::Raw => Ok(ArtifactFormat::Raw),
            v1::ArtifactFormat::Unspecified => Err(Error::Missing("format")),
        }
    }
}

impl From<&Cache> for v1::Cache {
    fn from(cache: &Cache) -> v1::Cache {
        v1::Cache {
            key: cache.key.clone(),
            fallback_keys: cache.fallback_keys.clone(),
            paths: cache.paths.clone(),
            untracked: cache.untracked,
            policy: cache.policy.clone(),
            when: v1::ArtifactWhen::from(cache.when).into(),
        }
    }
}

impl TryFrom<v1::Cache> for Cache {
    type Error = Error;

    fn try_from(cache: v1::Cache) -> Result<Cache, Error> {
        Ok(Cache {
            when: cache.when().try_into()?,
            key: cache.key,
            fallback_keys: cache.fallback_keys,
            paths: cache.paths,
            untracked: cache.untracked,
            policy: cache.policy,
        })
    }
}

impl From<&Dependency> for v1::Dependency {
    fn from(dependency: &Dependency) -> v1::Dependency {
        v1::Dependency {
            job_id: dependency.job.0,
            name: dependency.name.clone(),
            filename: dependency.filename.clone(),
            size: dependency.size,
        }
    }
}

impl From<v1::Dependency> for Dependency {
    fn from(dependency: v1::Dependency) -> Dependency {
        Dependency {
            job: JobId(dependency.job_id),
            name: dependency.name,
            filename: dependency.filename,
            size: dependency.size,
        }
    }
}

#[cfg(test)]
mod tests;
