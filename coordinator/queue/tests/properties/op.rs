//! What can happen.

use std::time::Duration;

use fleet_model::{FailureReason, Outcome};
use fleet_queue::{CancelMode, OnNewCommit};
use proptest::prelude::*;

use crate::world::AGENTS;

/// Something that happens; numbers pick among what there is.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Create(usize),
    Connect(Hello),
    Disconnect(usize),
    Heartbeat(usize),
    /// A fence ever given, whether another agent reports it.
    Start(usize, bool),
    /// The same, and how it ended.
    Finish(usize, bool, Outcome),
    Release(usize, bool),
    /// Work as it should: say that the oldest lease has begun, or say nothing;
    /// end it, and free its slot.
    Work(bool, Outcome),
    CancelJob(usize, CancelMode),
    CancelPipeline(usize, CancelMode),
    Supersede(usize, OnNewCommit),
    RetryJob(usize),
    RetryPipeline(usize),
    Play(usize),
    /// Says that a job may start, or that it must not, whether asked or not.
    Answer(usize, bool),
    Drain(usize, bool),
    OwnDrain(usize),
    ConfirmDead(usize),
    Revoke(usize),
    ForgetAgent(usize),
    Forget(usize),
    /// The coordinator dies, and comes back some time later with what it kept.
    Restart(Duration),
    /// Time passes in silence.
    Wait(Duration),
    /// Time passes, and whoever is connected is heard of.
    Idle(Duration),
}

/// What an agent says of itself.
#[derive(Clone, Debug)]
pub(crate) struct Hello {
    pub(crate) agent: usize,
    pub(crate) boot: u8,
    pub(crate) slots: u32,
    pub(crate) tagged: bool,
    pub(crate) draining: bool,
    /// Which of its leases it lost, and which of the others have begun: by bits.
    pub(crate) lost: u8,
    pub(crate) begun: u8,
    /// A lease it dreams of.
    pub(crate) dream: Option<usize>,
}

fn hello() -> impl Strategy<Value = Hello> {
    (
        (0..AGENTS.len(), 0..8_u8, 0..4_u32, any::<bool>()),
        prop::bool::weighted(0.1),
        (any::<u8>(), any::<u8>()),
        prop::option::weighted(0.1, 0..64_usize),
    )
        .prop_map(
            |((agent, boot, slots, tagged), draining, (lost, begun), dream)| Hello {
                agent,
                boot: u8::from(boot == 0),
                slots,
                tagged,
                draining,
                // Most agents come back as they were.
                lost: if lost < 128 { 0 } else { lost },
                begun,
                dream,
            },
        )
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    let agent = || 0..AGENTS.len();
    let any_index = || 0..64_usize;
    let mode = || prop_oneof![Just(CancelMode::Graceful), Just(CancelMode::Forced)];
    prop_oneof![
        3 => (0..3_usize).prop_map(Op::Create),
        6 => hello().prop_map(Op::Connect),
        2 => agent().prop_map(Op::Disconnect),
        4 => agent().prop_map(Op::Heartbeat),
        6 => (any_index(), prop::bool::weighted(0.1)).prop_map(|(f, o)| Op::Start(f, o)),
        6 => (any_index(), prop::bool::weighted(0.1), outcome())
            .prop_map(|(fence, foreign, outcome)| Op::Finish(fence, foreign, outcome)),
        4 => (any_index(), prop::bool::weighted(0.1)).prop_map(|(f, o)| Op::Release(f, o)),
        10 => (any::<bool>(), outcome()).prop_map(|(says, outcome)| Op::Work(says, outcome)),
        2 => (any_index(), mode()).prop_map(|(job, mode)| Op::CancelJob(job, mode)),
        1 => (0..3_usize, mode()).prop_map(|(p, mode)| Op::CancelPipeline(p, mode)),
        1 => (0..3_usize, prop_oneof![Just(OnNewCommit::Conservative), Just(OnNewCommit::Interruptible)])
            .prop_map(|(p, mode)| Op::Supersede(p, mode)),
        3 => any_index().prop_map(Op::RetryJob),
        1 => (0..3_usize).prop_map(Op::RetryPipeline),
        3 => any_index().prop_map(Op::Play),
        6 => (any_index(), prop::bool::weighted(0.8)).prop_map(|(j, may)| Op::Answer(j, may)),
        1 => (agent(), any::<bool>()).prop_map(|(a, on)| Op::Drain(a, on)),
        1 => agent().prop_map(Op::OwnDrain),
        1 => agent().prop_map(Op::ConfirmDead),
        1 => agent().prop_map(Op::Revoke),
        2 => agent().prop_map(Op::ForgetAgent),
        1 => (0..3_usize).prop_map(Op::Forget),
        2 => prop_oneof![Just(0), 0..40_u64, 600..9000_u64]
            .prop_map(|s| Op::Restart(Duration::from_secs(s))),
        5 => prop_oneof![0..40_u64, 600..700_u64, 3000..90_000_u64]
            .prop_map(|s| Op::Wait(Duration::from_secs(s))),
        5 => prop_oneof![0..40_u64, 600..1200_u64, 3000..90_000_u64]
            .prop_map(|s| Op::Idle(Duration::from_secs(s))),
    ]
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        3 => Just(Outcome::Success),
        1 => Just(Outcome::Canceled),
        1 => Just(failed("script_failure", 1)),
        1 => Just(failed("script_failure", 7)),
        1 => Just(failed("runner_system_failure", 0)),
    ]
}

fn failed(reason: &str, exit_code: i32) -> Outcome {
    Outcome::Failed {
        reason: FailureReason::new(reason),
        exit_code,
    }
}
