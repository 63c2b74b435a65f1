//! What can happen to a queue, and a healing end to all faults.

use std::collections::BTreeSet;
use std::time::Duration;

use fleet_model::{
    AgentName, FailureReason, Fence, JobId, JobState, Outcome, PipelineId, Timestamp,
};
use fleet_queue::{
    CancelMode, Config, Effect, Input, NewPipeline, OnNewCommit, Queue, Rejected, Scheduling,
};
use proptest::prelude::*;

use crate::laws::Laws;

/// Something that happens; numbers pick among what there is.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Create(usize),
    /// Agent, boot, slots, tagged, which of its leases it lost, a lease it dreams of.
    Connect(usize, u8, u32, bool, u8, Option<usize>),
    Disconnect(usize),
    Heartbeat(usize),
    /// A fence ever given, whether another agent reports it, how it ended.
    Finish(usize, bool, Outcome),
    Release(usize, bool),
    /// Work as it should: end the oldest lease, and free its slot.
    Work(Outcome),
    CancelJob(usize, CancelMode),
    CancelPipeline(usize, CancelMode),
    Supersede(usize, OnNewCommit),
    RetryJob(usize),
    RetryPipeline(usize),
    Play(usize),
    Drain(usize, bool),
    ConfirmDead(usize),
    Forget(usize),
    Restart,
    /// Time passes in silence.
    Wait(Duration),
    /// Time passes, and whoever is connected is heard of.
    Idle(Duration),
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    let agent = || 0..AGENTS.len();
    let any_index = || 0..64_usize;
    let mode = || prop_oneof![Just(CancelMode::Graceful), Just(CancelMode::Forced)];
    prop_oneof![
        3 => (0..3_usize).prop_map(Op::Create),
        6 => (agent(), 0..8_u8, 0..4_u32, any::<bool>(), any::<u8>(), prop::option::weighted(0.1, any_index()))
            .prop_map(|(a, boot, slots, tagged, lost, dream)| {
                // Most agents come back as they were.
                let lost = if lost < 128 { 0 } else { lost };
                Op::Connect(a, u8::from(boot == 0), slots, tagged, lost, dream)
            }),
        2 => agent().prop_map(Op::Disconnect),
        4 => agent().prop_map(Op::Heartbeat),
        6 => (any_index(), prop::bool::weighted(0.1), outcome())
            .prop_map(|(fence, foreign, outcome)| Op::Finish(fence, foreign, outcome)),
        4 => (any_index(), prop::bool::weighted(0.1)).prop_map(|(f, o)| Op::Release(f, o)),
        10 => outcome().prop_map(Op::Work),
        2 => (any_index(), mode()).prop_map(|(job, mode)| Op::CancelJob(job, mode)),
        1 => (0..3_usize, mode()).prop_map(|(p, mode)| Op::CancelPipeline(p, mode)),
        1 => (0..3_usize, prop_oneof![Just(OnNewCommit::Conservative), Just(OnNewCommit::Interruptible)])
            .prop_map(|(p, mode)| Op::Supersede(p, mode)),
        3 => any_index().prop_map(Op::RetryJob),
        1 => (0..3_usize).prop_map(Op::RetryPipeline),
        3 => any_index().prop_map(Op::Play),
        1 => (agent(), any::<bool>()).prop_map(|(a, on)| Op::Drain(a, on)),
        1 => agent().prop_map(Op::ConfirmDead),
        1 => (0..3_usize).prop_map(Op::Forget),
        1 => Just(Op::Restart),
        5 => prop_oneof![0..40_u64, 600..700_u64, 3000..90_000_u64]
            .prop_map(|s| Op::Wait(Duration::from_secs(s))),
        5 => prop_oneof![0..40_u64, 600..1200_u64, 3000..90_000_u64]
            .prop_map(|s| Op::Idle(Duration::from_secs(s))),
    ]
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        3 => Just(Outcome::Success),
        1 => Just(Outcome::Canceled),
        1 => Just(failed("script_failure", 1)),
        1 => Just(failed("script_failure", 7)),
        1 => Just(failed("runner_system_failure", 0)),
    ]
}

fn failed(reason: &str, exit_code: i32) -> Outcome {
    Outcome::Failed {
        reason: FailureReason::new(reason),
        exit_code,
    }
}

const AGENTS: [&str; 3] = ["a", "b", "c"];

/// A queue, what was said to it, and the laws it is held to.
pub(crate) struct World {
    queue: Queue,
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
                if let Scheduling::Dag(needs) = &mut job.scheduling {
                    for need in needs {
                        *need = id(*need);
                    }
                }
            }
        }
        World {
            queue: Queue::new(Config::default(), Fence(1)),
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
            Op::Connect(index, boot, slots, tagged, lost, dream) => {
                let agent = agent(index);
                let held = self.queue.agent(&agent).map_or(Vec::new(), |a| a.leases);
                let kept = |(bit, _): &(usize, Fence)| lost & (1 << (bit % 8)) == 0;
                let mut held: Vec<Fence> = held
                    .into_iter()
                    .enumerate()
                    .filter(kept)
                    .map(|(_, fence)| fence)
                    .collect();
                held.extend(dream.and_then(|index| self.lease(index)).map(|l| l.0));
                Input::AgentConnected {
                    agent,
                    boot_id: format!("boot {boot}"),
                    slots,
                    tags: if tagged {
                        vec!["gpu".to_owned()]
                    } else {
                        Vec::new()
                    },
                    run_untagged: index != 1,
                    protected_only: index == 2,
                    held,
                }
            }
            Op::Disconnect(index) => Input::AgentDisconnected {
                agent: agent(index),
            },
            Op::Heartbeat(index) => Input::Heartbeat {
                agent: agent(index),
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
            Op::Work(outcome) => return self.work(outcome),
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
            Op::Drain(index, true) => Input::DrainAgent {
                agent: agent(index),
            },
            Op::Drain(index, false) => Input::ResumeAgent {
                agent: agent(index),
            },
            Op::ConfirmDead(index) => Input::ConfirmDead {
                agent: agent(index),
            },
            Op::Forget(index) => Input::ForgetPipeline {
                pipeline: pipeline(index),
            },
            Op::Restart => Input::Restarted,
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

    /// A lease that was given at some time.
    fn lease(&self, index: usize) -> Option<(Fence, AgentName)> {
        let index = index.checked_rem(self.leases.len())?;
        Some(self.leases[index].clone())
    }

    fn work(&mut self, outcome: Outcome) {
        let held = |(fence, _): &&(Fence, AgentName)| self.queue.lease(*fence).is_some();
        if let Some((fence, agent)) = self.leases.iter().find(held).cloned() {
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
        for index in 0..AGENTS.len() {
            self.apply(Op::Connect(index, 0, 4, true, 0, None));
            self.apply(Op::Drain(index, false));
        }
        for _ in 0..10_000 {
            let leases: Vec<Fence> = (0..AGENTS.len())
                .filter_map(|index| self.queue.agent(&AgentName(AGENTS[index].to_owned())))
                .flat_map(|agent| agent.leases)
                .collect();
            if !leases.is_empty() {
                for _ in leases {
                    self.work(Outcome::Success);
                }
                continue;
            }
            let manual = |job: &&JobId| {
                let view = self.queue.job(**job);
                view.is_some_and(|view| view.state == JobState::Manual)
            };
            if let Some(job) = self.jobs.iter().find(manual).copied() {
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
