mod deploy;

use std::time::Duration;

use fleet_model::JobState;
use fleet_proto::v1;
use tonic::Status;

use super::*;

/// An owner without a loop of its own: the test hands it what comes.
fn core(dir: &std::path::Path) -> Core {
    let (_handle, core, _inbox) = Core::new(
        Settings::local(dir.into()),
        LeaseLogs::default(),
        Blobs::new(dir.into()),
        Journal::volatile(),
        None,
    );
    core
}

struct Stream {
    unread: mpsc::Receiver<Result<v1::CoordinatorMessage, Status>>,
    ending: Ending,
    admitted: Admitted,
}

impl Stream {
    fn session(&self) -> u64 {
        match self.admitted {
            Admitted::Session(session) => session,
            ref other => panic!("{other:?}"),
        }
    }

    fn is_ended(&self) -> bool {
        futures_ready(self.ending.ended()).is_some()
    }
}

/// The value of a future that is ready at once.
fn futures_ready<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).as_mut().poll(&mut context) {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}

fn hello(instance: &str, stream: u64) -> v1::Hello {
    v1::Hello {
        agent: "a".into(),
        slots: 1,
        instance: instance.into(),
        stream,
        ..Default::default()
    }
}

fn connect(core: &mut Core, hello: v1::Hello, doubted: Option<(u64, Instant)>) -> Stream {
    let (outbox, unread) = mpsc::channel(2);
    let ending = Ending::default();
    let admitted = core.connected(Greeting {
        hello,
        grant: None,
        projects: Vec::new(),
        outbox,
        ending: ending.clone(),
        doubted,
    });
    core.commit();
    Stream {
        unread,
        ending,
        admitted,
    }
}

fn heartbeat(core: &mut Core, session: u64) {
    core.agent(AgentName("a".into()), session, AgentInput::Heartbeat);
    core.commit();
}

#[test]
fn agent_that_does_not_read_is_disconnected_and_counts_again_when_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut core = core(dir.path());
    let agent = AgentName("a".into());
    let mut stream = connect(&mut core, hello("", 0), None);
    let session = stream.session();
    heartbeat(&mut core, session);
    assert!(!stream.is_ended());
    heartbeat(&mut core, session);
    assert!(stream.is_ended());
    // It gets nothing more, not even once there is room: it would have a gap.
    while stream.unread.try_recv().is_ok() {}
    heartbeat(&mut core, session);
    assert!(stream.unread.try_recv().is_err());
    core.agent(agent.clone(), session, AgentInput::Disconnected);
    let status = |core: &Core| core.queue.agent(&agent).unwrap().status;
    assert_eq!(status(&core), fleet_queue::AgentStatus::Offline);
    let mut stream = connect(&mut core, hello("", 0), None);
    assert_eq!(status(&core), fleet_queue::AgentStatus::Online);
    assert!(stream.unread.try_recv().is_ok());
}

#[test]
fn second_process_under_one_name_is_refused_while_the_first_is_alive() {
    let dir = tempfile::tempdir().unwrap();
    let mut core = core(dir.path());
    let first = connect(&mut core, hello("first", 1), None);
    let second = connect(&mut core, hello("second", 1), None);
    let Admitted::Doubtful(session, heard) = second.admitted else {
        panic!("{:?}", second.admitted);
    };
    // The first one is heard of meanwhile.
    std::thread::sleep(Duration::from_millis(1));
    heartbeat(&mut core, first.session());
    let second = connect(&mut core, hello("second", 1), Some((session, heard)));
    assert!(matches!(second.admitted, Admitted::Cloned));
    assert!(!first.is_ended());
}

#[test]
fn restarted_agent_takes_over_from_a_stream_that_nobody_hears_of() {
    let dir = tempfile::tempdir().unwrap();
    let mut core = core(dir.path());
    let first = connect(&mut core, hello("first", 1), None);
    let second = connect(&mut core, hello("second", 1), None);
    let Admitted::Doubtful(session, heard) = second.admitted else {
        panic!("{:?}", second.admitted);
    };
    let second = connect(&mut core, hello("second", 1), Some((session, heard)));
    assert!(matches!(second.admitted, Admitted::Session(_)));
    assert!(first.is_ended());
}

#[test]
fn stream_that_arrives_late_does_not_supersede_a_newer_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut core = core(dir.path());
    let newer = connect(&mut core, hello("first", 2), None);
    let late = connect(&mut core, hello("first", 1), None);
    assert!(matches!(late.admitted, Admitted::Old));
    assert!(!newer.is_ended());
    let newest = connect(&mut core, hello("first", 3), None);
    assert!(matches!(newest.admitted, Admitted::Session(_)));
    assert!(newer.is_ended());
}
