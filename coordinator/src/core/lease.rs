//! Leases on this side: handing a job out, and what its agent may do with it.

use std::path::PathBuf;
use std::time::Duration;

use fleet_language::duration;
use fleet_model::{AgentName, FailureReason, Fence, JobId, Outcome, PipelineId};
use fleet_proto::v1;
use fleet_proto::v1::coordinator_message::Message as Out;
use fleet_queue::Input;
use sha2::{Digest as _, Sha256};
use tracing::error;

use super::downstream::Refusal;
use super::{Core, JobTokenOwner, Upload};
use crate::blob::{LogFile, Stored};
use crate::fleet::{LeaseLog, LogWriter};
use crate::pipeline::{Attempt, Facts, dependencies, job_spec};
use crate::registry;
use crate::secret::Unreadable;

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
    pub(super) pipeline: PipelineId,
    /// Of the job in its plan.
    pub(super) index: usize,
    pub(super) agent: AgentName,
    /// Whose archives it may read.
    pub(super) dependencies: Vec<JobId>,
}

impl Core {
    /// Hands a job out; returns what the queue must be told if that fails.
    pub(super) fn lease(&mut self, wanted: Wanted) -> Vec<Input> {
        let Wanted {
            agent, job, fence, ..
        } = &wanted;
        let (agent, job, fence) = (agent.clone(), *job, *fence);
        // Roles may have been taken away since it was admitted.
        if let Some(refuse) = self.refusal(job) {
            return vec![refuse, Input::Released { agent, fence }];
        }
        let cross = match self.cross_jobs(job) {
            Ok(cross) => cross,
            Err(Refusal { reason, words }) => {
                self.set_refusal(job, words);
                return vec![
                    Input::RefuseJob { job, reason },
                    Input::Released { agent, fence },
                ];
            }
        };
        match self.hand_out(wanted, cross) {
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

    fn hand_out(&mut self, wanted: Wanted, cross: Vec<JobId>) -> Result<(), String> {
        let Wanted {
            agent,
            job,
            attempt: number,
            fence,
            timeout,
        } = wanted;
        let (now, host) = (self.clock.now(), self.host_of(&agent));
        let token = token()?;
        let hash = token_hash(&token);
        let tags = match self.agents.get(&agent) {
            Some(stream) => stream.tags.clone(),
            None => Vec::new(),
        };
        let server = self.server.clone();
        let environment = self.environment_of(job);
        let (given, cross_reported) = self.cross_given(&cross);
        let old = self.renew_artifacts(job);
        let (pipeline, index) = self.find_mut(job).ok_or("its pipeline is gone")?;
        let record = &mut pipeline.jobs[index];
        record.token = Some(hash.clone());
        record.cross = cross;
        record.attempts.push(Attempt {
            number,
            fence,
            agent: agent.clone(),
            host,
            leased_at: now,
            started_at: None,
            finished_at: None,
            state: None,
            reason: None,
            exit_code: 0,
            message: None,
            log_bytes: 0,
        });
        let planned = &pipeline.request.plan.jobs[index];
        let (mut settings, registries, deploy_login) = match &server {
            Some(server) => {
                let environment = planned.environment.as_ref().map(|it| it.name.as_str());
                let (project, protected) = (pipeline.request.project, pipeline.request.protected);
                let catalog = &server.catalog;
                let host = server.registry.as_deref();
                let path = &pipeline.request.project_path;
                let told = || -> Result<_, Unreadable> {
                    let variables = catalog.variables(project, protected, environment)?;
                    let logins = registry::logins(catalog, host, project, protected, &token)?;
                    Ok((variables, logins, catalog.deploy_login(path)?))
                };
                told().map_err(|error| error.to_string())?
            }
            None => (Vec::new(), Vec::new(), None),
        };
        settings.extend(pipeline.request.settings.iter().cloned());
        let lease = Lease {
            pipeline: pipeline.id,
            index,
            agent: agent.clone(),
            dependencies: archives(pipeline, index),
        };
        let id = pipeline.id;
        let watch = pipeline.watch.clone();
        self.leases.insert(fence, lease);
        self.tokens.insert(hash, fence);
        self.dirty.insert(job);
        self.drop_blobs(old);
        let facts = Facts {
            number,
            token,
            timeout,
            started_at: jiff::Timestamp::now()
                .strftime("%Y-%m-%dT%H:%M:%SZ")
                .to_string(),
            server_url: &self.settings.server_url,
            agent: &agent.0,
            agent_tags: &tags,
            authority: server.as_ref().map(|server| server.authority.as_str()),
            settings,
            registries,
            deploy_login,
            environment,
            cross: given,
            cross_reported,
        };
        let spec = job_spec(&self.pipelines[&id], index, facts);
        let spec = spec.map_err(|error| error.to_string())?;
        let writer = LogWriter {
            agent: agent.clone(),
            job,
            attempt: number,
        };
        let file = LogFile::new(&self.blobs, fence);
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

    /// Takes away what the last try of a job left: a new one begins.
    fn renew_artifacts(&mut self, job: JobId) -> Vec<Stored> {
        match self.find_mut(job) {
            Some((pipeline, index)) => std::mem::take(&mut pipeline.jobs[index].artifacts),
            None => Vec::new(),
        }
    }

    /// Removes bytes once nothing in the store names them.
    pub(super) fn drop_blobs(&mut self, stored: Vec<Stored>) {
        if stored.is_empty() {
            return;
        }
        let blobs = self.blobs.clone();
        self.releases.run(Box::new(move || {
            for stored in &stored {
                blobs.remove_artifact(stored);
            }
        }));
    }

    /// Keeps what an agent says of the end of an attempt, for the event that
    /// its result leads to.
    pub(super) fn note_end(&mut self, agent: &AgentName, fence: Fence, message: String) {
        if let Some(lease) = self.leases.get(&fence)
            && lease.agent == *agent
            && let Some(pipeline) = self.pipelines.get_mut(&lease.pipeline)
            && let Some(attempt) = pipeline.jobs[lease.index].attempts.last_mut()
            && attempt.fence == fence
            && attempt.finished_at.is_none()
        {
            attempt.message = Some(message).filter(|text| !text.is_empty());
        }
    }

    /// Lets go of the leases that the queue has given up: nothing that comes with
    /// their fences counts any more.
    pub(super) fn drop_ended_leases(&mut self) {
        let Core {
            leases,
            queue,
            logs,
            tokens,
            ..
        } = self;
        leases.retain(|fence, _| {
            let held = queue.lease(*fence).is_some();
            if !held {
                logs.close(*fence);
            }
            held
        });
        tokens.retain(|_, fence| leases.contains_key(fence));
    }

    pub(super) fn begin_upload(&self, agent: Option<&AgentName>, fence: Fence) -> Option<Upload> {
        self.held_by(agent, fence)?;
        Some(Upload {
            limit_bytes: self.settings.artifact_limit_bytes,
        })
    }

    pub(super) fn stored(&mut self, fence: Fence, mut stored: Stored, expire_in: &str) -> bool {
        let kept = match expire_in {
            "" => self.settings.artifacts_expire_in,
            // `never`, and what the compiler let through as it stood: kept.
            text => duration::parse(text)
                .ok()
                .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        };
        stored.expires = kept.map(|kept| self.clock.now() + kept);
        let Some(lease) = self.leases.get(&fence) else {
            return false;
        };
        let index = lease.index;
        let Some(pipeline) = self.pipelines.get_mut(&lease.pipeline) else {
            return false;
        };
        let job = pipeline.job_id(index);
        let artifacts = &mut pipeline.jobs[index].artifacts;
        // The same once more: the agent did not hear that the first was taken.
        let (twice, once) = std::mem::take(artifacts)
            .into_iter()
            .partition(|it| (&it.kind, &it.filename) == (&stored.kind, &stored.filename));
        *artifacts = once;
        artifacts.push(stored);
        self.dirty.insert(job);
        self.drop_blobs(twice);
        true
    }

    pub(super) fn archive(
        &self,
        agent: Option<&AgentName>,
        fence: Fence,
        job: JobId,
    ) -> Option<PathBuf> {
        let lease = self.held_by(agent, fence)?;
        if !lease.dependencies.contains(&job) {
            return None;
        }
        let (pipeline, index) = self.find(job)?;
        let artifacts = &pipeline.jobs[index].artifacts;
        let archive = artifacts.iter().find(|stored| stored.kind == "archive")?;
        Some(archive.path(&self.blobs))
    }

    /// Whose job a token is of, while it runs.
    pub(super) fn job_token(&self, token: &str) -> Option<JobTokenOwner> {
        let fence = self.tokens.get(&token_hash(token))?;
        let lease = self.leases.get(fence)?;
        if self.queue.lease(*fence)?.finished {
            return None;
        }
        let pipeline = self.pipelines.get(&lease.pipeline)?;
        Some(JobTokenOwner {
            project: pipeline.request.project,
            job: pipeline.job_id(lease.index),
            user: pipeline.request.about.user.clone(),
        })
    }

    /// A lease, if `agent` holds it; without one whoever asks is inside this process.
    fn held_by(&self, agent: Option<&AgentName>, fence: Fence) -> Option<&Lease> {
        let lease = self.leases.get(&fence)?;
        agent
            .is_none_or(|agent| *agent == lease.agent)
            .then_some(lease)
    }
}

/// The jobs whose archives the job at `index` gets, once it is handed out.
pub(super) fn archives(pipeline: &crate::pipeline::Pipeline, index: usize) -> Vec<JobId> {
    let job = &pipeline.request.plan.jobs[index];
    let own = dependencies(pipeline, job).into_iter();
    let own = own.map(|dependency| dependency.job);
    own.chain(pipeline.jobs[index].cross.iter().copied())
        .collect()
}

/// A job's credential: unguessable, good for one attempt.
fn token() -> Result<String, String> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|error| format!("draw a job token: {error}"))?;
    Ok(format!("glcbt-{}", hex(&random)))
}

/// What is kept of a credential.
pub(super) fn token_hash(token: &str) -> String {
    hex(&Sha256::digest(token))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
