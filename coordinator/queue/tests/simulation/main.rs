//! A whole fleet in one thread: the queue, agents with clocks and networks of
//! their own, and everything that goes wrong between them.
//!
//! Each seed is one history. A failure prints its seed; `one_history` runs it
//! alone.

mod agent;
mod fleet;
mod random;
mod witness;
mod workload;

use fleet::Fleet;

const SEEDS: u64 = 300;

fn run(seed: u64) -> witness::Witness {
    let print_seed = PrintSeed(seed);
    let mut fleet = Fleet::new(seed);
    fleet.run_with_faults();
    fleet.heal();
    fleet.check_every_job_ends_exactly_once();
    std::mem::forget(print_seed);
    fleet.witness
}

/// Names the seed of a history that failed.
struct PrintSeed(u64);

impl Drop for PrintSeed {
    fn drop(&mut self) {
        eprintln!("simulation failed with seed {}", self.0);
    }
}

#[test]
fn every_job_ends_exactly_once_and_attempts_never_overlap() {
    let mut seen = witness::Witness::default();
    for seed in 0..SEEDS {
        seen.add(&run(seed));
    }
    seen.assert_that_faults_mattered();
}

/// To look at a history that failed: put its seed here.
#[test]
fn one_history() {
    run(0x51f3);
}

#[test]
fn same_seed_is_the_same_history() {
    assert_eq!(run(7).history(), run(7).history());
}
