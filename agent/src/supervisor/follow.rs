//! The agent's side: one supervisor, from its start or its finding to its end.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use fleet_model::Outcome;
use fleet_proto::v1;
use fleet_proto::v1::supervisor_order::Order;
use fleet_proto::v1::supervisor_report::Report;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::Child;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::folder::Folder;
use super::frame::{self, Frames};
use super::run::broken;
use crate::executor::{self, Mark};
use crate::job::{Control, Finished};
use crate::source::remove_tree;
use crate::spool::{Extent, LOG};

/// Between two looks at a supervisor that does not listen (yet).
const FIRST_LOOK: Duration = Duration::from_millis(2);
const LAST_LOOK: Duration = Duration::from_millis(200);
const KILL_AGAIN: Duration = Duration::from_secs(30);

/// Both ends of what the agent and one supervisor have to do with each other.
pub(crate) struct Follow {
    pub(crate) folder: Folder,
    /// Where its containers are, if it may have any.
    pub(crate) docker: Option<crate::Docker>,
    pub(crate) control: watch::Receiver<Control>,
    /// Nobody needs the job's result, or somebody has it: nothing of it is kept
    /// once the job is over.
    pub(crate) forget: CancellationToken,
    /// Bytes of the log that the coordinator has.
    pub(crate) taken: watch::Receiver<u64>,
    /// The coordinator's last answer; none yet.
    pub(crate) answered: watch::Receiver<Option<v1::Answered>>,
    pub(crate) extent: watch::Sender<Extent>,
    pub(crate) started: watch::Sender<bool>,
    pub(crate) finished: watch::Sender<Option<Finished>>,
    /// Set when nothing of the job is left either.
    pub(crate) removed: watch::Sender<bool>,
}

/// Follows the supervisor of a lease: `start`ed by this agent, or found. Returns
/// when its job is over, the lease is forgotten, and its folder is gone.
pub(crate) async fn follow(
    mut lease: Follow,
    starting: Option<impl Future<Output = io::Result<Child>>>,
) {
    let mut child = None;
    if let Some(starting) = starting {
        match starting.await {
            Ok(mut started) => {
                heard(&mut started).await;
                child = Some(started);
            }
            Err(error) => {
                let why = format!("start the job's supervisor: {error}");
                tracing::error!(folder = %lease.folder.path().display(), "{why}");
                lease.end(broken(&why));
            }
        }
    }
    if child.is_some() || lease.finished.borrow().is_none() {
        lease.attend(&mut child).await;
    }
    lease.removed.send_replace(true);
    lease.forget.cancelled().await;
    if let Err(error) = std::fs::remove_dir_all(lease.folder.path())
        && error.kind() != io::ErrorKind::NotFound
    {
        let folder = lease.folder.path().display();
        tracing::warn!(%folder, %error, "the folder of a lease cannot be removed");
    }
}

/// Returns when a supervisor listens, or will not.
async fn heard(child: &mut Child) {
    if let Some(mut stdout) = child.stdout.take() {
        // Its end says as much as what it says.
        let _said = stdout.read_u8().await;
    }
}

impl Follow {
    /// Returns when the supervisor is gone and the job's end is known.
    async fn attend(&mut self, child: &mut Option<Child>) {
        let mut pause = FIRST_LOOK;
        loop {
            if let Ok(stream) = self.folder.connect() {
                self.started.send_replace(true);
                self.speak(stream).await;
                pause = FIRST_LOOK;
            }
            // The lock is kept: nobody else is to take the lease up.
            let gone = match child {
                Some(child) => matches!(child.try_wait(), Ok(Some(_))),
                None => true,
            };
            if gone && let Some(_locked) = self.folder.lock().ok().flatten() {
                return self.settle().await;
            }
            if gone && !self.folder.path().exists() {
                return self.end(broken("the folder of the job's lease was removed"));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LAST_LOOK);
        }
    }

    /// Speaks with the supervisor until it is gone.
    async fn speak(&mut self, stream: UnixStream) {
        let (read, mut write) = stream.into_split();
        let mut frames = Frames::new(read);
        self.control.mark_changed();
        self.taken.mark_changed();
        self.answered.mark_changed();
        let mut released = false;
        loop {
            let all_over = *self.removed.borrow();
            let order = tokio::select! {
                report = frames.next::<v1::SupervisorReport>() => {
                    let Ok(Some(report)) = report else { return };
                    self.take(report);
                    continue;
                }
                () = self.forget.cancelled(), if all_over && !released => {
                    released = true;
                    Order::Release(v1::Release {})
                }
                Ok(()) = self.control.changed() => {
                    let reason = match *self.control.borrow_and_update() {
                        Control::Run => continue,
                        Control::Cancel => v1::StopReason::Canceled,
                        Control::Abort => v1::StopReason::Forced,
                    };
                    Order::Stop(v1::Stop { fence: 0, reason: reason.into() })
                }
                Ok(()) = self.taken.changed() => {
                    let bytes = *self.taken.borrow_and_update();
                    Order::LogTaken(v1::LogTaken { bytes })
                }
                Ok(()) = self.answered.changed() => {
                    let Some(answered) = *self.answered.borrow_and_update() else { continue };
                    Order::Answered(answered)
                }
            };
            if write.write_all(&self::order(order)).await.is_err() {
                return;
            }
        }
    }

    fn take(&self, report: v1::SupervisorReport) {
        match report.report {
            Some(Report::Log(log)) => {
                self.extent.send_replace(Extent {
                    size: log.bytes,
                    closed: log.closed,
                });
            }
            Some(Report::Finished(result)) => self.end(finished(&result)),
            Some(Report::Removed(_)) => {
                self.removed.send_replace(true);
            }
            None => {}
        }
    }

    /// The supervisor is gone: what it left says how the job ended, and what may be
    /// left of that is removed.
    async fn settle(&self) {
        if *self.removed.borrow() {
            return;
        }
        let folder = self.folder.path().display();
        let result = self.folder.result().unwrap_or_else(|error| {
            tracing::error!(%folder, %error, "the result of a job cannot be read");
            None
        });
        if let Some(result) = &result
            && self.finished.borrow().is_none()
        {
            self.started.send_replace(true);
            self.close();
            self.end(finished(result));
        }
        let over = self.finished.borrow().is_some();
        let record = match self.folder.record() {
            Ok(Some(record)) => record,
            _ if over => return,
            Ok(None) => return self.end(broken("the job's supervisor did not begin")),
            Err(error) => {
                // It was written before the job began: that may have done anything.
                tracing::error!(%folder, %error, "something of a job may be left");
                self.started.send_replace(true);
                self.close();
                return self.end(broken(
                    "the job's supervisor died, and what it wrote down is damaged",
                ));
            }
        };
        if !over {
            tracing::error!(%folder, "the job's supervisor died");
            self.started.send_replace(true);
        }
        self.remove(&record).await;
        if !over {
            self.close();
            self.end(broken("the job's supervisor died"));
        }
    }

    /// Removes what a dead supervisor did not.
    async fn remove(&self, record: &v1::LeaseRecord) {
        let folder = self.folder.path().display();
        match record.mark.parse::<Mark>() {
            Ok(mark) => {
                // While something of the job is left its folders are not free.
                while let Err(error) = mark.kill().await {
                    tracing::error!(%folder, %error, "something of a job is left");
                    tokio::time::sleep(KILL_AGAIN).await;
                }
                self.remove_containers(&mark).await;
            }
            Err(error) => tracing::error!(%folder, %error, "something of a job may be left"),
        }
        remove_secrets(record);
    }

    /// An engine that is not there for long has nothing that runs: what it holds then
    /// is found by a later sweep.
    async fn remove_containers(&self, mark: &Mark) {
        const TRIES: u32 = 10;
        let Some(docker) = &self.docker else { return };
        for tried in 1..=TRIES {
            let Err(error) = executor::remove_left(docker, mark).await else {
                return;
            };
            let folder = self.folder.path().display();
            tracing::error!(%folder, %error, "something of a job is left");
            if tried < TRIES {
                tokio::time::sleep(KILL_AGAIN).await;
            }
        }
    }

    /// What is in the log's file is all of it.
    fn close(&self) {
        let size = std::fs::metadata(self.folder.path().join(LOG)).map_or(0, |file| file.size());
        self.extent.send_replace(Extent { size, closed: true });
    }

    fn end(&self, finished: Finished) {
        self.extent.send_modify(|extent| extent.closed = true);
        self.finished.send_replace(Some(finished));
    }
}

/// Removes the files of a job that could not do so itself. Nothing of it runs any
/// more.
pub(super) fn remove_secrets(record: &v1::LeaseRecord) {
    let folder = Path::new(OsStr::from_bytes(&record.temporary_dir));
    if !folder.is_absolute() {
        return;
    }
    if let Err(error) = remove_tree(folder, &|| true) {
        let folder = folder.display();
        tracing::error!(%folder, %error, "a job's file variables and logins may be left");
    }
}

fn finished(result: &v1::JobResult) -> Finished {
    match Outcome::try_from(result) {
        Ok(outcome) => Finished {
            outcome,
            message: result.message.clone(),
        },
        Err(error) => broken(&format!("read the job's result: {error}")),
    }
}

pub(super) fn order(order: Order) -> Vec<u8> {
    frame::encode(&v1::SupervisorOrder { order: Some(order) })
}
