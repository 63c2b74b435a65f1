//! The coordinator, its agents, and the network between them.

mod coordinator;
mod host;
mod network;
mod trouble;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use fleet_model::{AgentName, Fence, JobId, JobState, Outcome};
use fleet_queue::{Change, Config, Effect, Input, NewJob, NewPipeline, Queue};

use crate::agent::{Agent, Down, Up};
use crate::random::Random;
use crate::witness::Witness;
use coordinator::Disk;
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
    /// Of an agent; how long its clock runs, in milliseconds.
    JobBegins(usize, Fence, u64),
    JobEnds(usize, Fence, Outcome),
    OrphanCheck(usize, Fence),
    Cleaned(usize, Fence),
    AgentStarts(usize),
    Rejoin(usize),
    CoordinatorStarts,
    /// What was decided is durable now.
    Commit,
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
    disk: Disk,
    /// What was decided and is not durable yet, with what follows from it.
    decided: VecDeque<(Vec<Change>, Vec<Effect>)>,
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
            disk: Disk::new(),
            decided: VecDeque::new(),
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
            Event::JobBegins(agent, fence, timeout) => self.job_begins(agent, fence, timeout),
            Event::JobEnds(agent, fence, outcome) => self.job_ends(agent, fence, outcome),
            Event::OrphanCheck(agent, fence) => self.orphan_check(agent, fence),
            Event::Cleaned(agent, fence) => self.cleaned(agent, fence),
            Event::AgentStarts(agent) => {
                self.agents[agent].up = true;
                self.soon(5 * SECOND, Event::Connect(agent));
            }
            Event::Rejoin(agent) => self.rejoin(agent),
            Event::CoordinatorStarts => self.coordinator_starts(),
            Event::Commit => self.commit(),
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
