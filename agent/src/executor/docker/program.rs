//! One program in a container that waits for it, from its first byte to its end.

use std::collections::{HashMap, VecDeque};
use std::future::pending;
use std::io;
use std::time::Duration;

use bollard::Docker;
use bollard::container::{AttachContainerResults, LogOutput};
use bollard::errors::Error as Failed;
use bollard::query_parameters::{EventsOptionsBuilder, WaitContainerOptionsBuilder};
use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_stream::StreamExt;

use super::build::{Input, Started};
use super::{engine, stop};
use crate::executor::{Error, Force, Output, Stop};

/// Output is read ahead of the log up to this: what the engine still holds when the
/// program ends it throws away after two seconds.
const AHEAD: usize = 8 << 20;
/// How long the engine may take to hand over the last output of a program that has
/// ended; its connection may stay open for ever.
const LAST_OUTPUT: Duration = Duration::from_secs(5);
/// How often an engine that cannot say how a program ended is asked again.
const ASKED_AGAIN: u32 = 3;
/// How long a killed container may take to end.
const GONE_WITHIN: Duration = Duration::from_secs(60);

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// By itself.
    Exited(i32),
    /// It was told to stop, and has.
    Stopped,
}

/// How programs are stopped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manners {
    /// Between asking and killing.
    pub(super) grace: Duration,
    /// Who asks.
    pub(super) way: stop::Way,
}

/// Runs `program` in a container that waits for it.
pub(super) async fn run<S: Stop>(
    engine: &Docker,
    started: Started,
    program: &[u8],
    manners: Manners,
    output: Output<'_>,
    stop: &mut S,
) -> Result<End, Error> {
    let Started { id, attached } = started;
    let AttachContainerResults {
        output: stream,
        input,
    } = attached;
    let mut copying = Copying {
        from: Some(stream),
        waiting: VecDeque::new(),
        held: 0,
        to: output,
    };
    let mut exit = std::pin::pin!(async {
        tokio::select! {
            code = exit(engine, &id) => code,
            code = death(engine, &id) => Ok(code),
        }
    });
    let mut asking = std::pin::pin!(ask(engine, &id, manners));
    let mut writing = std::pin::pin!(write(input, program));
    let (mut written, mut asked) = (false, false);
    let mut force = None;
    let mut kill_at: Option<Instant> = None;
    let mut killed = false;
    let code = loop {
        tokio::select! {
            () = copying.some() => {}
            // One that ended before it had read all of it: its exit tells.
            _ = &mut writing, if !written => written = true,
            code = &mut exit => break code?,
            wanted = stop.requested(), if force != Some(Force::AtOnce) => {
                let first = force.is_none();
                if first && wanted == Force::Gracefully {
                    force = Some(Force::Gracefully);
                    kill_at = Some(Instant::now() + manners.grace);
                } else {
                    force = Some(Force::AtOnce);
                    kill_at = Some(Instant::now());
                }
            }
            () = &mut asking, if force.is_some() && !asked => asked = true,
            () = reached(kill_at) => {
                if killed {
                    return Err(Error::Engine(format!(
                        "container {id} does not end although it was killed"
                    )));
                }
                stop::kill(engine, &id).await;
                killed = true;
                kill_at = Some(Instant::now() + GONE_WITHIN);
            }
        }
    };
    copying.rest(stop).await;
    match force {
        Some(_) => Ok(End::Stopped),
        None => Ok(End::Exited(code)),
    }
}

async fn ask(engine: &Docker, id: &str, manners: Manners) {
    stop::ask(engine, id, manners.way).await;
}

async fn reached(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}

/// Writes the program, and lets the shell see its end.
async fn write(mut input: Input, program: &[u8]) -> io::Result<()> {
    input.write_all(program).await?;
    input.flush().await?;
    input.shutdown().await?;
    // Dropped, it would close the way back as well.
    pending().await
}

/// Waits for the container's end; returns the exit code.
async fn exit(engine: &Docker, id: &str) -> Result<i32, Error> {
    let mut tries = 0;
    loop {
        let options = WaitContainerOptionsBuilder::new().condition("not-running");
        let mut waiting = std::pin::pin!(engine.wait_container(id, Some(options.build())));
        let error = match waiting.next().await {
            Some(Ok(ended)) => return Ok(exit_code(ended.status_code)),
            // How this library tells of every code but 0.
            Some(Err(Failed::DockerContainerWaitError { code, .. })) => return Ok(exit_code(code)),
            Some(Err(error)) => error,
            None => Failed::IOError {
                err: io::ErrorKind::UnexpectedEof.into(),
            },
        };
        tries += 1;
        // With the engine went the program's output, and as a rule the program itself:
        // what it says when it is back is no program's own exit code.
        if engine::is_gone(&error) {
            return Err(lost(&error));
        }
        if engine::status(&error) == Some(404) {
            return Err(Error::Engine(
                "the job's container was removed while it ran, and not by this agent".to_owned(),
            ));
        }
        if tries > ASKED_AGAIN {
            return Err(lost(&error));
        }
        sleep(Duration::from_secs(1)).await;
    }
}

/// Waits for the engine's word that the container's processes are gone; returns the
/// exit code. [`exit`] waits for the container's network besides, which takes as long
/// again as a small program. Never returns where that word does not come.
async fn death(engine: &Docker, id: &str) -> i32 {
    let filters = [("type", "container"), ("event", "die"), ("container", id)];
    let filters = filters.map(|(key, value)| (key, vec![value]));
    let options = EventsOptionsBuilder::new().filters(&HashMap::from(filters));
    let mut events = std::pin::pin!(engine.events(Some(options.build())));
    while let Some(Ok(event)) = events.next().await {
        let attributes = event.actor.and_then(|actor| actor.attributes);
        let code = attributes.and_then(|all| all.get("exitCode")?.parse().ok());
        if let Some(code) = code {
            return exit_code(code);
        }
    }
    pending().await
}

fn lost(error: &Failed) -> Error {
    Error::Engine(format!(
        "the Docker engine went away while the job ran: {}",
        engine::words(error)
    ))
}

fn exit_code(code: i64) -> i32 {
    i32::try_from(code).unwrap_or(-1)
}

type Stream = std::pin::Pin<Box<dyn tokio_stream::Stream<Item = Result<LogOutput, Failed>> + Send>>;

/// A program's output on its way. Dropping a future of these loses nothing.
struct Copying<'a> {
    /// None: it has ended.
    from: Option<Stream>,
    /// Read, and not yet taken.
    waiting: VecDeque<Bytes>,
    held: usize,
    to: Output<'a>,
}

impl Copying<'_> {
    /// Reads or passes on some of it; never returns when there is no more.
    async fn some(&mut self) {
        let reads = self.held < AHEAD;
        tokio::select! {
            piece = next(&mut self.from), if reads && self.from.is_some() => self.read(piece),
            () = room(&mut *self.to), if !self.waiting.is_empty() => self.pass_on(),
            else => pending().await,
        }
    }

    /// Passes on what is left after the program has ended. There may be no room for
    /// it for long, unless the job is to stop.
    async fn rest(&mut self, stop: &mut impl Stop) {
        while self.from.is_some() {
            // What is read ahead has no bound any more: the engine's own has one.
            match timeout(LAST_OUTPUT, next(&mut self.from)).await {
                Ok(piece) => self.read(piece),
                Err(_) => self.from = None,
            }
        }
        while !self.waiting.is_empty() {
            tokio::select! {
                biased;
                () = room(&mut *self.to) => self.pass_on(),
                _ = stop.requested() => return,
            }
        }
    }

    fn read(&mut self, piece: Option<Bytes>) {
        match piece {
            Some(bytes) if bytes.is_empty() => {}
            Some(bytes) => {
                self.held += bytes.len();
                self.waiting.push_back(bytes);
            }
            None => self.from = None,
        }
    }

    fn pass_on(&mut self) {
        if let Some(bytes) = self.waiting.pop_front() {
            self.held -= bytes.len();
            self.to.take(&bytes);
        }
    }
}

async fn next(from: &mut Option<Stream>) -> Option<Bytes> {
    match from {
        // A broken connection is its end: how the program ended tells the rest.
        Some(stream) => stream.next().await?.ok().map(LogOutput::into_bytes),
        None => None,
    }
}

async fn room(to: &mut dyn crate::executor::Take) {
    if let Some(room) = to.room() {
        room.await;
    }
}
