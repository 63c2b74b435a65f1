//! Whose artifacts a job gets.

use std::collections::BTreeSet;

use fleet_model::{PlannedJob, Scheduling};

use super::seed::Decision;
use crate::config::Job;

/// Fills in [`PlannedJob::artifacts_from`], in order of the plan. Jobs that give
/// nothing are left out, so that a long pipeline has no lists of all its jobs.
pub(super) fn resolve(included: &[(&Job, Decision<'_>)], jobs: &mut [PlannedJob]) {
    let givers: Vec<usize> = (0..jobs.len())
        .filter(|&index| gives(&jobs[index]))
        .collect();
    for (at, (job, decision)) in included.iter().enumerate() {
        let mut from = match &jobs[at].scheduling {
            Scheduling::Stage => earlier(&givers, jobs, jobs[at].stage),
            Scheduling::Dag(needed) => {
                let wanted: BTreeSet<&str> = decision
                    .needs()
                    .unwrap_or_default()
                    .iter()
                    .filter(|need| need.artifacts)
                    .map(|need| need.job.as_str())
                    .collect();
                let mut from: Vec<usize> = needed
                    .iter()
                    .copied()
                    .filter(|&index| wanted.contains(jobs[index].name.as_str()))
                    .filter(|index| givers.binary_search(index).is_ok())
                    .collect();
                from.sort_unstable();
                from
            }
        };
        if let Some(names) = &job.dependencies {
            let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
            from.retain(|&index| names.contains(jobs[index].name.as_str()));
        }
        jobs[at].artifacts_from = from;
    }
}

fn earlier(givers: &[usize], jobs: &[PlannedJob], stage: usize) -> Vec<usize> {
    givers
        .iter()
        .copied()
        .take_while(|&index| jobs[index].stage < stage)
        .collect()
}

/// Other jobs get archives and dotenv variables; all else is for people.
fn gives(job: &PlannedJob) -> bool {
    job.artifacts
        .iter()
        .any(|artifact| artifact.kind == "archive" || artifact.kind == "dotenv")
}
