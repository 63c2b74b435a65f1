//! `fleetctl pipeline`.

use fleet_proto::v1;

use super::{scope, watch};
use crate::cli::{InProject, ListPipelines, NewPipeline, PipelineVerb};
use crate::client::Client;
use crate::output::{Cell, Column, Fact, Json, Printer, Shown, fact, time};
use crate::view::{self, clean};
use crate::{Exit, Failure};

/// Letters of a commit's hash that people are shown.
const SHORT: usize = 8;

pub(super) async fn run(
    verb: PipelineVerb,
    project: &InProject,
    client: &Client,
    out: &Printer,
) -> Result<Exit, Failure> {
    match verb {
        PipelineVerb::Create(arguments) => create(arguments, project, client, out).await,
        PipelineVerb::List(arguments) => list(arguments, project, client, out).await,
        PipelineVerb::Show { id } => {
            let pipeline = scope::pipeline(id, project, client).await?;
            show(&pipeline, out)
        }
        PipelineVerb::Watch { id } => {
            let id = scope::pipeline_id(id, project, client).await?;
            watch::pipeline(id, client, out).await
        }
        PipelineVerb::Cancel { id } => {
            let id = scope::pipeline_id(id, project, client).await?;
            let request = v1::CancelPipelineRequest { id };
            let pipeline = client
                .call(client.pipelines().cancel_pipeline(request))
                .await?;
            told(&pipeline, out)
        }
        PipelineVerb::Retry { id } => {
            let id = scope::pipeline_id(id, project, client).await?;
            let request = v1::RetryPipelineRequest { id };
            let pipeline = client
                .call(client.pipelines().retry_pipeline(request))
                .await?;
            told(&pipeline, out)?;
            out.hint(&format!("Next: fleetctl pipeline watch {id}"));
            Ok(Exit::Done)
        }
    }
}

async fn create(
    arguments: NewPipeline,
    project: &InProject,
    client: &Client,
    out: &Printer,
) -> Result<Exit, Failure> {
    let request = v1::CreatePipelineRequest {
        project: scope::project(project)?,
        reference: arguments.reference,
        variables: arguments
            .variables
            .into_iter()
            .map(|pair| (pair.key, pair.value))
            .collect(),
        inputs: arguments
            .inputs
            .into_iter()
            .map(|pair| (pair.key, pair.value))
            .collect(),
    };
    let pipeline = client
        .call(client.pipelines().create_pipeline(request))
        .await?;
    // Who watches JSON gets events alone.
    if !(arguments.watch && out.is_json()) {
        told(&pipeline, out)?;
    }
    if let Some(failure) = config_error(&pipeline) {
        return Err(failure);
    }
    if arguments.watch {
        return watch::pipeline(pipeline.id, client, out).await;
    }
    out.hint(&format!("Next: fleetctl pipeline watch {}", pipeline.id));
    Ok(Exit::Done)
}

/// Why no job was made of a pipeline.
pub(super) fn config_error(pipeline: &v1::Pipeline) -> Option<Failure> {
    if pipeline.config_error.is_empty() {
        return None;
    }
    let lines: Vec<String> = pipeline.config_error.lines().map(clean).collect();
    Some(Failure::new(
        Exit::Failed,
        format!(
            "pipeline {} has no jobs: {}",
            pipeline.id,
            lines.join("\n").trim()
        ),
    ))
}

async fn list(
    arguments: ListPipelines,
    project: &InProject,
    client: &Client,
    out: &Printer,
) -> Result<Exit, Failure> {
    let project = if arguments.all {
        String::new()
    } else {
        scope::project(project)?
    };
    let request = v1::ListPipelinesRequest {
        project,
        limit: arguments.limit.get(),
        reference: arguments.reference.unwrap_or_default(),
        status: arguments.status.unwrap_or_default(),
    };
    out.list_or_watch(client, arguments.watch, async || {
        let answer = client
            .call(client.pipelines().list_pipelines(request.clone()))
            .await?;
        Ok(answer.pipelines)
    })
    .await
}

/// Says in a line what a pipeline is now.
fn told(pipeline: &v1::Pipeline, out: &Printer) -> Result<Exit, Failure> {
    out.done(
        &pipeline.json(),
        &pipeline.id.to_string(),
        &format!(
            "pipeline {} of {} at {} is {}",
            pipeline.id, pipeline.project, pipeline.reference, pipeline.status
        ),
    )
}

fn show(pipeline: &v1::Pipeline, out: &Printer) -> Result<Exit, Failure> {
    out.item(&pipeline.json(), &facts(pipeline))?;
    if out.is_json() || pipeline.jobs.is_empty() {
        return Ok(Exit::Done);
    }
    let now = fleet_model::Timestamp(time::now());
    let state = watch::state(pipeline, now);
    let mut text = String::from("\n");
    for line in view::tree(&state, out.canvas(), usize::MAX, now) {
        text.push_str(&line);
        text.push('\n');
    }
    out.print(&text)
}

fn facts(pipeline: &v1::Pipeline) -> Vec<Fact> {
    let now = time::now();
    let status = if pipeline.warnings {
        format!("{}, with warnings", pipeline.status)
    } else {
        pipeline.status.clone()
    };
    let commit = format!("{} {}", short_sha(&pipeline.sha), pipeline.commit_title);
    vec![
        fact(
            "pipeline",
            format!("{} (#{} of its project)", pipeline.id, pipeline.iid),
        ),
        fact("name", &pipeline.name),
        fact("project", &pipeline.project),
        fact("status", status),
        fact("ref", &pipeline.reference),
        fact("commit", commit.trim()),
        fact("started by", started_by(pipeline)),
        fact("upstream", upstream(pipeline)),
        fact("downstream", downstream(pipeline)),
        fact("includes", includes(pipeline)),
        fact("created", time::moment(pipeline.created_at)),
        fact(
            "took",
            time::took(pipeline.created_at, pipeline.finished_at, now),
        ),
        fact("error", &pipeline.config_error),
    ]
}

/// The pipeline whose trigger job started this one.
fn upstream(pipeline: &v1::Pipeline) -> String {
    pipeline.upstream.as_ref().map_or_else(String::new, |link| {
        let of = match link.project.as_str() {
            "" => String::new(),
            project => format!(" of {project}"),
        };
        format!("pipeline {}{of}, by job {}", link.pipeline, link.job)
    })
}

/// The files of other projects and addresses, with what they were.
fn includes(pipeline: &v1::Pipeline) -> String {
    let others = pipeline.included.iter().filter(|it| it.kind != "local");
    let shown = others.map(|it| {
        let of = [it.project.as_str(), it.version.as_str()];
        let of = of.iter().filter(|text| !text.is_empty());
        let at = match it.commit.as_str() {
            "" => format!("sha256 {}", it.sha256.get(..12).unwrap_or_default()),
            commit => short_sha(commit).to_owned(),
        };
        let of: String = of.map(|text| format!("{text} ")).collect();
        format!("{} ({of}at {at})", it.location)
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// The pipelines that its trigger jobs started, the newest of each.
fn downstream(pipeline: &v1::Pipeline) -> String {
    let started = pipeline.jobs.iter().filter_map(|job| {
        let link = job.downstream.last()?;
        Some(format!(
            "pipeline {} of {} by {}",
            link.pipeline, link.project, job.name
        ))
    });
    started.collect::<Vec<_>>().join(", ")
}

fn started_by(pipeline: &v1::Pipeline) -> String {
    match (pipeline.user.as_str(), pipeline.source.as_str()) {
        ("", source) => source.to_owned(),
        (user, "") => user.to_owned(),
        (user, source) => format!("{user}, {source}"),
    }
}

fn short_sha(sha: &str) -> &str {
    sha.get(..SHORT).unwrap_or(sha)
}

impl Shown for v1::Pipeline {
    const NOUN: &'static str = "pipeline";
    const COLUMNS: &'static [Column] = &[
        Column::right("ID"),
        Column::left("STATUS"),
        Column::left("PROJECT"),
        Column::left("REF"),
        Column::left("COMMIT"),
        Column::left("TITLE"),
        Column::left("BY").wide(),
        Column::right("TOOK"),
        Column::right("AGE"),
    ];

    fn cells(&self, now: u64) -> Vec<Cell> {
        let status = match self.status.as_str() {
            "success" if self.warnings => "passed (warnings)",
            status => status,
        };
        vec![
            Cell::plain(self.id),
            Cell::state(status),
            Cell::plain(&self.project),
            Cell::plain(&self.reference),
            Cell::plain(short_sha(&self.sha)),
            Cell::plain(&self.commit_title),
            Cell::plain(started_by(self)),
            Cell::plain(time::took(self.created_at, self.finished_at, now)),
            Cell::plain(time::ago(self.created_at, now)),
        ]
    }
}
