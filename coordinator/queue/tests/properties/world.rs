//! A queue to which things happen, and a healing end to all faults.

use std::collections::BTreeSet;
use std::time::Duration;

use fleet_model::{
    AgentName, FailureReason, Fence, JobId, JobState, Outcome, PipelineId, ProjectId, Timestamp,
};
use fleet_queue::{Config, Effect, Input, NewPipeline, Queue, Rejected, Scheduling};

use crate::laws::Laws;
use crate::op::{Hello, Op};
use crate::twin::Twin;

pub(crate) const AGENTS: [&str; 3] = ["a", "b", "c"];

/// A queue, what was said to it, and the laws it is held to.
pub(crate) struct World {
    queue: Queue,
    twin: Twin,
    now: Timestamp,
    plans: Vec<NewPipeline>,
    created: BTreeSet<PipelineId>,
    jobs: Vec<JobId>,
    leases: Vec<(Fence, AgentName)>,
    laws: Laws,
    said: Vec<(Timestamp, Input)>,
    answers: Vec<Result<Vec<Effect>, Rejected>>,
}

impl World {
    pub(crate) fn new(mut plans: Vec<NewPipeline>) -> World {
        let mut jobs = Vec::new();
        for (number, plan) in (1..).zip(&mut plans) {
            plan.id = PipelineId(number);
            let id = |index: JobId| JobId(number * 100 + index.0);
            for job in &mut plan.jobs {
                job.id = id(job.id);
                jobs.push(job.id);
                job.pinned_to = job.pinned_to.map(id);
                if let Scheduling::Dag(needs) = &mut job.scheduling {
                    for need in needs {
                        *need = id(*need);
                    }
                }
            }
        }
        let queue = Queue::new(Config::default(), Fence(1));
        World {
            twin: Twin::of(&queue),
            queue,
            now: Timestamp(0),
            laws: Laws::new(&plans),
            plans,
            created: BTreeSet::new(),
            jobs,
            leases: Vec::new(),
            said: Vec::new(),
            answers: Vec::new(),
        }
    }

    pub(crate) fn apply(&mut self, op: Op) {
        let agent = |index: usize| AgentName(AGENTS[index].to_owned());
        let job = |index: usize| self.jobs[index % self.jobs.len()];
        let pipeline = |index: usize| self.plans[index % self.plans.len()].id;
        let input = match op {
            Op::Create(index) => {
                let plan = self.plans[index % self.plans.len()].clone();
                // Ids are not used again after their pipeline was forgotten.
                if !self.created.insert(plan.id) && self.queue.pipeline(plan.id).is_none() {
                    return;
                }
                Input::CreatePipeline(plan)
            }
            Op::Connect(hello) => self.hello(hello),
            Op::Disconnect(index) => Input::AgentDisconnected {
                agent: agent(index),
            },
            Op::Heartbeat(index) => Input::Heartbeat {
                agent: agent(index),
            },
            Op::Start(index, foreign) => match self.lease(index) {
                None => return,
                Some((fence, owner)) => Input::Started {
                    agent: if foreign { agent(0) } else { owner },
                    fence,
                },
            },
            Op::Finish(index, foreign, outcome) => match self.lease(index) {
                None => return,
                Some((fence, owner)) => Input::JobFinished {
                    agent: if foreign { agent(0) } else { owner },
                    fence,
                    outcome,
                },
            },
            Op::Release(index, foreign) => match self.lease(index) {
                None => return,
                Some((fence, owner)) => Input::Released {
                    agent: if foreign { agent(0) } else { owner },
                    fence,
                },
            },
            Op::Work(says, outcome) => return self.work(says, outcome),
            Op::CancelJob(index, mode) => Input::CancelJob {
                job: job(index),
                mode,
            },
            Op::CancelPipeline(index, mode) => Input::CancelPipeline {
                pipeline: pipeline(index),
                mode,
            },
            Op::Supersede(index, mode) => Input::SupersedePipeline {
                pipeline: pipeline(index),
                mode,
            },
            Op::RetryJob(index) => Input::RetryJob { job: job(index) },
            Op::RetryPipeline(index) => Input::RetryPipeline {
                pipeline: pipeline(index),
            },
            Op::Play(index) => Input::PlayJob { job: job(index) },
            Op::Answer(index, true) => Input::AdmitJob { job: job(index) },
            Op::Answer(index, false) => Input::RefuseJob {
                job: job(index),
                reason: FailureReason::new("protected_environment_failure"),
            },
            Op::Drain(index, true) => Input::DrainAgent {
                agent: agent(index),
            },
            Op::Drain(index, false) => Input::ResumeAgent {
                agent: agent(index),
            },
            Op::OwnDrain(index) => Input::AgentDraining {
                agent: agent(index),
            },
            Op::Revoke(index) => Input::RevokeAgent {
                agent: agent(index),
            },
            Op::ForgetAgent(index) => Input::ForgetAgent {
                agent: agent(index),
            },
            Op::ConfirmDead(index) => Input::ConfirmDead {
                agent: agent(index),
            },
            Op::Forget(index) => Input::ForgetPipeline {
                pipeline: pipeline(index),
            },
            Op::Restart(away) => {
                self.now = self.now + away;
                self.queue = self.twin.restored();
                self.say(Input::Restarted);
                return self.twin.assert_same_inside(&self.queue);
            }
            Op::Wait(time) => {
                self.now = self.now + time;
                Input::Tick
            }
            Op::Idle(time) => {
                self.now = self.now + time;
                for name in AGENTS {
                    let agent = AgentName(name.to_owned());
                    self.say(Input::Heartbeat { agent });
                }
                Input::Tick
            }
        };
        self.say(input);
    }

    fn hello(&self, hello: Hello) -> Input {
        let agent = AgentName(AGENTS[hello.agent].to_owned());
        let bit = |bits: u8, index: usize| bits & (1 << (index % 8)) != 0;
        let leases = self.queue.agent(&agent).map_or(Vec::new(), |a| a.leases);
        let mut held: Vec<(Fence, bool)> = leases
            .into_iter()
            .enumerate()
            .filter(|(index, _)| !bit(hello.lost, *index))
            .map(|(index, fence)| (fence, bit(hello.begun, index)))
            .collect();
        let dream = hello.dream.and_then(|index| self.lease(index));
        held.extend(dream.map(|(fence, _)| (fence, hello.begun < 128)));
        Input::AgentConnected {
            agent,
            boot_id: format!("boot {}", hello.boot),
            slots: hello.slots,
            tags: if hello.tagged {
                vec!["gpu".to_owned()]
            } else {
                Vec::new()
            },
            run_untagged: hello.agent != 1,
            protected_only: hello.agent == 2,
            projects: (hello.agent == 1).then(|| BTreeSet::from([ProjectId(0)])),
            draining: hello.draining,
            held,
        }
    }

    /// A lease that was given at some time.
    fn lease(&self, index: usize) -> Option<(Fence, AgentName)> {
        let index = index.checked_rem(self.leases.len())?;
        Some(self.leases[index].clone())
    }

    fn work(&mut self, says: bool, outcome: Outcome) {
        let held = |(fence, _): &&(Fence, AgentName)| self.queue.lease(*fence).is_some();
        if let Some((fence, agent)) = self.leases.iter().find(held).cloned() {
            if says {
                self.say(Input::Started {
                    agent: agent.clone(),
                    fence,
                });
            }
            self.say(Input::JobFinished {
                agent: agent.clone(),
                fence,
                outcome,
            });
            self.say(Input::Released { agent, fence });
        }
    }

    fn say(&mut self, input: Input) -> bool {
        let before = self.queue.clone();
        let answer = self.queue.step(self.now, input.clone());
        self.twin.say(self.now, &input, &answer);
        self.twin.write(&mut self.queue);
        self.twin.assert_equal(self.now, &self.queue, &self.jobs);
        self.laws
            .check(self.now, &before, &input, &answer, &self.queue);
        for effect in answer.iter().flatten() {
            if let Effect::Lease { agent, fence, .. } = effect {
                self.leases.push((*fence, agent.clone()));
            }
        }
        let accepted = answer.is_ok();
        self.said.push((self.now, input));
        self.answers.push(answer);
        accepted
    }

    /// Ends all faults: agents are there, do their work and stay in touch;
    /// people start what waits for them.
    pub(crate) fn heal(&mut self) {
        for (agent, name) in AGENTS.into_iter().enumerate() {
            let name = AgentName(name.to_owned());
            if self.queue.agent(&name).is_some_and(|agent| agent.revoked) {
                self.apply(Op::ConfirmDead(agent));
                self.apply(Op::ForgetAgent(agent));
            }
            self.apply(Op::Connect(Hello {
                agent,
                boot: 0,
                slots: 4,
                tagged: true,
                draining: false,
                lost: 0,
                begun: 0,
                dream: None,
            }));
            self.apply(Op::Drain(agent, false));
        }
        for _ in 0..10_000 {
            let leases: Vec<Fence> = (0..AGENTS.len())
                .filter_map(|index| self.queue.agent(&AgentName(AGENTS[index].to_owned())))
                .flat_map(|agent| agent.leases)
                .collect();
            if !leases.is_empty() {
                for _ in leases {
                    self.work(true, Outcome::Success);
                }
                continue;
            }
            let in_state = |wanted| {
                let view = |job: &&JobId| self.queue.job(**job);
                let fits = move |job: &&JobId| view(job).is_some_and(|it| it.state == wanted);
                self.jobs.iter().find(fits).copied()
            };
            if let Some(job) = in_state(JobState::Preparing) {
                assert!(
                    self.say(Input::AdmitJob { job }),
                    "who asks can be answered"
                );
                continue;
            }
            if let Some(job) = in_state(JobState::Manual) {
                assert!(
                    self.say(Input::PlayJob { job }),
                    "manual jobs can be played"
                );
                continue;
            }
            if self.open_jobs().is_empty() {
                return;
            }
            for index in 0..AGENTS.len() {
                self.apply(Op::Heartbeat(index));
            }
            let wakeup = self.queue.next_wakeup();
            let wakeup = wakeup.expect("whatever is open has a time at which it changes");
            // Agents are heard of often enough.
            let soon = self.now + Duration::from_secs(20);
            self.now = self.now.max(wakeup.min(soon));
            self.say(Input::Tick);
        }
    }

    fn open_jobs(&self) -> Vec<(JobId, JobState)> {
        self.jobs
            .iter()
            .filter_map(|job| self.queue.job(*job))
            .filter(|job| !job.state.is_completed())
            .map(|job| (job.id, job.state))
            .collect()
    }

    pub(crate) fn assert_all_ended(&self) {
        assert_eq!(self.open_jobs(), [], "every accepted job ends");
    }

    /// A dump of all that was said gives the same answers again.
    pub(crate) fn assert_replay_is_equal(&self) {
        let mut queue = Queue::new(Config::default(), Fence(1));
        for ((now, input), answer) in self.said.iter().zip(&self.answers) {
            let dump = serde_json::to_string(input).expect("an input can be dumped");
            let input = serde_json::from_str(&dump).expect("a dump can be read");
            assert_eq!(queue.step(*now, input), *answer, "{dump}");
        }
    }
}
