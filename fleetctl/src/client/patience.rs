//! Waiting for a coordinator that has gone away and may come back.

use std::time::Duration;

use tokio::time::Instant;

use super::{Client, Unanswered};
use crate::{Exit, Failure};

/// The first wait; each is twice as long as the one before.
const FIRST: Duration = Duration::from_millis(200);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(5);

/// How long is waited, and whether people were told.
pub(crate) struct Patience {
    deadline: Option<Instant>,
    wait: Duration,
    /// It was there once: what is away now may come back.
    was_there: bool,
    is_told: bool,
}

impl Patience {
    pub(super) fn new(deadline: Option<Instant>) -> Patience {
        Patience {
            deadline,
            wait: FIRST,
            was_there: false,
            is_told: false,
        }
    }

    /// The coordinator answered; the text is what to tell people then.
    pub(crate) fn answered(&mut self) -> Option<&'static str> {
        self.was_there = true;
        self.wait = FIRST;
        std::mem::take(&mut self.is_told).then_some("the coordinator is back")
    }

    /// A call had no answer: waits until it is worth another try, and gives back what
    /// to tell people before it is made, if they were not told yet.
    ///
    /// A coordinator that was never there is waited for only where --timeout says how
    /// long: its address may be wrong.
    ///
    /// # Errors
    /// Trying again cannot help, or there is no time left.
    pub(crate) fn after(
        &mut self,
        client: &Client,
        unanswered: &Unanswered,
    ) -> Result<Retry, Failure> {
        let now = Instant::now();
        let over = match self.deadline {
            Some(deadline) => now >= deadline,
            None => !self.was_there,
        };
        let failure = client.failure(unanswered);
        if !unanswered.is_absence() || over && !self.was_there {
            return Err(failure);
        }
        if over {
            return Err(Failure::new(Exit::TimedOut, failure.to_string()));
        }
        let wait = self.wait;
        self.wait = (wait * 2).min(LONGEST);
        let note = (!self.is_told).then(|| {
            let until = match self.deadline {
                Some(_) => "until --timeout",
                None => "until Ctrl-C",
            };
            let text = failure.to_string();
            let why = text.split(" Try: ").next().unwrap_or(&text);
            let end = if why.ends_with(['.', '?']) { "" } else { "." };
            format!("{why}{end} Trying again {until}")
        });
        self.is_told = true;
        let until = now + wait;
        Ok(Retry {
            at: self.deadline.map_or(until, |deadline| until.min(deadline)),
            note,
        })
    }
}

/// Another try.
pub(crate) struct Retry {
    /// When to make it.
    pub(crate) at: Instant,
    /// What to tell people before.
    pub(crate) note: Option<String>,
}
