//! `fleet-agent drain`: the agent of this host takes no more jobs.

use std::path::PathBuf;

use clap::Args;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::failure::Failure;
use super::settings::STATE_DIR;
use crate::supervisor::Folder;

/// What `drain` is told.
#[derive(Args)]
pub(super) struct Drain {
    /// Folder of the agent's identity, its settings, and the jobs it holds
    #[arg(long, env = "FLEET_STATE_DIR", value_name = "FOLDER", default_value = STATE_DIR)]
    state_dir: PathBuf,
}

pub(super) fn drain(wish: &Drain) -> Result<(), Failure> {
    let state = Folder::new(&wish.state_dir);
    let none = || {
        let state = wish.state_dir.display();
        Failure::failed(format!("no agent runs with the state folder {state}"))
    };
    let failed = |error: rustix::io::Errno| Failure::failed(format!("signal the agent: {error}"));
    let owner = state.owner().ok_or_else(none)?;
    let id = i32::try_from(owner).ok().and_then(Pid::from_raw);
    let process = pidfd_open(id.ok_or_else(none)?, PidfdFlags::empty());
    let process = process.map_err(|error| match error {
        rustix::io::Errno::SRCH => none(),
        error => failed(error),
    })?;
    // Held by the descriptor, the number is the agent's if it still has the lock.
    if !state.is_locked().map_err(Failure::failed)? || state.owner() != Some(owner) {
        return Err(none());
    }
    pidfd_send_signal(&process, Signal::USR1).map_err(failed)?;
    super::print("The agent takes no more jobs and ends after its last one.\n")
}
