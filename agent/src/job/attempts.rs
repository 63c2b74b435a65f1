//! Trying a stage again.

use std::time::Duration;

/// The waits between the attempts of a stage, of which there are `attempts`.
pub(super) fn pauses(attempts: u32, growing: bool) -> impl Iterator<Item = Duration> {
    const LONGEST: Duration = Duration::from_secs(300);
    let mut next = if growing {
        Duration::from_secs(5)
    } else {
        Duration::ZERO
    };
    (1..attempts).map(move |_| {
        let pause = next;
        next = (next * 2).min(LONGEST);
        pause
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes() {
        let waits: Vec<u64> = pauses(10, true).map(|pause| pause.as_secs()).collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
        assert_eq!(pauses(1, true).count(), 0);
        assert_eq!(pauses(3, false).collect::<Vec<_>>(), [Duration::ZERO; 2]);
    }
}
