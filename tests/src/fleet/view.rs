//! What `fleetctl … -o json` shows of pipelines and jobs.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::person::Person;
use crate::wait::wait_within;

/// How often the state of something is asked for.
const LOOK: Duration = Duration::from_millis(50);

/// A pipeline as it is shown.
#[derive(Clone, Debug)]
pub struct PipelineView {
    /// Its number.
    pub id: u64,
    /// GitLab's word.
    pub status: String,
    /// The commit.
    pub sha: String,
    /// Number and name of its jobs.
    pub jobs: Vec<JobView>,
}

/// A job as it is shown.
#[derive(Clone, Debug)]
pub struct JobView {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// GitLab's word.
    pub status: String,
    /// All that is shown.
    pub all: Value,
}

impl JobView {
    fn read(value: &Value) -> Result<JobView> {
        Ok(JobView {
            id: number(value, "id")?,
            name: text(value, "name")?,
            status: text(value, "status")?,
            all: value.clone(),
        })
    }

    /// A field of its attempts, in order.
    ///
    /// # Errors
    /// If the view has no attempts with this field.
    pub fn of_attempts(&self, field: &str) -> Result<Vec<String>> {
        let attempts = self.all["attempts"]
            .as_array()
            .with_context(|| format!("no attempts in {}", self.all))?;
        attempts
            .iter()
            .map(|attempt| match &attempt[field] {
                Value::String(text) => Ok(text.clone()),
                Value::Number(number) => Ok(number.to_string()),
                _ => bail!("no {field} in {attempt}"),
            })
            .collect()
    }

    /// A time since 1970 that is shown of it, or of its only attempt.
    ///
    /// # Errors
    /// If the view has no such time.
    pub fn time(&self, field: &str) -> Result<Duration> {
        let text = match self.all[field].as_str() {
            Some(text) => text.to_owned(),
            None => {
                let times = self.of_attempts(field)?;
                ensure!(times.len() == 1, "{self:?}");
                times[0].clone()
            }
        };
        milliseconds(&text).with_context(|| format!("{field}: {text}"))
    }
}

impl Person {
    /// A pipeline of this number; `last`: the project's latest.
    ///
    /// # Errors
    /// If it is not there.
    pub fn pipeline(&self, project: &str, id: &str) -> Result<PipelineView> {
        self.show_pipeline(&["pipeline", "show", id, "--project", project])
    }

    fn show_pipeline(&self, words: &[&str]) -> Result<PipelineView> {
        let shown = self.json(words)?;
        let jobs = shown["jobs"].as_array().into_iter().flatten();
        Ok(PipelineView {
            id: number(&shown, "id")?,
            status: text(&shown, "status")?,
            sha: text(&shown, "sha")?,
            jobs: jobs.map(JobView::read).collect::<Result<_>>()?,
        })
    }

    /// Numbers of a project's pipelines of one commit.
    ///
    /// # Errors
    /// If they cannot be listed.
    pub fn pipelines_of(&self, project: &str, sha: &str) -> Result<Vec<u64>> {
        let listed = self.json(&["pipeline", "list", "--limit", "100", "--project", project])?;
        let listed = listed.as_array().context("a list of pipelines")?;
        listed
            .iter()
            .filter(|one| one["sha"] == sha)
            .map(|one| number(one, "id"))
            .collect()
    }

    /// A job of a pipeline by its name, with its attempts.
    ///
    /// # Errors
    /// If it is not there.
    pub fn job(&self, pipeline: &PipelineView, name: &str) -> Result<JobView> {
        let job = pipeline.jobs.iter().find(|job| job.name == name);
        let job = job.with_context(|| format!("no job {name} in {pipeline:?}"))?;
        JobView::read(&self.json(&["job", "show", &job.id.to_string()])?)
    }

    /// Waits until the project's latest pipeline is one of this commit.
    ///
    /// # Errors
    /// If none comes.
    pub fn wait_pipeline(&self, project: &str, sha: &str) -> Result<PipelineView> {
        wait_within(crate::DEADLINE, LOOK, "a pipeline of the commit", || {
            let Some(id) = self.pipelines_of(project, sha)?.pop() else {
                return Ok(None);
            };
            self.pipeline(project, &id.to_string()).map(Some)
        })
    }

    /// Waits until a job of a pipeline has one of these states.
    ///
    /// # Errors
    /// If it does not get there.
    pub fn wait_job(
        &self,
        pipeline: &PipelineView,
        name: &str,
        states: &[&str],
    ) -> Result<JobView> {
        let what = format!("job {name} to be {}", states.join(" or "));
        wait_within(crate::DEADLINE, LOOK, &what, || {
            let job = self.job(pipeline, name)?;
            Ok(states.contains(&job.status.as_str()).then_some(job))
        })
    }

    /// Waits until a pipeline has ended and returns it, at most this long.
    ///
    /// # Errors
    /// If it does not end.
    pub fn wait_end(&self, pipeline: &PipelineView, within: Duration) -> Result<PipelineView> {
        const ENDED: [&str; 4] = ["success", "failed", "canceled", "skipped"];
        let id = pipeline.id.to_string();
        let mut last = pipeline.clone();
        wait_within(within, LOOK, "the pipeline to end", || {
            last = self.show_pipeline(&["pipeline", "show", &id])?;
            Ok(ENDED.contains(&last.status.as_str()).then(|| last.clone()))
        })
        .with_context(|| format!("{last:#?}"))
    }

    /// All of a job's log, as its script wrote it.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn log(&self, job: &JobView) -> Result<String> {
        self.ok(&["job", "log", &job.id.to_string(), "--raw"])
    }
}

/// A text field.
pub(crate) fn text(value: &Value, field: &str) -> Result<String> {
    let text = value[field].as_str();
    Ok(text
        .with_context(|| format!("no text {field} in {value}"))?
        .to_owned())
}

fn number(value: &Value, field: &str) -> Result<u64> {
    let number = value[field].as_u64();
    number.with_context(|| format!("no number {field} in {value}"))
}

/// `2026-01-02T03:04:05.678Z` since 1970.
fn milliseconds(text: &str) -> Option<Duration> {
    let (date, clock) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.split('-').map(str::parse::<u64>);
    let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
    // Years that begin in March, as is usual: leap days come last then.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let mut clock = clock.split(':');
    let hours: u64 = clock.next()?.parse().ok()?;
    let minutes: u64 = clock.next()?.parse().ok()?;
    let seconds: f64 = clock.next()?.parse().ok()?;
    let whole = (days.checked_sub(719_468)?) * 86_400 + hours * 3600 + minutes * 60;
    Some(Duration::from_secs(whole) + Duration::from_secs_f64(seconds))
}
