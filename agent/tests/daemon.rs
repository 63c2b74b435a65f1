//! The program `fleet-agent` as a process, against a coordinator that only a test
//! could be.

#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fleet_proto::v1;
use fleet_proto::v1::agent_message::Message as In;
use fleet_proto::v1::agent_service_server::{AgentService, AgentServiceServer};
use fleet_proto::v1::coordinator_message::Message as Out;
use fleet_tls::authority::{Authority, Parts, Validity};
use fleet_tls::server::{Audience, Certificate, Listener};
use rustix::process::{Signal, kill_process};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

const PATIENCE: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3600);

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
type Outbox = mpsc::Sender<Result<v1::CoordinatorMessage, Status>>;

/// Hands each stream to the test.
struct Service {
    authority: Arc<Authority>,
    streams: mpsc::Sender<Talk>,
    /// Of the certificates of those that join.
    lifetime: Duration,
}

impl Service {
    fn certificate(&self, agent: &str, csr: &[u8], lifetime: Duration) -> String {
        let csr = fleet_tls::request::Request::from_der(csr).unwrap();
        let now = SystemTime::now();
        let validity = Validity {
            from: now - HOUR,
            until: now + lifetime,
        };
        self.authority.issue_agent(agent, &csr, validity).unwrap()
    }
}

/// One stream, from the coordinator's side.
struct Talk {
    inbox: Streaming<v1::AgentMessage>,
    outbox: Outbox,
    log: Vec<u8>,
}

impl Talk {
    async fn say(&self, message: Out) {
        let message = v1::CoordinatorMessage {
            message: Some(message),
        };
        self.outbox.send(Ok(message)).await.unwrap();
    }

    async fn hear(&mut self) -> In {
        let heard = tokio::time::timeout(PATIENCE, self.inbox.message());
        let heard = heard.await.unwrap().unwrap().unwrap().message.unwrap();
        if let In::Log(append) = &heard {
            self.log.resize(usize::try_from(append.offset).unwrap(), 0);
            self.log.extend_from_slice(&append.data);
        }
        heard
    }

    /// The hello, answered with a welcome that keeps all.
    async fn welcome(&mut self) -> v1::Hello {
        let In::Hello(hello) = self.hear().await else {
            panic!("no hello");
        };
        self.say(Out::Welcome(v1::Welcome {
            heartbeat_interval_ms: 10_000,
            orphan_deadline_ms: 600_000,
            keep: hello.held.clone(),
            projects: Vec::new(),
        }))
        .await;
        hello
    }

    /// The result, and the log before it; the agent is told that it has arrived.
    async fn result(&mut self) -> (v1::JobResult, String) {
        loop {
            if let In::Result(result) = self.hear().await {
                assert_eq!(result.log_size, self.log.len() as u64);
                let ack = v1::ResultAck {
                    fence: result.fence,
                };
                self.say(Out::ResultAck(ack)).await;
                return (result, String::from_utf8_lossy(&self.log).into_owned());
            }
        }
    }

    async fn started(&mut self) {
        while !matches!(self.hear().await, In::Started(_)) {}
    }
}

#[tonic::async_trait]
impl AgentService for Service {
    async fn join(
        &self,
        request: Request<v1::JoinRequest>,
    ) -> Result<Response<v1::JoinResponse>, Status> {
        let asked = request.into_inner();
        if asked.token != "fjt_1_x" {
            return Err(Status::permission_denied("the join token is not good"));
        }
        let chain = self.certificate(&asked.name, &asked.csr, self.lifetime);
        Ok(Response::new(v1::JoinResponse {
            agent: asked.name,
            certificate_chain: chain,
            trust_bundle: self.authority.bundle().to_owned(),
            generation: 1,
            tags: Vec::new(),
        }))
    }

    async fn renew(
        &self,
        request: Request<v1::RenewRequest>,
    ) -> Result<Response<v1::RenewResponse>, Status> {
        let asked = request.into_inner();
        Ok(Response::new(v1::RenewResponse {
            certificate_chain: self.certificate("h1", &asked.csr, HOUR),
            trust_bundle: self.authority.bundle().to_owned(),
            generation: asked.generation + 1,
        }))
    }

    type SessionStream = Answers<v1::CoordinatorMessage>;
    type DownloadArtifactStream = Answers<v1::DownloadArtifactResponse>;

    async fn session(
        &self,
        request: Request<Streaming<v1::AgentMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let (outbox, answers) = mpsc::channel(16);
        let talk = Talk {
            inbox: request.into_inner(),
            outbox,
            log: Vec::new(),
        };
        let _nobody_listens = self.streams.send(talk).await;
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    async fn upload_artifact(
        &self,
        _request: Request<Streaming<v1::UploadArtifactRequest>>,
    ) -> Result<Response<v1::UploadArtifactResponse>, Status> {
        Err(Status::unimplemented("nothing is stored here"))
    }

    async fn download_artifact(
        &self,
        _request: Request<v1::DownloadArtifactRequest>,
    ) -> Result<Response<Self::DownloadArtifactStream>, Status> {
        Err(Status::not_found("nothing is stored here"))
    }
}

/// A coordinator, and a host that has joined it.
struct World {
    folder: TempDir,
    streams: mpsc::Receiver<Talk>,
    url: String,
    pin: String,
}

impl World {
    async fn new() -> World {
        World::with_lifetime(HOUR).await
    }

    /// Whoever joins has a certificate for this long; renewed ones last.
    async fn with_lifetime(lifetime: Duration) -> World {
        let parts = Parts::create("4f", SystemTime::now()).unwrap();
        let authority = Arc::new(Authority::load(&parts).unwrap());
        let names = ["localhost".to_owned()];
        let issued = authority.issue_coordinator("c1", &names, SystemTime::now(), HOUR);
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", tcp.local_addr().unwrap().port());
        let certificate = Certificate::new(&issued.unwrap()).unwrap();
        let listener = Listener::new(tcp, certificate, Audience::Agents);
        let pin = authority.pin().to_string();
        let (sender, streams) = mpsc::channel(4);
        let service = Service {
            authority,
            streams: sender,
            lifetime,
        };
        let server = Server::builder().add_service(AgentServiceServer::new(service));
        tokio::spawn(server.serve_with_incoming(listener));
        World {
            folder: tempfile::tempdir().unwrap(),
            streams,
            url,
            pin,
        }
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    async fn join(&self, token: &str) -> Output {
        tokio::process::Command::new(env!("CARGO_BIN_EXE_fleet-agent"))
            .args(["join", "--server", &self.url, "--ca-pin", &self.pin])
            .args(["--token", token, "--name", "h1", "--shell", "sh"])
            .arg("--state-dir")
            .arg(self.state())
            .output()
            .await
            .unwrap()
    }

    /// Runs `fleet-agent` to its end.
    async fn command(&self, words: &[&str]) -> Output {
        tokio::process::Command::new(env!("CARGO_BIN_EXE_fleet-agent"))
            .args(words)
            .arg("--state-dir")
            .arg(self.state())
            .output()
            .await
            .unwrap()
    }

    fn start(&self) -> Agent {
        let child = Command::new(env!("CARGO_BIN_EXE_fleet-agent"))
            .args(["run", "--login-shell", "false", "--graceful-kill", "1s"])
            .arg("--state-dir")
            .arg(self.state())
            .spawn();
        Agent(child.unwrap())
    }

    async fn talk(&mut self) -> Talk {
        let talk = tokio::time::timeout(PATIENCE, self.streams.recv());
        talk.await.unwrap().unwrap()
    }

    /// A job that runs `script` in a copy of an empty folder.
    fn lease(&self, script: &str) -> Out {
        self.lease_of(7, script)
    }

    fn lease_of(&self, fence: u64, script: &str) -> Out {
        let source = self.folder.path().join("source");
        std::fs::create_dir_all(&source).unwrap();
        let spec = v1::JobSpec {
            job_id: 1,
            name: "job".into(),
            project_path: "g/p".into(),
            source: Some(v1::Source {
                repository: source.display().to_string(),
                folder: true,
                ..Default::default()
            }),
            steps: vec![v1::Step {
                name: "script".into(),
                script: vec![script.into()],
            }],
            ..Default::default()
        };
        Out::Lease(v1::Lease {
            fence,
            job: Some(spec),
        })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn leases(&self) -> usize {
        std::fs::read_dir(self.state().join("leases"))
            .unwrap()
            .count()
    }
}

/// The agent's process; killed at the end.
struct Agent(Child);

impl Agent {
    fn signal(&self, signal: Signal) {
        let id = rustix::process::Pid::from_child(&self.0);
        kill_process(id, signal).unwrap();
    }

    async fn end(mut self) -> Option<i32> {
        wait_for(|| self.0.try_wait().unwrap()).await.code()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

async fn wait_for<T>(mut what: impl FnMut() -> Option<T>) -> T {
    let waited = async {
        loop {
            if let Some(found) = what() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waited).await.unwrap()
}

fn text(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    text.ends_with('\n').then(|| text.trim().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_survives_its_agent_and_is_reported_by_the_next() {
    let mut world = World::new().await;
    let refused = world.join("fjt_1_y").await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("the join token is not good"));
    let joined = world.join("fjt_1_x").await;
    assert!(joined.status.success(), "{joined:?}");
    assert!(!world.join("fjt_1_x").await.status.success());

    let agent = world.start();
    let mut talk = world.talk().await;
    let hello = talk.welcome().await;
    assert_eq!(hello.agent, "h1");
    let (begun, go) = (world.file("begun"), world.file("go"));
    let script = format!(
        "echo one; echo x > {}; while ! test -e {}; do sleep 0.05; done; echo two",
        begun.display(),
        go.display()
    );
    talk.say(world.lease(&script)).await;
    talk.started().await;
    wait_for(|| text(&begun)).await;
    agent.signal(Signal::KILL);
    agent.end().await;

    let agent = world.start();
    let mut talk = world.talk().await;
    let again = talk.welcome().await;
    assert_ne!(again.instance, hello.instance);
    assert_eq!(again.held.len(), 1);
    assert_eq!(again.held[0].fence, 7);
    std::fs::write(&go, "").unwrap();
    let (result, log) = talk.result().await;
    assert_eq!(result.outcome(), v1::Outcome::Success, "{log}");
    assert!(log.contains("one") && log.contains("two"), "{log}");

    wait_for(|| (world.leases() == 0).then_some(())).await;
    agent.signal(Signal::TERM);
    assert_eq!(agent.end().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_a_job_whose_supervisor_was_killed() {
    let mut world = World::new().await;
    assert!(world.join("fjt_1_x").await.status.success());
    let agent = world.start();
    let mut talk = world.talk().await;
    talk.welcome().await;
    let begun = world.file("begun");
    let logins = world.file("logins");
    let script = format!(
        "ls \"$DOCKER_CONFIG/config.json\" > {}; echo $$ > {}; exec setsid sleep 600",
        logins.display(),
        begun.display()
    );
    talk.say(world.lease(&script)).await;
    talk.started().await;
    let job = wait_for(|| text(&begun)).await;
    let logins = PathBuf::from(text(&logins).unwrap());
    assert!(logins.exists());
    let lock = world.state().join("leases/7/lock");
    let supervisor = std::fs::read_to_string(lock).unwrap().parse().unwrap();
    kill_process(
        rustix::process::Pid::from_raw(supervisor).unwrap(),
        Signal::KILL,
    )
    .unwrap();
    let (result, _) = talk.result().await;
    assert_eq!(result.failure_reason, "runner_system_failure");
    assert!(
        result.message.contains("supervisor died"),
        "{}",
        result.message
    );
    let job = PathBuf::from("/proc").join(job);
    wait_for(|| (!job.join("exe").exists()).then_some(())).await;
    assert!(!logins.exists());
    agent.signal(Signal::TERM);
    assert_eq!(agent.end().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_sigterm_stops_the_jobs() {
    let mut world = World::new().await;
    assert!(world.join("fjt_1_x").await.status.success());
    let agent = world.start();
    let mut talk = world.talk().await;
    talk.welcome().await;
    talk.say(world.lease("sleep 600")).await;
    talk.started().await;
    agent.signal(Signal::TERM);
    while !matches!(talk.hear().await, In::Drain(_)) {}
    agent.signal(Signal::TERM);
    let (result, _) = talk.result().await;
    assert_eq!(result.outcome(), v1::Outcome::Failed);
    assert_eq!(agent.end().await, Some(0));
    assert_eq!(world.leases(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_renewed_at_half_of_its_life_and_jobs_go_on() {
    let mut world = World::with_lifetime(Duration::from_secs(4)).await;
    assert!(world.join("fjt_1_x").await.status.success());
    let agent = world.start();
    let mut first = world.talk().await;
    let hello = first.welcome().await;
    let go = world.file("go");
    let script = format!("while ! test -e {}; do sleep 0.05; done", go.display());
    first.say(world.lease(&script)).await;
    first.started().await;

    let mut talk = world.talk().await;
    let renewed = talk.welcome().await;
    assert_eq!(renewed.instance, hello.instance);
    assert!(renewed.stream > hello.stream);
    assert!(
        renewed
            .held
            .iter()
            .any(|held| held.fence == 7 && held.started)
    );
    let about = std::fs::read_to_string(world.state().join("identity/identity.toml")).unwrap();
    assert!(about.contains("generation = 2"), "{about}");
    std::fs::write(&go, "").unwrap();
    let (result, log) = talk.result().await;
    assert_eq!(result.outcome(), v1::Outcome::Success, "{log}");
    agent.signal(Signal::TERM);
    assert_eq!(agent.end().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_told_to_stop_says_last_that_it_holds_nothing() {
    let mut world = World::new().await;
    assert!(world.join("fjt_1_x").await.status.success());
    let agent = world.start();
    let mut talk = world.talk().await;
    talk.welcome().await;
    agent.signal(Signal::TERM);
    // A lease that is on its way over the first stream now is not held.
    let mut last = world.talk().await;
    let hello = last.welcome().await;
    assert!(hello.draining && hello.held.is_empty(), "{hello:?}");
    assert_eq!(agent.end().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_told_to_end_ends_its_job_first() {
    let mut world = World::new().await;
    assert!(world.join("fjt_1_x").await.status.success());
    let agent = world.start();
    let mut talk = world.talk().await;
    talk.welcome().await;
    let begun = world.file("begun");
    let script = format!("echo $$ > {}; exec sleep 600", begun.display());
    talk.say(world.lease(&script)).await;
    talk.started().await;
    let job = wait_for(|| text(&begun)).await;
    let lock = world.state().join("leases/7/lock");
    let supervisor = std::fs::read_to_string(lock).unwrap().parse().unwrap();
    kill_process(
        rustix::process::Pid::from_raw(supervisor).unwrap(),
        Signal::TERM,
    )
    .unwrap();
    let (result, log) = talk.result().await;
    assert_eq!(result.failure_reason, "runner_interrupted");
    assert!(log.contains("Job failed"), "{log}");
    assert!(!PathBuf::from("/proc").join(job).join("exe").exists());
    agent.signal(Signal::TERM);
    assert_eq!(agent.end().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_agent_never_comes_back_is_ended_though_nobody_reads_its_stderr() {
    let mut world = World::new().await;
    assert!(world.join("fjt_1_x").await.status.success());
    let child = Command::new(env!("CARGO_BIN_EXE_fleet-agent"))
        .args(["run", "--login-shell", "false"])
        .arg("--state-dir")
        .arg(world.state())
        .stderr(Stdio::piped())
        .spawn();
    let mut agent = Agent(child.unwrap());
    let stderr = agent.0.stderr.take();
    let mut talk = world.talk().await;
    assert!(matches!(talk.hear().await, In::Hello(_)));
    talk.say(Out::Welcome(v1::Welcome {
        heartbeat_interval_ms: 1000,
        orphan_deadline_ms: 3000,
        keep: Vec::new(),
        projects: Vec::new(),
    }))
    .await;
    let begun = world.file("begun");
    let script = format!("echo $$ > {}; exec setsid sleep 600", begun.display());
    talk.say(world.lease(&script)).await;
    talk.started().await;
    let job = wait_for(|| text(&begun)).await;
    agent.signal(Signal::KILL);
    agent.end().await;
    drop(stderr);
    let job = PathBuf::from("/proc").join(job);
    wait_for(|| (!job.join("exe").exists()).then_some(())).await;
    let result = world.state().join("leases/7/result");
    wait_for(|| result.exists().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_for_one_job_ends_after_it() {
    let mut world = World::new().await;
    assert!(world.join("fjt_1_x").await.status.success());
    let child = Command::new(env!("CARGO_BIN_EXE_fleet-agent"))
        .args(["run", "--once", "--slots", "4", "--login-shell", "false"])
        .arg("--state-dir")
        .arg(world.state())
        .spawn();
    let agent = Agent(child.unwrap());
    let mut talk = world.talk().await;
    assert_eq!(talk.welcome().await.slots, 1);
    talk.say(world.lease("echo one")).await;
    while !matches!(talk.hear().await, In::Drain(_)) {}
    let (result, _) = talk.result().await;
    assert_eq!(result.outcome(), v1::Outcome::Success);
    assert_eq!(agent.end().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn draining_twice_stops_no_job() {
    let mut world = World::new().await;
    assert!(world.join("fjt_1_x").await.status.success());
    let nobody = world.command(&["drain"]).await;
    assert_eq!(nobody.status.code(), Some(1), "{nobody:?}");
    let agent = world.start();
    let mut talk = world.talk().await;
    talk.welcome().await;
    let go = world.file("go");
    let script = format!("while ! test -e {}; do sleep 0.05; done", go.display());
    talk.say(world.lease(&script)).await;
    talk.started().await;
    for _ in 0..2 {
        let drained = world.command(&["drain"]).await;
        assert!(drained.status.success(), "{drained:?}");
    }
    while !matches!(talk.hear().await, In::Drain(_)) {}
    std::fs::write(&go, "").unwrap();
    let (result, log) = talk.result().await;
    assert_eq!(result.outcome(), v1::Outcome::Success, "{log}");
    assert_eq!(agent.end().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_says_what_is_to_be_mended() {
    let world = World::new().await;
    let before = world.command(&["doctor"]).await;
    assert_eq!(before.status.code(), Some(1));
    let said = String::from_utf8_lossy(&before.stdout).into_owned();
    assert!(said.contains("fail  identity"), "{said}");
    assert!(said.contains("fleet-agent join"), "{said}");
    assert!(world.join("fjt_1_x").await.status.success());
    let after = world.command(&["doctor", "--login-shell", "false"]).await;
    let said = String::from_utf8_lossy(&after.stdout).into_owned();
    for line in [
        "ok    identity       agent h1",
        "ok    coordinator",
        "ok    clock",
        "ok    git",
        "ok    shell",
    ] {
        assert!(said.contains(line), "{line:?} is not in\n{said}");
    }
    assert!(after.status.success(), "{after:?}");
    let other = ["doctor", "--server", "https://localhost:1"];
    let other = world.command(&other).await;
    let said = String::from_utf8_lossy(&other.stdout).into_owned();
    assert!(said.contains("fail  coordinator"), "{said}");
    assert_eq!(other.status.code(), Some(1));
}

/// Writes something else into the record of the lease 7, whose agent is gone.
fn damage_record(world: &World) {
    let record = world.state().join("leases/7/record");
    let mut bytes = std::fs::read(&record).unwrap();
    let last = bytes.last_mut().unwrap();
    *last ^= 1;
    std::fs::write(&record, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_record_is_damaged_goes_on_and_shares_its_folder_with_none() {
    let mut world = World::new().await;
    assert!(world.join("fjt_1_x").await.status.success());
    let agent = world.start();
    let mut talk = world.talk().await;
    talk.welcome().await;
    let (begun, go, other) = (world.file("begun"), world.file("go"), world.file("other"));
    let script = format!(
        "echo $CI_CONCURRENT_ID $CI_CONCURRENT_PROJECT_ID $PWD > {}; while ! test -e {}; do \
         sleep 0.05; done; echo two",
        begun.display(),
        go.display()
    );
    talk.say(world.lease(&script)).await;
    talk.started().await;
    let first = wait_for(|| text(&begun)).await;
    assert!(first.starts_with("0 0 "), "{first}");
    agent.signal(Signal::KILL);
    agent.end().await;
    damage_record(&world);

    let agent = world.start();
    let mut talk = world.talk().await;
    assert_eq!(talk.welcome().await.held.len(), 1);
    let script = format!(
        "echo $CI_CONCURRENT_ID $CI_CONCURRENT_PROJECT_ID $PWD > {}",
        other.display()
    );
    talk.say(world.lease_of(8, &script)).await;
    let second = wait_for(|| text(&other)).await;
    assert!(second.starts_with("1000 1000 "), "{second}");
    assert_ne!(first.split(' ').next_back(), second.split(' ').next_back());
    std::fs::write(&go, "").unwrap();
    let mut ended = Vec::new();
    while ended.len() < 2 {
        if let In::Result(result) = talk.hear().await {
            let fence = result.fence;
            ended.push((fence, result.outcome()));
            talk.say(Out::ResultAck(v1::ResultAck { fence })).await;
        }
    }
    ended.sort();
    let well = v1::Outcome::Success;
    assert_eq!(ended, [(7, well), (8, well)]);
    agent.signal(Signal::TERM);
    assert_eq!(agent.end().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_job_whose_record_is_damaged_counts_as_begun() {
    let mut world = World::new().await;
    assert!(world.join("fjt_1_x").await.status.success());
    let agent = world.start();
    let mut talk = world.talk().await;
    talk.welcome().await;
    let begun = world.file("begun");
    let script = format!("echo $$ > {}; exec sleep 600", begun.display());
    talk.say(world.lease(&script)).await;
    talk.started().await;
    let job: i32 = wait_for(|| text(&begun)).await.parse().unwrap();
    agent.signal(Signal::KILL);
    agent.end().await;
    let lock = world.state().join("leases/7/lock");
    let supervisor = std::fs::read_to_string(lock).unwrap().parse().unwrap();
    for process in [supervisor, job] {
        let id = rustix::process::Pid::from_raw(process).unwrap();
        kill_process(id, Signal::KILL).unwrap();
    }
    damage_record(&world);

    let agent = world.start();
    let mut talk = world.talk().await;
    talk.welcome().await;
    talk.started().await;
    let (result, _) = talk.result().await;
    assert_eq!(result.failure_reason, "runner_system_failure");
    assert!(result.message.contains("damaged"), "{}", result.message);
    wait_for(|| (world.leases() == 0).then_some(())).await;
    agent.signal(Signal::TERM);
    assert_eq!(agent.end().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_read_again_when_the_agent_is_told() {
    let mut world = World::new().await;
    assert!(world.join("fjt_1_x").await.status.success());
    let agent = world.start();
    let mut talk = world.talk().await;
    let hello = talk.welcome().await;
    assert_eq!(hello.slots, 1);
    let file = world.state().join("agent.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let others = text.lines().filter(|line| !line.starts_with("slots"));
    let with = |slots: &str| {
        let others: Vec<&str> = others.clone().collect();
        let text = format!("slots = {slots}\n{}\n", others.join("\n"));
        std::fs::write(&file, text).unwrap();
    };
    with("3");
    agent.signal(Signal::HUP);
    let mut talk = world.talk().await;
    let again = talk.welcome().await;
    assert_eq!((again.slots, &again.instance), (3, &hello.instance));
    with("many");
    agent.signal(Signal::HUP);
    with("2");
    agent.signal(Signal::HUP);
    let mut talk = world.talk().await;
    let again = talk.welcome().await;
    assert_eq!((again.slots, &again.instance), (2, &hello.instance));
    agent.signal(Signal::TERM);
    assert_eq!(agent.end().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_logs_as_its_agent_does() {
    let mut world = World::new().await;
    assert!(world.join("fjt_1_x").await.status.success());
    let said = world.file("said");
    let child = Command::new(env!("CARGO_BIN_EXE_fleet-agent"))
        .args(["run", "--login-shell", "false", "--log-format", "json"])
        .args(["--log", "warn,fleet_agent::link=off"])
        .arg("--state-dir")
        .arg(world.state())
        .stderr(std::fs::File::create(&said).unwrap())
        .spawn();
    let agent = Agent(child.unwrap());
    let mut talk = world.talk().await;
    assert!(matches!(talk.hear().await, In::Hello(_)));
    talk.say(Out::Welcome(v1::Welcome {
        heartbeat_interval_ms: 600_000,
        orphan_deadline_ms: 1000,
        keep: Vec::new(),
        projects: Vec::new(),
    }))
    .await;
    talk.say(world.lease("sleep 600")).await;
    talk.started().await;
    let line = wait_for(|| {
        let text = std::fs::read_to_string(&said).unwrap();
        let mut lines = text.lines();
        let line = lines.find(|line| line.contains("within the orphan deadline"))?;
        Some(line.to_owned())
    })
    .await;
    assert!(line.starts_with('{') && line.contains("WARN"), "{line}");
    assert!(!std::fs::read_to_string(&said).unwrap().contains("INFO"));
    agent.signal(Signal::KILL);
}
