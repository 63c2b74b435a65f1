//! The leases this agent holds, each with its running job.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use fleet_model::{FailureReason, Fence, JobSpec, Outcome, ProjectId};
use fleet_proto::v1;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::transport::Channel;

use super::bulk::GrpcBulk;
use super::spool::{self, Reader};
use crate::Settings;
use crate::job::{self, Control, Finished, Job};

/// All leases, by fence. They outlive the stream they came over.
pub(super) struct Held {
    settings: Arc<Settings>,
    channel: Channel,
    leases: BTreeMap<Fence, Lease>,
    /// Leases that are no longer this agent's, until their jobs are really over:
    /// nobody else may use their folders before.
    retired: Vec<Lease>,
    jobs: JoinSet<()>,
}

/// One lease.
pub(super) struct Lease {
    /// Reads its log.
    pub(super) spool: Reader,
    /// Log bytes the coordinator has.
    pub(super) acknowledged: u64,
    /// Set once the job is over and nothing of it is left.
    pub(super) finished: watch::Receiver<Option<Finished>>,
    control: watch::Sender<Control>,
    project: ProjectId,
    slot: u32,
    project_slot: u32,
}

impl Lease {
    /// A job that broke inside the agent never says that it is over, but its
    /// task is gone.
    fn is_running(&self) -> bool {
        self.finished.borrow().is_none() && self.finished.has_changed().is_ok()
    }
}

impl Held {
    pub(super) fn new(settings: Arc<Settings>, channel: Channel) -> Held {
        Held {
            settings,
            channel,
            leases: BTreeMap::new(),
            retired: Vec::new(),
            jobs: JoinSet::new(),
        }
    }

    /// The first message of a stream: who this is and what it holds.
    pub(super) fn hello(&self) -> v1::Hello {
        let settings = &self.settings;
        v1::Hello {
            agent: settings.name.0.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            boot_id: boot_id(),
            slots: settings.slots,
            tags: settings.tags.clone(),
            run_untagged: settings.run_untagged,
            platform: crate::job::platform(),
            executors: vec!["shell".to_owned()],
            held: self
                .leases
                .keys()
                .map(|fence| v1::HeldLease { fence: fence.0 })
                .collect(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }

    /// All leases, in order of their fences.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Fence, &Lease)> {
        self.leases.iter().map(|(fence, lease)| (*fence, lease))
    }

    pub(super) fn get_mut(&mut self, fence: Fence) -> Option<&mut Lease> {
        self.leases.get_mut(&fence)
    }

    /// Starts a leased job.
    ///
    /// # Errors
    /// Its spool cannot be made; nothing was started.
    pub(super) fn start(&mut self, fence: Fence, spec: JobSpec) -> io::Result<&Lease> {
        // Jobs that ended leave their handles here until the next one comes.
        while self.jobs.try_join_next().is_some() {}
        self.retired.retain(Lease::is_running);
        let (mut writer, spool) = spool::create(
            &self
                .settings
                .state_dir
                .join("leases")
                .join(fence.to_string()),
        )?;
        let (control, controlled) = watch::channel(Control::Run);
        let (done, finished) = watch::channel(None);
        let lease = Lease {
            spool,
            acknowledged: 0,
            finished,
            control,
            project: spec.project,
            slot: lowest_free(self.running().map(|lease| lease.slot)),
            project_slot: lowest_free(
                self.running()
                    .filter(|lease| lease.project == spec.project)
                    .map(|lease| lease.project_slot),
            ),
        };
        let job = Job {
            spec,
            fence,
            settings: Arc::clone(&self.settings),
            slot: lease.slot,
            project_slot: lease.project_slot,
        };
        let bulk = GrpcBulk::new(self.channel.clone(), fence);
        self.jobs.spawn(async move {
            let finished =
                job::run(job, bulk, move |data: &[u8]| writer.write(data), controlled).await;
            done.send_replace(Some(finished));
        });
        self.leases.insert(fence, lease);
        Ok(&self.leases[&fence])
    }

    fn running(&self) -> impl Iterator<Item = &Lease> {
        self.leases.values().chain(&self.retired)
    }

    /// Asks a job to stop; asking again can only make it harder.
    pub(super) fn control(&self, fence: Fence, wanted: Control) {
        if let Some(lease) = self.leases.get(&fence) {
            lease.control.send_if_modified(|control| {
                let harder = wanted > *control;
                if harder {
                    *control = wanted;
                }
                harder
            });
        }
    }

    /// Stops all jobs at once.
    pub(super) fn abort_all(&self) {
        for fence in self.leases.keys() {
            self.control(*fence, Control::Abort);
        }
    }

    /// Returns when no job runs any more.
    pub(super) async fn wait_all(&mut self) {
        while self.jobs.join_next().await.is_some() {}
    }

    /// Drops a lease whose result the coordinator has, or does not want; if its
    /// job still runs it keeps its slot number until it is over.
    pub(super) fn forget(&mut self, fence: Fence) {
        let Some(lease) = self.leases.remove(&fence) else {
            return;
        };
        if let Err(error) = lease.spool.remove() {
            tracing::warn!(%fence, %error, "a spool could not be removed");
        }
        if lease.is_running() {
            self.retired.push(lease);
        }
    }
}

/// How a job ended, for the coordinator; waits for it.
///
/// A job whose task is gone without a word broke inside the agent.
pub(super) async fn finished(mut job: watch::Receiver<Option<Finished>>) -> Finished {
    match job.wait_for(Option::is_some).await {
        Ok(finished) => finished.clone().unwrap_or_else(broken),
        Err(_) => broken(),
    }
}

fn broken() -> Finished {
    Finished {
        outcome: Outcome::Failed {
            reason: FailureReason::RUNNER_SYSTEM_FAILURE,
            exit_code: 0,
        },
        message: "the agent itself failed while it ran the job".to_owned(),
    }
}

/// The smallest number none of the others has (`CI_CONCURRENT_ID`, as
/// gitlab-runner gives it).
fn lowest_free(taken: impl Iterator<Item = u32>) -> u32 {
    let taken: BTreeSet<u32> = taken.collect();
    (0..)
        .find(|number| !taken.contains(number))
        .unwrap_or(u32::MAX)
}

/// Changes with every boot; empty where the kernel does not tell.
fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|id| id.trim().to_owned())
        .unwrap_or_default()
}
