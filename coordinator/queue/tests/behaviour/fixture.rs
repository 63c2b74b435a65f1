//! A queue with one pipeline, steered and read by the names of its jobs.

use std::collections::BTreeSet;
use std::time::Duration;

use fleet_model::{
    AgentName, AllowFailure, FailureReason, Fence, JobId, JobState, OnJobFailure, Outcome,
    PipelineId, ProjectId, Retry, Timestamp, When,
};
use fleet_queue::{
    Bridge, CancelMode, Config, Effect, Input, NewJob, NewPipeline, Queue, Rejected, Scheduling,
    StopReason,
};

pub(crate) const PIPELINE: PipelineId = PipelineId(1);

/// A job under construction.
#[derive(Clone)]
pub(crate) struct J {
    pub(crate) name: &'static str,
    needs: Option<Vec<&'static str>>,
    pub(crate) job: NewJob,
}

pub(crate) fn job(name: &'static str, stage: u32) -> J {
    J {
        name,
        needs: None,
        job: NewJob {
            id: JobId(0),
            name: name.to_owned(),
            stage,
            scheduling: Scheduling::Stage,
            when: When::OnSuccess,
            allow_failure: AllowFailure::No,
            retry: Retry::default(),
            timeout: None,
            tags: Vec::new(),
            resource_group: None,
            interruptible: false,
            protected: false,
            gated: false,
            pinned_to: None,
            bridge: None,
        },
    }
}

impl J {
    pub(crate) fn when(mut self, when: When) -> J {
        self.job.when = when;
        self
    }

    pub(crate) fn manual(self) -> J {
        self.when(When::Manual)
    }

    pub(crate) fn may_fail(mut self) -> J {
        self.job.allow_failure = AllowFailure::Yes;
        self
    }

    pub(crate) fn needs(mut self, names: &[&'static str]) -> J {
        self.needs = Some(names.to_vec());
        self
    }

    pub(crate) fn retry(mut self, max: u32, when: &[&str]) -> J {
        self.job.retry = Retry {
            max,
            when: when.iter().map(ToString::to_string).collect(),
            exit_codes: Vec::new(),
        };
        self
    }

    pub(crate) fn tags(mut self, tags: &[&str]) -> J {
        self.job.tags = tags.iter().map(ToString::to_string).collect();
        self
    }

    /// To run where the job of this id runs.
    pub(crate) fn pinned_to(mut self, holder: u64) -> J {
        self.job.pinned_to = Some(JobId(holder));
        self
    }

    /// It starts a pipeline.
    pub(crate) fn bridge(mut self, bridge: Bridge) -> J {
        self.job.bridge = Some(bridge);
        self
    }

    pub(crate) fn group(mut self, group: &str) -> J {
        self.job.resource_group = Some(group.to_owned());
        self
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut NewJob)) -> J {
        change(&mut self.job);
        self
    }
}

/// A pipeline of these jobs; ids are given in order from `first`.
pub(crate) fn pipeline(id: u64, project: u64, first: u64, jobs: &[J]) -> NewPipeline {
    let id_of = |name: &str| {
        let index = jobs.iter().position(|j| j.name == name).expect("a job");
        JobId(first + index as u64)
    };
    NewPipeline {
        id: PipelineId(id),
        project: ProjectId(project),
        stages: jobs.iter().map(|j| j.job.stage + 1).max().unwrap_or(0),
        on_job_failure: OnJobFailure::None,
        upstream: None,
        jobs: jobs
            .iter()
            .map(|j| NewJob {
                id: id_of(j.name),
                scheduling: match &j.needs {
                    None => Scheduling::Stage,
                    Some(needs) => Scheduling::Dag(needs.iter().map(|n| id_of(n)).collect()),
                },
                ..j.job.clone()
            })
            .collect(),
    }
}

/// A queue and the time.
pub(crate) struct Fleet {
    pub(crate) queue: Queue,
    pub(crate) now: Timestamp,
    /// Whether agents begin with what they get at once.
    pub(crate) prompt: bool,
    /// The projects that agents which connect take jobs of.
    pub(crate) only: Option<BTreeSet<ProjectId>>,
    names: Vec<&'static str>,
}

impl Fleet {
    /// A queue without agents.
    pub(crate) fn empty() -> Fleet {
        Fleet {
            queue: Queue::new(Config::default(), Fence(1)),
            now: Timestamp(1_000_000),
            prompt: true,
            only: None,
            names: Vec::new(),
        }
    }

    /// One pipeline and one agent, `a1`, with room for everything.
    pub(crate) fn with(jobs: &[J]) -> Fleet {
        let mut fleet = Fleet::empty();
        fleet.connect("a1", "boot", 1000, &[]);
        fleet.create(jobs);
        fleet
    }

    /// One pipeline and no agent.
    pub(crate) fn without_agents(jobs: &[J]) -> Fleet {
        let mut fleet = Fleet::empty();
        fleet.create(jobs);
        fleet
    }

    pub(crate) fn create(&mut self, jobs: &[J]) -> Vec<Effect> {
        self.names = jobs.iter().map(|j| j.name).collect();
        self.step(Input::CreatePipeline(pipeline(1, 1, 1, jobs)))
    }

    /// As [`Fleet::with`]; the agent has the jobs, but begins with none.
    pub(crate) fn leased(jobs: &[J]) -> Fleet {
        let mut fleet = Fleet::empty();
        fleet.prompt = false;
        fleet.connect("a1", "boot", 1000, &[]);
        fleet.create(jobs);
        fleet
    }

    pub(crate) fn try_step(&mut self, input: Input) -> Result<Vec<Effect>, Rejected> {
        let mut effects = self.queue.step(self.now, input)?;
        if self.prompt {
            for effect in effects.clone() {
                if let Effect::Lease { agent, fence, .. } = effect {
                    effects.extend(self.try_step(Input::Started { agent, fence })?);
                }
            }
        }
        Ok(effects)
    }

    pub(crate) fn step(&mut self, input: Input) -> Vec<Effect> {
        self.try_step(input).expect("the input is accepted")
    }

    /// The coordinator starts anew with what it has written down since it first did.
    pub(crate) fn restart(&mut self) -> Vec<Effect> {
        let records = self.queue.take_changes().into_iter();
        let records = records.filter_map(|change| change.record);
        // As they come from the disk.
        let records = records.map(|record| {
            let text = serde_json::to_string(&record).expect("sound records");
            serde_json::from_str(&text).expect("sound records")
        });
        self.queue = Queue::restore(Config::default(), records).expect("sound records");
        self.step(Input::Restarted)
    }

    /// Lets time pass; agents that are `alive` are heard of every 10 seconds.
    pub(crate) fn pass(&mut self, time: Duration, alive: &[&str]) -> Vec<Effect> {
        let end = self.now + time;
        let mut effects = Vec::new();
        while self.now < end {
            self.now = (self.now + Duration::from_secs(10)).min(end);
            for name in alive {
                effects.extend(self.step(Input::Heartbeat { agent: agent(name) }));
            }
            effects.extend(self.step(Input::Tick));
        }
        effects
    }

    pub(crate) fn connect(
        &mut self,
        name: &str,
        boot: &str,
        slots: u32,
        held: &[Fence],
    ) -> Vec<Effect> {
        self.connect_tagged(name, boot, slots, &[], held)
    }

    pub(crate) fn connect_tagged(
        &mut self,
        name: &str,
        boot: &str,
        slots: u32,
        tags: &[&str],
        held: &[Fence],
    ) -> Vec<Effect> {
        self.step(Input::AgentConnected {
            agent: agent(name),
            boot_id: boot.to_owned(),
            slots,
            tags: tags.iter().map(ToString::to_string).collect(),
            run_untagged: true,
            protected_only: false,
            projects: self.only.clone(),
            draining: false,
            held: held.iter().map(|fence| (*fence, self.prompt)).collect(),
        })
    }

    pub(crate) fn disconnect(&mut self, name: &str) -> Vec<Effect> {
        self.step(Input::AgentDisconnected { agent: agent(name) })
    }

    pub(crate) fn id(&self, name: &str) -> JobId {
        let index = self.names.iter().position(|n| *n == name);
        JobId(index.expect("a job") as u64 + 1)
    }

    pub(crate) fn fence(&self, name: &str) -> Fence {
        let job = self.queue.job(self.id(name)).expect("a job");
        job.fence.expect("a lease")
    }

    /// The agent of a job says that it has begun.
    pub(crate) fn start(&mut self, name: &str) -> Vec<Effect> {
        let fence = self.fence(name);
        let agent = self.queue.lease(fence).expect("a lease").agent;
        self.step(Input::Started { agent, fence })
    }

    /// The agent of a running job reports how it ended, and frees its slot.
    pub(crate) fn end(&mut self, name: &str, outcome: Outcome) -> Vec<Effect> {
        let fence = self.fence(name);
        let agent = self.queue.lease(fence).expect("a lease").agent;
        let mut effects = self.step(Input::JobFinished {
            agent: agent.clone(),
            fence,
            outcome,
        });
        effects.extend(self.step(Input::Released { agent, fence }));
        effects
    }

    pub(crate) fn succeed(&mut self, name: &str) {
        self.end(name, Outcome::Success);
    }

    pub(crate) fn fail(&mut self, name: &str) {
        self.end(name, failed("script_failure", 1));
    }

    pub(crate) fn play(&mut self, name: &str) {
        let job = self.id(name);
        self.step(Input::PlayJob { job });
    }

    pub(crate) fn retry(&mut self, name: &str) {
        let job = self.id(name);
        self.step(Input::RetryJob { job });
    }

    pub(crate) fn cancel(&mut self, name: &str) -> Vec<Effect> {
        let job = self.id(name);
        let mode = CancelMode::Graceful;
        self.step(Input::CancelJob { job, mode })
    }

    pub(crate) fn state(&self, name: &str) -> JobState {
        self.queue.job(self.id(name)).expect("a job").state
    }

    pub(crate) fn status(&self) -> JobState {
        self.queue.pipeline(PIPELINE).expect("a pipeline").status
    }

    /// `pipeline: job=state ...`
    pub(crate) fn show(&self) -> String {
        let mut text = format!("{}:", self.status());
        for name in &self.names {
            text += &format!(" {name}={}", self.state(name));
        }
        text
    }
}

pub(crate) fn agent(name: &str) -> AgentName {
    AgentName(name.to_owned())
}

pub(crate) fn failed(reason: &str, exit_code: i32) -> Outcome {
    Outcome::Failed {
        reason: FailureReason::new(reason),
        exit_code,
    }
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The jobs that were leased, in order, with their agents.
pub(crate) fn leased(effects: &[Effect]) -> Vec<(u64, String)> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Lease { job, agent, .. } => Some((job.0, agent.0.clone())),
            _ => None,
        })
        .collect()
}

/// The states that jobs got, in order.
pub(crate) fn states(effects: &[Effect]) -> Vec<(u64, u32, JobState)> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::JobChanged {
                job,
                attempt,
                state,
                ..
            } => Some((job.0, *attempt, *state)),
            _ => None,
        })
        .collect()
}

/// What agents were told of the leases they have.
pub(crate) fn told(effects: &[Effect]) -> Vec<(Fence, Option<StopReason>)> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Keep { fence, .. } => Some((*fence, None)),
            Effect::Stop { fence, reason, .. } => Some((*fence, Some(*reason))),
            _ => None,
        })
        .collect()
}
