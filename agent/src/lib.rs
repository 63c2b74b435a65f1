//! The agent: runs leased jobs on a build host.
//!
//! [`program`] is the daemon, whose jobs have processes of their own (`supervisor`)
//! and survive it; [`run`] is an agent inside another program. Both hold the stream
//! to the coordinator (`link`) and run a job for each lease: [`job`] decides the
//! stages of one job and carries them out, with the [`executor`] for what the user
//! wrote, [`source`] for its files, [`artifact`] for what goes in and out, and
//! [`log`](mod@log) for all it prints, masked. It knows nothing of pipelines: a
//! lease holds all that a job needs.

pub mod artifact;
pub mod bulk;
mod clock;
mod date;
pub mod duration;
pub mod executor;
pub mod expand;
pub mod glob;
mod identity;
pub mod job;
mod link;
pub mod log;
pub mod program;
pub mod registry;
pub mod script;
mod settings;
pub mod source;
mod spool;
mod supervisor;
#[cfg(test)]
mod vectors;

pub use link::{Error, remove_left, run};
pub use settings::{Docker, Log, Settings, Shell};
