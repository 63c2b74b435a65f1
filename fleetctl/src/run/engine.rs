//! A whole fleet in one process: a coordinator, one agent, and the wire between
//! them, which is the same as between machines but for the network.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use fleet_agent::{Docker, Settings as AgentSettings, Shell};
use fleet_coordinator::{
    CancelMode, Coordinator, Event, PlanChild, Request, Settings as CoordinatorSettings,
};
use fleet_model::{AgentName, JobId, JobState, PipelineId};
use hyper_util::rt::TokioIo;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint, Server};

use super::outlet::{Failed, Outlet};
use super::workspace::AGENT;
use crate::view::Told;

/// Bytes under way in one direction of the connection.
const PIPE_BYTES: usize = 256 * 1024;

/// What is to run, and where.
pub(super) struct Setup {
    /// The pipeline.
    pub(super) request: Request,
    /// The pipeline's number; its jobs' numbers follow from it.
    pub(super) pipeline: PipelineId,
    /// Jobs that run at once.
    pub(super) slots: u32,
    /// Where jobs have their project folders.
    pub(super) builds_dir: PathBuf,
    /// This run's own folder: logs, artifacts, the agent's state.
    pub(super) run_dir: PathBuf,
    /// The shell scripts run in.
    pub(super) shell: Shell,
    /// How jobs with an image run in containers; none: in the shell as well.
    pub(super) docker: Option<Docker>,
    /// Plans the child pipelines of trigger jobs.
    pub(super) plan_child: PlanChild,
    /// What planning them has to say to people.
    pub(super) notes: mpsc::UnboundedReceiver<String>,
    /// How often [`Told::Tick`] is told; none: never.
    pub(super) tick: Option<Duration>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    /// The pipeline's last state.
    pub(super) status: JobState,
    /// Whether somebody interrupted it.
    pub(super) interrupted: bool,
    /// The jobs that failed; none where the view was given up.
    pub(super) failed: Option<Failed>,
}

/// Runs a pipeline to its end. When it returns, nothing of it is left running.
///
/// The first SIGINT, SIGTERM or SIGHUP cancels the jobs as a person would, the second
/// stops them at once.
///
/// # Errors
/// The coordinator or the agent cannot start; nothing was run.
pub(super) async fn run(mut setup: Setup, mut outlet: Outlet) -> anyhow::Result<Ended> {
    let mut interrupts = Interrupts::listen()?;
    let settings = CoordinatorSettings {
        first_pipeline: setup.pipeline,
        first_job: JobId(setup.pipeline.0.saturating_mul(1000).saturating_add(1)),
        ..CoordinatorSettings::local(setup.run_dir.clone())
    };
    let coordinator = Coordinator::start_with(settings, setup.plan_child.clone());
    let stop = CancellationToken::new();
    let channel = connect(&coordinator, stop.clone()).await?;
    let mut agent = tokio::spawn(fleet_agent::run(
        agent_settings(&setup),
        channel,
        stop.clone(),
    ));
    let pipeline = setup.request.clone();
    let (created, mut watch) = coordinator.create_pipeline(pipeline).await?;
    let id = created.pipeline;
    outlet.tell(Told::Created(created));

    let mut ended = Ended {
        status: JobState::Created,
        interrupted: false,
        failed: None,
    };
    let mut tick = tokio::time::interval(setup.tick.unwrap_or(Duration::from_secs(3600)));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // What trigger jobs started, and how far it is.
    let mut downstream: BTreeMap<PipelineId, JobState> = BTreeMap::new();
    // No job of a local run waits for a person, so the end of all is the end.
    while !ended.status.is_completed() || downstream.values().any(|it| !it.is_completed()) {
        tokio::select! {
            // A view that does not keep up holds up logs, and nothing else.
            () = outlet.pass_on(), if !outlet.is_empty() => {}
            event = watch.next(), if outlet.is_empty() => {
                let Some(event) = event else { break };
                match &event {
                    Event::Pipeline(status) => ended.status = *status,
                    Event::Downstream(started) => {
                        downstream.insert(started.created.pipeline, JobState::Created);
                    }
                    Event::DownstreamStatus(id, status) => {
                        downstream.insert(*id, *status);
                    }
                    Event::Job(_) | Event::Log { .. } => {}
                }
                outlet.tell(Told::Event(event));
            }
            mode = interrupts.next() => {
                ended.interrupted = true;
                outlet.tell(Told::Interrupted(mode));
                if mode == CancelMode::Forced {
                    outlet.hurry();
                }
                for id in std::iter::once(&id).chain(downstream.keys()) {
                    // Refused only when all jobs have ended; the watch says so.
                    let _ = coordinator.cancel_pipeline(*id, mode).await;
                }
            }
            // Nobody would run the jobs: it ends by itself only where it cannot work.
            failed = &mut agent => {
                failed.context("run the agent")??;
                anyhow::bail!("the agent ended before the pipeline");
            }
            Some(note) = setup.notes.recv(), if outlet.is_empty() => {
                outlet.tell(Told::Note(note));
            }
            _ = tick.tick(), if setup.tick.is_some() && outlet.is_empty() => {
                outlet.tell(Told::Tick);
            }
        }
    }
    stop.cancel();
    agent.await??;
    // All is done: one interrupt is enough to end the waiting for a held terminal.
    tokio::select! {
        failed = outlet.close() => ended.failed = failed,
        _ = interrupts.next() => {}
    }
    drop(watch);
    coordinator.shut_down().await;
    Ok(ended)
}

fn agent_settings(setup: &Setup) -> AgentSettings {
    AgentSettings {
        name: AgentName("local".to_owned()),
        slots: setup.slots,
        tags: local_tags(setup),
        run_untagged: true,
        builds_dir: setup.builds_dir.clone(),
        state_dir: setup.run_dir.join(AGENT),
        shell: setup.shell.clone(),
        docker: setup.docker.clone(),
        graceful_kill: Duration::from_secs(30),
        output_limit: 100 * 1024 * 1024,
        log: fleet_agent::Log::default(),
    }
}

/// There is one agent here, so it offers whatever the pipeline asks for.
fn local_tags(setup: &Setup) -> Vec<String> {
    let mut tags: Vec<String> = setup
        .request
        .plan
        .jobs
        .iter()
        .flat_map(|job| job.tags.iter().cloned())
        .collect();
    tags.sort();
    tags.dedup();
    tags
}

/// Serves the coordinator on one end of a pipe and gives the other end's channel.
async fn connect(coordinator: &Coordinator, stop: CancellationToken) -> anyhow::Result<Channel> {
    let (client, server) = tokio::io::duplex(PIPE_BYTES);
    let service = coordinator.agent_service();
    // One connection and no end: a server whose listener ends says goodbye.
    let incoming = tokio_stream::once(Ok::<_, io::Error>(server)).chain(tokio_stream::pending());
    tokio::spawn(async move {
        let served = Server::builder()
            .add_service(service)
            .serve_with_incoming_shutdown(incoming, stop.cancelled_owned())
            .await;
        if let Err(error) = served {
            tracing::warn!(%error, "the in-process connection broke");
        }
    });
    let mut client = Some(TokioIo::new(client));
    // The address is never looked up: the connector has the connection already.
    let endpoint = Endpoint::from_static("http://in-process.invalid");
    let channel = endpoint
        .connect_with_connector(tower::service_fn(move |_| {
            let client = client
                .take()
                .ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected));
            std::future::ready(client)
        }))
        .await?;
    Ok(channel)
}

/// SIGINT, SIGTERM and SIGHUP, counted.
struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
    /// The terminal went away; none where that is to be survived (`nohup`).
    hang_up: Option<Signal>,
    seen: u32,
}

impl Interrupts {
    fn listen() -> io::Result<Interrupts> {
        Ok(Interrupts {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: if ignores_hang_up() {
                None
            } else {
                Some(signal(SignalKind::hangup())?)
            },
            seen: 0,
        })
    }

    /// How hard the next signal wants the jobs stopped.
    async fn next(&mut self) -> CancelMode {
        let hang_up = async {
            match &mut self.hang_up {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = hang_up => {}
        }
        self.seen += 1;
        if self.seen == 1 {
            CancelMode::Graceful
        } else {
            CancelMode::Forced
        }
    }
}

/// Whether whoever started this process had it ignore SIGHUP.
fn ignores_hang_up() -> bool {
    const SIGHUP: u64 = 1;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask & (1 << (SIGHUP - 1)) != 0)
}

#[cfg(test)]
mod tests {
    use fleet_coordinator::About;
    use fleet_model::{AutoCancel, Plan, ProjectId, Source};

    use super::*;
    use crate::run::select::tests::job;

    #[tokio::test]
    async fn agent_that_cannot_work_ends_the_run() {
        let dir = tempfile::tempdir().unwrap();
        let (view, _told) = tokio::sync::mpsc::channel(1);
        let (_end, ended) = tokio::sync::oneshot::channel();
        // Its state folder cannot be made.
        std::fs::write(dir.path().join("agent"), "").unwrap();
        let setup = Setup {
            request: Request {
                project: ProjectId(1),
                project_path: "local/x".to_owned(),
                protected: false,
                plan: Plan {
                    name: None,
                    stages: vec!["test".to_owned()],
                    jobs: vec![job("a".to_owned(), 0)],
                    auto_cancel: AutoCancel::default(),
                    predefined: Vec::new(),
                    user: Vec::new(),
                },
                source: Source::Folder {
                    path: dir.path().display().to_string(),
                },
                settings: Vec::new(),
                about: About::default(),
                upstream: None,
            },
            pipeline: PipelineId(1),
            slots: 1,
            builds_dir: dir.path().join("builds"),
            run_dir: dir.path().to_owned(),
            shell: Shell {
                program: PathBuf::from("/bin/sh"),
                login: false,
            },
            docker: None,
            plan_child: std::sync::Arc::new(|_| Ok(None)),
            notes: tokio::sync::mpsc::unbounded_channel().1,
            tick: None,
        };
        let error = run(setup, Outlet::new(view, ended)).await.unwrap_err();
        assert!(format!("{error:#}").contains("use the state folder"));
    }
}
