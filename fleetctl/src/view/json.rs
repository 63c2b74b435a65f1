//! A run for programs: one JSON object a line, each with its `event`.
//!
//! | `event` | fields |
//! |---|---|
//! | `created` | `pipeline`, `jobs`: list of `id`, `name`, `stage` |
//! | `job` | `id`, `name`, `stage`, `state`, `attempt`, `agent`, `reason`, `exit_code`, `allowed_failure`, `message` |
//! | `log` | `id`, `name`, `attempt`, `line` (without colours), `of_agent` |
//! | `downstream` | `bridge`: the trigger job's name, `pipeline`, `jobs` as above; names and stages begin with the trigger job's |
//! | `pipeline` | `state` |
//! | `end` | `state`, `interrupted`, `failed`: names, `seconds` |

use fleet_coordinator::Created;
use fleet_model::{JobId, Timestamp};
use serde_json::{Value, json};

use super::ansi::strip;
use super::state::{Change, State};

pub(super) fn created(state: &State, created: &Created) -> Value {
    let jobs: Vec<Value> = created
        .jobs
        .iter()
        .zip(&state.jobs)
        .map(
            |(id, job)| json!({ "id": id, "name": job.name, "stage": state.stages.get(job.stage) }),
        )
        .collect();
    json!({ "event": "created", "pipeline": created.pipeline, "jobs": jobs })
}

pub(super) fn change(state: &State, ids: &[JobId], change: &Change) -> Option<Value> {
    Some(match change {
        Change::Pipeline => json!({ "event": "pipeline", "state": state.status }),
        Change::Downstream {
            bridge,
            pipeline,
            first,
        } => {
            let jobs: Vec<Value> = ids
                .iter()
                .zip(&state.jobs)
                .skip(*first)
                .map(|(id, job)| {
                    json!({ "id": id, "name": job.name, "stage": state.stages.get(job.stage) })
                })
                .collect();
            let bridge = &state.jobs.get(*bridge)?.name;
            json!({
                "event": "downstream",
                "bridge": bridge,
                "pipeline": pipeline,
                "jobs": jobs,
            })
        }
        Change::Job(index) => {
            let job = state.jobs.get(*index)?;
            json!({
                "event": "job",
                "id": ids.get(*index)?,
                "name": job.name,
                "stage": state.stages.get(job.stage)?,
                "state": job.state,
                "attempt": job.attempt,
                "agent": job.agent,
                "reason": job.reason,
                "exit_code": job.exit_code,
                "allowed_failure": job.allowed_failure,
                "message": job.message,
            })
        }
        Change::Line(index, line) => {
            let job = state.jobs.get(*index)?;
            json!({
                "event": "log",
                "id": ids.get(*index)?,
                "name": job.name,
                "attempt": job.attempt,
                "line": strip(&line.text),
                "of_agent": line.of_agent,
            })
        }
    })
}

pub(super) fn end(state: &State, now: Timestamp) -> Value {
    json!({
        "event": "end",
        "state": state.status,
        "interrupted": state.interrupted.is_some(),
        "failed": state.failed_names(),
        "seconds": state.ended.unwrap_or(now).since(state.started).as_secs_f64(),
    })
}
