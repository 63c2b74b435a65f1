//! Which jobs have ended for certain when another starts.

use std::collections::BTreeSet;

use fleet_model::Scheduling;

/// Steps from job to job, of all questions together; behind them the answer is no.
const MOST_STEPS: usize = 2_000_000;

/// What each job waits for.
pub(super) struct Order<'a> {
    jobs: Vec<(usize, &'a Scheduling)>,
    steps: usize,
}

/// The jobs that one job runs after.
pub(super) struct Before {
    /// All jobs of the stages before this one.
    stage: usize,
    /// And these.
    jobs: BTreeSet<usize>,
}

impl<'a> Order<'a> {
    /// Of jobs with their stages; needs are indexes into them.
    pub(super) fn new(jobs: impl IntoIterator<Item = (usize, &'a Scheduling)>) -> Order<'a> {
        Order {
            jobs: jobs.into_iter().collect(),
            steps: 0,
        }
    }

    /// What job `index` runs after.
    pub(super) fn before(&mut self, index: usize) -> Before {
        let mut before = Before {
            stage: 0,
            jobs: BTreeSet::new(),
        };
        let mut open = vec![index];
        while let Some((stage, scheduling)) = open.pop().and_then(|at| self.jobs.get(at)) {
            match scheduling {
                Scheduling::Stage => before.stage = before.stage.max(*stage),
                Scheduling::Dag(needs) => {
                    self.steps += needs.len();
                    if self.steps > MOST_STEPS {
                        break;
                    }
                    open.extend(needs.iter().filter(|need| before.jobs.insert(**need)));
                }
            }
        }
        before
    }

    /// Whether job `index` is among them.
    pub(super) fn is_in(&self, before: &Before, index: usize) -> bool {
        before.jobs.contains(&index)
            || self
                .jobs
                .get(index)
                .is_some_and(|(stage, _)| *stage < before.stage)
    }
}
