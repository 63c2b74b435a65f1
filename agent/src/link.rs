//! The stream to the coordinator: leases in, logs and results out.
//!
//! What the agent holds outlives a stream: jobs go on while the coordinator is
//! away, their logs wait in spools, and at the next connect the agent says what
//! it holds and is told what to keep. State, not events, so lost messages heal.

mod backoff;
mod bulk;
mod held;
mod session;
mod spool;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tracing::{info, warn};

use crate::Settings;
use backoff::Backoff;
use held::Held;

/// Used until the coordinator has said its own.
const ORPHAN_DEADLINE: Duration = Duration::from_secs(600);

/// Why an agent cannot work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The agent's own folder cannot be used.
    #[error("use the state folder {path}")]
    StateFolder {
        /// The folder.
        path: std::path::PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// Runs an agent over `channel` until `stop` is cancelled.
///
/// When stopped it takes no more jobs, stops those it runs at once, and returns
/// when nothing of them is left. A lost stream is opened again, with growing,
/// spread-out waits.
///
/// # Errors
/// [`Error::StateFolder`], before anything is done.
pub async fn run(
    settings: Settings,
    channel: Channel,
    stop: CancellationToken,
) -> Result<(), Error> {
    std::fs::create_dir_all(&settings.state_dir).map_err(|source| Error::StateFolder {
        path: settings.state_dir.clone(),
        source,
    })?;
    let mut held = Held::new(Arc::new(settings), channel.clone());
    let mut backoff = Backoff::new();
    let mut contact = Contact {
        answered: Instant::now(),
        orphan_deadline: ORPHAN_DEADLINE,
    };
    while !stop.is_cancelled() {
        let opened = Instant::now();
        let ended = tokio::select! {
            ended = session::run(channel.clone(), &mut held, &mut contact) => ended,
            // All that a session says is said again by the next; here is none.
            () = stop.cancelled() => break,
        };
        match ended {
            Ok(()) => {
                info!("the coordinator closed the stream");
                backoff.reset();
            }
            Err(status) => warn!(%status, "the stream to the coordinator broke"),
        }
        if contact.answered.saturating_duration_since(opened) > backoff::LAST {
            backoff.reset();
        }
        wait_to_reconnect(&held, &contact, backoff.next(), &stop).await;
    }
    held.abort_all();
    held.wait_all().await;
    Ok(())
}

/// When the coordinator last answered, and how long jobs may go on without it.
struct Contact {
    answered: Instant,
    orphan_deadline: Duration,
}

/// Waits, and meanwhile stops the jobs once nobody has vouched for their leases
/// for as long as the orphan deadline.
async fn wait_to_reconnect(
    held: &Held,
    contact: &Contact,
    wait: Duration,
    stop: &CancellationToken,
) {
    let until = Instant::now() + wait;
    let orphaned = contact
        .orphan_deadline
        .saturating_sub(contact.answered.elapsed());
    tokio::select! {
        () = tokio::time::sleep(wait) => return,
        () = stop.cancelled() => return,
        () = tokio::time::sleep(orphaned), if !held.is_empty() && orphaned < wait => {
            warn!("no answer within the orphan deadline: all jobs are stopped");
            held.abort_all();
        }
    }
    tokio::select! {
        () = tokio::time::sleep_until(until.into()) => {}
        () = stop.cancelled() => {}
    }
}

#[cfg(test)]
mod tests;
