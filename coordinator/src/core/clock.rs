//! The coordinator's time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fleet_model::Timestamp;

/// Unix time that never goes back while the process lives.
///
/// Time in which the process stood still (stopped by a signal, a paused machine)
/// is left out: it could hear nobody, so nobody was silent.
pub(super) struct Clock {
    started: Instant,
    unix_ms: u64,
    left_out: Duration,
}

impl Clock {
    pub(super) fn start() -> Clock {
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Clock {
            started: Instant::now(),
            unix_ms: u64::try_from(unix.as_millis()).unwrap_or(u64::MAX),
            left_out: Duration::ZERO,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp(self.unix_ms) + self.started.elapsed().saturating_sub(self.left_out)
    }

    pub(super) fn leave_out(&mut self, pause: Duration) {
        self.left_out += pause;
    }
}
