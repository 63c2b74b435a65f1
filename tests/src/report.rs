//! What `fleetctl run -o json` told: one JSON object a line.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// A run, event by event put together.
#[derive(Debug, Default)]
pub struct Report {
    /// Its jobs by name.
    pub jobs: BTreeMap<String, JobReport>,
    /// The pipeline's last state.
    pub state: String,
}

/// A job of a run.
#[derive(Debug, Default)]
pub struct JobReport {
    /// Its last state.
    pub state: String,
    /// The number of its last try.
    pub attempts: u64,
    /// Why that failed.
    pub reason: Option<String>,
    /// What its script ended with.
    pub exit_code: Option<i64>,
    /// The event that said that the first try runs, counted from 0.
    pub started: Option<usize>,
    /// The event that said that it has ended for good.
    pub ended: Option<usize>,
    /// The lines of the logs of all tries.
    pub log: Vec<String>,
}

impl Report {
    /// Reads what was printed.
    ///
    /// # Errors
    /// If it is not of the documented shape: other fields may be there, but the
    /// first event is `created` with all jobs, and the last is `end`.
    pub fn read(output: &str) -> Result<Report> {
        let mut report = Report::default();
        let mut last = String::new();
        for (index, line) in output.lines().enumerate() {
            let event: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
            last = text(&event, "event")?;
            ensure!(
                (index == 0) == (last == "created"),
                "event {index} is {last}"
            );
            report
                .apply(index, &last, &event)
                .with_context(|| line.to_owned())?;
        }
        ensure!(last == "end", "the last event is `{last}`");
        Ok(report)
    }

    /// A job by its name.
    ///
    /// # Errors
    /// If there is none.
    pub fn job(&self, name: &str) -> Result<&JobReport> {
        self.jobs
            .get(name)
            .with_context(|| format!("there is no job `{name}`"))
    }

    fn apply(&mut self, index: usize, kind: &str, event: &Value) -> Result<()> {
        match kind {
            "created" | "downstream" => {
                for job in event["jobs"].as_array().context("`created` lists jobs")? {
                    self.jobs.insert(text(job, "name")?, JobReport::default());
                }
            }
            "job" => {
                let job = self.named(event)?;
                job.state = text(event, "state")?;
                job.attempts = event["attempt"].as_u64().context("a job has an attempt")?;
                job.reason = event["reason"].as_str().map(str::to_owned);
                job.exit_code = event["exit_code"].as_i64();
                if job.state == "running" {
                    job.started.get_or_insert(index);
                }
                let is_over = matches!(&*job.state, "success" | "failed" | "canceled" | "skipped");
                job.ended = is_over.then_some(index);
            }
            "log" => {
                let line = text(event, "line")?;
                self.named(event)?.log.push(line);
            }
            "pipeline" | "end" => self.state = text(event, "state")?,
            other => anyhow::bail!("unknown event `{other}`"),
        }
        Ok(())
    }

    fn named(&mut self, event: &Value) -> Result<&mut JobReport> {
        let name = text(event, "name")?;
        self.jobs
            .get_mut(&name)
            .with_context(|| format!("`{name}` was not created"))
    }
}

fn text(value: &Value, field: &str) -> Result<String> {
    Ok(value[field]
        .as_str()
        .with_context(|| format!("`{field}` is no text"))?
        .to_owned())
}
