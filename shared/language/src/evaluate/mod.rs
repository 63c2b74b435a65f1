//! The last pass: a configuration and an event to a plan.
//!
//! ```text
//! workflow (wanted at all?) -> each job: rules or only/except (in or out, how)
//!   -> seed (expand what the server expands) -> needs among those that are in -> Plan
//! ```

mod artifacts;
mod cache;
pub(crate) mod clause;
mod event;
mod needs;
mod policy;
mod rules;
mod seed;
mod workflow;

use fleet_model::{AutoCancel, Plan};

use crate::config::Config;
use crate::{Context, Diagnostic, Files, Severity, Span};
use event::Event;

/// The code of the diagnostic that the workflow's rules want no pipeline.
pub const FILTERED: &str = "pipeline-filtered";
/// The code of the diagnostic that no job is left.
pub const EMPTY: &str = "pipeline-empty";

/// One more is refused.
const MAX_JOBS: usize = 5000;

/// What an event makes of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluation {
    /// The pipeline; none if any diagnostic is an error. [`FILTERED`] and
    /// [`EMPTY`] are errors in which nobody made a mistake.
    pub plan: Option<Plan>,
    /// The jobs that are not part of it, in order of the file.
    pub left_out: Vec<LeftOut>,
    /// What there is to say.
    pub diagnostics: Vec<Diagnostic>,
}

/// A job that is not in the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its name.
    pub job: String,
    /// What left it out, in words that follow its name: `is left out: no rule
    /// matches`.
    pub why: String,
    /// The rule that decided, or the job.
    pub span: Span,
}

/// Works out the pipeline of an event.
#[must_use]
pub fn plan(config: &Config, context: &Context, files: &dyn Files) -> Evaluation {
    let event = Event::new(context, files);
    let mut evaluation = Evaluation {
        plan: None,
        left_out: Vec::new(),
        diagnostics: Vec::new(),
    };
    let pipeline = match workflow::decide(config, &event) {
        Ok(pipeline) => pipeline,
        Err(filtered) => {
            evaluation.diagnostics.push(filtered);
            return evaluation;
        }
    };

    let mut included = Vec::new();
    for job in &config.jobs {
        match seed::decide(job, &pipeline, &event) {
            Ok(decision) => included.push((job, decision)),
            Err(left_out) => evaluation.left_out.push(left_out),
        }
    }
    let position = |stage: &str| config.stages.iter().position(|other| other == stage);
    included.sort_by_cached_key(|(job, _)| position(&job.stage));
    if included.len() > MAX_JOBS {
        evaluation.diagnostics.push(Diagnostic::error(
            "too-many-jobs",
            format!(
                "The number of jobs has exceeded the limit of {MAX_JOBS}. Try splitting the \
                 configuration with parent-child-pipelines"
            ),
            None,
        ));
        return evaluation;
    }

    let mut stages: Vec<String> = Vec::new();
    let mut jobs = Vec::new();
    for (job, decision) in &included {
        if stages.last() != Some(&job.stage) {
            stages.push(job.stage.clone());
        }
        let (planned, diagnostics) =
            seed::planned(job, decision, stages.len() - 1, &pipeline, &event);
        jobs.push(planned);
        evaluation.diagnostics.extend(diagnostics);
    }
    evaluation
        .diagnostics
        .extend(needs::resolve(&included, &mut jobs));
    artifacts::resolve(&included, &mut jobs);

    if stages
        .iter()
        .all(|stage| stage == ".pre" || stage == ".post")
    {
        evaluation.diagnostics.push(Diagnostic::error(
            EMPTY,
            "The resulting pipeline would have been empty. Review the rules configuration \
                 for the relevant jobs.",
            None,
        ));
    }
    if evaluation
        .diagnostics
        .iter()
        .all(|diagnostic| diagnostic.severity != Severity::Error)
    {
        evaluation.plan = Some(Plan {
            name: pipeline.name,
            stages,
            jobs,
            auto_cancel: AutoCancel {
                on_job_failure: pipeline.on_job_failure,
            },
        });
    }
    evaluation
}

#[cfg(test)]
mod tests;
