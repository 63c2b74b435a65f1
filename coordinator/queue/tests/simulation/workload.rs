//! Pipelines of every kind.

use std::time::Duration;

use fleet_model::{AllowFailure, JobId, OnJobFailure, PipelineId, ProjectId, Retry, When};
use fleet_queue::{NewJob, NewPipeline, Scheduling};

use crate::random::Random;

pub(crate) fn pipeline(id: u64, random: &mut Random) -> NewPipeline {
    let count = random.range(1, 9);
    let jobs = (0..count)
        .map(|index| NewJob {
            id: JobId(id * 100 + index),
            name: format!("job {index}"),
            stage: u32::try_from(index / 3).expect("few jobs"),
            scheduling: scheduling(id, index, random),
            when: when(random),
            allow_failure: if random.chance(30) {
                AllowFailure::Yes
            } else {
                AllowFailure::No
            },
            retry: retry(random),
            timeout: Some(Duration::from_secs(random.range(60, 1200))),
            tags: if random.chance(20) {
                vec!["gpu".to_owned()]
            } else {
                Vec::new()
            },
            resource_group: random.chance(25).then(|| "production".to_owned()),
            interruptible: true,
            protected: false,
            gated: random.chance(20),
            pinned_to: (index > 0 && random.chance(15)).then(|| JobId(id * 100)),
            bridge: None,
        })
        .collect();
    NewPipeline {
        id: PipelineId(id),
        project: ProjectId(random.range(1, 3)),
        stages: 3,
        upstream: None,
        on_job_failure: if random.chance(10) {
            OnJobFailure::All
        } else {
            OnJobFailure::None
        },
        jobs,
    }
}

fn scheduling(pipeline: u64, index: u64, random: &mut Random) -> Scheduling {
    if random.chance(50) {
        return Scheduling::Stage;
    }
    let needs = (0..index).filter(|_| random.chance(30));
    Scheduling::Dag(needs.map(|need| JobId(pipeline * 100 + need)).collect())
}

fn when(random: &mut Random) -> When {
    match random.range(0, 20) {
        0 => When::OnFailure,
        1 => When::Always,
        2 => When::Manual,
        3 => When::Delayed(Duration::from_secs(random.range(1, 120))),
        _ => When::OnSuccess,
    }
}

fn retry(random: &mut Random) -> Retry {
    let when = random.pick(&["always", "runner_system_failure", "script_failure"]);
    Retry {
        max: u32::try_from(random.range(0, 3)).expect("a small number"),
        when: vec![when.to_owned()],
        exit_codes: Vec::new(),
    }
}
