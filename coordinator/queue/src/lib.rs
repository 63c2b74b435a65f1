//! The queue: what is to run, in which order, where, and what becomes of it.
//!
//! One pure, deterministic state machine: [`Queue::step`] takes the time and an
//! [`Input`] and returns the [`Effect`]s that are to be carried out once the
//! transition is durable. It never reads a clock, draws a random number or does
//! I/O, and keeps everything that could show in an order in ordered collections:
//! the same inputs give the same effects. What is to outlive the process is taken
//! after each step ([`Queue::take_changes`]) and makes a queue again that goes on
//! as the first would have ([`Queue::restore`]).
//!
//! - `status`: the state of a set of jobs (stage, pipeline, what a job waits for).
//! - `readiness`: whether a job may start, given the state of what it waits for.
//! - `pipeline`: the jobs of one pipeline and the counts that make both cheap;
//!   `progress`: what of a job changes; `pipelines`: all of them.
//! - `retry`: whether a failed attempt is tried again by itself.
//! - `resource`: who holds a resource group and who waits for it.
//! - `queue::downstream`: jobs that start other pipelines, and follow them.
//! - `agents`, `leases`: who is there, and what each may run.
//! - `record`, `tracked`: what is kept, and how no change of it can be missed.
//! - `scheduler`: the next job and the agent that gets it.
//! - `queue`: the machine that ties them together, one file per kind of input.
//! - `explain`: why a job is where it is, answered by the code above.

mod agents;
mod effect;
mod input;
mod leases;
mod pipeline;
mod pipelines;
mod progress;
mod queue;
mod readiness;
mod record;
mod resource;
mod retry;
mod scheduler;
mod status;
mod timer;
mod tracked;
mod view;

pub use effect::{Effect, Rejected, StopReason};
pub use input::{
    Bridge, CancelMode, Config, Input, NewJob, NewPipeline, OnNewCommit, Scheduling, Upstream,
};
pub use queue::{Corrupt, Queue};
pub use record::{Change, Record};
pub use view::{
    AgentStatus, AgentView, Explanation, JobView, LeaseView, Obstacle, PipelineView, Why,
};
