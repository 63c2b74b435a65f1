//! The supervisor itself: one job, from its assignment to its result.

use std::ffi::{CString, OsString};
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fleet_model::{AgentName, FailureReason, Fence, JobSpec, Outcome};
use fleet_proto::v1;
use fleet_proto::v1::supervisor_order::Order;
use rustix::fs::Mode;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::docker;
use super::folder::Folder;
use super::frame::Frames;
use super::serve::{Orders, serve};
use crate::bulk::IdentityBulk;
use crate::executor::{self, Mark};
use crate::job::{self, Control, Finished, Job, Remains};
use crate::spool::{self, Writer};
use crate::{Log, Settings, Shell};

/// How long the last of a log may wait for room on the disk.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);
/// Between two looks at a full disk.
const ROOM_AGAIN: Duration = Duration::from_secs(1);

/// Why a supervisor cannot work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Nobody said what is to be run.
    #[error("read the assignment from standard input: {0}")]
    Assignment(String),
    /// Another process is the lease's supervisor, or the lease is gone.
    #[error("the lease in {0} is another process', or gone")]
    Taken(PathBuf),
    /// The folder of the lease cannot be used.
    #[error("use the lease's folder {path}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Runs the job that standard input assigns, and returns when the job is over, its
/// result is on disk, and no agent needs to be told of it any more. Where nothing is
/// assigned - the agent has ended - there is nothing to do.
///
/// # Errors
/// [`Error`]; then no job was run, or its result could not be kept.
pub(crate) async fn run(start_log: impl FnOnce(&Log)) -> Result<(), Error> {
    name("fleet-spare");
    // Nothing else is to be done before it is there.
    let mut frames = Vec::new();
    std::io::stdin()
        .lock()
        .read_to_end(&mut frames)
        .map_err(|error| Error::Assignment(error.to_string()))?;
    if frames.is_empty() {
        return Ok(());
    }
    let assignment = assignment(&frames).await?;
    drop(frames);
    let workplace = assignment.workplace.unwrap_or_default();
    let server = workplace.server.clone();
    let settings = Arc::new(settings(workplace));
    start_log(&settings.log);
    let folder = Folder::new(path(&assignment.lease_dir));
    let failed = |source| Error::Folder {
        path: folder.path().to_owned(),
        source,
    };
    let _locked = folder
        .lock()
        .map_err(failed)?
        .ok_or_else(|| Error::Taken(folder.path().to_owned()))?;
    let mark = Mark::new();
    let lease = assignment.lease.unwrap_or_default();
    name(&format!("fleet-job-{}", lease.fence));
    let spec = fleet_proto::convert::required(lease.job, "job")
        .and_then(JobSpec::try_from)
        .map_err(|error| Error::Assignment(error.to_string()))?;
    let fence = Fence(lease.fence);
    let job = Job {
        spec,
        fence,
        settings: Arc::clone(&settings),
        slot: assignment.slot,
        project_slot: assignment.project_slot,
        mark: mark.clone(),
    };
    let record = record_of(&job);
    if settings.docker.is_some() {
        // A job's containers may run as any user, who is to write to what is made here
        // for them; what is the agent's own lies in folders that are its alone.
        rustix::process::umask(Mode::empty());
    }
    let file = spool::create(folder.path()).map_err(failed)?;
    folder.write_record(&record).map_err(failed)?;
    let listener = folder.listen().map_err(failed)?;
    // The agent that started this waits for it; it may be gone.
    let _nobody_hears = std::io::stdout().write_all(b".");
    let _nobody_hears = std::io::stdout().flush();

    let (control, controlled) = watch::channel(Control::Run);
    let (taken, log_taken) = watch::channel(0);
    let writer = Writer::new(Arc::new(file), Some(log_taken));
    let extent = writer.grown();
    let bulk = IdentityBulk::new(server, settings.state_dir.clone(), fence);
    let docker = settings.docker.clone();
    let over = tokio::spawn(carry_out(job, bulk, writer, controlled));
    let (done, result) = watch::channel(None);
    let job = Ending {
        mark,
        docker,
        folder: folder.clone(),
        fence,
        extent: extent.clone(),
    };
    let ending = job.end(over, done);
    let orders = Orders { control, taken };
    serve(listener, orders, extent, result, ending)
        .await
        .map_err(failed)
}

/// What is written down of a job before it begins.
pub(crate) fn record_of(job: &Job) -> v1::LeaseRecord {
    let temporary = job::temporary_folder(job).unwrap_or_default();
    v1::LeaseRecord {
        boot_id: crate::clock::boot_id(),
        project_id: job.spec.project.0,
        slot: job.slot,
        project_slot: job.project_slot,
        mark: job.mark.to_string(),
        temporary_dir: temporary.into_os_string().into_vec().into(),
    }
}

/// Names this process for those who look at the host's.
fn name(name: &str) {
    if let Ok(name) = CString::new(name) {
        let _not_shown = rustix::thread::set_name(&name);
    }
}

async fn assignment(from: &[u8]) -> Result<v1::Assignment, Error> {
    let mut frames = Frames::new(from);
    let first: Option<v1::SupervisorOrder> = frames
        .next()
        .await
        .map_err(|error| Error::Assignment(error.to_string()))?;
    match first.and_then(|first| first.order) {
        Some(Order::Assignment(assignment)) => Ok(assignment),
        _ => Err(Error::Assignment("there is none".to_owned())),
    }
}

async fn carry_out(
    job: Job,
    bulk: IdentityBulk,
    mut writer: Writer,
    mut control: watch::Receiver<Control>,
) -> (Finished, Remains) {
    let (finished, remains) = job::run(job, bulk, &mut writer, control.clone()).await;
    let give_up = async {
        tokio::select! {
            () = tokio::time::sleep(SETTLED_WITHIN) => {}
            Ok(_) = control.wait_for(|control| *control == Control::Abort) => {}
        }
    };
    writer.settle(give_up).await;
    if let Err(error) = writer.sync() {
        tracing::error!(%error, "a job's log may not survive this host");
    }
    (finished, remains)
}

/// A job on its way to its end.
struct Ending {
    mark: Mark,
    docker: Option<crate::Docker>,
    folder: Folder,
    fence: Fence,
    extent: watch::Receiver<spool::Extent>,
}

impl Ending {
    /// Waits until the job is over, keeps its result and says it is `done`; returns
    /// when nothing of the job is left.
    async fn end(
        self,
        over: JoinHandle<(Finished, Remains)>,
        done: watch::Sender<Option<v1::JobResult>>,
    ) -> io::Result<()> {
        let (finished, remains) = match over.await {
            Ok((finished, remains)) => (finished, Some(remains)),
            Err(error) => {
                tracing::error!(%error, "the supervisor itself failed while it ran the job");
                self.remove().await;
                let why = "the agent itself failed while it ran the job";
                (broken(why), None)
            }
        };
        let result = self.keep(finished).await?;
        done.send_replace(Some(result));
        if let Some(remains) = remains {
            remains.remove().await;
        }
        Ok(())
    }

    /// Removes what a job left that broke inside the agent.
    async fn remove(&self) {
        if let Err(error) = self.mark.kill().await {
            tracing::error!(%error, "something of a job is left");
        }
        if let Some(docker) = &self.docker
            && let Err(error) = executor::remove_left(docker, &self.mark).await
        {
            tracing::error!(%error, "something of a job is left");
        }
    }

    /// Returns once the result is on the disk.
    async fn keep(&self, finished: Finished) -> io::Result<v1::JobResult> {
        let result = v1::JobResult {
            fence: self.fence.0,
            message: finished.message,
            log_size: self.extent.borrow().size,
            ..Default::default()
        };
        let result = result.with_outcome(&finished.outcome);
        let mut said = false;
        // Without its result the job would count as lost, and a full disk passes.
        while let Err(error) = self.folder.write_result(&result) {
            if !spool::is_full(&error) {
                return Err(error);
            }
            if !said {
                tracing::warn!(%error, "the result of a job waits for room on the disk");
                said = true;
            }
            tokio::time::sleep(ROOM_AGAIN).await;
        }
        Ok(result)
    }
}

/// The end of a job that the agent could not bring to an end of its own.
pub(crate) fn broken(why: &str) -> Finished {
    Finished {
        outcome: Outcome::Failed {
            reason: FailureReason::RUNNER_SYSTEM_FAILURE,
            exit_code: 0,
        },
        message: why.to_owned(),
    }
}

/// The host as `settings` have it, for a supervisor.
pub(super) fn workplace(settings: &Settings, server: &str) -> v1::Workplace {
    let bytes = |path: &Path| path.as_os_str().as_bytes().to_vec();
    v1::Workplace {
        agent: settings.name.0.clone(),
        builds_dir: bytes(&settings.builds_dir).into(),
        state_dir: bytes(&settings.state_dir).into(),
        shell: bytes(&settings.shell.program).into(),
        login_shell: settings.shell.login,
        graceful_kill_ms: u64::try_from(settings.graceful_kill.as_millis()).unwrap_or(u64::MAX),
        output_limit_bytes: settings.output_limit,
        server: server.to_owned(),
        log_filter: settings.log.filter.clone(),
        log_json: settings.log.json,
        docker: settings.docker.as_ref().map(docker::to_wire),
        slots: settings.slots,
    }
}

fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes.to_vec()))
}

fn settings(workplace: v1::Workplace) -> Settings {
    Settings {
        name: AgentName(workplace.agent),
        slots: workplace.slots,
        tags: Vec::new(),
        run_untagged: true,
        builds_dir: path(&workplace.builds_dir),
        state_dir: path(&workplace.state_dir),
        shell: Shell {
            program: path(&workplace.shell),
            login: workplace.login_shell,
        },
        docker: workplace.docker.map(docker::from_wire),
        graceful_kill: Duration::from_millis(workplace.graceful_kill_ms),
        output_limit: workplace.output_limit_bytes,
        log: Log {
            filter: workplace.log_filter,
            json: workplace.log_json,
        },
    }
}
