//! One program on this host, from its start until nothing of it is left.

use std::ffi::OsString;
use std::fs::File;
use std::future::pending;
use std::io::{self, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::Child;
use tokio::time::{Instant, sleep_until, timeout};

use super::descendants::{Descendants, GONE_WITHIN};
use super::{Command, Ended, Error, Force, Output, Stop};

/// How long output is awaited that was written by processes that are gone now.
const LAST_OUTPUT: Duration = Duration::from_secs(1);
const BUFFER: usize = 64 << 10;

/// How long a program is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Between `SIGTERM` and `SIGKILL`.
    pub(super) grace: Duration,
    /// While something else than the program itself holds its output open.
    pub(super) output_held: Duration,
}

/// Runs `command` with `input` on its standard input, and returns when it has
/// ended and nothing it started is left.
///
/// It is the leader of a process group. All it started gets `SIGTERM` when it is
/// to stop gracefully. After its exit, processes that still hold its output have a
/// while; then all that is left of it is killed: its group, and `descendants` if
/// it is one of a job's own.
pub(super) async fn run<S: Stop>(
    command: &Command,
    input: &[u8],
    mut descendants: Option<&mut Descendants>,
    patience: Patience,
    output: Output<'_>,
    stop: &mut S,
) -> Result<Ended, Error> {
    let failed = |source| Error::Start {
        program: command.name(),
        source,
    };
    let (reader, writer) = io::pipe().map_err(failed)?;
    let reader = pipe::Receiver::from_owned_fd(OwnedFd::from(reader)).map_err(failed)?;
    let input = standard_input(input).map_err(failed)?;
    let child = match &mut descendants {
        Some(descendants) => {
            descendants.start(|key, value| spawn(command, input, writer, Some((key, value))))
        }
        None => spawn(command, input, writer, None),
    };
    let mut child = child.map_err(failed)?;
    let tree = Tree {
        group: Group::of(&child),
        descendants,
    };
    let mut copying = Copying {
        from: reader,
        to: output,
        buffer: vec![0; BUFFER],
    };
    let watched = watch(&mut child, &tree, patience, &mut copying, stop).await;
    tree.kill().await?;
    let Watched {
        status,
        stopped,
        output,
    } = watched.map_err(|broken| match broken {
        Broken::Pipe(source) => Error::Run {
            program: command.name(),
            source,
        },
        Broken::Dormant { pid } => Error::Dormant { pid },
    })?;
    if output == OutputState::Open {
        copying.rest(stop).await;
    }
    Ok(match (stopped, status.code(), status.signal()) {
        (true, ..) => Ended::Stopped,
        (false, Some(code), _) => Ended::Exited(code),
        (false, None, signal) => Ended::Killed(signal.unwrap_or_default()),
    })
}

fn spawn(
    command: &Command,
    input: Stdio,
    output: io::PipeWriter,
    cookie: Option<(&str, OsString)>,
) -> io::Result<Child> {
    let mut child = tokio::process::Command::new(&command.program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| (command.hidden)(name)) {
        child.env_remove(name);
    }
    child
        .args(&command.arguments)
        .envs(command.variables.iter().map(|(key, value)| (key, value)))
        .envs(cookie)
        .current_dir(&command.cwd)
        .stdin(input)
        .stdout(output.try_clone()?)
        .stderr(output)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
    // The agent's own copies of the pipe's end go with `child`: from here on
    // the pipe ends when the last process that writes to it does.
}

/// Why a program could not be watched to its end.
enum Broken {
    Pipe(io::Error),
    Dormant { pid: i32 },
}

struct Watched {
    status: ExitStatus,
    stopped: bool,
    output: OutputState,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum OutputState {
    Open,
    Ended,
}

/// Reads the program's output until it has exited and its output has ended or
/// has been held open for too long, and stops it when told to.
async fn watch<S: Stop>(
    child: &mut Child,
    tree: &Tree<'_>,
    patience: Patience,
    copying: &mut Copying<'_>,
    stop: &mut S,
) -> Result<Watched, Broken> {
    let mut output = OutputState::Open;
    let mut status = None;
    let mut stopped = false;
    let mut force = None;
    let mut limit = Limit::None;
    loop {
        if let Some(status) = status
            && (output == OutputState::Ended || matches!(limit, Limit::Gone(_)))
        {
            return Ok(Watched {
                status,
                stopped,
                output,
            });
        }
        tokio::select! {
            ended = copying.all(), if output == OutputState::Open => {
                ended.map_err(Broken::Pipe)?;
                output = OutputState::Ended;
            }
            exited = child.wait(), if status.is_none() => {
                status = Some(exited.map_err(Broken::Pipe)?);
                limit = limit.kill_after(patience.output_held);
            }
            wanted = stop.requested(), if force != Some(Force::AtOnce) => {
                stopped |= status.is_none();
                if force.is_none() && wanted == Force::Gracefully {
                    tree.terminate();
                    force = Some(Force::Gracefully);
                    limit = limit.kill_after(patience.grace);
                } else {
                    force = Some(Force::AtOnce);
                    limit = limit.kill_after(Duration::ZERO);
                }
            }
            () = limit.reached() => {
                if matches!(limit, Limit::Gone(_)) {
                    return Err(Broken::Dormant { pid: tree.group.leader() });
                }
                tree.group.signal(Signal::KILL);
                limit = Limit::Gone(Instant::now() + GONE_WITHIN);
            }
        }
    }
}

/// What is done when time is up.
#[derive(Clone, Copy)]
enum Limit {
    /// There is no hurry.
    None,
    /// Kill.
    Kill(Instant),
    /// Killed: give up.
    Gone(Instant),
}

impl Limit {
    /// The earlier of this and a kill after `wait`.
    fn kill_after(self, wait: Duration) -> Limit {
        // Longer than any job; and no clock overflows.
        const YEAR: Duration = Duration::from_secs(365 * 86_400);
        let at = Instant::now() + wait.min(YEAR);
        match self {
            Limit::None => Limit::Kill(at),
            Limit::Kill(before) => Limit::Kill(before.min(at)),
            Limit::Gone(_) => self,
        }
    }

    async fn reached(self) {
        match self {
            Limit::None => pending().await,
            Limit::Kill(at) | Limit::Gone(at) => sleep_until(at).await,
        }
    }
}

/// Standard input that holds `input`: a file in memory, not a pipe, since a shell
/// reads a program from a pipe byte by byte.
fn standard_input(input: &[u8]) -> io::Result<Stdio> {
    if input.is_empty() {
        return Ok(Stdio::null());
    }
    let mut file = File::from(memfd_create("input", MemfdFlags::CLOEXEC)?);
    file.write_all(input)?;
    file.rewind()?;
    Ok(file.into())
}

/// A program's output on its way. What the taker has no room for stays in the
/// pipe. Dropping a future of these loses nothing.
struct Copying<'a> {
    from: pipe::Receiver,
    to: Output<'a>,
    buffer: Vec<u8>,
}

impl Copying<'_> {
    /// Passes all of it on; returns when it has ended.
    async fn all(&mut self) -> io::Result<()> {
        loop {
            self.room().await;
            if self.piece().await? == 0 {
                return Ok(());
            }
        }
    }

    /// Passes on what is left in the pipe after all processes of the job are
    /// gone: whoever holds its end open now is none of them, and is not waited
    /// for. There may be no room for it for long, unless the job is to stop.
    async fn rest(&mut self, stop: &mut impl Stop) {
        let mut left = LAST_OUTPUT;
        loop {
            tokio::select! {
                biased;
                () = self.room() => {}
                _ = stop.requested() => return,
            }
            let asked = Instant::now();
            match timeout(left, self.piece()).await {
                Ok(Ok(read)) if read > 0 => {}
                _ => return,
            }
            left = left.saturating_sub(asked.elapsed());
        }
    }

    async fn piece(&mut self) -> io::Result<usize> {
        let read = self.from.read(&mut self.buffer).await?;
        if read > 0 {
            self.to.take(&self.buffer[..read]);
        }
        Ok(read)
    }

    async fn room(&mut self) {
        if let Some(room) = self.to.room() {
            room.await;
        }
    }
}

/// What a program started.
struct Tree<'a> {
    group: Group,
    descendants: Option<&'a mut Descendants>,
}

impl Tree<'_> {
    /// Asks all of it to end.
    fn terminate(&self) {
        self.group.signal(Signal::TERM);
        if let (Some(descendants), Some(leader)) = (&self.descendants, self.group.0) {
            descendants.terminate_outside(leader);
        }
    }

    /// Kills what is left of it.
    async fn kill(self) -> Result<(), Error> {
        drop(self.group);
        match self.descendants {
            Some(descendants) => descendants.kill().await,
            None => Ok(()),
        }
    }
}

/// A process group; killed when dropped, so that an abandoned future leaves
/// nothing running.
#[derive(Debug)]
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Group {
        Group(
            child
                .id()
                .and_then(|id| i32::try_from(id).ok())
                .and_then(Pid::from_raw),
        )
    }

    fn leader(&self) -> i32 {
        self.0.map_or(0, |leader| leader.as_raw_nonzero().get())
    }

    fn signal(&self, signal: Signal) {
        if let Some(leader) = self.0 {
            let _all_gone = kill_process_group(leader, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}
