//! What is to happen by itself, and when.

use std::collections::BTreeSet;

use fleet_model::{AgentName, Fence, JobId, Timestamp};

/// What a point in time is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A delayed job's time has come.
    Delay(JobId),
    /// A pending job has waited too long.
    Stuck(JobId),
    /// An agent has perhaps not been heard of for too long.
    Silence(AgentName),
    /// A lease should have ended.
    Overdue(Fence),
}

/// All timers that are set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timers(BTreeSet<(Timestamp, Timer)>);

impl Timers {
    pub(crate) fn set(&mut self, at: Timestamp, timer: Timer) {
        self.0.insert((at, timer));
    }

    pub(crate) fn clear(&mut self, at: Timestamp, timer: Timer) {
        self.0.remove(&(at, timer));
    }

    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.0.first().map(|(at, _)| *at)
    }

    /// Takes out the earliest timer that is due.
    pub(crate) fn pop_due(&mut self, now: Timestamp) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        self.0.pop_first().map(|(_, timer)| timer)
    }
}
