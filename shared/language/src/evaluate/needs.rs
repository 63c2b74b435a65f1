//! Needs among the jobs that are in.

use std::collections::BTreeMap;

use fleet_model::{PlannedJob, Scheduling};

use super::seed::Decision;
use crate::Diagnostic;
use crate::config::Job;

/// Puts the indexes of the needed jobs where a job has `needs`.
pub(super) fn resolve(
    included: &[(&Job, Decision<'_>)],
    jobs: &mut [PlannedJob],
) -> Vec<Diagnostic> {
    let index: BTreeMap<String, usize> = jobs
        .iter()
        .enumerate()
        .map(|(index, job)| (job.name.clone(), index))
        .collect();
    let mut diagnostics = Vec::new();
    for ((job, decision), planned) in included.iter().zip(jobs) {
        let Some(needs) = decision.needs() else {
            continue;
        };
        let mut waits_for = Vec::new();
        for need in needs {
            match index.get(&need.job) {
                Some(&at) if !waits_for.contains(&at) => waits_for.push(at),
                Some(_) => {}
                None if need.optional => {}
                None => diagnostics.push(Diagnostic::error(
                    "need-left-out",
                    format!(
                        "'{}' job needs '{}' job, but '{}' does not exist in the pipeline. This \
                         might be because of the only, except, or rules keywords. To need a job \
                         that sometimes does not exist in the pipeline, use needs:optional.",
                        job.name, need.job, need.job
                    ),
                    Some(need.span),
                )),
            }
        }
        planned.scheduling = Scheduling::Dag(waits_for);
    }
    diagnostics
}
