//! The coordinator, its agents, and the network between them.

mod host;
mod network;
mod trouble;

use std::collections::BTreeMap;
use std::time::Duration;

use fleet_model::{AgentName, Fence, JobId, JobState, Outcome, Timestamp};
use fleet_queue::{Config, Effect, Input, NewJob, NewPipeline, Queue};

use crate::agent::{Agent, Down, Up};
use crate::random::Random;
use crate::witness::Witness;
use network::{Link, no_link};

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
