//! How often refusals go into the audit log: somebody who is refused all the time
//! is not to fill the disk.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Refusals of one actor that are noted in one window; the others are counted.
const NOTED: u32 = 60;
const WINDOW: Duration = Duration::from_secs(60);
/// Actors that are told apart; those beyond share one count.
const ACTORS: usize = 10_000;

/// Counts the refusals of each actor.
#[derive(Default)]
pub(crate) struct Denials {
    actors: Mutex<HashMap<String, Recent>>,
}

/// Whether a refusal is noted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admitted {
    /// It is, and so many before it were not.
    Noted { left_out: u64 },
    /// It is only counted.
    Counted,
}

struct Recent {
    since: Instant,
    noted: u32,
    left_out: u64,
}

impl Denials {
    pub(crate) fn admit(&self, actor: &str, now: Instant) -> Admitted {
        // Entries are changed in one step: a holder's panic spoils nothing.
        let mut actors = self.actors.lock().unwrap_or_else(PoisonError::into_inner);
        if actors.len() >= ACTORS && !actors.contains_key(actor) {
            actors.retain(|_, recent| {
                recent.left_out > 0 || now.duration_since(recent.since) < WINDOW
            });
        }
        let actor = if actors.len() < ACTORS || actors.contains_key(actor) {
            actor
        } else {
            "others"
        };
        let recent = actors.entry(actor.to_owned()).or_insert(Recent {
            since: now,
            noted: 0,
            left_out: 0,
        });
        if now.duration_since(recent.since) >= WINDOW {
            (recent.since, recent.noted) = (now, 0);
        }
        if recent.noted == NOTED {
            recent.left_out += 1;
            return Admitted::Counted;
        }
        recent.noted += 1;
        Admitted::Noted {
            left_out: std::mem::take(&mut recent.left_out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_that_is_refused_all_the_time_is_counted() {
        let (denials, start) = (Denials::default(), Instant::now());
        for _ in 0..NOTED {
            let noted = denials.admit("ann", start);
            assert_eq!(noted, Admitted::Noted { left_out: 0 });
        }
        assert_eq!(denials.admit("ann", start), Admitted::Counted);
        assert_eq!(denials.admit("ann", start), Admitted::Counted);
        let other = denials.admit("bob", start);
        assert_eq!(other, Admitted::Noted { left_out: 0 });
        let later = denials.admit("ann", start + WINDOW);
        assert_eq!(later, Admitted::Noted { left_out: 2 });
    }

    #[test]
    fn many_actors_take_bounded_memory() {
        let (denials, start) = (Denials::default(), Instant::now());
        for actor in 0..ACTORS + 100 {
            denials.admit(&actor.to_string(), start);
        }
        let known = || denials.actors.lock().expect("whole").len();
        assert_eq!(known(), ACTORS + 1);
        denials.admit("late", start + WINDOW);
        assert!(known() < 10);
    }
}
