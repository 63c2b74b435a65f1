//! `fleet-agent run`.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fleet_model::AgentName;
use fleet_proto::v1;
use fleet_proto::v1::agent_service_client::AgentServiceClient;
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tracing::{error, info, warn};

use super::Filter;
use super::failure::Failure;
use super::settings::{LogFormat, Run};
use crate::identity::{Identity, Secret};
use crate::link::{self, Jobs};
use crate::supervisor::Folder;
use crate::{Log, Settings, Shell};

/// The clock is looked at this often: a host may have slept.
const LOOK: Duration = Duration::from_secs(60);
/// How long a renewal may take.
const RENEWED_WITHIN: Duration = Duration::from_secs(60);

/// How settings are read once more.
pub(super) struct Again<R> {
    pub(super) read: R,
    pub(super) filter: Filter,
}

pub(super) async fn run<R>(run: Run, jobs: Jobs, again: Again<R>) -> Result<(), Failure>
where
    R: Fn() -> Result<Run, Failure>,
{
    let state = std::path::absolute(&run.state_dir).map_err(Failure::failed)?;
    let identity = Identity::read(&state).map_err(Failure::failed)?;
    let server = run.server.clone().ok_or_else(|| {
        Failure::Usage("the coordinator's address is needed: --server URL".to_owned())
    })?;
    // Before there is a lock by which somebody could find whom to signal.
    let (drain, stop) = (CancellationToken::new(), CancellationToken::new());
    let signals = signals(drain.clone(), stop.clone()).map_err(Failure::failed)?;
    let _one_at_a_time = Folder::new(&state)
        .lock()
        .map_err(|error| Failure::failed(format!("use {}: {error}", state.display())))?
        .ok_or_else(|| {
            Failure::failed(format!(
                "another agent runs with the state folder {}",
                state.display()
            ))
        })?;
    let (channels, channel) = watch::channel(identity.channel(&server).map_err(Failure::failed)?);
    let settings = settings(&run, &state, &identity.agent, jobs)?;
    info!(agent = %settings.name, %server, slots = settings.slots, "the agent starts");
    let hangup = signal(SignalKind::hangup()).map_err(Failure::failed)?;
    let (changes, settings) = watch::channel(Arc::new(settings));
    let reading = read_again(hangup, run, jobs, again, &changes);
    let link = link::run_supervised(settings, jobs, server.clone(), channel, drain, stop);
    notify(&[NotifyState::Ready]);
    tokio::select! {
        ended = link => ended.map_err(Failure::failed)?,
        () = signals => {}
        () = reading => {}
        () = renew(identity, &state, &server, channels) => {}
        () = watchdog() => {}
    }
    info!("the agent ends");
    Ok(())
}

/// Reads the settings again whenever it is told to; never returns. What cannot be
/// read changes nothing.
async fn read_again<R>(
    mut hangup: Signal,
    mut run: Run,
    jobs: Jobs,
    again: Again<R>,
    changes: &watch::Sender<Arc<Settings>>,
) where
    R: Fn() -> Result<Run, Failure>,
{
    while hangup.recv().await.is_some() {
        let known = changes.borrow().clone();
        let read = (again.read)().and_then(|new| {
            (again.filter)(&new.log)?;
            let settings = settings(&new, &known.state_dir, &known.name.0, jobs)?;
            Ok((new, settings))
        });
        match read {
            Ok((new, settings)) => {
                if new.is_elsewhere(&run) {
                    warn!(
                        "state folder, server and log format are other ones now: they count \
                         from the agent's next start on"
                    );
                }
                info!(slots = settings.slots, "the settings were read again");
                changes.send_replace(Arc::new(settings));
                run = new;
            }
            Err(failure) => {
                let why = failure.line();
                error!(
                    why,
                    "the settings cannot be read again: they stay as they were"
                );
            }
        }
    }
}

fn settings(run: &Run, state: &Path, agent: &str, jobs: Jobs) -> Result<Settings, Failure> {
    run.containers.check_socket().map_err(Failure::failed)?;
    let builds_dir = run.builds_dir.clone();
    let builds_dir = builds_dir.unwrap_or_else(|| state.join("builds"));
    Ok(Settings {
        name: AgentName(agent.to_owned()),
        slots: if jobs == Jobs::One { 1 } else { run.slots },
        // What it may serve came with its token; the coordinator knows.
        tags: Vec::new(),
        run_untagged: true,
        builds_dir: std::path::absolute(builds_dir).map_err(Failure::failed)?,
        state_dir: state.to_owned(),
        shell: Shell {
            program: run.shell.clone(),
            login: run.login_shell,
        },
        docker: run.containers.docker(),
        graceful_kill: run.graceful_kill,
        output_limit: run.output_limit,
        log: Log {
            filter: run.log.clone(),
            json: run.log_format == LogFormat::Json,
        },
    })
}

/// The first SIGTERM or SIGINT drains, the next stops; SIGUSR1 drains however often
/// it comes. Never returns.
fn signals(
    drain: CancellationToken,
    stop: CancellationToken,
) -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut draining = signal(SignalKind::user_defined1())?;
    Ok(async move {
        loop {
            let again = tokio::select! {
                _ = terminate.recv() => drain.is_cancelled(),
                _ = interrupt.recv() => drain.is_cancelled(),
                _ = draining.recv(), if !drain.is_cancelled() => false,
            };
            if again {
                info!("told to stop once more: the jobs are stopped");
                stop.cancel();
            } else {
                info!("told to stop: no more jobs are taken, the end comes after the last");
                notify(&[NotifyState::Stopping]);
                drain.cancel();
            }
        }
    })
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(%error, "systemd cannot be told of the agent's state");
    }
}

/// Tells systemd that the agent lives, where it wants to know; never returns.
async fn watchdog() {
    let Some(every) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    loop {
        notify(&[NotifyState::Watchdog]);
        sleep(every / 3).await;
    }
}

/// Gets a new certificate whenever half of the life of the present one is over;
/// never returns.
async fn renew(
    mut identity: Identity,
    state: &Path,
    server: &str,
    channels: watch::Sender<Channel>,
) {
    let mut said = String::new();
    loop {
        let leaf = match identity.leaf() {
            Ok(leaf) => leaf,
            Err(error) => {
                error!(%error, "this agent's certificate cannot be read: join this host anew (fleet-agent join --force)");
                return std::future::pending().await;
            }
        };
        let due = identity.half_life(&leaf);
        let mut expired = false;
        loop {
            let now = SystemTime::now();
            if now >= leaf.not_after && !expired {
                expired = true;
                error!(
                    "this agent's certificate has expired: join this host anew \
                     (fleetctl agent join-token, fleet-agent join --force)"
                );
            }
            match due.duration_since(now) {
                Ok(wait) if !wait.is_zero() => {
                    sleep(wait.min(LOOK)).await;
                    continue;
                }
                _ => {}
            }
            let renewed = renewed(&identity, state, server, channels.borrow().clone()).await;
            match renewed {
                Ok((new, channel)) => {
                    info!(
                        generation = new.generation,
                        "this agent has a new certificate"
                    );
                    identity = new;
                    said.clear();
                    channels.send_replace(channel);
                    // Also where certificates are given that have hardly any life.
                    sleep(Duration::from_secs(1)).await;
                    break;
                }
                Err(error) => {
                    let text = error.to_string();
                    if text != said && !expired {
                        warn!("renew this agent's certificate: {text}; it is tried again");
                    }
                    said = text;
                    // A short life leaves little time to try again.
                    let left = leaf.not_after.duration_since(now).unwrap_or(LOOK);
                    sleep((left / 10).clamp(Duration::from_secs(1), LOOK)).await;
                }
            }
        }
    }
}

async fn renewed(
    identity: &Identity,
    state: &Path,
    server: &str,
    channel: Channel,
) -> Result<(Identity, Channel), Box<dyn std::error::Error + Send + Sync>> {
    let key = Identity::next_key(state)?;
    let clock = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let request = v1::RenewRequest {
        csr: key.request()?.into(),
        generation: identity.generation,
        clock_unix_ms: u64::try_from(clock)?,
    };
    let mut client = AgentServiceClient::new(channel);
    let answer = tokio::time::timeout(RENEWED_WITHIN, client.renew(request))
        .await?
        .map_err(|status| status.message().to_owned())?
        .into_inner();
    let new = Identity {
        agent: identity.agent.clone(),
        generation: answer.generation,
        received: SystemTime::now(),
        chain: answer.certificate_chain,
        bundle: answer.trust_bundle,
        key: Secret(key.pem()),
    };
    let channel = new.channel(server)?;
    new.write(state)?;
    Ok((new, channel))
}
