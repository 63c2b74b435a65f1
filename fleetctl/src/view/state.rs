//! What is known of a pipeline: plain data that events change and renderers read.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use fleet_coordinator::{CancelMode, Downstream, Event, JobEvent};
use fleet_model::{AgentName, FailureReason, JobId, JobState, PipelineId, Plan, Timestamp};

use super::ansi::{clean, plain_width};
use super::log::{Line, Reader};

/// Lines of a failed job that are shown again at the end.
pub(super) const TAIL_LINES: usize = 20;

/// Where a pipeline runs, as far as it changes what people are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Site {
    /// In this process.
    Here,
    /// On a fleet's agents.
    Fleet(PipelineId),
}

/// When a try began and ended, as far as it did and is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) started: Option<Timestamp>,
    pub(crate) ended: Option<Timestamp>,
}

/// A pipeline, as far as it was told.
#[derive(Clone, Debug)]
pub(crate) struct State {
    /// The stages, in order.
    pub(super) stages: Vec<String>,
    /// The jobs, in the order of the plan.
    pub(super) jobs: Vec<Job>,
    /// Columns of the longest job's name: every line asks for it.
    pub(super) longest_name: usize,
    /// The pipeline's state.
    pub(crate) status: JobState,
    /// When it began.
    pub(super) started: Timestamp,
    /// When it ended, where that was told.
    pub(crate) ended: Option<Timestamp>,
    /// Where it runs.
    pub(super) site: Site,
    /// Jobs are being stopped, and how hard.
    pub(super) interrupted: Option<CancelMode>,
    ids: BTreeMap<JobId, usize>,
}

/// A job, as far as it was told.
#[derive(Clone, Debug)]
pub(super) struct Job {
    /// As it is in the plan.
    pub(super) name: String,
    /// The name as people see it.
    pub(super) shown: String,
    /// Index into [`State::stages`].
    pub(super) stage: usize,
    pub(super) state: JobState,
    /// The number of its newest try; 0 before the first.
    pub(super) attempt: u32,
    pub(super) started: Option<Timestamp>,
    pub(super) ended: Option<Timestamp>,
    pub(super) agent: Option<AgentName>,
    pub(super) reason: Option<FailureReason>,
    pub(super) exit_code: Option<i32>,
    pub(super) allowed_failure: bool,
    /// The agent's account of a failure.
    pub(super) message: Option<String>,
    /// The newest lines that its script printed.
    script_tail: VecDeque<String>,
    /// The newest lines of the agent's own.
    agent_tail: VecDeque<String>,
    /// The trigger job whose pipeline it is of, by its place in [`State::jobs`].
    bridge: Option<usize>,
    /// A delay before it starts, for people.
    pub(super) delay: Option<Duration>,
    reader: Reader,
}

/// What an event changed; indexes are places in [`State::jobs`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A job has a new state.
    Job(usize),
    /// A job wrote a line.
    Line(usize, Line),
    /// The pipeline has a new state.
    Pipeline,
    /// A trigger job started a pipeline.
    Downstream {
        /// The trigger job.
        bridge: usize,
        /// The pipeline.
        pipeline: PipelineId,
        /// Its first job; all that come after are its own.
        first: usize,
    },
}

impl State {
    /// A run of `plan`, here, of which nothing was told yet.
    pub(crate) fn new(plan: &Plan, now: Timestamp) -> State {
        let jobs = plan.jobs.iter().map(|job| {
            let delay = match job.when {
                fleet_model::When::Delayed(delay) => Some(delay),
                _ => None,
            };
            (job.name.clone(), job.stage, delay)
        });
        State::of(plan.stages.clone(), jobs, now, Site::Here)
    }

    /// A pipeline that began at `started`, of which only its stages and its jobs'
    /// names, stages and delays are known.
    pub(crate) fn of(
        stages: Vec<String>,
        jobs: impl Iterator<Item = (String, usize, Option<Duration>)>,
        started: Timestamp,
        site: Site,
    ) -> State {
        let jobs: Vec<Job> = jobs
            .map(|(name, stage, delay)| Job::new(name, stage, delay))
            .collect();
        State {
            stages,
            longest_name: longest_name(&jobs),
            jobs,
            status: JobState::Created,
            started,
            ended: None,
            site,
            interrupted: None,
            ids: BTreeMap::new(),
        }
    }

    /// Takes the ids of the jobs, in the order of the plan.
    pub(crate) fn created(&mut self, ids: &[JobId]) {
        self.ids = ids.iter().copied().zip(0..self.jobs.len()).collect();
    }

    /// Takes an event and tells what it changed. Events of unknown jobs change
    /// nothing.
    pub(super) fn apply(&mut self, now: Timestamp, event: &Event) -> Vec<Change> {
        match event {
            Event::Pipeline(status) => {
                self.status = *status;
                vec![Change::Pipeline]
            }
            Event::Downstream(downstream) => self.downstream(downstream).into_iter().collect(),
            // Its trigger job shows it, and its jobs do.
            Event::DownstreamStatus(..) => Vec::new(),
            Event::Job(event) => match self.ids.get(&event.job) {
                Some(&index) => self.job(now, index, event),
                None => Vec::new(),
            },
            Event::Log {
                job, attempt, data, ..
            } => match self.ids.get(job) {
                Some(&index) => {
                    let job = &mut self.jobs[index];
                    let mut changes = job.begin(index, *attempt);
                    let lines = job.reader.push(data);
                    changes.extend(job.keep(index, lines));
                    changes
                }
                None => Vec::new(),
            },
        }
    }

    /// Takes a pipeline that a trigger job started: its stages stand behind that job's,
    /// and all names begin with that job's.
    fn downstream(&mut self, downstream: &Downstream) -> Option<Change> {
        let bridge = *self.ids.get(&downstream.bridge)?;
        let name = self.jobs[bridge].name.clone();
        let plan = &downstream.plan;
        let at = self.jobs[bridge].stage + 1;
        for job in self.jobs.iter_mut().filter(|job| job.stage >= at) {
            job.stage += plan.stages.len();
        }
        let stages = plan.stages.iter().map(|stage| format!("{name}/{stage}"));
        self.stages.splice(at..at, stages);
        let first = self.jobs.len();
        for (planned, id) in plan.jobs.iter().zip(&downstream.created.jobs) {
            let delay = match planned.when {
                fleet_model::When::Delayed(delay) => Some(delay),
                _ => None,
            };
            self.ids.insert(*id, self.jobs.len());
            self.jobs.push(Job {
                bridge: Some(bridge),
                ..Job::new(
                    format!("{name}/{}", planned.name),
                    at + planned.stage,
                    delay,
                )
            });
        }
        self.longest_name = longest_name(&self.jobs);
        Some(Change::Downstream {
            bridge,
            pipeline: downstream.created.pipeline,
            first,
        })
    }

    /// Takes a job's new state and when its newest try began and ended, where that is
    /// known; tells what changed.
    pub(crate) fn apply_job(
        &mut self,
        now: Timestamp,
        event: &JobEvent,
        times: Times,
    ) -> Vec<Change> {
        let Some(&index) = self.ids.get(&event.job) else {
            return Vec::new();
        };
        let changes = self.job(now, index, event);
        let job = &mut self.jobs[index];
        if times.started.is_some() {
            (job.started, job.ended) = (times.started, times.ended);
        }
        changes
    }

    fn job(&mut self, now: Timestamp, index: usize, event: &JobEvent) -> Vec<Change> {
        let job = &mut self.jobs[index];
        let mut changes = job.begin(index, event.attempt);
        if event.state.is_completed() {
            let rest = job.reader.finish();
            changes.extend(job.keep(index, rest));
        }
        if event.state == job.state && event.agent == job.agent {
            return changes;
        }
        if event.state == JobState::Running && job.started.is_none() {
            job.started = Some(now);
        }
        if event.state.is_completed() && job.started.is_some() && job.ended.is_none() {
            job.ended = Some(now);
        }
        job.state = event.state;
        job.reason.clone_from(&event.reason);
        job.exit_code = event.exit_code;
        job.allowed_failure = event.allowed_failure;
        job.agent.clone_from(&event.agent);
        job.message = event.message.as_deref().map(clean);
        changes.push(Change::Job(index));
        changes
    }

    /// Jobs whose failure fails the pipeline, in the order of the plan.
    pub(super) fn failed(&self) -> impl Iterator<Item = &Job> {
        self.jobs
            .iter()
            .filter(|job| job.state == JobState::Failed && !job.allowed_failure)
    }

    /// Names of jobs that a later run may be asked to run again: of a pipeline that a
    /// trigger job started, that job's.
    pub(crate) fn failed_names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for mut job in self.failed() {
            while let Some(bridge) = job.bridge {
                job = &self.jobs[bridge];
            }
            if !names.contains(&job.name) {
                names.push(job.name.clone());
            }
        }
        names
    }

    /// Whether agents' names tell something: here there is one, which has none that
    /// people gave it.
    pub(super) fn shows_agents(&self) -> bool {
        if self.site != Site::Here {
            return true;
        }
        let mut agents = self.jobs.iter().filter_map(|job| job.agent.as_ref());
        agents
            .next()
            .is_some_and(|first| agents.any(|agent| agent != first))
    }
}

fn longest_name(jobs: &[Job]) -> usize {
    let widths = jobs.iter().map(|job| plain_width(&job.shown));
    widths.max().unwrap_or(0)
}

impl Job {
    fn new(name: String, stage: usize, delay: Option<Duration>) -> Job {
        Job {
            shown: clean(&name),
            name,
            stage,
            state: JobState::Created,
            attempt: 0,
            started: None,
            ended: None,
            agent: None,
            reason: None,
            exit_code: None,
            allowed_failure: false,
            message: None,
            script_tail: VecDeque::new(),
            agent_tail: VecDeque::new(),
            bridge: None,
            delay,
            reader: Reader::default(),
        }
    }

    /// How long its newest try runs or ran.
    pub(super) fn elapsed(&self, now: Timestamp) -> Option<Duration> {
        Some(self.ended.unwrap_or(now).since(self.started?))
    }

    /// What there is to say about its state beyond the state itself.
    pub(super) fn remark(&self) -> Option<String> {
        match self.state {
            JobState::Failed => {
                let why = match (&self.exit_code, &self.reason, &self.message) {
                    (Some(code), _, _) if *code != 0 => format!("exit code {code}"),
                    (_, _, Some(message)) => message.clone(),
                    (_, Some(reason), None) => reason.as_str().replace('_', " "),
                    _ => return self.allowed_failure.then(|| "allowed to fail".to_owned()),
                };
                Some(if self.allowed_failure {
                    format!("{why}, allowed to fail")
                } else {
                    why
                })
            }
            JobState::Running if self.attempt > 1 => Some(format!("try {}", self.attempt)),
            JobState::Pending => Some("waits for a slot".to_owned()),
            JobState::WaitingForResource => Some("waits for its resource group".to_owned()),
            JobState::Scheduled => Some(match self.delay {
                Some(delay) => format!("starts after {}", super::render::duration(delay)),
                None => "starts later".to_owned(),
            }),
            JobState::Manual => Some("waits for a person".to_owned()),
            _ => None,
        }
    }

    /// The lines that tell why it failed: its script's, or the agent's where no
    /// script came to print any.
    pub(super) fn tail(&self) -> &VecDeque<String> {
        if self.script_tail.is_empty() {
            &self.agent_tail
        } else {
            &self.script_tail
        }
    }

    /// Begins a new try, if this is one: its time and its log start anew.
    fn begin(&mut self, index: usize, attempt: u32) -> Vec<Change> {
        if attempt <= self.attempt {
            return Vec::new();
        }
        let rest = std::mem::take(&mut self.reader).finish();
        let changes = self.keep(index, rest);
        self.attempt = attempt;
        self.script_tail.clear();
        self.agent_tail.clear();
        (self.started, self.ended) = (None, None);
        changes
    }

    fn keep(&mut self, index: usize, lines: Vec<Line>) -> Vec<Change> {
        for line in &lines {
            let tail = if line.of_agent {
                &mut self.agent_tail
            } else {
                &mut self.script_tail
            };
            if tail.len() == TAIL_LINES {
                tail.pop_front();
            }
            tail.push_back(line.text.clone());
        }
        lines
            .into_iter()
            .map(|line| Change::Line(index, line))
            .collect()
    }
}
