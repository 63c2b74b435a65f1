use std::pin::Pin;
use std::sync::Mutex;

use fleet_model::AgentName;
use fleet_proto::v1;
use fleet_proto::v1::agent_service_server::{AgentService, AgentServiceServer};
use fleet_proto::v1::coordinator_message::Message;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};

use super::*;
use crate::Shell;

const PATIENCE: Duration = Duration::from_secs(10);

fn settings(state: &tempfile::TempDir) -> Settings {
    Settings {
        name: AgentName("a".into()),
        slots: 1,
        tags: Vec::new(),
        run_untagged: true,
        builds_dir: state.path().join("builds"),
        state_dir: state.path().join("state"),
        shell: Shell {
            program: "/bin/sh".into(),
            login: false,
        },
        docker: None,
        graceful_kill: Duration::from_secs(1),
        output_limit: 1 << 20,
        log: crate::Log::default(),
    }
}

async fn listen() -> (TcpListener, Channel) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let channel = Endpoint::from_shared(address).unwrap().connect_lazy();
    (listener, channel)
}

#[tokio::test]
async fn agent_stops_although_its_coordinator_does_not_take_the_stream() {
    let state = tempfile::tempdir().unwrap();
    let (silent, channel) = listen().await;
    let stop = CancellationToken::new();
    let agent = tokio::spawn(run(settings(&state), channel, stop.clone()));
    let _connection = silent.accept().await.unwrap();
    stop.cancel();
    tokio::time::timeout(PATIENCE, agent)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn jobs_without_a_coordinator_do_not_hurry_the_next_connect() {
    let state = tempfile::tempdir().unwrap();
    let (_silent, channel) = listen().await;
    let mut held = Held::new(Arc::new(settings(&state)), Way::Inside(channel.clone()));
    let source = v1::Source {
        repository: "/nowhere".into(),
        folder: true,
        ..Default::default()
    };
    let spec = v1::JobSpec {
        source: Some(source),
        ..Default::default()
    };
    let lease = v1::Lease {
        fence: 1,
        job: Some(spec),
    };
    held.start(lease).unwrap();
    let contact = Contact {
        answered: Boottime::now(),
        orphan_deadline: Duration::ZERO,
        trouble: None,
    };
    let (_same, channel) = watch::channel(channel);
    let (_unchanged, settings) = watch::channel(Arc::new(settings(&state)));
    let mut orders = Orders {
        channel,
        settings,
        jobs: Jobs::All,
        drain: CancellationToken::new(),
        stop: CancellationToken::new(),
        patience: Duration::ZERO,
    };
    let wait = Duration::from_millis(50);
    for _ in 0..2 {
        let before = Instant::now();
        wait_to_reconnect(&mut held, &contact, wait, &mut orders).await;
        assert!(before.elapsed() >= wait);
    }
    held.wait_all().await;
}

/// Welcomes an agent and says nothing more; tells of each stream.
struct Mute {
    streams: mpsc::UnboundedSender<()>,
    open: Mutex<Vec<mpsc::Sender<Result<v1::CoordinatorMessage, Status>>>>,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl AgentService for Mute {
    async fn join(
        &self,
        _request: Request<v1::JoinRequest>,
    ) -> Result<Response<v1::JoinResponse>, Status> {
        Err(Status::unimplemented("this one is mute"))
    }

    async fn renew(
        &self,
        _request: Request<v1::RenewRequest>,
    ) -> Result<Response<v1::RenewResponse>, Status> {
        Err(Status::unimplemented("this one is mute"))
    }

    type SessionStream = Answers<v1::CoordinatorMessage>;
    type DownloadArtifactStream = Answers<v1::DownloadArtifactResponse>;

    async fn session(
        &self,
        _request: Request<Streaming<v1::AgentMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let welcome = v1::Welcome {
            heartbeat_interval_ms: 100,
            ..Default::default()
        };
        let (outbox, answers) = mpsc::channel(1);
        let message = v1::CoordinatorMessage {
            message: Some(Message::Welcome(welcome)),
        };
        outbox.send(Ok(message)).await.unwrap();
        self.open.lock().unwrap().push(outbox);
        self.streams.send(()).unwrap();
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    async fn upload_artifact(
        &self,
        _request: Request<Streaming<v1::UploadArtifactRequest>>,
    ) -> Result<Response<v1::UploadArtifactResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn download_artifact(
        &self,
        _request: Request<v1::DownloadArtifactRequest>,
    ) -> Result<Response<Self::DownloadArtifactStream>, Status> {
        Err(Status::unimplemented(""))
    }
}

#[tokio::test]
async fn stream_on_which_heartbeats_are_not_answered_is_opened_anew() {
    let state = tempfile::tempdir().unwrap();
    let (listener, channel) = listen().await;
    let (streams, mut opened) = mpsc::unbounded_channel();
    let mute = Mute {
        streams,
        open: Mutex::default(),
    };
    let server = Server::builder().add_service(AgentServiceServer::new(mute));
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    let stop = CancellationToken::new();
    let agent = tokio::spawn(run(settings(&state), channel, stop.clone()));
    for _ in 0..2 {
        tokio::time::timeout(PATIENCE, opened.recv())
            .await
            .unwrap()
            .unwrap();
    }
    stop.cancel();
    agent.await.unwrap().unwrap();
}
