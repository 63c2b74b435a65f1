//! The wiring: from settings to a coordinator that serves, and to its end.

mod health;
mod people;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fleet_model::{JobId, PipelineId, Timestamp};
use fleet_proto::v1::agent_service_server::AgentServiceServer;
use fleet_tls::server::{Audience, Certificate, Listener};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::Server as GrpcServer;
use tracing::{error, info, warn};

use crate::api::{Api, Setup as ApiSetup};
use crate::audit::Audit;
use crate::blob::Blobs;
use crate::catalog::{Catalog, NewToken, Role};
use crate::core::{Core, Handle, Server};
use crate::downstream::{self, Planner};
use crate::fleet::{Admission, LeaseLogs, Service};
use crate::identity::{self, Identity};
use crate::program::admin;
use crate::registry::{self, Registry, Trust};
use crate::secret::{self, Sealer};
use crate::settings::Serve;
use crate::source::{self, Sources};
use crate::store::{self, Embedded, Journal, Limits, Snapshot, Space, Store as _};
use people::Entrance;

/// How often what is past its time is looked for.
const SWEPT_EVERY: Duration = Duration::from_secs(60);
/// How long open requests have to end.
const ENDS_WITHIN: Duration = Duration::from_secs(10);
/// Between two pings to an agent whose connection is silent.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
const KEEP_ALIVE_ANSWER: Duration = Duration::from_secs(10);

/// Why the coordinator does not serve (any more).
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot make the data folder {}", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Stopped(#[from] store::Failure),
    #[error(transparent)]
    Secret(#[from] secret::Error),
    #[error("the fleet's identity")]
    Identity(#[from] identity::Error),
    #[error("the key of registries' tokens")]
    Registry(#[from] registry::Error),
    #[error("cannot {what}")]
    Start { what: String, source: io::Error },
}

/// Serves until SIGTERM or SIGINT, or until the store stops.
///
/// # Errors
/// It could not begin, or the store stopped.
pub(crate) async fn run(settings: Serve) -> Result<(), Error> {
    fleet_tls::install_provider();
    let mut folder = std::fs::DirBuilder::new();
    let data = &settings.data_dir;
    let made = folder.recursive(true).mode(0o700).create(data);
    made.map_err(|source| Error::Folder {
        path: data.clone(),
        source,
    })?;
    let running = Running::start(&settings).await?;
    let listeners = Listeners::bind(&settings).await?;
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    running.serve(&settings, listeners, &stop, &tasks)?;
    let _not_under_systemd = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    info!(
        people = running.api_setup.external_url,
        agents = running.api.agents_url,
        pin = running.identity.ca_pin(),
        "the coordinator serves"
    );
    let ended = tokio::select! {
        () = asked_to_end() => Ok(()),
        failure = running.journal.failed() => Err(Error::Stopped(failure)),
    };
    let _not_under_systemd = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    info!("the coordinator ends");
    stop.cancel();
    tasks.close();
    if tokio::time::timeout(ENDS_WITHIN, tasks.wait())
        .await
        .is_err()
    {
        warn!("some requests did not end in time");
    }
    if ended.is_ok() {
        let _slow = tokio::time::timeout(ENDS_WITHIN, running.sources.finish()).await;
        // What was answered is durable already; this closes the file well.
        let _full = tokio::time::timeout(ENDS_WITHIN, running.journal.close()).await;
    }
    ended
}

async fn asked_to_end() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        error!("signals cannot be listened for");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// All parts, loaded and at work.
struct Running {
    journal: Journal,
    catalog: Catalog,
    identity: Identity,
    core: Handle,
    logs: LeaseLogs,
    blobs: Blobs,
    audit: Audit,
    sources: Sources,
    api: Api,
    api_setup: ApiSetup,
    registry: Registry,
    certificate: Arc<Certificate>,
}

impl Running {
    async fn start(settings: &Serve) -> Result<Running, Error> {
        let started_at = Timestamp(unix_ms());
        let given = std::env::var("FLEET_SECRET_KEY").ok();
        let sealer = Sealer::load(
            settings.secret_key_file.as_deref(),
            given.as_deref(),
            &settings.data_dir.join("secret.key"),
        )?;
        let store = Embedded::open(&settings.store_file())?;
        let mut records = store.load()?;
        let limits = Limits {
            space: Some(Space::new(
                settings.data_dir.clone(),
                settings.store_reserve,
            )),
            ..Limits::default()
        };
        let journal = Journal::start(store, limits).map_err(start("start the store's thread"))?;
        sealer.check(&mut records, &journal)?;
        let audit = Audit::open(&settings.audit_file()).map_err(start("open the audit log"))?;
        let catalog = Catalog::load(&mut records, journal.clone(), sealer.clone())?;
        let operator = settings
            .ca_cert_file
            .clone()
            .zip(settings.ca_key_file.clone());
        let setup = identity::Setup {
            journal: journal.clone(),
            sealer: sealer.clone(),
            audit: audit.clone(),
            lifetime: settings.certificate_lifetime,
            operator,
        };
        let identity = Identity::load(&mut records, setup)?;
        let certificate = identity.own_certificate(&settings.names())?;
        write_bundle(&settings.data_dir, identity.bundle())?;
        let key = Arc::new(registry::load_key(&mut records, &journal, &sealer)?);
        let (logs, blobs) = (
            LeaseLogs::default(),
            Blobs::durable(settings.data_dir.join("blobs")),
        );
        let server = Server {
            catalog: catalog.clone(),
            sealer,
            audit: audit.clone(),
            authority: identity.bundle().to_owned(),
            registry: settings.registry.clone(),
        };
        let (core, mut owner, inbox) = Core::new(
            core_settings(settings),
            logs.clone(),
            blobs.clone(),
            journal.clone(),
            Some(server.clone()),
        );
        owner.load(&mut records, &server)?;
        let orders = owner.orders();
        tokio::spawn(owner.run(inbox));
        let setup = source::Setup {
            root: settings.data_dir.join("repositories"),
            catalog: catalog.clone(),
            journal: journal.clone(),
            sealer: server.sealer.clone(),
            audit: audit.clone(),
            core: core.clone(),
            url: settings.people_url(),
            registry: settings.registry.clone(),
            includes: settings.includes(),
        };
        let sources = Sources::load(&mut records, setup).map_err(start("open the repositories"))?;
        for key in records.0.keys() {
            warn!(key, "a record that nobody knows was left as it is");
        }
        sources.settle().await;
        if let Some(orders) = orders {
            let planner = Planner::Server(sources.clone());
            let tasks = TaskTracker::new();
            tokio::spawn(downstream::serve(orders, core.downgrade(), planner, tasks));
        }
        let api = Api {
            core: core.clone(),
            sources: sources.clone(),
            identity: identity.clone(),
            catalog: catalog.clone(),
            journal: journal.clone(),
            audit: audit.clone(),
            agents_url: settings.agents_url(),
            weakenings: settings.weakenings(),
            started_at,
        };
        let clear = {
            let sources = sources.clone();
            let clear = move |project| -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
                let sources = sources.clone();
                Box::pin(async move { sources.clear(project).await })
            };
            Arc::new(clear)
        };
        let api_setup = ApiSetup {
            catalog: catalog.clone(),
            journal: journal.clone(),
            audit: audit.clone(),
            external_url: settings.people_url(),
            trust: trust(settings, &key, identity.bundle()),
            clear,
        };
        let registry = Registry::new(catalog.clone(), core.clone(), audit.clone(), key);
        Ok(Running {
            journal,
            catalog,
            identity,
            core,
            logs,
            blobs,
            audit,
            sources,
            api,
            api_setup,
            registry,
            certificate,
        })
    }

    /// Begins to serve; all of it ends with `stop`.
    fn serve(
        &self,
        settings: &Serve,
        listeners: Listeners,
        stop: &CancellationToken,
        tasks: &TaskTracker,
    ) -> Result<(), Error> {
        self.serve_agents(settings, listeners.agents, stop, tasks);
        let entrance = if settings.plain_people {
            Entrance::Plain(listeners.people)
        } else {
            let own = Arc::clone(&self.certificate);
            Entrance::Tls(Listener::new(listeners.people, own, Audience::People))
        };
        let routes = self.api.routes(self.api_setup.routes());
        let router = self
            .api_setup
            .guarded(routes)
            .reset_fallback()
            .merge(described().prepare().into_axum_router().reset_fallback())
            .merge(self.registry.router())
            .fallback_service(self.sources.router());
        tasks.spawn(people::serve(entrance, router, stop.clone(), tasks.clone()));
        let socket = settings.admin_socket();
        let listener = admin::listen(&socket).map_err(start(&format!(
            "open the socket {} for commands",
            socket.display()
        )))?;
        let handler = Arc::new(Commands {
            catalog: self.catalog.clone(),
            journal: self.journal.clone(),
        });
        tasks.spawn(admin::serve(listener, handler, stop.clone()));
        // Last: who is told that this is ready may use all of it.
        tasks.spawn(health::serve(
            listeners.health,
            self.core.clone(),
            self.journal.clone(),
            stop.clone(),
        ));
        tasks.spawn(until(
            stop.clone(),
            sweep(self.core.clone(), self.sources.clone()),
        ));
        let (identity, own) = (self.identity.clone(), Arc::clone(&self.certificate));
        let names = settings.names();
        tasks.spawn(until(stop.clone(), async move {
            identity.keep_renewed(own, names).await;
        }));
        tasks.spawn(until(stop.clone(), watchdog(self.core.clone())));
        Ok(())
    }

    fn serve_agents(
        &self,
        settings: &Serve,
        listener: TcpListener,
        stop: &CancellationToken,
        tasks: &TaskTracker,
    ) {
        let own = Arc::clone(&self.certificate);
        let incoming = Listener::new(listener, own, Audience::Agents);
        let service = AgentServiceServer::new(Service::new(
            self.core.clone(),
            self.logs.clone(),
            self.blobs.clone(),
            Admission::Certificates {
                identity: self.identity.clone(),
                audit: self.audit.clone(),
                catalog: self.catalog.clone(),
            },
            settings.heartbeat_interval,
            tasks.clone(),
        ));
        let serving = GrpcServer::builder()
            .http2_keepalive_interval(Some(KEEP_ALIVE))
            .http2_keepalive_timeout(Some(KEEP_ALIVE_ANSWER))
            .max_concurrent_streams(Some(1024))
            .tcp_nodelay(true)
            .add_routes(described().add_service(service))
            .serve_with_incoming(incoming);
        tasks.spawn(until(stop.clone(), async move {
            if let Err(error) = serving.await {
                error!(%error, "the agents' listener ended");
            }
        }));
    }
}

/// gRPC's own services: health, and reflection of all others.
fn described() -> tonic::service::Routes {
    let (_, health) = tonic_health::server::health_reporter();
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(fleet_proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .expect("the descriptors come from this build");
    tonic::service::Routes::new(health).add_service(reflection)
}

struct Listeners {
    agents: TcpListener,
    people: TcpListener,
    health: TcpListener,
}

impl Listeners {
    async fn bind(settings: &Serve) -> Result<Listeners, Error> {
        Ok(Listeners {
            agents: bind("listen-agents", settings.listen_agents).await?,
            people: bind("listen-people", settings.listen_people).await?,
            health: bind("listen-health", settings.listen_health).await?,
        })
    }
}

async fn bind(setting: &str, address: SocketAddr) -> Result<TcpListener, Error> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(start(&format!("listen on {address} ({setting})")))
}

fn start(what: &str) -> impl FnOnce(io::Error) -> Error {
    let what = what.to_owned();
    move |source| Error::Start { what, source }
}

fn core_settings(settings: &Serve) -> crate::Settings {
    crate::Settings {
        blobs_dir: settings.data_dir.join("blobs"),
        server_url: settings.people_url(),
        queue: settings.queue(),
        first_pipeline: PipelineId(1),
        first_job: JobId(1),
        artifact_limit_bytes: settings.artifact_max_size,
        artifacts_expire_in: settings.artifact_expiry.limit(),
        pipelines_kept: settings.pipeline_expiry.limit(),
    }
}

/// What registries and engines are to trust.
fn trust(settings: &Serve, key: &fleet_tls::signing::SigningKey, bundle: &str) -> Trust {
    let authority = if settings.plain_people { "" } else { bundle };
    Trust::new(
        settings.registry.clone(),
        &settings.people_url(),
        key,
        authority.to_owned(),
    )
}

/// What people and agents trust, for whoever has the machine.
fn write_bundle(folder: &Path, bundle: &str) -> Result<(), Error> {
    let path = folder.join("ca.pem");
    let written = std::fs::write(&path, bundle);
    written.map_err(start(&format!("write {}", path.display())))
}

async fn sweep(core: Handle, sources: Sources) {
    let mut every = tokio::time::interval(SWEPT_EVERY);
    loop {
        every.tick().await;
        core.sweep().await;
        sources.clear_deleted().await;
    }
}

/// Tells systemd that the owner of the state is alive, where it wants to know.
async fn watchdog(core: Handle) {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return;
    };
    let mut every = tokio::time::interval(limit / 3);
    loop {
        every.tick().await;
        if core.pulse().await {
            let _not_under_systemd = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
        }
    }
}

async fn until(stop: CancellationToken, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        () = stop.cancelled() => {}
    }
}

fn unix_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

/// What the commands on the same machine ask.
struct Commands {
    catalog: Catalog,
    journal: Journal,
}

impl admin::Handler for Commands {
    async fn create_admin_token(&self, user: String) -> Result<String, String> {
        let made = self.catalog.create_token(NewToken {
            user,
            role: Role::Admin,
            scope: None,
            name: "first access".to_owned(),
            ttl: None,
        });
        let (issued, mark) = made.map_err(|error| error.to_string())?;
        self.journal.durable(mark).await;
        Ok(issued.secret)
    }

    async fn snapshot(&self) -> Result<Snapshot, String> {
        let snapshot = self.journal.snapshot().await;
        snapshot.map_err(|error| error.to_string())
    }
}
