//! Leases on this side: handing a job out, and what its agent may do with it.

use std::path::PathBuf;
use std::time::Duration;

use fleet_model::{AgentName, FailureReason, Fence, JobId, Outcome, PipelineId};
use fleet_proto::v1;
use fleet_proto::v1::coordinator_message::Message as Out;
use fleet_queue::Input;
use tracing::error;

use super::{Core, Upload};
use crate::blob::{LogFile, Stored};
use crate::fleet::{LeaseLog, LogWriter};
use crate::pipeline::{Attempt, job_spec};

/// A lease the queue decided on.
pub(super) struct Wanted {
    pub(super) agent: AgentName,
    pub(super) job: JobId,
    pub(super) attempt: u32,
    pub(super) fence: Fence,
    pub(super) timeout: Duration,
}

/// A lease that was handed out.
pub(super) struct Lease {
    pipeline: PipelineId,
    /// Of the job in its plan.
    index: usize,
    job: JobId,
    agent: AgentName,
    /// Whose archives it may read.
    dependencies: Vec<JobId>,
    uploads: u32,
}

impl Core {
    /// Hands a job out; returns what the queue must be told if that fails.
    pub(super) fn lease(&mut self, wanted: Wanted) -> Vec<Input> {
        let Wanted {
            agent, job, fence, ..
        } = &wanted;
        let (agent, job, fence) = (agent.clone(), *job, *fence);
        match self.hand_out(wanted) {
            Ok(()) => Vec::new(),
            Err(why) => {
                error!(%job, %fence, why, "a job could not be handed out");
                self.note_end(&agent, fence, why);
                self.leases.remove(&fence);
                let outcome = Outcome::Failed {
                    reason: FailureReason::RUNNER_SYSTEM_FAILURE,
                    exit_code: 0,
                };
                vec![
                    Input::JobFinished {
                        agent: agent.clone(),
                        fence,
                        outcome,
                    },
                    Input::Released { agent, fence },
                ]
            }
        }
    }

    fn hand_out(&mut self, wanted: Wanted) -> Result<(), String> {
        let Wanted {
            agent,
            job,
            attempt,
            fence,
            timeout,
        } = wanted;
        let pipeline = self
            .queue
            .lease(fence)
            .and_then(|lease| self.pipelines.get_mut(&lease.pipeline))
            .ok_or("its pipeline is gone")?;
        let index = pipeline.index_of(job).ok_or("its pipeline is gone")?;
        let record = &mut pipeline.jobs[index];
        record.attempt = attempt;
        record.agent = Some(agent.clone());
        record.message = None;
        record.artifacts.clear();
        let mut lease = Lease {
            pipeline: pipeline.id,
            index,
            job,
            agent: agent.clone(),
            dependencies: Vec::new(),
            uploads: 0,
        };
        let attempt_facts = Attempt {
            number: attempt,
            token: token()?,
            timeout,
            started_at: jiff::Timestamp::now()
                .strftime("%Y-%m-%dT%H:%M:%SZ")
                .to_string(),
            server_url: &self.settings.server_url,
            agent: &agent.0,
            agent_tags: self.agents.get(&agent).map_or(&[], |stream| &stream.tags),
        };
        let spec = job_spec(pipeline, index, attempt_facts);
        lease.dependencies = match &spec {
            Ok(spec) => spec
                .dependencies
                .iter()
                .map(|dependency| dependency.job)
                .collect(),
            Err(_) => Vec::new(),
        };
        let watch = std::sync::Arc::clone(&pipeline.watch);
        self.leases.insert(fence, lease);
        let spec = spec.map_err(|error| error.to_string())?;
        let file = LogFile::create(&self.blobs, fence).map_err(|error| error.to_string())?;
        let writer = LogWriter {
            agent: agent.clone(),
            job,
            attempt,
        };
        self.logs.insert(fence, LeaseLog::new(file, writer, watch));
        self.send(
            &agent,
            Out::Lease(v1::Lease {
                fence: fence.0,
                job: Some((&spec).into()),
            }),
        );
        Ok(())
    }

    /// Keeps what an agent says of the end of an attempt, for the event that
    /// its result leads to.
    pub(super) fn note_end(&mut self, agent: &AgentName, fence: Fence, message: String) {
        if let Some(lease) = self.leases.get(&fence)
            && lease.agent == *agent
            && let Some(pipeline) = self.pipelines.get_mut(&lease.pipeline)
        {
            pipeline.jobs[lease.index].message = Some(message).filter(|text| !text.is_empty());
        }
    }

    /// Lets go of the leases that the queue has given up: nothing that comes with
    /// their fences counts any more.
    pub(super) fn drop_ended_leases(&mut self) {
        let Core {
            leases,
            queue,
            logs,
            ..
        } = self;
        leases.retain(|fence, _| {
            let held = queue.lease(*fence).is_some();
            if !held {
                logs.close(*fence);
            }
            held
        });
    }

    pub(super) fn begin_upload(&mut self, fence: Fence) -> Option<Upload> {
        let lease = self.leases.get_mut(&fence)?;
        lease.uploads += 1;
        Some(Upload {
            job: lease.job,
            number: lease.uploads,
        })
    }

    pub(super) fn stored(&mut self, fence: Fence, stored: Stored) -> bool {
        let Some(lease) = self.leases.get(&fence) else {
            return false;
        };
        let Some(pipeline) = self.pipelines.get_mut(&lease.pipeline) else {
            return false;
        };
        pipeline.jobs[lease.index].artifacts.push(stored);
        true
    }

    pub(super) fn archive(&self, fence: Fence, job: JobId) -> Option<PathBuf> {
        let lease = self.leases.get(&fence)?;
        if !lease.dependencies.contains(&job) {
            return None;
        }
        let pipeline = self.pipelines.get(&lease.pipeline)?;
        let record = pipeline.jobs.get(pipeline.index_of(job)?)?;
        let archive = record
            .artifacts
            .iter()
            .find(|stored| stored.kind == "archive")?;
        Some(archive.path.clone())
    }
}

/// A job's credential: unguessable, good for one attempt.
fn token() -> Result<String, String> {
    let mut random = [0; 20];
    getrandom::fill(&mut random).map_err(|error| format!("draw a job token: {error}"))?;
    let digits: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("glcbt-{digits}"))
}
