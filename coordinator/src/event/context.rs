//! What the compiler is told of an event, and what its jobs fetch.

use fleet_language::variables::predefined;
use fleet_language::{Changes, Commit, Context, PipelineSource, Ref, RefKind, User};
use fleet_model::{Source, Variable};

use super::{Error, Event, Kind, git};
use crate::About;
use crate::catalog::{Catalog, Project};
use crate::pipeline::refspecs;
use crate::source::Repository;
use crate::source::names::{self, kind_and_short};

const NO_COMMIT: &str = "0000000000000000000000000000000000000000";

/// Everything about an event that may decide what its pipeline is. Counts the
/// project's pipelines on.
pub(super) async fn of(
    catalog: &Catalog,
    server_url: &str,
    repository: &Repository,
    event: &Event,
    commit: Commit,
) -> Result<Context, Error> {
    let project = &event.project;
    let gone = || Error::NotFound(format!("project {} was deleted", project.path));
    let protected = Catalog::is_protected(project, &event.reference);
    let project_variables = catalog
        .variables(project.id, protected, None)
        .map_err(|error| {
            tracing::error!(%error, "a sealed value cannot be opened");
            Error::Internal(
                "a variable of the project cannot be opened: the coordinator's log says which"
                    .to_owned(),
            )
        })?;
    let (iid, _goes_before_the_pipeline) = catalog.next_iid(project.id).ok_or_else(gone)?;
    let reference = Ref {
        name: names::short(&event.reference).to_owned(),
        kind: kind(&event.reference),
        protected,
    };
    let before_sha = match &event.kind {
        Kind::Push { old, .. } => old.clone(),
        Kind::Downstream {
            child: Some(child), ..
        } if !child.before.is_empty() => child.before.clone(),
        Kind::Create(_) | Kind::Downstream { .. } => NO_COMMIT.to_owned(),
    };
    Ok(Context {
        source: match event.kind {
            Kind::Push { .. } => PipelineSource::Push,
            Kind::Create(source) => source,
            Kind::Downstream { child: Some(_), .. } => PipelineSource::ParentPipeline,
            Kind::Downstream { child: None, .. } => PipelineSource::Pipeline,
        },
        changes: changes(repository, (event, &before_sha), &reference, &commit.sha).await?,
        reference,
        commit,
        before_sha,
        project: fleet_language::Project {
            id: project.id,
            path: project.path.clone(),
            title: project
                .path
                .rsplit('/')
                .next()
                .unwrap_or_default()
                .to_owned(),
            default_branch: project.default_branch.clone(),
            config_path: project.config_path().to_owned(),
            visibility: project.visibility().as_str().to_owned(),
            host_coupling: project.host_coupling(),
        },
        user: User {
            id: event.user_id,
            login: event.user.clone(),
            name: event.user.clone(),
            email: String::new(),
        },
        server_url: server_url.to_owned(),
        created_at: jiff::Timestamp::now()
            .strftime("%Y-%m-%dT%H:%M:%SZ")
            .to_string(),
        iid,
        project_variables,
        pipeline_variables: event.variables.clone(),
        inputs: event.inputs.clone(),
        predefined: upstream(&event.kind),
    })
}

/// What a pipeline is told of the job that started it.
fn upstream(kind: &Kind) -> Vec<Variable> {
    let Kind::Downstream { upstream, .. } = kind else {
        return Vec::new();
    };
    predefined::for_downstream(upstream.pipeline, upstream.project, upstream.job)
}

/// What a push changed; only one that moved a branch has something to compare with.
async fn changes(
    repository: &Repository,
    (event, before): (&Event, &str),
    reference: &Ref,
    sha: &str,
) -> Result<Changes, Error> {
    match &event.kind {
        // A child sees what its parent does.
        Kind::Push { .. } | Kind::Downstream { child: Some(_), .. }
            if reference.kind == RefKind::Branch && !names::is_none(before) =>
        {
            let changed = repository.changed(before, sha).await;
            let changed = changed.map_err(|error| git(&error))?;
            Ok(changed.map_or(Changes::Unknown, Changes::Known))
        }
        _ => Ok(Changes::Unknown),
    }
}

/// What jobs fetch that do not say it themselves.
pub(super) fn source(server_url: &str, project: &Project, about: &About) -> Source {
    let depth = project.git_depth();
    Source::Git {
        repository: format!("{}/{}.git", server_url.trim_end_matches('/'), project.path),
        sha: about.sha.clone(),
        reference: about.reference.clone(),
        depth,
        refspecs: refspecs(about, depth),
    }
}

fn kind(reference: &str) -> RefKind {
    match kind_and_short(reference) {
        Some((names::Kind::Tag, _)) => RefKind::Tag,
        _ => RefKind::Branch,
    }
}

/// `branch` or `tag`.
pub(super) fn word(reference: &str) -> &'static str {
    match kind(reference) {
        RefKind::Tag => "tag",
        _ => "branch",
    }
}
