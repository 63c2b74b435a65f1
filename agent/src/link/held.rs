//! The leases this agent holds, each with its running job.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::future::Ready;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use fleet_model::{Fence, JobSpec, ProjectId};
use fleet_proto::v1;
use tokio::process::Child;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use crate::Settings;
use crate::bulk::GrpcBulk;
use crate::clock::boot_id;
use crate::executor::Mark;
use crate::job::{self, Control, Finished, Job};
use crate::spool::{self, Extent, LOG, Reader, Writer};
use crate::supervisor::{self, Folder, Follow, Left, Starter};

/// Where jobs run.
pub(super) enum Way {
    /// In this process, which then must outlive them.
    Inside(Channel),
    /// Each in a process of its own.
    Supervised(Starter),
}

/// All leases, by fence. They outlive the stream they came over.
pub(super) struct Held {
    settings: Arc<Settings>,
    way: Way,
    /// Drawn once for this process.
    instance: String,
    streams: u64,
    /// Whether no more jobs are taken.
    pub(super) draining: bool,
    answered: watch::Sender<Option<v1::Answered>>,
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
    pub(super) acknowledged: watch::Sender<u64>,
    /// Set once the job has begun.
    pub(super) started: watch::Receiver<bool>,
    /// Set once the job is over.
    pub(super) finished: watch::Receiver<Option<Finished>>,
    /// Set once nothing of it is left on the host either.
    pub(super) removed: watch::Receiver<bool>,
    control: watch::Sender<Control>,
    /// Cancelled when nobody needs to hear of the job any more.
    forget: CancellationToken,
    /// None: a job of an earlier agent that nobody knows the place of.
    place: Option<Place>,
}

/// Where a job works.
#[derive(Clone, Copy)]
struct Place {
    project: ProjectId,
    slot: u32,
    project_slot: u32,
}

/// More slots than an agent has, so that no job of an earlier one has such a number.
const UNKNOWN_PLACES: u32 = 1000;

/// The other ends of a lease.
struct Ends {
    control: watch::Receiver<Control>,
    forget: CancellationToken,
    taken: watch::Receiver<u64>,
    started: watch::Sender<bool>,
    finished: watch::Sender<Option<Finished>>,
    removed: watch::Sender<bool>,
}

impl Lease {
    fn new(spool: Reader, place: Option<Place>) -> (Lease, Ends) {
        let (acknowledged, taken) = watch::channel(0);
        let (control, controlled) = watch::channel(Control::Run);
        let (begun, started) = watch::channel(false);
        let (done, finished) = watch::channel(None);
        let (gone, removed) = watch::channel(false);
        let forget = CancellationToken::new();
        let ends = Ends {
            control: controlled,
            forget: forget.clone(),
            taken,
            started: begun,
            finished: done,
            removed: gone,
        };
        let lease = Lease {
            spool,
            acknowledged,
            started,
            finished,
            removed,
            control,
            forget,
            place,
        };
        (lease, ends)
    }

    /// Whether its place on the host is not free. A job that broke inside the agent
    /// never says that nothing is left, but its task is gone.
    fn has_place(&self) -> bool {
        !*self.removed.borrow() && self.removed.has_changed().is_ok()
    }
}

impl Held {
    pub(super) fn new(settings: Arc<Settings>, way: Way) -> Held {
        Held {
            settings,
            way,
            instance: instance(),
            streams: 0,
            draining: false,
            answered: watch::Sender::new(None),
            leases: BTreeMap::new(),
            retired: Vec::new(),
            jobs: JoinSet::new(),
        }
    }

    /// Has other settings for the jobs to come; whether there are more or fewer slots.
    pub(super) fn set(&mut self, settings: Arc<Settings>) -> bool {
        let other = self.settings.slots != settings.slots;
        self.settings = settings;
        other
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Takes up what an earlier agent of this host left.
    ///
    /// # Errors
    /// Its leases cannot be read.
    pub(super) fn adopt(&mut self) -> io::Result<()> {
        let leases = self.settings.state_dir.join("leases");
        std::fs::create_dir_all(&leases)?;
        for left in Left::look(&leases, &boot_id())? {
            let log = File::options()
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .open(left.folder.path().join(LOG))?;
            let extent = watch::Sender::new(Extent::default());
            let spool = Reader::new(Arc::new(log), extent.subscribe());
            let place = left.record.map(|record| Place {
                project: ProjectId(record.project_id),
                slot: record.slot,
                project_slot: record.project_slot,
            });
            let (lease, ends) = Lease::new(spool, place);
            tracing::info!(fence = %left.fence, "a lease of an earlier agent is taken up");
            self.follow(left.folder, ends, extent, None::<Ready<io::Result<Child>>>);
            self.leases.insert(left.fence, lease);
        }
        Ok(())
    }

    /// The first message of a stream: who this is and what it holds.
    pub(super) fn hello(&mut self) -> v1::Hello {
        self.streams += 1;
        let settings = &self.settings;
        let clock = SystemTime::now().duration_since(UNIX_EPOCH);
        let clock = clock.unwrap_or_default().as_millis();
        v1::Hello {
            agent: settings.name.0.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            boot_id: boot_id(),
            slots: settings.slots,
            tags: settings.tags.clone(),
            run_untagged: settings.run_untagged,
            platform: crate::job::platform(),
            executors: vec![settings.executor().to_owned()],
            held: self
                .leases
                .iter()
                .map(|(fence, lease)| v1::HeldLease {
                    fence: fence.0,
                    log_offset: 0,
                    started: *lease.started.borrow(),
                })
                .collect(),
            instance: self.instance.clone(),
            stream: self.streams,
            clock_unix_ms: u64::try_from(clock).unwrap_or(u64::MAX),
            draining: self.draining,
            host: host(),
        }
    }

    /// Whether the jobs run in this process, and end with it.
    pub(super) fn runs_inside(&self) -> bool {
        matches!(self.way, Way::Inside(_))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }

    /// Whether no lease is held and nothing of one is left to do.
    pub(super) fn is_done(&mut self) -> bool {
        while self.jobs.try_join_next().is_some() {}
        self.leases.is_empty() && self.jobs.is_empty()
    }

    /// Returns when something of a lease was done; never where there is none.
    pub(super) async fn progress(&mut self) {
        if self.jobs.join_next().await.is_none() {
            std::future::pending().await
        }
    }

    /// The coordinator answered what was sent at that moment: supervisors may go
    /// on for so long.
    pub(super) fn answered(&self, answered: v1::Answered) {
        self.answered.send_replace(Some(answered));
    }

    /// All leases, in order of their fences.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Fence, &Lease)> {
        self.leases.iter().map(|(fence, lease)| (*fence, lease))
    }

    pub(super) fn get(&self, fence: Fence) -> Option<&Lease> {
        self.leases.get(&fence)
    }

    /// Starts a leased job.
    ///
    /// # Errors
    /// In words; nothing was started.
    pub(super) fn start(&mut self, lease: v1::Lease) -> Result<&Lease, String> {
        // Jobs that ended leave their handles here until the next one comes.
        while self.jobs.try_join_next().is_some() {}
        self.retired.retain(Lease::has_place);
        let fence = Fence(lease.fence);
        let spec = fleet_proto::convert::required(lease.job.clone(), "job")
            .and_then(JobSpec::try_from)
            .map_err(|error| format!("read the job: {error}"))?;
        let folder = self.folder(fence);
        let file =
            spool::create(&folder).map_err(|error| format!("make the log spool: {error}"))?;
        let file = Arc::new(file);
        let place = self.free_place(spec.project);
        let held = match &self.way {
            Way::Inside(channel) => {
                let mut writer = Writer::new(Arc::clone(&file), None);
                let spool = Reader::new(file, writer.grown());
                let (held, ends) = Lease::new(spool, Some(place));
                let job = Job {
                    spec,
                    fence,
                    settings: Arc::clone(&self.settings),
                    slot: place.slot,
                    project_slot: place.project_slot,
                    mark: Mark::new(),
                };
                let bulk = GrpcBulk::new(channel.clone(), fence);
                let folder = Folder::new(folder);
                // For whoever cleans up if this process is killed.
                folder
                    .write_record(&supervisor::record_of(&job))
                    .map_err(|error| format!("write the lease down: {error}"))?;
                self.jobs.spawn(async move {
                    ends.started.send_replace(true);
                    let (finished, remains) = job::run(job, bulk, &mut writer, ends.control).await;
                    drop(writer);
                    ends.finished.send_replace(Some(finished));
                    remains.remove().await;
                    if let Err(error) = folder.remove_record() {
                        tracing::warn!(%error, "the record of an ended lease stays");
                    }
                    ends.removed.send_replace(true);
                });
                held
            }
            Way::Supervised(starter) => {
                let extent = watch::Sender::new(Extent::default());
                let spool = Reader::new(file, extent.subscribe());
                let (held, ends) = Lease::new(spool, Some(place));
                let (settings, starter) = (Arc::clone(&self.settings), starter.clone());
                let folder = Folder::new(folder);
                let own = folder.clone();
                let starting = async move {
                    let slots = (place.slot, place.project_slot);
                    starter.start(&own, lease, slots, &settings).await
                };
                self.follow(folder, ends, extent, Some(starting));
                held
            }
        };
        self.leases.insert(fence, held);
        Ok(&self.leases[&fence])
    }

    fn follow(
        &mut self,
        folder: Folder,
        ends: Ends,
        extent: watch::Sender<Extent>,
        starting: Option<impl Future<Output = io::Result<Child>> + Send + 'static>,
    ) {
        let lease = Follow {
            folder,
            docker: self.settings.docker.clone(),
            control: ends.control,
            forget: ends.forget,
            taken: ends.taken,
            answered: self.answered.subscribe(),
            extent,
            started: ends.started,
            finished: ends.finished,
            removed: ends.removed,
        };
        self.jobs.spawn(supervisor::follow(lease, starting));
    }

    fn folder(&self, fence: Fence) -> PathBuf {
        let leases = self.settings.state_dir.join("leases");
        leases.join(fence.to_string())
    }

    fn running(&self) -> impl Iterator<Item = &Lease> {
        self.leases.values().chain(&self.retired)
    }

    /// The lowest numbers that no job has that is held; of its project and of all.
    fn free_place(&self, project: ProjectId) -> Place {
        let all_known = self.running().all(|lease| lease.place.is_some());
        let first = if all_known { 0 } else { UNKNOWN_PLACES };
        let places = || self.running().filter_map(|lease| lease.place);
        let of_project = places().filter(|place| place.project == project);
        Place {
            project,
            slot: lowest_free(first, places().map(|place| place.slot)),
            project_slot: lowest_free(first, of_project.map(|place| place.project_slot)),
        }
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

    /// Drops a lease whose result the coordinator has, or does not want; while
    /// something of its job is left it keeps its slot number.
    pub(super) fn forget(&mut self, fence: Fence) {
        let Some(lease) = self.leases.remove(&fence) else {
            return;
        };
        lease.forget.cancel();
        if self.runs_inside()
            && let Err(error) = std::fs::remove_dir_all(self.folder(fence))
        {
            tracing::warn!(%fence, %error, "a spool could not be removed");
        }
        if lease.has_place() {
            self.retired.push(lease);
        }
    }
}

/// How a job ended, for the coordinator; waits for it.
///
/// A job whose task is gone without a word broke inside the agent.
pub(super) async fn finished(mut job: watch::Receiver<Option<Finished>>) -> Finished {
    let broken = || supervisor::broken("the agent itself failed while it ran the job");
    match job.wait_for(Option::is_some).await {
        Ok(finished) => finished.clone().unwrap_or_else(broken),
        Err(_) => broken(),
    }
}

/// The smallest number from `first` on that none of the others has
/// (`CI_CONCURRENT_ID`, as gitlab-runner gives it).
fn lowest_free(first: u32, taken: impl Iterator<Item = u32>) -> u32 {
    let taken: BTreeSet<u32> = taken.collect();
    (first..)
        .find(|number| !taken.contains(number))
        .unwrap_or(u32::MAX)
}

/// Tells this process from a copy of it.
fn instance() -> String {
    let mut bytes = [0; 16];
    if let Err(error) = getrandom::fill(&mut bytes) {
        tracing::warn!(%error, "the system gives no randomness");
    }
    format!("{:032x}", u128::from_be_bytes(bytes))
}

/// The host's name; empty where the kernel does not tell.
fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .unwrap_or_default()
}
