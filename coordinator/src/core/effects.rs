//! What the queue decided is carried out: messages to agents, what is recorded of
//! jobs, what watchers hear.

use std::collections::VecDeque;

use fleet_model::{JobId, JobState, PipelineId};
use fleet_proto::v1;
use fleet_proto::v1::coordinator_message::Message as Out;
use fleet_queue::{Effect, Input};
use tracing::warn;

use super::{Core, lease};
use crate::watch;

impl Core {
    pub(super) fn carry_out(&mut self, effect: Effect, inputs: &mut VecDeque<Input>) {
        match effect {
            Effect::Lease {
                agent,
                job,
                attempt,
                fence,
                timeout,
            } => {
                let wanted = lease::Wanted {
                    agent,
                    job,
                    attempt,
                    fence,
                    timeout,
                };
                inputs.extend(self.lease(wanted));
            }
            Effect::StartDownstream { job, attempt } => {
                inputs.extend(self.start_downstream(job, attempt));
            }
            Effect::Admission { job } => inputs.push_back(self.admission(job)),
            Effect::Keep { agent, fence } => {
                warn!(%agent, %fence, "a kept lease outside a welcome was left aside");
            }
            Effect::Stop {
                agent,
                fence,
                reason,
            } => {
                let reason = stop_reason(reason).into();
                self.send(
                    &agent,
                    Out::Stop(v1::Stop {
                        fence: fence.0,
                        reason,
                    }),
                );
            }
            Effect::ResultTaken { agent, fence } => {
                self.send(&agent, Out::ResultAck(v1::ResultAck { fence: fence.0 }));
            }
            Effect::JobChanged { .. } => self.job_changed(effect),
            Effect::PipelineChanged {
                pipeline, status, ..
            } => self.pipeline_changed(pipeline, status),
        }
    }

    fn job_changed(&mut self, effect: Effect) {
        let Effect::JobChanged {
            job,
            pipeline: id,
            attempt: number,
            state,
            reason,
            exit_code,
            allowed_failure,
        } = effect
        else {
            return;
        };
        let now = self.clock.now();
        let ended_as = (state == JobState::Failed).then(|| self.failed_downstream(job));
        let Some(pipeline) = self.pipelines.get_mut(&id) else {
            return;
        };
        let Some(index) = pipeline.index_of(job) else {
            return;
        };
        let is_bridge = pipeline.request.plan.jobs[index].trigger.is_some();
        let begins = matches!(state, JobState::Preparing | JobState::Pending);
        if begins || (is_bridge && state == JobState::Running) {
            pipeline.jobs[index].refusal = None;
        }
        if let Some(Some(words)) = ended_as {
            pipeline.jobs[index].refusal = Some(words);
        }
        if let Some(asking) = &self.asking
            && asking.is_about(job, state)
        {
            pipeline.jobs[index].asker = Some(asking.asker.clone());
        }
        let logs = &self.logs;
        if let Some(attempt) = pipeline.jobs[index].attempts.last_mut() {
            let open = attempt.finished_at.is_none();
            match state {
                JobState::Running if open => attempt.started_at = Some(now),
                JobState::Running | JobState::Canceling => {}
                // Another state than these two is one without a lease.
                _ if open => {
                    attempt.finished_at = Some(now);
                    attempt.state = Some(state).filter(|state| state.is_completed());
                    attempt.reason.clone_from(&reason);
                    attempt.exit_code = exit_code;
                    if state == JobState::Failed && attempt.message.is_none() {
                        attempt.message = lost(self.queue.agent(&attempt.agent));
                    }
                    attempt.log_bytes = logs.size(attempt.fence).unwrap_or(0);
                    pipeline.jobs[index].token = None;
                }
                _ => {}
            }
        }
        self.dirty.insert(job);
        self.note_in_environment(id, index, state);
        let Some(pipeline) = self.pipelines.get(&id) else {
            return;
        };
        let refusal = pipeline.jobs[index].refusal.clone();
        let refusal = refusal.filter(|_| state == JobState::Failed);
        let newest = pipeline.jobs[index].attempts.last();
        let newest = newest.filter(|attempt| attempt.number == number);
        let event = watch::Event::Job(watch::JobEvent {
            job,
            attempt: number,
            state,
            reason,
            exit_code: Some(exit_code).filter(|code| *code != 0),
            allowed_failure,
            agent: newest.map(|attempt| attempt.agent.clone()),
            message: refusal
                .or_else(|| newest.and_then(|attempt| attempt.message.clone()))
                .filter(|_| state.is_completed()),
        });
        if let Some(watch) = pipeline.watch.clone() {
            self.releases.run(Box::new(move || watch.tell(event)));
        }
        self.announce((id, Some(job)));
    }

    fn pipeline_changed(&mut self, id: PipelineId, status: JobState) {
        let now = self.clock.now();
        let Some(pipeline) = self.pipelines.get_mut(&id) else {
            return;
        };
        pipeline.finished_at = status.is_completed().then_some(now);
        if let Some(watch) = pipeline.watch.clone() {
            let event = match pipeline.request.upstream {
                None => watch::Event::Pipeline(status),
                Some(_) => watch::Event::DownstreamStatus(id, status),
            };
            self.releases.run(Box::new(move || watch.tell(event)));
        }
        self.announce((id, None));
    }
}

impl Core {
    /// What a trigger job's failure is because of; none: not of its pipeline.
    fn failed_downstream(&self, job: JobId) -> Option<String> {
        let pipeline = self.pipelines.get(&self.queue.downstream(job)?)?;
        let ended = match self.queue.pipeline(pipeline.id)?.status {
            JobState::Skipped => "was skipped",
            _ => "failed",
        };
        let path = &pipeline.request.project_path;
        Some(format!("pipeline {} of {path} {ended}", pipeline.id))
    }
}

/// What is said of an attempt that ended without its agent's word.
fn lost(agent: Option<fleet_queue::AgentView>) -> Option<String> {
    use fleet_queue::AgentStatus;
    let agent = agent?;
    let name = &agent.name;
    Some(if agent.revoked {
        format!("agent {name} was revoked")
    } else if agent.status == AgentStatus::Online {
        format!("agent {name} is back without the job: it, or its host, was started anew")
    } else {
        format!("agent {name} was not heard of any more: its host or the network is down")
    })
}

fn stop_reason(reason: fleet_queue::StopReason) -> v1::StopReason {
    match reason {
        fleet_queue::StopReason::Canceled => v1::StopReason::Canceled,
        fleet_queue::StopReason::Forced => v1::StopReason::Forced,
        fleet_queue::StopReason::Stale => v1::StopReason::Stale,
    }
}
