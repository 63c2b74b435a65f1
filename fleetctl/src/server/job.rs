//! `fleetctl job`.

use fleet_proto::v1;

use super::{artifacts, log, scope};
use crate::cli::{InProject, JobVerb, ListJobs};
use crate::client::Client;
use crate::output::{Cell, Column, Fact, Json, Printer, Shown, fact, time};
use crate::view::{clean, duration};
use crate::{Exit, Failure};

pub(super) async fn run(
    verb: JobVerb,
    project: &InProject,
    client: &Client,
    out: &Printer,
) -> Result<Exit, Failure> {
    match verb {
        JobVerb::List(arguments) => list(arguments, project, client, out).await,
        JobVerb::Show { id } => {
            let id = scope::job_id(&id, project, client).await?;
            let job = client
                .call(client.jobs().get_job(v1::GetJobRequest { id }))
                .await?;
            show(&job, out)
        }
        JobVerb::Log(arguments) => {
            let id = scope::job_id(&arguments.id, project, client).await?;
            log::print(id, &arguments, client, out).await
        }
        JobVerb::Explain { id } => {
            let id = scope::job_id(&id, project, client).await?;
            let request = v1::ExplainJobRequest { id };
            let explanation = client.call(client.jobs().explain_job(request)).await?;
            explain(&explanation, out)
        }
        JobVerb::Cancel { id, force } => {
            let id = scope::job_id(&id, project, client).await?;
            let request = v1::CancelJobRequest { id, force };
            let job = client.call(client.jobs().cancel_job(request)).await?;
            told(&job, out)
        }
        JobVerb::Retry { id } => {
            let id = scope::job_id(&id, project, client).await?;
            let request = v1::RetryJobRequest { id };
            let job = client.call(client.jobs().retry_job(request)).await?;
            follow_up(&job, out)
        }
        JobVerb::Play { id } => {
            let id = scope::job_id(&id, project, client).await?;
            let request = v1::PlayJobRequest { id };
            let job = client.call(client.jobs().play_job(request)).await?;
            follow_up(&job, out)
        }
        JobVerb::Artifacts { id, dir, kind } => {
            let id = scope::job_id(&id, project, client).await?;
            artifacts::fetch(id, dir, kind, client, out).await
        }
    }
}

async fn list(
    arguments: ListJobs,
    project: &InProject,
    client: &Client,
    out: &Printer,
) -> Result<Exit, Failure> {
    let pipeline = match arguments.pipeline {
        Some(which) => scope::pipeline_id(which, project, client).await?,
        None => 0,
    };
    let project = if arguments.all || pipeline > 0 {
        String::new()
    } else {
        scope::project(project)?
    };
    let request = v1::ListJobsRequest {
        project,
        pipeline,
        status: arguments.status.unwrap_or_default(),
        limit: arguments.limit.get(),
    };
    out.list_or_watch(client, arguments.watch, async || {
        let answer = client
            .call(client.jobs().list_jobs(request.clone()))
            .await?;
        Ok(answer.jobs)
    })
    .await
}

/// Says in a line what a job is now.
fn told(job: &v1::Job, out: &Printer) -> Result<Exit, Failure> {
    out.done(
        &job.json(),
        &job.id.to_string(),
        &format!("job {} ({}) is {}", job.id, job.name, job.status),
    )
}

pub(super) fn follow_up(job: &v1::Job, out: &Printer) -> Result<Exit, Failure> {
    told(job, out)?;
    out.hint(&format!("Next: fleetctl job log {} -f", job.id));
    Ok(Exit::Done)
}

fn show(job: &v1::Job, out: &Printer) -> Result<Exit, Failure> {
    out.item(&job.json(), &facts(job))?;
    out.table(&job.attempts)?;
    out.table(&job.artifacts)
}

/// Why a job failed, in a few words.
pub(super) fn why(job: &v1::Job) -> String {
    if job.status != "failed" {
        return String::new();
    }
    let reason = job.failure_reason.replace('_', " ");
    match (job.exit_code, reason.as_str()) {
        (0, reason) => reason.to_owned(),
        (code, "" | "script failure") => format!("exit code {code}"),
        (code, reason) => format!("{reason}, exit code {code}"),
    }
}

fn facts(job: &v1::Job) -> Vec<Fact> {
    let status = if job.allowed_failure {
        format!("{}, allowed to", job.status)
    } else {
        job.status.clone()
    };
    vec![
        fact("job", job.id.to_string()),
        fact("name", &job.name),
        fact("stage", &job.stage),
        fact("status", status),
        fact("why", why(job)),
        fact("message", &job.message),
        fact("project", &job.project),
        fact("pipeline", job.pipeline.to_string()),
        fact("ref", &job.reference),
        fact("started", downstream(job)),
        fact("environment", &job.environment),
        fact("tags", job.tags.join(", ")),
        fact("needs", job.needs.join(", ")),
        fact("created", time::moment(job.created_at)),
    ]
}

/// The pipelines that a trigger job started, the newest last.
pub(super) fn downstream(job: &v1::Job) -> String {
    let started = job.downstream.iter();
    let started = started.map(|link| format!("pipeline {} of {}", link.pipeline, link.project));
    started.collect::<Vec<_>>().join(", ")
}

fn explain(explanation: &v1::Explanation, out: &Printer) -> Result<Exit, Failure> {
    if out.is_json() {
        return out.item(&explanation.json(), &[]);
    }
    out.print(&in_words(explanation, time::now()))
}

/// An explanation as people read it.
fn in_words(explanation: &v1::Explanation, now: u64) -> String {
    let waited = match explanation.waited_ms {
        0 => String::new(),
        ms => format!(" for {}", duration(std::time::Duration::from_millis(ms))),
    };
    let mut text = format!(
        "job {} is {}{waited}: {}\n",
        explanation.job,
        clean(&explanation.status),
        clean(&explanation.why)
    );
    for detail in &explanation.details {
        text.push_str(&format!("  {}\n", clean(detail)));
    }
    for remedy in &explanation.remedies {
        text.push_str(&format!("Try: {}\n", clean(remedy)));
    }
    if explanation.until > 0 {
        text.push_str(&format!(
            "That changes by itself at {} ({})\n",
            time::moment(explanation.until),
            time::ahead(explanation.until, now)
        ));
    }
    text
}

impl Shown for v1::Job {
    const NOUN: &'static str = "job";
    const COLUMNS: &'static [Column] = &[
        Column::right("ID"),
        Column::left("STATUS"),
        Column::left("NAME"),
        Column::left("STAGE"),
        Column::right("PIPELINE"),
        Column::left("PROJECT"),
        Column::left("REF").wide(),
        Column::left("AGENT"),
        Column::left("WHY"),
        Column::left("TAGS").wide(),
        Column::right("TOOK"),
        Column::right("AGE"),
    ];

    fn cells(&self, now: u64) -> Vec<Cell> {
        let status = if self.allowed_failure && self.status == "failed" {
            "failed (allowed)"
        } else {
            &self.status
        };
        let last = self.attempts.last();
        let took = last.map(|last| time::took(last.started_at, last.finished_at, now));
        vec![
            Cell::plain(self.id),
            Cell::state(status),
            Cell::plain(&self.name),
            Cell::plain(&self.stage),
            Cell::plain(self.pipeline),
            Cell::plain(&self.project),
            Cell::plain(&self.reference),
            Cell::plain(last.map_or("", |last| last.agent.as_str())),
            Cell::plain(why(self)),
            Cell::plain(self.tags.join(",")),
            Cell::plain(took.unwrap_or_default()),
            Cell::plain(time::ago(self.created_at, now)),
        ]
    }
}

impl Shown for v1::Attempt {
    const NOUN: &'static str = "attempt";
    const COLUMNS: &'static [Column] = &[
        Column::right("TRY"),
        Column::left("STATUS"),
        Column::left("AGENT"),
        Column::left("HOST"),
        Column::left("STARTED"),
        Column::right("TOOK"),
        Column::right("LOG"),
        Column::left("MESSAGE"),
        Column::right("FENCE").wide(),
    ];

    fn cells(&self, now: u64) -> Vec<Cell> {
        let status = if self.status.is_empty() {
            "running"
        } else {
            &self.status
        };
        vec![
            Cell::plain(self.number),
            Cell::state(status),
            Cell::plain(&self.agent),
            Cell::plain(&self.host),
            Cell::plain(time::moment(self.started_at)),
            Cell::plain(time::took(self.started_at, self.finished_at, now)),
            Cell::plain(artifacts::size(self.log_bytes)),
            Cell::plain(&self.message),
            Cell::plain(self.fence),
        ]
    }
}

impl Shown for v1::ArtifactFile {
    const NOUN: &'static str = "artifact";
    const COLUMNS: &'static [Column] = &[
        Column::left("ARTIFACT"),
        Column::left("FILE"),
        Column::right("SIZE"),
        Column::left("KEPT"),
    ];

    fn cells(&self, now: u64) -> Vec<Cell> {
        let kept = match self.expires_at {
            0 => "for good".to_owned(),
            at => format!("ends {}", time::ahead(at, now)),
        };
        vec![
            Cell::plain(&self.r#type),
            Cell::plain(&self.filename),
            Cell::plain(artifacts::size(self.size)),
            Cell::plain(kept),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn explanation_says_why_what_holds_it_and_what_helps() {
        let explanation = v1::Explanation {
            job: 812,
            status: "pending".into(),
            waited_ms: 252_000,
            why: "no agent can run it: it wants tags linux, gpu".into(),
            details: vec!["b1: lacks tag gpu".into(), "b6: drained\x1b[2J".into()],
            remedies: vec!["fleetctl agent resume b6".into()],
            until: 1_767_323_045_000,
        };
        assert_eq!(
            in_words(&explanation, 1_767_323_045_000 - 3_600_000),
            "job 812 is pending for 4m12s: no agent can run it: it wants tags linux, gpu
  b1: lacks tag gpu
  b6: drained
Try: fleetctl agent resume b6
That changes by itself at 2026-01-02T03:04:05Z (in 1h)
"
        );
    }

    #[test]
    fn failure_is_told_in_a_few_words() {
        let job = |status: &str, reason: &str, exit_code| v1::Job {
            status: status.into(),
            failure_reason: reason.into(),
            exit_code,
            ..v1::Job::default()
        };
        assert_eq!(why(&job("failed", "script_failure", 3)), "exit code 3");
        assert_eq!(
            why(&job("failed", "job_execution_timeout", 0)),
            "job execution timeout"
        );
        assert_eq!(why(&job("success", "", 0)), "");
    }
}
