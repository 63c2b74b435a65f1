//! The stream to the coordinator: leases in, logs and results out.
//!
//! What the agent holds outlives a stream: jobs go on while the coordinator is
//! away, their logs wait in spools, and at the next connect the agent says what
//! it holds and is told what to keep. State, not events, so lost messages heal.

mod backoff;
mod held;
mod session;
mod sweep;

use std::sync::Arc;
use std::time::Duration;

use fleet_proto::refusal;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tracing::{error, info, warn};

use crate::Settings;
use crate::clock::Boottime;
use crate::supervisor::{self, ORPHAN_DEADLINE, Starter};
use backoff::Backoff;
use held::{Held, Way};

/// Between tries where the coordinator refuses this agent.
const REFUSED: Duration = Duration::from_secs(30);
/// How long jobs that were stopped have to be reported.
const REPORTED_WITHIN: Duration = Duration::from_secs(30);
/// How long the coordinator has to hear that nothing is held any more.
const HEARD_WITHIN: Duration = Duration::from_secs(2);

/// How many jobs an agent takes before it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Jobs {
    /// As many as come.
    All,
    /// One.
    One,
}

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

/// Runs an agent over `channel` until `stop` is cancelled, its jobs in this
/// process.
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
    make_state_folder(&settings)?;
    let settings = Arc::new(settings);
    let mut held = Held::new(Arc::clone(&settings), Way::Inside(channel.clone()));
    let (_same, channel) = watch::channel(channel);
    let (_unchanged, settings) = watch::channel(settings);
    let orders = Orders {
        channel,
        settings,
        jobs: Jobs::All,
        drain: CancellationToken::new(),
        stop,
        patience: Duration::ZERO,
    };
    serve(&mut held, orders).await;
    held.abort_all();
    held.wait_all().await;
    Ok(())
}

/// Removes what the jobs of an agent that ran them inside its process ([`run`]) have
/// left where that was killed: processes, containers on the engine of `docker`, files
/// of variables and logins. Returns how many jobs had left something.
///
/// # Errors
/// In words, what could not be removed.
pub async fn remove_left(
    state_dir: &std::path::Path,
    docker: Option<&crate::Docker>,
) -> Result<usize, String> {
    supervisor::remove_left(&state_dir.join("leases"), docker).await
}

/// Runs an agent whose jobs have processes of their own and survive it: those of
/// an earlier one are taken up.
///
/// When `drain` is cancelled it takes no more jobs and returns once it has none;
/// when `stop` is, jobs are stopped, and it returns once that was reported, or
/// could not be for half a minute. Changed `settings` count from the next job on.
///
/// # Errors
/// [`Error::StateFolder`], before anything is done.
pub(crate) async fn run_supervised(
    settings: watch::Receiver<Arc<Settings>>,
    jobs: Jobs,
    server: String,
    channel: watch::Receiver<Channel>,
    drain: CancellationToken,
    stop: CancellationToken,
) -> Result<(), Error> {
    let first = settings.borrow().clone();
    make_state_folder(&first)?;
    let path = first.state_dir.join("leases");
    let mut held = Held::new(first, Way::Supervised(Starter::new(&server)));
    held.adopt()
        .map_err(|source| Error::StateFolder { path, source })?;
    let sweeping = sweep::run(settings.clone());
    let orders = Orders {
        channel,
        settings,
        jobs,
        drain,
        stop,
        patience: REPORTED_WITHIN,
    };
    tokio::select! {
        () = serve(&mut held, orders) => {}
        never = sweeping => return never,
    }
    if held.is_done() {
        sweep::leave(held.settings()).await;
    }
    Ok(())
}

fn make_state_folder(settings: &Settings) -> Result<(), Error> {
    std::fs::create_dir_all(&settings.state_dir).map_err(|source| Error::StateFolder {
        path: settings.state_dir.clone(),
        source,
    })
}

/// What the agent is told from outside.
struct Orders {
    /// The newest channel.
    channel: watch::Receiver<Channel>,
    /// The newest settings; the state folder stays what it was.
    settings: watch::Receiver<Arc<Settings>>,
    jobs: Jobs,
    drain: CancellationToken,
    stop: CancellationToken,
    /// How long it goes on after `stop`.
    patience: Duration,
}

async fn serve(held: &mut Held, mut orders: Orders) {
    let mut backoff = Backoff::new();
    let mut contact = Contact {
        answered: Boottime::now(),
        orphan_deadline: ORPHAN_DEADLINE,
        trouble: None,
    };
    let (stop, patience) = (orders.stop.clone(), orders.patience);
    let given_up = async {
        stop.cancelled().await;
        if !patience.is_zero() {
            sleep(patience).await;
        }
    };
    let mut given_up = std::pin::pin!(given_up);
    loop {
        let opened = Boottime::now();
        let ended = tokio::select! {
            biased;
            // All that a session says is said again by the next; here is none.
            () = &mut given_up => return,
            ended = session::run(held, &mut contact, &mut orders) => ended,
        };
        if held.draining && held.is_done() {
            if ended.is_ok() {
                // A lease may have been on its way when no more were wanted: the
                // next hello says that it is not held, so that it goes to another
                // agent now and not after the orphan deadline.
                let last = session::run(held, &mut contact, &mut orders);
                let _not_there = tokio::time::timeout(HEARD_WITHIN, last).await;
            }
            return;
        }
        let mut refused = false;
        match ended {
            Ok(()) => {
                info!("the stream to the coordinator ended; it is opened again");
                backoff.reset();
            }
            Err(status) => {
                refused = is_refusal(&status);
                if refusal::word(&status) == Some(refusal::AGENT_REVOKED) {
                    held.abort_all();
                }
                contact.trouble(&status, refused);
            }
        }
        if contact.answered > opened.after(backoff::LAST) {
            backoff.reset();
        }
        let wait = if refused { REFUSED } else { backoff.next() };
        tokio::select! {
            () = &mut given_up => return,
            () = wait_to_reconnect(held, &contact, wait, &mut orders) => {}
        }
        if held.draining && held.is_done() {
            return;
        }
    }
}

/// Whether the coordinator will not change its mind by itself.
fn is_refusal(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unauthenticated | Code::PermissionDenied | Code::FailedPrecondition
    )
}

/// When the coordinator last answered, and how long jobs may go on without it.
struct Contact {
    /// When that was sent which it answered.
    answered: Boottime,
    orphan_deadline: Duration,
    /// Why there is no stream, as it was last said.
    trouble: Option<String>,
}

impl Contact {
    fn welcomed(&mut self) {
        info!("connected to the coordinator");
        self.trouble = None;
    }

    /// Says what is wrong, once.
    fn trouble(&mut self, status: &Status, refused: bool) {
        let text = status.message();
        if self.trouble.as_deref() == Some(text) {
            return;
        }
        if refused {
            error!("the coordinator refuses this agent: {text}");
        } else {
            let code = status.code();
            warn!("there is no stream to the coordinator: {text} ({code:?}); it is tried again");
        }
        self.trouble = Some(text.to_owned());
    }
}

/// Waits, and meanwhile stops the jobs once nobody has vouched for their leases
/// for as long as the orphan deadline; supervisors do that by themselves.
async fn wait_to_reconnect(
    held: &mut Held,
    contact: &Contact,
    wait: Duration,
    orders: &mut Orders,
) {
    let until = Instant::now() + wait;
    let orphaned = contact
        .orphan_deadline
        .saturating_sub(contact.answered.elapsed());
    let mut orphans = held.runs_inside() && !held.is_empty() && orphaned < wait;
    let mut stopped = false;
    loop {
        if held.draining && held.is_done() {
            return;
        }
        tokio::select! {
            () = sleep_until(until) => return,
            () = sleep(orphaned), if orphans => {
                orphans = false;
                warn!("no answer within the orphan deadline: all jobs are stopped");
                held.abort_all();
            }
            Ok(()) = orders.channel.changed() => return,
            () = orders.drain.cancelled(), if !held.draining => held.draining = true,
            () = orders.stop.cancelled(), if !stopped => {
                stopped = true;
                held.abort_all();
            }
            () = held.progress() => {}
        }
    }
}

#[cfg(test)]
mod tests;
