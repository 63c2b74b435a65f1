//! Time since the host's boot, which goes on while the host is suspended: by it
//! leases end, since it goes on for the coordinator too.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How often the clock is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// A moment, as the time since the host's boot (`CLOCK_BOOTTIME`). The same for all
/// processes of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Boottime(Duration);

impl Boottime {
    pub(crate) fn now() -> Boottime {
        let now = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
        let nanoseconds = u32::try_from(now.tv_nsec).unwrap_or(0);
        Boottime(Duration::new(seconds, nanoseconds))
    }

    pub(crate) fn from_millis(millis: u64) -> Boottime {
        Boottime(Duration::from_millis(millis))
    }

    pub(crate) fn as_millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }

    /// How long ago it was; nothing for what is still to come.
    pub(crate) fn elapsed(self) -> Duration {
        Boottime::now().0.saturating_sub(self.0)
    }

    pub(crate) fn after(self, wait: Duration) -> Boottime {
        Boottime(self.0.saturating_add(wait))
    }
}

/// Changes with every boot of the host; empty where the kernel does not tell.
pub(crate) fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|id| id.trim().to_owned())
        .unwrap_or_default()
}

/// Returns at `moment` by that clock, or up to a second after: the runtime's own
/// clock stands still while the host is suspended. Dropping the future loses
/// nothing.
pub(crate) async fn reached(moment: Boottime) {
    loop {
        let left = moment.0.saturating_sub(Boottime::now().0);
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(LOOK)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_moment_is_waited_for_and_a_past_one_is_not() {
        let begun = Boottime::now();
        reached(begun.after(Duration::from_millis(5))).await;
        assert!(begun.elapsed() >= Duration::from_millis(5));
        reached(begun).await;
        assert_eq!(Boottime::from_millis(7).as_millis(), 7);
    }
}
