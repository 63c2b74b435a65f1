//! What a supervisor hears and says while its job runs, and until nobody needs to
//! be told of its end.

use std::io;
use std::time::Duration;

use fleet_proto::v1;
use fleet_proto::v1::supervisor_order::Order;
use fleet_proto::v1::supervisor_report::Report;
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::ORPHAN_DEADLINE;
use super::frame::{self, Frames};
use crate::clock::{Boottime, reached};
use crate::job::Control;
use crate::spool::Extent;

/// Orders that wait to be carried out, before who sends them waits.
const INBOX: usize = 16;
/// After an error of the listener.
const PAUSE: Duration = Duration::from_millis(100);

/// Where orders go.
pub(super) struct Orders {
    pub(super) control: watch::Sender<Control>,
    /// Bytes of the log that the coordinator has.
    pub(super) taken: watch::Sender<u64>,
}

impl Orders {
    /// Asking again can only make it harder.
    fn stop(&self, wanted: Control) {
        self.control.send_if_modified(|control| {
            let harder = wanted > *control;
            *control = wanted.max(*control);
            harder
        });
    }
}

/// Serves agents until nothing of the job is left, which is when `ending` ends, and
/// none needs to hear of it; meanwhile there is a `result`.
///
/// # Errors
/// The result could not be kept.
pub(super) async fn serve(
    listener: UnixListener,
    orders: Orders,
    extent: watch::Receiver<Extent>,
    result: watch::Receiver<Option<v1::JobResult>>,
    ending: impl Future<Output = io::Result<()>>,
) -> io::Result<()> {
    let mut deadline = Boottime::now().after(ORPHAN_DEADLINE);
    let mut orphaned = false;
    let (inbox, mut incoming) = mpsc::channel(INBOX);
    let (gone, removed) = watch::channel(false);
    let mut agents = JoinSet::new();
    let mut ending = std::pin::pin!(ending);
    let mut terminate = signal(SignalKind::terminate())?;
    loop {
        let over = result.borrow().is_some();
        let left = !*gone.borrow();
        if !left && agents.is_empty() {
            return Ok(());
        }
        tokio::select! {
            ended = &mut ending, if left => {
                ended?;
                gone.send_replace(true);
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if !is_ours(&stream) => {
                    tracing::warn!("somebody else's process connected to a job's supervisor");
                }
                Ok((stream, _)) => {
                    let said = Said {
                        extent: extent.clone(),
                        result: result.clone(),
                        removed: removed.clone(),
                    };
                    agents.spawn(speak(stream, said, inbox.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "an agent cannot connect to a job's supervisor");
                    tokio::time::sleep(PAUSE).await;
                }
            },
            Some(_ended) = agents.join_next() => {}
            // Ended by it, the supervisor could clean nothing up.
            Some(()) = terminate.recv() => orders.stop(Control::Abort),
            () = reached(deadline), if !orphaned && !over => {
                tracing::warn!("no answer within the orphan deadline: the job is stopped");
                orphaned = true;
                orders.stop(Control::Abort);
            }
            Some(order) = incoming.recv() => match order {
                Order::Assignment(_) => {}
                Order::Stop(stop) => orders.stop(match stop.reason() {
                    v1::StopReason::Canceled => Control::Cancel,
                    v1::StopReason::Forced | v1::StopReason::Stale => Control::Abort,
                    v1::StopReason::Unspecified => Control::Run,
                }),
                Order::Answered(answered) => {
                    let sent = Boottime::from_millis(answered.at_boottime_ms);
                    let wait = Duration::from_millis(answered.orphan_deadline_ms.into());
                    deadline = sent.after(wait);
                }
                Order::LogTaken(log) => {
                    orders.taken.send_if_modified(|taken| {
                        let more = log.bytes > *taken;
                        *taken = log.bytes.max(*taken);
                        more
                    });
                }
                Order::Release(_) if !left => return Ok(()),
                Order::Release(_) => {
                    tracing::warn!("a job that goes on was released: left aside");
                }
            },
        }
    }
}

/// Whether the other side runs as the same user, or as root.
fn is_ours(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream
        .peer_cred()
        .is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
}

/// What there is to tell.
struct Said {
    extent: watch::Receiver<Extent>,
    result: watch::Receiver<Option<v1::JobResult>>,
    removed: watch::Receiver<bool>,
}

/// Speaks with one agent until it is gone.
async fn speak(stream: UnixStream, mut said: Said, inbox: mpsc::Sender<Order>) {
    let (read, mut write) = stream.into_split();
    let mut frames = Frames::new(read);
    said.extent.mark_changed();
    said.result.mark_changed();
    said.removed.mark_changed();
    let (mut growing, mut running, mut left) = (true, true, true);
    loop {
        let report = tokio::select! {
            order = frames.next::<v1::SupervisorOrder>() => {
                let Ok(Some(order)) = order else { return };
                let Some(order) = order.order else { continue };
                if inbox.send(order).await.is_err() {
                    return;
                }
                continue;
            }
            changed = said.extent.changed(), if growing => {
                growing = changed.is_ok();
                let extent = *said.extent.borrow_and_update();
                Report::Log(v1::LogSize { bytes: extent.size, closed: extent.closed })
            }
            Ok(()) = said.result.changed(), if running => {
                let Some(result) = said.result.borrow_and_update().clone() else { continue };
                running = false;
                // All of the log is told of before the end is.
                let extent = *said.extent.borrow_and_update();
                let log = v1::LogSize { bytes: extent.size, closed: true };
                if write.write_all(&report(Report::Log(log))).await.is_err() {
                    return;
                }
                Report::Finished(result)
            }
            // The result comes first.
            Ok(()) = said.removed.changed(), if left && !running => {
                left = !*said.removed.borrow_and_update();
                if left {
                    continue;
                }
                Report::Removed(v1::Removed {})
            }
        };
        if write.write_all(&self::report(report)).await.is_err() {
            return;
        }
    }
}

fn report(report: Report) -> Vec<u8> {
    frame::encode(&v1::SupervisorReport {
        report: Some(report),
    })
}
