//! The coordinator as an agent sees it: real gRPC over an in-memory pipe, with
//! the test in the agent's place.

#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::time::Duration;

use fleet_coordinator::{
    About, Coordinator, Created, Event, QueueConfig, Request, Settings, Watch,
};
use fleet_model::{
    AllowFailure, AutoCancel, JobId, JobSpec, JobState, Plan, PlannedJob, ProjectId, Retry,
    Scheduling, Source, When,
};
use fleet_proto::v1;
use fleet_proto::v1::agent_message::Message as Out;
use fleet_proto::v1::agent_service_client::AgentServiceClient;
use fleet_proto::v1::coordinator_message::Message as In;
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Status, Streaming};

/// A coordinator and a connection to it.
struct Fleet {
    coordinator: Coordinator,
    client: AgentServiceClient<Channel>,
    _blobs: tempfile::TempDir,
}

impl Fleet {
    async fn start() -> Fleet {
        Fleet::start_with(QueueConfig::default()).await
    }

    async fn start_with(queue: QueueConfig) -> Fleet {
        let blobs = tempfile::tempdir().unwrap();
        let coordinator = Coordinator::start(Settings {
            queue,
            first_job: JobId(11),
            ..Settings::local(blobs.path().into())
        });
        let (near, far) = tokio::io::duplex(64 * 1024);
        let service = coordinator.agent_service();
        tokio::spawn(
            Server::builder()
                .add_service(service)
                // One connection and no end: a server whose listener ends says goodbye.
                .serve_with_incoming(
                    tokio_stream::once(Ok::<_, std::io::Error>(far)).chain(tokio_stream::pending()),
                ),
        );
        let mut near = Some(TokioIo::new(near));
        let channel = Endpoint::from_static("http://in-process.invalid")
            .connect_with_connector(tower::service_fn(move |_| {
                let gone = || std::io::Error::from(std::io::ErrorKind::NotConnected);
                std::future::ready(near.take().ok_or_else(gone))
            }))
            .await
            .unwrap();
        Fleet {
            coordinator,
            client: AgentServiceClient::new(channel),
            _blobs: blobs,
        }
    }

    async fn create(&self, jobs: Vec<PlannedJob>) -> (Created, Watch) {
        let plan = Plan {
            name: None,
            stages: vec!["one".into(), "two".into()],
            jobs,
            auto_cancel: AutoCancel::default(),
            predefined: Vec::new(),
            user: Vec::new(),
        };
        let request = Request {
            project: ProjectId(1),
            project_path: "group/project".into(),
            protected: false,
            plan,
            source: Source::Folder {
                path: "/nowhere".into(),
            },
            settings: Vec::new(),
            about: About::default(),
            upstream: None,
        };
        self.coordinator.create_pipeline(request).await.unwrap()
    }

    /// Opens a stream and says hello; the answer is for the caller to read.
    async fn hello(&mut self, hello: v1::Hello) -> Result<Stream, Status> {
        let (outbox, body) = mpsc::channel(16);
        let stream = Stream {
            outbox,
            inbox: None,
        };
        stream.say(Out::Hello(hello)).await;
        let inbox = self
            .client
            .session(ReceiverStream::new(body))
            .await?
            .into_inner();
        Ok(Stream {
            inbox: Some(inbox),
            ..stream
        })
    }

    /// Connects the agent `a` with one slot.
    async fn agent(&mut self, held: &[u64]) -> (Stream, v1::Welcome) {
        self.connect(hello(held)).await
    }

    async fn connect(&mut self, hello: v1::Hello) -> (Stream, v1::Welcome) {
        let mut stream = self.hello(hello).await.unwrap();
        match stream.hear().await.unwrap() {
            In::Welcome(welcome) => (stream, welcome),
            other => panic!("expected a welcome, got {other:?}"),
        }
    }

    async fn upload(&mut self, fence: u64, kind: &str, data: &'static [u8]) -> Result<u64, Status> {
        use v1::upload_artifact_request::Part;
        let header = v1::UploadArtifactHeader {
            fence,
            filename: "artifacts.zip".into(),
            r#type: kind.into(),
            size: data.len() as u64,
            ..Default::default()
        };
        let parts = [Part::Header(header), Part::Data(data.into())]
            .map(|part| v1::UploadArtifactRequest { part: Some(part) });
        let answer = self
            .client
            .upload_artifact(tokio_stream::iter(parts))
            .await?;
        Ok(answer.into_inner().size)
    }

    async fn download(&mut self, fence: u64, job: JobId) -> Result<Vec<u8>, Status> {
        let request = v1::DownloadArtifactRequest {
            fence,
            job_id: job.0,
        };
        let mut pieces = self.client.download_artifact(request).await?.into_inner();
        let mut all = Vec::new();
        while let Some(piece) = pieces.message().await? {
            all.extend_from_slice(&piece.data);
        }
        Ok(all)
    }
}

/// An agent's end of a stream.
struct Stream {
    outbox: mpsc::Sender<v1::AgentMessage>,
    inbox: Option<Streaming<v1::CoordinatorMessage>>,
}

impl Stream {
    async fn say(&self, message: Out) {
        let message = v1::AgentMessage {
            message: Some(message),
        };
        self.outbox.send(message).await.unwrap();
    }

    async fn hear(&mut self) -> Result<In, Status> {
        let message = self.inbox.as_mut().unwrap().message().await?;
        Ok(message
            .expect("the stream goes on")
            .message
            .expect("a known message"))
    }

    async fn lease(&mut self) -> (u64, JobSpec) {
        match self.hear().await.unwrap() {
            In::Lease(lease) => (lease.fence, lease.job.unwrap().try_into().unwrap()),
            other => panic!("expected a lease, got {other:?}"),
        }
    }

    async fn log(&mut self, fence: u64, offset: u64, data: &'static [u8]) -> In {
        self.say(Out::Log(v1::LogAppend {
            fence,
            offset,
            data: data.into(),
        }))
        .await;
        self.hear().await.unwrap()
    }

    async fn result(&self, fence: u64, outcome: v1::Outcome, log_size: u64) {
        let result = v1::JobResult {
            fence,
            outcome: outcome.into(),
            failure_reason: "script_failure".into(),
            exit_code: 3,
            log_size,
            ..Default::default()
        };
        self.say(Out::Result(result)).await;
    }

    /// Says that the job has begun, and waits until that is known.
    async fn begin(&self, fence: u64, watch: &mut Watch) {
        self.say(Out::Started(v1::Started { fence })).await;
        loop {
            if let Event::Job(job) = watch.next().await.unwrap()
                && job.state == JobState::Running
            {
                return;
            }
        }
    }

    async fn end(&self, fence: u64) {
        self.result(fence, v1::Outcome::Success, 0).await;
        self.say(Out::Released(v1::Released { fence })).await;
    }
}

fn hello(held: &[u64]) -> v1::Hello {
    v1::Hello {
        agent: "a".into(),
        boot_id: "boot".into(),
        slots: 1,
        run_untagged: true,
        held: held
            .iter()
            .map(|fence| v1::HeldLease {
                fence: *fence,
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    }
}

fn job(name: &str, stage: usize) -> PlannedJob {
    PlannedJob {
        name: name.into(),
        stage,
        scheduling: Scheduling::Stage,
        artifacts_from: Vec::new(),
        when: When::OnSuccess,
        allow_failure: AllowFailure::No,
        retry: Retry::default(),
        timeout: Some(Duration::from_secs(60)),
        tags: Vec::new(),
        interruptible: false,
        resource_group: None,
        environment: None,
        coverage: None,
        manual_confirmation: None,
        variables: Vec::new(),
        image: None,
        services: Vec::new(),
        script: vec!["true".into()],
        pinned_to: None,
        after_script: Vec::new(),
        artifacts: Vec::new(),
        caches: Vec::new(),
        hooks: Vec::new(),
        cross_needs: Vec::new(),
        trigger: None,
        overriding: Vec::new(),
    }
}

fn stale(fence: u64) -> In {
    In::Stop(v1::Stop {
        fence,
        reason: v1::StopReason::Stale.into(),
    })
}

/// The states of jobs as they come, up to the pipeline's last.
async fn states(watch: &mut Watch) -> Vec<(JobId, u32, JobState)> {
    let mut seen = Vec::new();
    while let Some(event) = watch.next().await {
        match event {
            Event::Job(job) => seen.push((job.job, job.attempt, job.state)),
            Event::Pipeline(status) if status.is_completed() => break,
            _ => {}
        }
    }
    seen
}

#[tokio::test]
async fn ready_job_is_leased_at_once_with_all_it_needs() {
    let mut fleet = Fleet::start().await;
    let (mut agent, welcome) = fleet.agent(&[]).await;
    assert_eq!(
        (welcome.heartbeat_interval_ms, welcome.orphan_deadline_ms),
        (10_000, 600_000)
    );
    let (created, _watch) = fleet.create(vec![job("build image", 0)]).await;
    let (_, spec) = agent.lease().await;
    assert_eq!(
        (spec.id, spec.attempt, spec.name.as_str()),
        (created.jobs[0], 1, "build image")
    );
    let value = |key: &str| {
        spec.variables
            .iter()
            .rfind(|variable| variable.key == key)
            .map(|found| &found.value[..])
    };
    assert_eq!(value("CI_JOB_ID"), Some("11"));
    assert_eq!(value("CI_PIPELINE_ID"), Some("1"));
    assert_eq!(value("CI_BUILD_TOKEN"), Some(&spec.token.0[..]));
    assert!(spec.token.0.len() > 20);
}

#[tokio::test]
async fn log_is_taken_once_by_offset_and_a_gap_is_not_taken() {
    let mut fleet = Fleet::start().await;
    let (mut agent, _) = fleet.agent(&[]).await;
    let (created, mut watch) = fleet.create(vec![job("a", 0)]).await;
    let (fence, _) = agent.lease().await;
    let ack = |offset| In::LogAck(v1::LogAck { fence, offset });
    assert_eq!(agent.log(fence, 0, b"one\n").await, ack(4));
    assert_eq!(agent.log(fence, 0, b"one\ntwo\n").await, ack(8));
    assert_eq!(agent.log(fence, 9, b"gap").await, ack(8));
    agent.result(fence, v1::Outcome::Success, 8).await;
    let mut log = Vec::new();
    while let Some(event) = watch.next().await {
        match event {
            Event::Log {
                job,
                attempt: 1,
                offset,
                data,
            } if job == created.jobs[0] => {
                assert_eq!(offset, log.len() as u64);
                log.extend_from_slice(&data);
            }
            Event::Pipeline(status) if status.is_completed() => break,
            _ => {}
        }
    }
    assert_eq!(log, b"one\ntwo\n");
}

#[tokio::test]
async fn result_whose_log_is_not_whole_ends_the_stream_and_counts_when_it_is() {
    let mut fleet = Fleet::start().await;
    let (mut agent, _) = fleet.agent(&[]).await;
    let (_, mut watch) = fleet.create(vec![job("a", 0)]).await;
    let (fence, _) = agent.lease().await;
    agent.log(fence, 0, b"one").await;
    agent.result(fence, v1::Outcome::Success, 6).await;
    assert_eq!(agent.hear().await.unwrap_err().code(), Code::Aborted);
    let (mut agent, welcome) = fleet.agent(&[fence]).await;
    assert_eq!(
        welcome.keep,
        [v1::HeldLease {
            fence,
            log_offset: 3,
            ..Default::default()
        }]
    );
    agent.log(fence, 3, b"two").await;
    agent.result(fence, v1::Outcome::Success, 6).await;
    assert_eq!(
        agent.hear().await.unwrap(),
        In::ResultAck(v1::ResultAck { fence })
    );
    assert_eq!(
        states(&mut watch).await.last().map(|last| last.2),
        Some(JobState::Success)
    );
}

#[tokio::test]
async fn messages_with_an_unknown_fence_are_stale_and_change_nothing() {
    let mut fleet = Fleet::start().await;
    let (mut agent, _) = fleet.agent(&[]).await;
    let (_, _watch) = fleet.create(vec![job("a", 0)]).await;
    let (fence, _) = agent.lease().await;
    assert_eq!(agent.log(999, 0, b"x").await, stale(999));
    agent.result(999, v1::Outcome::Success, 0).await;
    assert_eq!(agent.hear().await.unwrap(), stale(999));
    assert_eq!(
        fleet
            .upload(999, "archive", b"zip")
            .await
            .unwrap_err()
            .code(),
        Code::FailedPrecondition
    );
    // The real one goes on.
    assert_eq!(
        agent.log(fence, 0, b"y").await,
        In::LogAck(v1::LogAck { fence, offset: 1 })
    );
}

#[tokio::test]
async fn agent_that_comes_back_without_its_lease_fails_the_job_with_its_reason() {
    let mut fleet = Fleet::start().await;
    let (mut agent, _) = fleet.agent(&[]).await;
    let (created, mut watch) = fleet.create(vec![job("a", 0)]).await;
    let (fence, _) = agent.lease().await;
    agent.begin(fence, &mut watch).await;
    let (_agent, welcome) = fleet.agent(&[]).await;
    assert_eq!(welcome.keep, []);
    let mut reason = None;
    while let Some(event) = watch.next().await {
        match event {
            Event::Job(job) => reason = job.reason.or(reason),
            Event::Pipeline(JobState::Failed) => break,
            _ => {}
        }
    }
    assert_eq!(reason.unwrap().as_str(), "runner_system_failure");
    assert_eq!(created.jobs.len(), 1);
}

#[tokio::test]
async fn result_sent_again_is_taken_again_and_recorded_once() {
    let mut fleet = Fleet::start().await;
    let (mut agent, _) = fleet.agent(&[]).await;
    let (created, mut watch) = fleet.create(vec![job("a", 0)]).await;
    let (fence, _) = agent.lease().await;
    let taken = In::ResultAck(v1::ResultAck { fence });
    agent.result(fence, v1::Outcome::Failed, 0).await;
    assert_eq!(agent.hear().await.unwrap(), taken);
    agent.result(fence, v1::Outcome::Success, 0).await;
    assert_eq!(agent.hear().await.unwrap(), taken);
    let seen = states(&mut watch).await;
    let ended: Vec<_> = seen
        .iter()
        .filter(|(_, _, state)| state.is_completed())
        .collect();
    assert_eq!(ended, [&(created.jobs[0], 1, JobState::Failed)]);
}

#[tokio::test]
async fn stream_that_a_newer_one_supersedes_ends() {
    let mut fleet = Fleet::start().await;
    let (mut old, _) = fleet.agent(&[]).await;
    let (mut new, _) = fleet.agent(&[]).await;
    assert_eq!(old.hear().await.unwrap_err().code(), Code::Aborted);
    let (_, _watch) = fleet.create(vec![job("a", 0)]).await;
    new.lease().await;
}

#[tokio::test]
async fn agent_cannot_write_to_or_end_the_lease_of_another() {
    let mut fleet = Fleet::start().await;
    let (mut agent, _) = fleet.agent(&[]).await;
    let (_, mut watch) = fleet.create(vec![job("a", 0)]).await;
    let (fence, _) = agent.lease().await;
    let (mut other, _) = fleet
        .connect(v1::Hello {
            agent: "b".into(),
            ..hello(&[])
        })
        .await;
    assert_eq!(other.log(fence, 0, b"not mine").await, stale(fence));
    other.end(fence).await;
    assert_eq!(other.hear().await.unwrap(), stale(fence));
    assert_eq!(
        agent.log(fence, 0, b"mine").await,
        In::LogAck(v1::LogAck { fence, offset: 4 })
    );
    agent.result(fence, v1::Outcome::Success, 4).await;
    assert_eq!(
        states(&mut watch).await.last().map(|last| last.2),
        Some(JobState::Success)
    );
}

#[tokio::test]
async fn lease_that_never_began_is_given_again_and_costs_no_attempt() {
    let mut fleet = Fleet::start().await;
    let (mut agent, _) = fleet.agent(&[]).await;
    let (_, _watch) = fleet.create(vec![job("a", 0)]).await;
    let (lost, _) = agent.lease().await;
    let (mut agent, welcome) = fleet.agent(&[]).await;
    assert_eq!(welcome.keep, []);
    let (fence, spec) = agent.lease().await;
    assert_eq!((spec.attempt, fence > lost), (1, true));
}

#[tokio::test]
async fn lease_that_was_given_up_leaves_no_artifact_and_no_log() {
    let mut fleet = Fleet::start().await;
    let (mut agent, _) = fleet.agent(&[]).await;
    let again = Retry {
        max: 1,
        ..Retry::default()
    };
    let (_, mut watch) = fleet
        .create(vec![PlannedJob {
            retry: again,
            ..job("a", 0)
        }])
        .await;
    let (old, _) = agent.lease().await;
    agent.begin(old, &mut watch).await;
    let (mut agent, _) = fleet.agent(&[]).await;
    let (new, spec) = agent.lease().await;
    assert_eq!((spec.attempt, new > old), (2, true));
    assert_eq!(agent.log(old, 0, b"x").await, stale(old));
    let refused = fleet.upload(old, "archive", b"zip").await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn time_in_which_the_coordinator_stood_still_is_no_silence_of_its_agents() {
    let ms = Duration::from_millis;
    let mut fleet = Fleet::start_with(QueueConfig {
        heartbeat_interval: ms(100),
        heartbeat_ttl: ms(200),
        orphan_deadline: ms(300),
        orphan_margin: ms(100),
        ..QueueConfig::default()
    })
    .await;
    let (mut agent, _) = fleet.agent(&[]).await;
    let (_, _watch) = fleet.create(vec![job("a", 0)]).await;
    let (fence, _) = agent.lease().await;
    // Test and coordinator share the thread: nobody says or hears anything.
    std::thread::sleep(ms(700));
    // The coordinator's clocks come first.
    tokio::time::sleep(ms(1)).await;
    agent.result(fence, v1::Outcome::Success, 0).await;
    assert_eq!(
        agent.hear().await.unwrap(),
        In::ResultAck(v1::ResultAck { fence })
    );
}

#[tokio::test]
async fn archives_are_read_only_by_jobs_that_depend_on_them_and_dotenv_reaches_them() {
    let mut fleet = Fleet::start().await;
    let (mut agent, _) = fleet.agent(&[]).await;
    let reader = PlannedJob {
        artifacts_from: vec![0],
        ..job("reader", 1)
    };
    let (created, _watch) = fleet
        .create(vec![job("writer", 0), reader, job("other", 1)])
        .await;
    let (fence, _) = agent.lease().await;
    assert_eq!(
        fleet.upload(fence, "archive", b"zip bytes").await.unwrap(),
        9
    );
    let dotenv = gzip(b"FROM_WRITER=yes\n");
    assert!(fleet.upload(fence, "dotenv", dotenv).await.is_ok());
    let refused = fleet
        .upload(fence, "dotenv", gzip(b"no equals sign"))
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::InvalidArgument, "Invalid Format")
    );
    assert_eq!(
        fleet
            .download(fence, created.jobs[0])
            .await
            .unwrap_err()
            .code(),
        Code::NotFound
    );
    agent.end(fence).await;
    agent.hear().await.unwrap();

    let (fence, spec) = agent.lease().await;
    assert_eq!(spec.name, "reader");
    assert_eq!(spec.dependencies[0].filename, "artifacts.zip");
    assert!(
        spec.variables
            .iter()
            .any(|one| one.key == "FROM_WRITER" && one.value == "yes")
    );
    assert_eq!(
        fleet.download(fence, created.jobs[0]).await.unwrap(),
        b"zip bytes"
    );
    agent.end(fence).await;
    agent.hear().await.unwrap();

    let (fence, spec) = agent.lease().await;
    assert_eq!((spec.name.as_str(), spec.dependencies.len()), ("other", 0));
    assert_eq!(
        fleet
            .download(fence, created.jobs[0])
            .await
            .unwrap_err()
            .code(),
        Code::NotFound
    );
}

#[tokio::test]
async fn stream_that_does_not_begin_with_a_usable_hello_is_refused_with_words() {
    let mut fleet = Fleet::start().await;
    for (hello, words) in [
        (
            v1::Hello {
                agent: String::new(),
                ..hello(&[])
            },
            "the hello names no agent",
        ),
        (
            v1::Hello {
                slots: 0,
                ..hello(&[])
            },
            "the hello offers 0 slots; 1 to 1000 are possible",
        ),
    ] {
        let mut stream = fleet.hello(hello).await.unwrap();
        let refused = stream.hear().await.unwrap_err();
        assert_eq!(
            (refused.code(), refused.message()),
            (Code::InvalidArgument, words)
        );
    }
}

/// Leaked: the test's messages want static bytes.
fn gzip(text: &[u8]) -> &'static [u8] {
    use std::io::Write;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(text).unwrap();
    packed.finish().unwrap().leak()
}
