//! The coordinator, its agents, and the network between them.

use std::collections::BTreeMap;
use std::time::Duration;

use fleet_model::{
    AgentName, FailureReason, Fence, JobId, JobState, Outcome, PipelineId, Timestamp,
};
use fleet_queue::{CancelMode, Config, Effect, Input, NewJob, NewPipeline, Queue, StopReason};

use crate::agent::{Agent, Down, Phase, Supervisor, Up};
use crate::random::Random;
use crate::witness::Witness;
use crate::workload;

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
/// How long things go wrong.
const FAULTS: u64 = 45 * MINUTE;
/// How long they may take to be well again: no agent fits for an hour, twice.
const PATIENCE: u64 = 6 * 60 * MINUTE;
const HEARTBEAT: u64 = 10 * SECOND;

#[derive(Clone, Debug)]
enum Event {
    ToCoordinator(usize, u64, Up),
    ToAgent(usize, u64, Down),
    /// A side finds that its stream is broken.
    AgentNotices(usize, u64),
    CoordinatorNotices(usize, u64),
    Connect(usize),
    Heartbeat(usize, u64),
    JobEnds(usize, Fence, Outcome),
    OrphanCheck(usize, Fence),
    Cleaned(usize, Fence),
    AgentStarts(usize),
    CoordinatorStarts,
    Tick,
    Fault,
    User,
    NewPipeline,
}

/// One stream, newest last; both sides may think differently of it.
struct Link {
    session: u64,
    broken: bool,
    /// When the last message arrives, by direction: streams keep order.
    last_up: u64,
    last_down: u64,
}

pub(crate) struct Fleet {
    pub(crate) witness: Witness,
    random: Random,
    now: u64,
    events: BTreeMap<(u64, u64), Event>,
    sequence: u64,

    config: Config,
    queue: Queue,
    up: bool,
    /// Which stream of each agent the coordinator serves.
    served: Vec<Option<u64>>,
    tick_at: Option<u64>,

    agents: Vec<Agent>,
    links: Vec<Link>,
    sessions: u64,
    jobs: BTreeMap<JobId, (NewPipeline, NewJob)>,
    faults: bool,
}

impl Fleet {
    pub(crate) fn new(seed: u64) -> Fleet {
        let mut random = Random::new(seed);
        let mut config = Config::default();
        if random.chance(50) {
            // Who wants fast take-over.
            config.orphan_deadline = Duration::from_secs(60);
        }
        let count = random.range(2, 5);
        let agents: Vec<Agent> = (0..count).map(|index| agent(index, &mut random)).collect();
        let mut fleet = Fleet {
            witness: Witness::default(),
            random,
            now: 0,
            events: BTreeMap::new(),
            sequence: 0,
            config,
            queue: Queue::new(config, Fence(1)),
            up: true,
            served: agents.iter().map(|_| None).collect(),
            tick_at: None,
            links: agents.iter().map(|_| no_link()).collect(),
            agents,
            sessions: 0,
            jobs: BTreeMap::new(),
            faults: true,
        };
        for index in 0..fleet.agents.len() {
            fleet.soon(5 * SECOND, Event::Connect(index));
        }
        for _ in 0..fleet.random.range(2, 6) {
            fleet.soon(20 * MINUTE, Event::NewPipeline);
        }
        for _ in 0..4 {
            fleet.soon(FAULTS, Event::User);
        }
        fleet.soon(MINUTE, Event::Fault);
        fleet
    }

    pub(crate) fn run_with_faults(&mut self) {
        self.run_until(FAULTS, |_| false);
    }

    /// Ends all faults; people start what waits for them.
    pub(crate) fn heal(&mut self) {
        self.faults = false;
        self.run_until(FAULTS + 30 * MINUTE, |_| false);
        let end = self.now + PATIENCE;
        while self.now < end && !self.rests() {
            for job in self.jobs_in(|state| state == JobState::Manual) {
                self.step(Input::PlayJob { job });
            }
            self.run_until(end, |fleet| {
                fleet.rests() || !fleet.jobs_in(|s| s == JobState::Manual).is_empty()
            });
        }
        // What was given up may still have to be told so.
        self.run_until(self.now + 30 * MINUTE, |_| false);
    }

    pub(crate) fn check_every_job_ends_exactly_once(&self) {
        let open = self.jobs_in(|state| !state.is_completed());
        assert_eq!(open, [], "every job ends");
        assert_eq!(self.witness.executing(), 0, "nothing runs on");
        for agent in self.queue.agents() {
            assert_eq!(agent.leases, [], "{} holds no lease", agent.name);
        }
        for agent in &self.agents {
            assert!(agent.supervisors.is_empty(), "{} is clean", agent.name);
        }
    }

    fn rests(&self) -> bool {
        self.jobs_in(|state| !state.is_completed()).is_empty()
    }

    fn jobs_in(&self, fits: impl Fn(JobState) -> bool) -> Vec<JobId> {
        let jobs = self.jobs.keys().copied();
        jobs.filter(|job| self.queue.job(*job).is_some_and(|view| fits(view.state)))
            .collect()
    }

    // Time.

    fn run_until(&mut self, end: u64, done: impl Fn(&Fleet) -> bool) {
        while let Some((at, _)) = self.events.first_key_value().map(|(key, _)| *key)
            && at <= end
            && !done(self)
        {
            let (_, event) = self.events.pop_first().expect("there is a first event");
            self.now = at;
            self.handle(event);
        }
        if !done(self) {
            self.now = self.now.max(end);
        }
    }

    fn at(&mut self, time: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((time, self.sequence), event);
    }

    /// Some time within `limit`.
    fn soon(&mut self, limit: u64, event: Event) {
        let time = self.now + self.random.range(1, limit);
        self.at(time, event);
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::ToCoordinator(agent, session, up) => self.coordinator_hears(agent, session, up),
            Event::ToAgent(agent, session, down) => {
                if self.agents[agent].session == Some(session) {
                    self.agent_hears(agent, down);
                }
            }
            Event::AgentNotices(agent, session) => {
                if self.agents[agent].session == Some(session) {
                    self.agents[agent].session = None;
                    self.soon(10 * SECOND, Event::Connect(agent));
                }
            }
            Event::CoordinatorNotices(agent, session) => {
                if self.up && self.served[agent] == Some(session) {
                    self.served[agent] = None;
                    let agent = self.agents[agent].name.clone();
                    self.step(Input::AgentDisconnected { agent });
                }
            }
            Event::Connect(agent) => self.connect(agent),
            Event::Heartbeat(agent, session) => self.heartbeat(agent, session),
            Event::JobEnds(agent, fence, outcome) => self.job_ends(agent, fence, outcome),
            Event::OrphanCheck(agent, fence) => self.orphan_check(agent, fence),
            Event::Cleaned(agent, fence) => self.cleaned(agent, fence),
            Event::AgentStarts(agent) => {
                self.agents[agent].up = true;
                self.soon(5 * SECOND, Event::Connect(agent));
            }
            Event::CoordinatorStarts => {
                self.up = true;
                self.step(Input::Restarted);
            }
            Event::Tick => {
                if self.tick_at == Some(self.now) && self.up {
                    self.tick_at = None;
                    self.step(Input::Tick);
                }
            }
            Event::Fault => self.fault(),
            Event::User => self.user(),
            Event::NewPipeline => self.new_pipeline(),
        }
    }

    // The coordinator.

    fn step(&mut self, input: Input) {
        // Persisted, but nobody was told: the coordinator died in between.
        let dies = self.faults && self.random.chance(1) && self.random.chance(20);
        let effects = self.queue.step(Timestamp(self.now), input);
        for effect in effects.into_iter().flatten() {
            self.witness.hears(&effect);
            if !dies {
                self.carry_out(effect);
            }
        }
        if dies {
            self.coordinator_dies();
        }
        self.plan_tick();
    }

    fn plan_tick(&mut self) {
        let wakeup = self.queue.next_wakeup().map(|at| at.0.max(self.now));
        if let Some(at) = wakeup
            && self.up
            && self.tick_at.is_none_or(|planned| at < planned)
        {
            self.tick_at = Some(at);
            self.at(at, Event::Tick);
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        let (agent, down) = match effect {
            Effect::Lease {
                agent,
                job,
                fence,
                timeout,
                ..
            } => {
                let timeout_ms = u64::try_from(timeout.as_millis()).expect("a short time");
                let lease = Down::Lease {
                    fence,
                    job,
                    timeout_ms,
                };
                (agent, lease)
            }
            Effect::Keep { agent, fence } => (agent, Down::Keep { fence }),
            Effect::Stop {
                agent,
                fence,
                reason,
            } => (agent, Down::Stop { fence, reason }),
            Effect::ResultTaken { agent, fence } => (agent, Down::Taken { fence }),
            Effect::JobChanged { .. } | Effect::PipelineChanged { .. } => return,
        };
        let index = self.agents.iter().position(|a| a.name == agent);
        self.send_down(index.expect("an agent"), down);
    }

    fn coordinator_hears(&mut self, agent: usize, session: u64, up: Up) {
        let name = self.agents[agent].name.clone();
        if !self.up || (self.served[agent] != Some(session) && !matches!(up, Up::Hello { .. })) {
            return;
        }
        match up {
            Up::Hello { held, sent } => {
                self.served[agent] = Some(session);
                self.send_down(agent, Down::Answer { sent });
                let agent = &self.agents[agent];
                self.step(Input::AgentConnected {
                    agent: name,
                    boot_id: agent.boot.to_string(),
                    slots: agent.slots,
                    tags: agent.tags.clone(),
                    run_untagged: true,
                    protected_only: false,
                    held,
                });
            }
            Up::Heartbeat { sent } => {
                self.step(Input::Heartbeat { agent: name });
                self.send_down(agent, Down::Answer { sent });
            }
            Up::Finished { fence, outcome } => self.step(Input::JobFinished {
                agent: name,
                fence,
                outcome,
            }),
            Up::Released { fence } => self.step(Input::Released { agent: name, fence }),
        }
    }

    fn coordinator_dies(&mut self) {
        self.up = false;
        self.tick_at = None;
        for agent in 0..self.agents.len() {
            self.served[agent] = None;
            self.break_link(agent);
        }
        self.soon(15 * MINUTE, Event::CoordinatorStarts);
    }

    // The network.

    fn connect(&mut self, agent: usize) {
        if !self.agents[agent].up || self.agents[agent].session.is_some() {
            return;
        }
        self.sessions += 1;
        let session = self.sessions;
        self.links[agent] = Link {
            session,
            ..no_link()
        };
        self.agents[agent].session = Some(session);
        let held = self.agents[agent].supervisors.keys().copied().collect();
        let sent = self.now;
        self.send_up(agent, Up::Hello { held, sent });
        self.at(self.now + HEARTBEAT, Event::Heartbeat(agent, session));
        if !self.up {
            self.break_link(agent);
        }
    }

    fn send_up(&mut self, agent: usize, up: Up) {
        let Some(session) = self.agents[agent].session else {
            return;
        };
        let delay = self.delay(agent);
        let link = &mut self.links[agent];
        if !link.broken {
            link.last_up = link.last_up.max(self.now + delay);
            let at = link.last_up;
            self.at(at, Event::ToCoordinator(agent, session, up));
        }
    }

    fn send_down(&mut self, agent: usize, down: Down) {
        let session = self.served[agent];
        let delay = self.delay(agent);
        let link = &mut self.links[agent];
        if !link.broken && session == Some(link.session) {
            link.last_down = link.last_down.max(self.now + delay);
            let (at, session) = (link.last_down, link.session);
            self.at(at, Event::ToAgent(agent, session, down));
        }
    }

    /// How long a message takes; now and then it is lost and the stream with it.
    fn delay(&mut self, agent: usize) -> u64 {
        if self.faults && self.random.chance(1) {
            if self.random.chance(50) {
                self.break_link(agent);
            }
            return self.random.range(1, 40 * SECOND);
        }
        self.random.range(1, 200)
    }

    /// What is on its way is lost; the sides notice when they do.
    fn break_link(&mut self, agent: usize) {
        let link = &mut self.links[agent];
        link.broken = true;
        let session = link.session;
        self.events.retain(|_, event| match event {
            Event::ToCoordinator(a, s, _) | Event::ToAgent(a, s, _) => (*a, *s) != (agent, session),
            _ => true,
        });
        self.soon(30 * SECOND, Event::AgentNotices(agent, session));
        self.soon(30 * SECOND, Event::CoordinatorNotices(agent, session));
    }

    // Agents and their supervisors.

    fn heartbeat(&mut self, agent: usize, session: u64) {
        if self.agents[agent].session == Some(session) {
            let sent = self.now;
            self.send_up(agent, Up::Heartbeat { sent });
            self.at(self.now + HEARTBEAT, Event::Heartbeat(agent, session));
        }
    }

    fn agent_hears(&mut self, agent: usize, down: Down) {
        match down {
            Down::Answer { sent } => {
                let agent = &mut self.agents[agent];
                agent.answered = agent.answered.max(sent);
            }
            Down::Lease {
                fence,
                job,
                timeout_ms,
            } => self.start(agent, fence, job, timeout_ms),
            Down::Keep { fence } => {
                let kept = self.agents[agent].supervisors.get(&fence);
                if let Some(Phase::Ended(outcome)) = kept.map(|s| s.phase.clone()) {
                    self.send_up(agent, Up::Finished { fence, outcome });
                }
            }
            Down::Stop { fence, reason } => match reason {
                StopReason::Canceled => {
                    self.soon(MINUTE, Event::JobEnds(agent, fence, Outcome::Canceled));
                }
                StopReason::Forced => self.job_ends(agent, fence, Outcome::Canceled),
                StopReason::Stale => {
                    self.kill(agent, fence);
                    self.agents[agent].supervisors.remove(&fence);
                }
            },
            Down::Taken { fence } => {
                if let Some(supervisor) = self.agents[agent].supervisors.get_mut(&fence) {
                    supervisor.phase = Phase::Taken;
                    self.soon(5 * SECOND, Event::Cleaned(agent, fence));
                }
            }
        }
    }

    fn start(&mut self, agent: usize, fence: Fence, job: JobId, timeout_ms: u64) {
        let deadline = self.orphan_deadline();
        if self.agents[agent].orphaned(deadline) <= self.now {
            // The lease took so long to come that it is over already.
            self.send_up(agent, Up::Released { fence });
            return;
        }
        let (pipeline, new) = &self.jobs[&job];
        let group = new.resource_group.clone().map(|g| (pipeline.project, g));
        self.witness.starts(fence, job, group);
        let phase = Phase::Executing;
        let supervisors = &mut self.agents[agent].supervisors;
        supervisors.insert(fence, Supervisor { job, phase });
        let takes = self.random.range(SECOND, 300 * SECOND);
        let ends = if takes > timeout_ms {
            failed("job_execution_timeout", 0)
        } else if self.random.chance(25) {
            failed("script_failure", 1)
        } else {
            Outcome::Success
        };
        let at = self.now + takes.min(timeout_ms);
        self.at(at, Event::JobEnds(agent, fence, ends));
        let at = self.agents[agent].orphaned(deadline);
        self.at(at, Event::OrphanCheck(agent, fence));
    }

    fn orphan_deadline(&self) -> u64 {
        u64::try_from(self.config.orphan_deadline.as_millis()).expect("a short time")
    }

    fn is_executing(&self, agent: usize, fence: Fence) -> bool {
        let supervisor = self.agents[agent].supervisors.get(&fence);
        supervisor.is_some_and(|s| s.phase == Phase::Executing)
    }

    fn kill(&mut self, agent: usize, fence: Fence) {
        if self.is_executing(agent, fence) {
            let job = self.agents[agent].supervisors[&fence].job;
            self.witness.stops(fence, job, None);
        }
    }

    fn job_ends(&mut self, agent: usize, fence: Fence, outcome: Outcome) {
        if !self.is_executing(agent, fence) {
            return;
        }
        let supervisors = &mut self.agents[agent].supervisors;
        if let Some(supervisor) = supervisors.get_mut(&fence) {
            supervisor.phase = Phase::Ended(outcome.clone());
            self.witness.stops(fence, supervisor.job, Some(&outcome));
        }
        self.send_up(agent, Up::Finished { fence, outcome });
    }

    fn orphan_check(&mut self, agent: usize, fence: Fence) {
        let at = self.agents[agent].orphaned(self.orphan_deadline());
        if !self.is_executing(agent, fence) {
        } else if at > self.now {
            self.at(at, Event::OrphanCheck(agent, fence));
        } else {
            self.witness.orphans_killed += 1;
            self.job_ends(agent, fence, failed("runner_system_failure", 0));
        }
    }

    fn cleaned(&mut self, agent: usize, fence: Fence) {
        let taken = |s: &Supervisor| s.phase == Phase::Taken;
        let agent_ = &mut self.agents[agent];
        if agent_.up && agent_.supervisors.get(&fence).is_some_and(taken) {
            agent_.supervisors.remove(&fence);
            self.send_up(agent, Up::Released { fence });
        } else if !agent_.up {
            // Whoever starts next goes on with it.
            self.soon(MINUTE, Event::Cleaned(agent, fence));
        }
    }

    // What goes wrong, and what people do.

    fn fault(&mut self) {
        if !self.faults {
            return;
        }
        self.soon(5 * MINUTE, Event::Fault);
        let agents = self.agents.len() as u64;
        let agent = usize::try_from(self.random.range(0, agents)).expect("an index");
        let down = self.random.pick(&[5 * SECOND, 2 * MINUTE, 20 * MINUTE]);
        match self.random.range(0, 6) {
            0 if self.agents[agent].up => self.agent_dies(agent, down),
            1 if self.agents[agent].up => {
                self.agent_dies(agent, down);
                let fences: Vec<Fence> = self.agents[agent].supervisors.keys().copied().collect();
                for fence in fences {
                    self.kill(agent, fence);
                }
                self.agents[agent].supervisors.clear();
                self.agents[agent].boot += 1;
            }
            2 if self.up => self.coordinator_dies(),
            3 => {
                let dead = self.agents[agent].name.clone();
                if self.up && !self.agents[agent].up && self.agents[agent].supervisors.is_empty() {
                    self.step(Input::ConfirmDead { agent: dead });
                }
            }
            _ => self.break_link(agent),
        }
    }

    fn agent_dies(&mut self, agent: usize, down: u64) {
        self.agents[agent].up = false;
        self.agents[agent].session = None;
        self.break_link(agent);
        self.soon(down, Event::AgentStarts(agent));
    }

    fn user(&mut self) {
        let jobs: Vec<JobId> = self.jobs.keys().copied().collect();
        if !self.up || jobs.is_empty() {
            return;
        }
        let job = self.random.pick(&jobs);
        let mode = self
            .random
            .pick(&[CancelMode::Graceful, CancelMode::Forced]);
        let pipeline = PipelineId(job.0 / 100);
        let input = match self.random.range(0, 5) {
            0 => Input::CancelJob { job, mode },
            1 => Input::CancelPipeline { pipeline, mode },
            2 => Input::RetryPipeline { pipeline },
            3 => Input::PlayJob { job },
            _ => Input::RetryJob { job },
        };
        self.step(input);
    }

    fn new_pipeline(&mut self) {
        if !self.up {
            self.soon(MINUTE, Event::NewPipeline);
            return;
        }
        let id = self.jobs.keys().last().map_or(1, |job| job.0 / 100 + 1);
        let new = workload::pipeline(id, &mut self.random);
        for job in &new.jobs {
            self.jobs.insert(job.id, (new.clone(), job.clone()));
        }
        self.step(Input::CreatePipeline(new));
    }
}

fn agent(index: u64, random: &mut Random) -> Agent {
    Agent {
        name: AgentName(format!("agent {index}")),
        boot: 1,
        slots: u32::try_from(random.range(1, 4)).expect("a small number"),
        tags: if index == 0 {
            vec!["gpu".to_owned()]
        } else {
            Vec::new()
        },
        clock: random.range(960, 1041),
        up: true,
        session: None,
        answered: 0,
        supervisors: BTreeMap::new(),
    }
}

fn no_link() -> Link {
    Link {
        session: 0,
        broken: false,
        last_up: 0,
        last_down: 0,
    }
}

fn failed(reason: &str, exit_code: i32) -> Outcome {
    Outcome::Failed {
        reason: FailureReason::new(reason),
        exit_code,
    }
}
