//! Laws that hold whatever is said to the queue, in whatever order.

mod laws;
mod op;
mod plan;
mod twin;
mod world;

use proptest::prelude::*;

use op::{Op, op};
use world::World;

/// How many cases are tried: `PROPTEST_CASES`, else 400.
fn cases() -> u32 {
    let asked = std::env::var("PROPTEST_CASES").ok();
    asked.and_then(|cases| cases.parse().ok()).unwrap_or(400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn laws_hold_and_every_job_ends_once_faults_stop(
        pipelines in prop::collection::vec(plan::pipeline(), 1..4),
        ops in prop::collection::vec(op(), 0..120),
    ) {
        let mut world = World::new(pipelines);
        world.apply(Op::Create(0));
        for op in ops {
            world.apply(op);
        }
        world.heal();
        world.assert_all_ended();
        world.assert_replay_is_equal();
    }
}
