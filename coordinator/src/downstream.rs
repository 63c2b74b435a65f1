//! Pipelines that trigger jobs start: from an order of the queue's owner to a request,
//! or to why there is none.
//!
//! Making a plan reads repositories and takes a while, so it is not the owner's work.
//! An order that is lost with the process is given again by the next one.

mod archive;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fleet_queue::Rejected;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::task::TaskTracker;

use crate::core::{Handle, HandleError, Refusal, WeakHandle};
use crate::pipeline::{Asker, Upstream};
use crate::source::Sources;
use crate::{About, Request, failpoint};

/// Orders that are worked on at once.
const AT_ONCE: usize = 8;
/// Between two tries where there is no room for new work.
const NO_ROOM: Duration = Duration::from_secs(5);
/// Of a file from artifacts; GitLab's.
const LARGEST_FILE: u64 = 5 << 20;

/// One pipeline that is to be made.
pub(crate) struct Order {
    pub(crate) upstream: Upstream,
    /// The trigger job's name.
    pub(crate) bridge: String,
    /// On whose behalf.
    pub(crate) asker: Asker,
    /// Whether they played or retried the job; else they started its pipeline.
    pub(crate) asked: bool,
    /// Of the pipeline it comes from.
    pub(crate) about: About,
    /// The other pipeline's own.
    pub(crate) variables: Vec<fleet_model::Variable>,
    pub(crate) target: Target,
}

/// Where the configuration is.
pub(crate) enum Target {
    Project {
        path: String,
        branch: Option<String>,
        inputs: Option<String>,
    },
    Child {
        configuration: String,
        files: Vec<ChildFile>,
    },
}

/// A file of an earlier job's artifacts.
pub(crate) struct ChildFile {
    pub(crate) included_as: String,
    pub(crate) path: String,
    pub(crate) job: String,
    pub(crate) archive: PathBuf,
}

/// A child pipeline that is to be planned by somebody who knows the repository.
pub struct Child {
    /// The trigger job.
    pub upstream: Upstream,
    /// Its name.
    pub bridge: String,
    /// The child's own variables.
    pub variables: Vec<fleet_model::Variable>,
    /// Its configuration.
    pub configuration: String,
    /// Files that this includes and the repository does not have, by their paths.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// Plans child pipelines; none: nothing of it is to run here, which is no mistake.
///
/// The error says why there can be no such pipeline. It may block.
pub type PlanChild = Arc<dyn Fn(Child) -> Result<Option<Request>, String> + Send + Sync>;

/// Who makes requests of orders.
#[derive(Clone)]
pub(crate) enum Planner {
    /// Whoever runs this process for themselves.
    Own(PlanChild),
    Server(Sources),
}

/// Why an order is not carried out.
pub(crate) enum Failed {
    /// It never can be.
    Refused(Refusal),
    /// It may be later.
    NoRoom,
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Failed {
        Failed::Refused(refusal)
    }
}

/// Works on orders until nobody can give any.
pub(crate) async fn serve(
    mut orders: mpsc::UnboundedReceiver<Order>,
    core: WeakHandle,
    planner: Planner,
    tasks: TaskTracker,
) {
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    while let Some(order) = orders.recv().await {
        let Ok(turn) = Arc::clone(&turns).acquire_owned().await else {
            return;
        };
        let (core, planner) = (core.clone(), planner.clone());
        tasks.spawn(async move {
            carry_out(order, &core, &planner).await;
            drop(turn);
        });
    }
}

async fn carry_out(order: Order, core: &WeakHandle, planner: &Planner) {
    let upstream = order.upstream;
    loop {
        let made = match planner {
            Planner::Own(plan) => own(&order, plan).await,
            Planner::Server(sources) => sources.downstream(&order).await.map(Some),
        };
        failpoint::reach("downstream.planned");
        // Its owner ends without waiting for this.
        let Some(core) = core.upgrade() else { return };
        let refusal = match made {
            Ok(Some(request)) => {
                let request = Request {
                    upstream: Some(upstream),
                    ..request
                };
                match create(&core, request).await {
                    Ok(()) => return,
                    Err(Failed::Refused(refusal)) => Some(refusal),
                    Err(Failed::NoRoom) => {
                        drop(core);
                        tokio::time::sleep(NO_ROOM).await;
                        continue;
                    }
                }
            }
            Ok(None) => None,
            Err(Failed::Refused(refusal)) => Some(refusal),
            Err(Failed::NoRoom) => {
                drop(core);
                tokio::time::sleep(NO_ROOM).await;
                continue;
            }
        };
        // Rejected where the job was canceled meanwhile: nobody waits.
        let _canceled = core.no_downstream(upstream, refusal).await;
        return;
    }
}

async fn create(core: &Handle, request: Request) -> Result<(), Failed> {
    let made = core.create_with(request, crate::store::Batch::default());
    match made.await {
        Ok(_) => {
            failpoint::reach("downstream.created");
            Ok(())
        }
        // There is one already, or nobody waits for it any more.
        Err(HandleError::Rejected(Rejected::NotStarting(..))) => Ok(()),
        Err(HandleError::Rejected(why)) => Err(creation_failed(why.to_string()).into()),
        Err(HandleError::NoRoom(_)) => Err(Failed::NoRoom),
        Err(HandleError::Gone) => Ok(()),
    }
}

pub(crate) fn creation_failed(words: impl Into<String>) -> Refusal {
    Refusal::new("downstream_pipeline_creation_failed", words)
}

async fn own(order: &Order, plan: &PlanChild) -> Result<Option<Request>, Failed> {
    let Target::Child {
        configuration,
        files,
    } = &order.target
    else {
        let words = "pipelines of other projects are not started here";
        return Err(Refusal::new("downstream_bridge_project_not_found", words).into());
    };
    let child = Child {
        upstream: order.upstream,
        bridge: order.bridge.clone(),
        variables: order.variables.clone(),
        configuration: configuration.clone(),
        files: read(files).await?,
    };
    let plan = Arc::clone(plan);
    let planned = tokio::task::spawn_blocking(move || plan(child)).await;
    planned
        .map_err(|error| creation_failed(error.to_string()))?
        .map_err(|why| creation_failed(why).into())
}

/// The contents of files of artifacts, by the paths under which they are included.
pub(crate) async fn read(files: &[ChildFile]) -> Result<BTreeMap<String, Vec<u8>>, Refusal> {
    let mut read = BTreeMap::new();
    for file in files {
        let (archive, path) = (file.archive.clone(), file.path.clone());
        let work = move || archive::file(&archive, &path, LARGEST_FILE);
        let content = tokio::task::spawn_blocking(work).await;
        let content = content
            .map_err(|error| error.to_string())
            .and_then(|content| content.map_err(|error| error.to_string()));
        let content = content.map_err(|why| {
            creation_failed(format!(
                "{} of the artifacts of job {}: {why}",
                file.path, file.job
            ))
        })?;
        read.insert(file.included_as.clone(), content);
    }
    Ok(read)
}
