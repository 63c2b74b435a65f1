//! What must hold after every step, told a second time and more simply than the
//! queue itself does it.

use std::collections::{BTreeMap, BTreeSet};

use fleet_model::{
    AgentName, AllowFailure, Fence, JobId, JobState, PipelineId, ProjectId, Timestamp,
};
use fleet_queue::{
    AgentStatus, Effect, Input, JobView, NewJob, NewPipeline, PipelineView, Queue, Rejected,
    Scheduling, Why,
};

pub(crate) struct Laws {
    plans: BTreeMap<PipelineId, NewPipeline>,
    last_fence: Option<Fence>,
    /// The latest attempt of each job that was leased, and how often it was.
    leased: BTreeMap<JobId, (u32, u32)>,
    /// How often people asked for each job again.
    asked_again: BTreeMap<JobId, u32>,
    /// Attempts that began.
    begun: BTreeSet<(JobId, u32)>,
    /// Attempts that have a result.
    ended: BTreeSet<(JobId, u32)>,
    /// Leases that ended without their agent's word.
    overdue: BTreeSet<Fence>,
    /// What the world was told last.
    jobs_told: BTreeMap<JobId, (JobState, u32)>,
    pipelines_told: BTreeMap<PipelineId, JobState>,
    /// Agents that take jobs of one project alone.
    only: BTreeSet<AgentName>,
}

impl Laws {
    pub(crate) fn new(plans: &[NewPipeline]) -> Laws {
        Laws {
            plans: plans.iter().map(|plan| (plan.id, plan.clone())).collect(),
            last_fence: None,
            leased: BTreeMap::new(),
            asked_again: BTreeMap::new(),
            begun: BTreeSet::new(),
            ended: BTreeSet::new(),
            overdue: BTreeSet::new(),
            jobs_told: BTreeMap::new(),
            pipelines_told: BTreeMap::new(),
            only: BTreeSet::new(),
        }
    }

    pub(crate) fn check(
        &mut self,
        now: Timestamp,
        before: &Queue,
        input: &Input,
        answer: &Result<Vec<Effect>, Rejected>,
        after: &Queue,
    ) {
        if let Input::AgentConnected {
            agent,
            projects: Some(_),
            ..
        } = input
        {
            self.only.insert(agent.clone());
        }
        match answer {
            Err(_) => self.refusal_changes_nothing(before, after),
            Ok(effects) => {
                self.count_retries(before, input, after);
                self.leases_are_new(effects, after);
                self.attempts_begin_once_and_are_as_many_as_allowed(effects);
                self.results_come_once(effects);
                self.take_note(effects);
            }
        }
        if matches!(input, Input::Tick | Input::RevokeAgent { .. }) {
            let ended = |fence: &Fence| after.lease(*fence).is_some_and(|l| l.finished);
            let live = |fence: &Fence| before.lease(*fence).is_some_and(|l| !l.finished);
            let leases = after.agents().flat_map(|agent| agent.leases);
            self.overdue.extend(leases.filter(ended).filter(live));
        }
        if answer.is_ok() {
            self.word_is_taken(input, after);
        }
        self.finished_stays_finished(before, input, after);
        self.one_live_attempt_per_job(after);
        self.groups_never_overlap(after);
        for plan in self.plans.values() {
            if let Some(view) = after.pipeline(plan.id) {
                self.states_follow_the_rules(plan, &view, after);
                self.told_is_true(&view, after);
            }
        }
        self.no_slot_is_left_idle(now, after);
        if *input == Input::Tick {
            let wakeup = after.next_wakeup();
            assert!(wakeup.is_none_or(|at| at > now), "{wakeup:?} is past");
        }
    }

    /// What was accepted is so.
    fn word_is_taken(&self, input: &Input, after: &Queue) {
        match input {
            Input::AgentConnected { agent, .. } => {
                let agent = after.agent(agent).expect("an agent");
                assert!(agent.status == AgentStatus::Online && !agent.revoked);
            }
            Input::CancelJob { job, .. } => {
                let state = after.job(*job).expect("a job").state;
                assert!(matches!(state, JobState::Canceling | JobState::Canceled));
            }
            Input::RevokeAgent { agent } => {
                let agent = after.agent(agent).expect("an agent");
                let live = |fence: &Fence| after.lease(*fence).is_some_and(|l| !l.finished);
                assert!(agent.revoked && !agent.leases.iter().any(live));
            }
            _ => {}
        }
    }

    fn jobs<'a>(&'a self, queue: &'a Queue) -> impl Iterator<Item = (&'a NewJob, JobView)> {
        let jobs = self.plans.values().flat_map(|plan| &plan.jobs);
        jobs.filter_map(|job| Some((job, queue.job(job.id)?)))
    }

    fn refusal_changes_nothing(&self, before: &Queue, after: &Queue) {
        let views =
            |queue: &Queue| -> Vec<JobView> { self.jobs(queue).map(|(_, view)| view).collect() };
        assert_eq!(views(before), views(after));
        assert!(before.agents().eq(after.agents()));
        assert_eq!(before.next_fence(), after.next_fence());
    }

    fn leases_are_new(&mut self, effects: &[Effect], after: &Queue) {
        for effect in effects {
            let Effect::Lease {
                agent,
                job,
                attempt,
                fence,
                ..
            } = effect
            else {
                continue;
            };
            assert!(Some(*fence) > self.last_fence, "fences grow");
            self.last_fence = Some(*fence);
            let (latest, leases) = self.leased.entry(*job).or_default();
            if attempt == latest {
                *leases += 1;
                assert!(*leases <= 5, "an attempt is given up five times at most");
                let begun = self.begun.contains(&(*job, *attempt));
                assert!(!begun, "an attempt that began is not leased again");
            } else {
                assert!(attempt > latest, "attempts are leased in order");
                (*latest, *leases) = (*attempt, 1);
            }
            if self.only.contains(agent) {
                let project = after.job(*job).expect("a job").project;
                assert_eq!(project, ProjectId(0), "it is for one project");
            }
            let agent = after.agent(agent).expect("an agent");
            assert_eq!(agent.status, AgentStatus::Online);
            assert!(!agent.draining && !agent.revoked);
            assert!(agent.leases.len() <= agent.slots as usize, "slots suffice");
        }
    }

    fn count_retries(&mut self, before: &Queue, input: &Input, after: &Queue) {
        let asked: Vec<JobId> = match input {
            Input::RetryJob { job } => vec![*job],
            Input::RetryPipeline { .. } => {
                let attempt = |queue: &Queue, job| queue.job(job).map(|job| job.attempt);
                let again = |job: &JobId| attempt(before, *job) != attempt(after, *job);
                let jobs = self.jobs(after).map(|(job, _)| job.id);
                jobs.filter(again).collect()
            }
            _ => Vec::new(),
        };
        for job in asked {
            *self.asked_again.entry(job).or_default() += 1;
        }
    }

    fn attempts_begin_once_and_are_as_many_as_allowed(&mut self, effects: &[Effect]) {
        for effect in effects {
            let Effect::JobChanged {
                job,
                attempt,
                state: JobState::Running,
                ..
            } = effect
            else {
                continue;
            };
            let first = self.begun.insert((*job, *attempt));
            assert!(first, "attempt {attempt} of job {job} began before");
            let mut jobs = self.plans.values().flat_map(|plan| &plan.jobs);
            let plan = jobs.find(|plan| plan.id == *job).expect("a job");
            let asked = self.asked_again.get(job).copied().unwrap_or(0);
            assert!(*attempt <= 1 + plan.retry.max + asked, "attempts end");
        }
    }

    fn results_come_once(&mut self, effects: &[Effect]) {
        for effect in effects {
            if let Effect::JobChanged {
                job,
                attempt,
                state: JobState::Success | JobState::Failed | JobState::Canceled,
                ..
            } = effect
            {
                let first = self.ended.insert((*job, *attempt));
                assert!(first, "attempt {attempt} of job {job} ended before");
            }
        }
    }

    fn take_note(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::JobChanged {
                    job,
                    state,
                    attempt,
                    ..
                } => {
                    self.jobs_told.insert(*job, (*state, *attempt));
                }
                Effect::PipelineChanged {
                    pipeline, status, ..
                } => {
                    self.pipelines_told.insert(*pipeline, *status);
                }
                _ => {}
            }
        }
    }

    fn told_is_true(&self, view: &PipelineView, after: &Queue) {
        assert_eq!(self.pipelines_told.get(&view.id), Some(&view.status));
        for id in &view.jobs {
            let job = after.job(*id).expect("a job");
            let told = self.jobs_told.get(id);
            let told = told.copied().unwrap_or((JobState::Created, 1));
            assert_eq!(told, (job.state, job.attempt));
        }
    }

    fn finished_stays_finished(&self, before: &Queue, input: &Input, after: &Queue) {
        if matches!(
            input,
            Input::RetryJob { .. } | Input::RetryPipeline { .. } | Input::ForgetPipeline { .. }
        ) {
            return;
        }
        for (job, was) in self.jobs(before) {
            if was.state.is_completed() && was.state != JobState::Skipped {
                let is = after.job(job.id).expect("a job");
                assert_eq!((was.state, was.attempt), (is.state, is.attempt));
            }
        }
    }

    fn one_live_attempt_per_job(&self, after: &Queue) {
        let mut live: BTreeMap<JobId, Fence> = BTreeMap::new();
        let mut perhaps: BTreeSet<JobId> = BTreeSet::new();
        for fence in after.agents().flat_map(|agent| agent.leases) {
            let lease = after.lease(fence).expect("an agent's lease is in the book");
            if !lease.finished {
                let other = live.insert(lease.job, fence);
                assert_eq!(other, None, "job {} has two live leases", lease.job);
            } else if self.overdue.contains(&fence) {
                perhaps.insert(lease.job);
            }
        }
        for job in live.keys() {
            assert!(!perhaps.contains(job), "job {job} may still run elsewhere");
        }
        assert_eq!(after.jobs_running(), live.len());
        for (job, view) in self.jobs(after) {
            match view.state {
                JobState::Running | JobState::Canceling => {}
                // Leased, and not begun.
                JobState::Pending if live.contains_key(&job.id) => {}
                _ => assert!(!live.contains_key(&job.id), "{view:?}"),
            }
            if matches!(view.state, JobState::Running | JobState::Canceling) {
                assert_eq!(live.get(&job.id), view.fence.as_ref(), "{view:?}");
            }
        }
    }

    fn groups_never_overlap(&self, after: &Queue) {
        let mut users: BTreeMap<(ProjectId, &str), JobId> = BTreeMap::new();
        for (job, view) in self.jobs(after) {
            let overdue = || view.fence.is_some_and(|f| self.overdue.contains(&f));
            let uses = matches!(
                view.state,
                JobState::Pending | JobState::Running | JobState::Canceling
            ) || overdue();
            if let Some(group) = &job.resource_group
                && uses
            {
                let other = users.insert((view.project, group), job.id);
                assert_eq!(other, None, "{group} is used twice");
            }
        }
        // Whoever waits for a group waits for somebody.
        for (job, view) in self.jobs(after) {
            if let Some(group) = &job.resource_group
                && view.state == JobState::WaitingForResource
            {
                assert!(users.contains_key(&(view.project, group.as_str())));
            }
        }
    }

    fn states_follow_the_rules(&self, plan: &NewPipeline, view: &PipelineView, after: &Queue) {
        let word = |job: &NewJob| word(job, &after.job(job.id).expect("a job"));
        let all = |fits: &dyn Fn(&NewJob) -> bool| -> BTreeSet<&'static str> {
            plan.jobs.iter().filter(|job| fits(job)).map(word).collect()
        };
        assert_eq!(view.status.as_str(), composite(&all(&|_| true), false));
        for (stage, state) in (0..).zip(&view.stages) {
            let set = all(&|job| job.stage == stage);
            assert_eq!(state.as_str(), composite(&set, false));
        }
        for job in &plan.jobs {
            if after.job(job.id).expect("a job").state != JobState::Created {
                continue;
            }
            let (set, dag) = match &job.scheduling {
                Scheduling::Stage => (all(&|other| other.stage < job.stage), false),
                Scheduling::Dag(needs) => (all(&|other| needs.contains(&other.id)), true),
            };
            let previous = composite(&set, dag);
            let decided = ["success", "failed", "canceled", "skipped"].contains(&previous);
            assert!(!decided, "job {} waits although {previous}", job.id);
        }
    }

    /// While a job waits for a slot, something keeps every agent from it.
    fn no_slot_is_left_idle(&self, now: Timestamp, after: &Queue) {
        let pending: BTreeSet<JobId> = after.pending().collect();
        assert_eq!(pending.len(), after.jobs_waiting());
        for (job, view) in self.jobs(after) {
            let explained = after.explain(now, job.id).expect("a job");
            assert_eq!(explained.state, view.state);
            let waits = matches!(explained.why, Why::Slot { .. } | Why::LastAttempt { .. });
            assert_eq!(waits, pending.contains(&job.id), "{explained:?}");
            if let Why::Slot { agents, .. } = explained.why {
                let kept: Vec<AgentName> = agents.into_iter().map(|(name, _)| name).collect();
                let all: Vec<AgentName> = after.agents().map(|agent| agent.name).collect();
                assert_eq!(kept, all, "job {} could run", job.id);
            }
        }
    }
}

/// What a job counts as: its state, `warning` or `ignored`.
fn word(job: &NewJob, view: &JobView) -> &'static str {
    match view.state {
        JobState::Failed | JobState::Canceled if view.allowed_failure => "warning",
        JobState::Manual if job.allow_failure == AllowFailure::Yes => "ignored",
        state => state.as_str(),
    }
}

/// The table of rules, row by row.
fn composite(set: &BTreeSet<&'static str>, dag: bool) -> &'static str {
    let any = |word: &str| set.contains(word);
    let only = |words: &[&str]| set.iter().all(|word| words.contains(word));
    match () {
        () if set.is_empty() => "success",
        () if dag && (any("skipped") || any("ignored")) => "skipped",
        () if only(&["skipped", "ignored"]) => "skipped",
        () if only(&["success", "skipped", "warning", "ignored"]) => "success",
        () if only(&["created", "warning", "ignored"]) => "created",
        () if only(&["preparing", "warning", "ignored"]) => "preparing",
        () if only(&["canceled", "success", "skipped", "warning", "ignored"]) => "canceled",
        () if only(&["pending", "created", "skipped", "warning", "ignored"]) => "pending",
        () if any("running") || any("pending") => "running",
        () if any("waiting_for_resource") => "waiting_for_resource",
        () if any("manual") => "manual",
        () if any("scheduled") => "scheduled",
        () if any("preparing") => "preparing",
        () if any("created") => "running",
        () if any("canceling") => "canceling",
        () => "failed",
    }
}
