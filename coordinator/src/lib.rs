//! The coordinator: takes plans in, keeps the queue, leases jobs to agents and
//! records what became of them.

mod watch;

pub use watch::{Event, JobEvent};
