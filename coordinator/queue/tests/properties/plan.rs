//! Random pipelines.

use std::time::Duration;

use fleet_model::{AllowFailure, JobId, OnJobFailure, PipelineId, ProjectId, Retry, When};
use fleet_queue::{NewJob, NewPipeline, Scheduling};
use proptest::prelude::*;

/// A pipeline whose ids are still to be given: jobs count from 0.
pub(crate) fn pipeline() -> impl Strategy<Value = NewPipeline> {
    (
        prop::collection::vec(job(), 1..9),
        0..2_u64,
        prop::bool::weighted(0.15),
    )
        .prop_map(|(mut jobs, project, cancels)| {
            jobs.sort_by_key(|job| job.stage);
            for index in 0..jobs.len() {
                let (before, rest) = jobs.split_at_mut(index);
                rest[0].id = JobId(index as u64);
                if let Scheduling::Dag(needs) = &mut rest[0].scheduling {
                    // Any earlier job: of an earlier stage or of the same one.
                    needs.retain(|need| (need.0 as usize) < before.len());
                }
                rest[0].pinned_to = rest[0]
                    .pinned_to
                    .filter(|holder| (holder.0 as usize) < before.len());
            }
            NewPipeline {
                id: PipelineId(0),
                project: ProjectId(project),
                stages: 4,
                upstream: None,
                on_job_failure: if cancels {
                    OnJobFailure::All
                } else {
                    OnJobFailure::None
                },
                jobs,
            }
        })
}

fn job() -> impl Strategy<Value = NewJob> {
    (
        (0..4_u32, scheduling(), when(), allow_failure(), retry()),
        (
            prop::bool::weighted(0.3),
            prop::option::weighted(0.3, prop_oneof!["g", "h"]),
            any::<bool>(),
            any::<bool>(),
            prop::bool::weighted(0.2),
            prop::option::weighted(0.3, (0..8_u64).prop_map(JobId)),
            prop::option::of((1..100_u64).prop_map(Duration::from_secs)),
        ),
    )
        .prop_map(
            |(
                (stage, scheduling, when, allow_failure, retry),
                (tagged, resource_group, interruptible, protected, gated, pinned_to, timeout),
            )| NewJob {
                id: JobId(0),
                name: "job".to_owned(),
                stage,
                scheduling,
                when,
                allow_failure,
                retry,
                timeout,
                tags: if tagged {
                    vec!["gpu".to_owned()]
                } else {
                    Vec::new()
                },
                resource_group,
                interruptible,
                protected,
                gated,
                pinned_to,
                bridge: None,
            },
        )
}

fn scheduling() -> impl Strategy<Value = Scheduling> {
    prop_oneof![
        Just(Scheduling::Stage),
        prop::collection::btree_set((0..8_u64).prop_map(JobId), 0..4)
            .prop_map(|needs| Scheduling::Dag(needs.into_iter().collect())),
    ]
}

fn when() -> impl Strategy<Value = When> {
    prop_oneof![
        6 => Just(When::OnSuccess),
        1 => Just(When::OnFailure),
        1 => Just(When::Always),
        2 => Just(When::Manual),
        1 => (1..20_u64).prop_map(|s| When::Delayed(Duration::from_secs(s))),
    ]
}

fn allow_failure() -> impl Strategy<Value = AllowFailure> {
    prop_oneof![
        2 => Just(AllowFailure::No),
        1 => Just(AllowFailure::Yes),
        1 => Just(AllowFailure::ExitCodes(vec![7])),
    ]
}

fn retry() -> impl Strategy<Value = Retry> {
    (
        0..3_u32,
        prop::sample::subsequence(
            vec!["always", "script_failure", "runner_system_failure"],
            0..2,
        ),
    )
        .prop_map(|(max, when)| Retry {
            max,
            when: when.into_iter().map(str::to_owned).collect(),
            exit_codes: Vec::new(),
        })
}
