//! Whether a job may start, given the state of all that it waits for.

use fleet_model::{JobState, When};

use crate::status::Set;

/// What is to become of a job that is still to be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// What it waits for has not ended.
    Wait,
    /// It starts, or waits for its person or timer.
    Go,
    /// It never will.
    Skip,
}

/// Decides on a job whose predecessors are, all together, `previous`.
///
/// `set` says whether those are earlier stages or needed jobs: a skipped stage
/// holds nothing back, a needed job that was skipped does.
pub(crate) fn verdict(when: When, previous: JobState, set: Set) -> Verdict {
    let goes = match (previous, when) {
        (JobState::Success, When::OnFailure) => false,
        (JobState::Success, _) => true,
        (JobState::Skipped, When::Always) => true,
        (JobState::Skipped, When::OnFailure) => false,
        (JobState::Skipped, _) => set == Set::Stages,
        (JobState::Failed, When::OnFailure | When::Always) => true,
        (JobState::Failed | JobState::Canceled, _) => false,
        _ => return Verdict::Wait,
    };
    if goes { Verdict::Go } else { Verdict::Skip }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn job_starts_only_after_the_results_its_when_names() {
        use JobState::{Canceled, Failed, Manual, Running, Skipped, Success};
        let delayed = When::Delayed(Duration::from_secs(1));
        for (when, stages, needs) in [
            (When::OnSuccess, &[Success, Skipped][..], &[Success][..]),
            (When::Manual, &[Success, Skipped], &[Success]),
            (delayed, &[Success, Skipped], &[Success]),
            (When::OnFailure, &[Failed], &[Failed]),
            (
                When::Always,
                &[Success, Failed, Skipped],
                &[Success, Failed, Skipped],
            ),
        ] {
            for (set, goes) in [(Set::Stages, stages), (Set::Needs, needs)] {
                for previous in [Success, Failed, Canceled, Skipped] {
                    let expected = if goes.contains(&previous) {
                        Verdict::Go
                    } else {
                        Verdict::Skip
                    };
                    assert_eq!(
                        verdict(when, previous, set),
                        expected,
                        "{when:?} {previous} {set:?}"
                    );
                }
                for previous in [Manual, Running] {
                    assert_eq!(verdict(when, previous, set), Verdict::Wait);
                }
            }
        }
    }
}
