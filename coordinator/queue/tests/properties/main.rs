//! Laws that hold whatever is said to the queue, in whatever order.

mod laws;
mod plan;
mod world;

use proptest::prelude::*;

use world::{Op, World, op};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

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
