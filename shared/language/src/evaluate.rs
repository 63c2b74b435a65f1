//! The last pass: a configuration and an event to a plan.
//!
//! ```text
//! workflow (wanted at all?) -> each job: rules or only/except (in or out, how)
//!   -> seed (expand what the server expands) -> needs among those that are in -> Plan
//! ```

mod artifacts;
mod cache;
pub(crate) mod clause;
mod downstream;
mod event;
mod explain;
mod needs;
mod policy;
mod rules;
mod seed;
mod workflow;

use fleet_model::{Plan, PlannedJob, Variable};

pub(crate) use explain::explain;
pub use explain::{AskedClause, AskedRule, Explanation};

use crate::config::{Config, Job};
use crate::{Context, Diagnostic, Reach, Severity, Span, coupling};
use event::{Around, Event};
use seed::Decision;
use workflow::Pipeline;

/// The code of the diagnostic that the workflow's rules want no pipeline.
pub const FILTERED: &str = "pipeline-filtered";
/// The code of the diagnostic that no job is left.
pub const EMPTY: &str = "pipeline-empty";

/// One more is refused.
const MAX_JOBS: usize = 5000;

/// The global variables, once for each job that inherits them, at most; every
/// job of a plan has its own copy.
const MAX_GLOBAL_BYTES: usize = 32 << 20;

/// What an event makes of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluation {
    /// The pipeline; none if there is any error. [`FILTERED`] and
    /// [`EMPTY`] are errors in which nobody made a mistake.
    pub plan: Option<Plan>,
    /// The jobs that are not part of it, in order of the file.
    pub left_out: Vec<LeftOut>,
    /// Why there is no pipeline; or what there is to say of it.
    pub diagnostics: Vec<Diagnostic>,
}

/// A job that is not in the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its name.
    pub job: String,
    /// What left it out, in words that follow its name: `is left out: none of
    /// its rules matches`.
    pub why: String,
    /// The rule that decided, or the job.
    pub span: Span,
}

/// Works out the pipeline of an event.
#[must_use]
pub fn plan<'r>(config: &Config, context: &'r Context, reach: impl Into<Reach<'r>>) -> Evaluation {
    let event = Event::new(context, reach);
    let mut left_out = Vec::new();
    let result = attempt(config, &event, &mut left_out);
    let (mut plan, mut diagnostics) = match result {
        Ok((plan, diagnostics)) => (Some(plan), diagnostics),
        Err(diagnostics) => (None, diagnostics),
    };
    if event.patterns.is_exhausted() {
        // What was decided without them is worth nothing.
        plan = None;
        diagnostics = vec![Diagnostic::error(
            "patterns-too-large",
            "the regular expressions of this configuration are too large to evaluate together",
            None,
        )];
    }
    Evaluation {
        plan,
        left_out,
        diagnostics,
    }
}

fn attempt(
    config: &Config,
    event: &Event<'_>,
    left_out: &mut Vec<LeftOut>,
) -> Result<(Plan, Vec<Diagnostic>), Vec<Diagnostic>> {
    let pipeline = workflow::decide(config, event);
    event.all_well()?;
    let pipeline = pipeline.map_err(|filtered| vec![filtered])?;
    check_globals(config, &pipeline).map_err(|error| vec![error])?;
    let around = Around::new(&pipeline.predefined, &pipeline.user, &pipeline.settings);
    let mut included = select(config, &pipeline, &around, event, left_out)?;
    event.all_well()?;

    let mut stages: Vec<String> = Vec::new();
    let mut jobs = Vec::new();
    let mut diagnostics = Vec::new();
    for (job, decision) in &mut included {
        if stages.last() != Some(&job.stage) {
            stages.push(job.stage.clone());
        }
        let (planned, found) = seed::planned(decision, stages.len() - 1, &pipeline, &around, event);
        jobs.push(planned);
        diagnostics.extend(found);
    }
    diagnostics.extend(needs::resolve(&included, &mut jobs));
    artifacts::resolve(&included, &mut jobs);
    if stages
        .iter()
        .all(|stage| stage == ".pre" || stage == ".post")
    {
        diagnostics.push(Diagnostic::error(
            EMPTY,
            "The resulting pipeline would have been empty. Review the rules configuration for \
             the relevant jobs.",
            None,
        ));
    }
    if diagnostics.is_empty() {
        diagnostics = couple(&included, &mut jobs, &around, event);
    }
    let has_errors = diagnostics
        .iter()
        .any(|found| found.severity == Severity::Error);
    if !has_errors {
        let plan = Plan {
            name: pipeline.name,
            stages,
            jobs,
            auto_cancel: pipeline.auto_cancel,
            predefined: pipeline.predefined,
            user: pipeline.user,
        };
        Ok((plan, diagnostics))
    } else {
        Err(diagnostics)
    }
}

/// Finds and mends what ties jobs to each other's hosts.
fn couple(
    included: &[(&Job, Decision<'_>)],
    jobs: &mut [PlannedJob],
    around: &Around<'_>,
    event: &Event<'_>,
) -> Vec<Diagnostic> {
    let written: Vec<&Job> = included.iter().map(|(job, _)| *job).collect();
    let wanted = event.context.project.host_coupling;
    let all = |own: &[Variable]| around.with(own).into_iter().cloned().collect();
    coupling::resolve(&written, jobs, all, wanted)
}

/// Whether the global variables are few enough for that many jobs.
fn check_globals(config: &Config, pipeline: &Pipeline) -> Result<(), Diagnostic> {
    let mut bytes = 0_usize;
    for job in &config.jobs {
        let inherited = pipeline
            .global
            .iter()
            .filter(|variable| job.inherit_variables.admits(&variable.key))
            .map(|variable| size_of::<Variable>() + variable.key.len() + variable.value.len());
        bytes = bytes.saturating_add(inherited.sum());
        if bytes > MAX_GLOBAL_BYTES {
            let message = format!(
                "the global variables of all jobs together are larger than {} MiB",
                MAX_GLOBAL_BYTES >> 20
            );
            return Err(
                Diagnostic::error("variables-too-large", message, Some(job.span))
                    .help("a job takes only those it needs with `inherit: variables`"),
            );
        }
    }
    Ok(())
}

/// The jobs that are in, in order of stage, then of the file.
fn select<'c>(
    config: &'c Config,
    pipeline: &Pipeline,
    around: &Around<'_>,
    event: &Event<'_>,
    left_out: &mut Vec<LeftOut>,
) -> Result<Vec<(&'c Job, Decision<'c>)>, Vec<Diagnostic>> {
    let mut included = Vec::new();
    for job in &config.jobs {
        match seed::decide(job, pipeline, around, event) {
            Ok(decision) => included.push((job, decision)),
            Err(reason) => left_out.push(reason),
        }
    }
    if included.len() > MAX_JOBS {
        return Err(vec![Diagnostic::error(
            "too-many-jobs",
            format!(
                "The number of jobs has exceeded the limit of {MAX_JOBS}. Try splitting the \
                 configuration with parent-child-pipelines"
            ),
            None,
        )]);
    }
    let position = |stage: &str| config.stages.iter().position(|other| other == stage);
    included.sort_by_cached_key(|(job, _)| position(&job.stage));
    Ok(included)
}

#[cfg(test)]
pub(crate) mod tests;
