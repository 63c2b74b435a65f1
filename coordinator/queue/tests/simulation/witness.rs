//! Sees everything that really happens, and knows what must not.

use std::collections::{BTreeMap, BTreeSet};

use fleet_model::{Fence, JobId, JobState, Outcome, ProjectId};
use fleet_queue::Effect;

/// What happened in one history, or in many.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    /// Which attempt of a job is executing, on some host.
    executing: BTreeMap<JobId, Fence>,
    /// Who is executing in a resource group.
    groups: BTreeMap<(ProjectId, String), Fence>,
    /// How attempts really ended, where they came to an end of their own.
    completed: BTreeMap<Fence, Outcome>,
    /// The latest lease of each attempt.
    fences: BTreeMap<(JobId, u32), Fence>,
    begun: BTreeSet<(JobId, u32)>,
    ended: BTreeSet<(JobId, u32)>,
    states: BTreeMap<JobId, JobState>,
    history: Vec<String>,

    pub(crate) successes: u64,
    pub(crate) lost: u64,
    pub(crate) canceled: u64,
    pub(crate) orphans_killed: u64,
    pub(crate) taken_back: u64,
    pub(crate) stale: u64,
    pub(crate) second_attempts: u64,
    pub(crate) given_up: u64,
    pub(crate) revoked: u64,
}

impl Witness {
    /// An attempt's first process starts.
    pub(crate) fn starts(&mut self, fence: Fence, job: JobId, group: Option<(ProjectId, String)>) {
        let other = self.executing.insert(job, fence);
        assert_eq!(other, None, "job {job} runs twice, now under {fence}");
        if let Some(group) = group {
            let other = self.groups.insert(group.clone(), fence);
            assert_eq!(other, None, "{group:?} is used twice, now under {fence}");
        }
    }

    /// Its last process is gone.
    pub(crate) fn stops(&mut self, fence: Fence, job: JobId, outcome: Option<&Outcome>) {
        assert_eq!(self.executing.remove(&job), Some(fence));
        self.groups.retain(|_, user| *user != fence);
        if let Some(outcome) = outcome {
            self.completed.insert(fence, outcome.clone());
        }
    }

    /// The queue says something.
    pub(crate) fn hears(&mut self, effect: &Effect) {
        self.history.push(format!("{effect:?}"));
        match effect {
            Effect::Lease {
                job,
                attempt,
                fence,
                ..
            } => {
                let other = self.fences.insert((*job, *attempt), *fence);
                let begun = self.begun.contains(&(*job, *attempt));
                assert!(!begun, "an attempt that began is not leased again");
                self.given_up += u64::from(other.is_some());
                self.second_attempts += u64::from(*attempt > 1);
            }
            Effect::JobChanged {
                job,
                attempt,
                state,
                reason,
                ..
            } => {
                self.states.insert(*job, *state);
                let fence = self.fences.get(&(*job, *attempt));
                let really = fence.and_then(|fence| self.completed.get(fence));
                match state {
                    JobState::Running => {
                        let first = self.begun.insert((*job, *attempt));
                        assert!(first, "attempt {attempt} of job {job} begins once");
                        return;
                    }
                    JobState::Success => {
                        assert_eq!(really, Some(&Outcome::Success), "job {job} did succeed");
                        self.successes += 1;
                    }
                    JobState::Failed => {
                        assert_ne!(really, Some(&Outcome::Canceled));
                        let reason = reason.as_ref().map(|reason| reason.as_str());
                        self.lost += u64::from(reason == Some("runner_system_failure"));
                    }
                    JobState::Canceled => self.canceled += 1,
                    _ => return,
                }
                let first = self.ended.insert((*job, *attempt));
                assert!(first, "attempt {attempt} of job {job} ends once");
            }
            Effect::Keep { .. } => self.taken_back += 1,
            Effect::Stop { reason, .. } => {
                self.stale += u64::from(*reason == fleet_queue::StopReason::Stale);
            }
            Effect::Admission { .. }
            | Effect::StartDownstream { .. }
            | Effect::ResultTaken { .. }
            | Effect::PipelineChanged { .. } => {}
        }
    }

    pub(crate) fn executing(&self) -> usize {
        self.executing.len()
    }

    /// All that the queue said.
    pub(crate) fn history(&self) -> &[String] {
        &self.history
    }

    pub(crate) fn add(&mut self, other: &Witness) {
        self.successes += other.successes;
        self.lost += other.lost;
        self.canceled += other.canceled;
        self.orphans_killed += other.orphans_killed;
        self.taken_back += other.taken_back;
        self.stale += other.stale;
        self.second_attempts += other.second_attempts;
        self.given_up += other.given_up;
        self.revoked += other.revoked;
    }

    /// A simulation in which nothing goes wrong shows nothing.
    pub(crate) fn assert_that_faults_mattered(&self) {
        let counts = [
            ("successes", self.successes),
            ("lost", self.lost),
            ("canceled", self.canceled),
            ("orphans killed", self.orphans_killed),
            ("taken back", self.taken_back),
            ("stale", self.stale),
            ("second attempts", self.second_attempts),
            ("given up", self.given_up),
            ("revoked", self.revoked),
        ];
        println!("{counts:?}");
        for (what, count) in counts {
            assert!(count > 50, "only {count} {what}");
        }
    }
}
