//! What the state looks like on the wire.

use fleet_model::{FailureReason, Included, JobState, Timestamp};
use fleet_proto::v1;
use fleet_queue::AgentStatus;

use super::{environment, explain};
use crate::catalog::{Catalog, Project};
use crate::core::{AgentInfo, JobInfo, Link, PipelineInfo};
use crate::environment::{Deployment, Environment};
use crate::identity::Member;

fn time(at: Option<Timestamp>) -> u64 {
    at.map_or(0, |at| at.0)
}

pub(super) fn pipeline(info: PipelineInfo, jobs: Vec<v1::Job>) -> v1::Pipeline {
    v1::Pipeline {
        id: info.id.0,
        project: info.project_path,
        status: info.status.to_string(),
        warnings: info.warnings,
        source: info.about.source,
        reference: info.about.reference,
        sha: info.about.sha,
        user: info.about.user,
        name: info.name.unwrap_or_default(),
        created_at: info.created_at.0,
        finished_at: time(info.finished_at),
        stages: info.stages,
        iid: info.about.iid,
        commit_title: info.about.title,
        upstream: info.upstream.map(link),
        included: if jobs.is_empty() && info.config_error.is_none() {
            Vec::new()
        } else {
            info.about.included.into_iter().map(included).collect()
        },
        jobs,
        config_error: info.config_error.unwrap_or_default(),
    }
}

fn included(file: Included) -> v1::IncludedFile {
    v1::IncludedFile {
        kind: file.kind.as_str().to_owned(),
        location: file.location,
        project: file.project.unwrap_or_default(),
        commit: file.commit.unwrap_or_default(),
        version: file.version.unwrap_or_default(),
        sha256: file.sha256,
    }
}

pub(super) fn pipeline_status(info: &PipelineInfo) -> v1::PipelineStatus {
    v1::PipelineStatus {
        status: info.status.to_string(),
        warnings: info.warnings,
        finished_at: time(info.finished_at),
    }
}

/// A job, with its attempts.
pub(super) fn job(info: JobInfo) -> v1::Job {
    let newest = info.attempts.last();
    let lost = info.view.reason == Some(FailureReason::HOST_COUPLING_LOST);
    // No agent has said anything of it.
    let without_agent = lost.then(|| explain::LOST.to_owned());
    let message = newest.and_then(|it| it.message.clone());
    let message = without_agent.or(info.refusal).or(message);
    v1::Job {
        id: info.view.id.0,
        pipeline: info.view.pipeline.0,
        project: info.project_path,
        name: info.view.name,
        stage: info.stage,
        status: info.view.state.to_string(),
        allowed_failure: info.view.allowed_failure,
        failure_reason: info
            .view
            .reason
            .map(|it| it.to_string())
            .unwrap_or_default(),
        exit_code: info.view.exit_code,
        message: message.unwrap_or_default(),
        attempts: info.attempts.into_iter().map(attempt).collect(),
        artifacts: info.artifacts.iter().map(artifact).collect(),
        created_at: info.created_at.0,
        tags: info.tags,
        needs: info.needs,
        environment: info.environment.unwrap_or_default(),
        reference: info.reference,
        downstream: info.downstream.into_iter().map(link).collect(),
    }
}

fn link(link: Link) -> v1::PipelineLink {
    v1::PipelineLink {
        pipeline: link.pipeline.0,
        project: link.project_path,
        job: link.job.0,
        attempt: link.attempt,
    }
}

fn attempt(attempt: crate::pipeline::Attempt) -> v1::Attempt {
    let ended = attempt.finished_at.is_some();
    let status = match attempt.state {
        Some(state) => state.to_string(),
        // Its agent came back without it before it had begun.
        None if ended => "given_up".to_owned(),
        None => String::new(),
    };
    v1::Attempt {
        number: attempt.number,
        agent: attempt.agent.0,
        host: attempt.host,
        leased_at: attempt.leased_at.0,
        started_at: time(attempt.started_at),
        finished_at: time(attempt.finished_at),
        status,
        failure_reason: attempt.reason.map(|it| it.to_string()).unwrap_or_default(),
        exit_code: attempt.exit_code,
        message: attempt.message.unwrap_or_default(),
        fence: attempt.fence.0,
        log_bytes: attempt.log_bytes,
    }
}

pub(super) fn artifact(stored: &crate::blob::Stored) -> v1::ArtifactFile {
    v1::ArtifactFile {
        r#type: stored.kind.clone(),
        filename: stored.filename.clone(),
        size: stored.size,
        expires_at: time(stored.expires),
    }
}

/// An agent: who it is by its certificate, and how it is by its stream.
pub(super) fn agent(member: Member, info: Option<AgentInfo>, catalog: &Catalog) -> v1::Agent {
    let projects = member.grant.projects.as_ref();
    let mut shown = v1::Agent {
        name: member.name,
        tags: member.grant.tags,
        run_untagged: member.grant.run_untagged,
        protected_only: member.grant.protected_only,
        projects: projects.map_or_else(Vec::new, |projects| catalog.paths_of(projects)),
        joined_at: member.joined_at.0,
        certificate_expires_at: member.certificate_expires_at.0,
        ..Default::default()
    };
    "offline".clone_into(&mut shown.status);
    if let Some(info) = info {
        let status = match info.view.status {
            AgentStatus::Online => "online",
            AgentStatus::Lost => "lost",
            AgentStatus::Offline => "offline",
        };
        status.clone_into(&mut shown.status);
        shown.draining = info.view.draining;
        shown.slots = info.view.slots;
        shown.busy = u32::try_from(info.view.leases.len()).unwrap_or(u32::MAX);
        shown.host = info.host;
        shown.version = info.version;
        shown.platform = info.platform;
        shown.last_heard = info.view.last_heard.0;
        shown.jobs = info.jobs.into_iter().map(|job| job.0).collect();
        shown.executors = info.executors;
    }
    if let Some(out) = member.excluded {
        shown.status = out;
    }
    shown
}

/// An environment with its newest deployments, as many as `most`.
pub(super) fn environment(it: &Environment, project: &Project, most: usize) -> v1::Environment {
    let (protected, deploy) = environment::rule(project, &it.name);
    v1::Environment {
        id: it.id.0,
        project: project.path.clone(),
        name: it.name.clone(),
        slug: it.slug.clone(),
        tier: it.tier.clone(),
        state: it.state.as_str().to_owned(),
        url: it.url.clone().unwrap_or_default(),
        on_stop: it
            .on_stop
            .as_ref()
            .map_or_else(String::new, |stop| stop.name.clone()),
        auto_stop_in: it.auto_stop_in.clone().unwrap_or_default(),
        created_at: it.created_at.0,
        updated_at: it.updated_at.0,
        current: it.current().map(deployment),
        deployments: it
            .deployments
            .iter()
            .rev()
            .take(most)
            .map(deployment)
            .collect(),
        protected,
        deploy,
    }
}

fn deployment(it: &Deployment) -> v1::Deployment {
    v1::Deployment {
        id: it.id.0,
        status: it.status.as_str().to_owned(),
        sha: it.sha.clone(),
        reference: it.reference.clone(),
        pipeline: it.pipeline.0,
        job: it.job.0,
        job_name: it.job_name.clone(),
        user: it.user.clone(),
        created_at: it.created_at.0,
        finished_at: time(it.finished_at),
    }
}

/// Whether a status filter of the caller's fits.
pub(super) fn has_status(wanted: &str, state: JobState) -> bool {
    wanted.is_empty() || state.to_string() == wanted
}
