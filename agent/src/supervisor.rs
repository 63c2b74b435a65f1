//! A job's own process, which outlives the agent's, and how the two speak.
//!
//! The agent starts one for each lease ([`follow`]) and hands it the assignment;
//! it runs the job ([`run`]) and keeps what becomes of it in the lease's folder. An
//! agent that starts finds those of its predecessor there ([`Left::look`]).

mod docker;
mod folder;
mod follow;
mod frame;
mod left;
mod run;
mod serve;
mod start;

pub(crate) use folder::Folder;
pub(crate) use follow::{Follow, follow};
pub(crate) use left::{Left, alive, remove_left};
pub(crate) use run::{broken, record_of, run};
pub(crate) use start::Starter;

use std::time::Duration;

/// Without an answer of the coordinator for this long, until it has said its own.
pub(crate) const ORPHAN_DEADLINE: Duration = Duration::from_secs(600);
