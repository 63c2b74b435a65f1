//! What can stop a job from outside its scripts: its owner and its clocks.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::Control;
use super::failure::Failure;
use crate::executor::{Force, Stop};

/// Holds a job from outside.
#[derive(Debug)]
pub(super) struct Reins {
    control: watch::Receiver<Control>,
    /// Whether anybody can still change `control`.
    held: bool,
    canceled: bool,
    job_clock: Clock,
    part: Part,
    part_ends: Option<Instant>,
    failure: Option<Failure>,
}

/// What part of a job runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// What comes before the script: a cancel ends it.
    Setup,
    /// The script, and its own clock where it has one: a cancel ends it.
    Script(Option<Duration>),
    /// What follows, with its own clock: it runs although the job is canceled.
    AfterScript(Duration),
    /// Artifacts and cleaning up: as well.
    Closing,
}

#[derive(Clone, Copy, Debug)]
struct Clock {
    length: Duration,
    ends: Instant,
}

impl Reins {
    /// Starts the job's clock.
    pub(super) fn new(control: watch::Receiver<Control>, timeout: Duration) -> Reins {
        Reins {
            control,
            held: true,
            canceled: false,
            job_clock: Clock {
                length: timeout,
                ends: after(timeout),
            },
            part: Part::Setup,
            part_ends: None,
            failure: None,
        }
    }

    /// Begins a part: an earlier one's end does not stop it.
    pub(super) fn enter(&mut self, part: Part) {
        self.part = part;
        self.failure = None;
        self.part_ends = match part {
            Part::Script(length) => length.map(after),
            Part::AfterScript(length) => Some(after(length)),
            Part::Setup | Part::Closing => None,
        };
    }

    /// What is left on the job's clock.
    pub(super) fn job_time_left(&self) -> Duration {
        self.job_clock
            .ends
            .saturating_duration_since(Instant::now())
    }

    /// Why the part has to end; none if it has not.
    pub(super) fn pulled(&mut self) -> Option<Failure> {
        if self.failure.is_none() {
            self.look();
        }
        self.failure.clone()
    }

    /// Whether the job was canceled, also where that changed nothing.
    pub(super) fn is_canceled(&mut self) -> bool {
        self.canceled |= *self.control.borrow() == Control::Cancel;
        self.canceled
    }

    /// Waits for `work` unless the part has to end before.
    pub(super) async fn unless_pulled<T>(
        &mut self,
        work: impl Future<Output = T>,
    ) -> Result<T, Failure> {
        tokio::select! {
            done = work => return Ok(done),
            _ = self.requested() => {}
        }
        Err(self.failure.clone().unwrap_or(Failure::Aborted))
    }

    /// Looks whether the part has to end, and how.
    fn look(&mut self) -> Option<Force> {
        let control = *self.control.borrow_and_update();
        self.canceled |= control == Control::Cancel;
        if control == Control::Abort {
            self.failure = Some(if self.canceled {
                Failure::Canceled
            } else {
                Failure::Aborted
            });
            return Some(Force::AtOnce);
        }
        if self.failure.is_some() {
            return None;
        }
        let now = Instant::now();
        let part = match self.part {
            Part::Setup | Part::Script(_) if control == Control::Cancel => Failure::Canceled,
            _ if now >= self.job_clock.ends => Failure::JobClock(self.job_clock.length),
            Part::AfterScript(_) if self.part_ends.is_some_and(|end| now >= end) => {
                Failure::Clock("after_script")
            }
            _ if self.part_ends.is_some_and(|end| now >= end) => Failure::Clock("script"),
            _ => return None,
        };
        self.failure = Some(part);
        Some(Force::Gracefully)
    }
}

impl Stop for Reins {
    async fn requested(&mut self) -> Force {
        loop {
            if let Some(force) = self.look() {
                return force;
            }
            let job_ends = self.job_clock.ends;
            let next = self.part_ends.map_or(job_ends, |end| end.min(job_ends));
            tokio::select! {
                changed = self.control.changed(), if self.held => self.held = changed.is_ok(),
                () = sleep_until(next), if self.failure.is_none() => {}
                else => std::future::pending().await,
            }
        }
    }
}

/// Clocks longer than the runtime can count are as good as none.
fn after(length: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 86_400);
    Instant::now() + length.min(YEAR)
}
