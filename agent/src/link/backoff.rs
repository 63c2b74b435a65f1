//! How long to wait before the next connect.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
/// The longest wait.
pub(super) const LAST: Duration = Duration::from_secs(64);

/// A random point of a window that doubles from 1 s to 64 s.
///
/// Uniform over the window, so that many agents that lost one coordinator do
/// not come back together.
pub(super) struct Backoff {
    window: Duration,
    random: RandomState,
    tries: u64,
}

impl Backoff {
    pub(super) fn new() -> Backoff {
        Backoff {
            window: FIRST,
            random: RandomState::new(),
            tries: 0,
        }
    }

    /// The next wait.
    pub(super) fn next(&mut self) -> Duration {
        self.tries += 1;
        let thousandths = u32::try_from(self.random.hash_one(self.tries) % 1000).unwrap_or(0);
        let wait = self.window * thousandths / 1000;
        self.window = (self.window * 2).min(LAST);
        wait
    }

    /// After a connection that worked.
    pub(super) fn reset(&mut self) {
        self.window = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_stay_inside_a_window_that_doubles_to_its_limit() {
        let mut backoff = Backoff::new();
        for seconds in [1, 2, 4, 8, 16, 32, 64, 64, 64] {
            assert!(backoff.next() < Duration::from_secs(seconds));
        }
        backoff.reset();
        assert!(backoff.next() < FIRST);
    }
}
